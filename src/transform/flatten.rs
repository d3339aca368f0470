//! `Flatten`: turns nested structs and maps into fields of the outermost one, with joined names.

#![expect(
    clippy::indexing_slicing,
    reason = "the position was found in the same list"
)]

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance,
};
use connector_api::{
    Datum, Error, Field, Record, Result, Schema, SchemaType, TopicOffset, Transform, Value,
};

use super::located::of_field;
use super::part::{
    RecordPart, SchemaPlans, fields, key, list_fields, map_entries, or_default, struct_or_null,
};
use crate::convert::java;
use crate::convert::trail::shortened;

const PURPOSE: &str = "flattening";
const REMOVE: &str = "Remove the field before it is flattened, with ReplaceField (exclude).";

pub(crate) const KEYS: &[ConfigKey] = &[key(
    "delimiter",
    ConfigType::String,
    DefaultValue::Text("."),
    Importance::Medium,
    "Text between the joined names.",
)];

/// Flattens nested structs and maps.
pub(crate) struct Flatten {
    part: RecordPart,
    delimiter: String,
    plans: SchemaPlans<Arc<Schema>>,
}

impl Flatten {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(part: RecordPart, config: &Config) -> Result<Self, ConfigReport> {
        config.read(KEYS, |keys| Self {
            part,
            delimiter: keys.text("delimiter"),
            plans: SchemaPlans::new(),
        })
    }
}

/// Maximum length of a joined name in bytes, which grows with the depth of the record times the
/// length of its names.
const MAX_NAME: usize = 1024;

/// Joins names.
/// Errors: `Record` if the result is too long.
fn joined(prefix: &str, delimiter: &str, name: &str) -> Result<String> {
    if prefix.is_empty() {
        return Ok(name.to_owned());
    }
    if prefix.len() + delimiter.len() + name.len() > MAX_NAME {
        return Err(Error::record(format!(
            "the flattened name that begins with {} has more than {MAX_NAME} bytes (MAX_NAME); use a \
             shorter delimiter, or remove the field before (ReplaceField)",
            shortened(prefix)
        )));
    }
    Ok(format!("{prefix}{delimiter}{name}"))
}

fn flat_schema(schema: &Schema, delimiter: &str) -> Result<Arc<Schema>> {
    let mut list = Vec::new();
    collect(
        schema,
        delimiter,
        "",
        schema.optional,
        schema.default.as_ref(),
        &mut list,
    )?;
    Ok(Arc::new(Schema {
        fields: fields(list)?,
        ..super::part::with_basics_of(schema, SchemaType::Struct)
    }))
}

/// Collects the flat fields. A field is optional if it or any of its parents is; its default is
/// that of the nearest of them that has one.
fn collect(
    schema: &Schema,
    delimiter: &str,
    prefix: &str,
    optional: bool,
    parent: Option<&Value>,
    list: &mut Vec<Field>,
) -> Result<()> {
    for (at, field) in list_fields(schema)?.iter().enumerate() {
        let name = joined(prefix, delimiter, &field.name)?;
        let optional = optional || field.schema.optional;
        let inherited = match parent {
            Some(Value::Struct(members)) => members.get(at).filter(|value| !value.is_null()),
            _ => None,
        };
        let default = field.schema.default.as_ref().or(inherited);
        match field.schema.ty {
            SchemaType::Struct => {
                collect(&field.schema, delimiter, &name, optional, default, list)?;
            }
            SchemaType::Map => {
                let error = Error::record(format!(
                    "Flatten transformation does not support MAP for record with schemas (for field {name})."
                ));
                return Err(error.and_line(REMOVE));
            }
            _ => {
                let schema = Schema {
                    optional,
                    default: default.cloned(),
                    ..(*field.schema).clone()
                };
                list.push(Field::new(name, schema));
            }
        }
    }
    Ok(())
}

/// Appends the flat members of a struct; as many nulls if the struct is null.
fn flatten(schema: &Schema, value: Value, flat: &mut Vec<Value>) {
    let mut members = match value {
        Value::Struct(members) => members.into_vec().into_iter(),
        _ => Vec::new().into_iter(),
    };
    for field in &schema.fields {
        let value = members.next();
        match (field.schema.ty, value) {
            (SchemaType::Struct, value) => flatten(&field.schema, value.unwrap_or_default(), flat),
            (_, Some(value)) => flat.push(or_default(value, &field.schema, true)),
            (_, None) => flat.push(Value::Null),
        }
    }
}

/// Returns the line about a nested object.
#[cold]
fn inside(name: &str) -> String {
    if name.is_empty() {
        "It is the outermost object.".to_owned()
    } else {
        format!("It is the object {}.", shortened(name))
    }
}

fn flatten_map(
    part: RecordPart,
    entries: Vec<(Value, Value)>,
    delimiter: &str,
    prefix: &str,
    flat: &mut Vec<(Value, Value)>,
    places: &mut HashMap<Box<str>, usize>,
) -> Result<()> {
    for (key, value) in entries {
        let Value::Text(key) = &key else {
            let class = java::class_name(&key);
            let error = Error::record(format!(
                "Flatten transformation needs text keys, but found class {class}"
            ));
            return Err(error.and_line(&inside(prefix)).and_line(REMOVE));
        };
        let name = joined(prefix, delimiter, key)?;
        match value {
            Value::Map(inner) => {
                flatten_map(part, inner.into_vec(), delimiter, &name, flat, places)?;
            }
            Value::Decimal(_) => {
                let error = Error::record(
                    "Flatten transformation was passed a value of type class java.math.BigDecimal which is not \
                     supported by Connect's data API",
                );
                return Err(of_field(error, part, &name, "Decimal", REMOVE));
            }
            Value::Struct(_) => {
                let error = Error::record(format!(
                    "Flatten transformation does not support class org.apache.kafka.connect.data.Struct for record \
                     without schemas (for field {name})."
                ));
                return Err(error.and_line(REMOVE));
            }
            other => match places.get(name.as_str()) {
                Some(at) => flat[*at].1 = other,
                None => {
                    places.insert(name.as_str().into(), flat.len());
                    flat.push((Value::Text(name.into()), other));
                }
            },
        }
    }
    Ok(())
}

impl Transform for Flatten {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let datum = self.part.of_mut(&mut record);
        if datum.value.is_null() {
            return Ok(Some(record));
        }
        let Some(schema) = &datum.schema else {
            let mut flat = Vec::new();
            let entries = map_entries(&mut datum.value, PURPOSE)?;
            let places = &mut HashMap::new();
            flatten_map(self.part, entries, &self.delimiter, "", &mut flat, places)?;
            datum.value = Value::Map(flat.into());
            return Ok(Some(record));
        };
        struct_or_null(&datum.value, PURPOSE)?;
        let flat_schema = Arc::clone(
            self.plans
                .of(schema, |schema| flat_schema(schema, &self.delimiter))?,
        );
        let mut flat = Vec::with_capacity(flat_schema.fields.len());
        flatten(schema, std::mem::take(&mut datum.value), &mut flat);
        *datum = Datum::new(flat_schema, Value::Struct(flat.into()));
        Ok(Some(record))
    }
}
