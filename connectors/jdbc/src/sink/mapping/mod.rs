//! Maps a record to a row: a record that is no row is converted ([`adapt`]) or rejected
//! ([`foreign`]), schemas become columns ([`shape`]), and values become parameters that fit their
//! column ([`kind`], [`fit`], [`time`]).
//!
//! Pure: nothing here asks a server.

pub(super) mod adapt;
pub(super) mod fit;
pub(super) mod foreign;
pub(super) mod geometry;
pub(super) mod hstore;
pub(super) mod key_form;
pub(super) mod kind;
pub(super) mod shape;
pub(super) mod time;
pub(super) mod value_source;
