//! A sink task. The reading half (`reader.rs`) polls the consumer and hands over batches; the
//! writing half (`writer.rs`) writes them one after the other. `messages.rs` has the messages between
//! them.

mod batch;
mod messages;
mod reader;
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Config, Error, ErrorKind, Result, SinkConnector, SinkTask, fail_point};
use tokio::sync::mpsc;

use super::codec::RecordCodec;
use super::delivery::is_transient;
use super::dlq::DeadLetters;
use super::policy::{ErrorStage, Policy, Retry, RetryLimit, Verdict, number};
use super::seen_topics::SeenTopics;
use super::task::{TaskContext, TaskTarget};
use super::thread::{TaskThread, blocking_of, task_span};
use super::watch::TaskWatch;
use super::{StartTask, WorkerShared, client_settings};
use crate::kafka::consumer::{Consumer, Subscription};
use crate::metrics::TaskMetrics;
use crate::secrets::Redactor;
use crate::waiting::WaitReason;
use batch::{BatchBuilder, SinkBatch};
use messages::{ToReader, ToWriter};
use reader::{ReadState, SinkReader};
use writer::SinkWriter;

/// Default maximum number of records per batch (`consumer.override.max.poll.records`).
const BATCH_ROWS: usize = 4000;
/// How long a reading half whose channel is closed may take to return its result.
const JOINED_WITHIN: Duration = Duration::from_millis(100);

/// Runs the task until it is asked to stop. After a transient error it starts a new attempt.
pub(super) async fn run(running: &mut TaskContext, sink: &dyn SinkConnector) -> Result<()> {
    let policy = Policy::read(&running.start.connector_config)?;
    let mut retry = Retry::default();
    while running.wanted() != TaskTarget::Stop {
        let began = Instant::now();
        let Err(SinkAttemptEnd { error, within }) = attempt(running, sink, policy).await else {
            return Ok(());
        };
        let again = error.kind() == ErrorKind::Fenced
            || within != SinkFailurePlace::Sink && is_transient(&error);
        if running.wanted() == TaskTarget::Stop && again {
            // The next task with this id reads again what is not written yet.
            tracing::debug!(connector = %running.id().connector, task = running.id().task, %error,
                "an error occurred while the task stopped");
            return Ok(());
        }
        if !again || !running.has_run() {
            return Err(error);
        }
        retry.reset_if_lasted(began);
        // Another task took the partitions over; if they still belong to this one, the group
        // assigns them again. Or something that reading needs, such as a schema registry, is
        // unreachable.
        let limit = RetryLimit::for_kafka(within == SinkFailurePlace::Kafka);
        match retry.fail(&policy, ErrorKind::Retry, ErrorStage::Put, limit) {
            Verdict::Retry(wait) => {
                running.warn(&error);
                running.sleep(wait).await;
            }
            Verdict::Skip | Verdict::Fail => return Err(error),
        }
    }
    Ok(())
}

/// Reads which topics a sink connector subscribes to. Errors: `Config`.
pub(super) fn subscription(config: &Config) -> Result<Subscription> {
    let given = |key| {
        config
            .get(key)
            .map(str::trim)
            .filter(|text| !text.is_empty())
    };
    match (given("topics"), given("topics.regex")) {
        (Some(topics), None) => Ok(Subscription::Topics(
            topics
                .split(',')
                .map(|t| t.trim().to_owned())
                .filter(|t| !t.is_empty())
                .collect(),
        )),
        (None, Some(pattern)) => Ok(Subscription::Pattern(pattern.to_owned())),
        _ => Err(Error::config(
            "Must configure one of topics or topics.regex",
        )),
    }
}

/// Why an attempt ended.
struct SinkAttemptEnd {
    error: Error,
    within: SinkFailurePlace,
}

/// Where the error of an attempt occurred.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SinkFailurePlace {
    /// While reaching Kafka or storing dead letters.
    Kafka,
    Reading,
    Sink,
}

impl From<Error> for SinkAttemptEnd {
    fn from(error: Error) -> Self {
        Self {
            error,
            within: SinkFailurePlace::Sink,
        }
    }
}

impl SinkAttemptEnd {
    fn of_kafka(error: Error) -> Self {
        Self {
            error,
            within: SinkFailurePlace::Kafka,
        }
    }
}

/// Runs one attempt: opens the sink and the consumer, works until the task is asked to stop, closes
/// both.
async fn attempt(
    running: &mut TaskContext,
    sink: &dyn SinkConnector,
    policy: Policy,
) -> Result<(), SinkAttemptEnd> {
    let what = subscription(&running.start.connector_config)?;
    let opening = open_sink(
        Arc::clone(&running.shared),
        running.start.clone(),
        Arc::clone(&running.watch),
        (running.redactor(), Arc::clone(&running.metrics)),
        sink,
        policy,
    );
    let Some((letters, task)) = running.unless_stopped(opening).await.transpose()? else {
        return Ok(());
    };
    running.metrics.update(|task, _| task.attempt_started());
    let watch = Arc::clone(&running.watch);
    let (to_writer, from_reader) = mpsc::unbounded_channel();
    let (to_reader, from_writer) = std::sync::mpsc::channel();
    let mut writer = SinkWriter::new(running, task, policy, letters.clone(), to_reader);
    let reader = open_reader(running, &what, policy, letters, to_writer, from_writer);
    let reading = reader.and_then(|reader| {
        let name = format!("in-{}", running.id().connector);
        let span = task_span(running.id());
        TaskThread::spawn(&watch, &watch.back, &name, move || {
            let _entered = span.entered();
            reader.run()
        })
    });
    let outcome = match reading {
        Ok(reading) => work(running, &mut writer, from_reader, reading).await,
        Err(error) => Err(error.into()),
    };
    watch.front.enter(WaitReason::Database);
    let _only_waits = fail_point::reach_async("sink.close").await;
    writer.close().await;
    outcome
}

/// Writes what the reading half reads, until both have ended.
async fn work(
    running: &mut TaskContext,
    writer: &mut SinkWriter,
    from_reader: mpsc::UnboundedReceiver<ToWriter>,
    reading: TaskThread<()>,
) -> Result<(), SinkAttemptEnd> {
    running
        .report_paused(running.wanted() == TaskTarget::Pause)
        .await;
    let written = writer.work(running, from_reader).await;
    // A reading half that does not end in time is left behind; nothing answers its questions.
    let read = tokio::time::timeout(JOINED_WITHIN, reading.join())
        .await
        .unwrap_or(Ok(()));
    written
        .map_err(SinkAttemptEnd::from)
        .and(read.map_err(|error| SinkAttemptEnd {
            error,
            within: SinkFailurePlace::Reading,
        }))
}

/// Opens the dead letters, if the connector has any, and the connector's task.
async fn open_sink(
    shared: Arc<WorkerShared>,
    start: StartTask,
    watch: Arc<TaskWatch>,
    (redactor, metrics): (Redactor, Arc<TaskMetrics>),
    sink: &dyn SinkConnector,
    policy: Policy,
) -> Result<(Option<Arc<DeadLetters>>, Box<dyn SinkTask>), SinkAttemptEnd> {
    watch.front.enter(WaitReason::Kafka);
    let config = shared
        .sink_config(&start.task_config, &start.id.connector)
        .await
        .map_err(SinkAttemptEnd::of_kafka)?;
    let open = move || {
        DeadLetters::open(
            &shared,
            &start.id,
            &start.connector_config,
            redactor,
            metrics,
        )
    };
    let letters = blocking_of(&watch, WaitReason::DeadLetters, open)
        .await
        .map_err(SinkAttemptEnd::of_kafka)?
        .map(Arc::new);
    watch.front.enter(WaitReason::Database);
    fail_point::reach_async("sink.open").await?;
    Ok((letters, sink.open(&config, policy.tolerate).await?))
}

/// Opens the consumer and the codec of the reading half.
fn open_reader(
    running: &TaskContext,
    what: &Subscription,
    policy: Policy,
    dead_letters: Option<Arc<DeadLetters>>,
    to_writer: mpsc::UnboundedSender<ToWriter>,
    from_writer: std::sync::mpsc::Receiver<ToReader>,
) -> Result<SinkReader> {
    let (shared, start): (&WorkerShared, &StartTask) = (&running.shared, &running.start);
    let (options, config) = (&shared.options, &start.connector_config);
    let settings = client_settings::consumer(options, &start.id, config)?;
    let batch_rows = number(config, "consumer.override.max.poll.records")?
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| *n > 0)
        .unwrap_or(BATCH_ROWS);
    // Before the consumer subscribes, so that it misses no topic.
    let new_topics = shared.created_topics.watch(what);
    Ok(SinkReader {
        consumer: Consumer::open(
            &settings,
            what,
            options.dev_broker.as_ref(),
            Arc::clone(&running.metrics),
        )?,
        batch: BatchBuilder {
            codec: RecordCodec::open(&shared.registry, &options.config, config)?,
            policy,
            dead_letters,
            batch_rows,
            events: running.events(),
            seen_topics: SeenTopics::new(shared.topic_reset.clone()),
            id: start.id.clone(),
            metrics: Arc::clone(&running.metrics),
            batch: SinkBatch::default(),
        },
        to_writer,
        from_writer,
        cut: Arc::clone(&running.cut),
        commit_every: options.flush_interval,
        new_topics,
        place: Arc::clone(&running.watch.back),
        state: ReadState::default(),
    })
}
