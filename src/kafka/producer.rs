//! Writes records, with or without transactions. All calls block, so a producer lives on a thread
//! of its own.
//!
//! The outcome of a failed commit is not always known. After any error the producer must be dropped
//! and a new one initialised, which fences whatever the old one still has in flight. No call waits
//! without a limit, and dropping a producer does not block.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use connector_api::locks::TakeLock;
use connector_api::{Error, Result, fail_point};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::util::Timeout;

use super::background_drop::{DropInBackground, within};
use super::contact::BrokerContact;
use super::dev::{DevBroker, DevProducer};
use super::{ClientSettings, admin, context, error};
use crate::metrics::ClientMetrics;

/// One record to write.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingRecord<'a> {
    pub topic: &'a str,
    /// The partition; `None` lets the key decide.
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Milliseconds since 1970-01-01 UTC; `None` means now.
    pub timestamp_ms: Option<i64>,
    pub headers: &'a [(Arc<str>, Option<Vec<u8>>)],
    /// The number that [`Producer::failed_record`] returns for this record; 0 if the caller does
    /// not need it.
    pub number: usize,
}

/// A record that could not be delivered.
struct Failed {
    error: Error,
    number: usize,
    bytes: usize,
}

struct ProducerEvents {
    /// The first delivery failure.
    failed: Mutex<Option<Failed>>,
    /// Number of the record whose error was returned last.
    failed_record: AtomicUsize,
    /// Set when a broker is lost.
    lost: AtomicBool,
    contact: BrokerContact,
    dev: Option<DevProducer>,
    brokers: String,
}

impl ClientContext for ProducerEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.contact.note_error(&error);
        if self.lost.swap(true, Ordering::Relaxed) {
            tracing::debug!(%error, "producer at {}: {reason}", self.brokers);
        } else {
            tracing::warn!(%error, "producer at {}: {reason}", self.brokers);
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.contact.take_statistics(statistics);
    }
}

impl ProducerContext for ProducerEvents {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(message) => {
                if let Some(dev) = &self.dev {
                    dev.delivered(message);
                }
            }
            Err((KafkaError::MessageProduction(Code::PurgeQueue | Code::PurgeInflight), _)) => {}
            Err((cause, message)) => {
                let what = format!("writing to topic {} at {}", message.topic(), self.brokers);
                let mut failed = self.failed.take_lock();
                let bytes = message.key_len() + message.payload_len();
                let first = failed.get_or_insert_with(|| Failed {
                    error: error::of(what, cause.clone()),
                    number,
                    bytes,
                });
                // A broker refuses the whole batch that holds an oversized record: report the
                // largest record of it, since the others are not the cause.
                if bytes > first.bytes {
                    (first.number, first.bytes) = (number, bytes);
                }
            }
        }
    }
}

/// Maximum number of events served per call; polling without an event costs next to nothing.
const SERVED_AT_ONCE: usize = 64;

/// Serves the pending events of a client that is only ever polled.
pub(super) fn serve<C: ProducerContext>(client: &BaseProducer<C>) {
    for _ in 0..SERVED_AT_ONCE {
        client.poll(Duration::ZERO);
    }
}

/// How long an abort may take. After that, the transaction ends with its time-out, or when the next
/// producer with its transactional id is initialised.
const ABORT_WITHIN: Duration = Duration::from_secs(2);
/// Kafka's topic of transaction states. Metadata are asked for it, because those of all topics may be
/// large.
const TRANSACTION_TOPIC: &str = "__transaction_state";

/// How soon `drain` notices that all records are durable.
const FLUSH_SLICE: Duration = Duration::from_millis(1);

/// Default of `batch.size`, the same as librdkafka's.
const BATCH_BYTES: u64 = 1_000_000;

/// Default of `delivery.timeout.ms`, the same as librdkafka's.
const DELIVERY_MS: u64 = 300_000;

/// How much longer than its time-out a librdkafka call may take before it is given up.
const GRACE: Duration = Duration::from_secs(1);

/// A Kafka producer.
pub(crate) struct Producer {
    /// Dropped on a thread of its own by its last owner: closing takes time, and never ends with a
    /// broker that hangs.
    inner: Arc<DropInBackground<BaseProducer<ProducerEvents>>>,
    /// The outcome of a transaction call that takes longer than this is unknown, whatever the call
    /// returns.
    patience: Duration,
    /// How long librdkafka keeps trying to deliver a record.
    delivery: Duration,
    /// A commit was started and its outcome is unknown.
    in_doubt: AtomicBool,
    batch_bytes: usize,
}

impl Producer {
    /// Opens a producer, a transactional one if `settings` contain a `transactional.id`. Connects
    /// in the background. With the development broker, `dev` makes it wait for the sinks that read
    /// its topics. `metrics` receives the client's figures. Errors: `Config`.
    pub(crate) fn open(
        settings: &ClientSettings,
        dev: Option<&DevBroker>,
        metrics: Option<Arc<ClientMetrics>>,
    ) -> Result<Self> {
        let mut settings = settings.clone();
        let dev = dev.map(|broker| DevProducer::open(broker, &mut settings));
        BrokerContact::ask(&mut settings);
        let context = ProducerEvents {
            failed: Mutex::default(),
            failed_record: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
            contact: BrokerContact::new(metrics),
            dev,
            brokers: settings.brokers().to_owned(),
        };
        let patience = Duration::from_millis(settings.number("socket.timeout.ms", 10_000));
        let batch_bytes =
            usize::try_from(settings.number("batch.size", BATCH_BYTES)).unwrap_or(usize::MAX);
        let delivery = Duration::from_millis(settings.number("delivery.timeout.ms", DELIVERY_MS));
        let inner = settings.native().create_with_context(context);
        let inner = Arc::new(DropInBackground::new(
            inner.map_err(|e| error::of("opening a Kafka producer", e))?,
        ));
        Ok(Self {
            inner,
            patience,
            delivery,
            in_doubt: AtomicBool::new(false),
            batch_bytes,
        })
    }

    /// Makes a call that returns only once librdkafka's own thread answers, as all transaction
    /// calls do. `limit` is the call's own time-out. Returns `None` if the call takes longer than
    /// that plus [`GRACE`], or is no longer `wanted`.
    fn call_within<T: Send + 'static>(
        &self,
        limit: Duration,
        wanted: impl Fn() -> bool,
        call: impl FnOnce(&BaseProducer<ProducerEvents>) -> T + Send + 'static,
    ) -> Option<T> {
        let inner = Arc::clone(&self.inner);
        within(limit + GRACE, wanted, move || call(inner.deref().deref()))
    }

    fn context(&self) -> &ProducerEvents {
        self.inner.client().context()
    }

    fn failure(&self, what: &str, error: KafkaError) -> Error {
        error::of(format_args!("{what} at {}", self.context().brokers), error)
    }

    /// Returns the number of partitions of a topic, or `None` if it does not exist. Errors:
    /// `Retry`, `Denied`.
    pub(crate) fn partitions(&self, topic: &str) -> Result<Option<i32>> {
        fail_point::reach("producer.partitions")?;
        admin::partitions(self.inner.client(), &self.context().brokers, topic)
    }

    /// Waits for a topic that has just been created and returns its number of partitions. Errors:
    /// `Retry`, `Denied`.
    pub(crate) fn await_topic(&self, topic: &str) -> Result<i32> {
        admin::await_topic(topic, &self.context().brokers, || self.partitions(topic))
    }

    /// Waits until a broker of the cluster is connected, for at most `limit` twice: without one,
    /// librdkafka starts transactions only half a second later. The first answer comes from a
    /// bootstrap connection, which librdkafka closes when it knows the brokers; so the second
    /// one is from a broker that stays.
    fn connect(&self, limit: Duration) {
        for _ in 0..2 {
            let answer = self
                .inner
                .client()
                .fetch_metadata(Some(TRANSACTION_TOPIC), limit);
            if answer.is_err() {
                return;
            }
        }
    }

    /// Takes over the transactional id: fences earlier producers that use it and aborts their open
    /// transactions. Retries while `wanted`, for at most `within`. Errors: `Retry` when Kafka is
    /// unreachable.
    pub(crate) fn init(&self, within: Duration, wanted: impl Fn() -> bool) -> Result<()> {
        const ONE_TRY: Duration = Duration::from_secs(1);
        fail_point::reach("producer.init")?;
        let began = Instant::now();
        self.connect(within.min(ONE_TRY));
        loop {
            if !wanted() {
                return Err(Error::retry("starting transactions was abandoned"));
            }
            let limit = within.saturating_sub(began.elapsed()).min(ONE_TRY);
            // The limit is far longer than the call's time-out, because a call that was given up
            // cannot be resumed.
            match self.call_within(
                limit + self.patience,
                || true,
                move |inner| inner.init_transactions(limit),
            ) {
                Some(Ok(())) => return Ok(()),
                Some(Err(KafkaError::Transaction(e)))
                    if e.is_retriable() && began.elapsed() < within =>
                {
                    self.inner.poll(Duration::from_millis(50));
                    self.check_brokers_known()?;
                }
                Some(Err(error)) => return Err(self.failure("starting transactions", error)),
                None => return Err(self.unanswered("starting transactions")),
            }
        }
    }

    /// Returns `Retry` if this producer knows no broker any more: only a new producer recovers.
    fn check_brokers_known(&self) -> Result<()> {
        if self.context().contact.is_lost() {
            let brokers = &self.context().brokers;
            return Err(Error::retry(format!(
                "the producer has lost the brokers at {brokers}; a new one is opened"
            )));
        }
        Ok(())
    }

    fn unanswered(&self, what: &str) -> Error {
        Error::retry(format!(
            "{what} at {}: no answer in time",
            self.context().brokers
        ))
    }

    /// Begins a transaction.
    pub(crate) fn begin(&self) -> Result<()> {
        fail_point::reach("producer.begin")?;
        if let Some((code, reason)) = self.inner.client().fatal_error() {
            return Err(error::of_code(
                format_args!("beginning a transaction: {reason}"),
                code,
            ));
        }
        self.serve();
        self.check_brokers_known()?;
        self.context().lost.store(false, Ordering::Relaxed);
        match self.call_within(self.patience, || true, BaseProducer::begin_transaction) {
            Some(begun) => begun.map_err(|e| self.failure("beginning a transaction", e)),
            None => Err(self.unanswered("beginning a transaction")),
        }
    }

    /// Hands over one record. Waits while the queue is full (with the development broker: while
    /// sinks lag behind), as long as `go_on` returns true.
    /// Errors: that of the record, that of an earlier record that was not delivered, or `Retry` if
    /// `go_on` returned false.
    pub(crate) fn send(&self, record: OutgoingRecord<'_>, go_on: impl Fn() -> bool) -> Result<()> {
        if let Some(dev) = &self.context().dev {
            dev.wait_for_sinks(&record, || {
                self.serve();
                go_on()
            });
        }
        let mut base: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(record.topic, record.number);
        base.partition = record.partition;
        base.key = record.key;
        base.payload = record.value;
        base.timestamp = record.timestamp_ms;
        if !record.headers.is_empty() {
            base.headers = Some(headers(record.headers));
        }
        loop {
            match self.inner.send(base) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    base = back;
                    if !go_on() {
                        return Err(Error::retry(format!(
                            "topic {}: stopped while the queue was full",
                            record.topic
                        )));
                    }
                    self.inner.poll(Duration::from_millis(5));
                    self.check()?;
                }
                Err((error, _)) => {
                    return Err(self.failure(&format!("writing to topic {}", record.topic), error));
                }
            }
        }
    }

    /// Returns the size of a full batch for one partition in bytes (`batch.size`).
    pub(crate) fn batch_bytes(&self) -> usize {
        self.batch_bytes
    }

    /// Returns how many of the records handed over are not known to be durable yet.
    pub(crate) fn in_flight(&self) -> usize {
        usize::try_from(self.inner.in_flight_count()).unwrap_or(0)
    }

    /// Serves acknowledgements and reports of lost brokers, which would pile up otherwise.
    pub(crate) fn serve(&self) {
        serve(&self.inner);
    }

    /// Serves acknowledgements. Errors: that of a record that was not delivered, or `Retry` when
    /// all brokers are lost.
    pub(crate) fn check(&self) -> Result<()> {
        self.inner.poll(Duration::ZERO);
        match self.context().failed.take_lock().take() {
            None => self.check_brokers_known(),
            Some(Failed { error, number, .. }) => {
                self.context()
                    .failed_record
                    .store(number, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// Returns the number of the record whose error [`Producer::check`] returned last; 0 for none.
    pub(crate) fn failed_record(&self) -> usize {
        self.context().failed_record.load(Ordering::Relaxed)
    }

    /// Waits until all records are durable, while `wanted`. Errors: that of the first record that
    /// was not delivered, or `Retry` on a time-out.
    pub(crate) fn flush(&self, within: Duration, wanted: impl Fn() -> bool) -> Result<()> {
        fail_point::reach("producer.flush")?;
        self.drain(Instant::now() + within, wanted)
    }

    /// Flushes in slices: librdkafka has no event for the last acknowledgement, so a single long
    /// flush would end with its time-out instead.
    fn drain(&self, deadline: Instant, wanted: impl Fn() -> bool) -> Result<()> {
        while self.in_flight() > 0 {
            let flushed = self.inner.flush(Timeout::After(FLUSH_SLICE));
            self.check()?;
            if Instant::now() >= deadline || !wanted() {
                return flushed.map_err(|e| self.failure("waiting for acknowledgements", e));
            }
        }
        self.check()
    }

    /// Commits the transaction, waiting while `wanted`. After any error the outcome may be unknown:
    /// drop this producer. Errors: that of a record, `Retry`, `Fenced`.
    pub(crate) fn commit(&self, wanted: impl Fn() -> bool) -> Result<()> {
        let what = "committing a transaction";
        self.drain(Instant::now() + self.delivery + GRACE, &wanted)?;
        if self.in_flight() > 0 {
            return Err(self.unanswered(what));
        }
        let (began, patience) = (Instant::now(), self.patience);
        // Set before the commit is sent: from here on `abort` must leave the transaction alone.
        self.in_doubt.store(true, Ordering::Relaxed);
        let commit = move |inner: &BaseProducer<ProducerEvents>| {
            let reached = fail_point::reach("producer.commit");
            reached.map(|()| inner.commit_transaction(Timeout::After(patience)))
        };
        let outcome = self
            .call_within(patience, wanted, commit)
            .ok_or_else(|| self.unanswered(what))??;
        self.check()?;
        outcome.map_err(|e| self.failure(what, e))?;
        if began.elapsed() > patience || self.context().lost.load(Ordering::Relaxed) {
            let text =
                "a broker was lost during the commit of a transaction; its outcome is queried";
            return Err(Error::retry(text));
        }
        self.in_doubt.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Aborts the transaction if that can be done quickly; the [`Producer::init`] of a new producer
    /// does the rest. A transaction that may have been committed is left entirely to that.
    pub(crate) fn abort(&self) {
        self.inner.purge(PurgeConfig::default().queue().inflight());
        if self.in_doubt.load(Ordering::Relaxed) {
            return;
        }
        // librdkafka aborts only after it has reported every purged record as lost.
        let until = Instant::now() + ABORT_WITHIN;
        while self.in_flight() > 0 && Instant::now() < until {
            self.inner.poll(FLUSH_SLICE);
        }
        match self.call_within(
            ABORT_WITHIN,
            || true,
            |inner| inner.abort_transaction(ABORT_WITHIN),
        ) {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%error, "aborting a transaction"),
            None => tracing::debug!("aborting a transaction: no answer in time"),
        }
    }
}

fn headers(given: &[(Arc<str>, Option<Vec<u8>>)]) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(given.len());
    given.iter().fold(empty, |all, (key, value)| {
        all.insert(Header {
            key,
            value: value.as_deref(),
        })
    })
}
