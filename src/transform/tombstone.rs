//! Transforms for null keys and values: Confluent's `Drop`, which removes the key or value, and
//! `TombstoneHandler`. The behaviour follows their public documentation; the texts are our own.

use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator,
};
use connector_api::{Error, Record, Result, Schema, TopicOffset, Transform, Value};

use super::part::{RecordPart, SchemaPlans, key};

/// The keys of [`Drop`].
pub(crate) const DROP_KEYS: &[ConfigKey] = &[key(
    "schema.behavior",
    ConfigType::String,
    DefaultValue::Text("nullify"),
    Importance::Medium,
    "How to handle the schema. nullify: remove it too; retain: keep it; validate: refuse a schema \
     that is not optional; force_optional: make it optional.",
)
.check(KeyValidator::OneOfIgnoreCase(&[
    "nullify",
    "retain",
    "validate",
    "force_optional",
]))];

enum TombstoneBehavior {
    Nullify,
    Retain,
    Validate,
    ForceOptional,
}

/// Sets the key or the value of records to null.
pub(crate) struct DropPart {
    part: RecordPart,
    behavior: TombstoneBehavior,
    plans: SchemaPlans<Arc<Schema>>,
}

impl DropPart {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(part: RecordPart, config: &Config) -> Result<Self, ConfigReport> {
        let behavior = config.read(DROP_KEYS, |keys| keys.text("schema.behavior"))?;
        let behavior = match behavior.to_ascii_lowercase().as_str() {
            "retain" => TombstoneBehavior::Retain,
            "validate" => TombstoneBehavior::Validate,
            "force_optional" => TombstoneBehavior::ForceOptional,
            _ => TombstoneBehavior::Nullify,
        };
        Ok(Self {
            part,
            behavior,
            plans: SchemaPlans::new(),
        })
    }
}

impl Transform for DropPart {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let datum = self.part.of_mut(&mut record);
        datum.value = Value::Null;
        let Some(schema) = datum.schema.take() else {
            return Ok(Some(record));
        };
        datum.schema = match self.behavior {
            TombstoneBehavior::Nullify => None,
            TombstoneBehavior::Validate if !schema.optional => {
                return Err(Error::record(
                    "the schema is not optional, so the value cannot be dropped; set \
                     schema.behavior to nullify or force_optional",
                ));
            }
            TombstoneBehavior::Retain | TombstoneBehavior::Validate => Some(schema),
            TombstoneBehavior::ForceOptional if schema.optional => Some(schema),
            TombstoneBehavior::ForceOptional => {
                let optional = self.plans.of(&schema, |schema| {
                    Ok(Arc::new(schema.clone().optional(true)))
                })?;
                Some(Arc::clone(optional))
            }
        };
        Ok(Some(record))
    }
}

/// The keys of [`TombstoneHandler`].
pub(crate) const TOMBSTONE_KEYS: &[ConfigKey] = &[key(
    "behavior",
    ConfigType::String,
    DefaultValue::Text("warn"),
    Importance::Medium,
    "How to handle records without a value. ignore: skip them; warn: skip them and log a warning; \
     fail: raise an error.",
)
.check(KeyValidator::OneOfIgnoreCase(&["ignore", "warn", "fail"]))];

/// Drops tombstones, or fails on them.
pub(crate) struct TombstoneHandler {
    warn: bool,
    fail: bool,
}

impl TombstoneHandler {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigReport> {
        let behavior = config.read(TOMBSTONE_KEYS, |keys| keys.text("behavior"))?;
        let is = |name: &str| behavior.eq_ignore_ascii_case(name);
        Ok(Self {
            warn: is("warn"),
            fail: is("fail"),
        })
    }
}

impl Transform for TombstoneHandler {
    fn apply(&mut self, record: Record, at: Option<&TopicOffset>) -> Result<Option<Record>> {
        if !record.value.value.is_null() {
            return Ok(Some(record));
        }
        let topic = &record.topic;
        if self.fail {
            return Err(Error::record(format!(
                "a record of topic {topic} has no value, and behavior=fail refuses it"
            )));
        }
        let offset = at.map(|at| at.offset);
        if self.warn {
            tracing::warn!(%topic, partition = record.partition, offset,
                "skipped a record without a value");
        } else {
            tracing::debug!(%topic, partition = record.partition, offset,
                "skipped a record without a value");
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{Datum, SchemaType};

    use super::*;

    fn record(value: Datum) -> Record {
        let key = Datum::new(Arc::new(Schema::of(SchemaType::Int32)), Value::I32(5));
        Record {
            topic: "t".into(),
            partition: None,
            key,
            value,
            timestamp_ms: None,
            headers: Vec::new(),
        }
    }

    #[test]
    fn drop_treats_the_schema_as_configured() {
        let dropped = |behavior: &str| {
            let config = Config::from([("schema.behavior", behavior)]);
            let record =
                DropPart::new(RecordPart::Key, &config)?.apply(record(Datum::NONE), None)?;
            Ok::<_, Error>(record.unwrap().key)
        };
        assert_eq!(dropped("nullify").unwrap(), Datum::NONE);
        let required = Datum::new(Arc::new(Schema::of(SchemaType::Int32)), Value::Null);
        assert_eq!(dropped("retain").unwrap(), required);
        let optional = Datum::new(
            Arc::new(Schema::of(SchemaType::Int32).optional(true)),
            Value::Null,
        );
        assert_eq!(dropped("FORCE_OPTIONAL").unwrap(), optional);
        assert!(
            dropped("validate")
                .unwrap_err()
                .message()
                .contains("not optional")
        );
        assert!(dropped("other").is_err());
    }

    #[test]
    fn tombstones_are_left_out_or_refused_and_other_records_stay() {
        let handled = |behavior: &str, value: Datum| {
            TombstoneHandler::new(&Config::from([("behavior", behavior)]))?
                .apply(record(value), None)
        };
        let empty = Datum::new(
            Arc::new(Schema::of(SchemaType::Int32).optional(true)),
            Value::Null,
        );
        assert_eq!(handled("warn", Datum::NONE).unwrap(), None);
        assert_eq!(handled("ignore", empty.clone()).unwrap(), None);
        assert!(handled("fail", empty).is_err());
        let full = Datum {
            schema: None,
            value: Value::Bool(true),
        };
        assert!(handled("fail", full).unwrap().is_some());
    }
}
