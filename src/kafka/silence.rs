//! Detects a consumer that receives nothing any more although Kafka answers other clients: whatever
//! the cause inside the client, a new one recovers. An idle consumer is healthy as long as brokers
//! answer it: heartbeats, fetches and metadata requests continue without records, while a group
//! rebalances, and while its topics do not exist. If no client gets an answer, a new consumer would
//! not either.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use connector_api::locks::TakeLock;
use connector_api::{Error, Result};
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::ClientSettings;
use super::background_drop::DropInBackground;
use super::contact::BrokerContact;
use super::context::QuietContext;

/// Added to the time within which an answer is due.
const MARGIN: Duration = Duration::from_secs(5);
/// How long the other client waits for an answer, and how long until the next one asks.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// How long a silent consumer may still recover on its own after another client was answered.
const COME_BACK_WITHIN: Duration = Duration::from_secs(3);

/// `client.id` of the client that asks.
const ASKER: &str = "rowferry-asks";

/// What another client has found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OtherClientFinding {
    NotAsked,
    Asked,
    Silent(Instant),
    Answered(Instant),
}

/// Watches the silence of one consumer.
pub(super) struct ConsumerSilence {
    settings: ClientSettings,
    /// A longer silence is suspicious.
    due: Duration,
    /// A longer silence does not occur while brokers answer within moments.
    noticed_after: Duration,
    others: Arc<Mutex<OtherClientFinding>>,
}

impl ConsumerSilence {
    /// Watches a consumer with these settings.
    pub(super) fn of(settings: &ClientSettings) -> Self {
        let ms = |name, otherwise| Duration::from_millis(settings.number(name, otherwise));
        // The longest pause between requests: heartbeats of a member, or metadata requests for
        // topics that do not exist yet.
        let asks_every = ms("heartbeat.interval.ms", 3000)
            .saturating_mul(2)
            .max(ms(REFRESH, 300_000));
        let noticed_after = asks_every.saturating_add(MARGIN);
        let due = asks_every
            .max(ms("socket.timeout.ms", 10_000))
            .saturating_add(MARGIN);
        let mut settings = settings.clone();
        // This client only asks; it must not join the group.
        settings.remove("group.id");
        settings.remove("statistics.interval.ms");
        settings.set("client.id", ASKER);
        Self {
            settings,
            due,
            noticed_after,
            others: Arc::new(Mutex::new(OtherClientFinding::NotAsked)),
        }
    }

    /// Checks that the consumer still receives data from its brokers; called when a poll returned no record.
    /// Errors: `Retry` when it receives nothing while other clients are answered.
    pub(super) fn check(&self, contact: &BrokerContact) -> Result<()> {
        if contact.is_lost() {
            return Err(self.silence_error("has no connected broker any more"));
        }
        let silent = contact.silent_for() > self.due;
        let mut others = self.others.take_lock();
        match *others {
            OtherClientFinding::Asked => {}
            OtherClientFinding::NotAsked if !silent => {}
            _ if !silent => *others = OtherClientFinding::NotAsked,
            OtherClientFinding::Answered(at) if at.elapsed() < COME_BACK_WITHIN => {}
            OtherClientFinding::Answered(_) => {
                return Err(self.silence_error(
                    "receives nothing any more, although Kafka answers other clients",
                ));
            }
            OtherClientFinding::Silent(at) if at.elapsed() < ASK_WITHIN => {}
            OtherClientFinding::Silent(_) | OtherClientFinding::NotAsked => {
                *others = OtherClientFinding::Asked;
                self.ask();
            }
        }
        Ok(())
    }

    /// Returns how long no broker has answered, if that is longer than any pause while brokers
    /// answer.
    pub(super) fn unanswered(&self, contact: &BrokerContact) -> Option<Duration> {
        Some(contact.silent_for()).filter(|silent| *silent > self.noticed_after)
    }

    fn silence_error(&self, what: &str) -> Error {
        Error::retry(format!(
            "the consumer at {} {what}; a new one is opened",
            self.settings.brokers()
        ))
    }

    /// Lets another client ask, on a thread of its own.
    fn ask(&self) {
        let (settings, others) = (self.settings.clone(), Arc::clone(&self.others));
        let ask = move || {
            let client = settings
                .native()
                .create_with_context::<_, BaseConsumer<_>>(QuietContext::default())
                .map(DropInBackground::new);
            let answered =
                client.is_ok_and(|client| client.client().fetch_cluster_id(ASK_WITHIN).is_some());
            let now = Instant::now();
            let found = if answered {
                OtherClientFinding::Answered(now)
            } else {
                OtherClientFinding::Silent(now)
            };
            *others.take_lock() = found;
        };
        if std::thread::Builder::new()
            .name("kafka-asks".to_owned())
            .spawn(ask)
            .is_err()
        {
            *self.others.take_lock() = OtherClientFinding::Silent(Instant::now());
        }
    }
}

/// How often a client refreshes its metadata.
const REFRESH: &str = "topic.metadata.refresh.interval.ms";
