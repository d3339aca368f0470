//! The test kit: real MariaDB, PostgreSQL, Apache Kafka and the built `rowferry` binary on private ports.
//!
//! A test binary has one [`Lab`], which starts each server when it is first asked for and shares it between tests; a
//! test uses its own database, topics and connector names ([`unique`]). Servers are children of this process and end
//! with it, however it ends. The kit drives rowferry over HTTP, SQL and Kafka alone and knows nothing of its code.
//!
//! Everything here panics when the surroundings fail: a test without its servers cannot go on.

#![allow(clippy::indexing_slicing, reason = "a test that cannot go on panics")]
#![allow(
    clippy::let_underscore_must_use,
    reason = "what a test only provokes, or cleans up, may fail"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a test computes with small numbers"
)]

pub mod chaos;
mod compare;
mod disk;
mod fail_points;
pub mod hostile;
mod kafka;
mod kafka_connect;
mod kafka_proxy;
mod lab;
pub mod mariadb;
mod old_kafka;
pub mod pooler;
pub mod postgres;
mod process;
pub mod proxy;
mod random;
pub mod relay;
mod rest;
mod rowferry;
pub mod rows_sql;
mod schema_registry;
mod secure;
mod shifted_clock;
pub mod sqlite;
mod topic;
mod wait;

pub use compare::{MariaTable, assert_same};
pub use disk::SmallDisk;
pub use kafka::Kafka;
pub use kafka_connect::KafkaConnect;
pub use kafka_proxy::{Api, Fault, KafkaProxy, Line, Trap};
pub use lab::{Lab, Scratch, free_port, unique};
pub use mariadb::MariaDb;
pub use old_kafka::OldKafka;
pub use postgres::Postgres;
pub use process::{
    Process, Program, Usage, node_program, project_folder, python_program, target_folder,
};
pub use random::Random;
pub use rest::{Answer, Rest};
pub use rowferry::{Rowferry, Settings};
pub use schema_registry::SchemaRegistry;
pub use secure::{Secure, certificate};
pub use shifted_clock::ShiftedClock;
pub use sqlite::SqliteFile;
pub use topic::{Entry, Topics};
pub use wait::{for_condition, wait_until};
