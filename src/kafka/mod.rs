//! The Kafka clients: the only module that imports rdkafka.
//!
//! It knows bytes, topics, offsets and settings, and nothing of connectors, converters or rows. Its
//! calls block, so they belong on threads of their own. Its errors are classified here, at their
//! origin.

pub(crate) mod admin;
mod background_drop;
pub(crate) mod consumer;
mod contact;
mod context;
pub mod dev;
mod each;
mod error;
pub(crate) mod in_flight;
mod jaas;
pub(crate) mod overrides;
pub(crate) mod page;
pub(crate) mod partition_reader;
pub(crate) mod producer;
pub(crate) mod settings;
mod silence;
pub(crate) mod slots;
mod statistics;
pub(crate) mod table;
pub(crate) mod topic_name;

pub use background_drop::await_ended;
pub use settings::{ClientRole, ClientSettings};
