//! Converts Avro schemas to Connect schemas for reading registered schemas. The mapping is that of
//! Confluent's AvroData.

use std::sync::Arc;

use connector_api::{Error, Field, Result, Schema, SchemaType, Value, logical};
use serde_json::Value as Json;

use super::names::{
    CONNECT_DEFAULT, CONNECT_DOC, CONNECT_NAME, CONNECT_PARAMETERS, CONNECT_TYPE, CONNECT_VERSION,
    ENUM, FIXED_SIZE, INTERNAL_TYPE, MAP_ENTRY, PRECISION, SPACE, UNION, is_default,
};
use super::schema::{AvroField, AvroType, AvroTypeKind, repeated};
use crate::convert::limits::decimal;

/// Maximum number of types in a schema, counting each use of a named one: a small text could
/// otherwise describe a huge schema.
const MAX_TYPES: usize = 100_000;

/// Converts an Avro schema to a Connect schema.
/// Errors: `Record` for anything without a counterpart.
pub(super) fn derive(avro: &AvroType) -> Result<Schema> {
    AvroDeriver { left: MAX_TYPES }.ty(avro)
}

/// Returns the key and value types of an array of entries, which represents a map whose keys are
/// not text.
pub(super) fn entry(items: &AvroType) -> Option<(&Arc<AvroType>, &Arc<AvroType>)> {
    let AvroTypeKind::Record(name, fields) = &items.kind else {
        return None;
    };
    let is_entry = items.attribute(INTERNAL_TYPE) == Some(MAP_ENTRY)
        || name
            .strip_prefix(SPACE)
            .is_some_and(|rest| rest.strip_prefix('.') == Some(MAP_ENTRY));
    let [key, value] = fields.as_slice() else {
        return None;
    };
    (is_entry && key.name == "key" && value.name == "value").then_some((&key.ty, &value.ty))
}

/// The symbols are parameters of a text's schema.
fn enumeration(name: &str, symbols: &[Box<str>]) -> Schema {
    let symbols = symbols
        .iter()
        .map(|symbol| (format!("{ENUM}.{symbol}").into(), (**symbol).into()));
    let params = std::iter::once((ENUM.into(), name.into()))
        .chain(symbols)
        .collect();
    Schema {
        params,
        ..Schema::of(SchemaType::String)
    }
}

struct AvroDeriver {
    left: usize,
}

impl AvroDeriver {
    fn ty(&mut self, avro: &AvroType) -> Result<Schema> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| Error::record("the Avro schema is too large"))?;
        let mut schema = match &avro.kind {
            AvroTypeKind::Null => {
                return Err(Error::record(
                    "an Avro schema of null alone has no counterpart",
                ));
            }
            AvroTypeKind::Boolean => Schema::of(SchemaType::Boolean),
            AvroTypeKind::Int => match avro.attribute(CONNECT_TYPE) {
                Some("int8") => Schema::of(SchemaType::Int8),
                Some("int16") => Schema::of(SchemaType::Int16),
                _ => Schema::of(SchemaType::Int32),
            },
            AvroTypeKind::Long => Schema::of(SchemaType::Int64),
            AvroTypeKind::Float => Schema::of(SchemaType::Float32),
            AvroTypeKind::Double => Schema::of(SchemaType::Float64),
            AvroTypeKind::Bytes => Schema::of(SchemaType::Bytes),
            AvroTypeKind::String => Schema::of(SchemaType::String),
            AvroTypeKind::Array(items) => match entry(items) {
                Some((key, value)) => {
                    named_entries(Schema::map(self.ty(key)?, self.ty(value)?), items)
                }
                None => Schema::array(self.ty(items)?),
            },
            AvroTypeKind::Map(values) => {
                Schema::map(Schema::of(SchemaType::String), self.ty(values)?)
            }
            AvroTypeKind::Union(branches) => return self.union(branches),
            AvroTypeKind::Record(name, fields) => Schema {
                doc: avro.attribute("doc").map(Arc::from),
                ..self.structure(name, fields)?
            },
            AvroTypeKind::Enum(name, symbols) => enumeration(name, symbols),
            AvroTypeKind::Fixed(name, size) => Schema {
                name: Some(name.as_str().into()),
                ..Schema::of(SchemaType::Bytes).param(FIXED_SIZE, &size.to_string())
            },
        };
        logical_type(avro, &mut schema);
        attributes(avro, &mut schema)?;
        Ok(schema)
    }

    fn structure(&mut self, name: &str, fields: &[AvroField]) -> Result<Schema> {
        let mut list = Vec::with_capacity(fields.len());
        for field in fields {
            let named = |e: Error| e.context(format_args!("field {}", field.name));
            let mut schema = self.ty(&field.ty).map_err(named)?;
            if let Some(default) = field.default.as_ref().filter(|default| !default.is_null()) {
                let of = first_branch(&field.ty);
                schema.default = Some(self::default(default, of, &schema).map_err(named)?);
            }
            if schema.doc.is_none() {
                schema.doc = field.doc.as_deref().map(Arc::from);
            }
            list.push(Field::new(field.name.as_str(), schema));
        }
        Ok(Schema::structure((!is_default(name)).then_some(name), list))
    }

    fn union(&mut self, branches: &[Arc<AvroType>]) -> Result<Schema> {
        let optional = branches.iter().any(|branch| branch.is_null());
        let mut others = branches.iter().filter(|branch| !branch.is_null());
        match (others.next(), others.next()) {
            (Some(only), None) => Ok(self.ty(only)?.optional(optional)),
            (None, _) => self.ty(&AvroType::null()),
            _ => {
                let fields = || branches.iter().filter(|branch| !branch.is_null());
                if let Some(name) = repeated(fields().map(|branch| branch.branch_name())) {
                    return Err(Error::record(format!(
                        "a union in the Avro schema has two branches with the name {name}, which \
                         cannot be distinguished"
                    )));
                }
                let fields = fields().map(|branch| {
                    Ok(Field::new(
                        branch.branch_name(),
                        self.ty(branch)?.optional(true),
                    ))
                });
                Ok(
                    Schema::structure(Some(UNION), fields.collect::<Result<_>>()?)
                        .optional(optional),
                )
            }
        }
    }
}

/// Restores the name of a named map, which is stored in its entries' record.
fn named_entries(mut map: Schema, entries: &AvroType) -> Schema {
    if let AvroTypeKind::Record(name, _) = &entries.kind
        && !name
            .strip_prefix(SPACE)
            .is_some_and(|rest| rest.starts_with(".MapEntry"))
    {
        map.name = Some(name.as_str().into());
    }
    map
}

fn first_branch(avro: &AvroType) -> &AvroType {
    match &avro.kind {
        AvroTypeKind::Union(branches) => branches.first().map_or(avro, |branch| branch),
        _ => avro,
    }
}

/// Applies Avro's own logical types that Connect also has.
fn logical_type(avro: &AvroType, schema: &mut Schema) {
    *schema = match (avro.attribute("logicalType"), schema.ty) {
        (Some("decimal"), SchemaType::Bytes) => {
            let scale = avro
                .number("scale")
                .and_then(|scale| i32::try_from(scale).ok())
                .unwrap_or_default();
            let decimal = Schema::decimal(scale);
            match avro.number("precision") {
                Some(precision) if precision != PRECISION => {
                    decimal.param(logical::PRECISION, &precision.to_string())
                }
                _ => decimal,
            }
        }
        (Some("date"), SchemaType::Int32) => Schema::date(),
        (Some("time-millis"), SchemaType::Int32) => Schema::time(),
        (Some("timestamp-millis"), SchemaType::Int64) => Schema::timestamp(),
        _ => return,
    };
}

/// Applies the attributes in which Connect stores its metadata.
fn attributes(avro: &AvroType, schema: &mut Schema) -> Result<()> {
    if let Some(name) = avro.attribute(CONNECT_NAME) {
        schema.name = Some(name.into());
    }
    if let Some(version) = avro.number(CONNECT_VERSION) {
        schema.version = i32::try_from(version).ok();
    }
    if let Some(doc) = avro.attribute(CONNECT_DOC) {
        schema.doc = Some(doc.into());
    }
    if let Some(Json::Object(parameters)) = avro.attributes.get(CONNECT_PARAMETERS) {
        schema.params = parameters
            .iter()
            .filter_map(|(k, v)| Some((k.as_str().into(), v.as_str()?.into())))
            .collect();
    }
    if let Some(default) = avro
        .attributes
        .get(CONNECT_DEFAULT)
        .filter(|default| !default.is_null())
    {
        schema.default = Some(self::default(default, avro, schema)?);
    }
    Ok(())
}

/// Reads a default from JSON.
/// Errors: `Record` if it is not of the declared type.
pub(super) fn default(json: &Json, avro: &AvroType, schema: &Schema) -> Result<Value> {
    found(json, avro, schema).ok_or_else(|| {
        Error::record(format!(
            "the default in the Avro schema is no {}",
            avro.branch_name()
        ))
    })
}

fn found(json: &Json, avro: &AvroType, schema: &Schema) -> Option<Value> {
    Some(match (&avro.kind, schema.ty) {
        (AvroTypeKind::Union(branches), _) if json.is_null() => branches
            .iter()
            .any(|b| b.is_null())
            .then_some(Value::Null)?,
        (AvroTypeKind::Union(branches), _) => {
            let only = branches.iter().find(|branch| !branch.is_null())?;
            found(json, only, schema)?
        }
        (_, SchemaType::Boolean) => Value::Bool(json.as_bool()?),
        (_, SchemaType::Int8) => Value::I8(json.as_i64()?.try_into().ok()?),
        (_, SchemaType::Int16) => Value::I16(json.as_i64()?.try_into().ok()?),
        (_, SchemaType::Int32) => Value::I32(json.as_i64()?.try_into().ok()?),
        (_, SchemaType::Int64) => Value::I64(json.as_i64()?),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the nearest float is meant"
        )]
        (_, SchemaType::Float32) => Value::F32(float(json)? as f32),
        (_, SchemaType::Float64) => Value::F64(float(json)?),
        (_, SchemaType::String) => Value::Text(json.as_str()?.into()),
        (_, SchemaType::Bytes) if schema.is_named(logical::DECIMAL) => {
            let scale = schema.get_param(logical::SCALE)?.parse().ok()?;
            decimal(&bytes(json)?, scale).ok()?
        }
        (_, SchemaType::Bytes) => Value::Bytes(bytes(json)?.into()),
        (AvroTypeKind::Array(items), SchemaType::Array) => {
            let of = schema.values.as_ref()?;
            Value::Array(
                json.as_array()?
                    .iter()
                    .map(|item| found(item, items, of))
                    .collect::<Option<_>>()?,
            )
        }
        (AvroTypeKind::Array(items), SchemaType::Map) => found_entries(json, items, schema)?,
        (AvroTypeKind::Map(of), SchemaType::Map) => {
            let values = schema.values.as_ref()?;
            let pair = |(key, value): (&String, &Json)| {
                Some((Value::Text(key.as_str().into()), found(value, of, values)?))
            };
            Value::Map(json.as_object()?.iter().map(pair).collect::<Option<_>>()?)
        }
        (AvroTypeKind::Record(_, fields), SchemaType::Struct) => {
            let members = fields.iter().zip(&schema.fields);
            Value::Struct(
                members
                    .map(|(field, of)| found_member(json, field, of))
                    .collect::<Option<_>>()?,
            )
        }
        _ => return None,
    })
}

/// Bytes are text of one character per byte.
fn bytes(json: &Json) -> Option<Vec<u8>> {
    json.as_str()?
        .chars()
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect()
}

/// A map whose entries are records of a list.
fn found_entries(json: &Json, items: &AvroType, schema: &Schema) -> Option<Value> {
    let (key, value) = entry(items)?;
    let keys = schema.keys.as_ref()?;
    let values = schema.values.as_ref()?;
    let pair = |entry: &Json| {
        Some((
            found(entry.get("key")?, key, keys)?,
            found(entry.get("value")?, value, values)?,
        ))
    };
    let pairs = json.as_array()?.iter().map(pair);
    Some(Value::Map(pairs.collect::<Option<_>>()?))
}

fn found_member(json: &Json, field: &AvroField, of: &Field) -> Option<Value> {
    match json.get(&field.name) {
        Some(given) => found(given, &field.ty, &of.schema),
        None => {
            let default = of.schema.default.clone();
            default.or_else(|| of.schema.optional.then_some(Value::Null))
        }
    }
}

/// Reads a float; Java writes values without a JSON number as text.
fn float(json: &Json) -> Option<f64> {
    match json.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        _ => json.as_f64(),
    }
}
