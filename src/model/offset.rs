//! Bodies about offsets (KIP-875).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// `GET` and `PATCH /connectors/{c}/offsets`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object with \"offsets\"")]
pub struct ConnectorOffsets {
    /// One entry per partition.
    #[serde(default)]
    pub offsets: Option<Vec<OffsetEntry>>,
}

/// Offset of one partition. Both are small maps that belong to the connector; those of sinks are
/// `{"kafka_topic","kafka_partition"}` and `{"kafka_offset"}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "an object with \"partition\" and \"offset\""
)]
pub struct OffsetEntry {
    /// What is read.
    #[serde(default)]
    pub partition: Option<Map<String, Value>>,
    /// How far; null forgets.
    #[serde(default)]
    pub offset: Option<Map<String, Value>>,
}
