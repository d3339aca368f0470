//! Rowferry: a Kafka Connect-style runtime for JDBC connectors in one binary.
//!
//! Map: `rest` serves Kafka Connect's REST API and calls the `herder`, which decides what runs
//! and starts tasks in the [`worker`]. A task moves batches: source task -> transforms -> converter
//! -> [`kafka`], or [`kafka`] -> converter -> transforms -> sink task. [`store`] stores configs and
//! statuses. Only [`registry`] names connectors.

#![cfg_attr(
    test,
    allow(
        clippy::too_many_lines,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::indexing_slicing,
        clippy::let_underscore_must_use,
        reason = "a test reads best from its beginning to its end, and computes with small numbers"
    )
)]

mod app;
pub mod cli;
pub mod convert;
#[cfg(test)]
mod declared_keys;
#[cfg(feature = "fail-points")]
mod fail_points;
mod herder;
mod http;
pub mod kafka;
mod keys;
mod metrics;
pub mod model;
mod observe;
pub mod registry;
mod rest;
#[cfg(any(feature = "avro", feature = "json-schema", feature = "protobuf"))]
mod schema_registry;
pub mod secrets;
pub mod settings;
pub mod store;
mod transform;
mod unused;
mod waiting;
pub mod worker;

// The reference describes a program with all features.
#[cfg(all(test, feature = "avro", feature = "json-schema", feature = "protobuf"))]
mod reference;
