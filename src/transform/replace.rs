//! `ReplaceField`: removes and renames fields.

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator,
};
use connector_api::{
    Datum, Error, Field, Record, Result, Schema, SchemaType, TopicOffset, Transform, Value,
};

use super::located::type_of;
use super::part::{
    REPLACE_NULL, REPLACE_NULL_KEY, RecordPart, SchemaPlans, fields, fill_defaults, key,
    list_fields, map_entries, set_entry, struct_members, with_basics_of,
};

const PURPOSE: &str = "field replacement";

pub(crate) const KEYS: &[ConfigKey] = &[
    key(
        "exclude",
        ConfigType::List,
        DefaultValue::Text(""),
        Importance::Medium,
        "Fields to remove; takes precedence over include.",
    )
    .aliases(&["blacklist"]),
    key(
        "include",
        ConfigType::List,
        DefaultValue::Text(""),
        Importance::Medium,
        "Fields to keep; all others are removed.",
    )
    .aliases(&["whitelist"]),
    key(
        "renames",
        ConfigType::List,
        DefaultValue::Text(""),
        Importance::Medium,
        "New names, as old:new.",
    )
    .check(KeyValidator::By(check_renames)),
    REPLACE_NULL_KEY,
];

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

fn check_renames(text: &str) -> Result<(), String> {
    match items(text).find(|item| rename(item).is_none()) {
        Some(bad) => Err(format!("Invalid rename mapping: {bad}")),
        None => Ok(()),
    }
}

fn rename(item: &str) -> Option<(&str, &str)> {
    item.split_once(':')
        .filter(|(old, new)| !old.is_empty() && !new.is_empty() && !new.contains(':'))
}

/// Removes and renames fields.
pub(crate) struct ReplaceField {
    part: RecordPart,
    exclude: Vec<String>,
    include: Vec<String>,
    renames: HashMap<String, Arc<str>>,
    replace: bool,
    plans: SchemaPlans<(Arc<Schema>, Vec<bool>)>,
}

impl ReplaceField {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(part: RecordPart, config: &Config) -> Result<Self, ConfigReport> {
        config.read(KEYS, |keys| {
            let renames = keys.list("renames");
            Self {
                part,
                exclude: keys.list("exclude"),
                include: keys.list("include"),
                renames: renames
                    .iter()
                    .filter_map(|r| rename(r))
                    .map(|(a, b)| (a.to_owned(), Arc::from(b)))
                    .collect(),
                replace: keys.bool(REPLACE_NULL),
                plans: SchemaPlans::new(),
            }
        })
    }

    fn keeps(&self, name: &str) -> bool {
        let among = |list: &[String]| list.iter().any(|item| item == name);
        !among(&self.exclude) && (self.include.is_empty() || among(&self.include))
    }

    fn plan(&self, schema: &Schema) -> Result<(Arc<Schema>, Vec<bool>)> {
        let kept: Vec<bool> = list_fields(schema)?
            .iter()
            .map(|field| self.keeps(&field.name))
            .collect();
        let renamed = |field: &Field| {
            let name = self.renames.get(&*field.name).unwrap_or(&field.name);
            Field {
                name: Arc::clone(name),
                schema: Arc::clone(&field.schema),
            }
        };
        let list = schema
            .fields
            .iter()
            .zip(&kept)
            .filter(|(_, kept)| **kept)
            .map(|(field, _)| renamed(field))
            .collect();
        Ok((
            Arc::new(Schema {
                fields: fields(list)?,
                ..with_basics_of(schema, SchemaType::Struct)
            }),
            kept,
        ))
    }

    fn without_schema(&self, value: &mut Value) -> Result<()> {
        let mut renamed = Vec::new();
        for (key, value) in map_entries(value, PURPOSE)? {
            let Some(name) = key.as_str() else {
                return Err(Error::record(format!(
                    "field replacement needs an object whose member names are texts, but found a \
                     name of type {}",
                    type_of(None, &key)
                )));
            };
            if self.keeps(name) {
                set_entry(
                    &mut renamed,
                    self.renames.get(name).map_or(name, |new| new),
                    value,
                );
            }
        }
        *value = Value::Map(renamed.into());
        Ok(())
    }
}

impl Transform for ReplaceField {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let datum = self.part.of_mut(&mut record);
        if datum.value.is_null() {
            return Ok(Some(record));
        }
        let Some(schema) = datum.schema.take() else {
            self.without_schema(&mut datum.value)?;
            return Ok(Some(record));
        };
        let mut members = struct_members(&mut datum.value, PURPOSE)?;
        let mut plans = std::mem::replace(&mut self.plans, SchemaPlans::new());
        let planned = plans.of(&schema, |schema| self.plan(schema)).map(|plan| {
            let (schema, kept) = &**plan;
            let mut kept = kept.iter();
            members.retain(|_| kept.next().is_some_and(|kept| *kept));
            fill_defaults(
                &mut members,
                &schema.fields,
                self.replace && plan.has_defaults,
            );
            Datum::new(Arc::clone(schema), Value::Struct(members.into()))
        });
        self.plans = plans;
        *self.part.of_mut(&mut record) = planned?;
        Ok(Some(record))
    }
}
