//! Asking a source for its tasks: within a time limit, with the references of its config resolved for it alone.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use connector_api::{Config, Error, Plan, Result, Source};
use futures_util::FutureExt;

use crate::settings::Providers;
use crate::worker::Worker;

/// A source that has not planned its tasks within this time is taken for hung.
const LIMIT: Duration = Duration::from_secs(30);

/// The tasks, with references as they are written. Errors: the source's own, `Retry` when it does not answer.
pub(super) async fn plan(worker: &Worker, source: &dyn Source, config: &Config, max_tasks: usize) -> Result<Plan> {
    let planning = AssertUnwindSafe(planned(worker, source, config, max_tasks)).catch_unwind();
    match tokio::time::timeout(LIMIT, planning).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::fatal("the connector panicked while it planned its tasks: this is a bug in it")),
        Err(_) => Err(Error::retry(format!(
            "the source did not answer within {} s while its tasks were planned: see that it is up and that nothing \
             between drops packets",
            LIMIT.as_secs()
        ))),
    }
}

async fn planned(worker: &Worker, source: &dyn Source, config: &Config, max_tasks: usize) -> Result<Plan> {
    let resolved = worker.resolved(config).await?;
    let mut plan = source.plan(&resolved, max_tasks).await?;
    Providers::put_back(config, &resolved, &mut plan.tasks);
    Ok(plan)
}
