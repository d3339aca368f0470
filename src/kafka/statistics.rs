//! librdkafka's own statistics of a client: one parse of what is used of them. Pure.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use connector_api::TopicPartition;
use serde::Deserialize;

use crate::metrics::{ClientReport, PartitionReport};

/// The part of the statistics used here. Source: librdkafka's STATISTICS.md.
#[derive(Deserialize)]
pub(super) struct ClientStatistics<'a> {
    #[serde(borrow)]
    brokers: HashMap<Cow<'a, str>, BrokerStatistics<'a>>,
    #[serde(borrow)]
    cgrp: Option<GroupStatistics<'a>>,
    #[serde(borrow, default)]
    topics: HashMap<Cow<'a, str>, TopicStatistics>,
    /// Bytes of records that a producer has not sent yet.
    #[serde(default)]
    msg_size: u64,
    /// Requests sent, their bytes; responses received, their bytes.
    #[serde(default)]
    tx: u64,
    #[serde(default)]
    tx_bytes: u64,
    #[serde(default)]
    rx: u64,
    #[serde(default)]
    rx_bytes: u64,
}

/// The statistics of a topic.
#[derive(Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: HashMap<String, PartitionStatistics>,
}

/// The statistics of a partition; offsets below 0 are unknown.
#[derive(Deserialize)]
struct PartitionStatistics {
    partition: i32,
    #[serde(default)]
    ls_offset: i64,
    #[serde(default)]
    next_offset: i64,
    /// Records that are fetched and not read yet, and their bytes.
    #[serde(default)]
    fetchq_cnt: u64,
    #[serde(default)]
    fetchq_size: u64,
}

/// The statistics of a consumer's group.
#[derive(Deserialize)]
struct GroupStatistics<'a> {
    /// `up` while requests go to the group's coordinator.
    state: Cow<'a, str>,
}

#[derive(Deserialize)]
struct BrokerStatistics<'a> {
    /// `configured` or `learned` for real brokers; `logical` (a group's coordinator) represents
    /// another broker, `internal` for none.
    source: Cow<'a, str>,
    /// Microseconds since something was last received from the broker; -1 for never.
    rxidle: i64,
    /// `UP` while connected.
    #[serde(borrow, default)]
    state: Cow<'a, str>,
    /// Connections that were tried, successfully or not, and that ended.
    #[serde(default)]
    connects: u64,
    #[serde(default)]
    disconnects: u64,
}

impl<'a> ClientStatistics<'a> {
    /// Parses the statistics.
    pub(super) fn read(statistics: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(statistics)
    }

    /// True if a real broker is known.
    pub(super) fn knows_broker(&self) -> bool {
        let mut brokers = self.brokers.values();
        brokers.any(|broker| matches!(&*broker.source, "configured" | "learned"))
    }

    /// Returns the microseconds since any broker has sent something; `None`: none has yet.
    pub(super) fn idle(&self) -> Option<u64> {
        let idle = |broker: &BrokerStatistics<'_>| u64::try_from(broker.rxidle).ok();
        self.brokers.values().filter_map(idle).min()
    }

    /// True if requests go to the group's coordinator.
    pub(super) fn group_is_up(&self) -> bool {
        self.cgrp.as_ref().is_some_and(|group| group.state == "up")
    }

    /// Returns what metrics show of the client.
    pub(super) fn report(&self) -> ClientReport {
        let sum = |of: fn(&BrokerStatistics<'_>) -> u64| self.brokers.values().map(of).sum();
        let partitions = self.topics.values().flat_map(|it| it.partitions.values());
        let fetched: u64 = partitions.map(|partition| partition.fetchq_size).sum();
        ClientReport {
            connections: sum(|broker| u64::from(broker.state == "UP")),
            requests: self.tx,
            sent_bytes: self.tx_bytes,
            responses: self.rx,
            received_bytes: self.rx_bytes,
            queued_bytes: self.msg_size.saturating_add(fetched),
            connects: sum(|broker| broker.connects),
            disconnects: sum(|broker| broker.disconnects),
        }
    }

    /// Returns how far a consumer is in each partition.
    pub(super) fn partitions(&self) -> Vec<(TopicPartition, PartitionReport)> {
        let mut reports = Vec::new();
        for (name, topic) in &self.topics {
            let name: Arc<str> = Arc::from(&**name);
            // Partition -1 collects what has no partition yet.
            let known = topic.partitions.values();
            for it in known.filter(|it| it.partition >= 0 && it.ls_offset >= 0) {
                let at = TopicPartition {
                    topic: Arc::clone(&name),
                    partition: it.partition,
                };
                let report = PartitionReport {
                    end: it.ls_offset,
                    fetched: it.next_offset,
                    waiting: it.fetchq_cnt,
                };
                reports.push((at, report));
            }
        }
        reports
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_queued_bytes_are_read_from_the_statistics() {
        let text = br#"{"brokers":{},"msg_size":5,"topics":{"a b":{"partitions":{
            "0":{"partition":0,"fetchq_cnt":2,"fetchq_size":70,"next_offset":9,"app_offset":7,"hi_offset":12,"ls_offset":11},
            "1":{"partition":1,"fetchq_cnt":0,"next_offset":0,"app_offset":-1001,"ls_offset":-1001},
            "-1":{"partition":-1,"fetchq_cnt":0,"next_offset":0,"app_offset":-1001,"ls_offset":0}}}}}"#;
        let at = TopicPartition {
            topic: "a b".into(),
            partition: 0,
        };
        let report = PartitionReport {
            end: 11,
            fetched: 9,
            waiting: 2,
        };
        let statistics = ClientStatistics::read(text).unwrap();
        assert_eq!(statistics.partitions(), [(at, report)]);
        assert_eq!(statistics.report().queued_bytes, 75);
        assert!(ClientStatistics::read(b"no statistics").is_err());
    }
}
