//! `io.confluent.connect.avro.AvroConverter`: values in Avro's binary form, their schemas in a schema registry.
//!
//! Schemas are mapped as Confluent's AvroData does; what Avro does not know stands in `connect.*` attributes. Payloads
//! are written and read along a plan of both schemas, without a tree between. (The apache-avro crate makes one, with
//! every field's name in every record, and does not keep attributes of primitive types.)

mod decode;
mod derive;
mod encode;
mod names;
mod plan;
mod schema;
mod write;

use std::sync::Arc;

use connector_api::config::{Config, Default, Importance, Key, Report, Type as KeyType};
use connector_api::{Datum, Result, Schema, Value};

use super::limits;
use super::registered::keys::{self, key};
use super::registered::{Format, Language, References, SchemaText};
use plan::Node;

const OWN: [Key; 3] = [
    key(
        "enhanced.avro.schema.support",
        KeyType::Boolean,
        Default::Text("false"),
        Importance::Medium,
        "Whether text that was read from an enum is written as an enum again.",
    ),
    key(
        "connect.meta.data",
        KeyType::Boolean,
        Default::Text("true"),
        Importance::Low,
        "Whether registered schemas hold what Avro has no place for, as connect.* attributes.",
    ),
    key(
        "scrub.invalid.names",
        KeyType::Boolean,
        Default::Text("false"),
        Importance::Medium,
        "Whether names that Avro cannot have are changed: other characters become _.",
    ),
];

/// The keys of the converter.
pub const KEYS: &[Key] = &keys::with::<{ keys::KEYS.len() + OWN.len() }>(&OWN);

/// The settings.
struct Options {
    enhanced: bool,
    metadata: bool,
    scrub: bool,
}

impl Options {
    /// For schemas that are registered already.
    const PLAIN: Self = Self { enhanced: true, metadata: true, scrub: false };
}

/// Avro.
pub struct AvroFormat {
    options: Options,
}

/// What reads one registered schema.
pub struct Reader {
    schema: Arc<Schema>,
    node: Node,
    types: usize,
}

/// What writes one Connect schema.
pub struct Writer(Node);

impl AvroFormat {
    /// Errors: every key that is wrong.
    pub fn new(config: &Config) -> Result<Self, Report> {
        let options = config.read(KEYS, |keys| Options {
            enhanced: keys.bool("enhanced.avro.schema.support"),
            metadata: keys.bool("connect.meta.data"),
            scrub: keys.bool("scrub.invalid.names"),
        })?;
        Ok(Self { options })
    }
}

impl Format for AvroFormat {
    type Writer = Writer;
    type Reader = Reader;

    const LANGUAGE: Language = Language::Avro;

    fn schema_of(&self, schema: &Schema) -> Result<SchemaText> {
        let text = write::write(schema, &self.options)?;
        Ok(SchemaText { language: Self::LANGUAGE, text, references: Vec::new() })
    }

    fn record_name(&self, schema: &SchemaText, references: &References) -> Result<Option<String>> {
        schema::parse(&schema.text, references).map(|avro| avro.record_name().map(str::to_owned))
    }

    fn writer(&self, schema: &Arc<Schema>, registered: &SchemaText, references: &References) -> Result<Writer> {
        let avro = schema::parse(&registered.text, references)?;
        plan::compile(schema, &avro, &self.options).map(Writer)
    }

    fn reader(&self, registered: &SchemaText, references: &References) -> Result<Reader> {
        let avro = schema::parse(&registered.text, references)?;
        let schema = Arc::new(derive::derive(&avro)?);
        let types = limits::checked(&schema)?;
        let node = plan::compile(&schema, &avro, &Options::PLAIN)?;
        Ok(Reader { schema, node, types })
    }

    fn types(reader: &Reader) -> usize {
        reader.types
    }

    fn encode(&self, writer: &Writer, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        encode::write(&writer.0, value, out)
    }

    fn decode(&self, reader: &mut Reader, payload: &[u8]) -> Result<Datum> {
        let value = decode::Reader::new(payload).payload(&reader.node)?;
        Ok(Datum::new(Arc::clone(&reader.schema), value))
    }
}

#[cfg(test)]
mod tests;
