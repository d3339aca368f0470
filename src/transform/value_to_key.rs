//! `ValueToKey`: builds the record key from fields of the value.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same schema"
)]

use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator,
};
use connector_api::{
    Datum, Error, Field, Record, Result, Schema, SchemaType, TopicOffset, Transform, Value,
};

use super::located::missing_field;
use super::part::{
    REPLACE_NULL, REPLACE_NULL_KEY, SchemaPlans, entry, fields, key, or_default, set_entry,
};

const PURPOSE: &str = "copying fields from value to key";

pub(crate) const KEYS: &[ConfigKey] = &[
    key(
        "fields",
        ConfigType::List,
        DefaultValue::Required,
        Importance::High,
        "Fields of the value that form the key.",
    )
    .check(KeyValidator::Names),
    REPLACE_NULL_KEY,
];

/// Builds the record key from fields of the value.
pub(crate) struct ValueToKey {
    fields: Vec<String>,
    replace: bool,
    plans: SchemaPlans<(Arc<Schema>, Vec<usize>)>,
}

impl ValueToKey {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigReport> {
        config.read(KEYS, |keys| Self {
            fields: keys.list("fields"),
            replace: keys.bool(REPLACE_NULL),
            plans: SchemaPlans::new(),
        })
    }

    fn plan(names: &[String], schema: &Schema) -> Result<(Arc<Schema>, Vec<usize>)> {
        let position = |name: &String| {
            schema.field_index(name).ok_or_else(|| {
                let error = Error::record(format!("Field does not exist: {name}"));
                missing_field(error, &schema.fields, "fields")
            })
        };
        let picked = names.iter().map(position).collect::<Result<Vec<usize>>>()?;
        let list: Vec<Field> = picked.iter().map(|at| schema.fields[*at].clone()).collect();
        Ok((
            Arc::new(Schema {
                fields: fields(list)?,
                ..Schema::of(SchemaType::Struct)
            }),
            picked,
        ))
    }
}

impl Transform for ValueToKey {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let Some(schema) = &record.value.schema else {
            let Value::Map(entries) = &record.value.value else {
                return Err(super::part::wrong_map(&record.value.value, PURPOSE));
            };
            let mut key = Vec::with_capacity(self.fields.len());
            for name in &self.fields {
                set_entry(
                    &mut key,
                    name,
                    entry(entries, name).cloned().unwrap_or_default(),
                );
            }
            record.key = Datum {
                schema: None,
                value: Value::Map(key.into()),
            };
            return Ok(Some(record));
        };
        let Value::Struct(members) = &record.value.value else {
            return Err(super::part::wrong_struct(&record.value.value, PURPOSE));
        };
        let (key_schema, picked) = &**self
            .plans
            .of(schema, |schema| Self::plan(&self.fields, schema))?;
        let member = |(at, field): (&usize, &Field)| {
            or_default(
                members.get(*at).cloned().unwrap_or_default(),
                &field.schema,
                self.replace,
            )
        };
        let key = picked.iter().zip(&key_schema.fields).map(member).collect();
        record.key = Datum::new(Arc::clone(key_schema), Value::Struct(key));
        Ok(Some(record))
    }
}
