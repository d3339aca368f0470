//! Finds the values of a statement's parameters: resolved once per pair of schemas, or by name in
//! each record without schema. Pure.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same schema"
)]

use std::borrow::Cow;
use std::sync::Arc;

use connector_api::{Datum, Error, Result, Schema, SchemaType, SinkRecord, Value};

use crate::catalog::ColumnMeta;
use crate::dialect::writing::WriteDialect;
use crate::driver::SqlParam;
use crate::sink::config::placeholder::Placeholder;
use crate::sink::config::template::ParameterName;
use crate::sink::config::{SinkConfig, TimeRules};
use crate::sink::write::bind::ColumnBinder;

/// One parameter, ready to be bound.
#[derive(Clone, Debug)]
pub(super) struct StatementParameter {
    /// The parameter as the statement has it, for messages.
    text: Arc<str>,
    source: ParameterSource,
    time: Arc<TimeRules>,
    /// The SQL type to cast to, if the database needs it; empty for no cast.
    pub cast: String,
    placeholder: Option<Arc<Placeholder>>,
}

#[derive(Clone, Debug)]
enum ParameterSource {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Header(String, ColumnBinder),
    /// A field of the key or the value: positions of nested fields.
    Fields(RecordPart, Vec<usize>, ColumnBinder),
    /// A field looked up by name in each record, if a part has no schema; in that part, or in both.
    Members(Option<RecordPart>, Vec<String>, ColumnBinder),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordPart {
    Key,
    Value,
}

impl RecordPart {
    fn of(self, record: &SinkRecord) -> &Datum {
        match self {
            Self::Key => &record.record.key,
            Self::Value => &record.record.value,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }

    /// True if there is a value, and no schema for it.
    fn is_schemaless(self, record: &SinkRecord) -> bool {
        let Datum { schema, value } = self.of(record);
        schema.is_none() && !value.is_null()
    }

    /// Returns the positions of a path of fields, and the schema it leads to.
    fn field<'a>(
        self,
        record: &'a SinkRecord,
        path: &[String],
    ) -> Option<(Self, Vec<usize>, &'a Arc<Schema>)> {
        let schema = self.of(record).schema.as_ref()?;
        let (fields, schema) = walk(schema, path)?;
        Some((self, fields, schema))
    }
}

/// Inputs that all parameters of a task share.
pub(super) struct BindContext<'a> {
    pub config: &'a SinkConfig,
    pub time: &'a Arc<TimeRules>,
    pub writing: &'a WriteDialect,
}

impl BindContext<'_> {
    fn binder(
        &self,
        name: &str,
        schema: &Arc<Schema>,
        column: Option<&ColumnMeta>,
    ) -> ColumnBinder {
        ColumnBinder::of_value(self.config, self.time, self.writing, (name, column), schema)
    }

    /// Resolves the parameter in records like this one.
    /// Errors: `Record`, with the names that exist.
    pub(super) fn parameter(
        &self,
        text: &str,
        name: &ParameterName,
        column: Option<&ColumnMeta>,
        record: &SinkRecord,
    ) -> Result<StatementParameter> {
        const KEY: &[RecordPart] = &[RecordPart::Key];
        const VALUE: &[RecordPart] = &[RecordPart::Value];
        const BOTH: &[RecordPart] = &[RecordPart::Value, RecordPart::Key];
        let mut cast = String::new();
        let source = match name {
            ParameterName::Topic => ParameterSource::Topic,
            ParameterName::Partition => ParameterSource::Partition,
            ParameterName::Offset => ParameterSource::Offset,
            ParameterName::Timestamp => ParameterSource::Timestamp,
            ParameterName::Header(header) => {
                let binder = self.binder(header, &any_schema(), column);
                ParameterSource::Header(header.clone(), binder)
            }
            ParameterName::Key(path) | ParameterName::Value(path) | ParameterName::Field(path) => {
                let parts = match name {
                    ParameterName::Key(_) => KEY,
                    ParameterName::Value(_) => VALUE,
                    _ => BOTH,
                };
                let last = path.last().map_or("", String::as_str);
                if parts.iter().any(|part| part.is_schemaless(record)) {
                    let only = (parts.len() == 1).then_some(parts[0]);
                    let binder = self.binder(last, &any_schema(), column);
                    ParameterSource::Members(only, path.clone(), binder)
                } else {
                    let found = parts.iter().find_map(|part| part.field(record, path));
                    let (part, fields, schema) =
                        found.ok_or_else(|| missing(text, parts, record))?;
                    refuse_struct(text, schema)?;
                    cast = self
                        .writing
                        .columns
                        .argument_cast(schema)
                        .unwrap_or_default();
                    ParameterSource::Fields(part, fields, self.binder(last, schema, column))
                }
            }
        };
        Ok(StatementParameter {
            text: text.into(),
            source,
            time: Arc::clone(self.time),
            cast,
            placeholder: self.config.placeholder.clone(),
        })
    }
}

/// The schema of values that bring none, or one of their own.
fn any_schema() -> Arc<Schema> {
    Arc::new(Schema::of(SchemaType::String).optional(true))
}

impl StatementParameter {
    /// Returns the value from a record.
    /// Errors: `Record` if there is none or it cannot be bound.
    pub(super) fn param<'a>(&'a self, record: &'a SinkRecord) -> Result<SqlParam<'a>> {
        let bound = match &self.source {
            ParameterSource::Topic => Ok(SqlParam::Text(Cow::Borrowed(&record.record.topic))),
            ParameterSource::Partition => Ok(self.number(i64::from(record.at.partition))),
            ParameterSource::Offset => Ok(self.number(record.at.offset)),
            ParameterSource::Timestamp => Ok(self.timestamp(record)),
            ParameterSource::Header(name, binder) => self.header(record, name, binder),
            ParameterSource::Fields(part, fields, binder) => {
                let value = within(&part.of(record).value, fields);
                self.check_available(value)
                    .and_then(|()| binder.value(value))
            }
            ParameterSource::Members(part, path, binder) => {
                let parts: &[RecordPart] = part
                    .as_ref()
                    .map_or(&[RecordPart::Value, RecordPart::Key], std::slice::from_ref);
                self.member(record, parts, path, binder)
            }
        };
        bound.map_err(|error| error.context(format!("parameter :{}", self.text)))
    }

    /// Binds the record's timestamp.
    fn timestamp(&self, record: &SinkRecord) -> SqlParam<'static> {
        record.record.timestamp_ms.map_or(SqlParam::Null, |ms| {
            SqlParam::Text(self.time.timestamp(ms, 1000).into())
        })
    }

    /// Binds a header. Of several of one key the last one counts, as in Kafka's `lastHeader`.
    fn header<'a>(
        &'a self,
        record: &'a SinkRecord,
        name: &str,
        binder: &'a ColumnBinder,
    ) -> Result<SqlParam<'a>> {
        let mut headers = record.record.headers.iter().rev();
        let Some(header) = headers.find(|header| *header.key == *name) else {
            return Err(Error::record(format!(
                "the statement needs :{}, but the record has no such header",
                self.text
            )));
        };
        match &header.datum.schema {
            Some(schema) => binder.with_schema(schema, &header.datum.value),
            None => binder.schemaless(&header.datum.value),
        }
    }

    /// Binds a field that is looked up by name, in the first part that has it.
    fn member<'a>(
        &'a self,
        record: &'a SinkRecord,
        parts: &[RecordPart],
        path: &[String],
        binder: &'a ColumnBinder,
    ) -> Result<SqlParam<'a>> {
        for part in parts {
            let Datum { schema, value } = part.of(record);
            let Some(schema) = schema else {
                match member(value, path) {
                    Some(value) => {
                        self.check_available(value)?;
                        return binder.schemaless(value);
                    }
                    None => continue,
                }
            };
            if let Some((fields, schema)) = walk(schema, path) {
                let value = within(value, &fields);
                self.check_available(value)?;
                return binder.with_schema(schema, value);
            }
        }
        Err(missing(&self.text, parts, record))
    }

    /// Refuses Debezium's placeholder for a value that the record does not contain: a statement
    /// cannot leave a parameter out.
    fn check_available(&self, value: &Value) -> Result<()> {
        let is_placeholder = |placeholder: &Arc<Placeholder>| placeholder.is_plain(value);
        if self.placeholder.as_ref().is_some_and(is_placeholder) {
            return Err(Error::record(
                "the change event does not contain this value, but Debezium's placeholder for it; let the source send all \
                 values (on PostgreSQL REPLICA IDENTITY FULL), or use an insert.mode that leaves the column out, or set \
                 unavailable.value.placeholder to an empty text to write the placeholder",
            ));
        }
        Ok(())
    }

    /// Binds a number, as text if the database casts it.
    fn number(&self, n: i64) -> SqlParam<'static> {
        if self.cast.is_empty() {
            SqlParam::I64(n)
        } else {
            SqlParam::Text(n.to_string().into())
        }
    }
}

impl StatementParameter {
    /// Returns the parameter as the statement has it.
    pub(super) fn name(&self) -> &str {
        &self.text
    }

    /// Returns the line of an error that names the parameter's type, the type that it is cast to and
    /// what helps; `None` if it is no field.
    pub(super) fn described(&self) -> Option<String> {
        match &self.source {
            ParameterSource::Header(_, binder)
            | ParameterSource::Fields(_, _, binder)
            | ParameterSource::Members(_, _, binder) => Some(binder.described("")),
            ParameterSource::Topic
            | ParameterSource::Partition
            | ParameterSource::Offset
            | ParameterSource::Timestamp => None,
        }
    }
}

/// Refuses a struct or map, which cannot be bound as a whole.
fn refuse_struct(text: &str, schema: &Schema) -> Result<()> {
    let first = schema.fields.first().map_or("field", |f| &f.name);
    match schema.ty {
        SchemaType::Struct => Err(Error::record(format!(
            "the statement's parameter :{text} is a struct: name one of its fields, such as :{text}.{first}"
        ))),
        _ => Ok(()),
    }
}

/// Returns the positions of a path of fields, and the schema it leads to.
fn walk<'a>(schema: &'a Arc<Schema>, path: &[String]) -> Option<(Vec<usize>, &'a Arc<Schema>)> {
    let (mut at, mut fields) = (schema, Vec::with_capacity(path.len()));
    for name in path {
        if at.ty != SchemaType::Struct {
            return None;
        }
        let n = at.field_index(name)?;
        fields.push(n);
        at = &at.fields[n].schema;
    }
    Some((fields, at))
}

/// Returns the value at the end of a path; an optional struct that is null has no members.
fn within<'a>(value: &'a Value, fields: &[usize]) -> &'a Value {
    fields.iter().fold(value, |value, &n| match value {
        Value::Struct(values) => values.get(n).unwrap_or(&Value::Null),
        _ => &Value::Null,
    })
}

/// Returns the member of a value without schema.
fn member<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    let mut at = value;
    for name in path {
        let Value::Map(members) = at else { return None };
        at = &members
            .iter()
            .find(|(key, _)| key.as_str() == Some(name))?
            .1;
    }
    Some(at)
}

/// The error of a parameter that a record has no value for.
fn missing(text: &str, parts: &[RecordPart], record: &SinkRecord) -> Error {
    let shown = |part: &RecordPart| {
        let datum = part.of(record);
        let name = part.name();
        match (&datum.schema, &datum.value) {
            (_, Value::Null) => format!("the {name} is null"),
            (Some(schema), _) if schema.ty == SchemaType::Struct => {
                let fields: Vec<_> = schema.fields.iter().map(|f| &*f.name).collect();
                format!("the {name} has the fields {}", fields.join(", "))
            }
            (Some(schema), _) => {
                format!("the {name} is a {}, which is :{name}", schema.ty.name())
            }
            (None, Value::Map(members)) => {
                let fields: Vec<_> = members.iter().filter_map(|(key, _)| key.as_str()).collect();
                format!("the {name} has the fields {}", fields.join(", "))
            }
            (None, _) => format!("the {name} is not an object; use :{name} for it"),
        }
    };
    let shown: Vec<_> = parts.iter().map(shown).collect();
    Error::record(format!(
        "the statement needs :{text}, which the record does not have: {}",
        shown.join("; ")
    ))
}
