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
    /// Age of the oldest record that is not written yet; of a source, how long a committed row may have
    /// waited to be read. Null unless all parts are known.
    pub seconds: Option<f64>,
    /// Of a sink: the sources of this worker that write its topics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<PairLag>,
    /// Why the brokers could not be asked about partitions that no task reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    /// Its parts: the tables of a source that runs, the partitions of a sink.
    pub parts: Vec<PartLag>,
}

/// How far a table or a partition is behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PartLag {
    /// Number of the task; null if none runs that reads it: then the brokers were asked.
    pub task: Option<u32>,
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
    /// Age of the oldest record that is not written yet: as far as this worker has seen, or, if no task
    /// runs, by its timestamp.
    pub seconds: Option<f64>,
}

/// How far a sink is behind the database of a source that writes its topics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PairLag {
    /// The source.
    pub connector: String,
    /// How long ago a row may have been committed in the source's database that the sink has not
    /// committed in its own; null if the source or the sink does not know its part of it.
    pub seconds: Option<f64>,
}
