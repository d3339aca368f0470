//! Debezium's `ExtractNewRecordState`: extracts the row from a change event, which contains it
//! before and after the change.
//!
//! Keys, defaults and behaviour follow Debezium's documentation; records that are not change events
//! pass unchanged.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same schema"
)]

use std::sync::Arc;

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator,
};
use connector_api::{
    Datum, Error, Field, Header, Record, Result, Schema, SchemaType, TopicOffset, Transform, Value,
};

use super::part::{REPLACE_NULL, REPLACE_NULL_KEY, SchemaPlans, fields, fill_defaults, key};

const DELETED: &str = "__deleted";

pub(crate) const KEYS: &[ConfigKey] = &[
    key(
        "delete.tombstone.handling.mode",
        ConfigType::String,
        DefaultValue::Text("tombstone"),
        Importance::Medium,
        "How to handle a delete event and the tombstone after it. tombstone: keep only the \
         tombstone; drop: drop both; rewrite: emit the old row with __deleted=true; \
         rewrite-with-tombstone: emit both; delete-to-tombstone: turn the event into a tombstone \
         and drop the following one.",
    )
    .check(KeyValidator::OneOf(&[
        "drop",
        "tombstone",
        "rewrite",
        "rewrite-with-tombstone",
        "delete-to-tombstone",
    ])),
    key(
        "delete.handling.mode",
        ConfigType::String,
        DefaultValue::Null,
        Importance::Low,
        "Older form, used with drop.tombstones: how to handle delete events.",
    )
    .check(KeyValidator::OneOf(&["drop", "rewrite", "none"])),
    key(
        "drop.tombstones",
        ConfigType::Boolean,
        DefaultValue::Text("true"),
        Importance::Low,
        "Older form, used with delete.handling.mode: whether tombstones are dropped.",
    ),
    key(
        "route.by.field",
        ConfigType::String,
        DefaultValue::Text(""),
        Importance::Low,
        "Field with the name of the new topic.",
    ),
    key(
        "add.fields",
        ConfigType::List,
        DefaultValue::Text(""),
        Importance::Low,
        "Parts of the event to add to the row, such as op or source.ts_ms; op:action adds op with \
         the name action.",
    )
    .check(KeyValidator::By(check_additions)),
    key(
        "add.fields.prefix",
        ConfigType::String,
        DefaultValue::Text("__"),
        Importance::Low,
        "Prefix of their names.",
    ),
    key(
        "add.headers",
        ConfigType::List,
        DefaultValue::Text(""),
        Importance::Low,
        "Parts of the event to add as headers.",
    )
    .check(KeyValidator::By(check_additions)),
    key(
        "add.headers.prefix",
        ConfigType::String,
        DefaultValue::Text("__"),
        Importance::Low,
        "Prefix of their names.",
    ),
    REPLACE_NULL_KEY,
];

/// How delete events are handled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DeleteHandling {
    Drop,
    Tombstone,
    Rewrite,
}

/// A part of the event that is added to the row or the headers.
struct AddedField {
    path: Vec<String>,
    name: Arc<str>,
}

/// Extracts the row from a change event.
pub(crate) struct ExtractNewRecordState {
    delete: DeleteHandling,
    drop_tombstones: bool,
    route_by: String,
    fields: Vec<AddedField>,
    headers: Vec<AddedField>,
    replace: bool,
    plans: SchemaPlans<Option<EventLayout>>,
}

/// Positions of the parts of an event with a certain schema, and the schema of the row to emit.
struct EventLayout {
    before: Option<usize>,
    after: usize,
    op: Option<usize>,
    row: Arc<Schema>,
    added: Vec<Vec<usize>>,
    headers: Vec<(Vec<usize>, Arc<Schema>)>,
}

impl ExtractNewRecordState {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigReport> {
        config.read(KEYS, |keys| {
            let mode = keys.text("delete.tombstone.handling.mode");
            let (older, drop_older) = (
                keys.text_opt("delete.handling.mode"),
                keys.bool("drop.tombstones"),
            );
            let older_set = older.is_some()
                || (keys.is_set("drop.tombstones")
                    && !keys.is_set("delete.tombstone.handling.mode"));
            let (delete, drop_tombstones) = match (older_set, older.as_deref(), mode.as_str()) {
                (true, Some("rewrite"), _) => (DeleteHandling::Rewrite, drop_older),
                (true, Some("none"), _) => (DeleteHandling::Tombstone, drop_older),
                (true, ..) => (DeleteHandling::Drop, drop_older),
                (false, _, "drop") => (DeleteHandling::Drop, true),
                (false, _, "rewrite") => (DeleteHandling::Rewrite, true),
                (false, _, "rewrite-with-tombstone") => (DeleteHandling::Rewrite, false),
                (false, _, "delete-to-tombstone") => (DeleteHandling::Tombstone, true),
                _ => (DeleteHandling::Drop, false),
            };
            let mut additions = |list: &'static str, prefix: &'static str| {
                let prefix = keys.text(prefix);
                keys.list(list)
                    .iter()
                    .filter(|item| !item.is_empty())
                    .map(|item| addition(item, &prefix))
                    .collect()
            };
            let fields = additions("add.fields", "add.fields.prefix");
            let headers = additions("add.headers", "add.headers.prefix");
            let (route_by, replace) = (keys.text("route.by.field"), keys.bool(REPLACE_NULL));
            Self {
                delete,
                drop_tombstones,
                route_by,
                fields,
                headers,
                replace,
                plans: SchemaPlans::new(),
            }
        })
    }

    /// Returns the row of an event with the added fields and headers.
    fn row(
        &self,
        event: &EventLayout,
        members: &mut [Value],
        deleted: bool,
    ) -> Result<(Value, Vec<Header>)> {
        let reach = |path: &[usize]| {
            let start = path.first().and_then(|at| members.get(*at));
            let inner = |value: &'_ Value, at: &usize| match value {
                Value::Struct(members) => members.get(*at).cloned().unwrap_or_default(),
                _ => Value::Null,
            };
            path.iter()
                .skip(1)
                .fold(start.cloned().unwrap_or_default(), |value, at| {
                    inner(&value, at)
                })
        };
        let added: Vec<Value> = event.added.iter().map(|path| reach(path)).collect();
        let header =
            |(addition, (path, schema)): (&AddedField, &(Vec<usize>, Arc<Schema>))| Header {
                key: Arc::clone(&addition.name),
                datum: Datum::new(Arc::clone(schema), reach(path)),
            };
        let headers = self
            .headers
            .iter()
            .zip(&event.headers)
            .map(header)
            .collect();
        let from = if deleted {
            event.before
        } else {
            Some(event.after)
        };
        let row = from
            .and_then(|at| members.get_mut(at))
            .map(std::mem::take)
            .unwrap_or_default();
        let Value::Struct(row) = row else {
            return Err(Error::record(
                "the change event does not contain the row that it deletes in its field before; \
                 configure the database to log it (PostgreSQL: REPLICA IDENTITY FULL), or choose a \
                 delete.tombstone.handling.mode that does not need it, such as tombstone",
            ));
        };
        let mut row = row.into_vec();
        fill_defaults(&mut row, &event.row.fields, self.replace);
        if self.delete == DeleteHandling::Rewrite {
            row.push(Value::Text(if deleted { "true" } else { "false" }.into()));
        }
        row.extend(added);
        Ok((Value::Struct(row.into()), headers))
    }
}

/// An addition without a path, or with a colon and no name after it, would fail at the first record
/// or add a field that has the prefix as its whole name.
fn check_additions(text: &str) -> std::result::Result<(), String> {
    let is_incomplete = |item: &&str| {
        let (path, name) = item.split_once(':').unwrap_or((item, item));
        !item.is_empty() && (path.trim().is_empty() || name.trim().is_empty())
    };
    match text.split(',').map(str::trim).find(is_incomplete) {
        Some(bad) => Err(format!(
            "{bad} must be a part of the event, or such a part and its new name: op:action"
        )),
        None => Ok(()),
    }
}

fn addition(item: &str, prefix: &str) -> AddedField {
    let (path, name) = item.split_once(':').unwrap_or((item, item));
    let (path, name) = (path.trim(), name.trim());
    AddedField {
        path: path.split('.').map(str::to_owned).collect(),
        name: format!("{prefix}{}", name.replace('.', "_")).into(),
    }
}

/// Returns the layout of change events with this schema; `None` if it is not that of a change
/// event.
fn event(
    schema: &Schema,
    rewrite: bool,
    add: &[AddedField],
    headers: &[AddedField],
) -> Result<Option<EventLayout>> {
    let is_event = schema
        .name
        .as_deref()
        .is_some_and(|name| name.ends_with(".Envelope") || name == "Envelope");
    let Some(after) = schema
        .field_index("after")
        .filter(|_| is_event && schema.ty == SchemaType::Struct)
    else {
        return Ok(None);
    };
    let row = &schema.fields[after].schema;
    let mut list: Vec<Field> = row.fields.to_vec();
    if rewrite {
        list.push(Field::new(
            DELETED,
            Schema::of(SchemaType::String).optional(true),
        ));
    }
    let mut added = Vec::new();
    for addition in add {
        let (path, schema) = find(schema, &addition.path)?;
        list.push(Field {
            name: Arc::clone(&addition.name),
            schema: optional(&schema),
        });
        added.push(path);
    }
    let headers = headers
        .iter()
        .map(|header| find(schema, &header.path))
        .collect::<Result<_>>()?;
    let row = Schema {
        optional: false,
        fields: fields(list)?,
        ..(**row).clone()
    };
    let (before, op) = (schema.field_index("before"), schema.field_index("op"));
    Ok(Some(EventLayout {
        before,
        after,
        op,
        row: Arc::new(row),
        added,
        headers,
    }))
}

fn optional(schema: &Arc<Schema>) -> Arc<Schema> {
    if schema.optional {
        Arc::clone(schema)
    } else {
        Arc::new((**schema).clone().optional(true))
    }
}

fn find(schema: &Schema, path: &[String]) -> Result<(Vec<usize>, Arc<Schema>)> {
    let missing = || {
        Error::record(format!(
            "Unable to find field {} in the change event; add.fields and add.headers can name \
             fields of the event, and of its parts as source.FIELD",
            path.join(".")
        ))
    };
    let mut positions = Vec::with_capacity(path.len());
    let mut found: Option<Arc<Schema>> = None;
    for step in path {
        let inside = found.as_deref().unwrap_or(schema);
        let at = inside.field_index(step).ok_or_else(missing)?;
        let next = Arc::clone(&inside.fields[at].schema);
        positions.push(at);
        found = Some(next);
    }
    found.map(|schema| (positions, schema)).ok_or_else(missing)
}

impl Transform for ExtractNewRecordState {
    fn apply(&mut self, mut record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        if record.value.value.is_null() {
            return Ok(Some(record).filter(|_| !self.drop_tombstones));
        }
        let Some(schema) = record.value.schema.clone() else {
            return Ok(Some(record));
        };
        let mut plans = std::mem::replace(&mut self.plans, SchemaPlans::new());
        let rewrite = self.delete == DeleteHandling::Rewrite;
        let changed = plans
            .of(&schema, |schema| {
                event(schema, rewrite, &self.fields, &self.headers)
            })
            .and_then(|event| {
                let (Some(event), Value::Struct(members)) = (&**event, &mut record.value.value)
                else {
                    return Ok(true);
                };
                let deleted = members.get(event.after).is_none_or(Value::is_null);
                let op = event
                    .op
                    .and_then(|at| members.get(at))
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                if deleted && (op == "t" || op == "m" || self.delete == DeleteHandling::Drop) {
                    return Ok(false);
                }
                if deleted && self.delete == DeleteHandling::Tombstone {
                    record.value = Datum::NONE;
                    return Ok(true);
                }
                let (row, headers) = self.row(event, members, deleted)?;
                record.value = Datum::new(Arc::clone(&event.row), row);
                record.headers.extend(headers);
                self.route(&mut record);
                Ok(true)
            });
        self.plans = plans;
        Ok(changed?.then_some(record))
    }
}

impl ExtractNewRecordState {
    fn route(&self, record: &mut Record) {
        let (Some(schema), Value::Struct(members)) = (&record.value.schema, &record.value.value)
        else {
            return;
        };
        let topic = schema
            .field_index(&self.route_by)
            .and_then(|at| members.get(at))
            .and_then(Value::as_str);
        if let Some(topic) = topic {
            record.topic = topic.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Schema {
        let of = |ty| Schema::of(ty).optional(true);
        let fields = vec![
            Field::new("id", of(SchemaType::Int32)),
            Field::new("name", of(SchemaType::String)),
        ];
        Schema::structure(Some("db.t.Value"), fields).optional(true)
    }

    fn change(before: Option<i32>, after: Option<i32>, op: &str) -> Record {
        let source = Schema::structure(
            None,
            vec![Field::new("ts_ms", Schema::of(SchemaType::Int64))],
        );
        let fields = vec![
            Field::new("before", row()),
            Field::new("after", row()),
            Field::new("source", source),
            Field::new("op", Schema::of(SchemaType::String)),
        ];
        let schema = Schema::structure(Some("db.t.Envelope"), fields);
        let state = |id: Option<i32>| match id {
            Some(id) => Value::Struct([Value::I32(id), Value::Text("x".into())].into()),
            None => Value::Null,
        };
        let members = [
            state(before),
            state(after),
            Value::Struct([Value::I64(7)].into()),
            Value::Text(op.into()),
        ];
        Record {
            topic: "db.t".into(),
            partition: None,
            key: Datum::NONE,
            value: Datum::new(Arc::new(schema), Value::Struct(members.into())),
            timestamp_ms: None,
            headers: Vec::new(),
        }
    }

    fn apply<const N: usize>(config: [(&str, &str); N], record: Record) -> Option<Record> {
        ExtractNewRecordState::new(&Config::from(config))
            .unwrap()
            .apply(record, None)
            .unwrap()
    }

    fn values(record: &Record) -> Vec<Value> {
        let Value::Struct(members) = &record.value.value else {
            panic!("no struct: {record:?}")
        };
        members.to_vec()
    }

    #[test]
    fn the_row_after_the_change_comes_out_with_what_is_added() {
        let config = [
            ("add.fields", "op,source.ts_ms,op:action"),
            ("add.headers", "source.ts_ms"),
        ];
        let out = apply(config, change(None, Some(5), "c")).unwrap();
        let schema = out.value.schema.as_ref().unwrap();
        let names: Vec<&str> = schema.fields.iter().map(|field| &*field.name).collect();
        assert_eq!(names, ["id", "name", "__op", "__source_ts_ms", "__action"]);
        let text = |text: &str| Value::Text(text.into());
        assert_eq!(
            values(&out),
            [
                Value::I32(5),
                text("x"),
                text("c"),
                Value::I64(7),
                text("c")
            ]
        );
        assert_eq!(
            (&*out.headers[0].key, &out.headers[0].datum.value),
            ("__source_ts_ms", &Value::I64(7))
        );
    }

    #[test]
    fn deletes_and_tombstones_go_as_the_mode_says() {
        let tombstone = || Record {
            value: Datum::NONE,
            ..change(None, None, "d")
        };
        for (mode, delete, after) in [
            ("drop", "nothing", false),
            ("tombstone", "nothing", true),
            ("rewrite", "row", false),
            ("rewrite-with-tombstone", "row", true),
            ("delete-to-tombstone", "tombstone", false),
        ] {
            let config = [("delete.tombstone.handling.mode", mode)];
            let out = match apply(config, change(Some(5), None, "d")) {
                None => "nothing",
                Some(record) if record.value == Datum::NONE => "tombstone",
                Some(record) => {
                    assert_eq!(values(&record)[2], Value::Text("true".into()));
                    "row"
                }
            };
            assert_eq!(
                (out, apply(config, tombstone()).is_some()),
                (delete, after),
                "{mode}"
            );
        }
    }

    #[test]
    fn what_is_no_change_event_passes() {
        let plain = Record {
            value: Datum::new(
                Arc::new(row()),
                Value::Struct([Value::I32(1), Value::Null].into()),
            ),
            ..change(None, None, "c")
        };
        assert_eq!(apply([], plain.clone()), Some(plain));
    }
}
