//! The Kafka clients: the only module that imports rdkafka.
//!
//! It knows bytes, topics, offsets and settings, and nothing of connectors, converters or rows. Its
//! calls block, so they belong on threads of their own. Its errors are classified here, at their
//! origin.

pub mod admin;
mod background_drop;
pub mod consumer;
mod contact;
mod context;
pub mod dev;
mod error;
pub mod in_flight;
mod jaas;
pub mod overrides;
pub mod producer;
pub mod settings;
mod silence;
pub mod table;
pub mod topic_name;

pub use background_drop::await_ended;
pub use settings::{ClientRole, ClientSettings};
