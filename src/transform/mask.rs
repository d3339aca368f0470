//! `MaskField`: replaces fields by the empty value of their type or by a fixed value.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same schema"
)]

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator,
};
use connector_api::{
    Decimal, Error, Field, Record, Result, Schema, TopicOffset, Transform, Value, logical,
};

use super::located::{of_field, type_of};
use super::part::{
    REPLACE_NULL, REPLACE_NULL_KEY, RecordPart, SchemaPlans, fill_defaults, key, map_entries,
    set_entry, struct_members,
};
use crate::convert::java;

const PURPOSE: &str = "mask fields";
/// What can be masked, and how.
const REMEDY: &str = "fields names it, and replacement, if set, must suit its type: numbers and texts can be \
     replaced, and numbers only by a number. Without replacement also BOOLEAN, Date, Time, \
     Timestamp, ARRAY and MAP can be masked; use a second MaskField for these. BYTES and STRUCT can \
     be removed with ReplaceField (exclude).";
/// Maximum size of a replacement in bytes, because it may be written to very many fields.
const MAX_REPLACEMENT: usize = 4096;

pub(crate) const KEYS: &[ConfigKey] = &[
    key(
        "fields",
        ConfigType::List,
        DefaultValue::Required,
        Importance::High,
        "Fields to mask.",
    )
    .check(KeyValidator::NonEmptyList),
    key(
        "replacement",
        ConfigType::String,
        DefaultValue::Null,
        Importance::Low,
        "Replacement value, for texts and numbers only. Not set: zero, false, an empty text or \
         1970-01-01.",
    )
    .check(KeyValidator::NonEmpty),
    REPLACE_NULL_KEY,
];

/// Replaces fields by the empty value of their type or by a fixed value.
pub(crate) struct MaskField {
    part: RecordPart,
    fields: Vec<String>,
    replacement: Option<String>,
    replace: bool,
    plans: SchemaPlans<Vec<usize>>,
}

impl MaskField {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(part: RecordPart, config: &Config) -> Result<Self, ConfigReport> {
        let mut report = ConfigReport::default();
        check(config, &mut report);
        if !report.is_ok() {
            return Err(report);
        }
        config.read(KEYS, |keys| Self {
            part,
            fields: keys.list("fields"),
            replacement: keys.text_opt("replacement"),
            replace: keys.bool(REPLACE_NULL),
            plans: SchemaPlans::new(),
        })
    }
}

/// Checks that the replacement is short enough.
pub(crate) fn check(config: &Config, report: &mut ConfigReport) {
    if config
        .get("replacement")
        .is_some_and(|text| text.len() > MAX_REPLACEMENT)
    {
        report.error(
            "replacement",
            format!(
                "Invalid value for configuration replacement: it has at most {MAX_REPLACEMENT} bytes (MAX_REPLACEMENT)"
            ),
        );
    }
}

/// Masks the value of a field.
/// Errors: Connect's texts, with the field and the settings.
fn masked_at(
    part: RecordPart,
    name: &str,
    value: &Value,
    schema: Option<&Schema>,
    replacement: Option<&str>,
) -> Result<Value> {
    masked(value, schema, replacement)
        .map_err(|error| of_field(error, part, name, type_of(schema, value), REMEDY))
}

fn masked(value: &Value, schema: Option<&Schema>, replacement: Option<&str>) -> Result<Value> {
    match replacement {
        _ if value.is_null() => Ok(Value::Null),
        Some(replacement) => replaced(value, schema, replacement),
        None => emptied(value, schema),
    }
}

fn emptied(value: &Value, schema: Option<&Schema>) -> Result<Value> {
    Ok(match value {
        Value::Null => Value::Null,
        Value::Bool(_) => Value::Bool(false),
        Value::I8(_) => Value::I8(0),
        Value::I16(_) => Value::I16(0),
        Value::I32(_) => Value::I32(0),
        Value::I64(_) => Value::I64(0),
        Value::F32(_) => Value::F32(0.0),
        Value::F64(_) => Value::F64(0.0),
        // Kafka's zero always has scale 0. If the schema declares another scale, Kafka cannot write
        // the record.
        Value::Decimal(n) => {
            Value::Decimal(Box::new(Decimal::new(0, schema.map_or(0, |_| n.scale()))))
        }
        Value::Text(_) => Value::Text(Box::default()),
        Value::Array(_) => Value::Array(Box::default()),
        Value::Map(_) => Value::Map(Box::default()),
        Value::Bytes(_) | Value::Struct(_) => {
            return Err(Error::record(format!(
                "Cannot mask value of type: class {}",
                java::class_name(value)
            )));
        }
    })
}

#[expect(clippy::cast_possible_truncation, reason = "Java cuts numbers just so")]
fn replaced(value: &Value, schema: Option<&Schema>, replacement: &str) -> Result<Value> {
    let no_number = || {
        Error::record(format!(
            "Unable to convert {replacement} (class java.lang.String) to a number"
        ))
    };
    let class = match schema.and_then(|schema| schema.name.as_deref()) {
        Some(logical::DATE | logical::TIME | logical::TIMESTAMP) => "java.util.Date",
        _ => java::class_name(value),
    };
    let refused = || {
        Error::record(format!(
            "Cannot mask value of type class {class} with custom replacement."
        ))
    };
    if class == "java.util.Date" {
        return Err(refused());
    }
    let number = || Decimal::parse(replacement).ok_or_else(no_number);
    let low_bits =
        || number().map(|_| java::low_bits(replacement.strip_prefix('+').unwrap_or(replacement)));
    Ok(match value {
        // A number too large for the field is truncated to its lowest bits, as in Java.
        Value::I8(_) => Value::I8(low_bits()? as i8),
        Value::I16(_) => Value::I16(low_bits()? as i16),
        Value::I32(_) => Value::I32(low_bits()? as i32),
        Value::I64(_) => Value::I64(low_bits()?),
        Value::F32(_) => {
            Value::F32(number().and_then(|_| replacement.parse().map_err(|_| no_number()))?)
        }
        Value::F64(_) => {
            Value::F64(number().and_then(|_| replacement.parse().map_err(|_| no_number()))?)
        }
        Value::Decimal(_) => Value::Decimal(Box::new(number()?)),
        Value::Text(_) => Value::Text(replacement.into()),
        _ => return Err(refused()),
    })
}

impl Transform for MaskField {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let datum = self.part.of_mut(&mut record);
        let replacement = self.replacement.as_deref();
        let Some(schema) = &datum.schema else {
            let mut entries = map_entries(&mut datum.value, PURPOSE)?;
            for field in &self.fields {
                let value = super::part::entry(&entries, field)
                    .cloned()
                    .unwrap_or_default();
                let value = masked_at(self.part, field, &value, None, replacement)?;
                set_entry(&mut entries, field, value);
            }
            datum.value = Value::Map(entries.into());
            return Ok(Some(record));
        };
        let mut members = struct_members(&mut datum.value, PURPOSE)?;
        let fields = &self.fields;
        let chosen = self.plans.of(schema, |schema| {
            Ok((0..schema.fields.len())
                .filter(|at| fields.iter().any(|f| **f == *schema.fields[*at].name))
                .collect())
        })?;
        fill_defaults(
            &mut members,
            &schema.fields,
            self.replace && chosen.has_defaults,
        );
        for at in chosen.iter() {
            if let Some(member) = members.get_mut(*at) {
                let Field { name, schema } = &schema.fields[*at];
                *member = masked_at(self.part, name, member, Some(schema), replacement)?;
            }
        }
        datum.value = Value::Struct(members.into());
        Ok(Some(record))
    }
}
