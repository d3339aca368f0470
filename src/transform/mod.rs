//! Transforms and predicates of Kafka Connect, with its class names, keys and texts. Records are
//! passed by value.
//!
//! Pure: no I/O, no Kafka. `worker/chain.rs` builds and applies a connector's list of them. `part`
//! contains what most of them share: access to the key or value of a record, and a cache of plans
//! per schema. One file per family.
//!
//! Schemaless data has no logical types: a timestamp is a number of milliseconds since 1970-01-01
//! UTC.

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
