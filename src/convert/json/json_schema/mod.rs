//! `io.confluent.connect.json.JsonSchemaConverter`: plain JSON, with its schema in a schema
//! registry as JSON Schema.
//!
//! Schemas are mapped as in Confluent's JsonSchemaData. Payloads are those of the JsonConverter,
//! except that maps whose keys are not text are lists of objects with key and value.

mod derive;
mod write;

use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator,
};
use connector_api::{Datum, Result, Schema, Value};

use super::decode::JsonDecoder;
use super::plan::JsonNode;
use super::{JsonOptions, encode, unicode};
use crate::convert::limits;
use crate::convert::registered::keys::{self, key};
use crate::convert::registered::{ResolvedReferences, SchemaFormat, SchemaLanguage, SchemaText};

const OWN: [ConfigKey; 5] = [
    key(
        "object.additional.properties",
        ConfigType::Boolean,
        DefaultValue::Text("true"),
        Importance::Medium,
        "Whether registered schemas allow objects to have additional members.",
    ),
    key(
        "use.optional.for.nonrequired",
        ConfigType::Boolean,
        DefaultValue::Text("false"),
        Importance::Medium,
        "Whether a member that the schema does not list as required may be missing.",
    ),
    key(
        "decimal.format",
        ConfigType::String,
        DefaultValue::Text("BASE64"),
        Importance::Low,
        "How decimals are written: BASE64 (the bytes of the unscaled number) or NUMERIC (a JSON \
         number). Both are read.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["NUMERIC", "BASE64"])),
    key(
        "replace.null.with.default",
        ConfigType::Boolean,
        DefaultValue::Text("true"),
        Importance::Low,
        "Whether null is replaced by the default of its schema.",
    ),
    key(
        "strict",
        ConfigType::Boolean,
        DefaultValue::Text("true"),
        Importance::Low,
        "Whether reading refuses values that do not fit their type. If false, they are truncated, \
         or become 0 or null.",
    ),
];

pub const KEYS: &[ConfigKey] = &keys::with::<{ keys::KEYS.len() + OWN.len() }>(&OWN);

struct JsonSchemaSettings {
    json: JsonOptions,
    additional: bool,
    optional: bool,
}

/// The format of JSON payloads with JSON Schema.
pub struct JsonSchemaFormat {
    settings: JsonSchemaSettings,
}

/// Writes values of one Connect schema.
pub struct JsonSchemaWriter(JsonNode);

/// Reads values of one registered schema; also holds its number of types.
pub struct JsonSchemaReader(JsonNode, usize);

impl JsonSchemaFormat {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub fn new(config: &Config) -> Result<Self, ConfigReport> {
        let settings = config.read(KEYS, |keys| JsonSchemaSettings {
            json: JsonOptions {
                schemas: false,
                cache: 1,
                numeric: keys.text("decimal.format").eq_ignore_ascii_case("NUMERIC"),
                replace_null: keys.bool("replace.null.with.default"),
                strict: keys.bool("strict"),
                entries: true,
            },
            additional: keys.bool("object.additional.properties"),
            optional: keys.bool("use.optional.for.nonrequired"),
        })?;
        Ok(Self { settings })
    }
}

impl SchemaFormat for JsonSchemaFormat {
    type Writer = JsonSchemaWriter;
    type Reader = JsonSchemaReader;

    const LANGUAGE: SchemaLanguage = SchemaLanguage::Json;

    fn schema_of(&self, schema: &Schema) -> Result<SchemaText> {
        let text = write::write(schema, &self.settings)?;
        Ok(SchemaText {
            language: Self::LANGUAGE,
            text,
            references: Vec::new(),
        })
    }

    fn record_name(
        &self,
        schema: &SchemaText,
        _references: &ResolvedReferences,
    ) -> Result<Option<String>> {
        Ok(derive::parse(&schema.text)?
            .get("title")
            .and_then(|title| title.as_str())
            .map(str::to_owned))
    }

    fn writer(
        &self,
        schema: &Arc<Schema>,
        _registered: &SchemaText,
        _references: &ResolvedReferences,
    ) -> Result<JsonSchemaWriter> {
        Ok(JsonSchemaWriter(JsonNode::compile(schema)))
    }

    fn reader(
        &self,
        registered: &SchemaText,
        references: &ResolvedReferences,
    ) -> Result<JsonSchemaReader> {
        let root = derive::parse(&registered.text)?;
        let references = references
            .iter()
            .map(|(name, text)| Ok((name.clone(), derive::parse(text)?)));
        let references = references.collect::<Result<Vec<_>>>()?;
        let schema = derive::derive(&root, &references, &self.settings)?;
        let types = limits::checked(&schema)?;
        Ok(JsonSchemaReader(
            JsonNode::compile(&Arc::new(schema)),
            types,
        ))
    }

    fn types(reader: &JsonSchemaReader) -> usize {
        reader.1
    }

    fn encode(&self, writer: &JsonSchemaWriter, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        encode::write(&writer.0, value, &self.settings.json, out)
    }

    fn decode(&self, reader: &mut JsonSchemaReader, payload: &[u8]) -> Result<Datum> {
        let text = unicode::text(payload, self.settings.json.strict)?;
        let value = JsonDecoder::new(&text, &self.settings.json).payload(&reader.0)?;
        Ok(Datum::new(Arc::clone(&reader.0.schema), value))
    }
}

#[cfg(test)]
mod tests;
