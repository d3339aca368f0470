//! Decides which of the rows just read may be emitted now.
//!
//! A row gets its id or its timestamp before its transaction commits. A reader that simply moves
//! past the highest id or timestamp loses every row that commits later with a lower one.
//!
//! For ids: [`gap_tracker`] remembers the missing ids and asks for them again until a [`barrier`]
//! proves that no transaction is left that could still commit them; where the database can read
//! uncommitted rows, [`uncommitted`] finds those ids at once. For timestamps: rows wait for the
//! oldest of the [`open_transactions`], which [`late_starters`] (transactions that an earlier look
//! at the server did not list) may move back; [`overtake`] emits rows ahead of a transaction that
//! has been open too long.

pub mod barrier;
pub mod gap_tracker;
mod late_starters;
pub mod open_transactions;
pub mod overtake;
pub mod uncommitted;
