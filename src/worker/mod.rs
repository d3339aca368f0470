//! Runs tasks: starts, pauses, stops and supervises them, and reports what becomes of them as events.
//!
//! It knows connectors through `connector_api` only, and nothing of REST or of who decided to start a task.

use std::sync::Arc;
use std::time::Duration;

use connector_api::{Config, Error, Position, Progress, TopicOffset};
use tokio::sync::mpsc;

use crate::kafka::dev::Broker;
use crate::registry::{Connector, Registry};

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
pub struct Options {
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
    pub dev_broker: Option<Broker>,
}

/// What to start.
#[derive(Clone)]
pub struct StartTask {
    /// Which task.
    pub id: TaskId,
    /// How many tasks its connector has.
    pub tasks: usize,
    /// The connector.
    pub connector: Connector,
    /// The connector's whole config.
    pub connector_config: Config,
    /// The task's own config, as planned.
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

/// The worker. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    options: Arc<Options>,
    registry: Registry,
    events: mpsc::Sender<TaskEvent>,
}

impl Worker {
    /// A worker without tasks. Every outcome is sent to `events`.
    pub fn new(options: Options, registry: Registry, events: mpsc::Sender<TaskEvent>) -> Self {
        Self { options: Arc::new(options), registry, events }
    }

    /// Starts a task; returns at once, the outcome comes as an event. A task of that id must not be running.
    pub fn start(&self, task: StartTask) {
        let _ = (&self.options, &self.registry, &self.events, task);
    }

    /// Pauses or resumes a running task; unknown ids are ignored.
    pub fn set_paused(&self, id: &TaskId, paused: bool) {
        let _ = (id, paused);
    }

    /// Stops tasks: flush, commit, close, each within `within`; what is not done by then is cut off. Returns when
    /// nothing of them runs any more. Unknown ids are ignored.
    pub async fn stop(&self, ids: &[TaskId], within: Duration) {
        let _ = (ids, within);
    }

    /// Errors that ask for a person's eye though the task runs, and how far each running task has come.
    pub fn progress(&self, id: &TaskId) -> Option<Progress> {
        let _ = id;
        None
    }

    /// The stored offsets of a source connector, from the offsets topic.
    pub async fn source_offsets(&self, connector: &str) -> Result<Vec<Position>, Error> {
        let _ = connector;
        Ok(Vec::new())
    }

    /// Writes source offsets (`None`: forgets them), fencing former producers of the connector's `tasks` tasks.
    pub async fn set_source_offsets(&self, connector: &str, tasks: usize, to: &[Position]) -> Result<(), Error> {
        let _ = (connector, tasks, to);
        Ok(())
    }

    /// The committed offsets of a sink connector's consumer group.
    pub async fn sink_offsets(&self, connector: &str, config: &Config) -> Result<Vec<TopicOffset>, Error> {
        let _ = (connector, config);
        Ok(Vec::new())
    }

    /// Sets committed offsets of a sink's group; `None` as the whole list deletes the group's offsets.
    pub async fn set_sink_offsets(
        &self,
        connector: &str,
        config: &Config,
        to: Option<&[TopicOffset]>,
    ) -> Result<(), Error> {
        let _ = (connector, config, to);
        Ok(())
    }

    /// The Kafka cluster's id, once known.
    pub async fn cluster_id(&self) -> Option<String> {
        None
    }
}
