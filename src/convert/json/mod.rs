//! `org.apache.kafka.connect.json.JsonConverter`: values as `{"schema":…,"payload":…}`, or as plain
//! JSON.
//!
//! Encoding: the schema's text is generated once per schema, so that a record costs only its
//! payload. Decoding: a record that starts with the same bytes as an earlier one has the same
//! schema, so that again only the payload is parsed; in other positions, a schema is looked up by
//! its text. Schemas are compared by pointer first.

#![expect(
    clippy::indexing_slicing,
    reason = "the position was found in the same list"
)]

mod decode;
mod encode;
mod envelope;
#[cfg(feature = "json-schema")]
pub mod json_schema;
mod plan;
mod reader;
mod schema;
mod unicode;

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator, Width,
};
use connector_api::{Converter, Datum, EncodedPresence, Error, Result, Schema};

use decode::JsonDecoder;
use envelope::JsonEnvelope;
use plan::JsonNode;

use super::trail::hint_schema_change;
use super::{CONVERTER_TYPE, limits};

pub const KEYS: &[ConfigKey] = &[
    CONVERTER_TYPE,
    ConfigKey::new("schemas.enable", ConfigType::Boolean, DefaultValue::Text("true"), "Schemas", 
        "Whether each record contains its schema.")
        .importance(Importance::High)
        .form(Width::Medium, "Enable Schemas")
        .order(0),
    ConfigKey::new("schemas.cache.size", ConfigType::Int, DefaultValue::Text("1000"), "Schemas", 
        "Number of compiled schemas that are cached.")
        .importance(Importance::High)
        .form(Width::Medium, "Schema Cache Size")
        .order(1),
    ConfigKey::new(
        "decimal.format",
        ConfigType::String,
        DefaultValue::Text("BASE64"),
        "Serialization",
        "How decimals are written: BASE64 (the bytes of the unscaled number) or NUMERIC (a JSON number). Both are read.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["NUMERIC", "BASE64"]))
    .importance(Importance::Low)
    .form(Width::Medium, "Decimal Format")
    .order(0),
    ConfigKey::new(
        "replace.null.with.default",
        ConfigType::Boolean,
        DefaultValue::Text("true"),
        "Serialization",
        "Whether null is replaced by the default of its schema.",
    )
    .importance(Importance::Low)
    .form(Width::Medium, "Replace null with default")
    .order(1),
    ConfigKey::new(
        "strict",
        ConfigType::Boolean,
        DefaultValue::Text("true"),
        "Serialization",
        "Whether reading refuses values that do not fit their type. If false, they are truncated, \
         or become 0 or null, as in Kafka Connect.",
    )
    .importance(Importance::Low)
    .form(Width::Medium, "Strict")
    .order(2),
];

struct JsonOptions {
    schemas: bool,
    cache: usize,
    numeric: bool,
    replace_null: bool,
    strict: bool,
    /// True if maps whose keys are not text are lists of objects with key and value, rather than of
    /// pairs.
    entries: bool,
}

/// Number of recent record prefixes that are compared before a record's schema is located by
/// parsing.
const RECENT: usize = 4;
/// Maximum size of cached schema texts in bytes; beyond it, the cache is cleared.
const MAX_KEPT: usize = 16 << 20;

/// Converts values to and from JSON.
pub struct JsonConverter {
    options: JsonOptions,
    written: Vec<SchemaPrefix>,
    last: usize,
    recent: Vec<(Box<[u8]>, Arc<JsonNode>)>,
    known: HashMap<Box<str>, Arc<JsonNode>>,
    kept: usize,
}

/// A schema with the text that precedes its payloads.
struct SchemaPrefix {
    schema: Arc<Schema>,
    prefix: Box<[u8]>,
    node: JsonNode,
}

impl JsonConverter {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub fn new(config: &Config) -> Result<Self, ConfigReport> {
        let options = config.read(KEYS, |keys| JsonOptions {
            schemas: keys.bool("schemas.enable"),
            cache: usize::try_from(keys.unsigned("schemas.cache.size"))
                .unwrap_or(usize::MAX)
                .max(1),
            numeric: keys.text("decimal.format").eq_ignore_ascii_case("NUMERIC"),
            replace_null: keys.bool("replace.null.with.default"),
            strict: keys.bool("strict"),
            entries: false,
        })?;
        Ok(Self {
            options,
            written: Vec::new(),
            last: 0,
            recent: Vec::new(),
            known: HashMap::new(),
            kept: 0,
        })
    }

    /// Finds a schema among those written before, by pointer and then by content, or compiles it;
    /// sets `last`.
    fn find_written(&mut self, schema: &Arc<Schema>) -> Result<()> {
        if self
            .written
            .get(self.last)
            .is_some_and(|written| Arc::ptr_eq(&written.schema, schema))
        {
            return Ok(());
        }
        if let Some(at) = self
            .written
            .iter()
            .position(|written| Arc::ptr_eq(&written.schema, schema))
        {
            self.last = at;
            return Ok(());
        }
        if let Some(at) = self
            .written
            .iter()
            .position(|written| written.schema == *schema)
        {
            // So that the comparison by pointer finds it next time.
            self.written[at].schema = Arc::clone(schema);
            self.last = at;
            return Ok(());
        }
        let mut prefix = Vec::new();
        if self.options.schemas {
            prefix.extend_from_slice(b"{\"schema\":");
            schema::write_schema(schema, None, &self.options, &mut prefix)?;
            prefix.extend_from_slice(b",\"payload\":");
        }
        if self.written.len() >= self.options.cache {
            self.written.clear();
        }
        self.last = self.written.len();
        let (schema, node) = (Arc::clone(schema), JsonNode::compile(schema));
        self.written.push(SchemaPrefix {
            schema,
            prefix: prefix.into(),
            node,
        });
        Ok(())
    }

    /// Reads a record that starts like an earlier one. `None` if no prefix matches, or the rest is
    /// not as expected.
    fn decode_like_recent(&mut self, bytes: &[u8]) -> Option<Datum> {
        let at = self
            .recent
            .iter()
            .position(|(prefix, _)| bytes.starts_with(prefix))?;
        if at > 0 {
            self.recent.swap(0, at);
        }
        let (prefix, node) = self.recent.first()?;
        let text = std::str::from_utf8(bytes.get(prefix.len()..)?).ok()?;
        let mut decoder = JsonDecoder::new(text, &self.options);
        let value = decoder.value(node).ok()?;
        // Text after the document is ignored, as in Kafka Connect.
        let closed = decoder.reader.peek() == Some(b'}');
        closed.then(|| Datum::new(Arc::clone(&node.schema), value))
    }

    fn decode_any(&mut self, bytes: &[u8]) -> Result<Datum> {
        let text = unicode::text(bytes, self.options.strict)?;
        if self.options.schemas {
            return self.decode_envelope(&text);
        }
        let mut decoder = JsonDecoder::new(&text, &self.options);
        if decoder.reader.peek().is_none() {
            return Ok(Datum::NONE);
        }
        Ok(Datum {
            schema: None,
            value: decoder.plain()?,
        })
    }

    fn decode_envelope(&mut self, text: &str) -> Result<Datum> {
        let envelope = JsonEnvelope::split(text, &self.options)?;
        if envelope.schema == "null" {
            return Ok(Datum {
                schema: None,
                value: JsonDecoder::new(envelope.payload, &self.options).plain()?,
            });
        }
        let node = match self.known.get(envelope.schema) {
            Some(node) => Arc::clone(node),
            None => self.learn(envelope.schema)?,
        };
        let value = JsonDecoder::new(envelope.payload, &self.options).payload(&node)?;
        if let Some(prefix) = envelope.prefix
            && !self
                .recent
                .iter()
                .any(|(other, _)| **other == *prefix.as_bytes())
        {
            self.recent.truncate(RECENT - 1);
            self.recent
                .insert(0, (prefix.as_bytes().into(), Arc::clone(&node)));
        }
        Ok(Datum::new(Arc::clone(&node.schema), value))
    }

    /// Compiles a schema and caches it by its text.
    fn learn(&mut self, text: &str) -> Result<Arc<JsonNode>> {
        let schema = schema::read_schema(text, &self.options)?
            .unwrap_or_else(|| Schema::of(connector_api::SchemaType::String));
        limits::checked(&schema)?;
        let node = Arc::new(JsonNode::compile(&Arc::new(schema)));
        self.kept += text.len();
        if self.kept > MAX_KEPT || self.known.len() >= self.options.cache {
            self.known.clear();
            self.kept = text.len();
        }
        self.known.insert(text.into(), Arc::clone(&node));
        Ok(node)
    }
}

impl Converter for JsonConverter {
    fn encode(
        &mut self,
        _topic: &str,
        datum: &Datum,
        out: &mut Vec<u8>,
    ) -> Result<EncodedPresence> {
        let Some(schema) = &datum.schema else {
            if datum.value.is_null() {
                return Ok(EncodedPresence::Absent);
            }
            let envelope = self.options.schemas;
            out.extend_from_slice(if envelope {
                b"{\"schema\":null,\"payload\":"
            } else {
                b""
            });
            encode::write_plain(&datum.value, &self.options, out)?;
            out.extend_from_slice(if envelope { b"}" } else { b"" });
            return Ok(EncodedPresence::Present);
        };
        self.find_written(schema)?;
        let Some(written) = self.written.get(self.last) else {
            return Err(Error::fatal("schema lost from the cache"));
        };
        out.extend_from_slice(&written.prefix);
        encode::write(&written.node, &datum.value, &self.options, out)?;
        if self.options.schemas {
            out.push(b'}');
        }
        Ok(EncodedPresence::Present)
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&[u8]>) -> Result<Datum> {
        let Some(bytes) = bytes else {
            return Ok(Datum::NONE);
        };
        if let Some(datum) = self.decode_like_recent(bytes) {
            return Ok(datum);
        }
        self.decode_any(bytes)
            .map_err(|error| hint_schema_change(error, bytes))
    }
}

#[cfg(test)]
mod tests;
