//! Bodies about states.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ConnectorInfo;

/// `GET /connectors/{c}/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConnectorStatus {
    /// Its name.
    pub name: String,
    /// The connector's own state.
    pub connector: PartStatus,
    /// Its tasks by number.
    pub tasks: Vec<TaskStatus>,
    /// `source`, `sink` or `unknown`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// State of a connector or task. Every member is text: some clients read it as a map of texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PartStatus {
    /// `RUNNING`, `PAUSED`, `STOPPED`, `FAILED`, `UNASSIGNED` or `RESTARTING`.
    pub state: String,
    /// `host:port` of its worker.
    pub worker_id: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// Version of its plug-in (KIP-891).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// State of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskStatus {
    /// Its number.
    pub id: u32,
    /// Its state.
    #[serde(flatten)]
    pub status: PartStatus,
    /// What a person should know though it runs, a line each: a table that is not read any more, what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// `GET /v1/connectors/{c}/progress`: how far its tasks have come since they were started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConnectorProgress {
    /// Its name.
    pub name: String,
    /// Its tasks that run on this worker.
    pub tasks: Vec<TaskProgress>,
}

/// How far a task has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskProgress {
    /// Its number.
    pub id: u32,
    /// Its tables; a sink's topics.
    pub tables: Vec<TableProgress>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// What it waits for or is at work with: `source`, `database`, `kafka`, `converter`, `dead_letters`, `opening`, or
    /// where nothing is to be done `nothing`, `resume` (it is paused), `retry` (a warning says why), `partner`.
    pub waiting_for: String,
    /// Since when: date and time in UTC.
    pub since: String,
    /// What is known of it beyond that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How far a table has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TableProgress {
    /// The table; a sink's topic.
    pub table: String,
    /// Rows handed on since the task was started.
    pub rows: u64,
    /// Rows that the table has in all, as the database estimates; null where it does not.
    pub rows_estimated: Option<u64>,
    /// Rows still to be read, as estimated; 0 once everything there is has been read.
    pub rows_left: Option<u64>,
    /// Milliseconds that they will take at the pace so far.
    pub eta_ms: Option<u64>,
}

/// One member of `GET /connectors?expand=…`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Expanded {
    /// With `expand=status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ConnectorStatus>,
    /// With `expand=info`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<ConnectorInfo>,
}
