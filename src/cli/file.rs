//! Connector files in the formats of Kafka Connect's tools: `{"name","config"}` as for POST, a flat
//! JSON object, a JSON list of either, or Java properties; `-` is standard input.

use std::path::Path;

use connector_api::{Error, Result};
use serde_json::{Map, Value};

use crate::settings::{file, properties};

/// Maximum size of a file of connectors or records, or of piped input, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// A connector that a file describes.
#[derive(Debug, PartialEq)]
pub(super) struct ConnectorFile {
    /// Its name.
    pub name: String,
    /// Its config.
    pub config: Map<String, Value>,
    /// `initial_state`, if given.
    pub initial_state: Option<Value>,
}

/// Reads the connectors of a file. Errors: `Config`, with the file's name.
pub(super) fn read(path: &Path) -> Result<Vec<ConnectorFile>> {
    parse(&text(path)?).map_err(|why| Error::config(format!("{}: {why}", path.display())))
}

/// Reads a file with a single connector, which gets this name. Errors: `Config`, with the file's
/// name.
pub(super) fn read_named(path: &Path, name: &str) -> Result<Vec<ConnectorFile>> {
    let all = objects(&text(path)?).and_then(|all| {
        let named = |mut object: Map<String, Value>| {
            object.insert("name".to_owned(), name.into());
            if let Some(Value::Object(config)) = object.get_mut("config") {
                config.insert("name".to_owned(), name.into());
            }
            described(object)
        };
        all.into_iter().map(named).collect::<Result<Vec<_>, _>>()
    });
    all.map_err(|why| Error::config(format!("{}: {why}", path.display())))
}

/// Reads the config of a file's first connector, which needs no name. Errors: `Config`, with the file's name.
pub(super) fn read_config(path: &Path) -> Result<Map<String, Value>> {
    let all = objects(&text(path)?)
        .and_then(|all| all.into_iter().map(parts).collect::<Result<Vec<_>, _>>());
    let first = all.and_then(|all| {
        all.into_iter()
            .next()
            .ok_or_else(|| "it contains no connector".to_owned())
    });
    first
        .map(|(_, config, _)| config)
        .map_err(|why| Error::config(format!("{}: {why}", path.display())))
}

/// Returns the text of a file; `-` is standard input. Errors: `Config`, with the file's name.
pub(super) fn text(path: &Path) -> Result<String> {
    let shown = path.display();
    let bytes = if path == Path::new("-") {
        file::whole(std::io::stdin(), MAX_BYTES)
    } else {
        file::bytes(path, MAX_BYTES)
    };
    bytes
        .and_then(file::utf8)
        .map_err(|error| Error::config(format!("cannot read {shown}: {error}")))
}

fn parse(text: &str) -> Result<Vec<ConnectorFile>, String> {
    objects(text)?.into_iter().map(described).collect()
}

/// Returns the connectors of a file.
fn objects(text: &str) -> Result<Vec<Map<String, Value>>, String> {
    if !text.trim_start().starts_with(['{', '[']) {
        let pairs = properties::parse(text).map_err(|(line, why)| format!("line {line}: {why}"))?;
        return Ok(vec![
            pairs
                .into_iter()
                .map(|(key, value)| (key, Value::String(value)))
                .collect(),
        ]);
    }
    match serde_json::from_str(text).map_err(|error| error.to_string())? {
        Value::Array(items) => items.into_iter().map(object).collect(),
        other => Ok(vec![object(other)?]),
    }
}

fn object(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(object) => Ok(object),
        other => Err(format!("a connector is a JSON object, not {other}")),
    }
}

/// Name, config and initial state.
type ConnectorFileParts = (Option<Value>, Map<String, Value>, Option<Value>);

fn parts(mut object: Map<String, Value>) -> Result<ConnectorFileParts, String> {
    let initial_state = object.remove("initial_state");
    match object.remove("config") {
        Some(Value::Object(config)) => Ok((
            object
                .remove("name")
                .or_else(|| config.get("name").cloned()),
            config,
            initial_state,
        )),
        Some(_) => Err("the member \"config\" is not an object".to_owned()),
        None => Ok((object.get("name").cloned(), object, initial_state)),
    }
}

fn described(object: Map<String, Value>) -> Result<ConnectorFile, String> {
    let (name, config, initial_state) = parts(object)?;
    match name {
        Some(Value::String(name)) => Ok(ConnectorFile {
            name,
            config,
            initial_state,
        }),
        _ => Err("the connector has no \"name\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn every_form_that_kafka_connect_takes_is_read() {
        for text in [
            r#"{"name":"n","config":{"a":"1"}}"#,
            r#"{"config":{"a":"1","name":"n"}}"#,
            r#"[{"name":"n","a":"1"}]"#,
            "name=n\na: 1\n",
        ] {
            let read = parse(text).unwrap();
            assert_eq!((read.len(), read[0].name.as_str()), (1, "n"), "{text}");
            assert_eq!(read[0].config["a"], "1", "{text}");
        }
        for bad in [
            "{",
            "[1]",
            r#"{"config":{}}"#,
            r#"{"name":"n","config":1}"#,
            "a=1",
        ] {
            parse(bad).unwrap_err();
        }
    }
}
