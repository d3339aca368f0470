//! Reading of one table: pages of rows, and records made of them.
//!
//! [`cursor`] reads page after page; [`resume`] says where it begins (from a stored offset, and back), `by_id` which ids
//! may be emitted and `by_timestamp` up to which timestamp rows may be. A [`page`] goes to the task, where [`batch`] makes
//! records of its rows ([`out_of_range`]: values that their column's type cannot hold).

pub mod batch;
mod by_id;
mod by_timestamp;
pub mod cursor;
mod out_of_range;
pub mod page;
mod resume;
