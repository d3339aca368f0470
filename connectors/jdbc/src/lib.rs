//! JDBC connectors: the source polls tables, the sink creates and fills them.
//!
//! Pure parts (`dialect`, `source::plan`, `sink::mapping`, `sink::write::group`) hold SQL text,
//! types and decisions; `driver` alone does I/O.

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

pub mod binlog;
mod calendar;
mod catalog;
mod class_defaults;
mod dialect;
mod driver;
pub mod files;
mod ident;
pub mod pgoutput;
mod privileges;
pub mod sink;
pub mod source;
pub mod url;
mod zone;
