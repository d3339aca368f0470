//! Reads records as a member of a consumer group. A consumer lives on one thread, which must keep
//! polling.
//!
//! Partitions are assigned and revoked inside [`Consumer::poll`]; the [`RebalanceListener`] decides
//! where to start and what to commit. Without a stored offset, the group's committed offset is
//! used, then `auto.offset.reset`. An offset that the topic no longer holds is an error, never a
//! silent jump.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use connector_api::locks::TakeLock;
use connector_api::{Error, ErrorKind, Result, TopicOffset, TopicPartition, fail_point};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, RebalanceProtocol,
};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::admin::{PATIENCE, offset_list};
use super::background_drop::within;
use super::contact::BrokerContact;
use super::dev::BacklogGroup;
use super::silence::ConsumerSilence;
use super::{ClientSettings, context, error, leave};

/// Decides on offsets when partitions are assigned and revoked. Called on the polling thread,
/// within [`Consumer::poll`].
pub trait RebalanceListener: Send + Sync {
    /// These partitions were assigned. Returns the stored offsets of those that have one.
    fn assigned(&self, partitions: &[TopicPartition]) -> Result<Vec<TopicOffset>>;
    /// These partitions were revoked. Returns the offsets to commit, which are ignored if the
    /// partitions are `lost` to another member already.
    fn revoked(&self, partitions: &[TopicPartition], lost: bool) -> Vec<TopicOffset>;
}

/// Which topics to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// These topics.
    Topics(Vec<String>),
    /// All topics whose whole name matches this regular expression.
    Pattern(String),
}

/// The librdkafka consumer, shared with calls that may be left behind.
pub(super) type NativeConsumer = BaseConsumer<ConsumerEvents>;

/// Handles the events of a consumer.
pub(super) struct ConsumerEvents {
    owner: Arc<dyn RebalanceListener>,
    /// Contact to brokers according to librdkafka's statistics.
    pub(super) contact: BrokerContact,
    /// The consumer these events belong to, for calls with a time limit.
    consumer: OnceLock<Weak<NativeConsumer>>,
    /// Where to start without any offset; `None` makes that an error.
    reset: Option<Offset>,
    /// With the development broker: how far each group has read. Records dropped by the broker were
    /// never read by anybody: starting at the first one that it still holds would skip them.
    backlog: Option<Arc<BacklogGroup>>,
    /// Fetching is paused. librdkafka keeps a partition paused when it is revoked and assigned
    /// again, so this is applied to every assignment.
    paused: AtomicBool,
    /// Start offsets of partitions of which nothing has been committed since. Kafka Connect commits
    /// these too, once there is something to commit: the lag of a partition without records is then
    /// 0, not unknown.
    begun: Mutex<BTreeMap<TopicPartition, i64>>,
    failed: Mutex<Option<Error>>,
}

impl ClientContext for ConsumerEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(error = %error, "consumer: {reason}");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.contact.take_statistics(statistics);
    }
}

impl ConsumerContext for ConsumerEvents {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let outcome = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            _ => self.unassign(consumer, list),
        };
        if let Err(error) = outcome {
            self.failed.take_lock().get_or_insert(error);
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(Code::NoOffset)) => {}
            Err(error) => tracing::warn!(error = %error, "group offsets were not committed"),
        }
    }
}

impl ConsumerEvents {
    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> Result<()> {
        let partitions = partitions_of(list);
        let start = if partitions.is_empty() {
            Ok(())
        } else {
            self.start(consumer, &partitions, list)
        };
        let empty = TopicPartitionList::new();
        // After an error, answer the rebalance with an empty assignment; `poll` returns the error.
        let assigned = if start.is_ok() { &*list } else { &empty };
        let done = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(assigned),
            _ => consumer.assign(assigned),
        };
        let done = done.and_then(|()| self.pause_or_resume(consumer, assigned));
        start.and(done.map_err(|e| error::of("taking over partitions", e)))
    }

    fn pause_or_resume(
        &self,
        consumer: &BaseConsumer<Self>,
        list: &TopicPartitionList,
    ) -> KafkaResult<()> {
        if self.paused.load(Ordering::Relaxed) {
            consumer.pause(list)
        } else {
            consumer.resume(list)
        }
    }

    /// Sets the start offset of every element of `list`.
    fn start(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &[TopicPartition],
        list: &mut TopicPartitionList,
    ) -> Result<()> {
        let mut stored = self.owner.assigned(partitions)?;
        if let Some(backlog) = &self.backlog {
            backlog.retain_known(&mut stored);
        }
        let failed = |e| error::of("reading the group's offsets", e);
        let committed = consumer
            .committed_offsets(list.clone(), PATIENCE)
            .map_err(failed)?;
        let (mut from, mut unknown) = (Vec::new(), TopicPartitionList::new());
        for at in partitions {
            let stored = stored
                .iter()
                .find(|s| s.topic == at.topic && s.partition == at.partition);
            let committed = committed
                .find_partition(&at.topic, at.partition)
                .map(|element| element.offset());
            let offset = match (stored, committed) {
                (Some(stored), _) => Offset::Offset(stored.offset),
                (None, Some(Offset::Offset(offset))) => Offset::Offset(offset),
                _ => self.reset_to(consumer, at)?,
            };
            list.set_partition_offset(&at.topic, at.partition, offset)
                .map_err(failed)?;
            if let Offset::Offset(offset) = offset {
                from.push(TopicOffset {
                    topic: Arc::clone(&at.topic),
                    partition: at.partition,
                    offset,
                });
            } else {
                unknown
                    .add_partition_offset(&at.topic, at.partition, offset)
                    .map_err(failed)?;
            }
        }
        if let Some(backlog) = &self.backlog {
            backlog.read(&from);
        }
        let mut begun = self.begun();
        begun.extend(from.into_iter().map(|at| {
            (
                TopicPartition {
                    topic: at.topic,
                    partition: at.partition,
                },
                at.offset,
            )
        }));
        begun.extend(resolve_offsets(consumer, unknown, list));
        Ok(())
    }

    fn begun(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, i64>> {
        self.begun.take_lock()
    }

    /// Returns these offsets plus the start offsets of partitions without a commit: all of them, or
    /// those in `only`.
    fn with_begun(
        &self,
        offsets: &[TopicOffset],
        only: Option<&[TopicPartition]>,
    ) -> Vec<TopicOffset> {
        let (mut all, mut begun) = (offsets.to_vec(), self.begun());
        begun.retain(|at, _| {
            !offsets
                .iter()
                .any(|o| o.partition == at.partition && o.topic == at.topic)
        });
        if offsets.is_empty() {
            return all;
        }
        begun.retain(|at, offset| {
            let taken = only.is_none_or(|only| only.contains(at));
            if taken {
                all.push(TopicOffset {
                    topic: Arc::clone(&at.topic),
                    partition: at.partition,
                    offset: *offset,
                });
            }
            !taken
        });
        all
    }

    fn reset_to(&self, consumer: &BaseConsumer<Self>, at: &TopicPartition) -> Result<Offset> {
        let Some(reset) = self.reset else {
            let text = "there is no stored offset and auto.offset.reset is none; set an offset (PATCH /connectors/NAME/offsets) or choose earliest or latest";
            return Err(Error::config(format!(
                "topic {}, partition {}: {text}",
                at.topic, at.partition
            )));
        };
        if self.backlog.is_none() {
            return Ok(reset);
        }
        let what = |e| error::of(format_args!("reading offsets of topic {}", at.topic), e);
        let (first, end) = consumer
            .fetch_watermarks(&at.topic, at.partition, PATIENCE)
            .map_err(what)?;
        match reset {
            Offset::Beginning if first > 0 => Err(Error::fatal(format!(
                "topic {}, partition {}: the development broker keeps only the last megabytes, and \
                 the first {first} records have already been deleted; start this sink before its \
                 source, or reset the source's offsets so that it sends them again",
                at.topic, at.partition
            ))),
            Offset::Beginning => Ok(Offset::Offset(first)),
            _ => Ok(Offset::Offset(end)),
        }
    }

    fn unassign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> Result<()> {
        let lost = consumer.assignment_lost();
        let partitions = partitions_of(list);
        if !partitions.is_empty() {
            let done = self.owner.revoked(&partitions, lost);
            // A lost assignment belongs to another member already: commit nothing then.
            let done = if lost {
                Vec::new()
            } else {
                self.with_begun(&done, Some(&partitions))
            };
            self.begun().retain(|at, _| !partitions.contains(at));
            if !done.is_empty() {
                // Commit before unassigning: afterwards another member may own the partitions.
                self.commit_last(&done)?;
            }
        }
        let done = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            _ => consumer.unassign(),
        };
        done.map_err(|e| error::of("giving up partitions", e))
    }
}

impl ConsumerEvents {
    /// Commits offsets of partitions that are being revoked, within [`COMMIT_WITHIN`]: librdkafka
    /// itself waits for the answer without a limit.
    fn commit_last(&self, offsets: &[TopicOffset]) -> Result<()> {
        let offsets = offset_list(offsets).map_err(|e| error::of("committing group offsets", e))?;
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else {
            return Ok(());
        };
        match within(
            COMMIT_WITHIN,
            || true,
            move || consumer.commit(&offsets, CommitMode::Sync),
        ) {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "group offsets were not committed while partitions were given up");
            }
            None => tracing::warn!(
                "group offsets were not committed in time while partitions were given up"
            ),
        }
        Ok(())
    }
}

/// How long the last commit of revoked partitions may take.
const COMMIT_WITHIN: Duration = Duration::from_secs(3);

/// Resolves `earliest` and `latest` to the current offsets; offsets that cannot be
/// resolved are omitted. A partition that starts at its end is pinned to that offset in `list` too.
fn resolve_offsets(
    consumer: &BaseConsumer<ConsumerEvents>,
    unknown: TopicPartitionList,
    list: &mut TopicPartitionList,
) -> Vec<(TopicPartition, i64)> {
    if unknown.count() == 0 {
        return Vec::new();
    }
    // Brokers accept the logical offsets (-1, -2) in place of timestamps.
    let told = match consumer.offsets_for_times(unknown.clone(), PATIENCE) {
        Ok(told) => told,
        Err(error) => {
            tracing::debug!(%error, "the start offsets are not known");
            return Vec::new();
        }
    };
    let mut out = Vec::new();
    for element in told.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let Offset::Offset(offset) = element.offset() else {
            continue;
        };
        let wanted = unknown
            .find_partition(topic, partition)
            .map(|element| element.offset());
        if wanted == Some(Offset::End)
            && list
                .set_partition_offset(topic, partition, Offset::Offset(offset))
                .is_err()
        {
            continue;
        }
        out.push((
            TopicPartition {
                topic: topic.into(),
                partition,
            },
            offset,
        ));
    }
    out
}

fn partitions_of(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let at = |e: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| TopicPartition {
        topic: e.topic().into(),
        partition: e.partition(),
    };
    list.elements().iter().map(at).collect()
}

/// A record as read, borrowed from librdkafka's buffers.
pub struct IncomingRecord<'a>(BorrowedMessage<'a>);

impl IncomingRecord<'_> {
    pub fn topic(&self) -> &str {
        self.0.topic()
    }

    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// Returns the timestamp in milliseconds since 1970-01-01 UTC.
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.0.timestamp().to_millis()
    }

    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// Returns the value's bytes; `None` is a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// Returns the headers in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0
            .headers()
            .into_iter()
            .flat_map(|headers| headers.iter().map(|h| (h.key, h.value)))
    }
}

/// A member of a consumer group. Dropping it leaves the group, after asking the
/// [`RebalanceListener`] what to commit, and blocks for at most a few seconds.
pub struct Consumer {
    inner: Option<Arc<NativeConsumer>>,
    silence: ConsumerSilence,
    brokers: String,
}

impl Consumer {
    /// Opens a consumer and joins its group in the background. With a `backlog` (the development
    /// broker) it refuses to start at the first record still held if earlier ones were dropped.
    /// Errors: `Config`.
    pub fn open(
        settings: &ClientSettings,
        what: &Subscription,
        owner: Arc<dyn RebalanceListener>,
        backlog: Option<Arc<BacklogGroup>>,
    ) -> Result<Self> {
        let mut settings = settings.clone();
        let reset = match settings.get("auto.offset.reset").unwrap_or("earliest") {
            "earliest" | "smallest" | "beginning" => Some(Offset::Beginning),
            "latest" | "largest" | "end" => Some(Offset::End),
            "none" | "error" => None,
            _ => {
                return Err(Error::config(
                    "auto.offset.reset must be earliest, latest or none",
                ));
            }
        };
        // `start` decides where to begin. librdkafka must never reset an offset on its own: that
        // would be a silent jump.
        settings.set("auto.offset.reset", "error");
        BrokerContact::ask(&mut settings);
        let (contact, consumer, paused, begun, failed) = Default::default();
        let context = ConsumerEvents {
            owner,
            contact,
            consumer,
            reset,
            backlog,
            paused,
            begun,
            failed,
        };
        let (brokers, silence) = (
            settings.brokers().to_owned(),
            ConsumerSilence::of(&settings),
        );
        let inner: NativeConsumer = settings
            .native()
            .create_with_context(context)
            .map_err(|e| error::of("opening a Kafka consumer", e))?;
        let inner = Arc::new(inner);
        let _set_once = inner.context().consumer.set(Arc::downgrade(&inner));
        let subscribed = match what {
            Subscription::Topics(topics) => {
                inner.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())
            }
            Subscription::Pattern(pattern) => inner.subscribe(&[&format!("^({pattern})$")]),
        };
        subscribed.map_err(|e| Error::config(format!("subscribing at {brokers}: {e}")))?;
        Ok(Self {
            inner: Some(inner),
            silence,
            brokers,
        })
    }

    fn inner(&self) -> Result<&NativeConsumer> {
        self.inner
            .as_deref()
            .ok_or_else(|| Error::fatal("the consumer is closed"))
    }

    /// Waits up to `timeout` for the next record. Transient errors are waited out. Errors: `Fatal`
    /// for an offset that is gone, `Denied`, the errors of the [`RebalanceListener`], and `Retry`
    /// when this consumer receives nothing from its brokers any more, so that only a new one recovers.
    pub fn poll(&self, timeout: Duration) -> Result<Option<IncomingRecord<'_>>> {
        fail_point::reach("consumer.poll")?;
        let inner = self.inner()?;
        let polled = inner.poll(timeout);
        // A rebalance runs within the poll above, so its error is returned by that same poll.
        if let Some(error) = inner.context().failed.take_lock().take() {
            return Err(error);
        }
        match polled {
            None => self.silence.check(&inner.context().contact).map(|()| None),
            Some(Ok(message)) => Ok(Some(IncomingRecord(message))),
            Some(Err(error)) => self.judge(error).map(|()| None),
        }
    }

    /// Returns how long no broker has answered, if that is longer than any pause while brokers
    /// answer.
    pub fn unanswered(&self) -> Option<Duration> {
        let inner = self.inner.as_deref()?;
        self.silence.unanswered(&inner.context().contact)
    }

    fn judge(&self, error: KafkaError) -> Result<()> {
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                Err(self.offset_gone_error(&error))
            }
            Some(Code::BadCompression) => Err(self.bad_batch_error()),
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

    /// Returns the error for an offset out of range; names the partitions whose position their
    /// topic does not hold.
    fn offset_gone_error(&self, cause: &KafkaError) -> Error {
        let choice = "records were deleted, or the topic was created again; nothing was skipped. Stop the \
             connector, then choose where to continue: set offsets (PATCH \
             /connectors/NAME/offsets), or reset them (DELETE /connectors/NAME/offsets) to read \
             from the beginning";
        let mut outside = Vec::new();
        let Ok(inner) = self.inner() else {
            return Error::fatal(cause.to_string());
        };
        let position = inner.position().unwrap_or_default();
        let committed = inner.committed(Duration::from_secs(3)).unwrap_or_default();
        for element in position.elements() {
            let at = TopicPartition {
                topic: element.topic().into(),
                partition: element.partition(),
            };
            // Without a position nothing was read yet: reading starts at the start offset, which
            // may be committed already.
            let begun = inner.context().begun().get(&at).copied();
            let committed = committed
                .find_partition(element.topic(), element.partition())
                .map(|c| c.offset());
            let ((Offset::Offset(next), ..)
            | (_, Some(next), _)
            | (_, None, Some(Offset::Offset(next)))) = (element.offset(), begun, committed)
            else {
                continue;
            };
            let range = inner.fetch_watermarks(
                element.topic(),
                element.partition(),
                Duration::from_secs(3),
            );
            if let Ok((first, end)) = range
                && (next < first || next > end)
            {
                let (topic, partition) = (element.topic(), element.partition());
                outside.push(format!(
                    "topic {topic}, partition {partition} holds {first} to {end}, not {next}"
                ));
            }
        }
        let place = if outside.is_empty() {
            cause.to_string()
        } else {
            outside.join("; ")
        };
        Error::fatal(format!(
            "the offset to read from does not exist any more: {place}. {choice}"
        ))
    }

    /// Returns the error for a batch that cannot be inflated, or must not be
    /// (`native/inflation.c`). Lists all positions, because librdkafka's event has topic and offset
    /// in its text only.
    fn bad_batch_error(&self) -> Error {
        let position = self
            .inner()
            .and_then(|inner| inner.position().map_err(|e| error::of("reading", e)));
        let begun = |at: &TopicPartition| {
            self.inner()
                .ok()
                .and_then(|inner| inner.context().begun().get(at).copied())
        };
        let place = |e: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let at = TopicPartition {
                topic: e.topic().into(),
                partition: e.partition(),
            };
            let offset = match e.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => begun(&at),
            };
            offset.map(|offset| {
                format!(
                    "topic {}, partition {}, offset {offset}",
                    at.topic, at.partition
                )
            })
        };
        let places: Vec<_> = position.map_or_else(
            |_| Vec::new(),
            |all| all.elements().iter().filter_map(place).collect(),
        );
        let more = if places.len() > PLACES {
            ", or another partition"
        } else {
            ""
        };
        let places = places
            .get(..PLACES.min(places.len()))
            .unwrap_or_default()
            .join(", or ");
        Error::fatal(format!(
            "a batch of compressed records cannot be read: it is corrupt, or it has more than \
             {INFLATED_MAX_MB} MB when decompressed; the read position is {places}{more}. Skip it \
             (PATCH /connectors/NAME/offsets), or configure its producer to write smaller batches"
        ))
    }

    /// Commits group offsets in the background. They only serve readers of the group's lag;
    /// failures are logged.
    pub fn commit(&self, offsets: &[TopicOffset]) {
        let Ok(inner) = self.inner() else { return };
        let offsets = inner.context().with_begun(offsets, None);
        let sent = offset_list(&offsets).and_then(|list| inner.commit(&list, CommitMode::Async));
        if let Err(error) = sent {
            tracing::warn!(error = %error, "group offsets were not committed");
        }
    }

    /// Pauses or resumes fetching of all partitions, including those assigned later. The consumer
    /// stays a member as long as [`Consumer::poll`] is called.
    pub fn pause(&self, paused: bool) -> Result<()> {
        let failed = |e| error::of("pausing partitions", e);
        let inner = self.inner()?;
        inner.context().paused.store(paused, Ordering::Relaxed);
        let all = inner.assignment().map_err(failed)?;
        inner.context().pause_or_resume(inner, &all).map_err(failed)
    }
}

/// Maximum number of positions that an error names.
const PLACES: usize = 5;
/// `BATCH_MAX` of `native/inflation.c`.
const INFLATED_MAX_MB: usize = 64;

impl Drop for Consumer {
    fn drop(&mut self) {
        if let Some(consumer) = self.inner.take() {
            leave::end(consumer, &self.brokers);
        }
    }
}
