//! `InsertField`: adds fields with a record's topic, partition, offset or timestamp, or with a
//! fixed text.

use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator,
};
use connector_api::{
    Datum, Error, Field, Record, Result, Schema, SchemaType, TopicOffset, Transform, Value,
};

use super::part::{
    REPLACE_NULL, REPLACE_NULL_KEY, RecordPart, SchemaPlans, fields, fill_defaults, key,
    list_fields, map_entries, set_entry, struct_members, with_basics_of,
};

const PURPOSE: &str = "field insertion";
const NAME: &str = "Name of the new field. With the suffix ! the field is required; with the suffix ?, or without \
     a suffix, it is optional.";

const fn field_key(name: &'static str) -> ConfigKey {
    key(
        name,
        ConfigType::String,
        DefaultValue::Null,
        Importance::Medium,
        NAME,
    )
    .check(KeyValidator::By(check_name))
}

/// The suffix alone leaves no name.
fn check_name(spec: &str) -> std::result::Result<(), String> {
    if without_suffix(spec).is_empty() {
        return Err(
            "String must be non-empty: it is the name of the new field, and the suffix ! or ? does \
             not count"
                .to_owned(),
        );
    }
    Ok(())
}

fn without_suffix(spec: &str) -> &str {
    spec.strip_suffix(['?', '!']).unwrap_or(spec)
}

pub(crate) const KEYS: &[ConfigKey] = &[
    field_key("topic.field"),
    field_key("partition.field"),
    field_key("offset.field").not_on_sources(
        "records of a source have no offset yet: remove it here, and set it on the sink",
    ),
    field_key("timestamp.field"),
    field_key("static.field"),
    key(
        "static.value",
        ConfigType::String,
        DefaultValue::Null,
        Importance::Medium,
        "Value of static.field.",
    ),
    REPLACE_NULL_KEY,
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum InsertedValue {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Static,
}

const WHAT: [(InsertedValue, &str); 5] = [
    (InsertedValue::Topic, "topic.field"),
    (InsertedValue::Partition, "partition.field"),
    (InsertedValue::Offset, "offset.field"),
    (InsertedValue::Timestamp, "timestamp.field"),
    (InsertedValue::Static, "static.field"),
];

struct FieldInsertion {
    what: InsertedValue,
    name: Arc<str>,
    optional: bool,
}

/// Adds fields with metadata of the record or a fixed text.
pub(crate) struct InsertField {
    part: RecordPart,
    insertions: Vec<FieldInsertion>,
    text: Box<str>,
    replace: bool,
    plans: SchemaPlans<Arc<Schema>>,
}

/// Checks constraints between keys.
pub(crate) fn check(config: &Config, report: &mut ConfigReport) {
    if WHAT.iter().all(|(_, name)| config.get(name).is_none()) {
        report.error("topic.field", "No field insertion configured");
    }
    if let (Some(field), None) = (config.get("static.field"), config.get("static.value")) {
        report.invalid(
            "static.value",
            "null",
            &format!("No value specified for static field: {field}"),
        );
    }
}

impl InsertField {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(part: RecordPart, config: &Config) -> Result<Self, ConfigReport> {
        let made = config.read(KEYS, |keys| {
            let mut insertions = Vec::new();
            for (what, key) in WHAT {
                let Some(spec) = keys.text_opt(key) else {
                    continue;
                };
                let name = without_suffix(&spec);
                insertions.push(FieldInsertion {
                    what,
                    name: name.into(),
                    optional: !spec.ends_with('!'),
                });
            }
            let (text, replace) = (keys.text("static.value").into(), keys.bool(REPLACE_NULL));
            Self {
                part,
                insertions,
                text,
                replace,
                plans: SchemaPlans::new(),
            }
        })?;
        let mut report = ConfigReport::default();
        check(config, &mut report);
        if report.is_ok() {
            Ok(made)
        } else {
            Err(report)
        }
    }

    fn extended(insertions: &[FieldInsertion], schema: &Schema) -> Result<Arc<Schema>> {
        let mut list: Vec<Field> = list_fields(schema)?.to_vec();
        for insertion in insertions {
            let schema = match insertion.what {
                InsertedValue::Topic | InsertedValue::Static => Schema::of(SchemaType::String),
                InsertedValue::Partition => Schema::of(SchemaType::Int32),
                InsertedValue::Offset => Schema::of(SchemaType::Int64),
                InsertedValue::Timestamp => Schema::timestamp(),
            };
            list.push(Field::new(
                Arc::clone(&insertion.name),
                schema.optional(insertion.optional),
            ));
        }
        Ok(Arc::new(Schema {
            fields: fields(list)?,
            ..with_basics_of(schema, SchemaType::Struct)
        }))
    }

    /// Returns the value to insert; `None` if the record does not have it.
    fn value(
        text: &str,
        what: InsertedValue,
        record: &Record,
        at: Option<&TopicOffset>,
    ) -> Result<Option<Value>> {
        Ok(match what {
            InsertedValue::Topic => Some(Value::Text((*record.topic).into())),
            InsertedValue::Partition => record.partition.map(Value::I32),
            InsertedValue::Timestamp => record.timestamp_ms.map(Value::I64),
            InsertedValue::Static => Some(Value::Text(text.into())),
            InsertedValue::Offset => match at {
                Some(at) => Some(Value::I64(at.offset)),
                None => {
                    let error = Error::record(format!(
                        "Only SinkRecord supported for [{PURPOSE}], found: org.apache.kafka.connect.source.SourceRecord"
                    ));
                    return Err(error
                        .and_line("Records of a source have no offset yet: remove offset.field."));
                }
            },
        })
    }
}

impl Transform for InsertField {
    fn apply(&mut self, mut record: Record, at: Option<&TopicOffset>) -> Result<Option<Record>> {
        // A null key or value cannot hold fields: it passes unchanged, with or without a schema.
        if self.part.of_mut(&mut record).value.is_null() {
            return Ok(Some(record));
        }
        let Datum { schema, mut value } = std::mem::take(self.part.of_mut(&mut record));
        let Some(schema) = schema else {
            let mut entries = map_entries(&mut value, PURPOSE)?;
            for insertion in &self.insertions {
                if let Some(value) = Self::value(&self.text, insertion.what, &record, at)? {
                    set_entry(&mut entries, &insertion.name, value);
                }
            }
            self.part.of_mut(&mut record).value = Value::Map(entries.into());
            return Ok(Some(record));
        };
        let mut before = struct_members(&mut value, PURPOSE)?;
        let extended = self
            .plans
            .of(&schema, |schema| Self::extended(&self.insertions, schema))?;
        fill_defaults(
            &mut before,
            &schema.fields,
            self.replace && extended.has_defaults,
        );
        // Allocate the final size: growing in place takes the allocator several times as long.
        let mut members = Vec::with_capacity(before.len() + self.insertions.len());
        members.extend(before);
        for insertion in &self.insertions {
            members.push(Self::value(&self.text, insertion.what, &record, at)?.unwrap_or_default());
        }
        *self.part.of_mut(&mut record) =
            Datum::new(Arc::clone(extended), Value::Struct(members.into()));
        Ok(Some(record))
    }
}
