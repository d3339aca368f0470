//! Writes rows to their tables.
//!
//! Pure: [`evolve`] and [`widen`] (the DDL that a shape needs), [`group`] and [`key_bytes`]
//! (operations -> statements), [`bind`] and [`copy`] (values -> parameters or text), [`plan`] (a shape's statements), [`size`] (the
//! server's limits). With I/O: [`connection`], [`target`] (tables, and the plans of their shapes),
//! [`batch`] (statements), [`rejected`] (the search for rejected records) and [`deferred`] (for
//! those that are rejected at the end of the transaction). [`index`] and [`failure`] are what these
//! talk in.

pub mod batch;
pub mod bind;
pub mod connection;
pub mod copy;
pub mod deferred;
pub mod evolve;
pub mod failure;
pub mod group;
pub mod index;
pub mod key_bytes;
pub mod plan;
pub mod rejected;
pub mod size;
pub mod target;
pub mod widen;
