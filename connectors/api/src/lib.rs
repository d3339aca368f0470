//! The API that Rowferry connectors are written against: schemas, values, records, configuration
//! keys, task traits and errors.
//!
//! This crate does not depend on tokio, Kafka, SQL or HTTP. A connector implements
//! [`SourceConnector`] or [`SinkConnector`]; the runtime plans its tasks, opens them, polls them or
//! passes records to them, and alone decides about offsets, retries and dead letters.
//!
//! How to write a connector:
//! 1. declare its keys as one `const KEYS: &[ConfigKey]` table and read them with [`Config::read`];
//! 2. implement [`Plugin`] (class name, keys, pure checks) and [`SourceConnector`] or
//!    [`SinkConnector`];
//! 3. implement the task: [`SourceTask::poll`] returns a [`SourceBatch`], [`SinkTask::put`] writes
//!    a slice of records;
//! 4. register it in the runtime's registry (`src/registry/mod.rs`);
//! 5. test it with the contract tests of `suite` (cargo feature `suite`).
//!
//! `connectors/file` is a complete connector, short enough to read and to copy.
//!
//! Values are physical, as on the wire. Logical types (Decimal, Date, Time, Timestamp) are names in
//! the schema, except that [`Value::Decimal`] holds a decimal itself instead of its bytes.

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
#![warn(missing_docs)]

mod backoff;
pub mod calendar;
pub mod config;
mod convert;
mod decimal;
mod error;
pub mod fail_point;
pub mod files;
mod heartbeat;
pub mod java;
pub mod locks;
pub mod pattern;
mod preview;
mod record;
mod reread;
mod schema;
pub mod shown;
mod sink;
mod source;
#[cfg(feature = "suite")]
pub mod suite;
pub mod text;
mod transform;
mod value;

pub use async_trait::async_trait;
pub use backoff::Backoff;
pub use config::{Config, ConfigKey, ConfigReader, ConfigReport, Plugin};
pub use convert::{Converter, EncodedPresence};
pub use decimal::Decimal;
pub use error::{Error, ErrorKind, Result};
pub use heartbeat::Heartbeat;
pub use preview::{
    ColumnPreview, PreviewLimits, SinkPreview, SourcePreview, TablePreview, TargetPreview,
};
pub use record::{Datum, Header, Headers, Record, SinkRecord, TopicOffset, TopicPartition};
pub use reread::{Reread, RereadProgress, RereadState, TaskRequest};
pub use schema::{Field, Schema, SchemaType, logical};
pub use sink::{PutReport, Rejected, SinkConnector, SinkTask};
pub use source::{
    OffsetValue, ProgressReport, SourceBatch, SourceConnector, SourceOffset, SourcePartition,
    SourcePosition, SourceTask, StoredOffsets, TableProgress, TaskPlan,
};
pub use transform::{Predicate, Transform};
pub use value::Value;
