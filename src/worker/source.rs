//! A source task. One thread polls and encodes records, a second one writes them to Kafka, so that
//! the database, the encoder and the broker all work at the same time. A bounded channel between
//! the threads holds a few chunks. Polling and encoding share a thread because records share
//! schemas and topics: updating their reference counts from two threads costs more than a third
//! thread gains.
//!
//! After a Kafka failure nothing in memory is trusted: the task is reopened at the stored
//! positions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use connector_api::{Config, Error, ErrorKind, Result, SourceConnector, SourceTask, fail_point};
use tokio::sync::mpsc::{self, UnboundedSender};

use super::codec::{EncodedBatch, RecordCodec};
use super::delivery::{
    CreateTopic, DeliveryEvent, DeliveryThread, STOP_WITHIN, StopSignal, TransactionBoundary,
    is_transient,
};
use super::dlq::{read_topic, refused_topic};
use super::encode::BatchEncoder;
use super::policy::{ErrorStage, Policy, Retry, RetryLimit, Verdict, number};
use super::polling::{SourceLoop, SourceRequests};
use super::source_letters::SourceLetters;
use super::stored_offsets::ConnectorOffsetsReader;
use super::task::{TaskContext, TaskTarget};
use super::thread::{TaskThread, blocking_of, task_span};
use super::topics::TopicRules;
use super::{StartTask, WorkerOptions, WorkerShared, client_settings, offsets};
use crate::kafka::admin::KafkaAdmin;
use crate::kafka::producer::Producer;
use crate::metrics::{ClientPurpose, TaskMetrics};
use crate::waiting::{self, WaitReason};

/// Maximum number of chunks queued for the writer.
const CHUNKS_AHEAD: usize = 2;
/// Maximum number of emptied chunks kept for reuse.
const SPARE_BATCHES: usize = 4;
/// How long a new producer waits for brokers.
const INIT_WITHIN: Duration = Duration::from_secs(30);
/// Default boundary: under backlog, a transaction ends after this time or this many bytes.
const BOUNDARY: TransactionBoundary = TransactionBoundary {
    after: Duration::from_secs(1),
    bytes: 256 * 1024 * 1024,
    idle: true,
};

/// Runs the task until it is asked to stop. After a transient error it starts a new attempt.
pub(super) async fn run(running: &mut TaskContext, source: &dyn SourceConnector) -> Result<()> {
    let policy = Policy::read(&running.start.connector_config)?;
    let mut retry = Retry::default();
    while running.may_work().await {
        let began = Instant::now();
        let Err(SourceAttemptEnd { error, kafka }) = attempt(running, source, policy).await else {
            return Ok(());
        };
        if running.wanted() == TaskTarget::Stop && is_transient(&error) {
            // The next task with this id reads again what is not durable yet.
            tracing::debug!(connector = %running.id().connector, task = running.id().task, %error,
                "an error occurred while the task stopped");
            return Ok(());
        }
        if !running.has_run() || !is_transient(&error) {
            return Err(error);
        }
        retry.reset_if_lasted(began);
        let limit = RetryLimit::for_kafka(kafka);
        match retry.fail(&policy, ErrorKind::Retry, ErrorStage::Produce, limit) {
            Verdict::Retry(wait) => {
                running.warn(&error);
                running.sleep(wait).await;
            }
            Verdict::Skip | Verdict::Fail => return Err(error),
        }
    }
    Ok(())
}

/// Why an attempt ended, and whether Kafka was the cause.
pub(super) struct SourceAttemptEnd {
    error: Error,
    kafka: bool,
}

impl SourceAttemptEnd {
    pub(super) fn of_kafka(error: Error) -> Self {
        Self { error, kafka: true }
    }
}

impl From<Error> for SourceAttemptEnd {
    fn from(error: Error) -> Self {
        Self {
            error,
            kafka: false,
        }
    }
}

/// Runs one attempt: opens the producer and the connector, works until the task is asked to stop,
/// closes both.
async fn attempt(
    running: &mut TaskContext,
    source: &dyn SourceConnector,
    policy: Policy,
) -> Result<(), SourceAttemptEnd> {
    let (events, deliveries) = mpsc::unbounded_channel();
    let (spare, spares) = sync_channel(SPARE_BATCHES);
    let Some(delivery) = open_delivery(running, policy, events, spare)
        .await
        .map_err(SourceAttemptEnd::of_kafka)?
    else {
        return Ok(());
    };
    let is_batch_alone = delivery.boundary.is_each_batch();
    let codec = RecordCodec::open(
        &running.shared.registry,
        &running.shared.options.config,
        &running.start.connector_config,
    )?;
    let letters = SourceLetters::open(
        &running.shared.registry,
        running.id(),
        &running.start.connector_config,
        running.redactor(),
    )?;
    let Some(task) = open_source(running, source, &delivery.stored).await? else {
        return Ok(());
    };
    let (chunks, encoded) = mpsc::channel(CHUNKS_AHEAD);
    let front = Arc::clone(&running.watch.front);
    let metrics = Arc::clone(&running.metrics);
    metrics.update(|task, _| task.attempt_started());
    let encoder = BatchEncoder::new(
        codec,
        (policy, letters),
        is_batch_alone,
        chunks,
        spares,
        (front, metrics),
    );
    let writer = spawn_delivery(running, delivery, encoded)?;
    running.report_paused(false).await;
    let requests = SourceRequests::new(running.requests.take());
    let mut polling = SourceLoop {
        running,
        requests,
        task,
        policy,
        encoder,
        deliveries,
        retry: Retry::default(),
        has_emitted: false,
        poll_began: None,
    };
    let polled = polling.run().await;
    polling.end(writer, polled).await
}

/// Opens what the delivery thread needs. Returns `None` if the task is to stop meanwhile.
async fn open_delivery(
    running: &mut TaskContext,
    policy: Policy,
    events: UnboundedSender<DeliveryEvent>,
    spare: SyncSender<EncodedBatch>,
) -> Result<Option<DeliveryThread>> {
    let (shared, start) = (Arc::clone(&running.shared), running.start.clone());
    let cut = Arc::clone(&running.cut);
    let given_up = Arc::new(AtomicBool::new(false));
    let is_given_up = Arc::clone(&given_up);
    let stopping = StopSignal::new(running.is_to_stop());
    let watch = Arc::clone(&running.watch);
    let place = Arc::clone(&watch.back);
    let metrics = Arc::clone(&running.metrics);
    let mut opening = Box::pin(blocking_of(&watch, WaitReason::Kafka, move || {
        let (producer, stored, transactional) = open(&shared, &start, &metrics, &is_given_up)?;
        let config = &start.connector_config;
        Ok(DeliveryThread {
            producer,
            transactional,
            boundary: boundary(config, shared.options.flush_interval)?,
            offsets_topic: client_settings::offsets_topic(&shared.options, config),
            stored,
            policy,
            create_topic: create_topic(&shared, config)?,
            letters_topic: read_topic(config)?.map(|(wanted, _)| wanted.topic),
            topic_reset: shared.topic_reset.clone(),
            events,
            spare,
            cut,
            stopping,
            place,
            metrics,
        })
    }));
    if let Some(opened) = running.unless_stopped(&mut opening).await {
        return opened.map(Some);
    }
    // `open` may be about to take over the transactional id. It must not do so after a successor
    // has, or it would fence that successor.
    given_up.store(true, Ordering::Relaxed);
    // Wait, but not for ever: Kafka may not answer at all. A successor that is fenced nevertheless
    // starts one more attempt.
    if tokio::time::timeout(STOP_WITHIN, opening).await.is_err() {
        tracing::debug!(connector = %running.id().connector, task = running.id().task, "stopped while it was opened");
    }
    Ok(None)
}

/// Opens the connector's task. Returns `None` if the task is to stop meanwhile.
async fn open_source(
    running: &mut TaskContext,
    source: &dyn SourceConnector,
    stored: &ConnectorOffsetsReader,
) -> Result<Option<Box<dyn SourceTask>>> {
    let config = running.start.task_config.clone();
    running.watch.front.enter(WaitReason::Source);
    let opening = async {
        fail_point::reach_async("source.open").await?;
        source.open(&config, stored).await
    };
    running.unless_stopped(opening).await.transpose()
}

/// Starts the delivery thread, which runs until `encoded` is closed.
fn spawn_delivery(
    running: &TaskContext,
    delivery: DeliveryThread,
    encoded: mpsc::Receiver<EncodedBatch>,
) -> Result<TaskThread<()>> {
    let runtime = running.shared.runtime.clone();
    let name = format!("out-{}", running.id().connector);
    let span = task_span(running.id());
    TaskThread::spawn(&running.watch, &running.watch.back, &name, move || {
        let _entered = span.entered();
        delivery.run(encoded, &runtime)
    })
}

/// Initialises the producer first and reads the stored positions only then: fencing ends every
/// transaction of the predecessor, so the positions cannot change afterwards.
fn open(
    shared: &WorkerShared,
    start: &StartTask,
    metrics: &TaskMetrics,
    given_up: &AtomicBool,
) -> Result<(Producer, ConnectorOffsetsReader, bool)> {
    let (options, config) = (&shared.options, &start.connector_config);
    let transactional = transactional(options, config)?;
    let settings = client_settings::producer(options, &start.id, config, transactional)?;
    let client = metrics.client(ClientPurpose::Producer);
    let producer = Producer::open(&settings, options.dev_broker.as_ref(), Some(client))?;
    if transactional {
        producer.init(INIT_WITHIN, || !given_up.load(Ordering::Relaxed))?;
        waiting::moved();
    }
    let wanted = || match given_up.load(Ordering::Relaxed) {
        true => Err(Error::retry("the task was stopped while it was opened")),
        false => Ok(()),
    };
    wanted()?;
    let topic = client_settings::offsets_topic(options, config);
    if producer.partitions(&topic)?.is_none() {
        offsets::ensure_topic(shared, config)?;
        waiting::moved();
    }
    wanted()?;
    let stored = offsets::stored(shared, &start.id.connector, config)?;
    let stored = stored
        .ok_or_else(|| Error::retry(format!("topic {topic} is not yet known to all brokers")))?;
    Ok((producer, stored, transactional))
}

/// Returns true if records and offsets are written in transactions. Errors: `Config` if the
/// connector requires transactions and the worker has them switched off.
pub(super) fn transactional(options: &WorkerOptions, config: &Config) -> Result<bool> {
    if config
        .get("exactly.once.support")
        .is_some_and(|v| v.trim().eq_ignore_ascii_case("required"))
        && !options.exactly_once_source
    {
        return Err(Error::config(
            "exactly.once.support is required, but exactly-once delivery is disabled on this \
             worker (exactly.once.source.support)",
        ));
    }
    Ok(options.exactly_once_source && options.dev_broker.is_none())
}

/// Reads when transactions end: by time or bytes, or as `transaction.boundary` says (KIP-618).
/// Errors: `Config`.
pub(super) fn boundary(config: &Config, flush_interval: Duration) -> Result<TransactionBoundary> {
    match config
        .get("transaction.boundary")
        .map(|v| v.trim().to_ascii_lowercase())
        .as_deref()
    {
        None => Ok(BOUNDARY),
        Some("poll") => Ok(TransactionBoundary {
            after: Duration::ZERO,
            bytes: 0,
            idle: true,
        }),
        Some("interval") => {
            let interval = number(config, "transaction.boundary.interval.ms")?;
            let after = interval.map_or(flush_interval, |ms| {
                Duration::from_millis(ms.max(1).unsigned_abs())
            });
            Ok(TransactionBoundary {
                after,
                bytes: usize::MAX,
                idle: false,
            })
        }
        Some(_) => Err(Error::config(
            "transaction.boundary must be poll or interval; the connectors of this worker do not \
             define their own transactions",
        )),
    }
}

/// Returns the function that creates a topic before its first record is written. Errors: `Config`.
fn create_topic(shared: &Arc<WorkerShared>, config: &Config) -> Result<CreateTopic> {
    let rules = TopicRules::read(config)?;
    let letters = read_topic(config)?.map(|(wanted, _explain)| wanted);
    if !client_settings::may_create_topics(&shared.options) {
        return Ok(Box::new(|_| Ok(false)));
    }
    let settings = client_settings::admin(&shared.options, Some(config))?;
    let shared = Arc::clone(shared);
    Ok(Box::new(move |topic| {
        let dev = shared.options.dev_broker.clone();
        let admin = KafkaAdmin::open(&settings, dev, shared.runtime.clone())?;
        match letters.as_ref().filter(|letters| letters.topic == topic) {
            Some(letters) => admin.create(letters).map_err(refused_topic)?,
            None => admin
                .create(&rules.topic_spec(topic))
                .map_err(|error| rules.explained(topic, error))?,
        }
        tracing::info!(topic, "topic created");
        shared.created_topics.announce(topic);
        Ok(true)
    }))
}
