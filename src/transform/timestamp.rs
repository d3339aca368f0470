//! `TimestampConverter`: converts timestamps between text, a number since 1970, Date, Time and
//! Timestamp.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same schema"
)]

use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator,
};
use connector_api::{
    Datum, Error, Field, Record, Result, Schema, SchemaType, TopicOffset, Transform, Value, logical,
};

use super::date_format::DateFormat;
use super::located::{of_field, type_of};
use super::part::{
    REPLACE_NULL, REPLACE_NULL_KEY, RecordPart, SchemaPlans, fill_defaults, key, list_fields,
    map_entries, set_entry, struct_members, struct_or_null, with_basics_of,
};
use crate::convert::calendar::DAY_MS;
use crate::convert::java;
use crate::convert::trail::declared;

const PURPOSE: &str = "converting timestamp formats";
/// What can be converted, and by which keys.
const READS: &str = "field chooses what is converted. A STRING is read by format, an INT64 is a number of \
     unix.precision since 1970, and the types Date, Time and Timestamp are read as they are; Cast \
     can turn other types into STRING or INT64 before. Records that cannot be converted are skipped \
     with errors.tolerance=all.";
const NO_FORMAT: &str =
    "TimestampConverter requires format option to be specified when using string timestamps";

pub(crate) const KEYS: &[ConfigKey] = &[
    key(
        "field",
        ConfigType::String,
        DefaultValue::Text(""),
        Importance::High,
        "Field to convert; empty for the whole key or value.",
    ),
    key(
        "target.type",
        ConfigType::String,
        DefaultValue::Required,
        Importance::High,
        "Type of the result.",
    )
    .check(KeyValidator::OneOf(&[
        "string",
        "unix",
        "Date",
        "Time",
        "Timestamp",
    ])),
    key(
        "format",
        ConfigType::String,
        DefaultValue::Text(""),
        Importance::Medium,
        "Format of texts, for reading and writing, as in java.text.SimpleDateFormat, in UTC.",
    ),
    key(
        "unix.precision",
        ConfigType::String,
        DefaultValue::Text("milliseconds"),
        Importance::Low,
        "Unit of numbers.",
    )
    .check(KeyValidator::OneOf(&[
        "nanoseconds",
        "microseconds",
        "milliseconds",
        "seconds",
    ])),
    REPLACE_NULL_KEY,
];

/// The representation of a timestamp.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TimestampForm {
    Text,
    Unix,
    Date,
    Time,
    Timestamp,
}

impl TimestampForm {
    fn named(name: &str) -> Self {
        match name {
            "string" => Self::Text,
            "unix" => Self::Unix,
            "Date" => Self::Date,
            "Time" => Self::Time,
            _ => Self::Timestamp,
        }
    }

    fn of(schema: &Schema) -> Result<Self> {
        Ok(match (schema.name.as_deref(), schema.ty) {
            (Some(logical::TIMESTAMP), _) => Self::Timestamp,
            (Some(logical::DATE), _) => Self::Date,
            (Some(logical::TIME), _) => Self::Time,
            (_, SchemaType::String) => Self::Text,
            (_, SchemaType::Int64) => Self::Unix,
            (name, ty) => {
                let name = name.map_or_else(String::new, |name| format!("{name}:"));
                let ty = ty.name();
                return Err(Error::record(format!(
                    "Schema Schema{{{name}{ty}}} does not correspond to a known timestamp type format"
                )));
            }
        })
    }

    fn schema(self) -> Schema {
        match self {
            Self::Text => Schema::of(SchemaType::String),
            Self::Unix => Schema::of(SchemaType::Int64),
            Self::Date => Schema::date(),
            Self::Time => Schema::time(),
            Self::Timestamp => Schema::timestamp(),
        }
    }
}

/// Converts timestamps to another representation.
pub(crate) struct TimestampConverter {
    part: RecordPart,
    field: String,
    converter: TimestampRules,
    replace: bool,
    plans: SchemaPlans<TimestampPlan>,
}

/// The new schema, the position of the field if it is a struct, and the current representation.
struct TimestampPlan {
    schema: Arc<Schema>,
    at: Option<usize>,
    from: Option<TimestampForm>,
}

struct TimestampRules {
    part: RecordPart,
    target: TimestampForm,
    pattern: String,
    format: Option<DateFormat>,
    /// Length of the unit, in nanoseconds.
    unit: i64,
}

/// Checks constraints between keys.
pub(crate) fn check(config: &Config, report: &mut ConfigReport) {
    let pattern = config.get("format").unwrap_or_default().trim();
    if config.get("target.type").map(str::trim) == Some("string") && pattern.is_empty() {
        report.error("format", NO_FORMAT);
    }
    if let Err(text) = DateFormat::compile(pattern, 0) {
        report.error(
            "format",
            format!(
                "TimestampConverter requires a SimpleDateFormat-compatible pattern for string timestamps: {pattern} ({text})"
            ),
        );
    }
}

impl TimestampConverter {
    /// Reads the settings. `now_ms` determines the century of two-digit years.
    /// Errors: every invalid key.
    pub(crate) fn new(
        part: RecordPart,
        config: &Config,
        now_ms: i64,
    ) -> Result<Self, ConfigReport> {
        let made = config.read(KEYS, |keys| {
            let pattern = keys.text("format");
            let unit = match keys.text("unix.precision").as_str() {
                "nanoseconds" => 1,
                "microseconds" => 1000,
                "seconds" => 1_000_000_000,
                _ => 1_000_000,
            };
            let format = Some(&pattern).filter(|pattern| !pattern.trim().is_empty());
            let format = format.and_then(|pattern| DateFormat::compile(pattern, now_ms).ok());
            let target = TimestampForm::named(&keys.text("target.type"));
            Self {
                part,
                field: keys.text("field"),
                converter: TimestampRules {
                    part,
                    target,
                    pattern,
                    format,
                    unit,
                },
                replace: keys.bool(REPLACE_NULL),
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

    fn without_schema(&self, mut value: Value) -> Result<Value> {
        if value.is_null() || self.field.is_empty() {
            return self.converter.convert_at(value, "", None, None);
        }
        let mut entries = map_entries(&mut value, PURPOSE)?;
        let found = super::part::entry(&entries, &self.field)
            .cloned()
            .unwrap_or_default();
        let converted = self.converter.convert_at(found, &self.field, None, None)?;
        set_entry(&mut entries, &self.field, converted);
        Ok(Value::Map(entries.into()))
    }
}

/// Returns the form of the timestamps of a schema.
/// Errors: Connect's text, with the field and the settings.
fn form_of(part: RecordPart, name: &str, schema: &Schema) -> Result<TimestampForm> {
    TimestampForm::of(schema).map_err(|error| of_field(error, part, name, declared(schema), READS))
}

fn plan(
    part: RecordPart,
    field: &str,
    target: TimestampForm,
    schema: &Schema,
) -> Result<TimestampPlan> {
    if field.is_empty() {
        let to = target.schema().optional(schema.optional);
        return Ok(TimestampPlan {
            schema: Arc::new(to),
            at: None,
            from: Some(form_of(part, "", schema)?),
        });
    }
    let mut list: Vec<Field> = list_fields(schema)?.to_vec();
    let at = schema.field_index(field);
    if let Some(field) = at.and_then(|at| list.get_mut(at)) {
        field.schema = Arc::new(target.schema().optional(field.schema.optional));
    }
    let new = Schema {
        optional: schema.optional,
        default: schema.default.clone(),
        fields: list.into(),
        ..with_basics_of(schema, SchemaType::Struct)
    };
    Ok(TimestampPlan {
        schema: Arc::new(new),
        at,
        from: None,
    })
}

impl Transform for TimestampConverter {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let datum = self.part.of_mut(&mut record);
        let value = std::mem::take(&mut datum.value);
        let Some(schema) = &datum.schema else {
            datum.value = self.without_schema(value)?;
            return Ok(Some(record));
        };
        if !self.field.is_empty() {
            struct_or_null(&value, PURPOSE)?;
        }
        let plan = self.plans.of(schema, |schema| {
            plan(self.part, &self.field, self.converter.target, schema)
        })?;
        let value = if plan.from.is_some() {
            self.converter
                .convert_at(value, "", Some(schema), plan.from)?
        } else if value.is_null() {
            value
        } else {
            let mut value = value;
            let mut members = struct_members(&mut value, PURPOSE)?;
            fill_defaults(&mut members, &schema.fields, self.replace);
            if let Some(at) = plan.at
                && let Some(member) = members.get_mut(at)
            {
                let schema = &schema.fields[at].schema;
                let from = Some(form_of(self.part, &self.field, schema)?);
                let value = std::mem::take(member);
                *member = self
                    .converter
                    .convert_at(value, &self.field, Some(schema), from)?;
            }
            Value::Struct(members.into())
        };
        *datum = Datum::new(Arc::clone(&plan.schema), value);
        Ok(Some(record))
    }
}

impl TimestampRules {
    /// Converts the value of a field, or of the whole part if `name` is empty.
    /// Errors: Connect's texts, with the field and the settings.
    fn convert_at(
        &self,
        value: Value,
        name: &str,
        schema: Option<&Schema>,
        from: Option<TimestampForm>,
    ) -> Result<Value> {
        let found = type_of(schema, &value);
        self.convert(value, from)
            .map_err(|error| of_field(error, self.part, name, found, READS))
    }

    /// Converts one timestamp to the target representation. Without a schema to determine `from`,
    /// text is parsed as text, and a number counts from 1970.
    fn convert(&self, value: Value, from: Option<TimestampForm>) -> Result<Value> {
        let known = from.is_some();
        let millis = match (from, &value) {
            (_, Value::Null) => return Ok(Value::Null),
            (Some(TimestampForm::Date), Value::I32(days)) => i64::from(*days) * DAY_MS,
            (Some(TimestampForm::Time), Value::I32(millis)) => i64::from(*millis),
            (Some(TimestampForm::Timestamp), Value::I64(millis)) => *millis,
            (Some(TimestampForm::Unix) | None, Value::I64(n)) => self.unix_to_millis(*n),
            (Some(TimestampForm::Text) | None, Value::Text(text)) => self.parse(text)?,
            (_, other) => {
                let class = java::class_name(other);
                return Err(Error::record(format!(
                    "TimestampConverter does not support class {class} objects as timestamps"
                )));
            }
        };
        Ok(match self.target {
            TimestampForm::Text => {
                let format = self
                    .format
                    .as_ref()
                    .ok_or_else(|| Error::record(NO_FORMAT))?;
                Value::Text(format.format(millis).into())
            }
            TimestampForm::Unix => Value::I64(self.millis_to_unix(millis)),
            // Without a schema, a timestamp is a number of milliseconds.
            TimestampForm::Date if !known => Value::I64(millis.div_euclid(DAY_MS) * DAY_MS),
            TimestampForm::Time if !known => Value::I64(millis.rem_euclid(DAY_MS)),
            TimestampForm::Timestamp => Value::I64(millis),
            TimestampForm::Date => {
                let days = i32::try_from(millis.div_euclid(DAY_MS));
                Value::I32(
                    days.map_err(|_| Error::record("the date does not fit 32 bits of days"))?,
                )
            }
            TimestampForm::Time => {
                Value::I32(i32::try_from(millis.rem_euclid(DAY_MS)).unwrap_or_default())
            }
        })
    }

    fn parse(&self, text: &str) -> Result<i64> {
        let format = self
            .format
            .as_ref()
            .ok_or_else(|| Error::record(NO_FORMAT))?;
        let mismatch = || {
            Error::record(format!(
                "Could not parse timestamp: value does not match pattern ({})",
                self.pattern
            ))
        };
        format.parse(text).ok_or_else(mismatch)
    }

    /// Converts towards zero, saturating at 64 bits, as `java.util.concurrent.TimeUnit` does.
    fn unix_to_millis(&self, n: i64) -> i64 {
        if self.unit > 1_000_000 {
            n.saturating_mul(self.unit / 1_000_000)
        } else {
            n / (1_000_000 / self.unit)
        }
    }

    fn millis_to_unix(&self, millis: i64) -> i64 {
        if self.unit > 1_000_000 {
            millis / (self.unit / 1_000_000)
        } else {
            millis.saturating_mul(1_000_000 / self.unit)
        }
    }
}
