//! How records that do not look like rows are made to: the settings that [`crate::sink::mapping::adapt`] follows. Pure.

use std::sync::Arc;

use super::TimeRules;

/// `nested.mode`: what becomes of structs, maps and lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nested {
    /// They are refused, as Kafka Connect's JDBC sinks do.
    Fail,
    /// They are written as JSON.
    Json,
    /// Structs become a column for each member; maps and lists are written as JSON.
    Flatten,
}

/// What is done to records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdaptRules {
    /// Whether change events are taken apart.
    pub unwrap: bool,
    /// The field that marks deleted rows; it is no column then.
    pub marker: Option<Arc<str>>,
    /// Whether rows are deleted.
    pub deletes: bool,
    /// Whether tables are emptied.
    pub truncates: bool,
    /// Whether records without a value mean nothing where rows are not deleted.
    pub ignore_tombstones: bool,
    /// Nested values.
    pub nested: Nested,
    /// Between the names of a struct and its member.
    pub delimiter: String,
    /// Whether the database has columns that hold lists.
    pub lists: bool,
    /// Whether Debezium's types count in records that are no change events, too.
    pub debezium: bool,
    /// What stands for a value that a change event does not have.
    pub placeholder: Option<Arc<str>>,
    /// How points in time are written.
    pub time: TimeRules,
}
