//! The types of the store: changes, stored connectors, versions of configs, and options.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use connector_api::Config;

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
    SetTasks {
        name: Arc<str>,
        tasks: Vec<Config>,
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
}

impl StoreChange {
    /// Returns the name of the connector concerned.
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

/// A connector as stored.
#[derive(Clone, Debug)]
pub struct StoredConnector {
    /// Unique name.
    pub name: Arc<str>,
    /// Config as given, references unresolved.
    pub config: Config,
    /// The state that the user asked for.
    pub target: TargetState,
    /// Task configs of the last plan.
    pub tasks: Vec<Config>,
    /// Last status of the connector itself.
    pub status: Option<RunStatus>,
    /// Last status of each task that has one.
    pub task_statuses: BTreeMap<u32, RunStatus>,
    /// Topics that the connector has used.
    pub topics: BTreeSet<Arc<str>>,
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
