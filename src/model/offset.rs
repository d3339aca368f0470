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

/// The offset of one partition. Both are small maps whose members depend on the connector; those of
/// sinks are `{"kafka_topic","kafka_partition"}` and `{"kafka_offset"}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "an object with \"partition\" and \"offset\""
)]
pub struct OffsetEntry {
    /// The partition: what is read.
    #[serde(default)]
    pub partition: Option<Map<String, Value>>,
    /// The offset: how far it was read; null deletes it.
    #[serde(default)]
    pub offset: Option<Map<String, Value>>,
}
