//! Source positions in the offsets topic and group offsets of sinks. They are read when a task
//! opens or a client asks, and written by tasks (see `delivery.rs`) or, for a stopped connector,
//! from here. Every call blocks.

use std::collections::BTreeMap;
use std::time::Duration;

use connector_api::pattern::Pattern;
use connector_api::{
    Config, Error, ErrorKind, Result, SourcePosition, TopicOffset, TopicPartition,
};

use super::sink::subscription;
use super::stored_offsets::{ConnectorOffsetsReader, is_of, sort_in_java_order};
use super::{TaskId, WorkerShared, client_settings};
use crate::kafka::admin::{GroupOffsets, KafkaAdmin, TopicSpec};
use crate::kafka::consumer::Subscription;
use crate::kafka::producer::{OutgoingRecord, Producer};
use crate::kafka::table;

/// How long reading the offsets topic may take. The open transaction of another task ends within
/// its time-out.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// Returns the stored positions of a source connector, or `None` if the topic does not exist.
/// Errors: `Retry` when Kafka is unreachable.
pub(super) fn stored(
    shared: &WorkerShared,
    connector: &str,
    config: &Config,
) -> Result<Option<ConnectorOffsetsReader>> {
    let options = &shared.options;
    let topic = client_settings::offsets_topic(options, config);
    if let Some(broker) = &options.dev_broker {
        let table = broker.table(&topic, |key| is_of(connector, key));
        return Ok(Some(ConnectorOffsetsReader::of(connector, &table)));
    }
    let table = table::read(
        &client_settings::reader(options)?,
        &topic,
        READ_WITHIN,
        |key| is_of(connector, key),
    )?;
    Ok(table.map(|table| ConnectorOffsetsReader::of(connector, &table)))
}

/// Creates the offsets topic, compacted, if it does not exist.
pub(super) fn ensure_topic(shared: &WorkerShared, config: &Config) -> Result<()> {
    let (admin, options) = (admin(shared, config)?, &shared.options);
    let wanted = TopicSpec {
        topic: client_settings::offsets_topic(options, config),
        partitions: options.offset_partitions,
        replication_factor: options.replication_factor,
        config: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
    };
    admin.ensure(&wanted).map_err(|error| {
        if error.kind() == ErrorKind::Config {
            error.and_line(
                "The keys of the worker that decide about it are offset.storage.partitions and \
                 offset.storage.replication.factor.",
            )
        } else {
            error
        }
    })
}

/// Writes positions of a stopped connector, after fencing whatever its former tasks may still have
/// in flight.
pub(super) fn set_stored(
    shared: &WorkerShared,
    connector: &str,
    config: &Config,
    tasks: usize,
    to: &[SourcePosition],
) -> Result<()> {
    let options = &shared.options;
    ensure_topic(shared, config)?;
    let transactional = options.exactly_once_source && options.dev_broker.is_none();
    let open = |task| {
        let id = TaskId {
            connector: connector.into(),
            task,
        };
        let producer = Producer::open(
            &client_settings::producer(options, &id, config, transactional)?,
            options.dev_broker.as_ref(),
            None,
        )?;
        if transactional {
            producer.init(Duration::from_secs(30), || true)?;
        }
        Ok::<_, Error>(producer)
    };
    // Opening a producer with a task's transactional id fences that task, so no earlier transaction
    // can commit after this one.
    for task in (1..u32::try_from(tasks).unwrap_or(u32::MAX)).filter(|_| transactional) {
        open(task)?;
    }
    let producer = open(0)?;
    let mut stored = stored(shared, connector, config)?
        .unwrap_or_else(|| ConnectorOffsetsReader::of(connector, &BTreeMap::new()));
    let topic = client_settings::offsets_topic(options, config);
    if transactional {
        producer.begin()?;
    }
    for position in to {
        let (key, value) = stored.record(&sort_in_java_order(position));
        let (topic, timestamp_ms, headers) = (topic.as_str(), None, &[][..]);
        let record = OutgoingRecord {
            topic,
            partition: None,
            key: Some(&key),
            value: value.as_deref(),
            timestamp_ms,
            headers,
            number: 0,
        };
        producer.send(record, || true)?;
    }
    if transactional {
        producer.commit(|| true)?;
    } else {
        producer.flush(Duration::from_secs(30), || true)?;
    }
    Ok(())
}

/// Returns the partitions of the topics that a sink reads.
fn partitions(shared: &WorkerShared, config: &Config) -> Result<Vec<TopicPartition>> {
    partitions_to_read(shared, config).map(|(partitions, _missing)| partitions)
}

/// Returns the partitions of the topics that a sink reads, and the topics that it names but that do
/// not exist.
pub(super) fn partitions_to_read(
    shared: &WorkerShared,
    config: &Config,
) -> Result<(Vec<TopicPartition>, Vec<String>)> {
    let admin = admin(shared, config)?;
    let topics = match subscription(config)? {
        Subscription::Topics(topics) => topics,
        Subscription::Pattern(pattern) => {
            let bad = |e| Error::config(format!("topics.regex: not a regular expression: {e}"));
            let pattern = Pattern::whole(&pattern).map_err(bad)?;
            let is_read = |topic: &String| pattern.matches(topic).unwrap_or(false);
            admin.topics()?.into_iter().filter(is_read).collect()
        }
    };
    let (mut all, mut missing) = (Vec::new(), Vec::new());
    for topic in topics {
        let Some(count) = admin.partitions(&topic)? else {
            missing.push(topic);
            continue;
        };
        all.extend((0..count).map(|partition| TopicPartition {
            topic: topic.as_str().into(),
            partition,
        }));
    }
    Ok((all, missing))
}

fn sink_group(shared: &WorkerShared, connector: &str, config: &Config) -> Result<GroupOffsets> {
    let id = TaskId {
        connector: connector.into(),
        task: 0,
    };
    GroupOffsets::open(&client_settings::consumer(&shared.options, &id, config)?)
}

fn admin(shared: &WorkerShared, config: &Config) -> Result<KafkaAdmin> {
    let settings = client_settings::admin(&shared.options, Some(config))?;
    KafkaAdmin::open(
        &settings,
        shared.options.dev_broker.clone(),
        shared.runtime.clone(),
    )
}

/// Returns the committed group offsets of a sink. Errors: `Retry` when Kafka is unreachable.
pub(super) fn committed(
    shared: &WorkerShared,
    connector: &str,
    config: &Config,
) -> Result<Vec<TopicOffset>> {
    sink_group(shared, connector, config)?.committed(&partitions(shared, config)?)
}

/// Sets group offsets of a stopped sink, or deletes all of them.
pub(super) fn set_committed(
    shared: &WorkerShared,
    connector: &str,
    config: &Config,
    to: Option<&[TopicOffset]>,
) -> Result<()> {
    let group = client_settings::group(connector, config);
    if let Some(to) = to {
        check_partitions_exist(shared, connector, config, to)?;
    }
    let done = match (to, &shared.options.dev_broker) {
        (Some([]), _) => true,
        (Some(to), None) => sink_group(shared, connector, config)?.commit(to)?,
        (None, None) => admin(shared, config)?.delete_group(&group)?,
        // The development broker cannot delete groups; its topics begin at 0.
        (to, Some(broker)) => {
            let begin = |at| TopicOffset { offset: 0, ..at };
            let all = || {
                Ok::<_, Error>(
                    committed(shared, connector, config)?
                        .into_iter()
                        .map(begin)
                        .collect(),
                )
            };
            let offsets = to.map_or_else(all, |to| Ok(to.to_vec()))?;
            let done = offsets.is_empty()
                || sink_group(shared, connector, config)?.join_and_commit(&offsets)?;
            broker.set_group_offsets(&group, &offsets);
            done
        }
    };
    if done {
        return Ok(());
    }
    let verb = if to.is_some() { "alter" } else { "reset" };
    // Kafka Connect's text.
    Err(Error::retry(format!(
        "Failed to {verb} consumer group offsets for connector {connector} either because its tasks haven't stopped \
         completely yet or the connector was resumed before the request to {verb} its offsets could be successfully \
         completed. If the connector is in a stopped state, this operation can be safely retried. If it doesn't \
         eventually succeed, the Connect cluster may need to be restarted to get rid of the zombie sink tasks. Or \
         another program is a member of group {group}: end it."
    )))
}

/// Checks that the partitions exist. Errors: `Config`, with Kafka Connect's text.
fn check_partitions_exist(
    shared: &WorkerShared,
    connector: &str,
    config: &Config,
    to: &[TopicOffset],
) -> Result<()> {
    let admin = admin(shared, config)?;
    let mut counts: BTreeMap<&str, i32> = BTreeMap::new();
    for at in to {
        let count = match counts.get(&*at.topic) {
            Some(count) => *count,
            None => *counts
                .entry(&at.topic)
                .or_insert(admin.partitions(&at.topic)?.unwrap_or(0)),
        };
        if at.partition >= count {
            tracing::warn!(
                connector,
                topic = &*at.topic,
                partition = at.partition,
                "no such partition"
            );
            let text = format!("Failed to alter consumer group offsets for connector {connector}");
            return Err(Error::config(text));
        }
    }
    Ok(())
}
