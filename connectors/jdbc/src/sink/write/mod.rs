//! Writes rows to their tables.
//!
//! Pure: [`evolve`] and [`widen`] (the DDL that a shape needs), [`group`] and [`key_bytes`]
//! (operations -> statements), [`bind`] and [`copy`] (values -> parameters or text), [`size`] (the
//! server's limits). With I/O: [`connection`], [`target`] (tables, and the plans of their shapes),
//! [`batch`] (statements), [`deferred`] (rows that are rejected at the end of the transaction).

pub mod batch;
pub mod bind;
pub mod connection;
pub mod copy;
pub mod deferred;
pub mod evolve;
pub mod group;
pub mod key_bytes;
pub mod size;
pub mod target;
pub mod widen;
