//! Bodies about lag.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v1/connectors/{c}/lag`: how far a connector is behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConnectorLag {
    /// Its name.
    pub name: String,
    /// `source`, `sink` or `unknown`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Rows or records that are still to be copied; null unless all parts are known.
    pub rows: Option<u64>,
    /// Age of the oldest record that is not written yet; null for a source, and unless all parts are known.
    pub seconds: Option<f64>,
    /// Its parts: the tables of a source, the partitions of a sink that runs.
    pub parts: Vec<PartLag>,
}

/// How far a table or a partition is behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PartLag {
    /// Number of the task.
    pub task: u32,
    /// The table; null for a sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The topic; null for a source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The topic's partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// Everything before this offset is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i64>,
    /// The offset after the last committed record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
    /// Rows or records that are still to be copied. Of a table, an estimate of the database.
    pub rows: Option<u64>,
    /// Age of the oldest record that is not written yet, as far as this worker has seen.
    pub seconds: Option<f64>,
}
