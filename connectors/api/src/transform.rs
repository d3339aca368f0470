//! Transforms (Kafka Connect's SMTs) and predicates.

use crate::{Record, Result, TopicOffset};

/// Changes one record, taken by value. Pure: no I/O.
pub trait Transform: Send {
    /// Returns the changed record, or `None` to drop it. `at` is where a sink's record was read; it
    /// is `None` on a source.
    /// Errors: `Record`.
    fn apply(&mut self, record: Record, at: Option<&TopicOffset>) -> Result<Option<Record>>;
}

/// Decides whether a transform applies to a record. Pure: no I/O.
pub trait Predicate: Send {
    /// Returns true if the record matches.
    /// Errors: `Record`.
    fn test(&mut self, record: &Record) -> Result<bool>;
}
