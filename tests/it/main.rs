//! Integration tests: the built binary against real servers, driven over HTTP, SQL and Kafka alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod golden;
mod servers;
mod sink;
mod speed;
mod store;
mod tidy;
mod worker;

use std::sync::OnceLock;

use testkit::Lab;

/// The servers that all tests share.
fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| Lab::new("it"))
}
