//! Settings of the topics that a source creates: `topic.creation.GROUP.SETTING`.

use connector_api::config::near;
use connector_api::{Config, ConfigReport};

use super::{listed_aliases, report_unknown, split_alias};

const FAMILY: &str = "topic.creation.";

/// Keys of a group itself (KIP-158).
const OF_GROUP: &[&str] = &["exclude", "include", "partitions", "replication.factor"];

/// Settings that brokers know (Kafka's `TopicConfig`, versions 2.7 to 4.1).
const OF_TOPIC: &[&str] = &[
    "cleanup.policy",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "delete.retention.ms",
    "file.delete.delay.ms",
    "flush.messages",
    "flush.ms",
    "follower.replication.throttled.replicas",
    "index.interval.bytes",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "max.compaction.lag.ms",
    "max.message.bytes",
    "message.downconversion.enable",
    "message.format.version",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.difference.max.ms",
    "message.timestamp.type",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "min.insync.replicas",
    "preallocate",
    "remote.log.copy.disable",
    "remote.log.delete.on.disable",
    "remote.storage.enable",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "segment.index.bytes",
    "segment.jitter.ms",
    "segment.ms",
    "unclean.leader.election.enable",
];

/// Warns about settings that resemble a known one: the broker would refuse them when the first topic
/// is created. Others may be known to the broker.
pub(super) fn check(config: &Config, report: &mut ConfigReport) {
    let mut groups = listed_aliases(config, "topic.creation.groups");
    groups.push("default");
    for (rest, _) in config.with_prefix(FAMILY).iter() {
        let Some((group, setting)) = split_alias(&groups, rest) else {
            continue;
        };
        let known = || OF_GROUP.iter().chain(OF_TOPIC).copied();
        if known().any(|name| name == setting) {
            continue;
        }
        if let Some(meant) = near(setting, known()) {
            let prefix = format!("{FAMILY}{group}.");
            report_unknown(
                report,
                &format!("{FAMILY}{rest}"),
                &prefix,
                Some(meant),
                false,
            );
        }
    }
}
