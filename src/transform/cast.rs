//! `Cast`: converts fields, or the whole key or value, to another type.

use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance,
};
use connector_api::{
    Datum, Decimal, Error, Field, Record, Result, Schema, SchemaType, TopicOffset, Transform,
    Value, logical,
};

use super::located::{of_field, type_of};
use super::part::{
    REPLACE_NULL, REPLACE_NULL_KEY, RecordPart, SchemaPlans, fill_defaults, key, list_fields,
    map_entries, set_entry, struct_members, with_basics_of,
};
use crate::convert::{header, java};

const PURPOSE: &str = "cast types";
const TARGETS: [SchemaType; 8] = [
    SchemaType::Int8,
    SchemaType::Int16,
    SchemaType::Int32,
    SchemaType::Int64,
    SchemaType::Float32,
    SchemaType::Float64,
    SchemaType::Boolean,
    SchemaType::String,
];
const SOURCES: &str = "[INT8, INT16, INT32, INT64, FLOAT32, FLOAT64, BOOLEAN, STRING, BYTES]";

pub(crate) const KEYS: &[ConfigKey] = &[
    key(
        "spec",
        ConfigType::List,
        DefaultValue::Required,
        Importance::High,
        "Fields and their new types, as field:type, or one type for the whole key or value: int8, \
         int16, int32, int64, float32, float64, boolean, string.",
    ),
    REPLACE_NULL_KEY,
];

/// Converts fields, or the whole key or value, to another type.
pub(crate) struct Cast {
    part: RecordPart,
    spec: CastSpec,
    replace: bool,
    plans: SchemaPlans<(Arc<Schema>, Vec<Option<SchemaType>>)>,
}

enum CastSpec {
    Whole(SchemaType),
    Fields(Vec<(String, SchemaType)>),
}

/// Checks the specification of the casts.
pub(crate) fn check(config: &Config, report: &mut ConfigReport) {
    if let Some(Err(text)) = config.get("spec").map(|spec| parse_spec(spec.trim())) {
        report.error("spec", text);
    }
}

fn target(text: &str) -> Result<SchemaType, String> {
    const OTHERS: [&str; 4] = ["BYTES", "ARRAY", "MAP", "STRUCT"];
    let name = text.trim().to_uppercase();
    if let Some(other) = OTHERS.iter().find(|other| **other == name) {
        let all: Vec<&str> = TARGETS.iter().map(|ty| ty.name()).collect();
        let all = all.join(", ");
        return Err(format!(
            "Cast transformation does not support casting to {other}; supported types are [{all}]"
        ));
    }
    let found = TARGETS.iter().find(|ty| ty.name() == name).copied();
    found.ok_or_else(|| format!("Invalid type found in casting spec: {}", text.trim()))
}

fn parse_spec(text: &str) -> Result<CastSpec, String> {
    if text.is_empty() {
        return Err("Must specify at least one field to cast.".to_owned());
    }
    let items: Vec<&str> = text.split(',').map(str::trim).collect();
    let mut fields: Vec<(String, SchemaType)> = Vec::new();
    let mut whole = None;
    for item in &items {
        match item.split_once(':') {
            None => whole = Some(target(item)?),
            Some((_, ty)) if ty.contains(':') => {
                return Err(format!("Invalid rename mapping: {item}"));
            }
            Some((name, ty)) => {
                let (name, ty) = (name.trim(), target(ty)?);
                match fields.iter_mut().find(|(known, _)| known == name) {
                    Some((_, known)) => *known = ty,
                    None => fields.push((name.to_owned(), ty)),
                }
            }
        }
    }
    match whole {
        Some(ty) if items.len() == 1 => Ok(CastSpec::Whole(ty)),
        Some(_) => {
            Err("Cast transformations that specify a type to cast the entire value to may only specify a single \
                        cast in their spec"
                .to_owned())
        }
        None => Ok(CastSpec::Fields(fields)),
    }
}

impl Cast {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(part: RecordPart, config: &Config) -> Result<Self, ConfigReport> {
        let (spec, replace) =
            config.read(KEYS, |keys| (keys.list("spec"), keys.bool(REPLACE_NULL)))?;
        let spec = parse_spec(&spec.join(",")).map_err(|text| {
            let mut report = ConfigReport::default();
            report.error("spec", text);
            report
        })?;
        Ok(Self {
            part,
            spec,
            replace,
            plans: SchemaPlans::new(),
        })
    }
}

fn plan(
    part: RecordPart,
    spec: &CastSpec,
    schema: &Schema,
) -> Result<(Arc<Schema>, Vec<Option<SchemaType>>)> {
    let cast_default = |name: &str, schema: &Schema, ty| {
        schema
            .default
            .as_ref()
            .map(|default| cast_at(part, name, Some(schema), default.clone(), ty))
            .transpose()
    };
    let fields = match spec {
        CastSpec::Whole(ty) => {
            let default = cast_default("", schema, *ty)?;
            let schema = Schema {
                optional: schema.optional,
                default,
                ..with_basics_of(schema, *ty)
            };
            return Ok((Arc::new(schema), Vec::new()));
        }
        CastSpec::Fields(fields) => fields,
    };
    let mut list = Vec::new();
    let mut types = Vec::new();
    for field in list_fields(schema)? {
        let ty = fields
            .iter()
            .find(|(name, _)| **name == *field.name)
            .map(|(_, ty)| *ty);
        types.push(ty);
        list.push(match ty {
            None => field.clone(),
            Some(ty) => {
                let default = cast_default(&field.name, &field.schema, ty)?;
                let cast = Schema {
                    optional: field.schema.optional,
                    default,
                    ..Schema::of(ty)
                };
                Field::new(Arc::clone(&field.name), cast)
            }
        });
    }
    let schema = Schema {
        optional: schema.optional,
        fields: list.into(),
        ..with_basics_of(schema, SchemaType::Struct)
    };
    Ok((Arc::new(schema), types))
}

impl Transform for Cast {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let part = self.part;
        let datum = part.of_mut(&mut record);
        if datum.value.is_null() {
            return Ok(Some(record));
        }
        let spec = &self.spec;
        let planned = match &datum.schema {
            Some(schema) => Some((
                schema,
                &**self.plans.of(schema, |schema| plan(part, spec, schema))?,
            )),
            None => None,
        };
        *datum = match (spec, planned) {
            (CastSpec::Whole(ty), planned) => {
                let value = cast_at(
                    part,
                    "",
                    datum.schema.as_deref(),
                    std::mem::take(&mut datum.value),
                    *ty,
                )?;
                Datum {
                    schema: planned.map(|(_, (schema, _))| Arc::clone(schema)),
                    value,
                }
            }
            (CastSpec::Fields(fields), None) => {
                let mut entries = map_entries(&mut datum.value, PURPOSE)?;
                for (name, ty) in fields {
                    let value = super::part::entry(&entries, name)
                        .cloned()
                        .unwrap_or_default();
                    let value = cast_at(part, name, None, value, *ty)?;
                    set_entry(&mut entries, name, value);
                }
                Datum {
                    schema: None,
                    value: Value::Map(entries.into()),
                }
            }
            (CastSpec::Fields(_), Some((schema, (target, types)))) => {
                let mut members = struct_members(&mut datum.value, PURPOSE)?;
                fill_defaults(&mut members, &schema.fields, self.replace);
                for ((member, field), ty) in members.iter_mut().zip(&schema.fields).zip(types) {
                    if let Some(ty) = ty {
                        let (name, schema) = (&field.name, Some(&*field.schema));
                        *member = cast_at(part, name, schema, std::mem::take(member), *ty)?;
                    }
                }
                Datum::new(Arc::clone(target), Value::Struct(members.into()))
            }
        };
        Ok(Some(record))
    }
}

/// Converts the value of a field, or of the whole part if `name` is empty, to another type.
/// Errors: Connect's texts, without the value, and with the field and the setting.
fn cast_at(
    part: RecordPart,
    name: &str,
    schema: Option<&Schema>,
    value: Value,
    ty: SchemaType,
) -> Result<Value> {
    let found = type_of(schema, &value);
    cast(schema, value, ty).map_err(|error| {
        let to = ty.name();
        let remedy = format!(
            "spec casts it to {to}: name a type that this value can be converted to, or remove the \
             cast. Records that cannot be converted are skipped with errors.tolerance=all."
        );
        of_field(error, part, name, found, &remedy)
    })
}

/// Converts a value to another type.
/// Errors: Connect's texts, without the value.
fn cast(schema: Option<&Schema>, value: Value, ty: SchemaType) -> Result<Value> {
    let from = match &value {
        Value::Null => return Ok(Value::Null),
        Value::Array(_) => Some(SchemaType::Array),
        Value::Map(_) => Some(SchemaType::Map),
        Value::Struct(_) => Some(SchemaType::Struct),
        Value::Decimal(_) if schema.is_none() => {
            let class = java::class_name(&value);
            return Err(Error::record(format!(
                "Cast transformation was passed a value of type class {class} which is not supported by Connect's data API"
            )));
        }
        _ => None,
    };
    if let Some(from) = from {
        let from = from.name();
        return Err(Error::record(format!(
            "Cast transformation does not support casting from {from}; supported types are {SOURCES}"
        )));
    }
    if ty == SchemaType::String {
        return Ok(Value::Text(text(schema, &value).into()));
    }
    match &value {
        Value::Text(text) => parsed(text, ty).ok_or_else(|| {
            Error::record(format!(
                "Value was out of range for requested data type {}",
                ty.name()
            ))
        }),
        Value::Bool(b) => Ok(from_integer(i64::from(*b), ty)),
        Value::F32(n) => Ok(from_float(f64::from(*n), ty)),
        Value::F64(n) => Ok(from_float(*n, ty)),
        Value::Decimal(n) => Ok(from_decimal(n, ty)),
        Value::Bytes(_) => {
            let class = java::class_name(&value);
            Err(Error::record(format!(
                "Unexpected type in Cast transformation: class {class}"
            )))
        }
        other => Ok(from_integer(other.as_i64().unwrap_or_default(), ty)),
    }
}

fn text(schema: Option<&Schema>, value: &Value) -> String {
    let mut out = Vec::new();
    header::write(
        schema.filter(|schema| is_moment(schema)),
        value,
        false,
        &mut out,
    );
    String::from_utf8_lossy(&out).into_owned()
}

fn is_moment(schema: &Schema) -> bool {
    matches!(
        schema.name.as_deref(),
        Some(logical::DATE | logical::TIME | logical::TIMESTAMP)
    )
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "Java's casts cut and round just so"
)]
fn from_integer(n: i64, ty: SchemaType) -> Value {
    match ty {
        SchemaType::Int8 => Value::I8(n as i8),
        SchemaType::Int16 => Value::I16(n as i16),
        SchemaType::Int32 => Value::I32(n as i32),
        SchemaType::Float32 => Value::F32(n as f32),
        SchemaType::Float64 => Value::F64(n as f64),
        SchemaType::Boolean => Value::Bool(n != 0),
        _ => Value::I64(n),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "Java's casts saturate at 32 or 64 bits and cut further down"
)]
fn from_float(n: f64, ty: SchemaType) -> Value {
    match ty {
        SchemaType::Int8 => Value::I8(n as i32 as i8),
        SchemaType::Int16 => Value::I16(n as i32 as i16),
        SchemaType::Int32 => Value::I32(n as i32),
        SchemaType::Float32 => Value::F32(n as f32),
        SchemaType::Float64 => Value::F64(n),
        SchemaType::Boolean => Value::Bool(n as i64 != 0),
        _ => Value::I64(n as i64),
    }
}

fn from_decimal(n: &Decimal, ty: SchemaType) -> Value {
    let mut text = Vec::new();
    java::write_decimal(n, &mut text);
    let text = String::from_utf8_lossy(&text);
    match ty {
        SchemaType::Float32 => Value::F32(text.parse().unwrap_or(f32::NAN)),
        SchemaType::Float64 => Value::F64(text.parse().unwrap_or(f64::NAN)),
        _ => from_integer(java::low_bits(&text), ty),
    }
}

fn parsed(text: &str, ty: SchemaType) -> Option<Value> {
    let digits = java::ascii_digits(text);
    Some(match ty {
        SchemaType::Int8 => Value::I8(digits.parse().ok()?),
        SchemaType::Int16 => Value::I16(digits.parse().ok()?),
        SchemaType::Int32 => Value::I32(digits.parse().ok()?),
        SchemaType::Int64 => Value::I64(digits.parse().ok()?),
        SchemaType::Float32 => Value::F32(java::parse_float(text)?),
        SchemaType::Float64 => Value::F64(java::parse_double(text)?),
        _ => Value::Bool(text.eq_ignore_ascii_case("true")),
    })
}
