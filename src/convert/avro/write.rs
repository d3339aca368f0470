//! Converts Connect schemas to Avro schemas for registration. The mapping is that of Confluent's
//! AvroData.

use std::collections::HashMap;

use connector_api::{Error, Result, Schema, SchemaType, Value, logical};
use serde_json::{Map, Value as Json, json};

use super::AvroOptions;
use super::names::{
    CONNECT_DEFAULT, CONNECT_DOC, CONNECT_NAME, CONNECT_PARAMETERS, CONNECT_TYPE, CONNECT_VERSION,
    DEFAULT_NAME, ENUM, INTERNAL_TYPE, MAP_ENTRY, PRECISION, SPACE, UNION, is_valid, object,
    scrubbed,
};

/// Converts a Connect schema to an Avro schema as JSON text.
/// Errors: `Record` for anything without a counterpart in Avro.
pub(super) fn write(schema: &Schema, options: &AvroOptions) -> Result<String> {
    let mut writer = AvroPayloadWriter {
        options,
        named: HashMap::new(),
        unnamed: 0,
    };
    Ok(writer.ty(schema, "")?.to_string())
}

/// Returns the name of a field in Avro.
/// Errors: `Record` if Avro does not allow it.
pub(super) fn field_name<'a>(
    name: &'a str,
    options: &AvroOptions,
) -> Result<std::borrow::Cow<'a, str>> {
    match (is_valid(name), options.scrub) {
        (true, _) => Ok(name.into()),
        (false, true) => Ok(scrubbed(name).into()),
        (false, false) => Err(invalid_name(name)),
    }
}

fn invalid_name(name: &str) -> Error {
    Error::record(format!(
        "Avro names have letters, digits and _ only, unlike {name}; rename it with ReplaceField, or set \
         scrub.invalid.names=true"
    ))
}

/// True if a map's keys are text, so that it is a map in Avro, too.
pub(super) fn has_text_keys(schema: &Schema) -> bool {
    schema
        .keys
        .as_ref()
        .is_none_or(|keys| keys.ty == SchemaType::String && !keys.optional)
}

struct AvroPayloadWriter<'a> {
    options: &'a AvroOptions,
    /// Structs by the name that they were written under.
    named: HashMap<String, Schema>,
    unnamed: usize,
}

impl AvroPayloadWriter<'_> {
    /// Converts a schema, as a union with null if it is optional.
    fn ty(&mut self, schema: &Schema, space: &str) -> Result<Json> {
        if schema.is_named(UNION) {
            return self.union(schema, space);
        }
        let plain = self.required(schema, space)?;
        Ok(match (schema.optional, &schema.default) {
            (false, _) => plain,
            (true, Some(default)) if !default.is_null() => json!([plain, "null"]),
            (true, _) => json!(["null", plain]),
        })
    }

    fn union(&mut self, schema: &Schema, space: &str) -> Result<Json> {
        let mut branches = Vec::new();
        if schema.optional {
            branches.push(json!("null"));
        }
        for field in &schema.fields {
            branches.push(self.required(&field.schema, space)?);
        }
        Ok(branches.into())
    }

    fn required(&mut self, schema: &Schema, space: &str) -> Result<Json> {
        let mut out = match schema.ty {
            SchemaType::Int8 | SchemaType::Int16 => {
                let mut out = object([("type", json!("int"))]);
                if self.options.metadata {
                    out.insert(
                        CONNECT_TYPE.to_owned(),
                        json!(schema.ty.name().to_ascii_lowercase()),
                    );
                }
                out
            }
            SchemaType::Int32 => object([("type", json!("int"))]),
            SchemaType::Int64 => object([("type", json!("long"))]),
            SchemaType::Float32 => object([("type", json!("float"))]),
            SchemaType::Float64 => object([("type", json!("double"))]),
            SchemaType::Boolean => object([("type", json!("boolean"))]),
            SchemaType::String => match schema.get_param(ENUM).filter(|_| self.options.enhanced) {
                Some(name) => return self.symbols(schema, name, space),
                None => object([("type", json!("string"))]),
            },
            SchemaType::Bytes => decimal(schema)?,
            SchemaType::Array => {
                let items = schema
                    .values
                    .as_deref()
                    .ok_or_else(|| Error::record("an array has no item schema"))?;
                object([("type", json!("array")), ("items", self.ty(items, space)?)])
            }
            SchemaType::Map => self.map(schema, space)?,
            SchemaType::Struct => match self.structure(schema, space)? {
                Json::Object(out) => out,
                name => return Ok(name),
            },
        };
        self.attributes(schema, &mut out)?;
        if out.len() == 1
            && let Some(Json::String(name)) = out.get("type")
        {
            return Ok(json!(&**name));
        }
        Ok(out.into())
    }

    fn map(&mut self, schema: &Schema, space: &str) -> Result<Map<String, Json>> {
        let (Some(keys), Some(values)) = (&schema.keys, &schema.values) else {
            return Err(Error::record("a map has no key and value schemas"));
        };
        if has_text_keys(schema) {
            return Ok(object([
                ("type", json!("map")),
                ("values", self.ty(values, space)?),
            ]));
        }
        let named = schema
            .name
            .as_deref()
            .map(|name| self.split(name))
            .transpose()?;
        let is_same = |known: &Schema| known.keys == schema.keys && known.values == schema.values;
        let (name, within) = named.unwrap_or_else(|| {
            // Different maps within one schema need different names for their entries.
            let names = (1..).map(|n| {
                if n == 1 {
                    MAP_ENTRY.to_owned()
                } else {
                    format!("{MAP_ENTRY}{n}")
                }
            });
            let mut free = names.filter(|name| {
                self.named
                    .get(&format!("{SPACE}.{name}"))
                    .is_none_or(is_same)
            });
            (free.next().unwrap_or_default(), SPACE.to_owned())
        });
        let full = if within.is_empty() {
            name.clone()
        } else {
            format!("{within}.{name}")
        };
        let items = if let Some(known) = self.named.get(&full) {
            if !is_same(known) {
                return Err(Error::record(format!(
                    "Avro cannot have two types with the name {full}"
                )));
            }
            json!(if within == space { name } else { full })
        } else {
            self.named.insert(full, schema.clone());
            let mut items = record(&name, &within, space);
            let fields = json!([
                {"name": "key", "type": self.ty(keys, &within)?},
                {"name": "value", "type": self.ty(values, &within)?},
            ]);
            items.insert("fields".to_owned(), fields);
            items.insert(INTERNAL_TYPE.to_owned(), json!(MAP_ENTRY));
            items.into()
        };
        Ok(object([("type", json!("array")), ("items", items)]))
    }

    fn symbols(&mut self, schema: &Schema, name: &str, space: &str) -> Result<Json> {
        let (simple, within) = self.split(name)?;
        let full = if within.is_empty() {
            simple.clone()
        } else {
            format!("{within}.{simple}")
        };
        if self.named.insert(full.clone(), schema.clone()).is_some() {
            return Ok(json!(if within == space { simple } else { full }));
        }
        let symbols = schema.params.iter().filter(|(key, _)| {
            key.strip_prefix(ENUM)
                .is_some_and(|rest| rest.starts_with('.'))
        });
        let mut out = record(&simple, &within, space);
        out.insert("type".to_owned(), json!("enum"));
        out.insert(
            "symbols".to_owned(),
            symbols.map(|(_, symbol)| json!(&**symbol)).collect(),
        );
        Ok(out.into())
    }

    /// Splits a full name into simple name and namespace.
    fn split(&self, full: &str) -> Result<(String, String)> {
        let (space, simple) = full.rsplit_once('.').unwrap_or(("", full));
        let part = |part: &str| field_name(part, self.options).map(std::borrow::Cow::into_owned);
        let space = space
            .split('.')
            .filter(|part| !part.is_empty())
            .map(part)
            .collect::<Result<Vec<_>>>()?;
        Ok((part(simple)?, space.join(".")))
    }

    /// Converts a struct to a record, or to the name of a record written before.
    fn structure(&mut self, schema: &Schema, space: &str) -> Result<Json> {
        let (name, within) = match schema.name.as_deref() {
            Some(name) => self.split(name)?,
            None => {
                self.unnamed += 1;
                let number = if self.unnamed > 1 {
                    self.unnamed.to_string()
                } else {
                    String::new()
                };
                (format!("{DEFAULT_NAME}{number}"), SPACE.to_owned())
            }
        };
        let full = if within.is_empty() {
            name.clone()
        } else {
            format!("{within}.{name}")
        };
        if let Some(known) = self.named.get(&full) {
            if known.fields != schema.fields {
                return Err(Error::record(format!(
                    "Avro cannot have two types with the name {full}"
                )));
            }
            return Ok(json!(if within == space { name } else { full }));
        }
        self.named.insert(full, schema.clone());
        let mut out = record(&name, &within, space);
        if let Some(doc) = &schema.doc {
            out.insert("doc".to_owned(), json!(&**doc));
        }
        let mut fields = Vec::with_capacity(schema.fields.len());
        for field in &schema.fields {
            let named = |e: Error| e.context(format_args!("field {}", field.name));
            let ty = self.ty(&field.schema, &within).map_err(named)?;
            let mut out = object([
                ("name", json!(field_name(&field.name, self.options)?)),
                ("type", ty),
            ]);
            if let Some(doc) = &field.schema.doc {
                out.insert("doc".to_owned(), json!(&**doc));
            }
            match &field.schema.default {
                Some(default) if !default.is_null() => {
                    out.insert(
                        "default".to_owned(),
                        default_of(default, &field.schema, self.options).map_err(named)?,
                    );
                }
                _ if field.schema.optional => drop(out.insert("default".to_owned(), Json::Null)),
                _ => {}
            }
            fields.push(out.into());
        }
        out.insert("fields".to_owned(), Json::Array(fields));
        Ok(out.into())
    }

    /// Adds the attributes that Connect needs when it reads the schema back.
    fn attributes(&self, schema: &Schema, out: &mut Map<String, Json>) -> Result<()> {
        if self.options.metadata {
            if let Some(doc) = schema
                .doc
                .as_ref()
                .filter(|_| schema.ty != SchemaType::Struct)
            {
                out.insert(CONNECT_DOC.to_owned(), json!(&**doc));
            }
            if let Some(version) = schema.version {
                out.insert(CONNECT_VERSION.to_owned(), json!(version));
            }
            if !schema.params.is_empty() {
                let params = schema
                    .params
                    .iter()
                    .map(|(name, value)| (name.to_string(), json!(&**value)));
                out.insert(
                    CONNECT_PARAMETERS.to_owned(),
                    Json::Object(params.collect()),
                );
            }
            if let Some(default) = schema.default.as_ref().filter(|default| !default.is_null()) {
                out.insert(
                    CONNECT_DEFAULT.to_owned(),
                    default_of(default, schema, self.options)?,
                );
            }
            if let Some(name) = &schema.name {
                out.insert(CONNECT_NAME.to_owned(), json!(&**name));
            }
        }
        let ty = match schema.name.as_deref() {
            Some(logical::DECIMAL) => "decimal",
            Some(logical::DATE) => "date",
            Some(logical::TIME) => "time-millis",
            Some(logical::TIMESTAMP) => "timestamp-millis",
            _ => return Ok(()),
        };
        out.insert("logicalType".to_owned(), json!(ty));
        Ok(())
    }
}

/// Starts a named type; its namespace is omitted if it equals the enclosing one.
fn record(name: &str, within: &str, space: &str) -> Map<String, Json> {
    let mut out = object([("type", json!("record")), ("name", json!(name))]);
    if within != space {
        out.insert("namespace".to_owned(), json!(within));
    }
    out
}

fn decimal(schema: &Schema) -> Result<Map<String, Json>> {
    if !schema.is_named(logical::DECIMAL) {
        return Ok(object([("type", json!("bytes"))]));
    }
    let scale = schema
        .get_param(logical::SCALE)
        .and_then(|scale| scale.parse::<i32>().ok());
    let scale =
        scale.ok_or_else(|| Error::record("Invalid Decimal schema: scale parameter not found."))?;
    let precision = schema
        .get_param(logical::PRECISION)
        .and_then(|precision| precision.parse::<i64>().ok());
    let precision = precision
        .filter(|precision| *precision > 0)
        .unwrap_or(PRECISION);
    Ok(object([
        ("type", json!("bytes")),
        ("scale", json!(scale)),
        ("precision", json!(precision)),
    ]))
}

/// Converts a default to its form in Avro schemas: bytes are text of one character per byte.
fn default_of(value: &Value, schema: &Schema, options: &AvroOptions) -> Result<Json> {
    let text = |bytes: &[u8]| bytes.iter().map(|b| char::from(*b)).collect::<String>();
    let inner = |schema: &Option<std::sync::Arc<Schema>>| {
        schema
            .clone()
            .unwrap_or_else(|| Schema::of(SchemaType::String).into())
    };
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(b) => json!(b),
        Value::F32(n) => float(f64::from(*n), json!(n)),
        Value::F64(n) => float(*n, json!(n)),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => json!(text(bytes)),
        Value::Decimal(decimal) => {
            let mut bytes = Vec::new();
            decimal.write_be_bytes(&mut bytes);
            json!(text(&bytes))
        }
        Value::Array(items) => {
            let of = inner(&schema.values);
            Json::Array(
                items
                    .iter()
                    .map(|item| default_of(item, &of, options))
                    .collect::<Result<_>>()?,
            )
        }
        Value::Map(entries) => {
            let (keys, values) = (inner(&schema.keys), inner(&schema.values));
            let pairs = entries.iter().map(|(k, v)| {
                Ok((
                    default_of(k, &keys, options)?,
                    default_of(v, &values, options)?,
                ))
            });
            map_of(pairs.collect::<Result<_>>()?, has_text_keys(schema))
        }
        Value::Struct(members) => {
            let members = schema.fields.iter().zip(members);
            let members = members.map(|(field, value)| {
                Ok((
                    field_name(&field.name, options)?.into_owned(),
                    default_of(value, &field.schema, options)?,
                ))
            });
            Json::Object(members.collect::<Result<_>>()?)
        }
        other => json!(other.as_i64()),
    })
}

/// Maps with keys other than text are lists of entries in Avro.
fn map_of(pairs: Vec<(Json, Json)>, has_text_keys: bool) -> Json {
    if has_text_keys {
        let members = pairs
            .into_iter()
            .filter_map(|(key, value)| Some((key.as_str()?.to_owned(), value)));
        Json::Object(members.collect())
    } else {
        let entries = pairs.into_iter();
        entries
            .map(|(key, value)| json!({"key": key, "value": value}))
            .collect()
    }
}

/// Writes a float; JSON has no numbers for NaN and the infinities, which Java writes as text.
fn float(n: f64, number: Json) -> Json {
    if n.is_finite() {
        return number;
    }
    json!(if n.is_nan() {
        "NaN"
    } else if n > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    })
}
