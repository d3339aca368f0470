//! The settings by which [`crate::sink::mapping::adapt`] turns records into rows. Pure.

use std::sync::Arc;

use super::TimeRules;
use super::placeholder::Placeholder;

/// Advice about structs, maps and lists that are not written.
pub(crate) const NESTED: &str = "nested.mode=json stores structs, maps and lists as JSON; nested.mode=flatten makes each \
     member of a struct a column. The transform ReplaceField can leave the field out.";

/// `nested.mode`: how structs, maps and lists are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nested {
    /// Rejects them, as Kafka Connect's JDBC sinks do.
    Fail,
    /// Writes them as JSON.
    Json,
    /// Writes each member of a struct to a column of its own; maps and lists as JSON.
    Flatten,
}

/// How records are converted to rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdaptRules {
    /// Replace change events by their rows.
    pub unwrap: bool,
    /// The field that marks deleted rows; it does not become a column.
    pub marker: Option<Arc<str>>,
    pub deletes: bool,
    /// Empty tables on a truncate event.
    pub truncates: bool,
    /// Skip tombstones if rows are not deleted.
    pub ignore_tombstones: bool,
    pub nested: Nested,
    /// Joins the names of a struct and its member.
    pub delimiter: String,
    /// The database has array columns.
    pub lists: bool,
    /// Interpret Debezium's types in records that are no change events, too.
    pub debezium: bool,
    /// Debezium's placeholder for a value that a change event does not contain.
    pub placeholder: Option<Arc<Placeholder>>,
    pub time: TimeRules,
}
