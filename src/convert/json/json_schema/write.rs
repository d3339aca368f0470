//! Converts Connect schemas to JSON Schema for registration. The mapping is that of Confluent's
//! JsonSchemaData.

use connector_api::{Error, Result, Schema, SchemaType, logical};
use serde_json::{Map, Value as Json, json};

use super::JsonSchemaSettings;
use crate::convert::json::{JsonOptions, encode, plan};

/// Converts a Connect schema to JSON Schema.
/// Errors: `Record` for anything without a counterpart.
pub(super) fn write(schema: &Schema, settings: &JsonSchemaSettings) -> Result<String> {
    ty(schema, None, settings).map(|json| json.to_string())
}

/// Converts a schema, adding null as an alternative if it is optional. `index` is its position
/// among the members of a struct.
fn ty(schema: &Schema, index: Option<usize>, settings: &JsonSchemaSettings) -> Result<Json> {
    let mut plain = required(schema, settings)?;
    let index = index.map(|index| ("connect.index".to_owned(), json!(index)));
    if !schema.optional {
        plain.extend(index);
        return Ok(plain.into());
    }
    let mut out = Map::new();
    out.insert("oneOf".to_owned(), json!([{"type": "null"}, plain]));
    out.extend(index);
    Ok(out.into())
}

fn required(schema: &Schema, settings: &JsonSchemaSettings) -> Result<Map<String, Json>> {
    let mut out = Map::new();
    let (name, connect) = type_names(schema, settings);
    out.insert("type".to_owned(), json!(name));
    if let Some(title) = &schema.name {
        out.insert("title".to_owned(), json!(&**title));
    }
    if let Some(doc) = &schema.doc {
        out.insert("description".to_owned(), json!(&**doc));
    }
    set_parts(schema, settings, &mut out)?;
    if let Some(connect) = connect {
        out.insert("connect.type".to_owned(), json!(connect));
    }
    if let Some(version) = schema.version {
        out.insert("connect.version".to_owned(), json!(version));
    }
    if !schema.params.is_empty() {
        let params = schema
            .params
            .iter()
            .map(|(name, value)| (name.to_string(), json!(&**value)));
        let params = Json::Object(params.collect());
        out.insert("connect.parameters".to_owned(), params);
    }
    if let Some(default) = &schema.default
        && !default.is_null()
    {
        let default = default_of(schema, default, &settings.json)?;
        out.insert("default".to_owned(), default);
    }
    Ok(out)
}

/// JSON Schema's name of a type, and Connect's where that does not follow from it.
fn type_names(schema: &Schema, settings: &JsonSchemaSettings) -> (&'static str, Option<String>) {
    match schema.ty {
        SchemaType::Int8 | SchemaType::Int16 | SchemaType::Int32 | SchemaType::Int64 => {
            ("integer", Some(schema.ty.name().to_ascii_lowercase()))
        }
        SchemaType::Float32 | SchemaType::Float64 => {
            ("number", Some(schema.ty.name().to_ascii_lowercase()))
        }
        SchemaType::Boolean => ("boolean", None),
        SchemaType::String => ("string", None),
        SchemaType::Bytes if schema.is_named(logical::DECIMAL) && settings.json.numeric => {
            ("number", Some("bytes".to_owned()))
        }
        SchemaType::Bytes => ("string", Some("bytes".to_owned())),
        SchemaType::Array => ("array", None),
        SchemaType::Map if has_text_keys(schema) => ("object", Some("map".to_owned())),
        SchemaType::Map => ("array", Some("map".to_owned())),
        SchemaType::Struct => ("object", None),
    }
}

/// Sets the schemas of what a list, map or struct holds.
fn set_parts(
    schema: &Schema,
    settings: &JsonSchemaSettings,
    out: &mut Map<String, Json>,
) -> Result<()> {
    let mut set = |name: &str, value: Json| drop(out.insert(name.to_owned(), value));
    let inner = |schema: &Option<std::sync::Arc<Schema>>| match schema {
        Some(schema) => ty(schema, None, settings),
        None => Err(Error::record("a list or map has no schema of its items")),
    };
    match schema.ty {
        SchemaType::Array => set("items", inner(&schema.values)?),
        SchemaType::Map if has_text_keys(schema) => {
            set("additionalProperties", inner(&schema.values)?);
        }
        SchemaType::Map => {
            let pair = json!({"key": inner(&schema.keys)?, "value": inner(&schema.values)?});
            set("items", json!({"type": "object", "properties": pair}));
        }
        SchemaType::Struct => {
            let mut members = Map::new();
            for (at, field) in schema.fields.iter().enumerate() {
                let member = ty(&field.schema, Some(at), settings);
                let member = member.map_err(|e| e.context(format_args!("field {}", field.name)))?;
                members.insert(field.name.to_string(), member);
            }
            set("properties", Json::Object(members));
            if !settings.additional {
                set("additionalProperties", json!(false));
            }
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn has_text_keys(schema: &Schema) -> bool {
    schema
        .keys
        .as_ref()
        .is_none_or(|keys| keys.ty == SchemaType::String)
}

/// Converts a default to the form it has in the payload.
fn default_of(
    schema: &Schema,
    default: &connector_api::Value,
    options: &JsonOptions,
) -> Result<Json> {
    let bare = std::sync::Arc::new(Schema {
        default: None,
        ..schema.clone()
    });
    let mut text = Vec::new();
    encode::write(&plan::JsonNode::compile(&bare), default, options, &mut text)?;
    serde_json::from_slice(&text).map_err(|error| Error::fatal(error.to_string()))
}
