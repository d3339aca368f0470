//! Converts JSON Schemas to Connect schemas for reading registered schemas. The mapping is that of
//! Confluent's JsonSchemaData.

use std::collections::HashSet;
use std::sync::Arc;

use connector_api::{Error, Field, Result, Schema, SchemaType, logical};
use serde_json::{Map, Value as Json};

use super::JsonSchemaSettings;
use crate::convert::json::decode::read_default;

/// Maximum nesting of schemas, with references followed.
const MAX_LEVELS: usize = 100;
/// Maximum number of types in a schema, counting each use of a definition.
const MAX_TYPES: usize = 100_000;
/// Parameter of a string that is an enum; the parameters of its symbols append a dot and the
/// symbol.
const ENUM: &str = "io.confluent.connect.json.Enum";

fn bad(why: impl std::fmt::Display) -> Error {
    Error::record(format!("the JSON Schema cannot be used: {why}"))
}
pub(super) fn parse(text: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(bad)
}

/// Converts a JSON Schema to a Connect schema; `references` are looked up by name.
/// Errors: `Record` for anything without a counterpart.
pub(super) fn derive(
    root: &Json,
    references: &[(String, Json)],
    settings: &JsonSchemaSettings,
) -> Result<Schema> {
    JsonSchemaDeriver {
        references,
        settings,
        left: MAX_TYPES,
    }
    .ty(root, root, 0)
}

struct JsonSchemaDeriver<'a> {
    references: &'a [(String, Json)],
    settings: &'a JsonSchemaSettings,
    left: usize,
}

/// The type of a schema that has one besides null, and whether null is another.
fn type_of(members: &Map<String, Json>) -> Result<(&str, bool)> {
    match members.get("type") {
        Some(Json::String(ty)) => Ok((ty.as_str(), false)),
        Some(Json::Array(list)) => {
            let mut others = list
                .iter()
                .filter_map(Json::as_str)
                .filter(|ty| *ty != "null");
            let optional = list.iter().any(|ty| ty.as_str() == Some("null"));
            match (others.next(), others.next()) {
                (Some(only), None) => Ok((only, optional)),
                _ => Err(bad(
                    "a list of several types other than null is not supported",
                )),
            }
        }
        _ if members.contains_key("properties") => Ok(("object", false)),
        _ if members.contains_key("enum") => Ok(("string", false)),
        _ => Err(bad("a schema has no type")),
    }
}

impl<'a> JsonSchemaDeriver<'a> {
    /// Converts one schema; `root` is the document that contains `json`.
    fn ty(&mut self, json: &'a Json, root: &'a Json, level: usize) -> Result<Schema> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| bad("it is too large"))?;
        if level > MAX_LEVELS {
            return Err(bad("it contains itself, or has too many levels"));
        }
        let members = json
            .as_object()
            .ok_or_else(|| bad("a schema is no object"))?;
        if let Some(reference) = members.get("$ref").and_then(Json::as_str) {
            let (found, root) = self.find(reference, root)?;
            return self.ty(found, root, level + 1);
        }
        for choice in ["oneOf", "anyOf", "allOf"] {
            if let Some(branches) = members.get(choice).and_then(Json::as_array) {
                return self.choice(choice, branches, root, level);
            }
        }
        let mut schema = self.plain(members, root, level)?;
        self.attributes(members, &mut schema)?;
        Ok(schema)
    }

    fn find(&self, reference: &str, root: &'a Json) -> Result<(&'a Json, &'a Json)> {
        let (document, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let root = if document.is_empty() {
            root
        } else {
            let found = self.references.iter().find(|(name, _)| name == document);
            &found
                .ok_or_else(|| bad(format_args!("$ref {document} is not among its references")))?
                .1
        };
        let found = root
            .pointer(pointer)
            .ok_or_else(|| bad(format_args!("$ref {reference} leads nowhere")))?;
        Ok((found, root))
    }

    /// Converts one schema, with or without null as an alternative.
    fn choice(
        &mut self,
        how: &str,
        branches: &'a [Json],
        root: &'a Json,
        level: usize,
    ) -> Result<Schema> {
        let is_null = |branch: &Json| branch.get("type").and_then(Json::as_str) == Some("null");
        let mut others = branches.iter().filter(|branch| !is_null(branch));
        match (others.next(), others.next()) {
            (Some(only), None) => {
                let schema = self.ty(only, root, level + 1)?;
                let optional = schema.optional || branches.len() > 1;
                Ok(schema.optional(optional))
            }
            _ => Err(bad(format_args!(
                "{how} with several types other than null is not supported"
            ))),
        }
    }

    fn plain(
        &mut self,
        members: &'a Map<String, Json>,
        root: &'a Json,
        level: usize,
    ) -> Result<Schema> {
        let connect = members.get("connect.type").and_then(Json::as_str);
        let (ty, optional) = type_of(members)?;
        let schema = match (ty, connect) {
            ("integer", Some("int8")) => Schema::of(SchemaType::Int8),
            ("integer", Some("int16")) => Schema::of(SchemaType::Int16),
            ("integer", Some("int32")) => Schema::of(SchemaType::Int32),
            ("integer", _) => Schema::of(SchemaType::Int64),
            ("number", Some("float32")) => Schema::of(SchemaType::Float32),
            ("number" | "string", Some("bytes")) => Schema::of(SchemaType::Bytes),
            ("number", _) => Schema::of(SchemaType::Float64),
            ("boolean", _) => Schema::of(SchemaType::Boolean),
            ("string", _) => text(members),
            ("array", Some("map")) => {
                let pair = members
                    .get("items")
                    .and_then(|items| items.get("properties"));
                let part = |name: &str| {
                    pair.and_then(|pair| pair.get(name))
                        .ok_or_else(|| bad("a map has no entries"))
                };
                let keys = self.ty(part("key")?, root, level + 1)?;
                Schema::map(keys, self.ty(part("value")?, root, level + 1)?)
            }
            ("array", _) => {
                let items = members
                    .get("items")
                    .ok_or_else(|| bad("an array has no items"))?;
                Schema::array(self.ty(items, root, level + 1)?)
            }
            ("object", _) => match members.get("additionalProperties") {
                Some(values @ Json::Object(_))
                    if connect == Some("map") || !members.contains_key("properties") =>
                {
                    Schema::map(
                        Schema::of(SchemaType::String),
                        self.ty(values, root, level + 1)?,
                    )
                }
                _ => self.structure(members, root, level)?,
            },
            (other, _) => return Err(bad(format_args!("type {other} is not known"))),
        };
        Ok(schema.optional(optional))
    }

    fn structure(
        &mut self,
        members: &'a Map<String, Json>,
        root: &'a Json,
        level: usize,
    ) -> Result<Schema> {
        let properties = members.get("properties").and_then(Json::as_object);
        let mut properties: Vec<_> = properties.into_iter().flatten().collect();
        properties.sort_by_key(|(_, member)| {
            member
                .get("connect.index")
                .and_then(Json::as_u64)
                .unwrap_or(u64::MAX)
        });
        let required = members.get("required").and_then(Json::as_array);
        let required: HashSet<&str> = required
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        let mut fields = Vec::with_capacity(properties.len());
        for (name, member) in properties {
            let schema = self
                .ty(member, root, level + 1)
                .map_err(|e| e.context(format_args!("property {name}")))?;
            let optional =
                schema.optional || (self.settings.optional && !required.contains(name.as_str()));
            fields.push(Field::new(name.as_str(), schema.optional(optional)));
        }
        Ok(Schema::structure(None, fields))
    }

    fn attributes(&self, members: &Map<String, Json>, schema: &mut Schema) -> Result<()> {
        let text = |name: &str| members.get(name).and_then(Json::as_str);
        if let Some(title) = text("title") {
            schema.name = Some(title.into());
        }
        if let Some(doc) = text("description") {
            schema.doc = Some(doc.into());
        }
        let version = members.get("connect.version").and_then(Json::as_i64);
        if let Some(version) = version.and_then(|version| i32::try_from(version).ok()) {
            schema.version = Some(version);
        }
        if let Some(Json::Object(params)) = members.get("connect.parameters") {
            schema.params = params
                .iter()
                .filter_map(|(k, v)| Some((k.as_str().into(), v.as_str()?.into())))
                .collect();
        }
        if schema.is_named(logical::DECIMAL) && schema.get_param(logical::SCALE).is_none() {
            return Err(bad("a Decimal has no scale among its connect.parameters"));
        }
        if let Some(default) = members.get("default").filter(|default| !default.is_null()) {
            schema.default = read_default(
                &default.to_string(),
                &Arc::new(schema.clone()),
                &self.settings.json,
            )?;
        }
        Ok(())
    }
}

/// Returns the schema of a string, with its symbols if it is an enum.
fn text(members: &Map<String, Json>) -> Schema {
    let Some(Json::Array(symbols)) = members.get("enum") else {
        return Schema::of(SchemaType::String);
    };
    let symbols = symbols.iter().filter_map(Json::as_str);
    let symbols = symbols.map(|symbol| (format!("{ENUM}.{symbol}").into(), symbol.into()));
    let params = std::iter::once((ENUM.into(), "".into()))
        .chain(symbols)
        .collect();
    Schema {
        params,
        ..Schema::of(SchemaType::String)
    }
}
