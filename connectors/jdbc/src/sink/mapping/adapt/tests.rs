//! Conversion of change events, deletion markers, nested values and plain JSON.

use std::sync::Arc;

use connector_api::{
    Config, Datum, Field, Record, Schema, SchemaType, SinkRecord, TopicOffset, Value,
};

use super::{Adapted, Adapter, PlainTarget};
use crate::catalog::{ColumnMeta, TableMeta};
use crate::dialect::writing;
use crate::ident::TableId;
use crate::sink::config::SinkConfig;
use crate::url::DatabaseKind;

fn config(pairs: &[(&str, &str)]) -> SinkConfig {
    let mut config = Config::from([
        ("connection.url", "jdbc:mariadb://h/d"),
        ("pk.mode", "record_key"),
    ]);
    pairs
        .iter()
        .for_each(|(key, value)| config.set(*key, *value));
    SinkConfig::read(&config).unwrap()
}

fn adapter(pairs: &[(&str, &str)]) -> Adapter {
    Adapter::new(config(pairs).adapting(false))
}

fn record(value: Datum) -> SinkRecord {
    let topic: Arc<str> = Arc::from("t");
    let key = Datum::new(Arc::new(Schema::of(SchemaType::Int32)), Value::I32(1));
    let (at, headers) = (
        TopicOffset {
            topic: Arc::clone(&topic),
            partition: 0,
            offset: 0,
        },
        Vec::new(),
    );
    SinkRecord {
        record: Record {
            topic,
            partition: Some(0),
            key,
            value,
            timestamp_ms: None,
            headers,
        },
        at,
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn columns(outcome: Adapted) -> Vec<(String, Value)> {
    let Adapted::Changed(record) = outcome else {
        panic!("{outcome:?}")
    };
    let Datum {
        schema: Some(schema),
        value: Value::Struct(values),
    } = record.record.value
    else {
        panic!("no row")
    };
    schema
        .fields
        .iter()
        .map(|field| field.name.to_string())
        .zip(values)
        .collect()
}

fn event(op: &str, after: Option<i32>) -> SinkRecord {
    let row = Schema::structure(None, vec![Field::new("id", Schema::of(SchemaType::Int32))])
        .optional(true);
    let fields = vec![
        Field::new("op", Schema::of(SchemaType::String)),
        Field::new("before", row.clone()),
        Field::new("after", row),
    ];
    let schema = Arc::new(Schema::structure(Some("s.t.Envelope"), fields));
    let state = after.map_or(Value::Null, |id| Value::Struct([Value::I32(id)].into()));
    record(Datum::new(
        schema,
        Value::Struct([text(op), Value::Null, state].into()),
    ))
}

#[test]
fn change_events_are_rows_deletions_or_nothing() {
    let deleting = &[("delete.enabled", "true"), ("truncate.enabled", "true")];
    for (pairs, op, after, want) in [
        (&[][..], "c", Some(1), "row"),
        (&[], "u", Some(1), "row"),
        (&[], "d", None, "skip"),
        (&[], "t", None, "skip"),
        (deleting, "d", None, "deleted"),
        (deleting, "t", None, "truncate"),
        (deleting, "m", None, "skip"),
        (&[("envelope.unwrap", "false")], "c", Some(1), "same"),
    ] {
        let seen = match adapter(pairs).apply(&event(op, after)).unwrap() {
            Adapted::Same => "same",
            Adapted::Skip => "skip",
            Adapted::Truncate => "truncate",
            Adapted::Changed(record) if record.record.value.value.is_null() => "deleted",
            Adapted::Changed(_) => "row",
        };
        assert_eq!(seen, want, "{op} {pairs:?}");
    }
    let error = adapter(&[]).apply(&event("c", None)).unwrap_err();
    assert!(error.message().contains("after is null"), "{error}");
}

#[test]
fn a_mark_deletes_where_rows_are_deleted_and_is_a_column_elsewhere() {
    let fields = vec![
        Field::new("id", Schema::of(SchemaType::Int32)),
        Field::new("__deleted", Schema::of(SchemaType::String)),
    ];
    let schema = Arc::new(Schema::structure(None, fields));
    let row = |mark: &str| {
        record(Datum::new(
            Arc::clone(&schema),
            Value::Struct([Value::I32(1), text(mark)].into()),
        ))
    };
    assert_eq!(adapter(&[]).apply(&row("true")).unwrap(), Adapted::Same);
    let mut deleting = adapter(&[("delete.enabled", "true")]);
    let Adapted::Changed(gone) = deleting.apply(&row("true")).unwrap() else {
        panic!("not changed")
    };
    assert!(gone.record.value.value.is_null());
    assert_eq!(
        columns(deleting.apply(&row("false")).unwrap()),
        [("id".to_owned(), Value::I32(1))]
    );
}

#[test]
fn nested_values_are_json_or_columns() {
    let inner = Schema::structure(
        None,
        vec![
            Field::new("city", Schema::of(SchemaType::String)),
            Field::new("since", Schema::date()),
        ],
    );
    let fields = vec![
        Field::new("a", inner.optional(true)),
        Field::new("l", Schema::array(Schema::of(SchemaType::Int32))),
        Field::new(
            "m",
            Schema::map(Schema::of(SchemaType::String), Schema::decimal(1)),
        ),
    ];
    let schema = Arc::new(Schema::structure(None, fields));
    let decimal = Value::Decimal(Box::new(connector_api::Decimal::parse("1.5").unwrap()));
    let members = [
        Value::Struct([text("é\"x"), Value::I32(1)].into()),
        Value::Array([Value::I32(1), Value::I32(2)].into()),
        Value::Map([(text("k"), decimal)].into()),
    ];
    let row = record(Datum::new(schema, Value::Struct(members.into())));
    assert_eq!(adapter(&[]).apply(&row).unwrap(), Adapted::Same);
    let named = |list: &[(&str, &str)]| {
        list.iter()
            .map(|(name, value)| ((*name).to_owned(), text(value)))
            .collect::<Vec<_>>()
    };
    let seen = columns(adapter(&[("nested.mode", "json")]).apply(&row).unwrap());
    let json = named(&[
        ("a", "{\"city\":\"é\\\"x\",\"since\":\"1970-01-02\"}"),
        ("l", "[1,2]"),
        ("m", "{\"k\":1.5}"),
    ]);
    assert_eq!(seen, json);
    let seen = columns(
        adapter(&[("nested.mode", "flatten"), ("nested.delimiter", ".")])
            .apply(&row)
            .unwrap(),
    );
    assert_eq!(
        (&*seen[0].0, &seen[0].1, &*seen[1].0, &seen[1].1),
        ("a.city", &text("é\"x"), "a.since", &Value::I32(1))
    );
    assert_eq!(seen[2..], json[1..]);
}

fn table(columns: &[(&str, &str)]) -> TableMeta {
    let column = |(name, ty): &(&str, &str)| ColumnMeta {
        name: (*name).to_owned(),
        data_type: (*ty).to_owned(),
        column_type: (*ty).to_owned(),
        precision: Some(10),
        scale: Some(2),
        nullable: true,
        ..ColumnMeta::default()
    };
    TableMeta::of_columns(TableId::bare("t"), columns.iter().map(column).collect())
}

#[test]
fn plain_json_is_matched_to_the_tables_columns() {
    let table = table(&[
        ("ID", "int"),
        ("name", "varchar"),
        ("price", "decimal"),
        ("at", "datetime"),
        ("day", "date"),
        ("raw", "blob"),
        ("gone", "int"),
    ]);
    let config = config(&[]);
    let writing = writing::of(DatabaseKind::MySql, "10.11-MariaDB");
    let target = PlainTarget {
        table: &table,
        writing,
        time: &config.time,
    };
    let matched = |members: &[(&str, Value)]| {
        let members: Vec<_> = members
            .iter()
            .map(|(name, value)| (text(name), value.clone()))
            .collect();
        let record = record(Datum {
            schema: None,
            value: Value::Map(members.into()),
        });
        adapter(&[]).match_to(target, &record)
    };
    let seen = columns(
        matched(&[
            ("id", Value::I64(1)),
            ("name", Value::I64(7)),
            ("price", Value::F64(1.5)),
            ("at", text("2024-02-29T12:00:00Z")),
            ("day", Value::I64(1)),
            ("raw", text("AQI=")),
            ("gone", Value::Null),
            ("unknown", Value::Null),
            ("more", Value::Bool(true)),
        ])
        .unwrap(),
    );
    let want = [
        ("id", Value::I64(1)),
        ("name", text("7")),
        ("price", text("1.5")),
        ("at", text("2024-02-29 12:00:00.000000")),
        ("day", Value::I32(1)),
        ("raw", Value::Bytes([1, 2].into())),
        ("gone", Value::Null),
        ("more", Value::Bool(true)),
    ];
    assert_eq!(seen, want.map(|(name, value)| (name.to_owned(), value)));
    let error = matched(&[("id", text("x"))]).unwrap_err();
    assert_eq!(
        error.message(),
        "column ID: a JSON string does not fit type int; convert it before (the transform Cast), or leave the field out \
         (fields.whitelist)"
    );
}

#[test]
fn json_within_json_does_not_double_with_each_level() {
    let mut value = text("\"");
    for _ in 0..60 {
        value = Value::Map([(value, Value::Null)].into());
    }
    let error = super::json::text(&value, None).unwrap_err();
    assert!(error.message().contains("MAX_JSON"), "{error}");
}

#[test]
fn records_that_are_no_rows_are_recognized() {
    let named = |name: &str, fields: &[&str]| {
        let fields = fields
            .iter()
            .map(|field| Field::new(*field, Schema::of(SchemaType::String)))
            .collect();
        let schema = Arc::new(Schema::structure(Some(name), fields));
        let values = vec![text("x"); schema.fields.len()];
        record(Datum::new(schema, Value::Struct(values.into())))
    };
    for (name, fields, want) in [
        (
            "io.debezium.connector.mysql.SchemaChangeValue",
            &["databaseName", "ddl"][..],
            Some("include.schema.changes"),
        ),
        (
            "io.debezium.other.Change",
            &["ddl", "tableChanges"],
            Some("topics.regex"),
        ),
        (
            "io.debezium.connector.common.TransactionMetadataValue",
            &["status", "id"],
            Some("provide.transaction.metadata"),
        ),
        ("io.debezium.connector.common.Heartbeat", &["ts_ms"], None),
        ("s.t.Value", &["ddl", "tableChanges"], None),
    ] {
        let outcome = adapter(&[]).apply(&named(name, fields));
        match want {
            Some(want) => assert!(outcome.unwrap_err().message().contains(want), "{name}"),
            None => assert_eq!(outcome.unwrap(), Adapted::Same, "{name}"),
        }
        // another nested.mode stores them as rows
        assert!(
            adapter(&[("nested.mode", "json")])
                .apply(&named(name, fields))
                .is_ok(),
            "{name}"
        );
    }
}
