//! How rows reach their tables.
//!
//! Pure: [`evolve`] and [`widen`] (which DDL a shape needs), [`group`] and [`key_bytes`] (operations -> statements), [`bind`]
//! and [`copy`] (values -> parameters or text), [`size`] (what a server takes). With I/O: [`connection`], [`target`] (tables,
//! and the plans of their shapes), [`batch`] (statements), [`deferred`] (rows that are refused at the end).

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
