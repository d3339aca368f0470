//! Transforms of headers: `DropHeaders`, `InsertHeader` and `HeaderFrom`.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same schema"
)]

use std::collections::HashSet;
use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator,
};
use connector_api::{
    Datum, Error, Field, Header, Record, Result, Schema, SchemaType, TopicOffset, Transform, Value,
};

use super::located::missing_field;
use super::part::{
    REPLACE_NULL, REPLACE_NULL_KEY, RecordPart, SchemaPlans, entry, key, map_entries, or_default,
    struct_members, with_basics_of,
};
use crate::convert::header;

/// The keys of [`DropHeaders`].
pub(crate) const DROP_KEYS: &[ConfigKey] = &[key(
    "headers",
    ConfigType::List,
    DefaultValue::Required,
    Importance::High,
    "Names of the headers to remove.",
)
.check(KeyValidator::NonEmptyList)];

/// Removes all headers with certain names.
pub(crate) struct DropHeaders {
    names: HashSet<String>,
}

impl DropHeaders {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigReport> {
        config.read(DROP_KEYS, |keys| Self {
            names: keys.list("headers").into_iter().collect(),
        })
    }
}

impl Transform for DropHeaders {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        record
            .headers
            .retain(|header| !self.names.contains(&*header.key));
        Ok(Some(record))
    }
}

/// The keys of [`InsertHeader`].
pub(crate) const INSERT_KEYS: &[ConfigKey] = &[
    key(
        "header",
        ConfigType::String,
        DefaultValue::Required,
        Importance::High,
        "The header's name.",
    ),
    key(
        "value.literal",
        ConfigType::String,
        DefaultValue::Required,
        Importance::High,
        "Value of the header. Its type is inferred as SimpleHeaderConverter does: 5 is a number, \
         true is a boolean.",
    ),
];

/// Adds a header with a fixed value.
pub(crate) struct InsertHeader {
    header: Header,
}

impl InsertHeader {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigReport> {
        config.read(INSERT_KEYS, |keys| {
            let (name, text) = (keys.text("header"), keys.text("value.literal"));
            let datum = if text.is_empty() {
                Datum::new(
                    Arc::new(Schema::of(SchemaType::String)),
                    Value::Text(Box::default()),
                )
            } else {
                header::infer(&text, true)
            };
            Self {
                header: Header {
                    key: name.into(),
                    datum,
                },
            }
        })
    }
}

impl Transform for InsertHeader {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        record.headers.push(self.header.clone());
        Ok(Some(record))
    }
}

/// The keys of [`HeaderFrom`].
pub(crate) const FROM_KEYS: &[ConfigKey] = &[
    key(
        "fields",
        ConfigType::List,
        DefaultValue::Required,
        Importance::High,
        "Fields to copy or move.",
    )
    .check(KeyValidator::Names),
    key(
        "headers",
        ConfigType::List,
        DefaultValue::Required,
        Importance::High,
        "Names of the headers, in the order of the fields.",
    )
    .check(KeyValidator::NonEmptyList),
    key(
        "operation",
        ConfigType::String,
        DefaultValue::Required,
        Importance::High,
        "copy keeps the fields; move removes them.",
    )
    .check(KeyValidator::OneOf(&["move", "copy"])),
    REPLACE_NULL_KEY,
];

/// Copies or moves fields of the key or value into headers.
pub(crate) struct HeaderFrom {
    part: RecordPart,
    fields: Vec<String>,
    headers: Vec<Arc<str>>,
    moves: bool,
    purpose: &'static str,
    replace: bool,
    plans: SchemaPlans<HeaderPlan>,
}

/// Positions of the fields in one schema, and the schema that remains when they are moved.
struct HeaderPlan {
    taken: Vec<usize>,
    left: Arc<Schema>,
    kept: Vec<bool>,
}

/// Maximum number of headers that one transform adds: a list may name the same large field many
/// times.
const MAX_HEADERS: usize = 1000;

/// Checks constraints between keys.
pub(crate) fn check_from(config: &Config, report: &mut ConfigReport) {
    let count = |name: &str| config.get(name).map_or(0, |list| list.split(',').count());
    if count("headers") > MAX_HEADERS {
        report.error(
            "headers",
            format!("'headers' config has more than {MAX_HEADERS} elements (MAX_HEADERS)."),
        );
    }
    if count("fields") != count("headers") {
        report.error(
            "fields",
            "'fields' config must have the same number of elements as 'headers' config.",
        );
    }
}

impl HeaderFrom {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(part: RecordPart, config: &Config) -> Result<Self, ConfigReport> {
        let made = config.read(FROM_KEYS, |keys| {
            let moves = keys.text("operation") == "move";
            Self {
                part,
                fields: keys.list("fields"),
                headers: keys.list("headers").into_iter().map(Arc::from).collect(),
                moves,
                purpose: if moves { "header move" } else { "header copy" },
                replace: keys.bool(REPLACE_NULL),
                plans: SchemaPlans::new(),
            }
        })?;
        let mut report = ConfigReport::default();
        check_from(config, &mut report);
        if report.is_ok() {
            Ok(made)
        } else {
            Err(report)
        }
    }

    fn plan(names: &[String], schema: &Schema) -> Result<HeaderPlan> {
        let position = |name: &String| {
            schema.field_index(name).ok_or_else(|| {
                let error = Error::record(format!("Field does not exist: {name}"));
                missing_field(error, &schema.fields, "fields")
            })
        };
        let taken: Vec<usize> = names.iter().map(position).collect::<Result<_>>()?;
        let kept: Vec<bool> = (0..schema.fields.len())
            .map(|at| !taken.contains(&at))
            .collect();
        let left: Vec<Field> = schema
            .fields
            .iter()
            .zip(&kept)
            .filter(|(_, kept)| **kept)
            .map(|(field, _)| field.clone())
            .collect();
        let left = Schema {
            fields: left.into(),
            ..with_basics_of(schema, SchemaType::Struct)
        };
        Ok(HeaderPlan {
            taken,
            left: Arc::new(left),
            kept,
        })
    }

    fn without_schema(&self, record: &mut Record) -> Result<()> {
        let mut entries = map_entries(&mut self.part.of_mut(record).value, self.purpose)?;
        for (field, header) in self.fields.iter().zip(&self.headers) {
            let value = entry(&entries, field).cloned().unwrap_or_default();
            record.headers.push(Header {
                key: Arc::clone(header),
                datum: Datum {
                    schema: None,
                    value,
                },
            });
        }
        if self.moves {
            entries.retain(|(key, _)| !self.fields.iter().any(|field| key.as_str() == Some(field)));
        }
        self.part.of_mut(record).value = Value::Map(entries.into());
        Ok(())
    }
}

impl Transform for HeaderFrom {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        let datum = self.part.of_mut(&mut record);
        let Some(schema) = datum.schema.clone() else {
            self.without_schema(&mut record)?;
            return Ok(Some(record));
        };
        let mut members = struct_members(&mut datum.value, self.purpose)?;
        let plan = self
            .plans
            .of(&schema, |schema| Self::plan(&self.fields, schema))?;
        for (at, header) in plan.taken.iter().zip(&self.headers) {
            let of = &schema.fields[*at].schema;
            let value = or_default(
                members.get(*at).cloned().unwrap_or_default(),
                of,
                self.replace,
            );
            record.headers.push(Header {
                key: Arc::clone(header),
                datum: Datum::new(Arc::clone(of), value),
            });
        }
        let datum = self.part.of_mut(&mut record);
        if self.moves {
            let mut kept = plan.kept.iter();
            members.retain(|_| kept.next().is_some_and(|kept| *kept));
            super::part::fill_defaults(&mut members, &plan.left.fields, self.replace);
            datum.schema = Some(Arc::clone(&plan.left));
        }
        datum.value = Value::Struct(members.into());
        Ok(Some(record))
    }
}
