//! Bodies about the log of a connector.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v1/connectors/{c}/logs`: lines of the log of this worker that belong to a connector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConnectorLines {
    /// The lines, oldest first.
    pub lines: Vec<LogLine>,
    /// The parameter `after` of the next request.
    pub next: u64,
}

/// A line of the log, or several equal ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Time of the last one in milliseconds since 1970-01-01 UTC.
    pub timestamp: i64,
    /// Time of the first one.
    pub first: i64,
    /// How often the line was logged.
    pub count: u64,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    pub level: String,
    /// Number of the task, if one has logged it.
    pub task: Option<u64>,
    /// The logger.
    pub logger: String,
    /// The text.
    pub text: String,
}

/// `PUT /v1/connectors/{c}/logs/level`: a level for a time.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectorLevel {
    /// `DEBUG` or `TRACE`, or a level that the log has anyway.
    pub level: String,
    /// After how many seconds it ends; at most 86400.
    #[serde(default = "ten_minutes")]
    pub seconds: u64,
}

fn ten_minutes() -> u64 {
    600
}
