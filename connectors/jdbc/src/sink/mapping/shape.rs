//! Determines the columns of a record and where each value comes from, once per pair of schemas.
//!
//! Pure. It also rejects records that have no shape, with the texts that users of other JDBC sinks
//! search for.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same list"
)]

use std::sync::Arc;

use connector_api::{Datum, Error, Field, Result, Schema, SchemaType, SinkRecord, Value};

use super::foreign;
use crate::sink::config::columns::{KAFKA_COLUMNS, RecordColumn, ValueSlot, header_column};
use crate::sink::config::fields::check_case;
use crate::sink::config::{PkMode, SinkConfig};
use crate::url::DatabaseKind;

/// The columns of records with one pair of schemas, in the order of a created table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RecordShape {
    pub columns: Vec<RecordColumn>,
    /// True for records without a value.
    pub tombstone: bool,
}

impl RecordShape {
    pub(crate) fn keys(&self) -> impl Iterator<Item = &RecordColumn> {
        self.columns.iter().filter(|c| c.key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &RecordColumn> {
        self.columns.iter().filter(|c| !c.key)
    }
}

/// Returns the shape of a record of `topic` that [`check_record`] has accepted. `table` is the bare
/// name, for messages.
/// Errors: `Record`.
pub(crate) fn shape(
    config: &SinkConfig,
    database: DatabaseKind,
    (topic, table): (&str, &str),
    (key, value): (&Datum, &Datum),
) -> Result<RecordShape> {
    let keys = key_columns(config, table, key.schema.as_ref(), value.schema.as_ref())?;
    let mut shape = RecordShape {
        columns: Vec::new(),
        tombstone: value.value.is_null(),
    };
    let is_key = |name: &str| keys.iter().position(|k| &*k.name == name);
    let mut placed = vec![false; keys.len()];
    if config.pk_mode == PkMode::Kafka && config.pk_fields.is_empty() {
        shape.columns.extend(keys.iter().cloned());
        placed.fill(true);
    }
    let columns = value_columns(config, table, value, &keys)?;
    check_names(config, topic, &columns)?;
    for column in columns {
        match is_key(&column.name) {
            Some(n) if !placed[n] => {
                placed[n] = true;
                shape.columns.push(keys[n].clone());
            }
            Some(_) => {}
            None if config.fields.takes(topic, &column.name) => shape.columns.push(column),
            None => {}
        }
    }
    let mut rest: Vec<_> = keys
        .into_iter()
        .zip(placed)
        .filter_map(|(k, placed)| (!placed).then_some(k))
        .collect();
    rest.sort_by(|a, b| a.name.cmp(&b.name));
    shape.columns.extend(rest);
    if !shape.tombstone {
        let known = |name: &Arc<str>| shape.columns.iter().any(|column| column.name == *name);
        let more: Vec<_> = config
            .origins
            .iter()
            .filter(|column| !known(&column.name))
            .cloned()
            .collect();
        shape.columns.extend(more);
    }
    for column in &mut shape.columns {
        column.name = config.naming.column(&column.name, database);
    }
    if shape.columns.is_empty() {
        let error = Error::record(format!(
            "No fields found using key and value schemas for table: {table}"
        ));
        return Err(error.and_line(
            "The record has no field that is written: check fields.whitelist, pk.mode and pk.fields.",
        ));
    }
    Ok(shape)
}

/// Rejects records whose fields the settings name in another letter case.
fn check_names(config: &SinkConfig, topic: &str, columns: &[RecordColumn]) -> Result<()> {
    let names = || columns.iter().map(|column| &*column.name);
    if !config.fields.is_all() {
        config.fields.check(topic, names())?;
    }
    let mut instants = config.time.fields.iter();
    instants.try_for_each(|name| check_case("timestamp.fields.list", name, names()))
}

/// Returns every column that the value could fill, key or not.
fn value_columns(
    config: &SinkConfig,
    table: &str,
    value: &Datum,
    keys: &[RecordColumn],
) -> Result<Vec<RecordColumn>> {
    let Some(schema) = value.schema.as_ref().filter(|_| !value.value.is_null()) else {
        return Ok(Vec::new());
    };
    if schema.ty == SchemaType::Struct {
        let column = |(n, f): (usize, &Field)| RecordColumn {
            name: Arc::clone(&f.name),
            field: Arc::clone(&f.name),
            schema: Arc::clone(&f.schema),
            key: false,
            slot: ValueSlot::ValueField(n),
        };
        return Ok(schema.fields.iter().enumerate().map(column).collect());
    }
    let name = config.string_column.as_str();
    if keys.iter().any(|k| &*k.name == name) {
        let error = Error::record(format!(
            "Configured string.output.value.column.name '{name}' conflicts with a primary key column for table \
             '{table}'"
        ));
        return Err(error.and_line("Choose another name for it, or another one in pk.fields."));
    }
    // other records of the topic may have no value
    let schema = Arc::new(Schema::clone(schema).optional(true));
    Ok(vec![RecordColumn {
        name: Arc::from(name),
        field: Arc::from(name),
        schema,
        key: false,
        slot: ValueSlot::Value,
    }])
}

fn key_columns(
    config: &SinkConfig,
    table: &str,
    key: Option<&Arc<Schema>>,
    value: Option<&Arc<Schema>>,
) -> Result<Vec<RecordColumn>> {
    match config.pk_mode {
        PkMode::None => Ok(Vec::new()),
        PkMode::Kafka => kafka_columns(config, table),
        PkMode::RecordKey => {
            let Some(schema) = key else {
                let error = Error::record(format!(
                    "PK mode for table '{table}' is RECORD_KEY, but record key schema is missing"
                ));
                return Err(error.and_line(
                    "The record has no key, or its key.converter gives it no schema: take the key \
                     from the value, with pk.mode=record_value and pk.fields, or give the record a \
                     key, with the transform ValueToKey.",
                ));
            };
            if schema.ty == SchemaType::Struct {
                return fields_of(schema, &config.pk_fields, ValueSlot::KeyField)
                    .map_err(|field| absent(config, table, "RECORD_KEY", "key", &field));
            }
            let [name] = config.pk_fields.as_slice() else {
                let error = Error::record(format!(
                    "Need exactly one PK column defined since the key schema for records is a primitive type, defined \
                     columns are: [{}]",
                    config.pk_fields.join(", ")
                ));
                return Err(error.and_line("Name one column in pk.fields."));
            };
            let name: Arc<str> = Arc::from(name.as_str());
            Ok(vec![RecordColumn {
                field: Arc::clone(&name),
                name,
                schema: Arc::clone(schema),
                key: true,
                slot: ValueSlot::Key,
            }])
        }
        PkMode::RecordHeader => Ok(config
            .pk_fields
            .iter()
            .map(|name| header_column(name, name, true))
            .collect()),
        PkMode::RecordValue => match value {
            Some(schema) if schema.ty == SchemaType::Struct => {
                fields_of(schema, &config.pk_fields, ValueSlot::ValueField)
                    .map_err(|field| absent(config, table, "RECORD_VALUE", "value", &field))
            }
            _ => {
                let error = Error::record(
                    "pk.mode record_value is not supported with String value schemas",
                );
                Err(error.and_line(
                    "The value is one text without fields: use pk.mode record_key, kafka or none; if \
                     the text is a JSON object, JsonConverter as value.converter (with \
                     schemas.enable=false) reads its members as fields.",
                ))
            }
        },
    }
}

fn kafka_columns(config: &SinkConfig, table: &str) -> Result<Vec<RecordColumn>> {
    let names = match config.pk_fields.as_slice() {
        [] => KAFKA_COLUMNS,
        [topic, partition, offset] => [topic.as_str(), partition.as_str(), offset.as_str()],
        other => {
            return Err(Error::record(format!(
                "PK mode for table '{table}' is KAFKA so there should either be no field names defined for defaults \
                 [{}] to be applicable, or exactly 3, defined fields are: [{}]",
                KAFKA_COLUMNS.join(", "),
                other.join(", ")
            )));
        }
    };
    let slots = [
        (ValueSlot::Topic, SchemaType::String),
        (ValueSlot::Partition, SchemaType::Int32),
        (ValueSlot::Offset, SchemaType::Int64),
    ];
    let column = |(name, (slot, ty)): (&str, _)| RecordColumn {
        name: Arc::from(name),
        field: Arc::from(name),
        schema: Arc::new(Schema::of(ty)),
        key: true,
        slot,
    };
    Ok(names.into_iter().zip(slots).map(column).collect())
}

/// Returns the named fields of a struct schema, or all of them. `Err` is the name of a missing one.
fn fields_of(
    schema: &Schema,
    names: &[String],
    slot: impl Fn(usize) -> ValueSlot,
) -> Result<Vec<RecordColumn>, String> {
    let column = |n: usize, field: &Field| RecordColumn {
        name: Arc::clone(&field.name),
        field: Arc::clone(&field.name),
        schema: Arc::clone(&field.schema),
        key: true,
        slot: slot(n),
    };
    if names.is_empty() {
        return Ok(schema
            .fields
            .iter()
            .enumerate()
            .map(|(n, f)| column(n, f))
            .collect());
    }
    let find = |name: &String| match schema.field_index(name) {
        Some(n) => Ok(column(n, &schema.fields[n])),
        None => Err(name.clone()),
    };
    names.iter().map(find).collect()
}

fn absent(config: &SinkConfig, table: &str, mode: &str, part: &str, field: &str) -> Error {
    let error = Error::record(format!(
        "PK mode for table '{table}' is {mode} with configured PK fields [{}], but record {part} schema does not \
         contain field: {field}",
        config.pk_fields.join(", ")
    ));
    error.and_line(&format!(
        "pk.fields must name fields that the {part} has, in the same letter case; pk.mode says \
         whether the key or the value is meant."
    ))
}

/// Checks that a record can be written at all: it needs a key if keys are used, and a struct or
/// text as its value unless it is a deletion.
/// Errors: `Record`.
pub(crate) fn check_record(config: &SinkConfig, record: &SinkRecord) -> Result<()> {
    let value = &record.record.value;
    let text = value
        .schema
        .as_ref()
        .is_some_and(|s| s.ty == SchemaType::String);
    let structured = value
        .schema
        .as_ref()
        .is_some_and(|s| s.ty == SchemaType::Struct);
    let present = !value.value.is_null();
    if !(present && (text || structured) || !present && config.delete_enabled) {
        return Err(unfit(
            config,
            record,
            "value",
            "Struct or String value and non-null Struct or String schema",
        ));
    }
    if present && text {
        let mut options = Vec::new();
        if !config.fields.is_all() {
            options.push("fields.whitelist");
        }
        if !config.time.fields.is_empty() {
            options.push("timestamp.fields.list");
        }
        if !options.is_empty() {
            return Err(Error::record(format!(
                "Sink connector '{}' is configured with field-level options that are not applicable to String values: \
                 {}. Remove these options, or have the upstream producer emit Struct values instead.",
                config.name,
                options.join(", ")
            )));
        }
    }
    let key = &record.record.key;
    let keyed = key
        .schema
        .as_ref()
        .is_some_and(|s| !matches!(s.ty, SchemaType::Array | SchemaType::Map))
        && !key.value.is_null();
    if !keyed && (config.pk_mode == PkMode::RecordKey || config.delete_enabled) {
        return Err(unfit(
            config,
            record,
            "key",
            "key and non-null Struct or primitive key schema",
        ));
    }
    Ok(())
}

fn unfit(config: &SinkConfig, record: &SinkRecord, part: &str, needs: &str) -> Error {
    let datum = if part == "key" {
        &record.record.key
    } else {
        &record.record.value
    };
    let schema = datum
        .schema
        .as_ref()
        .map_or_else(|| "null".to_owned(), |s| s.ty.name().to_ascii_lowercase());
    let timestamp = record
        .record
        .timestamp_ms
        .map_or_else(|| "null".to_owned(), |t| t.to_string());
    let is = foreign::value(datum.schema.as_ref().map(|schema| schema.ty), &datum.value);
    let hint = is.map_or_else(String::new, |is| format!(" Most likely {is}."));
    Error::record(format!(
        "Sink connector '{}' is configured with 'delete.enabled={}' and 'pk.mode={}' and therefore requires records with \
         a non-null {needs}, but found record at (topic='{}',partition={},offset={},timestamp={timestamp}) with a {} \
         {part} and {schema} {part} schema.{hint}",
        config.name,
        config.delete_enabled,
        config.pk_mode.name(),
        record.record.topic,
        record.at.partition,
        record.at.offset,
        java_class(&datum.value),
    ))
}

/// Returns the simple class name that Kafka Connect's texts have for a value.
fn java_class(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "Boolean",
        Value::I8(_) => "Byte",
        Value::I16(_) => "Short",
        Value::I32(_) => "Integer",
        Value::I64(_) => "Long",
        Value::F32(_) => "Float",
        Value::F64(_) => "Double",
        Value::Decimal(_) => "BigDecimal",
        Value::Text(_) => "String",
        Value::Bytes(_) => "byte[]",
        Value::Array(_) => "ArrayList",
        Value::Map(_) => "HashMap",
        Value::Struct(_) => "Struct",
    }
}
