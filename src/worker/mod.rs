//! Runs tasks: starts, pauses, stops and supervises them, and reports their state changes as
//! events.
//!
//! This module knows connectors only through `connector_api`. It knows nothing of REST or of the
//! herder that decides which tasks run.

mod chain;
mod client_settings;
mod codec;
#[cfg(test)]
pub(crate) mod config_reads;
mod created_topics;
mod delivery;
mod dlq;
mod encode;
mod kafka_health;
mod offsets;
mod policy;
mod polling;
pub(crate) mod preview;
mod records;
mod replay;
mod seen_topics;
mod sink;
pub(crate) mod sink_places;
mod slot_group;
mod source;
mod source_letters;
mod stored_offsets;
mod task;
mod thread;
mod topics;
pub mod trial;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use connector_api::locks::TakeLock;
use connector_api::shown::on_one_line;
use connector_api::{Config, Error, ProgressReport, SourcePosition, TaskRequest, TopicOffset};
use tokio::runtime::Handle as Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use chain::TransformChain;
pub use policy::exception_class;
pub use stored_offsets::ConnectorOffsetsReader;

use created_topics::CreatedTopics;
use kafka_health::KafkaHealth;
pub(crate) use records::{RECORDS_MAX, RecordsWanted, read_offsets};
pub(crate) use replay::LettersOf;
use seen_topics::TopicReset;
pub use task::right_version;
use task::{TaskHandle, TaskTarget};
use thread::blocking;
use watch::StalledTasks;
pub use watch::{StalledTask, WaitsFor, limit as progress_limit};

use crate::kafka::admin::KafkaAdmin;
use crate::kafka::dev::DevBroker;
use crate::kafka::page::{PageStart, PartitionOffsets};
use crate::kafka::producer::Producer;
use crate::metrics::WorkerMetrics;
use crate::model::{
    DeadLetter, DeadLetterPage, LetterPosition, RecordPage, ReplayLetters, ReplayedLetter,
};
use crate::registry::{ConnectorPlugin, Registry};
use crate::secrets::{Redactor, SecretKeys, known};
use crate::settings::{ConfigProviders, ResolvedConfig};

/// How long [`Worker::warm_up`] waits for Kafka before it gives up.
const WARM_UP_WITHIN: Duration = Duration::from_secs(30);

/// One task of one connector.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    pub connector: Arc<str>,
    /// The task's number within its connector, from 0.
    pub task: u32,
}

/// Worker-wide settings that tasks need.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// All worker keys as given, used for client settings (`bootstrap.servers`, `producer.*`,
    /// `consumer.*`, `admin.*`, `security.protocol`, `sasl.*`, `ssl.*`) and default converters
    /// (`key.converter`, `key.converter.*`, …).
    pub config: Config,
    /// `group.id` of the worker group; the first part of every transactional id.
    pub group_id: String,
    /// `offset.storage.topic`: the offsets topic of sources that do not name one of their own.
    pub offset_topic: String,
    /// Number of partitions of the offsets topic if this worker creates it.
    pub offset_partitions: i32,
    /// Replication factor of topics that this worker creates; -1 means the broker's default.
    pub replication_factor: i32,
    /// `offset.flush.interval.ms`.
    pub flush_interval: Duration,
    /// True if sources write records and offsets in one Kafka transaction.
    pub exactly_once_source: bool,
    /// The broker of `rowferry dev`, if this worker uses it. That broker keeps only the last
    /// megabytes of a partition, so sources wait for this worker's own sinks.
    pub dev_broker: Option<DevBroker>,
    /// Resolves `${…}` references in connector configs.
    pub providers: ConfigProviders,
    /// Decides which config values are secret.
    pub secrets: SecretKeys,
    /// `metrics.tables.max`: how many tables or topics of a task metrics show by name.
    pub metrics_tables_max: usize,
}

/// A request to start one task.
#[derive(Clone)]
pub struct StartTask {
    pub id: TaskId,
    /// Number of tasks of the connector.
    pub tasks: usize,
    pub connector: ConnectorPlugin,
    /// The connector's whole config, with `${…}` references unresolved.
    pub connector_config: Config,
    /// The task's own config as planned, with `${…}` references unresolved.
    pub task_config: Config,
    /// True if the task starts paused.
    pub paused: bool,
}

/// A state change of a task.
#[derive(Debug)]
pub enum TaskEvent {
    /// The task is open and works.
    Running(TaskId),
    /// The task is open and idle, because it was paused.
    Paused(TaskId),
    /// The task ended with an error; none of its threads may make anything durable any more.
    Failed(TaskId, Error),
    /// The task ended because it was asked to stop.
    Stopped(TaskId),
    /// The task has read from or written to this topic for the first time.
    Topic(TaskId, Arc<str>),
}

/// State that all tasks of a worker share.
pub struct WorkerShared {
    options: WorkerOptions,
    registry: Registry,
    runtime: Runtime,
    cluster: tokio::sync::OnceCell<String>,
    topic_reset: TopicReset,
    created_topics: CreatedTopics,
    kafka_health: KafkaHealth,
    stalled: StalledTasks,
    metrics: WorkerMetrics,
}

/// Handle to the worker; cheap to clone.
#[derive(Clone)]
pub struct Worker {
    shared: Arc<WorkerShared>,
    events: mpsc::Sender<TaskEvent>,
    tasks: Arc<Mutex<HashMap<TaskId, TaskHandle>>>,
}

impl Worker {
    /// Creates a worker without tasks. Every task event is sent to `events`. Must be called within
    /// a tokio runtime.
    pub fn new(
        options: WorkerOptions,
        registry: Registry,
        events: mpsc::Sender<TaskEvent>,
    ) -> Self {
        let metrics = WorkerMetrics::new(options.metrics_tables_max);
        let shared = WorkerShared {
            options,
            registry,
            runtime: Runtime::current(),
            cluster: tokio::sync::OnceCell::new(),
            topic_reset: TopicReset::default(),
            created_topics: CreatedTopics::default(),
            kafka_health: KafkaHealth::default(),
            stalled: StalledTasks::default(),
            metrics,
        };
        Self {
            shared: Arc::new(shared),
            events,
            tasks: Arc::default(),
        }
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<TaskId, TaskHandle>> {
        self.tasks.take_lock()
    }

    /// Starts a task and returns at once; the outcome arrives as an event. No task with the same id
    /// may be running.
    pub fn start(&self, task: StartTask) {
        let mut tasks = self.tasks();
        tasks.retain(|_, handle| !handle.has_ended());
        let id = task.id.clone();
        tasks.insert(
            id,
            TaskHandle::start(task, Arc::clone(&self.shared), self.events.clone()),
        );
    }

    /// Returns the figures of this worker and of its tasks.
    pub(crate) fn metrics(&self) -> &WorkerMetrics {
        &self.shared.metrics
    }

    /// Returns the number of running tasks.
    pub fn running_count(&self) -> usize {
        self.tasks()
            .values()
            .filter(|task| !task.has_ended())
            .count()
    }

    /// Pauses or resumes a running task. Unknown ids are ignored.
    pub fn set_paused(&self, id: &TaskId, paused: bool) {
        if let Some(task) = self.tasks().get(id) {
            task.want(if paused {
                TaskTarget::Pause
            } else {
                TaskTarget::Run
            });
        }
    }

    /// Returns the milliseconds in which each of the two threads of every running task was busy since
    /// it was started.
    pub(crate) fn busy_times(&self) -> Vec<(TaskId, [u64; 2])> {
        let tasks = self.tasks();
        let running = tasks.iter().filter(|(_, task)| !task.has_ended());
        running
            .map(|(id, task)| (id.clone(), task.busy()))
            .collect()
    }

    /// Makes every task report each topic again with the next record of that topic.
    pub fn forget_topics(&self) {
        self.shared.topic_reset.reset();
    }

    /// Stops tasks: each flushes, commits and closes. Whatever has not ended after `within` is cut
    /// off: it can make nothing durable any more. Returns when all of them have ended or are cut
    /// off. Unknown ids are ignored.
    pub async fn stop(&self, ids: &[TaskId], within: Duration) {
        let stopping: Vec<_> = {
            let mut tasks = self.tasks();
            ids.iter().filter_map(|id| tasks.remove_entry(id)).collect()
        };
        stopping
            .iter()
            .for_each(|(_, task)| task.want(TaskTarget::Stop));
        let until = tokio::time::Instant::now() + within;
        for (id, task) in stopping {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if !task.end(left).await {
                tracing::warn!(connector = %id.connector, task = id.task, "the task did not stop in time and was cut off");
                let _receiver_gone = self.events.send(TaskEvent::Stopped(id)).await;
            }
        }
    }

    /// Returns the warnings of a running task and how far it has come. A warning is an error that
    /// needs attention although the task still runs.
    pub fn progress(&self, id: &TaskId) -> Option<ProgressReport> {
        self.tasks().get(id).map(TaskHandle::progress)
    }

    /// Asks a running task of a source for something, and returns once that is stored. Errors:
    /// `Config` if the request makes no sense for it; `Retry` if the task does not run here, or
    /// starts again meanwhile.
    pub(crate) async fn request(&self, id: &TaskId, request: TaskRequest) -> Result<(), Error> {
        let gone = || Error::retry("the task has ended or starts again: try again");
        let answer = match self.tasks().get(id) {
            Some(task) if !task.has_ended() => task.request(request)?,
            _ => return Err(gone()),
        };
        let answered = answer.await.unwrap_or_else(|_| Err(gone()));
        answered.map_err(|error| match self.tasks().get(id) {
            Some(task) => task.shown(error),
            None => error,
        })
    }

    /// Returns what a running task waits for.
    pub fn waits(&self, id: &TaskId) -> Option<WaitsFor> {
        self.tasks()
            .get(id)
            .filter(|task| !task.has_ended())
            .map(TaskHandle::waits)
    }

    /// Returns the tasks that have work but make no progress, and those that were cut off for that
    /// reason and have not started to work again.
    pub fn stalled_tasks(&self) -> Vec<StalledTask> {
        let mut all = self.shared.stalled.all();
        all.iter_mut().for_each(|one| {
            one.text = known::hide(&on_one_line(&one.text), str::to_owned).into_owned();
        });
        all
    }

    /// Resolves the references in a connector's config. Returns the config that the calls below
    /// take, and the redactor that hides its secrets in error texts. Errors: as
    /// [`ConfigProviders::resolve`].
    pub async fn resolve_config(&self, config: &Config) -> Result<(Config, Redactor), Error> {
        self.shared.resolve_config(config).await
    }

    /// Returns the stored offsets of a source connector, read from its offsets topic.
    pub async fn source_offsets(
        &self,
        connector: &str,
        config: &Config,
    ) -> Result<ConnectorOffsetsReader, Error> {
        let (shared, connector, config) = (
            Arc::clone(&self.shared),
            connector.to_owned(),
            config.clone(),
        );
        Ok(
            blocking(move || offsets::stored(&shared, &connector, &config))
                .await?
                .unwrap_or_default(),
        )
    }

    /// Writes source offsets (`None` deletes one), after fencing earlier producers of the
    /// connector's `tasks` tasks.
    pub async fn set_source_offsets(
        &self,
        connector: &str,
        config: &Config,
        tasks: usize,
        to: &[SourcePosition],
    ) -> Result<(), Error> {
        let (shared, connector, config) = (
            Arc::clone(&self.shared),
            connector.to_owned(),
            config.clone(),
        );
        let to = to.to_vec();
        blocking(move || offsets::set_stored(&shared, &connector, &config, tasks, &to)).await
    }

    /// Returns the committed offsets of a sink connector's consumer group.
    pub async fn sink_offsets(
        &self,
        connector: &str,
        config: &Config,
    ) -> Result<Vec<TopicOffset>, Error> {
        let (shared, connector, config) = (
            Arc::clone(&self.shared),
            connector.to_owned(),
            config.clone(),
        );
        blocking(move || offsets::committed(&shared, &connector, &config)).await
    }

    /// Sets committed offsets of a sink's consumer group. `to: None` deletes all offsets of the
    /// group.
    pub async fn set_sink_offsets(
        &self,
        connector: &str,
        config: &Config,
        to: Option<&[TopicOffset]>,
    ) -> Result<(), Error> {
        let (shared, connector, config) = (
            Arc::clone(&self.shared),
            connector.to_owned(),
            config.clone(),
        );
        let to = to.map(<[_]>::to_vec);
        blocking(move || offsets::set_committed(&shared, &connector, &config, to.as_deref())).await
    }

    /// Returns some records of a topic, decoded with the converters of a resolved config, or `None`
    /// without such a topic. Errors: `Retry`, `Denied`, `Config` for an invalid converter.
    pub(crate) async fn records(
        &self,
        config: Config,
        wanted: RecordsWanted,
    ) -> Result<Option<RecordPage>, Error> {
        let shared = Arc::clone(&self.shared);
        blocking(move || records::read(&shared, &config, &wanted)).await
    }

    /// Returns some dead letters of a connector. Errors: `Config` if it has no such topic, `Retry`,
    /// `Denied`.
    pub(crate) async fn dead_letters(
        &self,
        of: LettersOf,
        start: PageStart,
        limit: usize,
    ) -> Result<DeadLetterPage, Error> {
        let shared = Arc::clone(&self.shared);
        blocking(move || replay::list(&shared, &of, &start, limit)).await
    }

    /// Returns one dead letter with its key and value. Errors: as [`Worker::dead_letters`].
    pub(crate) async fn dead_letter(
        &self,
        of: LettersOf,
        at: LetterPosition,
    ) -> Result<Option<DeadLetter>, Error> {
        let shared = Arc::clone(&self.shared);
        blocking(move || replay::show(&shared, &of, at)).await
    }

    /// Writes dead letters to their topics again. Errors: as [`Worker::dead_letters`]; `Config` for
    /// letters that cannot be replayed together.
    pub(crate) async fn replay_letters(
        &self,
        of: LettersOf,
        wanted: ReplayLetters,
    ) -> Result<Vec<ReplayedLetter>, Error> {
        let shared = Arc::clone(&self.shared);
        blocking(move || replay::replay(&shared, &of, &wanted)).await
    }

    /// Deletes the dead letters before these offsets. Errors: as [`Worker::dead_letters`].
    pub(crate) async fn delete_letters(
        &self,
        of: LettersOf,
        before: PartitionOffsets,
    ) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        blocking(move || replay::delete_before(&shared, &of, &before)).await
    }

    /// Checks that Kafka answers; an answer is reused for a few seconds. Errors: `Retry`, naming
    /// the brokers.
    pub async fn kafka_answers(&self) -> Result<(), Error> {
        self.shared
            .kafka_health
            .check(&self.shared)
            .await
            .map_err(|error| self.shared.options.secrets.of_worker().error(error))
    }

    /// Returns the Kafka cluster's id. Errors: `Retry` when no broker answers, `Denied` when a
    /// broker refuses this worker.
    pub async fn cluster_id(&self) -> Result<String, Error> {
        self.shared
            .reach_kafka()
            .await
            .map_err(|error| self.shared.options.secrets.of_worker().error(error))
    }

    /// Prepares Kafka for sources, so that the first one does not wait: creates the offsets topic
    /// and initialises a transactional producer once. A new cluster has to create and load the
    /// topic of its transaction state first, and librdkafka checks each of these steps only twice a
    /// second. Does nothing with the development broker. Errors: `Retry`, `Denied`, `Config` for a
    /// topic that cannot be created.
    pub async fn warm_up(&self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        if shared.options.dev_broker.is_some() {
            return Ok(());
        }
        let given_up = CancellationToken::new();
        let _when_dropped = given_up.clone().drop_guard();
        blocking(move || {
            if shared.options.exactly_once_source {
                let producer =
                    Producer::open(&client_settings::warm_up(&shared.options)?, None, None)?;
                producer.init(WARM_UP_WITHIN, || !given_up.is_cancelled())?;
            }
            offsets::ensure_topic(&shared, &Config::new())
        })
        .await
    }

    /// Returns a sink connector's config with the cluster key that
    /// [`connector_api::SinkConnector::open`] expects.
    pub async fn sink_config(&self, connector: &str, config: &Config) -> Result<Config, Error> {
        self.shared.sink_config(config, connector).await
    }
}

impl WorkerShared {
    async fn resolve_config(&self, config: &Config) -> Result<(Config, Redactor), Error> {
        let (providers, written) = (self.options.providers.clone(), config.clone());
        let resolved = if providers.is_empty() {
            ResolvedConfig::as_written(written)
        } else {
            blocking(move || providers.resolve(&written)).await?
        };
        let redactor = self.options.secrets.redactor(config, &resolved);
        known::remember(&redactor);
        Ok((resolved.config, redactor))
    }

    /// Returns the Kafka cluster's id and caches the first answer. Errors: `Retry` when no broker
    /// answers, `Denied` when a broker refuses this worker, `Config` for invalid client settings.
    async fn reach_kafka(self: &Arc<Self>) -> Result<String, Error> {
        let shared = Arc::clone(self);
        let ask = move || {
            let options = &shared.options;
            let admin = KafkaAdmin::open(
                &client_settings::admin(options, None)?,
                options.dev_broker.clone(),
                shared.runtime.clone(),
            )?;
            admin
                .cluster_id()?
                .ok_or_else(|| shared.unreachable_error())
        };
        self.cluster
            .get_or_try_init(|| blocking(ask))
            .await
            .cloned()
    }

    /// Adds `task.cluster`, which identifies whose offsets a sink stores: the cluster's id, plus
    /// the consumer group if it is not the connector's default one, because such a group has
    /// offsets of its own.
    async fn sink_config(
        self: &Arc<Self>,
        config: &Config,
        connector: &str,
    ) -> Result<Config, Error> {
        let (cluster, group) = (
            self.reach_kafka().await?,
            client_settings::group(connector, config),
        );
        let usual = client_settings::group(connector, &Config::new());
        let mut config = config.clone();
        config.set(
            "task.cluster",
            if group == usual {
                cluster
            } else {
                format!("{cluster}/{group}")
            },
        );
        Ok(config)
    }

    fn unreachable_error(&self) -> Error {
        let servers = self
            .options
            .config
            .get("bootstrap.servers")
            .unwrap_or_default();
        Error::retry(format!(
            "Kafka cannot be reached at {servers}; check that bootstrap.servers names a broker that runs and can be \
             reached from here"
        ))
    }
}
