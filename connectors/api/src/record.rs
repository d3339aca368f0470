//! A record: one type for both directions, so that one transform serves both.

use std::sync::Arc;

use crate::{Schema, Value};

/// A value with its schema; no schema means schemaless data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Datum {
    /// Its schema.
    pub schema: Option<Arc<Schema>>,
    /// The value.
    pub value: Value,
}

impl Datum {
    /// No schema and no value: a null key, a tombstone.
    pub const NONE: Self = Self {
        schema: None,
        value: Value::Null,
    };

    /// A value with its schema.
    pub fn new(schema: Arc<Schema>, value: Value) -> Self {
        Self {
            schema: Some(schema),
            value,
        }
    }
}

/// One header.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Its key; keys may repeat.
    pub key: Arc<str>,
    /// Its value.
    pub datum: Datum,
}

/// Headers in order.
pub type Headers = Vec<Header>;

/// One record on its way from or to a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition; `None` lets the producer choose by key.
    pub partition: Option<i32>,
    /// Key.
    pub key: Datum,
    /// Value; [`Datum::NONE`] is a tombstone.
    pub value: Datum,
    /// Record timestamp in milliseconds since 1970-01-01 UTC; `None` lets the producer set it.
    pub timestamp_ms: Option<i64>,
    /// Headers.
    pub headers: Headers,
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
}

/// A place in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOffset {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset. As a position to read from: the next record's.
    pub offset: i64,
}

/// A record with the place it was read from. Transforms may change `record.topic`, never `at`.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkRecord {
    /// The record.
    pub record: Record,
    /// Where it was read.
    pub at: TopicOffset,
}
