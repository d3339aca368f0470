//! `SetSchemaMetadata`: changes the name and version of a struct's schema.

use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance,
};
use connector_api::{Error, Record, Result, Schema, TopicOffset, Transform, Value};

use super::part::{
    REPLACE_NULL, REPLACE_NULL_KEY, RecordPart, SchemaPlans, fill_defaults, key, list_fields,
};

pub(crate) const KEYS: &[ConfigKey] = &[
    key(
        "schema.name",
        ConfigType::String,
        DefaultValue::Null,
        Importance::High,
        "New name of the schema.",
    ),
    key(
        "schema.version",
        ConfigType::Int,
        DefaultValue::Null,
        Importance::High,
        "New version of the schema.",
    ),
    REPLACE_NULL_KEY,
];

/// Changes the name and version of a struct's schema.
pub(crate) struct SetSchemaMetadata {
    part: RecordPart,
    name: Option<Arc<str>>,
    version: Option<i32>,
    replace: bool,
    plans: SchemaPlans<Arc<Schema>>,
}

/// Checks constraints between keys.
pub(crate) fn check(config: &Config, report: &mut ConfigReport) {
    if config.get("schema.name").is_none() && config.get("schema.version").is_none() {
        report.error("schema.name", "Neither schema name nor version configured");
    }
}

impl SetSchemaMetadata {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(part: RecordPart, config: &Config) -> Result<Self, ConfigReport> {
        let made = config.read(KEYS, |keys| Self {
            part,
            name: keys.text_opt("schema.name").map(Arc::from),
            version: keys
                .long_opt("schema.version")
                .and_then(|n| i32::try_from(n).ok()),
            replace: keys.bool(REPLACE_NULL),
            plans: SchemaPlans::new(),
        })?;
        let mut report = ConfigReport::default();
        check(config, &mut report);
        if report.is_ok() {
            Ok(made)
        } else {
            Err(report)
        }
    }
}

impl Transform for SetSchemaMetadata {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let datum = self.part.of_mut(&mut record);
        let Some(schema) = &datum.schema else {
            if datum.value.is_null() {
                return Ok(Some(record));
            }
            let error = Error::record("Schema required for [updating schema metadata]");
            return Err(error.and_line(
                "The records have no schema, so it has no name and version: remove the transform, \
                 or use a converter with schemas (JsonConverter with schemas.enable=true).",
            ));
        };
        let (name, version) = (&self.name, self.version);
        let updated = self.plans.of(schema, |schema| {
            list_fields(schema)?;
            let name = name.clone().or_else(|| schema.name.clone());
            Ok(Arc::new(Schema {
                name,
                version: version.or(schema.version),
                ..schema.clone()
            }))
        })?;
        if let Value::Struct(members) = &mut datum.value {
            fill_defaults(members, &updated.fields, self.replace);
        }
        datum.schema = Some(Arc::clone(updated));
        Ok(Some(record))
    }
}
