//! `io.confluent.connect.json.JsonSchemaConverter`: plain JSON, whose schema is in a schema registry as JSON Schema.
//!
//! Schemas are mapped as Confluent's JsonSchemaData does; payloads are those of the JsonConverter, but for maps whose
//! keys are no text: a list of objects with key and value.

mod derive;
mod write;

use std::sync::Arc;

use connector_api::config::{Check, Config, Default, Importance, Key, Report, Type as KeyType};
use connector_api::{Datum, Result, Schema, Value};

use super::decode::Decoder;
use super::plan::Node;
use super::{Options, encode, unicode};
use crate::convert::limits;
use crate::convert::registered::keys::{self, key};
use crate::convert::registered::{Format, Language, References, SchemaText};

const OWN: [Key; 5] = [
    key("object.additional.properties", KeyType::Boolean, Default::Text("true"), Importance::Medium,
        "Whether registered schemas let objects have other members than those they name."),
    key("use.optional.for.nonrequired", KeyType::Boolean, Default::Text("false"), Importance::Medium,
        "Whether a member that a schema does not name as required may be missing."),
    key("decimal.format", KeyType::String, Default::Text("BASE64"), Importance::Low,
        "How decimals are written: BASE64 (the bytes of the unscaled number) or NUMERIC (a JSON number). Both are read.")
        .check(Check::OneOfIgnoreCase(&["NUMERIC", "BASE64"])),
    key("replace.null.with.default", KeyType::Boolean, Default::Text("true"), Importance::Low,
        "Whether a null is replaced by the default of its schema."),
    key("strict", KeyType::Boolean, Default::Text("true"), Importance::Low,
        "Whether reading refuses values that do not fit their type. With false they are cut, or become 0 or null."),
];

/// The keys of the converter.
pub const KEYS: &[Key] = &keys::with::<{ keys::KEYS.len() + OWN.len() }>(&OWN);

struct Settings {
    json: Options,
    additional: bool,
    optional: bool,
}

/// JSON with JSON Schema.
pub struct JsonSchemaFormat {
    settings: Settings,
}

/// What writes one Connect schema.
pub struct Writer(Node);

/// What reads one registered schema, and how many types it has.
pub struct Reader(Node, usize);

impl JsonSchemaFormat {
    /// Errors: every key that is wrong.
    pub fn new(config: &Config) -> Result<Self, Report> {
        let settings = config.read(KEYS, |keys| Settings {
            json: Options {
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

impl Format for JsonSchemaFormat {
    type Writer = Writer;
    type Reader = Reader;

    const LANGUAGE: Language = Language::Json;

    fn schema_of(&self, schema: &Schema) -> Result<SchemaText> {
        let text = write::write(schema, &self.settings)?;
        Ok(SchemaText { language: Self::LANGUAGE, text, references: Vec::new() })
    }

    fn record_name(&self, schema: &SchemaText, _references: &References) -> Result<Option<String>> {
        Ok(derive::parse(&schema.text)?.get("title").and_then(|title| title.as_str()).map(str::to_owned))
    }

    fn writer(&self, schema: &Arc<Schema>, _registered: &SchemaText, _references: &References) -> Result<Writer> {
        Ok(Writer(Node::compile(schema)))
    }

    fn reader(&self, registered: &SchemaText, references: &References) -> Result<Reader> {
        let root = derive::parse(&registered.text)?;
        let references = references.iter().map(|(name, text)| Ok((name.clone(), derive::parse(text)?)));
        let references = references.collect::<Result<Vec<_>>>()?;
        let schema = derive::derive(&root, &references, &self.settings)?;
        let types = limits::checked(&schema)?;
        Ok(Reader(Node::compile(&Arc::new(schema)), types))
    }

    fn types(reader: &Reader) -> usize {
        reader.1
    }

    fn encode(&self, writer: &Writer, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        encode::write(&writer.0, value, &self.settings.json, out)
    }

    fn decode(&self, reader: &mut Reader, payload: &[u8]) -> Result<Datum> {
        let text = unicode::text(payload, self.settings.json.strict)?;
        let value = Decoder::new(&text, &self.settings.json).payload(&reader.0)?;
        Ok(Datum::new(Arc::clone(&reader.0.schema), value))
    }
}

#[cfg(test)]
mod tests;
