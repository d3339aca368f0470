//! What the tests of other JDBC sources require of a source: modes, offsets, tables, types and errors. Each test runs
//! on every database of [`fixture::DATABASES`] that it applies to.
//!
//! Not covered: change data capture from the binlog, which a polling source does not do, and nanoseconds, because
//! PostgreSQL stores microseconds. The recorded cases (`source_cases`) cover the rest of the Java connector's behaviour.

mod changed_tables;
mod compared;
mod connectors;
pub mod fixture;
mod modes;
mod named_columns;
mod offsets;
mod oids;
mod pooled;
mod queries;
mod refusals;
mod sqlite_times;
mod tables;
mod types;
mod values;

pub use self::types::SHADOWS;
