//! Writes rows to their tables.
//!
//! Pure: [`evolve`] and [`widen`] (the DDL that a shape needs), [`group`] and [`key_bytes`]
//! (operations -> statements), [`bind`] and [`copy`] (values -> parameters or text), [`plan`] (a shape's statements), [`new_rows`] (when an upsert may be a COPY), [`room`] (what a
//! value needs in its column), [`size`] (the server's limits). With I/O: [`connection`], [`known_table`] (what was read of a table, and whether it still holds),
//! [`target`] (tables, and the plans of their shapes), [`batch`] (statements), [`rejected`] (the search for rejected records) and [`deferred`] (for
//! those that are rejected at the end of the transaction). [`index`] and [`failure`] are what these
//! talk in.

pub(super) mod batch;
pub(super) mod bind;
pub(super) mod connection;
pub(super) mod copy;
pub(super) mod deferred;
pub(super) mod evolve;
pub(super) mod failure;
pub(super) mod group;
mod header;
pub(super) mod index;
pub(super) mod key_bytes;
pub(super) mod known_table;
pub(super) mod new_rows;
pub(super) mod plan;
pub(super) mod rejected;
pub(super) mod room;
pub(super) mod size;
pub(super) mod target;
pub(super) mod widen;
