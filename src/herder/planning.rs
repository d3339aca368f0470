//! Asks a source for its tasks, within a time limit, with the references in its config resolved for
//! this call only.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::{
    Config, Error, Result, SourceConnector, SourceOffset, SourcePartition, SourcePosition,
    StoredOffsets, TaskPlan, fail_point,
};
use futures_util::FutureExt;
use tokio::sync::OnceCell;

use crate::settings::ConfigProviders;
use crate::worker::{ConnectorOffsetsReader, Worker, right_version};

/// A source that has not planned its tasks within this time is reported as hanging.
const LIMIT: Duration = Duration::from_secs(30);

/// Returns the planned tasks, with references unresolved. Errors: the source's own, or `Retry` when
/// it does not answer.
pub(super) async fn plan(
    worker: &Worker,
    source: &dyn SourceConnector,
    name: &str,
    config: &Config,
    max_tasks: usize,
) -> Result<TaskPlan> {
    let planning =
        AssertUnwindSafe(planned(worker, source, name, config, max_tasks)).catch_unwind();
    match tokio::time::timeout(LIMIT, planning).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::fatal(
            "the connector panicked while it planned its tasks: this is a bug in it",
        )),
        Err(_) => Err(Error::retry(format!(
            "the source did not answer within {} s while its tasks were planned: check that it is \
             up and that nothing on the network drops packets",
            LIMIT.as_secs()
        ))),
    }
}

async fn planned(
    worker: &Worker,
    source: &dyn SourceConnector,
    name: &str,
    config: &Config,
    max_tasks: usize,
) -> Result<TaskPlan> {
    let (resolved, redactor) = worker.resolve_config(config).await?;
    let stored = LazyOffsets::new(worker, name, &resolved);
    let planned = async {
        right_version(source, &resolved)?;
        fail_point::reach_async("source.plan").await?;
        source.plan_on(&resolved, max_tasks, &stored).await
    };
    let mut plan = planned.await.map_err(|error| redactor.error(error))?;
    ConfigProviders::put_back(config, &resolved, &mut plan.tasks);
    Ok(plan)
}

/// The stored offsets of a connector, read from the topic on first use.
pub(super) struct LazyOffsets<'a> {
    worker: &'a Worker,
    name: &'a str,
    config: &'a Config,
    found: OnceCell<ConnectorOffsetsReader>,
}

impl<'a> LazyOffsets<'a> {
    /// `config` is the connector's, with its references resolved.
    pub(super) fn new(worker: &'a Worker, name: &'a str, config: &'a Config) -> Self {
        Self {
            worker,
            name,
            config,
            found: OnceCell::new(),
        }
    }

    async fn stored(&self) -> Result<&ConnectorOffsetsReader> {
        self.found
            .get_or_try_init(|| self.worker.source_offsets(self.name, self.config))
            .await
    }
}

#[async_trait]
impl StoredOffsets for LazyOffsets<'_> {
    async fn read(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>> {
        self.stored().await?.read(partitions).await
    }

    async fn all(&self) -> Result<Vec<SourcePosition>> {
        self.stored().await?.all().await
    }
}
