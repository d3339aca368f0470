//! Maps a record to a row: a record that is no row is converted ([`adapt`]) or rejected
//! ([`foreign`]), schemas become columns ([`shape`]), and values become parameters that fit their
//! column ([`kind`], [`fit`], [`time`]).
//!
//! Pure: nothing here asks a server.

pub mod adapt;
pub mod fit;
pub mod foreign;
pub mod kind;
pub mod shape;
pub mod time;
