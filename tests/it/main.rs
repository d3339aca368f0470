//! Integration tests: the built binary against real servers, driven over HTTP, SQL and Kafka alone.

mod servers;

use std::sync::OnceLock;
use std::time::Duration;

use testkit::Lab;

/// The servers that all tests share.
fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| Lab::new("it"))
}

/// How long a test waits for something that should come soon, on a machine with two busy cores.
const SOON: Duration = Duration::from_secs(60);
