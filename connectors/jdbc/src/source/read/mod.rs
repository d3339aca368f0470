//! Reads one table: fetches pages of rows and turns them into records.
//!
//! [`cursor`] reads page after page; [`resume`] converts between stored offsets and read positions,
//! `by_id` decides which ids may be emitted, and `by_timestamp` up to which timestamp rows may be.
//! A [`page`] is sent to the task, where [`batch`] turns its rows into records ([`out_of_range`]:
//! values that their column's type cannot hold).

pub mod batch;
mod by_id;
mod by_timestamp;
pub mod cursor;
mod out_of_range;
pub mod page;
mod resume;
