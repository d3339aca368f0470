//! Tells from librdkafka's own statistics whether a client is still in contact with brokers.
//!
//! A broker that was away for longer than its session is fenced for a moment after its return, and
//! answers metadata requests with topics but no brokers. librdkafka 2.12 then forgets every broker
//! and never sends a request again (librdkafka issue 5301): such a client is lost, and its owner
//! must open a new one. That is the known case; a client that receives nothing although others do is
//! just as lost, whatever the reason.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use connector_api::TopicPartition;
use connector_api::locks::TakeLock;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use serde::Deserialize;

use super::ClientSettings;
use crate::metrics::{ClientMetrics, ClientReport, OpenClient, PartitionReport};

/// Interval of librdkafka's statistics, in milliseconds.
const TOLD_EVERY: &str = "1000";
/// A client that knows no broker this many times in a row is lost: in between it may be about to
/// recover on its own.
const LOST_AFTER: u32 = 2;

/// The part of the statistics used here. Source: librdkafka's STATISTICS.md.
#[derive(Deserialize)]
struct ClientStatistics<'a> {
    #[serde(borrow)]
    brokers: HashMap<Cow<'a, str>, BrokerStatistics<'a>>,
    #[serde(borrow)]
    cgrp: Option<GroupStatistics<'a>>,
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
    #[serde(default)]
    fetchq_cnt: u64,
}

/// Returns how far a consumer is in each partition, according to its statistics.
pub(super) fn partitions(statistics: &[u8]) -> Vec<(TopicPartition, PartitionReport)> {
    #[derive(Deserialize)]
    struct Statistics<'a> {
        #[serde(borrow, default)]
        topics: HashMap<Cow<'a, str>, TopicStatistics>,
    }
    let Ok(Statistics { topics }) = serde_json::from_slice(statistics) else {
        return Vec::new();
    };
    let mut reports = Vec::new();
    for (name, topic) in topics {
        let topic_name: Arc<str> = Arc::from(&*name);
        // Partition -1 collects what has no partition yet.
        let known = topic.partitions.into_values();
        for it in known.filter(|it| it.partition >= 0 && it.ls_offset >= 0) {
            let at = TopicPartition {
                topic: Arc::clone(&topic_name),
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

impl ClientStatistics<'_> {
    /// Returns what metrics show.
    fn report(&self) -> ClientReport {
        let sum = |of: fn(&BrokerStatistics<'_>) -> u64| self.brokers.values().map(of).sum();
        ClientReport {
            connections: sum(|broker| u64::from(broker.state == "UP")),
            requests: self.tx,
            sent_bytes: self.tx_bytes,
            responses: self.rx,
            received_bytes: self.rx_bytes,
            connects: sum(|broker| broker.connects),
            disconnects: sum(|broker| broker.disconnects),
        }
    }
}

/// A client's contact to its brokers.
pub(super) struct BrokerContact {
    state: Mutex<ContactState>,
    /// Where the client's figures are published; closed with the client.
    metrics: Option<OpenClient>,
}

struct ContactState {
    heard: Instant,
    /// How many times in a row no broker was known.
    without: u32,
    /// Requests go to the group's coordinator.
    group_is_up: bool,
}

impl BrokerContact {
    /// Begins with the opening of a client, whose figures are published at `metrics`.
    pub(super) fn new(metrics: Option<Arc<ClientMetrics>>) -> Self {
        Self {
            state: Mutex::new(ContactState {
                heard: Instant::now(),
                without: 0,
                group_is_up: true,
            }),
            metrics: metrics.map(OpenClient::new),
        }
    }

    /// Notes an error that librdkafka reports.
    pub(super) fn note_error(&self, error: &KafkaError) {
        let code = error.rdkafka_error_code();
        if let (Some(Code::Authentication | Code::SaslAuthenticationFailed), Some(metrics)) =
            (code, &self.metrics)
        {
            metrics.denied();
        }
    }

    /// Enables a client's statistics.
    pub(super) fn ask(settings: &mut ClientSettings) {
        settings.set("statistics.interval.ms", TOLD_EVERY);
    }

    fn state(&self) -> MutexGuard<'_, ContactState> {
        self.state.take_lock()
    }

    /// Updates the state from new statistics.
    pub(super) fn take_statistics(&self, statistics: &[u8]) {
        let statistics: ClientStatistics<'_> = match serde_json::from_slice(statistics) {
            Ok(statistics) => statistics,
            Err(error) => {
                return tracing::debug!(%error, "statistics of librdkafka that cannot be read");
            }
        };
        if let Some(metrics) = &self.metrics {
            metrics.report(statistics.report());
        }
        let real =
            |broker: &&BrokerStatistics<'_>| matches!(&*broker.source, "configured" | "learned");
        let some = statistics.brokers.values().any(|broker| real(&broker));
        let idle = statistics
            .brokers
            .values()
            .filter_map(|broker| u64::try_from(broker.rxidle).ok())
            .min();
        let heard = idle.and_then(|idle| Instant::now().checked_sub(Duration::from_micros(idle)));
        let mut state = self.state();
        state.without = if some {
            0
        } else {
            state.without.saturating_add(1)
        };
        state.group_is_up = statistics.cgrp.is_some_and(|group| group.state == "up");
        state.heard = heard.map_or(state.heard, |heard| heard.max(state.heard));
    }

    /// True if the client knows no broker any more.
    pub(super) fn is_lost(&self) -> bool {
        self.state().without >= LOST_AFTER
    }

    /// True if requests go to the group's coordinator, answered or not.
    pub(super) fn group_is_up(&self) -> bool {
        self.state().group_is_up
    }

    /// Returns how long no broker has answered.
    pub(super) fn silent_for(&self) -> Duration {
        self.state().heard.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(source: &str, rxidle: i64) -> String {
        format!(
            r#"{{"name":"b","nodeid":1,"source":"{source}","state":"UP","rxidle":{rxidle},"toppars":{{}}}}"#
        )
    }

    fn statistics(brokers: &[String]) -> Vec<u8> {
        let brokers: Vec<_> = brokers
            .iter()
            .enumerate()
            .map(|(n, broker)| format!(r#""b{n}":{broker}"#))
            .collect();
        format!(
            r#"{{"type":"consumer","brokers":{{{}}},"topics":{{"t":{{}}}}}}"#,
            brokers.join(",")
        )
        .into_bytes()
    }

    #[test]
    fn a_client_that_knows_no_broker_twice_is_lost_until_it_knows_one() {
        let contact = BrokerContact::new(None);
        let (known, none) = (
            statistics(&[broker("learned", 5)]),
            statistics(&[broker("logical", 5), broker("internal", -1)]),
        );
        contact.take_statistics(&none);
        assert!(!contact.is_lost(), "it may be about to reconnect");
        contact.take_statistics(&known);
        contact.take_statistics(&none);
        assert!(!contact.is_lost());
        contact.take_statistics(&none);
        assert!(contact.is_lost());
        contact.take_statistics(b"no statistics");
        assert!(contact.is_lost());
        contact.take_statistics(&statistics(&[broker("configured", -1)]));
        assert!(!contact.is_lost());
    }

    #[test]
    fn the_position_in_each_partition_is_read_from_the_statistics() {
        let text = br#"{"brokers":{},"topics":{"a b":{"partitions":{
            "0":{"partition":0,"fetchq_cnt":2,"next_offset":9,"app_offset":7,"hi_offset":12,"ls_offset":11},
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
        assert_eq!(partitions(text), [(at, report)]);
        assert_eq!(partitions(b"no statistics"), []);
    }

    #[test]
    fn it_is_silent_since_the_last_broker_said_something() {
        let contact = BrokerContact::new(None);
        std::thread::sleep(Duration::from_millis(30));
        contact.take_statistics(&statistics(&[
            broker("configured", -1),
            broker("learned", 90_000_000),
        ]));
        assert!(
            contact.silent_for() >= Duration::from_millis(30),
            "what was said before it began does not count"
        );
        contact.take_statistics(&statistics(&[
            broker("learned", 90_000_000),
            broker("logical", 1000),
        ]));
        assert!(contact.silent_for() < Duration::from_millis(30));
    }
}
