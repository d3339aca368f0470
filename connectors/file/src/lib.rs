//! FileStreamSource and FileStreamSink: the lines of a file become records, and records become
//! lines of a file.
//!
//! They take the configurations of Kafka's own connectors of these names
//! (`org.apache.kafka.connect.file`) and store the same source offsets. They are also the
//! connectors to copy when you write one: `source` and `sink` each hold a connector and its task,
//! `lines` and `journal` what is special about files, and `tests/contract.rs` calls the contract
//! tests of `connector_api::suite`.

mod journal;
mod lines;
mod sink;
mod source;
mod stdin;

use std::path::Path;

use connector_api::config::{ConfigKey, ConfigType, DefaultValue, Importance, Width};
use connector_api::files::AllowedFiles;
use connector_api::{Config, ConfigReport, Error, Result};

pub use sink::FileStreamSink;
pub use source::FileStreamSource;

/// The worker's key that names the folders whose files may be used.
pub const SETTING: &str = "file.allowed.paths";

/// A key as Kafka's file connectors declare theirs: without a form group and a width.
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

/// The file's name, if it is one: Kafka takes an empty one for standard input or output.
fn named(file: Option<String>) -> Option<String> {
    file.filter(|file| !file.is_empty())
}

/// Refuses a file that the worker's settings do not allow, while a config is validated.
fn check_allowed(files: &AllowedFiles, config: &Config, report: &mut ConfigReport) {
    let file = named(config.get("file").map(|file| file.trim().to_owned()));
    if let Some(Err(error)) = file.map(|file| files.admit(file.as_ref())) {
        report.error("file", error.to_string());
    }
}

/// What the operating system says about a file. A full disk and the like may pass; a file that is
/// not there or not accessible needs a person.
fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
    let text = format!("{} cannot be {what}: {error}", path.display());
    match error.kind() {
        PermissionDenied => Error::denied(format!("{text}; give the worker's user access to it")),
        NotFound | NotADirectory | IsADirectory => {
            Error::config(format!("{text}; correct `file`, or make the folder"))
        }
        _ => Error::retry(text),
    }
    .caused_by(error)
}

/// Refuses what is there and no regular file: a pipe or a device would block the task, and has no
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
