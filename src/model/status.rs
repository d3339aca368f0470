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
