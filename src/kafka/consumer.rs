//! Reads records as a member of a consumer group. Lives on one thread, which must keep polling.
//!
//! Partitions come and go inside [`Consumer::poll`]; their owner says where to start and what to commit. Where nothing
//! is stored, the group's offset counts, then `auto.offset.reset`. An offset that the topic no longer holds is an error,
//! never a silent jump.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

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

/// Who the partitions belong to. Called on the polling thread, within [`Consumer::poll`].
pub trait RebalanceListener: Send + Sync {
    /// These partitions are ours now. Returns where to read those of them on that have a stored position.
    fn assigned(&self, partitions: &[TopicPartition]) -> Result<Vec<TopicOffset>>;
    /// These are ours no longer. Returns offsets to commit; none when they are `lost` to somebody else already.
    fn revoked(&self, partitions: &[TopicPartition], lost: bool) -> Vec<TopicOffset>;
}

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// These topics.
    Topics(Vec<String>),
    /// Topics whose whole name matches.
    Pattern(String),
}

/// A consumer whose calls may be left behind.
pub(super) type NativeConsumer = BaseConsumer<ConsumerEvents>;

/// What its events are about.
pub(super) struct ConsumerEvents {
    owner: Arc<dyn RebalanceListener>,
    /// What librdkafka's statistics say.
    pub(super) contact: BrokerContact,
    /// The consumer that this belongs to, for calls that are not waited for for ever.
    consumer: OnceLock<Weak<NativeConsumer>>,
    /// Where to start without any offset; `None` refuses to.
    reset: Option<Offset>,
    /// With the development broker: who has read how far. Records before the first one that it holds were never offered
    /// to anybody: starting there would skip them.
    backlog: Option<Arc<BacklogGroup>>,
    /// Fetching rests. librdkafka keeps a partition paused when it is given up and assigned again, so each assignment
    /// is brought to this.
    paused: AtomicBool,
    /// Where partitions began of which nothing has been committed since. Kafka Connect commits these too, once there
    /// is something to commit: the lag of a partition without records is 0, not unknown.
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
            self.failed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(error);
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

    /// Puts the offset to start from into every element of `list`.
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
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These offsets, and where the partitions began of which nothing was committed; all of them, or those in `only`.
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
                "topic {}, partition {}: the development broker keeps only the last megabytes, and the first {first} records are gone already; \
                 let this sink start before its source, or reset the source's offsets so that it sends them again",
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
            let done = if lost {
                Vec::new()
            } else {
                self.with_begun(&done, Some(&partitions))
            };
            self.begun().retain(|at, _| !partitions.contains(at));
            if !done.is_empty() {
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
    /// Commits offsets of partitions that are being given up. librdkafka waits for the answer without a limit.
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

/// How long the last commit of partitions that are given up may take.
const COMMIT_WITHIN: Duration = Duration::from_secs(3);

/// The offsets that `earliest` and `latest` stand for now. A partition that is to start at its end starts there for
/// good, in `list` too. Those that cannot be told are left out.
fn resolve_offsets(
    consumer: &BaseConsumer<ConsumerEvents>,
    unknown: TopicPartitionList,
    list: &mut TopicPartitionList,
) -> Vec<(TopicPartition, i64)> {
    if unknown.count() == 0 {
        return Vec::new();
    }
    // the brokers take the logical offsets in the place of times
    let told = match consumer.offsets_for_times(unknown.clone(), PATIENCE) {
        Ok(told) => told,
        Err(error) => {
            tracing::debug!(%error, "the offsets to begin with are not known");
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

/// A record as it was read; borrowed from librdkafka's buffers.
pub struct IncomingRecord<'a>(BorrowedMessage<'a>);

impl IncomingRecord<'_> {
    /// Its topic.
    pub fn topic(&self) -> &str {
        self.0.topic()
    }

    /// Its partition.
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    /// Its offset.
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// Its timestamp in milliseconds since 1970-01-01 UTC.
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.0.timestamp().to_millis()
    }

    /// Its key's bytes.
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// Its value's bytes; `None` is a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// Its headers in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0
            .headers()
            .into_iter()
            .flat_map(|headers| headers.iter().map(|h| (h.key, h.value)))
    }
}

/// A consumer. Dropping it leaves the group (the partitions' owner is asked what to commit), and blocks for at most some
/// seconds until that is done.
pub struct Consumer {
    inner: Option<Arc<NativeConsumer>>,
    silence: ConsumerSilence,
    brokers: String,
}

impl Consumer {
    /// Opens a consumer and joins its group in the background. With a `backlog` (the
    /// development broker) it refuses to start at the first record that is held when others were dropped before it.
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

    /// The next record, waiting for it at most that long. Troubles that pass by themselves are waited out.
    /// Errors: `Fatal` for an offset that is gone, `Denied`, what the partitions' owner answers, and `Retry` when this
    /// consumer hears nothing any more, so that only a new one gets on.
    pub fn poll(&self, timeout: Duration) -> Result<Option<IncomingRecord<'_>>> {
        fail_point::reach("consumer.poll")?;
        let inner = self.inner()?;
        let polled = inner.poll(timeout);
        if let Some(error) = inner
            .context()
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            return Err(error);
        }
        match polled {
            None => self.silence.check(&inner.context().contact).map(|()| None),
            Some(Ok(message)) => Ok(Some(IncomingRecord(message))),
            Some(Err(error)) => self.judge(error).map(|()| None),
        }
    }

    /// How long no broker has answered, once that is longer than a consumer ever waits while brokers answer.
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

    /// Names the partition whose position is outside of what its topic holds.
    fn offset_gone_error(&self, cause: &KafkaError) -> Error {
        let choice = "records were deleted, or the topic was made anew; nothing was skipped. Stop the connector, then choose where to go on: \
                      set offsets (PATCH /connectors/NAME/offsets), or reset them (DELETE /connectors/NAME/offsets) to read what is there from its start";
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
            // nothing was read of it yet: it begins where it was to begin, which may be committed already
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
            "the offset to read from is gone: {place}. {choice}"
        ))
    }

    /// A batch that cannot be inflated, or must not be (`native/inflation.c`). Names where reading stands: librdkafka's event
    /// tells neither topic nor offset apart from its text.
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
            "a batch of compressed records cannot be read: it is broken, or it inflates to more than {INFLATED_MAX_MB} MB; reading \
             stands at {places}{more}. Leave it out (PATCH /connectors/NAME/offsets), or let its producer write smaller batches"
        ))
    }

    /// Commits group offsets in the background. Whoever reads the group's lag sees them; failures are only logged.
    pub fn commit(&self, offsets: &[TopicOffset]) {
        let Ok(inner) = self.inner() else { return };
        let offsets = inner.context().with_begun(offsets, None);
        let sent = offset_list(&offsets).and_then(|list| inner.commit(&list, CommitMode::Async));
        if let Err(error) = sent {
            tracing::warn!(error = %error, "group offsets were not committed");
        }
    }

    /// Stops or resumes fetching of every partition, those that are assigned later too; membership goes on as long as
    /// [`Consumer::poll`] does.
    pub fn pause(&self, paused: bool) -> Result<()> {
        let failed = |e| error::of("pausing partitions", e);
        let inner = self.inner()?;
        inner.context().paused.store(paused, Ordering::Relaxed);
        let all = inner.assignment().map_err(failed)?;
        inner.context().pause_or_resume(inner, &all).map_err(failed)
    }
}

/// Positions that an error names.
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
