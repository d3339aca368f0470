//! The values behind a statement's parameters: looked up once per pair of schemas, by name where there is no schema.
//! Pure.

use std::borrow::Cow;
use std::sync::Arc;

use connector_api::{Datum, Error, Result, Schema, SinkRecord, Type, Value};

use super::super::bind::Binder;
use super::super::config::{SinkConfig, TimeRules};
use super::parse::Name;
use crate::catalog::ColumnMeta;
use crate::dialect::writing::Writing;
use crate::driver::Param;

/// One parameter, ready to be bound.
#[derive(Clone, Debug)]
pub struct Hole {
    /// As the statement has it, for texts.
    text: Arc<str>,
    source: Source,
    time: Arc<TimeRules>,
    /// What its value is cast to where the database must be told; empty: nothing.
    pub cast: String,
}

#[derive(Clone, Debug)]
enum Source {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Header(String, Binder),
    /// Of the key or the value: positions of fields within fields.
    Fields(Part, Vec<usize>, Binder),
    /// Looked up by name in each record, where a part has no schema. Both parts, or one.
    Members(Option<Part>, Vec<String>, Binder),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Key,
    Value,
}

impl Part {
    fn of(self, record: &SinkRecord) -> &Datum {
        match self {
            Self::Key => &record.record.key,
            Self::Value => &record.record.value,
        }
    }

    fn name(self) -> &'static str {
        if self == Self::Key { "key" } else { "value" }
    }
}

/// What all parameters of a task need.
pub struct Binding<'a> {
    /// The task's settings.
    pub config: &'a SinkConfig,
    /// Times of day and zones.
    pub time: &'a Arc<TimeRules>,
    /// The database.
    pub writing: &'a dyn Writing,
}

impl Binding<'_> {
    fn binder(&self, name: &str, schema: &Arc<Schema>, column: Option<&ColumnMeta>) -> Binder {
        Binder::of_value(self.config, self.time, self.writing, (name, column), schema)
    }

    /// Finds the parameter in records like this one. Errors: `Record`, with the names that there are.
    pub fn hole(&self, text: &str, name: &Name, column: Option<&ColumnMeta>, record: &SinkRecord) -> Result<Hole> {
        let (mut cast, text): (String, Arc<str>) = (String::new(), text.into());
        let unknown = || Arc::new(Schema::of(Type::String).optional(true));
        let source = match name {
            Name::Topic => Source::Topic,
            Name::Partition => Source::Partition,
            Name::Offset => Source::Offset,
            Name::Timestamp => Source::Timestamp,
            Name::Header(header) => Source::Header(header.clone(), self.binder(header, &unknown(), column)),
            Name::Key(path) | Name::Value(path) | Name::Field(path) => {
                let parts: &[Part] = match name {
                    Name::Key(_) => &[Part::Key],
                    Name::Value(_) => &[Part::Value],
                    _ => &[Part::Value, Part::Key],
                };
                let schemaless = |part: &Part| part.of(record).schema.is_none() && !part.of(record).value.is_null();
                let schemaless = parts.iter().any(schemaless);
                let found = parts.iter().find_map(|&part| Some((part, walk(part.of(record).schema.as_ref()?, path)?)));
                match found.filter(|_| !schemaless) {
                    Some((part, (fields, schema))) => {
                        plain(&text, schema)?;
                        cast = self.writing.argument_cast(schema).unwrap_or_default();
                        let last = path.last().map_or("", String::as_str);
                        Source::Fields(part, fields, self.binder(last, schema, column))
                    }
                    None if schemaless => {
                        let only = (parts.len() == 1).then_some(parts[0]);
                        Source::Members(
                            only,
                            path.clone(),
                            self.binder(path.last().map_or("", String::as_str), &unknown(), column),
                        )
                    }
                    None => return Err(missing(&text, parts, record)),
                }
            }
        };
        Ok(Hole { text, source, time: Arc::clone(self.time), cast })
    }
}

impl Hole {
    /// The value in a record. Errors: `Record`, when it has none or one that cannot be bound.
    pub fn param<'a>(&'a self, record: &'a SinkRecord) -> Result<Param<'a>> {
        let bound = match &self.source {
            Source::Topic => Ok(Param::Text(Cow::Borrowed(&record.record.topic))),
            Source::Partition => Ok(self.number(i64::from(record.at.partition))),
            Source::Offset => Ok(self.number(record.at.offset)),
            Source::Timestamp => Ok(record
                .record
                .timestamp_ms
                .map_or(Param::Null, |ms| Param::Text(self.time.timestamp(ms, 1000).into()))),
            Source::Header(name, binder) => {
                // of several headers of one key the last counts, as Kafka's `lastHeader` has it
                let header = record.record.headers.iter().rev().find(|header| *header.key == **name);
                let header = header.ok_or_else(|| {
                    Error::record(format!("the statement asks for :{}, and the record has no such header", self.text))
                })?;
                match &header.datum.schema {
                    Some(schema) => binder.lone(schema, &header.datum.value),
                    None => binder.loose(&header.datum.value),
                }
            }
            Source::Fields(part, fields, binder) => binder.value(within(&part.of(record).value, fields)),
            Source::Members(part, path, binder) => {
                let parts: &[Part] = part.as_ref().map_or(&[Part::Value, Part::Key], std::slice::from_ref);
                let found = parts.iter().find_map(|part| {
                    let Datum { schema, value } = part.of(record);
                    match schema {
                        Some(schema) => {
                            let (fields, schema) = walk(schema, path)?;
                            Some((within(value, &fields), Some(schema)))
                        }
                        None => Some((member(value, path)?, None)),
                    }
                });
                match found.ok_or_else(|| missing(&self.text, parts, record))? {
                    (value, Some(schema)) => binder.lone(schema, value),
                    (value, None) => binder.loose(value),
                }
            }
        };
        bound.map_err(|error| error.context(format!("parameter :{}", self.text)))
    }

    /// Numbers go as text where the database casts them.
    fn number(&self, n: i64) -> Param<'static> {
        if self.cast.is_empty() { Param::I64(n) } else { Param::Text(n.to_string().into()) }
    }
}

/// A struct, map or array cannot be bound as a whole.
fn plain(text: &str, schema: &Schema) -> Result<()> {
    let first = schema.fields.first().map_or("field", |f| &f.name);
    match schema.ty {
        Type::Struct => Err(Error::record(format!(
            "the statement's parameter :{text} is a struct: name one of its fields, such as :{text}.{first}"
        ))),
        _ => Ok(()),
    }
}

/// The positions of a path of fields, and the schema it leads to.
fn walk<'a>(schema: &'a Arc<Schema>, path: &[String]) -> Option<(Vec<usize>, &'a Arc<Schema>)> {
    let (mut at, mut fields) = (schema, Vec::with_capacity(path.len()));
    for name in path {
        if at.ty != Type::Struct {
            return None;
        }
        let n = at.field_index(name)?;
        fields.push(n);
        at = &at.fields[n].schema;
    }
    Some((fields, at))
}

/// The value at the end of a path; an optional struct that is not there has no members.
fn within<'a>(value: &'a Value, fields: &[usize]) -> &'a Value {
    fields.iter().fold(value, |value, &n| match value {
        Value::Struct(values) => values.get(n).unwrap_or(&Value::Null),
        _ => &Value::Null,
    })
}

/// The member of a value without schema.
fn member<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    let mut at = value;
    for name in path {
        let Value::Map(members) = at else { return None };
        at = &members.iter().find(|(key, _)| key.as_str() == Some(name))?.1;
    }
    Some(at)
}

/// What a record has in place of a parameter that it lacks.
fn missing(text: &str, parts: &[Part], record: &SinkRecord) -> Error {
    let shown = |part: &Part| {
        let datum = part.of(record);
        let name = part.name();
        match (&datum.schema, &datum.value) {
            (_, Value::Null) => format!("the {name} is null"),
            (Some(schema), _) if schema.ty == Type::Struct => {
                let fields: Vec<_> = schema.fields.iter().map(|f| &*f.name).collect();
                format!("the {name} has the fields {}", fields.join(", "))
            }
            (Some(schema), _) => format!("the {name} is a {}, which :{name} names", schema.ty.name()),
            (None, Value::Map(members)) => {
                let fields: Vec<_> = members.iter().filter_map(|(key, _)| key.as_str()).collect();
                format!("the {name} has the fields {}", fields.join(", "))
            }
            (None, _) => format!("the {name} is no object; :{name} names it"),
        }
    };
    let shown: Vec<_> = parts.iter().map(shown).collect();
    Error::record(format!("the statement asks for :{text}, which the record does not have: {}", shown.join("; ")))
}
