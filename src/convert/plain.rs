//! Text and raw bytes: `org.apache.kafka.connect.storage.StringConverter` and
//! `…converters.ByteArrayConverter`.

use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, Width,
};
use connector_api::{Converter, Datum, EncodedPresence, Error, Result, Schema, SchemaType, Value};

use super::CONVERTER_TYPE;
use super::charset::Charset;
use super::java;

/// The keys of [`StringConverter`].
pub(crate) const STRING_KEYS: &[ConfigKey] = &[
    CONVERTER_TYPE,
    ConfigKey::new(
        "converter.encoding",
        ConfigType::String,
        DefaultValue::Text("UTF-8"),
        "",
        "Character set of the text: UTF-8, UTF-16, UTF-16BE, UTF-16LE, ISO-8859-1, US-ASCII or \
         windows-1252. Kafka's own keys take precedence: key.serializer.encoding, \
         value.deserializer.encoding and so on.",
    )
    .importance(Importance::High)
    .form(Width::Medium, "Encoding"),
];

/// Writes any value as Java's `toString` does, and reads text.
pub(crate) struct StringConverter {
    schema: Arc<Schema>,
    reading: Charset,
    writing: Charset,
    text: String,
}

impl StringConverter {
    /// Reads the settings. `role` is `key` or `value`: a setting such as
    /// `value.serializer.encoding` takes precedence over `converter.encoding`.
    /// Errors: `Unsupported encoding X`.
    pub(crate) fn new(role: &str, config: &Config) -> Result<Self, ConfigReport> {
        let encoding = config.read(STRING_KEYS, |keys| keys.text("converter.encoding"))?;
        let mut report = ConfigReport::default();
        let mut charset = |side: &str| {
            let name = config
                .get(&format!("{role}.{side}.encoding"))
                .unwrap_or(&encoding);
            Charset::named(name).unwrap_or_else(|| {
                report.error("converter.encoding", format!("Unsupported encoding {name}"));
                Charset::Utf8
            })
        };
        let (reading, writing) = (charset("deserializer"), charset("serializer"));
        if !report.is_ok() {
            return Err(report);
        }
        Ok(Self {
            schema: Arc::new(Schema::of(SchemaType::String).optional(true)),
            reading,
            writing,
            text: String::new(),
        })
    }
}

impl Converter for StringConverter {
    fn encode(
        &mut self,
        _topic: &str,
        datum: &Datum,
        out: &mut Vec<u8>,
    ) -> Result<EncodedPresence> {
        match &datum.value {
            Value::Null => return Ok(EncodedPresence::Absent),
            Value::Text(text) => self.writing.encode(text, out),
            value => {
                self.text.clear();
                java::write_text(datum.schema.as_deref(), value, &mut self.text)?;
                self.writing.encode(&self.text, out);
            }
        }
        Ok(EncodedPresence::Present)
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&[u8]>) -> Result<Datum> {
        let value = bytes.map_or(Value::Null, |bytes| {
            Value::Text(self.reading.decode(bytes).into())
        });
        Ok(Datum::new(Arc::clone(&self.schema), value))
    }
}

/// Passes bytes through.
pub(crate) struct ByteArrayConverter {
    schema: Arc<Schema>,
}

impl ByteArrayConverter {
    /// Creates the converter, which has no settings.
    pub(crate) fn new() -> Self {
        Self {
            schema: Arc::new(Schema::of(SchemaType::Bytes).optional(true)),
        }
    }
}

impl std::default::Default for ByteArrayConverter {
    fn default() -> Self {
        Self::new()
    }
}

impl Converter for ByteArrayConverter {
    fn encode(
        &mut self,
        _topic: &str,
        datum: &Datum,
        out: &mut Vec<u8>,
    ) -> Result<EncodedPresence> {
        if let Some(schema) = datum
            .schema
            .as_ref()
            .filter(|schema| schema.ty != SchemaType::Bytes)
        {
            return Err(Error::record(format!(
                "Invalid schema type for ByteArrayConverter: {}",
                schema.ty.name()
            )));
        }
        match &datum.value {
            Value::Null => return Ok(EncodedPresence::Absent),
            Value::Bytes(bytes) => out.extend_from_slice(bytes),
            other => {
                let class = java::class_name(other);
                return Err(Error::record(format!(
                    "ByteArrayConverter is not compatible with objects of type class {class}"
                )));
            }
        }
        Ok(EncodedPresence::Present)
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&[u8]>) -> Result<Datum> {
        let value = bytes.map_or(Value::Null, |bytes| Value::Bytes(bytes.into()));
        Ok(Datum::new(Arc::clone(&self.schema), value))
    }
}
