//! Rowferry: a Kafka Connect-style runtime for JDBC connectors in one binary.
//!
//! Map: [`rest`] serves Kafka Connect's REST API and calls the [`herder`], which decides what runs
//! and starts tasks in the [`worker`]. A task moves batches: source task -> transforms -> converter
//! -> [`kafka`], or [`kafka`] -> converter -> transforms -> sink task. [`store`] stores configs and
//! statuses. Only [`registry`] names connectors.

mod app;
pub mod cli;
pub mod convert;
#[cfg(test)]
mod declared_keys;
#[cfg(feature = "fail-points")]
mod fail_points;
pub mod herder;
mod http;
pub mod kafka;
pub mod keys;
pub mod model;
pub mod observe;
pub mod registry;
pub mod rest;
pub mod schema_registry;
pub mod secrets;
pub mod settings;
pub mod store;
pub mod transform;
mod unused;
mod waiting;
pub mod worker;

// The reference describes a program with all features.
#[cfg(all(test, feature = "avro", feature = "json-schema", feature = "protobuf"))]
mod reference;
