//! Bodies about records of topics: those a connector reads or writes, and its dead letters.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// `GET /v1/connectors/{c}/records`: some records of a topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordPage {
    /// The topic.
    pub topic: String,
    /// The records, oldest first.
    pub records: Vec<TopicRecord>,
    /// Where this page begins.
    pub start: String,
    /// Where the next page begins: the parameter `from` of the next request.
    pub next: String,
    /// True if there was no committed record after these.
    pub end: bool,
}

/// A record of a topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TopicRecord {
    /// The topic's partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970-01-01 UTC.
    pub timestamp: Option<i64>,
    /// Key; null if it has none.
    pub key: Option<ShownBytes>,
    /// Value; null if it has none.
    pub value: Option<ShownBytes>,
    /// Headers, in order.
    pub headers: Vec<RecordHeader>,
}

/// A header of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordHeader {
    /// Its name.
    pub name: String,
    /// Its value; null if it has none.
    pub value: Option<ShownBytes>,
}

/// A key or value: decoded with the connector's converter if that can read it, else as text if it is UTF-8, else
/// in base64. Exactly one member is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShownBytes {
    /// Decoded, without its schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// The bytes as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The bytes in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// `GET /v1/connectors/{c}/dlq`: some dead letters, without keys and values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterPage {
    /// The dead-letter topic.
    pub topic: String,
    /// The letters, oldest first.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins: the parameter `from` of the next request.
    pub next: String,
    /// True if there was no letter after these.
    pub end: bool,
}

/// A dead letter: a record that could not be processed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// Partition of the dead-letter topic.
    pub partition: i32,
    /// Offset in the dead-letter topic.
    pub offset: i64,
    /// Milliseconds since 1970-01-01 UTC.
    pub timestamp: Option<i64>,
    /// Bytes of the key; null if it has none.
    pub key_bytes: Option<u64>,
    /// Bytes of the value; null if it has none.
    pub value_bytes: Option<u64>,
    /// Why, if the letter has headers with the reason (`errors.deadletterqueue.context.headers.enable`).
    pub reason: Option<DeadLetterReason>,
    /// Key; only in the answer about one letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ShownBytes>,
    /// Value; only in the answer about one letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ShownBytes>,
    /// Headers other than those with the reason; only in the answer about one letter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<RecordHeader>,
}

/// Why a record is a dead letter, and where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterReason {
    /// The connector that could not process it.
    pub connector: String,
    /// Number of the task.
    pub task: Option<u32>,
    /// The topic it was read from, or, of a source, was to be written to.
    pub topic: String,
    /// Partition of that topic; null for a source.
    pub partition: Option<i32>,
    /// Offset in that topic; null for a source.
    pub offset: Option<i64>,
    /// Where the error occurred, with Kafka Connect's name: `VALUE_CONVERTER`, `TASK_PUT`, …
    pub stage: String,
    /// Class that failed.
    pub class: String,
    /// Class of the error.
    pub exception: String,
    /// Text of the error.
    pub message: String,
}

/// What `POST /v1/connectors/{c}/dlq/replay` takes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayLetters {
    /// The letters to replay.
    pub letters: Vec<LetterPosition>,
    /// The topic to write to, for letters without a reason.
    #[serde(default)]
    pub topic: Option<String>,
    /// Replaces the key of the one letter given; `data` is written as JSON text.
    #[serde(default)]
    pub key: Option<ShownBytes>,
    /// Replaces the value of the one letter given; `data` is written as JSON text.
    #[serde(default)]
    pub value: Option<ShownBytes>,
}

/// Where a dead letter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LetterPosition {
    /// Partition of the dead-letter topic.
    #[serde(default)]
    pub partition: i32,
    /// Offset in the dead-letter topic.
    pub offset: i64,
}

/// What became of one replayed letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplayedLetter {
    /// Partition of the dead-letter topic.
    pub partition: i32,
    /// Offset in the dead-letter topic.
    pub offset: i64,
    /// The topic it was written to; null if it was not written.
    pub topic: Option<String>,
    /// Why it was not written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
