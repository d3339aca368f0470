//! Records. Sources and sinks share one type, so that a transform works for both.

use std::sync::Arc;

use crate::{Schema, Value};

/// A value together with its schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Datum {
    /// The schema; `None` for schemaless data.
    pub schema: Option<Arc<Schema>>,
    /// The value itself; [`Value::Null`] if there is none.
    pub value: Value,
}

impl Datum {
    /// Null without a schema: a null key, or the value of a tombstone.
    pub const NONE: Self = Self {
        schema: None,
        value: Value::Null,
    };

    /// Creates a datum from a schema and a value.
    pub fn new(schema: Arc<Schema>, value: Value) -> Self {
        Self {
            schema: Some(schema),
            value,
        }
    }
}

/// One record header.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Header key; keys may repeat.
    pub key: Arc<str>,
    /// Header value.
    pub datum: Datum,
}

/// Record headers, in order.
pub type Headers = Vec<Header>;

/// One record on its way to or from a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Name of the topic.
    pub topic: Arc<str>,
    /// Partition number; `None` lets the producer choose by key.
    pub partition: Option<i32>,
    /// The record key; [`Datum::NONE`] is a null key.
    pub key: Datum,
    /// The record value; [`Datum::NONE`] is a tombstone.
    pub value: Datum,
    /// Record timestamp in milliseconds since 1970-01-01 UTC; `None` lets the producer set it.
    pub timestamp_ms: Option<i64>,
    /// Record headers, in order; keys may repeat.
    pub headers: Headers,
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Name of the topic.
    pub topic: Arc<str>,
    /// Partition number.
    pub partition: i32,
}

/// An offset in a partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOffset {
    /// Name of the topic.
    pub topic: Arc<str>,
    /// Partition number.
    pub partition: i32,
    /// Offset of a record. As a position, the offset of the next record to read.
    pub offset: i64,
}

/// A record together with where it was read. Transforms may change `record.topic`, never `at`.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkRecord {
    /// The record as the transforms left it.
    pub record: Record,
    /// Topic, partition and offset that it was read from.
    pub at: TopicOffset,
}
