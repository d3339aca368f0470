//! Transforms and predicates of Kafka Connect, under its class names, keys and texts; records pass
//! by value.
//!
//! Pure: no I/O, no Kafka. `worker/chain.rs` builds and applies a connector's list of them; `part`
//! holds what most share: the key or the value of a record, taken apart, and the cache of what
//! follows from a schema. One file per family.
//!
//! Data without a schema has no logical types: a moment there is a number of milliseconds since
//! 1970-01-01 UTC.

pub mod cast;
pub mod date_format;
pub mod envelope;
pub mod expression;
pub mod extract;
pub mod flatten;
pub mod headers;
pub mod insert;
pub mod logical_table;
pub mod mask;
mod part;
mod path;
pub mod predicate;
pub mod replace;
pub mod route;
pub mod schema;
pub mod timestamp;
pub mod tombstone;
pub mod topic;
pub mod value_to_key;

pub use part::RecordPart;
