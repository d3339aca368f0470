//! Decisions about one table or query before a row is read. Pure: no session, no clock.
//!
//! [`table`] makes the plan from a table's definition: [`mode_columns`] finds the columns of the
//! mode, [`key`] those that deletion capture needs, and [`query`] writes the statements. [`offset`]
//! is the stored form of how far a table has been read, with [`gaps`] (missing ids) and [`ranges`]
//! (a snapshot shared by several tasks); [`reread`] is the form of how far it has been read again. [`key_plan`] and [`key_set`] are the keys that a sweep for
//! deleted rows compares.

pub(super) mod gaps;
pub(super) mod key;
pub(super) mod key_plan;
pub(super) mod key_set;
pub(super) mod mode_columns;
pub(super) mod offset;
pub(super) mod query;
pub(super) mod ranges;
pub(super) mod reread;
#[cfg(test)]
mod snapshots;
pub(super) mod table;
