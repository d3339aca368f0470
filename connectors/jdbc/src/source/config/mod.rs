//! What the user asked for: keys, their values, and validation.
//!
//! [`keys`] declares the keys (`values` checks single values), [`source_config`] reads them into
//! [`SourceConfig`], [`check`] reports values that do not fit together. [`mapping`] parses lists of
//! tables and columns, [`query_text`] a user's query, [`schedule`] a cron expression.

pub(super) mod check;
pub(super) mod keys;
pub(super) mod mapping;
pub(super) mod query_text;
pub mod schedule;
mod source_config;
mod task_share;
mod values;

pub(super) use self::source_config::{
    CdcSettings, DeleteCapture, PublicationMaking, SlotSettings, SourceConfig, SourceMode,
    TableSelection, nothing_assigned,
};
pub(super) use self::task_share::TaskShare;
