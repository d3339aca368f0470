//! `org.apache.kafka.connect.storage.SimpleHeaderConverter`: header values as plain text, with
//! types inferred on reading.
//!
//! Strict mode (the default) fixes what Kafka silently alters: text that only starts with a number
//! stays text, a fraction keeps its digits, and a date or timestamp before 1970-01-02 keeps its
//! date.

mod infer;
mod tokens;
mod write;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, Width,
};
use connector_api::{Converter, Datum, EncodedPresence, Result, Schema, SchemaType, Value};

pub(crate) use infer::infer;
pub(crate) use write::write;

pub(crate) const KEYS: &[ConfigKey] = &[ConfigKey::new(
    "strict",
    ConfigType::Boolean,
    DefaultValue::Text("true"),
    "Headers",
    "Whether values are kept exactly. If false, the end of a text that begins like a number is \
     dropped, fractions are rounded to 32 bits and dates before 1970-01-02 are written as times, \
     as in Kafka Connect.",
)
.importance(Importance::Low)
.form(Width::Medium, "Strict")];

/// Converts header values to and from plain text.
pub(crate) struct SimpleHeaderConverter {
    strict: bool,
}

impl SimpleHeaderConverter {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigReport> {
        config.read(KEYS, |keys| Self {
            strict: keys.bool("strict"),
        })
    }
}

impl Converter for SimpleHeaderConverter {
    fn encode(
        &mut self,
        _topic: &str,
        datum: &Datum,
        out: &mut Vec<u8>,
    ) -> Result<EncodedPresence> {
        if datum.value.is_null() {
            return Ok(EncodedPresence::Absent);
        }
        write(datum.schema.as_deref(), &datum.value, self.strict, out);
        Ok(EncodedPresence::Present)
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&[u8]>) -> Result<Datum> {
        let Some(bytes) = bytes else {
            return Ok(Datum::NONE);
        };
        let text = String::from_utf8_lossy(bytes);
        if text.is_empty() {
            return Ok(Datum::new(
                Schema::of(SchemaType::String).into(),
                Value::Text(Box::default()),
            ));
        }
        Ok(infer(&text, self.strict))
    }
}
