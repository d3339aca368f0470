//! Reads one table: fetches pages of rows and turns them into records.
//!
//! [`cursor`] reads page after page ([`page_size`]: of how many rows); [`resume`] converts between
//! stored offsets and read positions. A [`page`] is sent to the task, where [`batch`] turns its rows
//! into records ([`out_of_range`]: values that their column's type cannot hold). Which of the rows
//! may be emitted now, `visibility` decides.

pub(super) mod batch;
pub(super) mod cursor;
pub(crate) mod out_of_range;
pub(super) mod page;
mod page_size;
pub(super) mod resume;
