//! What the store is told and what it gives back: changes, connectors as they were stored, versions of configs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use connector_api::Config;

use crate::model::{RunStatus, TargetState};

/// Where the store is and how it is kept.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `sqlite:path` (made if absent), `sqlite::memory:`, `mysql://…`, `mariadb://…` or `postgres://…`.
    pub url: String,
    /// `rowferry.data.dir`: the folder of the key file of a store on a database server.
    pub data_dir: PathBuf,
    /// `rowferry.secrets.key`: the key that configs are encrypted with; none is that of the key file.
    pub secrets_key: Option<String>,
    /// `rowferry.secrets.forget`: the id of a key that is lost, whose configs are to be forgotten.
    pub forget_key: Option<String>,
    /// How much of configs' history is kept.
    pub history: HistoryLimits,
}

impl StoreOptions {
    /// A store with the defaults of everything else.
    pub fn new(url: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        let (url, data_dir) = (url.into(), data_dir.into());
        Self {
            url,
            data_dir,
            secrets_key: None,
            forget_key: None,
            history: HistoryLimits::default(),
        }
    }
}

/// How much of configs' history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// `rowferry.history.versions`: configs of one connector.
    pub versions: i64,
    /// `rowferry.history.total`: configs of all connectors together; the last one of each is always kept.
    pub total: usize,
    /// `rowferry.history.deleted.retention.ms`: how long the configs of a deleted connector are kept, in milliseconds.
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

/// One change.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub enum StoreChange {
    /// A new connector with its first config and target state.
    Create {
        name: Arc<str>,
        config: Config,
        target: TargetState,
    },
    /// Another config of a connector; the old tasks' configs are forgotten.
    Replace { name: Arc<str>, config: Config },
    /// Another target state.
    SetTarget { name: Arc<str>, target: TargetState },
    /// Forgets a connector, its tasks, statuses and topics; its history stays for a time.
    Delete { name: Arc<str> },
    /// The task configs of a connector, all of them; statuses of tasks beyond are forgotten.
    SetTasks { name: Arc<str>, tasks: Vec<Config> },
    /// The status of a connector (`task` is `None`) or of a task.
    SetStatus {
        name: Arc<str>,
        task: Option<u32>,
        status: RunStatus,
    },
    /// A topic that a connector has used.
    AddTopic { name: Arc<str>, topic: Arc<str> },
    /// Forgets a connector's topics.
    ResetTopics { name: Arc<str> },
}

impl StoreChange {
    /// The connector it is about.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Create { name, .. }
            | Self::Replace { name, .. }
            | Self::SetTarget { name, .. }
            | Self::Delete { name }
            | Self::SetTasks { name, .. }
            | Self::SetStatus { name, .. }
            | Self::AddTopic { name, .. }
            | Self::ResetTopics { name } => name,
        }
    }
}

/// A connector as it was stored.
#[derive(Clone, Debug)]
pub struct StoredConnector {
    /// Its name.
    pub name: Arc<str>,
    /// Its config as given.
    pub config: Config,
    /// Its target state.
    pub target: TargetState,
    /// The task configs of the last plan.
    pub tasks: Vec<Config>,
    /// Its own last status.
    pub status: Option<RunStatus>,
    /// The last status of each task that has one.
    pub task_statuses: BTreeMap<u32, RunStatus>,
    /// Topics it has used.
    pub topics: BTreeSet<Arc<str>>,
}

/// One version of a connector's config.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredVersion {
    /// Its number, from 1.
    pub version: i64,
    /// The config; `None` when the connector was deleted then.
    pub config: Option<Config>,
    /// When it was stored, milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
}
