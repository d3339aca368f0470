//! The Kafka clients: the only module that imports rdkafka.
//!
//! It knows bytes, topics, offsets and settings, and nothing of connectors, converters or rows. Its calls block (they
//! belong on threads of their own), and its errors are classified here, where they are born.

pub mod admin;
mod background_drop;
pub mod consumer;
mod contact;
mod context;
pub mod dev;
mod error;
pub mod in_flight;
mod jaas;
mod leave;
pub mod overrides;
pub mod producer;
pub mod settings;
mod silence;
pub mod table;
pub mod topic_name;

pub use background_drop::await_ended;
pub use settings::{ClientRole, ClientSettings};
