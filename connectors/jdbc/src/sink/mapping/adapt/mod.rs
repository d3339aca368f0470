//! Converts records to rows: Debezium's change events, deletion markers, nested values, plain JSON.
//!
//! Pure. Each schema is analysed once; records that are rows already pass unchanged.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same schema, and parts follow its fields"
)]

pub(crate) mod debezium;
mod event;
pub(crate) mod json;
mod number_to_time;
mod plain;
#[cfg(test)]
mod tests;
mod unavailable;

use std::sync::Arc;

use connector_api::{Datum, Error, Field, Record, Result, Schema, SchemaType, SinkRecord, Value};

use self::debezium::DebeziumType;
pub(crate) use self::plain::{PlainTarget, type_of};
use self::unavailable::ReducedSchemas;
use super::foreign;
use crate::dialect::logical_type::JSON;
use crate::sink::config::adapt_rules::{AdaptRules, Nested};

const RECENT: usize = 16;
/// Most bytes of a flattened column's name; no database accepts names that long.
const MAX_NAME: usize = 1024;

/// The outcome of a record.
#[derive(Debug, PartialEq)]
pub(crate) enum Adapted {
    /// The record is a row, or a deletion, already.
    Same,
    /// The record is replaced by this one.
    Changed(Box<SinkRecord>),
    /// The record is skipped.
    Skip,
    /// The record's table is emptied.
    Truncate,
}

/// Converts records to rows, and caches the analysis of the latest schemas.
#[derive(Debug)]
pub(crate) struct Adapter {
    rules: AdaptRules,
    recipes: Vec<(Arc<Schema>, Option<Recipe>)>,
    /// Schemas made for records without one.
    plain: Vec<Arc<Schema>>,
}

/// How records of one schema are converted.
#[derive(Debug)]
struct Recipe {
    event: Option<Event>,
    /// Position of the deletion marker in the row.
    mark: Option<usize>,
    /// The schema of the rows.
    schema: Arc<Schema>,
    /// How the members are converted; `None`: unchanged.
    parts: Option<Vec<AdaptedPart>>,
    /// The members may be placeholders for values that the event does not contain.
    may_lack: bool,
    shortened: ReducedSchemas,
}

/// Positions of fields in a change event.
#[derive(Clone, Copy, Debug)]
struct Event {
    op: usize,
    after: usize,
}

#[derive(Debug)]
struct AdaptedPart {
    path: Vec<usize>,
    change: Change,
}

/// How a member is converted.
#[derive(Debug)]
enum Change {
    Nothing,
    Json(Arc<Schema>),
    /// To the text of what it represents.
    Meaning(NamedType),
    /// Like `Meaning`, for each item of a list.
    Items(NamedType),
}

/// One of Debezium's types, with the schema's name for messages.
#[derive(Debug)]
struct NamedType {
    ty: DebeziumType,
    name: Arc<str>,
}

impl NamedType {
    fn new(ty: DebeziumType, schema: &Schema) -> Self {
        let items = schema.values.as_deref();
        let name = schema
            .name
            .as_ref()
            .or_else(|| items.and_then(|items| items.name.as_ref()));
        Self {
            ty,
            name: name.map_or_else(|| Arc::from("io.debezium"), Arc::clone),
        }
    }

    /// The error of a value that is not as the schema's name promises.
    #[cold]
    fn broken_by(&self, value: &Value) -> Error {
        let (found, name) = (type_of(value).name(), &self.name);
        Error::record(format!(
            "its value is {found} in another form than its schema's name {name} promises, or out of \
             its range"
        ))
        .and_line(
            "SetSchemaMetadata or Cast gives the field another type, field.exclude.list leaves it \
             out, and errors.tolerance=all skips such records.",
        )
    }
}

impl Adapter {
    /// Creates an adapter with these rules.
    pub(crate) fn new(rules: AdaptRules) -> Self {
        Self {
            rules,
            recipes: Vec::new(),
            plain: Vec::new(),
        }
    }

    /// Converts one record. Errors: `Record`.
    pub(crate) fn apply(&mut self, record: &SinkRecord) -> Result<Adapted> {
        let value = &record.record.value;
        if value.value.is_null() {
            let ignored = self.rules.ignore_tombstones && !self.rules.deletes;
            return Ok(if ignored {
                Adapted::Skip
            } else {
                Adapted::Same
            });
        }
        let Some(schema) = value
            .schema
            .as_ref()
            .filter(|schema| schema.ty == SchemaType::Struct)
        else {
            return Ok(Adapted::Same);
        };
        let at = match self
            .recipes
            .iter()
            .position(|(known, _)| Arc::ptr_eq(known, schema))
        {
            Some(at) => at,
            None => {
                if self.recipes.len() == RECENT {
                    self.recipes.remove(0);
                }
                self.recipes
                    .push((Arc::clone(schema), recipe(&self.rules, schema)?));
                self.recipes.len() - 1
            }
        };
        match &mut self.recipes[at].1 {
            None => Ok(Adapted::Same),
            Some(recipe) => recipe.follow(&self.rules, record),
        }
    }
}

impl Recipe {
    fn follow(&mut self, rules: &AdaptRules, record: &SinkRecord) -> Result<Adapted> {
        let whole = &record.record.value.value;
        let (mut row, mut deleted) = (whole, false);
        if let Some(event) = self.event {
            row = member(whole, event.after);
            let op = member(whole, event.op).as_str().unwrap_or_default();
            if let Some(outcome) = event::outcome_without_row(op, row, rules)? {
                return Ok(outcome);
            }
            deleted = op == "d";
        }
        deleted |= self.mark.is_some_and(|at| is_marked(member(row, at)));
        if deleted && !rules.deletes {
            return Ok(Adapted::Skip);
        }
        let lacking = if deleted {
            Vec::new()
        } else {
            self.lacking(row, rules)
        };
        if lacking.is_empty() && !deleted && self.event.is_none() && self.parts.is_none() {
            return Ok(Adapted::Same);
        }
        let has = |at: &usize| !lacking.contains(at);
        let value = match &self.parts {
            _ if deleted => Value::Null,
            None if lacking.is_empty() => row.clone(),
            None => {
                let kept = (0..self.schema.fields.len()).filter(has);
                Value::Struct(kept.map(|at| member(row, at).clone()).collect())
            }
            Some(parts) => {
                let kept = (0..parts.len()).filter(has);
                Value::Struct(
                    kept.map(|at| self.part(&parts[at], at, row, rules))
                        .collect::<Result<Vec<_>>>()?
                        .into(),
                )
            }
        };
        let schema = match lacking.is_empty() {
            true => Arc::clone(&self.schema),
            false => self.shortened.without(&self.schema, lacking),
        };
        Ok(Adapted::Changed(Box::new(with_value(
            record,
            Datum::new(schema, value),
        ))))
    }

    /// Converts one member. Errors: `Record`, with the column's name.
    fn part(
        &self,
        part: &AdaptedPart,
        at: usize,
        row: &Value,
        rules: &AdaptRules,
    ) -> Result<Value> {
        part.of(row, rules).map_err(|error| {
            let name = self.schema.fields.get(at).map_or("", |field| &field.name);
            error.context(format!("field {name}"))
        })
    }

    /// Returns the numbers of the columns whose values the event does not contain.
    fn lacking(&self, row: &Value, rules: &AdaptRules) -> Vec<usize> {
        let Some(placeholder) = rules.placeholder.as_deref().filter(|_| self.may_lack) else {
            return Vec::new();
        };
        let value = |at: usize| match &self.parts {
            None => member(row, at),
            Some(parts) => parts[at].value(row),
        };
        (0..self.schema.fields.len())
            .filter(|at| placeholder.is(value(*at)))
            .collect()
    }
}

impl AdaptedPart {
    fn value<'a>(&self, row: &'a Value) -> &'a Value {
        self.path.iter().fold(row, |value, at| member(value, *at))
    }

    fn of(&self, row: &Value, rules: &AdaptRules) -> Result<Value> {
        match (&self.change, self.value(row)) {
            (_, Value::Null) => Ok(Value::Null),
            (Change::Nothing, value) => Ok(value.clone()),
            (Change::Json(schema), value) => {
                Ok(Value::Text(json::text(value, Some(schema))?.into()))
            }
            (Change::Meaning(meaning), value) => debezium::text(meaning.ty, value, &rules.time)
                .ok_or_else(|| meaning.broken_by(value)),
            (Change::Items(meaning), value) => debezium::texts(meaning.ty, value, &rules.time)
                .ok_or_else(|| meaning.broken_by(value)),
        }
    }
}

/// Returns the same record with another value.
fn with_value(record: &SinkRecord, value: Datum) -> SinkRecord {
    let Record {
        topic,
        partition,
        key,
        timestamp_ms,
        headers,
        ..
    } = &record.record;
    let (topic, key, headers) = (Arc::clone(topic), key.clone(), headers.clone());
    let record_of = Record {
        topic,
        partition: *partition,
        key,
        value,
        timestamp_ms: *timestamp_ms,
        headers,
    };
    SinkRecord {
        record: record_of,
        at: record.at.clone(),
    }
}

fn member(of: &Value, at: usize) -> &Value {
    match of {
        Value::Struct(members) => members.get(at).unwrap_or(&Value::Null),
        _ => &Value::Null,
    }
}

/// True for `true` in any form, and for Debezium's letter for a deletion.
fn is_marked(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag,
        Value::Text(text) => text.eq_ignore_ascii_case("true") || &**text == "d",
        other => other.as_i64().is_some_and(|n| n != 0),
    }
}

/// Analyses a schema; `None`: its records are rows already.
fn recipe(rules: &AdaptRules, schema: &Arc<Schema>) -> Result<Option<Recipe>> {
    // another nested.mode can store it as a row
    if let Some(is) = foreign::schema(schema).filter(|_| rules.nested == Nested::Fail) {
        return Err(Error::record(is));
    }
    let event = event(schema).filter(|_| rules.unwrap);
    let row = event.map_or(schema, |event| &schema.fields[event.after].schema);
    let mark = rules.marker.as_ref().and_then(|name| row.field_index(name));
    let understood = rules.debezium || event.is_some();
    let mut columns = ColumnConversions {
        rules,
        understood,
        fields: Vec::new(),
        parts: Vec::new(),
    };
    for (at, field) in row
        .fields
        .iter()
        .enumerate()
        .filter(|(at, _)| mark != Some(*at))
    {
        columns.add(Arc::clone(&field.name), vec![at], Arc::clone(&field.schema))?;
    }
    let ColumnConversions { fields, parts, .. } = columns;
    let same = mark.is_none()
        && parts
            .iter()
            .all(|part| part.path.len() == 1 && matches!(part.change, Change::Nothing));
    // Any row may have been taken out of a change event, by a transform here or elsewhere.
    let may_lack = rules.placeholder.is_some()
        && row
            .fields
            .iter()
            .any(|field| unavailable::may_be(&field.schema));
    if same && event.is_none() && !may_lack {
        return Ok(None);
    }
    let schema = Schema {
        optional: false,
        fields: fields.into(),
        ..Schema::clone(row)
    };
    let (schema, parts, shortened) = (
        Arc::new(schema),
        (!same).then_some(parts),
        ReducedSchemas::default(),
    );
    Ok(Some(Recipe {
        event,
        mark,
        schema,
        parts,
        may_lack,
        shortened,
    }))
}

/// Returns the positions of a change event's fields; `None` if the schema is no change event's.
fn event(schema: &Schema) -> Option<Event> {
    let named = schema
        .name
        .as_deref()
        .is_some_and(|name| name == "Envelope" || name.ends_with(".Envelope"));
    let (op, after) = (schema.field_index("op")?, schema.field_index("after")?);
    let has_row = schema.fields[after].schema.ty == SchemaType::Struct;
    (named && has_row && schema.fields[op].schema.ty == SchemaType::String)
        .then_some(Event { op, after })
}

/// The columns found so far.
struct ColumnConversions<'a> {
    rules: &'a AdaptRules,
    /// Debezium's types are interpreted.
    understood: bool,
    fields: Vec<Field>,
    parts: Vec<AdaptedPart>,
}

impl ColumnConversions<'_> {
    /// Adds the columns of one member.
    fn add(&mut self, name: Arc<str>, path: Vec<usize>, schema: Arc<Schema>) -> Result<()> {
        if let Some((meaning, to)) = Some(&schema)
            .filter(|_| self.understood)
            .and_then(|schema| debezium::meaning(schema))
        {
            self.fields.push(Field {
                name,
                schema: Arc::new(to),
            });
            self.parts.push(AdaptedPart {
                path,
                change: Change::Meaning(NamedType::new(meaning, &schema)),
            });
            return Ok(());
        }
        if let Some((meaning, to)) = Some(&schema)
            .filter(|_| self.understood && self.rules.lists)
            .and_then(|schema| debezium::items(schema))
        {
            self.fields.push(Field {
                name,
                schema: Arc::new(to),
            });
            self.parts.push(AdaptedPart {
                path,
                change: Change::Items(NamedType::new(meaning, &schema)),
            });
            return Ok(());
        }
        let nested = self.rules.nested;
        let as_json = match schema.ty {
            _ if nested == Nested::Fail => false,
            SchemaType::Struct if nested == Nested::Flatten => {
                return self.flatten(&name, &path, &schema);
            }
            SchemaType::Struct | SchemaType::Map => true,
            SchemaType::Array => !self.rules.lists || !is_plain_list(&schema),
            _ => false,
        };
        let (schema, change) = if as_json {
            (Arc::new(json_schema(schema.optional)), Change::Json(schema))
        } else {
            (schema, Change::Nothing)
        };
        self.fields.push(Field { name, schema });
        self.parts.push(AdaptedPart { path, change });
        Ok(())
    }

    fn flatten(&mut self, name: &str, path: &[usize], schema: &Schema) -> Result<()> {
        for (at, field) in schema.fields.iter().enumerate() {
            let name = format!("{name}{}{}", self.rules.delimiter, field.name);
            short_enough(&name)?;
            let path = path.iter().copied().chain([at]).collect();
            // a struct that is null has no members
            let inner = Schema::clone(&field.schema);
            let optional = inner.optional || schema.optional;
            self.add(name.into(), path, Arc::new(inner.optional(optional)))?;
        }
        Ok(())
    }
}

fn short_enough(name: &str) -> Result<()> {
    if name.len() <= MAX_NAME {
        return Ok(());
    }
    Err(Error::record(format!(
        "the name of a flattened column has more than {MAX_NAME} bytes (MAX_NAME)"
    )))
}

/// Returns the schema of a column that holds JSON.
fn json_schema(optional: bool) -> Schema {
    Schema {
        name: Some(Arc::from(JSON)),
        ..Schema::of(SchemaType::String).optional(optional)
    }
}

/// True if the innermost items of a list are single values.
fn is_plain_list(schema: &Schema) -> bool {
    match (schema.ty, &schema.values) {
        (SchemaType::Array, Some(items)) => is_plain_list(items),
        (SchemaType::Array, None) | (SchemaType::Struct | SchemaType::Map, _) => false,
        _ => true,
    }
}
