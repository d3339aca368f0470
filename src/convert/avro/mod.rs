//! `io.confluent.connect.avro.AvroConverter`: values in Avro's binary form, with schemas in a
//! schema registry.
//!
//! Schemas are mapped as in Confluent's AvroData; metadata that Avro does not have is stored in
//! `connect.*` attributes. Payloads are written and read along a plan compiled from both schemas,
//! without a tree in between. (The apache-avro crate builds one, with every field's name in every
//! record, and does not keep attributes of primitive types.)

mod decode;
mod derive;
mod encode;
mod names;
mod plan;
mod schema;
mod write;

use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance,
};
use connector_api::{Datum, Result, Schema, Value};

use super::limits;
use super::registered::keys::{self, key};
use super::registered::{ResolvedReferences, SchemaFormat, SchemaLanguage, SchemaText};
use plan::AvroNode;

const OWN: [ConfigKey; 3] = [
    key(
        "enhanced.avro.schema.support",
        ConfigType::Boolean,
        DefaultValue::Text("false"),
        Importance::Medium,
        "Whether text that was read from an enum is written as an enum again.",
    ),
    key(
        "connect.meta.data",
        ConfigType::Boolean,
        DefaultValue::Text("true"),
        Importance::Low,
        "Whether registered schemas preserve what Avro cannot express, as connect.* attributes.",
    ),
    key(
        "scrub.invalid.names",
        ConfigType::Boolean,
        DefaultValue::Text("false"),
        Importance::Medium,
        "Whether names that are invalid in Avro are changed: invalid characters become _.",
    ),
];

pub const KEYS: &[ConfigKey] = &keys::with::<{ keys::KEYS.len() + OWN.len() }>(&OWN);

struct AvroOptions {
    enhanced: bool,
    metadata: bool,
    scrub: bool,
}

impl AvroOptions {
    /// Settings for schemas that are already registered.
    const PLAIN: Self = Self {
        enhanced: true,
        metadata: true,
        scrub: false,
    };
}

/// The Avro format.
pub struct AvroFormat {
    options: AvroOptions,
}

/// Reads values of one registered schema.
pub struct AvroReader {
    schema: Arc<Schema>,
    node: AvroNode,
    types: usize,
}

/// Writes values of one Connect schema.
pub struct AvroWriter(AvroNode);

impl AvroFormat {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub fn new(config: &Config) -> Result<Self, ConfigReport> {
        let options = config.read(KEYS, |keys| AvroOptions {
            enhanced: keys.bool("enhanced.avro.schema.support"),
            metadata: keys.bool("connect.meta.data"),
            scrub: keys.bool("scrub.invalid.names"),
        })?;
        Ok(Self { options })
    }
}

impl SchemaFormat for AvroFormat {
    type Writer = AvroWriter;
    type Reader = AvroReader;

    const LANGUAGE: SchemaLanguage = SchemaLanguage::Avro;

    fn schema_of(&self, schema: &Schema) -> Result<SchemaText> {
        let text = write::write(schema, &self.options)?;
        Ok(SchemaText {
            language: Self::LANGUAGE,
            text,
            references: Vec::new(),
        })
    }

    fn record_name(
        &self,
        schema: &SchemaText,
        references: &ResolvedReferences,
    ) -> Result<Option<String>> {
        schema::parse(&schema.text, references).map(|avro| avro.record_name().map(str::to_owned))
    }

    fn writer(
        &self,
        schema: &Arc<Schema>,
        registered: &SchemaText,
        references: &ResolvedReferences,
    ) -> Result<AvroWriter> {
        let avro = schema::parse(&registered.text, references)?;
        plan::compile(schema, &avro, &self.options).map(AvroWriter)
    }

    fn reader(
        &self,
        registered: &SchemaText,
        references: &ResolvedReferences,
    ) -> Result<AvroReader> {
        let avro = schema::parse(&registered.text, references)?;
        let schema = Arc::new(derive::derive(&avro)?);
        let types = limits::checked(&schema)?;
        let node = plan::compile(&schema, &avro, &AvroOptions::PLAIN)?;
        Ok(AvroReader {
            schema,
            node,
            types,
        })
    }

    fn types(reader: &AvroReader) -> usize {
        reader.types
    }

    fn encode(&self, writer: &AvroWriter, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        encode::write(&writer.0, value, out)
    }

    fn decode(&self, reader: &mut AvroReader, payload: &[u8]) -> Result<Datum> {
        let value = decode::AvroPayload::new(payload).payload(&reader.node)?;
        Ok(Datum::new(Arc::clone(&reader.schema), value))
    }
}

#[cfg(test)]
mod tests;
