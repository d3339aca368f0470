//! Reads and changes the stored offsets of a connector (KIP-875), beside the loop and within a time
//! limit.

use std::collections::BTreeMap;
use std::time::Duration;

use connector_api::{Config, Error, SinkConnector, SourcePosition, TopicOffset, TopicPartition};

use super::{HerderRefusal, OffsetChange, OffsetListing};
use crate::registry::ConnectorPlugin;
use crate::worker::Worker;

/// Kafka or a database that has not answered within this time is reported as unreachable.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Returns the stored offsets. Errors: `Unavailable`.
pub(super) async fn read(
    worker: &Worker,
    connector: &ConnectorPlugin,
    name: &str,
    config: &Config,
) -> Result<OffsetListing, HerderRefusal> {
    within(async {
        let (config, redactor) = &worker.resolve_config(config).await?;
        let read = match connector {
            ConnectorPlugin::Source(_) => worker
                .source_offsets(name, config)
                .await
                .map(|stored| OffsetListing::Source(stored.positions())),
            ConnectorPlugin::Sink(_) => worker
                .sink_offsets(name, config)
                .await
                .map(OffsetListing::Sink),
        };
        read.map_err(|error| redactor.error(error))
    })
    .await
}

/// Changes the stored offsets of a connector that has no running task and has had at most `tasks`
/// tasks. Returns true if the connector keeps offsets too and has changed them. Errors:
/// `BadOffsets`, `Unavailable`.
pub(super) async fn change(
    worker: &Worker,
    connector: &ConnectorPlugin,
    name: &str,
    config: &Config,
    tasks: usize,
    change: OffsetChange,
) -> Result<bool, HerderRefusal> {
    let of_its_own = match (connector, &change) {
        (ConnectorPlugin::Source(source), OffsetChange::Source(positions)) => {
            source.check_positions(config, positions)
        }
        (ConnectorPlugin::Source(source), OffsetChange::Reset) => {
            source.check_positions(config, &[])
        }
        _ => Ok(false),
    };
    let of_its_own = of_its_own.map_err(|error| HerderRefusal::BadOffsets(error.to_string()))?;
    within(async {
        let (config, redactor) = &worker.resolve_config(config).await?;
        let changed = match connector {
            ConnectorPlugin::Source(_) => change_source(worker, name, config, tasks, change)
                .await
                .map(|()| of_its_own),
            ConnectorPlugin::Sink(sink) => {
                change_sink(worker, sink.as_ref(), name, config, change).await
            }
        };
        changed.map_err(|error| redactor.error(error))
    })
    .await
}

async fn within<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, HerderRefusal> {
    match tokio::time::timeout(TIME_LIMIT, work).await {
        Ok(done) => done.map_err(|error| HerderRefusal::Unavailable(error.to_string())),
        Err(_) => Err(HerderRefusal::Unavailable(format!(
            "the offsets could not be reached within {} s: check that the brokers of \
             bootstrap.servers and the connector's database are up",
            TIME_LIMIT.as_secs()
        ))),
    }
}

async fn change_source(
    worker: &Worker,
    name: &str,
    config: &Config,
    tasks: usize,
    change: OffsetChange,
) -> Result<(), Error> {
    let positions = match change {
        OffsetChange::Source(positions) => positions,
        OffsetChange::Reset => {
            let stored = worker.source_offsets(name, config).await?;
            stored
                .positions()
                .into_iter()
                .map(|position| SourcePosition {
                    offset: None,
                    ..position
                })
                .collect()
        }
        OffsetChange::Sink(_) => {
            return Err(Error::fatal("offsets of a sink were given for a source"));
        }
    };
    worker
        .set_source_offsets(name, config, tasks, &positions)
        .await
}

async fn change_sink(
    worker: &Worker,
    sink: &dyn SinkConnector,
    name: &str,
    config: &Config,
    change: OffsetChange,
) -> Result<bool, Error> {
    let changes = match change {
        OffsetChange::Sink(changes) => changes,
        OffsetChange::Reset => {
            worker.set_sink_offsets(name, config, None).await?;
            return sink
                .reset_offsets(&worker.sink_config(name, config).await?)
                .await;
        }
        OffsetChange::Source(_) => {
            return Err(Error::fatal("offsets of a source were given for a sink"));
        }
    };
    let own = worker.sink_config(name, config).await?;
    // The offsets stored by the sink itself are the ones that count. They are changed last, so that
    // a failure before that has changed nothing.
    if changes.iter().all(|(_, offset)| offset.is_some()) {
        let to: Vec<TopicOffset> = changes
            .iter()
            .filter_map(|(at, offset)| Some(topic_offset(at, (*offset)?)))
            .collect();
        worker.set_sink_offsets(name, config, Some(&to)).await?;
        return sink.alter_offsets(&own, &changes).await;
    }
    // A group can only delete all its offsets, so delete them and set the others again.
    let mut kept: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for at in worker.sink_offsets(name, config).await? {
        kept.insert(
            TopicPartition {
                topic: at.topic,
                partition: at.partition,
            },
            at.offset,
        );
    }
    for (partition, offset) in &changes {
        match offset {
            Some(offset) => drop(kept.insert(partition.clone(), *offset)),
            None => drop(kept.remove(partition)),
        }
    }
    worker.set_sink_offsets(name, config, None).await?;
    if !kept.is_empty() {
        let to: Vec<TopicOffset> = kept
            .iter()
            .map(|(at, offset)| topic_offset(at, *offset))
            .collect();
        worker.set_sink_offsets(name, config, Some(&to)).await?;
    }
    sink.alter_offsets(&own, &changes).await
}

fn topic_offset(at: &TopicPartition, offset: i64) -> TopicOffset {
    TopicOffset {
        topic: at.topic.clone(),
        partition: at.partition,
        offset,
    }
}
