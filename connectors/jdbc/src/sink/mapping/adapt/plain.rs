//! Matches the members of records without a schema to the columns of their table, which must exist.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector_api::{Datum, Decimal, Error, Field, Result, Schema, SchemaType, SinkRecord, Value};

use super::number_to_time::number_to_time;
use super::{Adapted, Adapter, Nested, RECENT, json, json_schema, short_enough, with_value};
use crate::catalog::{ColumnMeta, TableMeta};
use crate::dialect::column_type::TargetColumnType;
use crate::dialect::read::{ReadOptions, ValueDecoding};
use crate::dialect::writing::WriteDialect;
use crate::sink::config::TimeRules;
use crate::sink::config::placeholder::Placeholder;
use crate::sink::mapping::foreign;
use crate::sink::mapping::time::parse_instant;

/// The target table of a record without a schema.
#[derive(Clone, Copy)]
pub(crate) struct PlainTarget<'a> {
    pub table: &'a TableMeta,
    /// How the table's types are read and written.
    pub writing: &'a WriteDialect,
    /// How points in time are written.
    pub time: &'a TimeRules,
}

/// The source and target of a row without a schema.
#[derive(Clone, Copy)]
struct Origin<'a> {
    target: PlainTarget<'a>,
    /// Debezium has written the record.
    debezium: bool,
    /// Debezium's placeholder for a value that the event does not contain; keys have none.
    placeholder: Option<&'a Placeholder>,
}

impl Adapter {
    /// True if a record's value is an object without a schema, or if it deletes by a key without
    /// one.
    pub(crate) fn is_plain(&self, record: &SinkRecord) -> bool {
        let (key, value) = (&record.record.key, &record.record.value);
        let deletes = self.rules.deletes
            && value.value.is_null()
            && key.schema.is_none()
            && !key.value.is_null();
        value.schema.is_none() && matches!(value.value, Value::Map(_)) || deletes
    }

    /// Returns the record with a schema that follows from the table's columns; of a change event,
    /// its row.
    /// Errors: `Record`.
    pub(crate) fn match_to(
        &mut self,
        target: PlainTarget<'_>,
        record: &SinkRecord,
    ) -> Result<Adapted> {
        let (key, value) = (&record.record.key, &record.record.value);
        let event = self.plain_event(record);
        let row = event.map_or(&value.value, |event| event.after);
        let marked = |(name, value): &(Value, Value)| {
            name.as_str()
                .is_some_and(|name| self.rules.marker.as_deref() == Some(name))
                && super::is_marked(value)
        };
        let deleted = event.is_some_and(|event| event.is_deletion())
            || matches!(row, Value::Map(members) if members.iter().any(marked));
        let debezium = self.rules.debezium || event.is_some();
        let placeholder = self.rules.placeholder.clone();
        let source = Origin {
            target,
            debezium,
            placeholder: placeholder.as_deref(),
        };
        let value = if row.is_null() || deleted {
            Datum::NONE
        } else {
            self.matched(source, row)?
        };
        let mut changed = with_value(record, value);
        if key.schema.is_none() && !key.value.is_null() {
            changed.record.key = self.matched(
                Origin {
                    placeholder: None,
                    ..source
                },
                &key.value,
            )?;
        }
        Ok(Adapted::Changed(Box::new(changed)))
    }

    fn matched(&mut self, source: Origin<'_>, value: &Value) -> Result<Datum> {
        let Value::Map(members) = value else {
            let schema = self.kept(Schema::of(type_of(value)));
            return Ok(Datum::new(schema, value.clone()));
        };
        let (mut fields, mut values) = (Vec::new(), Vec::new());
        for (name, value) in members {
            self.member(
                source,
                name.as_str().unwrap_or_default(),
                value,
                &mut fields,
                &mut values,
            )?;
        }
        let schema = self.kept(Schema::structure(None, fields));
        Ok(Datum::new(schema, Value::Struct(values.into())))
    }

    fn member(
        &self,
        source: Origin<'_>,
        name: &str,
        value: &Value,
        fields: &mut Vec<Field>,
        values: &mut Vec<Value>,
    ) -> Result<()> {
        let lacks = |placeholder: &Placeholder| placeholder.is_plain(value);
        if self.rules.marker.as_deref() == Some(name) || source.placeholder.is_some_and(lacks) {
            return Ok(());
        }
        let column = source.target.table.column(name);
        if let (Value::Map(members), Nested::Flatten, None) = (value, self.rules.nested, column) {
            for (inner, value) in members {
                let name = format!(
                    "{name}{}{}",
                    self.rules.delimiter,
                    inner.as_str().unwrap_or_default()
                );
                short_enough(&name)?;
                self.member(source, &name, value, fields, values)?;
            }
            return Ok(());
        }
        let (schema, value) = match (column, value) {
            // NULL needs no column: nothing is lost
            (None, Value::Null) => return Ok(()),
            (Some(column), value) => self.fitted(source, name, column, value)?,
            (None, Value::Map(_) | Value::Array(_)) if self.rules.nested != Nested::Fail => (
                json_schema(true),
                Value::Text(json::text(value, None)?.into()),
            ),
            (None, value) => (Schema::of(type_of(value)), value.clone()),
        };
        fields.push(Field::new(name, schema.optional(true)));
        values.push(value);
        Ok(())
    }

    /// Converts the value to what the column accepts, with its schema.
    fn fitted(
        &self,
        origin: Origin<'_>,
        name: &str,
        column: &ColumnMeta,
        value: &Value,
    ) -> Result<(Schema, Value)> {
        let PlainTarget { writing, time, .. } = origin.target;
        let options = ReadOptions::default();
        let read = writing.dialect.read_column(column, &options).read;
        if value.is_null() {
            return Ok((self.schema_of(&read, column), Value::Null));
        }
        let target = writing.columns.target_type(column);
        let is_loose = || target == TargetColumnType::Loose;
        let fitted = match read {
            _ if let Some(width) = width_in_bits(&target) => bits(value, width, origin.debezium),
            ValueDecoding::Bool => truth(value).map(Value::Bool),
            ValueDecoding::Int(_) | ValueDecoding::BitInt | ValueDecoding::YearDate(..) => {
                whole(value).map(Value::I64).or_else(|| unsigned(value))
            }
            ValueDecoding::F32 | ValueDecoding::F64 => match value {
                Value::Text(_) if is_loose() => Some(value.clone()),
                _ => float(value).map(Value::F64),
            },
            ValueDecoding::Decimal
            | ValueDecoding::Scaled(_)
            | ValueDecoding::DecimalInt(_)
            | ValueDecoding::DecimalF64 => digits(value).map(|digits| Value::Text(digits.into())),
            ValueDecoding::Bytes => base64_bytes(value),
            ValueDecoding::Date(_) | ValueDecoding::Time(_) | ValueDecoding::Timestamp(_) => {
                match value {
                    // the configuration key gives the unit
                    Value::I64(_) | Value::Text(_) if time.fields.contains(name) => {
                        Some(value.clone())
                    }
                    Value::I64(n) => {
                        let converted = number_to_time((column, &read), *n, origin.debezium, time);
                        return converted.map_err(|why| {
                            Error::record(format!("column {}: {why}", column.name))
                        });
                    }
                    Value::Text(iso) => Some(Value::Text(sql_time(&read, time, iso).into())),
                    _ => None,
                }
            }
            ValueDecoding::Text => return self.fitted_text(column, value),
        };
        let fitted =
            fitted.ok_or_else(|| unfit(column, width_in_bits(&target).is_some(), value))?;
        Ok((Schema::of(type_of(&fitted)), fitted))
    }

    /// Converts the value to what a column of text, JSON or an array accepts, with its schema.
    fn fitted_text(&self, column: &ColumnMeta, value: &Value) -> Result<(Schema, Value)> {
        let json = |schema: Schema| Ok((schema, Value::Text(json::text(value, None)?.into())));
        match value {
            Value::Array(_) if column.data_type.starts_with('_') => {
                let schema = Schema::array(Schema::of(SchemaType::String));
                Ok((schema, value.clone()))
            }
            Value::Map(_) | Value::Array(_) if self.holds_json(column) => json(json_schema(true)),
            Value::Text(_) | Value::Map(_) | Value::Array(_) => {
                Ok((Schema::of(type_of(value)), value.clone()))
            }
            _ => json(Schema::of(SchemaType::String)),
        }
    }

    /// Returns the usual schema of the column's values, so that records with and without a null
    /// share their plan.
    fn schema_of(&self, read: &ValueDecoding, column: &ColumnMeta) -> Schema {
        match read {
            ValueDecoding::Bool => Schema::of(SchemaType::Boolean),
            ValueDecoding::Int(_) | ValueDecoding::BitInt | ValueDecoding::YearDate(..) => {
                Schema::of(SchemaType::Int64)
            }
            ValueDecoding::F32 | ValueDecoding::F64 => Schema::of(SchemaType::Float64),
            ValueDecoding::Bytes => Schema::of(SchemaType::Bytes),
            ValueDecoding::Text if column.data_type.starts_with('_') => {
                Schema::array(Schema::of(SchemaType::String))
            }
            _ => Schema::of(SchemaType::String),
        }
    }

    fn holds_json(&self, column: &ColumnMeta) -> bool {
        self.rules.nested != Nested::Fail || matches!(column.data_type.as_str(), "json" | "jsonb")
    }

    /// Returns an equal schema from before if there is one, so that its records share their plan.
    fn kept(&mut self, schema: Schema) -> Arc<Schema> {
        if let Some(known) = self.plain.iter().find(|known| ***known == schema) {
            return Arc::clone(known);
        }
        if self.plain.len() == RECENT {
            self.plain.remove(0);
        }
        self.plain.push(Arc::new(schema));
        self.plain
            .last()
            .map_or_else(|| Arc::new(Schema::of(SchemaType::String)), Arc::clone)
    }
}

/// Returns the type of a value without schema.
pub(crate) fn type_of(value: &Value) -> SchemaType {
    match value {
        Value::Bool(_) => SchemaType::Boolean,
        Value::I8(_) | Value::I16(_) | Value::I32(_) | Value::I64(_) => SchemaType::Int64,
        Value::F32(_) | Value::F64(_) => SchemaType::Float64,
        Value::Bytes(_) => SchemaType::Bytes,
        Value::Array(_) => SchemaType::Array,
        Value::Map(_) | Value::Struct(_) => SchemaType::Map,
        Value::Null | Value::Text(_) | Value::Decimal(_) => SchemaType::String,
    }
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Text(_) | Value::Bytes(_) => "string",
        Value::Array(_) => "array",
        Value::Map(_) | Value::Struct(_) => "object",
        _ => "number",
    }
}

fn truth(value: &Value) -> Option<bool> {
    match (value, value.as_i64()) {
        (Value::Bool(flag), _) => Some(*flag),
        (_, Some(0)) => Some(false),
        (_, Some(1)) => Some(true),
        (Value::Text(text), _) => text.trim().to_ascii_lowercase().parse().ok(),
        _ => None,
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(flag) => Some(i64::from(*flag)),
        Value::Text(text) => text.trim().parse().ok(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "up to 2^53 every whole number has its own float"
        )]
        Value::F64(n) if n.fract() == 0.0 && n.abs() <= 9_007_199_254_740_992.0 => Some(*n as i64),
        other => other.as_i64(),
    }
}

/// Returns the text of a number beyond the largest signed one.
fn unsigned(value: &Value) -> Option<Value> {
    let digits = value.as_str()?;
    digits.parse::<u64>().ok()?;
    Some(value.clone())
}

/// The error of a value that its column cannot hold.
#[cold]
fn unfit(column: &ColumnMeta, has_bits: bool, value: &Value) -> Error {
    let takes = match has_bits {
        true => ", which takes whole numbers, texts of zeros and ones, and base64 of bytes",
        false => "",
    };
    let error = Error::record(format!(
        "column {}: a JSON {} does not fit type {}{takes}; convert it before (the transform Cast), \
         or leave the field out (fields.whitelist)",
        column.name,
        json_type(value),
        column.column_type
    ));
    foreign::explained(error, value)
}

/// How many bits a column has.
#[derive(Clone, Copy)]
enum BitWidth {
    Exactly(u32),
    /// At most that many, or any number.
    UpTo(Option<u32>),
}

fn width_in_bits(target: &TargetColumnType) -> Option<BitWidth> {
    match target {
        TargetColumnType::Bits(width) | TargetColumnType::BitText(Some(width)) => {
            Some(BitWidth::Exactly(*width))
        }
        TargetColumnType::VarBits(most) => Some(BitWidth::UpTo(*most)),
        _ => None,
    }
}

/// Converts a value to one that a column of bits takes: a number, a text of zeros and ones, or the
/// base64 of bytes, in which JsonConverter writes them. Debezium's bytes begin with the lowest.
fn bits(value: &Value, width: BitWidth, debezium: bool) -> Option<Value> {
    let Some(text) = value.as_str().map(str::trim) else {
        return match width {
            BitWidth::Exactly(_) => whole(value).map(Value::I64),
            BitWidth::UpTo(_) => None,
        };
    };
    let is_digits = text.bytes().all(|b| matches!(b, b'0' | b'1'));
    match width {
        BitWidth::Exactly(width) if is_digits && text.len() == width as usize => {
            return Some(Value::Text(text.into()));
        }
        BitWidth::Exactly(_) if is_digits && text.len() == 1 => {
            return whole(value).map(Value::I64);
        }
        BitWidth::Exactly(1) => {
            if let Ok(flag) = text.to_ascii_lowercase().parse::<bool>() {
                return Some(Value::I64(i64::from(flag)));
            }
        }
        BitWidth::UpTo(most)
            if is_digits && most.is_none_or(|most| text.len() <= most as usize) =>
        {
            return Some(Value::Text(text.into()));
        }
        BitWidth::Exactly(_) | BitWidth::UpTo(_) => {}
    }
    let mut bytes = STANDARD.decode(text).ok()?;
    if debezium {
        bytes.reverse();
    }
    Some(Value::Bytes(bytes.into()))
}

fn base64_bytes(value: &Value) -> Option<Value> {
    let bytes = STANDARD.decode(value.as_str()?).ok()?;
    Some(Value::Bytes(bytes.into()))
}

/// Returns the nearest double of a number.
#[expect(
    clippy::cast_precision_loss,
    reason = "the column is of floating point, where the databases round too"
)]
fn float(value: &Value) -> Option<f64> {
    match value {
        Value::F64(n) => Some(*n),
        Value::F32(n) => Some(f64::from(*n)),
        Value::Text(text) => text.trim().parse().ok(),
        other => other.as_i64().map(|n| n as f64),
    }
}

fn digits(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Decimal::parse(text.trim())
            .filter(Decimal::has_usual_scale)
            .map(|n| n.to_string()),
        Value::Decimal(n) if n.has_usual_scale() => Some(n.to_string()),
        Value::Decimal(_) => None,
        Value::F64(n) if n.is_finite() => Some(n.to_string()),
        other => other.as_i64().map(|n| n.to_string()),
    }
}

/// Converts ISO 8601 to SQL's text for a date or time column.
fn sql_time(read: &ValueDecoding, time: &TimeRules, iso: &str) -> String {
    match read {
        ValueDecoding::Date(_) => iso.split(['T', ' ']).next().unwrap_or_default().to_owned(),
        ValueDecoding::Time(_) => iso.trim_end_matches('Z').to_owned(),
        _ => instant(time, iso),
    }
}

/// Converts ISO 8601 with a `T` to SQL's text; the server reads other texts.
fn instant(time: &TimeRules, text: &str) -> String {
    const MICROS: i64 = 1_000_000;
    match parse_instant(text.trim(), MICROS) {
        Some(units) if text.contains('T') => time.timestamp(units, MICROS),
        _ => text.to_owned(),
    }
}
