//! Runs tasks: starts, pauses, stops and supervises them, and reports what becomes of them as events.
//!
//! It knows connectors through `connector_api` only, and nothing of REST or of who decided to start a task.

mod chain;
mod client_settings;
mod codec;
#[cfg(test)]
pub(crate) mod config_reads;
mod delivery;
mod dlq;
mod encode;
mod kafka_health;
mod offsets;
mod policy;
mod seen_topics;
mod sink;
mod sink_reader;
mod source;
mod stored_offsets;
mod task;
mod thread;
mod topics;
pub mod trial;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connector_api::shown::on_one_line;
use connector_api::{Config, Error, ProgressReport, SourcePosition, TopicOffset};
use tokio::runtime::Handle as Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use chain::TransformChain;
pub use policy::exception_class;
pub use stored_offsets::ConnectorOffsetsReader;

use kafka_health::KafkaHealth;
use offsets::DevOffsets;
use seen_topics::TopicReset;
pub use task::right_version;
use task::{TaskHandle, TaskTarget};
use thread::blocking;
use watch::StalledTasks;
pub use watch::{StalledTask, WaitsFor, limit as progress_limit};

use crate::kafka::admin::KafkaAdmin;
use crate::kafka::dev::{Backlog, DevBroker};
use crate::kafka::producer::Producer;
use crate::registry::{ConnectorPlugin, Registry};
use crate::secrets::{Redactor, SecretKeys, known};
use crate::settings::{ConfigProviders, ResolvedConfig};

/// How long Kafka may take to get ready before nobody waits for it any more.
const WARM_UP_WITHIN: Duration = Duration::from_secs(30);

/// One task of one connector.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// The connector's name.
    pub connector: Arc<str>,
    /// Its number, from 0.
    pub task: u32,
}

/// What the worker needs to know to run tasks.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// All worker keys as given, for client settings (`bootstrap.servers`, `producer.*`, `consumer.*`, `admin.*`,
    /// `security.protocol`, `sasl.*`, `ssl.*`) and default converters (`key.converter`, `key.converter.*`, …).
    pub config: Config,
    /// `group.id` of the worker group; the first part of transactional ids.
    pub group_id: String,
    /// `offset.storage.topic`, and its partitions and replication factor where it must be created.
    pub offset_topic: String,
    /// Partitions of the offsets topic when it must be created.
    pub offset_partitions: i32,
    /// Replication factor of topics that must be created; -1 is the broker's default.
    pub replication_factor: i32,
    /// `offset.flush.interval.ms`.
    pub flush_interval: Duration,
    /// Whether sources write records and offsets in one Kafka transaction.
    pub exactly_once_source: bool,
    /// The broker of `rowferry dev`, if that is the one in use. It keeps only the last megabytes of a partition:
    /// sources wait for this worker's own sinks.
    pub dev_broker: Option<DevBroker>,
    /// What `${…}` in the configs of connectors stands for.
    pub providers: ConfigProviders,
    /// What of configs is secret.
    pub secrets: SecretKeys,
}

/// What to start.
#[derive(Clone)]
pub struct StartTask {
    /// Which task.
    pub id: TaskId,
    /// How many tasks its connector has.
    pub tasks: usize,
    /// The connector.
    pub connector: ConnectorPlugin,
    /// The connector's whole config, with references as they are written.
    pub connector_config: Config,
    /// The task's own config, as planned, likewise.
    pub task_config: Config,
    /// Start idle.
    pub paused: bool,
}

/// What became of a task.
#[derive(Debug)]
pub enum TaskEvent {
    /// It is open and working.
    Running(TaskId),
    /// It is open and idle, as asked.
    Paused(TaskId),
    /// It ended by an error; nothing of it runs any more.
    Failed(TaskId, Error),
    /// It ended because it was asked to.
    Stopped(TaskId),
    /// It has read from or written to this topic for the first time.
    Topic(TaskId, Arc<str>),
}

/// What all tasks of a worker share.
pub struct WorkerShared {
    options: WorkerOptions,
    registry: Registry,
    runtime: Runtime,
    memory: Arc<DevOffsets>,
    backlog: Arc<Backlog>,
    cluster: tokio::sync::OnceCell<String>,
    forgotten: TopicReset,
    pulse: KafkaHealth,
    still: StalledTasks,
}

/// The worker. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    shared: Arc<WorkerShared>,
    events: mpsc::Sender<TaskEvent>,
    tasks: Arc<Mutex<HashMap<TaskId, TaskHandle>>>,
}

impl Worker {
    /// A worker without tasks. Every outcome is sent to `events`. Must be called within a tokio runtime.
    pub fn new(
        options: WorkerOptions,
        registry: Registry,
        events: mpsc::Sender<TaskEvent>,
    ) -> Self {
        let shared = WorkerShared {
            options,
            registry,
            runtime: Runtime::current(),
            memory: Arc::default(),
            backlog: Arc::default(),
            cluster: tokio::sync::OnceCell::new(),
            forgotten: TopicReset::default(),
            pulse: KafkaHealth::default(),
            still: StalledTasks::default(),
        };
        Self {
            shared: Arc::new(shared),
            events,
            tasks: Arc::default(),
        }
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<TaskId, TaskHandle>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a task; returns at once, the outcome comes as an event. A task of that id must not be running.
    pub fn start(&self, task: StartTask) {
        let mut tasks = self.tasks();
        tasks.retain(|_, handle| !handle.has_ended());
        let id = task.id.clone();
        tasks.insert(
            id,
            TaskHandle::start(task, Arc::clone(&self.shared), self.events.clone()),
        );
    }

    /// How many tasks run.
    pub fn running_count(&self) -> usize {
        self.tasks()
            .values()
            .filter(|task| !task.has_ended())
            .count()
    }

    /// Pauses or resumes a running task; unknown ids are ignored.
    pub fn set_paused(&self, id: &TaskId, paused: bool) {
        if let Some(task) = self.tasks().get(id) {
            task.want(if paused {
                TaskTarget::Pause
            } else {
                TaskTarget::Run
            });
        }
    }

    /// Makes tasks report the topics they use again, with the next record of each.
    pub fn forget_topics(&self) {
        self.shared.forgotten.reset();
    }

    /// Stops tasks: flush, commit, close, all within `within`; what is not done by then is cut off. Returns when
    /// nothing of them runs any more. Unknown ids are ignored.
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

    /// Errors that ask for a person's eye though the task runs, and how far each running task has come.
    pub fn progress(&self, id: &TaskId) -> Option<ProgressReport> {
        self.tasks().get(id).map(TaskHandle::progress)
    }

    /// What a task waits for, while it runs.
    pub fn waits(&self, id: &TaskId) -> Option<WaitsFor> {
        self.tasks()
            .get(id)
            .filter(|task| !task.has_ended())
            .map(TaskHandle::waits)
    }

    /// Tasks that have work and do not move, and those that were cut off for that and do not work again yet.
    pub fn stalled_tasks(&self) -> Vec<StalledTask> {
        let mut all = self.shared.still.all();
        all.iter_mut().for_each(|one| {
            one.text = known::hide(&on_one_line(&one.text), str::to_owned).into_owned();
        });
        all
    }

    /// A connector's config with its references resolved, which the calls below take, and what takes its secrets out of
    /// their errors. Errors: as [`ConfigProviders::resolve`].
    pub async fn resolve_config(&self, config: &Config) -> Result<(Config, Redactor), Error> {
        self.shared.resolve_config(config).await
    }

    /// The stored offsets of a source connector, from its offsets topic.
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

    /// Writes source offsets (`None`: forgets them), fencing former producers of the connector's `tasks` tasks.
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

    /// The committed offsets of a sink connector's consumer group.
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

    /// Sets committed offsets of a sink's group; `None` as the whole list deletes the group's offsets.
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

    /// Whether Kafka answers now, or did some seconds ago. Errors: `Retry`, naming the brokers.
    pub async fn kafka_answers(&self) -> Result<(), Error> {
        self.shared
            .pulse
            .check(&self.shared)
            .await
            .map_err(|error| self.shared.options.secrets.of_worker().error(error))
    }

    /// The Kafka cluster's id. Errors: `Retry` when no broker answers, `Denied` when one refuses us.
    pub async fn cluster_id(&self) -> Result<String, Error> {
        self.shared
            .reach_kafka()
            .await
            .map_err(|error| self.shared.options.secrets.of_worker().error(error))
    }

    /// Has Kafka get ready for sources, so that the first one does not wait: the offsets topic is created, and what
    /// transactions need (a new cluster makes a topic for them and loads it, and librdkafka asks for each step twice a
    /// second). In development there is nothing to do.
    /// Errors: `Retry`, `Denied`, `Config` for a topic that cannot be made.
    pub async fn warm_up(&self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        if shared.options.dev_broker.is_some() {
            return Ok(());
        }
        let given_up = CancellationToken::new();
        let _when_dropped = given_up.clone().drop_guard();
        blocking(move || {
            if shared.options.exactly_once_source {
                let producer = Producer::open(&client_settings::warm_up(&shared.options)?, None)?;
                producer.init(WARM_UP_WITHIN, || !given_up.is_cancelled())?;
            }
            offsets::ensure_topic(&shared, &Config::new())
        })
        .await
    }

    /// A sink connector's config with what [`connector_api::SinkConnector::open`] adds about the cluster.
    pub async fn sink_config(&self, connector: &str, config: &Config) -> Result<Config, Error> {
        self.shared.sink_config(config, connector).await
    }
}

impl WorkerShared {
    /// What keeps sources from overrunning the development broker, if that is the one in use.
    fn dev_backlog(&self) -> Option<Arc<Backlog>> {
        self.options
            .dev_broker
            .as_ref()
            .map(|_| Arc::clone(&self.backlog))
    }

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

    /// The Kafka cluster's id; asks until it has been told once.
    /// Errors: `Retry` when no broker answers, `Denied` when one refuses us, `Config` for client settings that cannot be.
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

    /// Adds `task.cluster`: whose offsets a sink keeps. A consumer group other than the connector's own has its own.
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
