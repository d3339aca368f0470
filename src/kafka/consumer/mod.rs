//! Reads records as a member of a consumer group. A consumer lives on one thread, which must keep
//! polling.
//!
//! [`Consumer::poll`] returns records and rebalances. Its caller decides where an assigned partition
//! starts ([`Consumer::assign`]) and reports up to where records are written
//! ([`Consumer::written`]). Without a stored offset, the group's committed offset is used, then
//! `auto.offset.reset`. An offset that the topic no longer holds is an error, never a silent jump.

mod assignment;
mod errors;
mod leave;
mod progress;
mod rebalance;
mod record;

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Error, ErrorKind, Result, fail_point};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use super::admin::offset_list;
use super::contact::BrokerContact;
use super::dev::{DevBroker, DevMember};
use super::silence::ConsumerSilence;
use super::{ClientSettings, error};
use crate::metrics::TaskMetrics;
use progress::GroupProgress;
use rebalance::{MemberContext, NativeConsumer};

pub(crate) use progress::{LatestOffsets, list};
pub(crate) use rebalance::Rebalance;
pub(crate) use record::IncomingRecord;

/// How long a refresh of metadata may block.
const METADATA_WITHIN: Duration = Duration::from_secs(1);

/// Which topics to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// These topics.
    Topics(Vec<String>),
    /// All topics whose whole name matches this regular expression.
    Pattern(String),
}

/// What a poll returns.
pub(crate) enum ConsumerEvent<'a> {
    Record(IncomingRecord<'a>),
    /// The assignment changes, once it is answered.
    Rebalance(Rebalance),
}

/// A member of a consumer group. Dropping it closes it and blocks for at most a few seconds;
/// [leave](Consumer::leave) the group before, so that what is written is committed.
pub(crate) struct Consumer {
    inner: Option<Arc<NativeConsumer>>,
    silence: ConsumerSilence,
    brokers: String,
    progress: GroupProgress,
    /// Where to start without any offset; `None` makes that an error.
    reset: Option<Offset>,
    /// Fetching is paused. librdkafka keeps a partition paused when it is revoked and assigned
    /// again, so this is applied to every assignment.
    is_paused: bool,
    dev: Option<DevMember>,
    leaving: Leaving,
}

/// How far a consumer is on its way out of its group.
#[derive(Clone, Copy, Debug, Default)]
struct Leaving {
    /// When [`Consumer::leave`] and the end of the consumer stop waiting.
    until: Option<Instant>,
    unsubscribed: bool,
}

impl Consumer {
    /// Opens a consumer and joins its group in the background. With the development broker, `dev`
    /// makes sources wait for it, and it refuses to start at the first record still held if earlier
    /// ones were dropped. `metrics` receives the client's figures. Errors: `Config`.
    pub(crate) fn open(
        settings: &ClientSettings,
        what: &Subscription,
        dev: Option<&DevBroker>,
        metrics: Arc<TaskMetrics>,
    ) -> Result<Self> {
        let mut settings = settings.clone();
        let reset = settings.get("auto.offset.reset").unwrap_or("earliest");
        let reset = read_offset_reset(reset).map_err(Error::config)?;
        // `assign` decides where to begin. librdkafka must never reset an offset on its own: that
        // would be a silent jump.
        settings.set("auto.offset.reset", "error");
        BrokerContact::ask(&mut settings);
        let brokers = settings.brokers().to_owned();
        let silence = ConsumerSilence::of(&settings);
        let inner: NativeConsumer = settings
            .native()
            .create_with_context(MemberContext::new(metrics))
            .map_err(|e| error::of("opening a Kafka consumer", e))?;
        let subscribed = match what {
            Subscription::Topics(topics) => {
                inner.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())
            }
            Subscription::Pattern(pattern) => inner.subscribe(&[&format!("^({pattern})$")]),
        };
        subscribed.map_err(|e| Error::config(format!("subscribing at {brokers}: {e}")))?;
        Ok(Self {
            inner: Some(Arc::new(inner)),
            silence,
            brokers,
            progress: GroupProgress::default(),
            reset,
            is_paused: false,
            dev: dev.map(|broker| DevMember::join(broker, &settings, what)),
            leaving: Leaving::default(),
        })
    }

    fn inner(&self) -> Result<&Arc<NativeConsumer>> {
        self.inner
            .as_ref()
            .ok_or_else(|| Error::fatal("the consumer is closed"))
    }

    /// Waits up to `timeout` for the next record or rebalance. Transient errors are waited out.
    /// Errors: `Fatal` for an offset that is gone, `Denied`, and `Retry` when this consumer receives
    /// nothing from its brokers any more, so that only a new one recovers.
    pub(crate) fn poll(&self, timeout: Duration) -> Result<Option<ConsumerEvent<'_>>> {
        fail_point::reach("consumer.poll")?;
        let inner = self.inner()?;
        let next_rebalance = || {
            let rebalance = inner.context().next_rebalance(inner);
            rebalance.map(ConsumerEvent::Rebalance)
        };
        if let Some(event) = next_rebalance() {
            return Ok(Some(event));
        }
        match inner.poll(timeout) {
            Some(Ok(message)) => Ok(Some(ConsumerEvent::Record(IncomingRecord(message)))),
            Some(Err(error)) => self.judge(inner, error).map(|()| None),
            // A poll that has collected a rebalance returns nothing else.
            None => match next_rebalance() {
                Some(event) => Ok(Some(event)),
                None => self.silence.check(&inner.context().contact).map(|()| None),
            },
        }
    }

    /// Asks for the cluster's metadata now instead of at the next refresh, and blocks until they
    /// have arrived, for at most [`METADATA_WITHIN`]. Subscribed topics that exist by now are then
    /// part of the next rebalance. librdkafka compares the subscription only with metadata of all
    /// topics.
    pub(crate) fn refresh_metadata(&self) {
        let Ok(inner) = self.inner() else { return };
        if let Err(error) = inner.fetch_metadata(None, METADATA_WITHIN) {
            tracing::debug!(%error, "metadata of {} will be refreshed later", self.brokers);
        }
    }

    /// Polls without waiting, while a rebalance is being answered: to be taken for alive. A rebalance
    /// that comes meanwhile is left to [`Consumer::poll`]. Errors: as that one.
    pub(crate) fn stay_member(&self) -> Result<Option<IncomingRecord<'_>>> {
        let inner = self.inner()?;
        match inner.poll(Duration::ZERO) {
            Some(Ok(message)) => Ok(Some(IncomingRecord(message))),
            Some(Err(error)) => self.judge(inner, error).map(|()| None),
            None => Ok(None),
        }
    }

    /// Returns why this member can take no part in the group any more, if that is so: another client
    /// has joined with its `group.instance.id`, for example.
    pub(crate) fn fatal(&self) -> Option<Error> {
        let (code, reason) = self.inner.as_deref()?.client().fatal_error()?;
        Some(Error::new(
            error::kind(code),
            format!("reading from {}: {reason}", self.brokers),
        ))
    }

    /// Returns until when [`Consumer::leave`] waits, once it was called.
    pub(crate) fn leaves_by(&self) -> Option<Instant> {
        self.leaving.until
    }

    /// Returns how long no broker has answered, if that is longer than any pause while brokers
    /// answer.
    pub(crate) fn unanswered(&self) -> Option<Duration> {
        let inner = self.inner.as_deref()?;
        self.silence.unanswered(&inner.context().contact)
    }

    /// Notes that everything before these offsets is written, for the next commit.
    pub(crate) fn written(&mut self, next: &LatestOffsets) {
        if let Some(dev) = &self.dev {
            dev.written(&list(next));
        }
        self.progress.written(next);
        if let Some(inner) = &self.inner {
            inner.context().written(next);
        }
    }

    /// Commits what was written since the last commit, in the background. Group offsets only serve
    /// readers of the group's lag; failures are logged.
    pub(crate) fn commit(&mut self) {
        let Some(offsets) = self.progress.take_uncommitted() else {
            return;
        };
        let Ok(inner) = self.inner() else { return };
        let sent = offset_list(&offsets).and_then(|list| inner.commit(&list, CommitMode::Async));
        if let Err(error) = sent {
            tracing::warn!(error = %error, "group offsets were not committed");
        }
    }

    /// Pauses or resumes fetching of all partitions, including those assigned later. The consumer
    /// stays a member as long as [`Consumer::poll`] is called.
    pub(crate) fn pause(&mut self, paused: bool) -> Result<()> {
        let failed = |e| error::of("pausing partitions", e);
        self.is_paused = paused;
        let inner = self.inner()?;
        let all = inner.assignment().map_err(failed)?;
        self.pause_or_resume(inner, &all).map_err(failed)
    }

    fn pause_or_resume(
        &self,
        inner: &NativeConsumer,
        partitions: &TopicPartitionList,
    ) -> KafkaResult<()> {
        if self.is_paused {
            inner.pause(partitions)
        } else {
            inner.resume(partitions)
        }
    }

    /// Leaves the group. Returns each rebalance that has to be answered before, and `None` once all
    /// partitions are given up, or after a few seconds. Records that are read meanwhile are dropped:
    /// they are not committed, so the next owner of the partition reads them.
    pub(crate) fn leave(&mut self) -> Option<Rebalance> {
        let inner = Arc::clone(self.inner.as_ref()?);
        let until = *self.leaving.until.get_or_insert_with(leave::deadline);
        loop {
            if let Some(rebalance) = inner.context().next_rebalance(&inner) {
                return Some(rebalance);
            }
            if Instant::now() >= until {
                return None;
            }
            if !self.leaving.unsubscribed && leave::is_safe(&inner, until) {
                inner.unsubscribe();
                self.leaving.unsubscribed = true;
            }
            if self.leaving.unsubscribed && !leave::is_assigned(&inner) {
                return None;
            }
            let wait = if self.leaving.unsubscribed { 20 } else { 200 };
            drop(inner.poll(Duration::from_millis(wait)));
        }
    }

    /// Returns the error that ends reading, if this one does; others are waited out.
    fn judge(&self, inner: &NativeConsumer, error: KafkaError) -> Result<()> {
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                Err(self.offset_gone_error(inner, &error))
            }
            Some(Code::BadCompression) => Err(self.bad_batch_error(inner)),
            Some(code)
                if !matches!(
                    error::kind(code),
                    ErrorKind::Denied | ErrorKind::Config | ErrorKind::Fatal
                ) =>
            {
                tracing::debug!(error = %error, "consumer at {}", self.brokers);
                Ok(())
            }
            None => Ok(()),
            Some(_) => Err(error::of(
                format_args!("reading from {}", self.brokers),
                error,
            )),
        }
    }
}

/// Reads `auto.offset.reset`: where a group without an offset begins; `None` makes that an error.
fn read_offset_reset(text: &str) -> Result<Option<Offset>, &'static str> {
    match text.trim() {
        "earliest" | "smallest" | "beginning" => Ok(Some(Offset::Beginning)),
        "latest" | "largest" | "end" => Ok(Some(Offset::End)),
        "none" | "error" => Ok(None),
        _ => Err("auto.offset.reset must be earliest, latest or none"),
    }
}

/// Returns what is wrong with a value of `auto.offset.reset`.
pub(crate) fn offset_reset_fault(text: &str) -> Option<&'static str> {
    read_offset_reset(text).err()
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if let Some(consumer) = self.inner.take() {
            let until = self.leaving.until.unwrap_or_else(leave::deadline);
            let has_left = self.leaving.unsubscribed && !leave::is_assigned(&consumer);
            leave::close(consumer, has_left, &self.brokers, until);
        }
    }
}
