//! What the user wants: keys, their values, and what is wrong with them.
//!
//! [`keys`] declares the keys (`values` checks single values), [`source_config`] reads them into [`SourceConfig`],
//! [`check`] says what does not fit together. [`mapping`] reads lists of tables and columns, [`query_text`] a query of the
//! user's own, [`schedule`] a cron expression.

pub mod check;
pub mod keys;
pub mod mapping;
pub mod query_text;
pub mod schedule;
mod source_config;
mod task_share;
mod values;

pub use self::source_config::{DeleteCapture, SourceConfig, SourceMode, TableSelection};
pub use self::task_share::TaskShare;
