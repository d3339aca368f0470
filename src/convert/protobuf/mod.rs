//! `io.confluent.connect.protobuf.ProtobufConverter`: values in Protobuf's wire format, with
//! schemas in a schema registry.
//!
//! Schemas are mapped as in Confluent's ProtobufData, except that `optional.for.nullables` defaults
//! to true: without it, a null is written as 0 or an empty text, and cannot be distinguished
//! afterwards. protox parses `.proto` text; payloads are written and read along a plan compiled
//! from message and struct, without a tree in between.

mod decode;
mod derive;
mod encode;
mod files;
mod names;
mod plan;
mod write;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance,
};
use connector_api::{Datum, Error, Result, Schema, Value};
use prost_reflect::{FileDescriptor, MessageDescriptor};

use super::limits::{self, ValueBudget};
use super::registered::keys::{self, key};
use super::registered::{ResolvedReferences, SchemaFormat, SchemaLanguage, SchemaText};
use plan::ProtobufMessage;

const OWN: [ConfigKey; 6] = [
    key(
        "optional.for.nullables",
        ConfigType::Boolean,
        DefaultValue::Text("true"),
        Importance::Medium,
        "Whether nullable fields are optional in Protobuf. If false, null is read as 0 or as an \
         empty text.",
    ),
    key(
        "int.for.enums",
        ConfigType::Boolean,
        DefaultValue::Text("false"),
        Importance::Medium,
        "Whether enums are read as numbers instead of text.",
    ),
    key(
        "flatten.unions",
        ConfigType::Boolean,
        DefaultValue::Text("false"),
        Importance::Medium,
        "Whether the fields of a oneof are read as fields of the message instead of a separate \
         struct.",
    ),
    key(
        "enhanced.protobuf.schema.support",
        ConfigType::Boolean,
        DefaultValue::Text("false"),
        Importance::Medium,
        "Whether names of structs include their package.",
    ),
    key(
        "scrub.invalid.names",
        ConfigType::Boolean,
        DefaultValue::Text("false"),
        Importance::Medium,
        "Whether names that are invalid in Protobuf are changed: invalid characters become _.",
    ),
    key(
        "strict",
        ConfigType::Boolean,
        DefaultValue::Text("true"),
        Importance::Low,
        "Whether values that Protobuf would alter are refused: null that would be read as 0 or \
         empty, and unsigned numbers of more than 63 bits. If false, they are altered, as in \
         Confluent's converter.",
    ),
];

pub const KEYS: &[ConfigKey] = &keys::with::<{ keys::KEYS.len() + OWN.len() }>(&OWN);

/// Maximum number of compiled messages cached per schema.
const KEPT: usize = 100;
/// Maximum number of types that they may have together.
const KEPT_TYPES: usize = 50_000;

struct ProtobufOptions {
    optional: bool,
    int_enums: bool,
    flatten: bool,
    enhanced: bool,
    scrub: bool,
    strict: bool,
}

/// The Protobuf format.
pub struct ProtobufFormat {
    options: ProtobufOptions,
}

/// Writes values of one Connect schema, as the first message of the registered schema.
pub struct ProtobufWriter(ProtobufMessage);

/// Reads values of one registered schema: caches its compiled messages by their path, as they are
/// encountered.
pub struct ProtobufReader {
    file: FileDescriptor,
    known: HashMap<Vec<i32>, (Arc<Schema>, ProtobufMessage)>,
    types: usize,
}

impl ProtobufFormat {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub fn new(config: &Config) -> Result<Self, ConfigReport> {
        let options = config.read(KEYS, |keys| ProtobufOptions {
            optional: keys.bool("optional.for.nullables"),
            int_enums: keys.bool("int.for.enums"),
            flatten: keys.bool("flatten.unions"),
            enhanced: keys.bool("enhanced.protobuf.schema.support"),
            scrub: keys.bool("scrub.invalid.names"),
            strict: keys.bool("strict"),
        })?;
        Ok(Self { options })
    }
}

impl SchemaFormat for ProtobufFormat {
    type Writer = ProtobufWriter;
    type Reader = ProtobufReader;

    const LANGUAGE: SchemaLanguage = SchemaLanguage::Protobuf;

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
        let file = files::read(&schema.text, references)?;
        Ok(file
            .messages()
            .next()
            .map(|message| message.full_name().to_owned()))
    }

    fn writer(
        &self,
        schema: &Arc<Schema>,
        registered: &SchemaText,
        references: &ResolvedReferences,
    ) -> Result<ProtobufWriter> {
        let message = first_message(&files::read(&registered.text, references)?)?;
        plan::compile(schema, &message, &self.options).map(ProtobufWriter)
    }

    fn reader(
        &self,
        registered: &SchemaText,
        references: &ResolvedReferences,
    ) -> Result<ProtobufReader> {
        Ok(ProtobufReader {
            file: files::read(&registered.text, references)?,
            known: HashMap::new(),
            types: 0,
        })
    }

    fn types(reader: &ProtobufReader) -> usize {
        reader.types
    }

    fn encode(&self, writer: &ProtobufWriter, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        let Value::Struct(values) = value else {
            return Err(Error::record("Protobuf supports only structs"));
        };
        // Path of the message in its schema: the first one.
        out.push(0);
        encode::write(&writer.0, values, self.options.strict, out)
    }

    fn decode(&self, reader: &mut ProtobufReader, payload: &[u8]) -> Result<Datum> {
        let budget = RefCell::new(ValueBudget::new());
        let mut bytes = decode::ProtobufPayload::new(payload, self.options.strict, &budget);
        let path = bytes.message_indexes()?;
        if !reader.known.contains_key(&path) {
            if reader.known.len() >= KEPT || reader.types > KEPT_TYPES {
                reader.known.clear();
                reader.types = 0;
            }
            let message = message_at(&reader.file, &path)?;
            let schema = Arc::new(derive::derive(&message, &self.options)?);
            reader.types += limits::checked(&schema)?;
            let plan = plan::compile(&schema, &message, &self.options)?;
            reader.known.insert(path.clone(), (schema, plan));
        }
        let Some((schema, plan)) = reader.known.get(&path) else {
            return Err(Error::fatal("message lost from the cache"));
        };
        Ok(Datum::new(Arc::clone(schema), bytes.payload(plan)?))
    }
}

fn first_message(file: &FileDescriptor) -> Result<MessageDescriptor> {
    file.messages()
        .next()
        .ok_or_else(|| Error::record("the Protobuf schema has no message"))
}

/// Finds a message by its path: an index in the file, then in that message, and so on.
fn message_at(file: &FileDescriptor, path: &[i32]) -> Result<MessageDescriptor> {
    let none = || Error::record("the schema has no message at the index that the record gives");
    let mut place = path
        .iter()
        .map(|at| usize::try_from(*at).unwrap_or(usize::MAX));
    let mut message = place
        .next()
        .and_then(|at| file.messages().nth(at))
        .ok_or_else(none)?;
    for at in place {
        let child = message.child_messages().nth(at);
        message = child.ok_or_else(none)?;
    }
    Ok(message)
}

#[cfg(test)]
mod tests;
