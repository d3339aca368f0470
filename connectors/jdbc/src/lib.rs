//! JDBC connectors: the source polls tables, the sink creates and fills them.
//!
//! Pure parts (`dialect`, `source::plan`, `sink::mapping`, `sink::write::group`) hold SQL text,
//! types and decisions; `driver` alone does I/O.

pub mod calendar;
pub mod catalog;
mod class_defaults;
pub mod dialect;
pub mod driver;
pub mod files;
pub mod ident;
mod privileges;
pub mod sink;
pub mod source;
pub mod url;
mod zone;
