//! Transforms (SMTs) and predicates.

use crate::{Record, Result, TopicOffset};

/// Changes one record, by value. Pure: no I/O. `at` is where a sink's record was read; `None` on a source.
pub trait Transform: Send {
    /// The changed record, or `None` to drop it. Errors: `Record`.
    fn apply(&mut self, record: Record, at: Option<&TopicOffset>) -> Result<Option<Record>>;
}

/// Tells whether a transform applies to a record.
pub trait Predicate: Send {
    /// Errors: `Record`.
    fn test(&mut self, record: &Record) -> Result<bool>;
}
