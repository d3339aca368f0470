//! FileStreamSource and FileStreamSink: they turn the lines of a file into records, and records
//! into lines of a file.
//!
//! They accept the configurations of Kafka's own connectors of these names
//! (`org.apache.kafka.connect.file`) and store the same source offsets. They are also the
//! connectors to copy when writing one: `source` and `sink` contain the connectors, `source_task`
//! and `sink_task` their tasks, `lines` and `journal` what is specific to files, and
//! `tests/contract.rs` runs the contract tests of `connector_api::suite`.

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

mod journal;
mod lines;
mod sink;
mod sink_task;
mod source;
mod source_task;
mod stdin;

use std::path::Path;

use connector_api::config::{ConfigKey, ConfigType, DefaultValue, Importance, Width};
use connector_api::files::AllowedFiles;
use connector_api::{Config, ConfigReport, Error, Result};

pub use sink::FileStreamSink;
pub use source::FileStreamSource;

/// The worker key that lists the folders whose files may be used.
pub const SETTING: &str = "file.allowed.paths";

/// Declares a key as Kafka's file connectors do: without a form group or width.
const fn key(
    name: &'static str,
    ty: ConfigType,
    default: DefaultValue,
    importance: Importance,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey::new(name, ty, default, "", doc)
        .importance(importance)
        .form(Width::None, name)
}

/// Returns the file name; `None` if empty, which Kafka reads as standard input or output.
fn named(file: Option<String>) -> Option<String> {
    file.filter(|file| !file.is_empty())
}

/// Reports a file that the worker's settings do not allow, during validation.
fn check_allowed(files: &AllowedFiles, config: &Config, report: &mut ConfigReport) {
    let file = named(config.get("file").map(|file| file.trim().to_owned()));
    if let Some(Err(error)) = file.map(|file| files.admit(file.as_ref())) {
        report.error("file", error.to_string());
    }
}

/// Classifies an I/O error. A full disk and similar conditions are transient (`Retry`); a missing
/// or inaccessible file requires a change by the user.
fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
    let text = format!("{} cannot be {what}: {error}", path.display());
    match error.kind() {
        PermissionDenied => Error::denied(format!("{text}; give the worker's user access to it")),
        NotFound | NotADirectory | IsADirectory => {
            Error::config(format!("{text}; correct `file`, or create the folder"))
        }
        _ => Error::retry(text),
    }
    .caused_by(error)
}

/// Refuses anything but a regular file: a pipe or device would block the task, and has no
/// positions.
fn regular(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(Error::config(format!(
            "{} is not a regular file; name one in `file`",
            path.display()
        ))),
        _ => Ok(()),
    }
}
