//! Tells from librdkafka's own statistics whether a client is still in contact with brokers.
//!
//! A broker that was away for longer than its session is fenced for a moment after its return, and
//! answers metadata requests with topics but no brokers. librdkafka 2.12 then forgets every broker
//! and never sends a request again (librdkafka issue 5301): such a client is lost, and its owner
//! must open a new one. That is the known case; a client that receives nothing although others do is
//! just as lost, whatever the reason.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use connector_api::locks::TakeLock;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::ClientSettings;
use super::statistics::ClientStatistics;
use crate::metrics::{ClientMetrics, OpenClient};

/// Interval of librdkafka's statistics, in milliseconds.
const TOLD_EVERY: &str = "1000";
/// A client that knows no broker this many times in a row is lost: in between it may be about to
/// recover on its own.
const LOST_AFTER: u32 = 2;

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

    /// Updates the state from new statistics, and returns them; `None` if they cannot be read.
    pub(super) fn take_statistics<'a>(&self, statistics: &'a [u8]) -> Option<ClientStatistics<'a>> {
        let statistics = ClientStatistics::read(statistics)
            .inspect_err(|error| {
                tracing::debug!(%error, "statistics of librdkafka that cannot be read");
            })
            .ok()?;
        if let Some(metrics) = &self.metrics {
            metrics.report(statistics.report());
        }
        let idle = statistics.idle().map(Duration::from_micros);
        let heard = idle.and_then(|idle| Instant::now().checked_sub(idle));
        let mut state = self.state();
        state.without = if statistics.knows_broker() {
            0
        } else {
            state.without.saturating_add(1)
        };
        state.group_is_up = statistics.group_is_up();
        state.heard = heard.map_or(state.heard, |heard| heard.max(state.heard));
        drop(state);
        Some(statistics)
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
        assert!(contact.take_statistics(b"no statistics").is_none());
        assert!(contact.is_lost());
        contact.take_statistics(&statistics(&[broker("configured", -1)]));
        assert!(!contact.is_lost());
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
