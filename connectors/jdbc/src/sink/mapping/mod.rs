//! How a record becomes a row: what is no row is made one ([`adapt`]) or refused ([`foreign`]), schemas become columns
//! ([`shape`]), and values the parameters that a column takes ([`kind`], [`fit`], [`time`]).
//!
//! Pure: nothing here asks a server.

pub mod adapt;
pub mod fit;
pub mod foreign;
pub mod kind;
pub mod shape;
pub mod time;
