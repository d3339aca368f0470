//! Converters between values and the bytes of a topic, byte for byte like Kafka Connect's own.
//!
//! No Kafka, no clock, and no I/O: converters with a schema registry reach it through a trait
//! (`registered`). Each converter is constructed from its own settings (without prefix) and belongs
//! to one task, so its caches need no lock. `json` handles the envelope of schema and payload,
//! `plain` text and raw bytes, `number` fixed-width numbers, and `header` the inferred types of
//! header values.

#[cfg(feature = "avro")]
pub mod avro;
mod charset;
mod entries;
pub(crate) mod header;
pub mod json;
mod limits;
pub(crate) mod number;
pub(crate) mod plain;
#[cfg(feature = "protobuf")]
pub mod protobuf;
#[cfg(test)]
mod random;
pub mod registered;
pub(crate) mod trail;

use connector_api::config::{ConfigKey, ConfigType, DefaultValue, Importance, KeyValidator, Width};
use connector_api::{Error, Result};
pub(crate) use connector_api::{calendar, java};

/// Refuses a decimal whose scale differs from its schema's, as Kafka Connect's
/// `Decimal.fromLogical` does.
fn same_scale(schema: i32, value: i64) -> Result<()> {
    if i64::from(schema) == value {
        return Ok(());
    }
    Err(Error::record(format!(
        "Decimal value has mismatching scale for given Decimal schema. Schema has scale {schema}, value has scale {value}."
    )))
}

/// The role of a converter; the runtime sets it.
const CONVERTER_TYPE: ConfigKey = ConfigKey::new(
    "converter.type",
    ConfigType::String,
    DefaultValue::Required,
    "",
    "the worker knows what it uses the converter for.",
)
.without_effect()
.check(KeyValidator::OneOf(&["key", "value", "header"]))
.importance(Importance::Low)
.form(Width::None, "converter.type");

/// The keys of converters without settings.
pub const NO_KEYS: &[ConfigKey] = &[CONVERTER_TYPE];
