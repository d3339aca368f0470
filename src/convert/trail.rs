//! Adds lines to an error that name the field it occurred in and suggest a fix. Contains no values.
//!
//! All of it is built while an error propagates: values that convert cost nothing.

#![expect(
    clippy::indexing_slicing,
    reason = "no more bytes are taken than there are"
)]

use connector_api::{Error, ErrorKind, Schema, logical};

/// Maximum number of names shown of a path.
const MOST_NAMES: usize = 32;
/// Maximum number of bytes shown of a name.
const LONGEST_NAME: usize = 100;

/// The line about values that are JSON within JSON.
pub(super) const TWICE: &str = "it is a text that contains a JSON object: the producer encoded it twice, because it passed \
     JSON text to a JSON serializer; send the object itself, or read it with StringConverter";

/// Advice for when strict mode refuses a JSON value.
pub(super) const STRICT: &str = "Payload and schema must agree. With the converter's key strict=false such values are read as \
     Kafka Connect does: truncated to the type, or as 0 or null.";

/// Advice for when a value to be written does not match its schema.
pub(super) const WRITTEN: &str = "Value and schema of the record disagree: look for a transform (transforms) that changes only \
     one of them.";

/// Advice for when the schema itself cannot be read.
const SCHEMA: &str = "The schema of the record is not one that JsonConverter writes. Check what the producer \
     sends; records without a schema are read with the converter's key schemas.enable=false.";

/// Advice for when a text is not base64.
pub(super) const NOT_BASE64: &str = "The text that was found there is not base64. bytes are sent as base64, and a Decimal as the \
     base64 of the bytes of its unscaled number, with parameters.scale in the schema; a Decimal \
     may also be sent as a JSON number (decimal.format=NUMERIC of the producer's converter).";

/// Advice for when a required field is null.
pub(super) const REQUIRED: &str = "The schema does not declare the field optional and has no default for it: the producer must \
     send a value, or declare optional=true.";

/// The path of the field in which an error occurred, from the inside out.
#[derive(Default)]
pub(super) struct FieldPath {
    names: Vec<Box<str>>,
    /// What the schema declares for the innermost field.
    declared: Option<&'static str>,
    /// True if the value is a JSON object within a text.
    pub(super) twice: bool,
    pub(super) hint: Option<&'static str>,
    /// True if it is the schema that is wrong, and not the payload.
    in_schema: bool,
}

impl FieldPath {
    /// Adds the field in which the error occurred, with what its schema declares.
    #[cold]
    pub(super) fn met(
        &mut self,
        error: Error,
        name: &str,
        declared: Option<&'static str>,
    ) -> Error {
        self.add(name, declared);
        error
    }

    fn add(&mut self, name: &str, declared: Option<&'static str>) {
        if self.names.is_empty() {
            self.declared = declared;
        }
        if self.names.len() < MOST_NAMES {
            self.names.push(shortened(name).into());
        }
    }

    /// Appends the lines about the field to the error.
    #[cold]
    pub(super) fn located(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Record {
            return error;
        }
        let mut lines = Vec::new();
        if !self.names.is_empty() {
            let path: Vec<_> = self.names.iter().rev().map(|name| &**name).collect();
            let path = path.join(".").replace(".[]", "[]").replace(".{}", "{}");
            let more = if self.names.len() == MOST_NAMES {
                "…"
            } else {
                ""
            };
            let declared = self.declared.map_or(String::new(), |ty| {
                format!(", which the schema declares {ty}")
            });
            let part = if self.in_schema { "schema" } else { "payload" };
            lines.push(format!(
                "It is the field {more}{path} of the {part}{declared}."
            ));
        }
        if self.twice {
            lines.push(format!("What was found there: {TWICE}."));
        }
        lines.extend(self.hint.map(str::to_owned));
        lines
            .into_iter()
            .fold(error, |error, line| error.and_line(&line))
    }
}

/// The line about Debezium records that report schema changes.
const SCHEMA_CHANGE: &str = "The record looks like one from a topic in which Debezium describes changes of tables (its \
     schema history, or the topic named like the source's topic.prefix), and not like a row: \
     remove that topic from topics and topics.regex (an expression that begins with (?!NAME$) does \
     not match the topic NAME), or configure the source not to send such records \
     (include.schema.changes=false).";
/// Maximum number of bytes of a record that are searched for its kind.
const LOOKED_THROUGH: usize = 64 * 1024;

/// Adds a line to the error of an undecodable record if its bytes show what kind of record it is.
#[cold]
pub(super) fn hint_schema_change(error: Error, bytes: &[u8]) -> Error {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LOOKED_THROUGH)]);
    let has = |name: &str| text.contains(name);
    // Either a member of the JSON, or a field in its envelope's schema.
    let describes_tables = has("\"ddl\"") && (has("\"databaseName\"") || has("\"tableChanges\""));
    if error.kind() == ErrorKind::Record && describes_tables {
        error.and_line(SCHEMA_CHANGE)
    } else {
        error
    }
}

/// An error that propagates, with the path of its field. Boxed to be small, because every result
/// reserves space for it.
pub(super) struct LocatedError(Box<(Error, FieldPath)>);

impl From<Error> for LocatedError {
    #[cold]
    fn from(error: Error) -> Self {
        Self(Box::new((error, FieldPath::default())))
    }
}

impl LocatedError {
    /// Adds the enclosing field to the path.
    #[cold]
    pub(super) fn within(mut self, name: &str, declared: &'static str) -> Self {
        self.0.1.add(name, Some(declared));
        self
    }

    /// Adds the enclosing member of a schemaless value to the path.
    #[cold]
    pub(super) fn within_plain(mut self, name: &str) -> Self {
        self.0.1.add(name, None);
        self
    }

    /// Adds a line of advice.
    #[cold]
    pub(super) fn hint(mut self, hint: &'static str) -> Self {
        self.0.1.hint = Some(hint);
        self
    }

    /// Converts into an error of a schema, with the lines about the field that it describes.
    #[cold]
    pub(super) fn located_in_schema(self) -> Error {
        let (error, mut trail) = *self.0;
        trail.in_schema = true;
        if trail.hint.is_none() {
            trail.hint = Some(SCHEMA);
        }
        trail.located(error)
    }

    /// Converts into an error with the lines about its field.
    #[cold]
    pub(super) fn located(self) -> Error {
        let (error, trail) = *self.0;
        trail.located(error)
    }
}

/// Returns the beginning of a name, as long as messages show it.
pub(crate) fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(LONGEST_NAME)]
}

/// Returns what a schema declares, in one word: the logical type if Connect has one.
pub(crate) fn declared(schema: &Schema) -> &'static str {
    match schema.name.as_deref() {
        Some(logical::DECIMAL) => "Decimal",
        Some(logical::DATE) => "Date",
        Some(logical::TIME) => "Time",
        Some(logical::TIMESTAMP) => "Timestamp",
        _ => schema.ty.name(),
    }
}

/// True if a text looks like a JSON object.
pub(crate) fn holds_object(text: &str) -> bool {
    let text = text.trim();
    text.starts_with('{') && text.ends_with('}') && text.contains('"')
}
