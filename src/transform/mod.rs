//! Transforms and predicates of Kafka Connect, with its class names, keys and texts. Records are
//! passed by value.
//!
//! Pure: no I/O, no Kafka. `worker/chain` builds and applies a connector's list of them. `part`
//! contains what most of them share: access to the key or value of a record, and a cache of plans
//! per schema. One file per family.
//!
//! Schemaless data has no logical types: a timestamp is a number of milliseconds since 1970-01-01
//! UTC.

pub(crate) mod cast;
pub(crate) mod date_format;
pub(crate) mod envelope;
pub(crate) mod expression;
pub(crate) mod extract;
pub(crate) mod flatten;
pub(crate) mod headers;
pub(crate) mod insert;
mod located;
pub(crate) mod logical_table;
pub(crate) mod mask;
mod part;
mod path;
pub(crate) mod predicate;
pub(crate) mod replace;
pub(crate) mod route;
pub(crate) mod schema;
pub(crate) mod timestamp;
pub(crate) mod tombstone;
pub(crate) mod topic;
pub(crate) mod value_to_key;

pub(crate) use part::RecordPart;
