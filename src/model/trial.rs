//! Bodies of the try-outs: a chain of transforms over given records, a converter over given bytes.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::RawConfig;

/// What `POST /v1/transforms/try` takes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TryTransforms {
    /// A connector's config, of which `transforms` and `predicates` with their settings count.
    pub config: RawConfig,
    /// The records that go through the chain.
    pub records: Vec<TrialRecord>,
}

/// A record. Key, value and header values are the envelope of schema and payload, or plain JSON without a schema.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrialRecord {
    /// Topic.
    pub topic: String,
    /// Partition.
    #[serde(default)]
    pub partition: Option<i32>,
    /// Offset; with it the record is a sink's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// Timestamp in milliseconds since 1970-01-01 UTC.
    #[serde(default)]
    pub timestamp: Option<i64>,
    /// Key.
    #[serde(default)]
    #[schema(value_type = Option<serde_json::Value>)]
    pub key: Option<Box<RawValue>>,
    /// Value.
    #[serde(default)]
    #[schema(value_type = Option<serde_json::Value>)]
    pub value: Option<Box<RawValue>>,
    /// Headers.
    #[serde(default)]
    pub headers: Vec<TrialHeader>,
}

/// A header of a record.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrialHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default)]
    #[schema(value_type = Option<serde_json::Value>)]
    pub value: Option<Box<RawValue>>,
}

/// What became of one record.
#[derive(Debug, Serialize, ToSchema)]
pub struct TriedRecord {
    /// The record after each transform in turn, up to the first that drops it or fails.
    pub steps: Vec<TriedStep>,
    /// What comes out of the chain; null when it was dropped or failed.
    pub record: Option<TrialRecord>,
}

/// What a transform did to a record.
#[derive(Debug, Serialize, ToSchema)]
pub struct TriedStep {
    /// The transform's name in the config.
    pub transform: String,
    /// Its class.
    pub class: String,
    /// Whether its predicate let it do anything.
    pub applied: bool,
    /// The record after it; null when it was dropped or failed.
    pub record: Option<TrialRecord>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What `POST /v1/converters/try` takes: bytes as text or in base64.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TryConverter {
    /// The converter's class.
    pub class: String,
    /// `key`, `value` (the default) or `header`.
    #[serde(default)]
    pub role: Option<String>,
    /// The topic, where a schema registry is asked for the schemas of one.
    #[serde(default)]
    pub topic: Option<String>,
    /// Its settings, without prefix.
    #[serde(default)]
    pub config: RawConfig,
    /// The bytes as UTF-8 text.
    #[serde(default)]
    pub text: Option<String>,
    /// The bytes in base64.
    #[serde(default)]
    pub base64: Option<String>,
}

/// What the bytes are, and what they become when that is written again.
#[derive(Debug, Serialize, ToSchema)]
pub struct TriedConverter {
    /// The data as the envelope of schema and payload; null for neither schema nor value.
    #[schema(value_type = Option<serde_json::Value>)]
    pub data: Option<Box<RawValue>>,
    /// The bytes that the converter writes for it, where they are UTF-8 text.
    pub text: Option<String>,
    /// The same bytes in base64; null where there are none.
    pub base64: Option<String>,
    /// Why it cannot be written again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
