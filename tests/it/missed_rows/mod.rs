//! Rows that a polling reader misses: the id or the stamp of a row is fixed before the row is seen, so what commits late
//! lies behind a reader that went on meanwhile.
//!
//! Each experiment lets writers with overlapping transactions write, a naive reader poll beside ours, and compares both
//! with the table. The naive one must miss rows, or the experiment shows nothing; ours must miss none and double none.
//!
//! `ROWFERRY_MISSED_ROWS` is the number of rows that all experiments together write (about 30,000 without it).

mod experiments;
mod steps;
mod windows;
mod writers;
