//! The types of the store: changes, stored connectors, versions of configs, and options.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use connector_api::Config;
use serde::{Deserialize, Serialize};

use crate::model::{RunStatus, TargetState};

/// Location and settings of the store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `sqlite:path` (created if absent), `sqlite::memory:`, `mysql://…`, `mariadb://…` or
    /// `postgres://…`.
    pub url: String,
    /// `rowferry.data.dir`: folder of the key file if the store is on a database server.
    pub data_dir: PathBuf,
    /// `rowferry.secrets.key`: key that encrypts configs; without one, the key file's is used.
    pub secrets_key: Option<String>,
    /// `rowferry.secrets.forget`: id of a lost key whose configs are to be deleted.
    pub forget_key: Option<String>,
    /// How much of the config history is kept.
    pub history: HistoryLimits,
    /// This worker, if it shares the store with others; `None` reserves the store for it alone.
    pub member: Option<StoreMember>,
}

/// A worker that shares the store with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreMember {
    /// `host:port` of the worker.
    pub id: String,
    /// Identifies this start of the worker.
    pub instance: String,
    /// URL of its REST API.
    pub url: String,
    /// `group.id`; all workers on a store have the same.
    pub group_id: String,
    /// Number of slots if this is the first worker of the store.
    pub slots: u16,
}

impl StoreOptions {
    /// Options for this URL and folder, with defaults for everything else.
    pub fn new(url: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        let (url, data_dir) = (url.into(), data_dir.into());
        Self {
            url,
            data_dir,
            secrets_key: None,
            forget_key: None,
            history: HistoryLimits::default(),
            member: None,
        }
    }
}

/// Limits of the config history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// `rowferry.history.versions`: maximum number of configs of one connector.
    pub versions: i64,
    /// `rowferry.history.total`: maximum number of configs of all connectors together. The latest
    /// config of an existing connector is always kept.
    pub total: usize,
    /// `rowferry.history.deleted.retention.ms`: how long the configs of a deleted connector are
    /// kept, in milliseconds.
    pub deleted_ms: i64,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            versions: 100,
            total: 10_000,
            deleted_ms: 30 * 24 * 60 * 60 * 1000,
        }
    }
}

/// One change of the store.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are what their names say")]
pub enum StoreChange {
    /// Stores a new connector with its first config and target state.
    Create {
        name: Arc<str>,
        config: Config,
        target: TargetState,
        slot: u16,
    },
    /// Replaces the config of a connector and deletes the task configs made from the old one.
    Replace {
        name: Arc<str>,
        config: Config,
    },
    SetTarget {
        name: Arc<str>,
        target: TargetState,
    },
    /// Deletes a connector with its tasks, statuses and topics; its history is kept for a time.
    Delete {
        name: Arc<str>,
    },
    /// Replaces all task configs of a connector and deletes the statuses of tasks beyond them.
    /// `revision` is that of the config which they were planned from. In a shared store the tasks
    /// of these numbers are shown as restarting until the worker that runs one has ended it.
    SetTasks {
        name: Arc<str>,
        revision: u64,
        replaced: Vec<u32>,
        tasks: Vec<StoredTask>,
    },
    /// Stores the status of a connector (`task` is `None`) or of a task.
    SetStatus {
        name: Arc<str>,
        task: Option<u32>,
        status: RunStatus,
    },
    /// Stores a topic that a connector has used.
    AddTopic {
        name: Arc<str>,
        topic: Arc<str>,
    },
    /// Deletes a connector's topics.
    ResetTopics {
        name: Arc<str>,
    },
    /// Asks the owners of a connector and of these tasks to restart them, and shows them as
    /// restarting.
    Restart {
        name: Arc<str>,
        connector: bool,
        tasks: Vec<u32>,
    },
    /// Moves a task, or the connector itself (`task` is `None`), from one slot to another, if it is
    /// still there.
    MoveTask {
        name: Arc<str>,
        task: Option<u32>,
        from: u16,
        to: u16,
    },
    /// Makes the worker with this id give its tasks away and take no new ones, or not any more.
    Drain {
        name: Arc<str>,
        draining: bool,
    },
    /// Shows a part that this worker no longer runs as unassigned, unless another worker has
    /// taken it over.
    Release {
        name: Arc<str>,
        task: Option<u32>,
        worker_id: Arc<str>,
    },
}

impl StoreChange {
    /// Returns the name of the connector concerned, or the id of the worker.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Create { name, .. }
            | Self::Replace { name, .. }
            | Self::SetTarget { name, .. }
            | Self::Delete { name }
            | Self::SetTasks { name, .. }
            | Self::SetStatus { name, .. }
            | Self::AddTopic { name, .. }
            | Self::ResetTopics { name }
            | Self::Restart { name, .. }
            | Self::MoveTask { name, .. }
            | Self::Drain { name, .. }
            | Self::Release { name, .. } => name,
        }
    }
}

/// A connector as stored.
#[derive(Clone, Debug)]
pub struct StoredConnector {
    /// Unique name.
    pub name: Arc<str>,
    /// Config as given, references unresolved.
    pub config: Config,
    /// The state that the user asked for.
    pub target: TargetState,
    /// Who runs the connector itself: the owner of this slot.
    pub slot: u16,
    /// When it was created, in milliseconds since 1970-01-01 UTC: a connector that is created again
    /// is another one.
    pub created_ms: i64,
    /// Number of the config. In a shared store a stop counts too, because it ends all tasks.
    pub revision: u64,
    /// Number of the config that the tasks were planned from; `None` if no plan was stored.
    pub planned: Option<u64>,
    /// How often a restart was asked for.
    pub restarts: u64,
    /// Tasks of the last plan.
    pub tasks: Vec<StoredTask>,
    /// Last status of the connector itself.
    pub status: Option<RunStatus>,
    /// Last status of each task that has one.
    pub task_statuses: BTreeMap<u32, RunStatus>,
    /// Topics that the connector has used.
    pub topics: BTreeSet<Arc<str>>,
}

/// A task as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTask {
    /// The config as planned.
    pub config: Config,
    /// Who runs the task: the owner of this slot.
    pub slot: u16,
    /// How often a restart was asked for.
    pub restarts: u64,
}

/// A task in the first slot.
impl From<Config> for StoredTask {
    fn from(config: Config) -> Self {
        Self {
            config,
            slot: 0,
            restarts: 0,
        }
    }
}

impl StoredConnector {
    /// Returns a connector that has run nothing yet.
    pub fn new(name: impl Into<Arc<str>>, config: Config, target: TargetState) -> Self {
        Self {
            name: name.into(),
            config,
            target,
            slot: 0,
            created_ms: 0,
            revision: 0,
            planned: None,
            restarts: 0,
            tasks: Vec::new(),
            status: None,
            task_statuses: BTreeMap::new(),
            topics: BTreeSet::new(),
        }
    }
}

/// The status of a connector (`task` is `None`) or a task as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredStatus {
    /// The connector's name.
    pub name: Arc<str>,
    /// The task's number.
    pub task: Option<u32>,
    /// Its status.
    pub status: RunStatus,
}

/// What a worker that shares the store needs to know of it.
#[derive(Clone, Debug)]
pub struct StoreSnapshot {
    /// All connectors.
    pub connectors: Vec<StoredConnector>,
    /// The id of the worker that owns each slot.
    pub slots: BTreeMap<u16, Arc<str>>,
    /// The workers that have registered, including those that have ended without a sign.
    pub workers: Vec<StoredWorker>,
}

/// What has changed in a shared store since it was last read.
#[derive(Clone, Debug)]
pub enum StoreNews {
    /// Nothing.
    Nothing,
    /// Only statuses; these are all.
    Statuses(Vec<StoredStatus>),
    /// Anything.
    Everything(StoreSnapshot),
}

/// How busy a worker has found its tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerBusy {
    /// Number of processors that it may use.
    pub processors: f64,
    /// Connector, task, and the share of the time in which the task works, from 0 to 1.
    pub tasks: Vec<(String, u32, f64)>,
}

impl WorkerBusy {
    /// Returns how many of its processors are busy, as a share of all.
    pub fn load(&self) -> f64 {
        // Not a sum: that of nothing is -0.
        let work = self.tasks.iter().fold(0.0, |all, (_, _, work)| all + work);
        work / self.processors.max(1.0)
    }
}

/// A worker of the group, as it registered itself.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredWorker {
    /// `host:port`.
    pub id: String,
    /// URL of its REST API.
    pub url: String,
    /// Its version of Rowferry.
    pub version: String,
    /// When it was started, in milliseconds since 1970-01-01 UTC.
    pub started_ms: i64,
    /// When it last wrote to the store, in milliseconds since 1970-01-01 UTC by the store's clock.
    pub seen_ms: i64,
    /// How long ago that was when the store was read, in milliseconds.
    pub unseen_ms: i64,
    /// It gives its tasks away and takes no new ones.
    pub draining: bool,
    /// What it has measured; `None` until then, and of older versions.
    pub busy: Option<WorkerBusy>,
}

/// One version of a connector's config.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredVersion {
    /// Version number, from 1.
    pub version: i64,
    /// The config; `None` marks the connector's deletion.
    pub config: Option<Config>,
    /// When it was stored, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
}
