//! `InsertField`: fields made of a record's topic, partition, offset and timestamp, or of a fixed text.

use std::sync::Arc;

use connector_api::config::{Config, Default, Importance, Key, Report, Type as KeyType};
use connector_api::{Datum, Error, Field, Record, Result, Schema, TopicOffset, Transform, Type, Value};

use super::part::{
    Part, Plans, REPLACE_NULL, REPLACE_NULL_KEY, fields, fill_defaults, key, list_fields, map_entries, set_entry,
    struct_members, with_basics_of,
};

const PURPOSE: &str = "field insertion";
const NAME: &str = "A name that ends with ! makes a required field; otherwise it is optional, as with ? at the end.";

const fn field_key(name: &'static str) -> Key {
    key(name, KeyType::String, Default::Null, Importance::Medium, NAME)
}

/// The keys of the transform.
pub const KEYS: &[Key] = &[
    field_key("topic.field"),
    field_key("partition.field"),
    field_key("offset.field"),
    field_key("timestamp.field"),
    field_key("static.field"),
    key("static.value", KeyType::String, Default::Null, Importance::Medium, "The text of static.field."),
    REPLACE_NULL_KEY,
];

/// What is inserted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Static,
}

const WHAT: [(What, &str); 5] = [
    (What::Topic, "topic.field"),
    (What::Partition, "partition.field"),
    (What::Offset, "offset.field"),
    (What::Timestamp, "timestamp.field"),
    (What::Static, "static.field"),
];

struct Insertion {
    what: What,
    name: Arc<str>,
    optional: bool,
}

/// The transform.
pub struct InsertField {
    part: Part,
    insertions: Vec<Insertion>,
    text: Box<str>,
    replace: bool,
    plans: Plans<Arc<Schema>>,
}

/// Checks what the keys say together.
pub fn check(config: &Config, report: &mut Report) {
    if WHAT.iter().all(|(_, name)| config.get(name).is_none()) {
        report.error("topic.field", "No field insertion configured");
    }
    if let (Some(field), None) = (config.get("static.field"), config.get("static.value")) {
        report.invalid("static.value", "null", &format!("No value specified for static field: {field}"));
    }
}

impl InsertField {
    /// Errors: every key that is wrong.
    pub fn new(part: Part, config: &Config) -> Result<Self, Report> {
        let made = config.read(KEYS, |keys| {
            let mut insertions = Vec::new();
            for (what, key) in WHAT {
                let Some(spec) = keys.text_opt(key) else { continue };
                let name = spec.strip_suffix(['?', '!']).unwrap_or(&spec);
                insertions.push(Insertion { what, name: name.into(), optional: !spec.ends_with('!') });
            }
            let (text, replace) = (keys.text("static.value").into(), keys.bool(REPLACE_NULL));
            Self { part, insertions, text, replace, plans: Plans::new() }
        })?;
        let mut report = Report::default();
        check(config, &mut report);
        if report.is_ok() { Ok(made) } else { Err(report) }
    }

    fn extended(insertions: &[Insertion], schema: &Schema) -> Result<Arc<Schema>> {
        let mut list: Vec<Field> = list_fields(schema)?.to_vec();
        for insertion in insertions {
            let schema = match insertion.what {
                What::Topic | What::Static => Schema::of(Type::String),
                What::Partition => Schema::of(Type::Int32),
                What::Offset => Schema::of(Type::Int64),
                What::Timestamp => Schema::timestamp(),
            };
            list.push(Field::new(Arc::clone(&insertion.name), schema.optional(insertion.optional)));
        }
        Ok(Arc::new(Schema { fields: fields(list)?, ..with_basics_of(schema, Type::Struct) }))
    }

    /// `None`: the record has no such thing.
    fn value(text: &str, what: What, record: &Record, at: Option<&TopicOffset>) -> Result<Option<Value>> {
        Ok(match what {
            What::Topic => Some(Value::Text((*record.topic).into())),
            What::Partition => record.partition.map(Value::I32),
            What::Timestamp => record.timestamp_ms.map(Value::I64),
            What::Static => Some(Value::Text(text.into())),
            What::Offset => match at {
                Some(at) => Some(Value::I64(at.offset)),
                None => {
                    return Err(Error::record(format!(
                        "Only SinkRecord supported for [{PURPOSE}], found: org.apache.kafka.connect.source.SourceRecord"
                    )));
                }
            },
        })
    }
}

impl Transform for InsertField {
    fn apply(&mut self, mut record: Record, at: Option<&TopicOffset>) -> Result<Option<Record>> {
        // A null key or value has no place for fields: it passes unchanged, with a schema or without.
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
        let extended = self.plans.of(&schema, |schema| Self::extended(&self.insertions, schema))?;
        fill_defaults(&mut before, &schema.fields, self.replace && extended.has_defaults);
        // moved into a place of the right size: growing in place takes the allocator several times as long
        let mut members = Vec::with_capacity(before.len() + self.insertions.len());
        members.extend(before);
        for insertion in &self.insertions {
            members.push(Self::value(&self.text, insertion.what, &record, at)?.unwrap_or_default());
        }
        *self.part.of_mut(&mut record) = Datum::new(Arc::clone(extended), Value::Struct(members.into()));
        Ok(Some(record))
    }
}
