//! What other JDBC sources' own tests ask of a source, row by row: each test is named after its row (SM: modes, ST:
//! types, ER: errors) and runs on every database of [`fixture::DATABASES`] that the row is about.
//!
//! Rows that are not here: SM03, SM09, SM14, SM26, SM37, ST07, ST15, ST19 do not exist. SM42 and SM43 are about change
//! data capture from the binlog, which a polling source does not do. ST18's nanoseconds end at PostgreSQL's
//! microseconds. The other ER rows stand beside what they are about, and in the recorded cases (`source_cases`), as does
//! the rest of what Kafka Connect's own source does.

mod changed_tables;
mod compared;
mod connectors;
pub mod fixture;
mod modes;
mod offsets;
mod queries;
mod refusals;
mod tables;
mod types;
mod values;

pub use self::types::SHADOWS;
