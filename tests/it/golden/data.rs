//! The recordings' spelling of schemas, values and bytes, and their comparison with ours.

use std::sync::Arc;

use connector_api::{Datum, Decimal, Field, Schema, SchemaType, Value, logical};
use serde_json::Value as Json;

/// What of a recording our values cannot hold: a Java class or a lone surrogate.
#[derive(Debug)]
pub(super) struct Unheld(pub(super) &'static str);

type Held<T> = Result<T, Unheld>;

pub(super) fn schema(json: &Json) -> Held<Option<Arc<Schema>>> {
    if json.is_null() {
        return Ok(None);
    }
    let all = [
        SchemaType::Int8,
        SchemaType::Int16,
        SchemaType::Int32,
        SchemaType::Int64,
        SchemaType::Float32,
        SchemaType::Float64,
        SchemaType::Boolean,
        SchemaType::String,
        SchemaType::Bytes,
        SchemaType::Array,
        SchemaType::Map,
        SchemaType::Struct,
    ];
    let name = json["type"].as_str().unwrap();
    let mut schema = Schema::of(*all.iter().find(|ty| ty.name() == name).unwrap());
    let text = |member: &str| json[member].as_str().map(Arc::<str>::from);
    schema.optional = json["optional"].as_bool().unwrap();
    schema.name = text("name");
    schema.doc = text("doc");
    schema.version = json["version"].as_i64().map(|n| i32::try_from(n).unwrap());
    if let Some(parameters) = json["parameters"].as_object() {
        schema.params = parameters
            .iter()
            .map(|(name, text)| (Arc::from(name.as_str()), Arc::from(text.as_str().unwrap())))
            .collect();
    }
    for field in json["fields"].as_array().into_iter().flatten() {
        let inner = self::schema(&field["schema"])?.unwrap();
        let mut fields = std::mem::take(&mut schema.fields).into_vec();
        fields.push(Field {
            name: Arc::from(field["name"].as_str().unwrap()),
            schema: inner,
        });
        schema.fields = fields.into();
    }
    schema.keys = self::schema(&json["keys"])?;
    schema.values = self::schema(&json["values"])?;
    if !json["default"].is_null() {
        schema.default = Some(value(&json["default"], Some(&schema))?);
    }
    Ok(Some(Arc::new(schema)))
}

fn hex(json: &Json) -> Vec<u8> {
    let text = json.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

pub(super) fn value(json: &Json, schema: Option<&Schema>) -> Held<Value> {
    let Some((kind, content)) = json.as_object().and_then(|object| object.iter().next()) else {
        return Ok(Value::Null);
    };
    let number = || content.as_i64().unwrap();
    let bits = || u64::from_str_radix(json["bits"].as_str().unwrap(), 16).unwrap();
    let inner = |side: fn(&Schema) -> &Option<Arc<Schema>>| {
        schema.and_then(|schema| side(schema).as_deref())
    };
    Ok(match kind.as_str() {
        "boolean" => Value::Bool(content.as_bool().unwrap()),
        "int8" => Value::I8(i8::try_from(number()).unwrap()),
        "int16" => Value::I16(i16::try_from(number()).unwrap()),
        "int32" => Value::I32(i32::try_from(number()).unwrap()),
        "int64" => Value::I64(number()),
        "float32" => Value::F32(f32::from_bits(u32::try_from(bits()).unwrap())),
        "float64" => Value::F64(f64::from_bits(bits())),
        "string" => Value::Text(content.as_str().unwrap().into()),
        "utf16" => return Err(Unheld("a lone surrogate")),
        "bytes" => Value::Bytes(hex(content).into()),
        "bytebuffer" => Value::Bytes(hex(json.get("whole").unwrap_or(content)).into()),
        "decimal" => {
            let unscaled = content["unscaled"].as_str().unwrap();
            let scale = i32::try_from(content["scale"].as_i64().unwrap()).unwrap();
            let unscaled = Decimal::parse(unscaled).unwrap().unscaled();
            Value::Decimal(Box::new(Decimal::from_bigint(unscaled, scale)))
        }
        "bigint" => return Err(Unheld("a BigInteger")),
        "millis" => return millis(number(), schema),
        "array" => {
            let items = content.as_array().unwrap();
            let of = inner(|schema| &schema.values);
            Value::Array(
                items
                    .iter()
                    .map(|item| value(item, of))
                    .collect::<Held<_>>()?,
            )
        }
        "map" => {
            let entries = content.as_array().unwrap().iter();
            let (keys, values) = (inner(|schema| &schema.keys), inner(|schema| &schema.values));
            Value::Map(
                entries
                    .map(|entry| Ok((value(&entry[0], keys)?, value(&entry[1], values)?)))
                    .collect::<Held<_>>()?,
            )
        }
        "struct" => {
            let members = content.as_array().unwrap();
            let fields = schema.map_or(&[][..], |schema| &schema.fields);
            let of = |at: usize| fields.get(at).map(|field| &*field.schema);
            Value::Struct(
                members
                    .iter()
                    .enumerate()
                    .map(|(at, m)| value(&m[1], of(at)))
                    .collect::<Held<_>>()?,
            )
        }
        other => panic!("unknown kind of value {other}"),
    })
}

/// A `java.util.Date`: what it is on the wire says its schema; without one it is a number of milliseconds.
fn millis(millis: i64, schema: Option<&Schema>) -> Held<Value> {
    const DAY: i64 = 86_400_000;
    match schema.and_then(|schema| schema.name.as_deref()) {
        Some(logical::DATE) if millis % DAY == 0 => {
            Ok(Value::I32(i32::try_from(millis / DAY).unwrap()))
        }
        Some(logical::TIME) => i32::try_from(millis)
            .map(Value::I32)
            .map_err(|_| Unheld("a time of 64 bits")),
        Some(logical::TIMESTAMP) => Ok(Value::I64(millis)),
        None if schema.is_none() => Ok(Value::I64(millis)),
        _ => Err(Unheld("a java.util.Date")),
    }
}

pub(super) fn datum(json: &Json) -> Held<Datum> {
    let schema = schema(&json["schema"])?;
    let value = value(&json["value"], schema.as_deref())?;
    Ok(Datum { schema, value })
}

pub(super) fn bytes(json: &Json) -> Option<Vec<u8>> {
    match json.get("utf8") {
        Some(text) => Some(text.as_str().unwrap().into()),
        None if json.is_null() => None,
        None => Some(hex(&json["hex"])),
    }
}

/// Whether two values are the same: floats by their bits, entries of maps in any order.
pub(super) fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::F32(a), Value::F32(b)) => a.to_bits() == b.to_bits(),
        (Value::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits(),
        (Value::Array(a), Value::Array(b)) | (Value::Struct(a), Value::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            let has = |(key, value): &(Value, Value)| {
                b.iter()
                    .any(|(k, v)| same_value(key, k) && same_value(value, v))
            };
            a.len() == b.len() && a.iter().all(has)
        }
        (a, b) => a == b,
    }
}

pub(super) fn same(a: &Datum, b: &Datum) -> bool {
    a.schema == b.schema && same_value(&a.value, &b.value)
}

/// Whether an error has the recorded text; what the recording leaves open at its end, ours may say.
pub(super) fn same_error(recorded: &Json, ours: &str) -> Result<(), String> {
    let Some(text) = recorded["error"].as_str() else {
        return Ok(());
    };
    let ours_first = ours.lines().next().unwrap_or_default();
    let agrees = if text.ends_with(": ") {
        ours_first.starts_with(text)
    } else {
        ours_first == text
    };
    if agrees {
        Ok(())
    } else {
        Err(format!("error {ours:?} instead of {text:?}"))
    }
}

/// JSON with the entries of objects and arrays in one order.
pub(super) fn sorted(json: &Json) -> Json {
    match json {
        Json::Array(items) => {
            let mut items: Vec<Json> = items.iter().map(sorted).collect();
            items.sort_by_key(Json::to_string);
            Json::Array(items)
        }
        Json::Object(members) => {
            let mut members: Vec<_> = members
                .iter()
                .map(|(name, json)| (name.clone(), sorted(json)))
                .collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Json::Object(members.into_iter().collect())
        }
        other => other.clone(),
    }
}
