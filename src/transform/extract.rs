//! `ExtractField` replaces a key or value by one of its fields; `HoistField` wraps it in a struct
//! or map of one field.

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
    REPLACE_NULL, REPLACE_NULL_KEY, RecordPart, SchemaPlans, check_member, fields, key,
    map_entries, or_default, struct_or_null,
};
use super::path::parse_nested;
use crate::convert::trail::declared;

const PURPOSE: &str = "field extraction";

/// The keys of [`ExtractField`].
pub(crate) const EXTRACT_KEYS: &[ConfigKey] = &[
    key(
        "field",
        ConfigType::String,
        DefaultValue::Required,
        Importance::Medium,
        "Field to extract.",
    )
    .check(KeyValidator::NonEmpty),
    key(
        "field.syntax.version",
        ConfigType::String,
        DefaultValue::Text("V1"),
        Importance::High,
        "V1: the name is taken literally. V2: dots separate the names of nested fields, and \
         backticks enclose a name that contains dots.",
    )
    .check(KeyValidator::OneOfIgnoreCase(&["V1", "V2"])),
    REPLACE_NULL_KEY,
];

/// Replaces a record's key or value by one of its fields.
pub(crate) struct ExtractField {
    part: RecordPart,
    field: String,
    steps: Vec<String>,
    replace: bool,
    plans: SchemaPlans<Vec<usize>>,
}

impl ExtractField {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(part: RecordPart, config: &Config) -> Result<Self, ConfigReport> {
        let (field, version, replace) = config.read(EXTRACT_KEYS, |keys| {
            (
                keys.text("field"),
                keys.text("field.syntax.version"),
                keys.bool(REPLACE_NULL),
            )
        })?;
        let steps = if version.eq_ignore_ascii_case("V1") {
            Ok(vec![field.clone()])
        } else {
            parse_nested(&field)
        };
        let steps = steps.map_err(|text| {
            let mut report = ConfigReport::default();
            report.error("field", text);
            report
        })?;
        Ok(Self {
            part,
            field,
            steps,
            replace,
            plans: SchemaPlans::new(),
        })
    }

    fn without_schema(&self, mut value: Value) -> Result<Value> {
        if self.steps.is_empty() {
            return Err(missing_field(unknown(&self.field), &[], "field"));
        }
        for (level, step) in self.steps.iter().enumerate() {
            if value.is_null() {
                return Ok(Value::Null);
            }
            let entries = map_entries(
                &mut value,
                if level == 0 {
                    PURPOSE
                } else {
                    "nested field access"
                },
            )?;
            let found = entries
                .into_iter()
                .find(|(key, _)| key.as_str() == Some(step));
            value = found.map(|(_, value)| value).unwrap_or_default();
        }
        Ok(value)
    }
}

impl Transform for ExtractField {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let datum = self.part.of_mut(&mut record);
        let Some(schema) = datum.schema.take() else {
            datum.value = self.without_schema(std::mem::take(&mut datum.value))?;
            return Ok(Some(record));
        };
        let (field, steps) = (&self.field, &self.steps);
        struct_or_null(&datum.value, PURPOSE)?;
        let positions = self
            .plans
            .of(&schema, |schema| positions(schema, field, steps))?;
        let mut value = std::mem::take(&mut datum.value);
        let mut schema = schema;
        for at in positions.iter() {
            let inner = Arc::clone(&schema.fields[*at].schema);
            // The fields of a null are null, even if they have defaults.
            if let Value::Struct(members) = value {
                let member = members.into_iter().nth(*at).unwrap_or_default();
                value = or_default(member, &inner, self.replace);
            }
            schema = inner;
        }
        *datum = Datum::new(schema, value);
        Ok(Some(record))
    }
}

#[cold]
fn unknown(field: &str) -> Error {
    Error::record(format!("Unknown field: {field}"))
}

/// Resolves a path to positions in a schema.
/// Errors: Connect's texts about a missing field.
fn positions(schema: &Schema, field: &str, steps: &[String]) -> Result<Vec<usize>> {
    let mut positions = Vec::with_capacity(steps.len());
    let mut schema = schema;
    for step in steps {
        if schema.ty != SchemaType::Struct {
            let error = Error::record("Cannot look up fields on non-struct type");
            return Err(error.and_line(&format!(
                "The path {field} asks for the field {step} of a {}, which has no fields: check \
                 field and field.syntax.version.",
                declared(schema)
            )));
        }
        let at = schema
            .field_index(step)
            .ok_or_else(|| missing_field(unknown(field), &schema.fields, "field"))?;
        positions.push(at);
        schema = &schema.fields[at].schema;
    }
    if positions.is_empty() {
        Err(missing_field(unknown(field), &schema.fields, "field"))
    } else {
        Ok(positions)
    }
}

/// The keys of [`HoistField`].
pub(crate) const HOIST_KEYS: &[ConfigKey] = &[key(
    "field",
    ConfigType::String,
    DefaultValue::Required,
    Importance::Medium,
    "Name of the new field that contains the whole key or value.",
)
.check(KeyValidator::NonEmpty)];

/// Wraps a record's key or value in a struct or map of one field.
pub(crate) struct HoistField {
    part: RecordPart,
    field: Arc<str>,
    plans: SchemaPlans<Arc<Schema>>,
}

impl HoistField {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(part: RecordPart, config: &Config) -> Result<Self, ConfigReport> {
        config.read(HOIST_KEYS, |keys| Self {
            part,
            field: keys.text("field").into(),
            plans: SchemaPlans::new(),
        })
    }
}

impl Transform for HoistField {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let datum = self.part.of_mut(&mut record);
        let value = std::mem::take(&mut datum.value);
        let Some(schema) = datum.schema.take() else {
            datum.value = Value::Map([(Value::Text((*self.field).into()), value)].into());
            return Ok(Some(record));
        };
        let hoisted = self.plans.of(&schema, |_| {
            let field = Field {
                name: Arc::clone(&self.field),
                schema: Arc::clone(&schema),
            };
            Ok(Arc::new(Schema {
                fields: fields(vec![field])?,
                ..Schema::of(SchemaType::Struct)
            }))
        })?;
        check_member(&self.field, &schema, &value)?;
        *datum = Datum::new(Arc::clone(hoisted), Value::Struct([value].into()));
        Ok(Some(record))
    }
}
