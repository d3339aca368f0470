//! Integration tests: the built binary against real servers, driven over HTTP, SQL and Kafka alone.

#![allow(clippy::indexing_slicing, reason = "a test that cannot go on panics")]
#![allow(
    clippy::let_underscore_must_use,
    reason = "what a test only provokes, or cleans up, may fail"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(
    unreachable_pub,
    reason = "nothing imports the tests, so that each `pub` in them means the same"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a test computes with small numbers"
)]
#![allow(
    clippy::too_many_lines,
    reason = "a test reads best from its beginning to its end"
)]

mod access;
mod bars;
mod bounds;
mod brokers_killed;
mod change_data_capture;
mod change_data_capture_postgres;
mod chaos;
mod clients;
mod clock_changes;
mod cluster_example;
mod command_line;
mod conn_advice;
mod converters;
mod crash;
mod database_tls;
mod dead_letter_replay;
mod dead_letters;
mod deletes;
mod dev;
mod differential;
mod examples;
mod fail_points;
mod failures;
mod files;
mod formats;
mod frozen;
mod full_disk;
mod golden;
mod hanging;
mod hostile;
mod in_doubt;
mod inflation;
mod kcctl_verbs;
mod lag;
mod lifecycle;
mod logins;
mod malformed;
mod memory;
mod metrics;
mod missed_rows;
mod mysql_login;
mod observing;
mod pages;
mod parallel_snapshot;
#[cfg(all(feature = "avro", feature = "json-schema", feature = "protobuf"))]
mod parsers;
mod pipeline;
mod plans;
mod privileges;
mod providers;
mod recording;
mod rereads;
mod rereads_captured;
mod rest;
mod rest_conversations;
mod rest_details;
mod rest_limits;
#[cfg(all(feature = "avro", feature = "json-schema", feature = "protobuf"))]
mod scale;
mod schema_registry;
mod secrets;
mod secure;
mod servers;
mod settings;
mod sink;
mod sink_conformance;
mod sink_recordings;
mod source;
mod source_cases;
mod source_conformance;
mod source_tables;
#[cfg(all(feature = "avro", feature = "json-schema", feature = "protobuf"))]
mod speed;
mod sqlite;
mod sqlite_files;
mod sqlite_limits;
mod stall;
mod store;
mod store_faults;
mod store_secrets;
mod tidy;
mod transcripts;
mod transfer;
mod traps;
mod tutorial;
mod unused;
mod watchdog;
mod worker;
mod workers;
mod workers_balance;
mod workers_cut;
mod workers_mistakes;
mod workers_scale;
mod workers_store;
mod workers_upgrade;
mod workers_zombies;

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
