//! What JDBC sinks are required to do: create tables, write rows, delete them, and add columns. Each test runs on every
//! database that it applies to. Records are built in memory, and SQL queries check the result.

mod any_values;
mod carry;
mod ddl;
mod debezium_values;
mod deferrable;
mod deletes;
mod engines;
mod equal_keys;
mod evolve;
mod infinite;
mod meanings;
mod meanings_of_server_types;
mod peers;
mod plain;
mod plain_values;
mod pooled;
mod refused_values;
mod retyped;
mod schemaless_events;
mod tables_of_others;
mod through_kafka;
mod unavailable;
mod wider;
mod writes;

use std::sync::Arc;

use connector_api::{Datum, Field, Schema, SchemaType, SinkRecord, Value};

use crate::sink::database::{Database, Server};
use crate::sink::records::{Topic, int, optional, text};

/// A field.
fn field(name: &str, schema: Schema) -> Field {
    Field::new(name, schema)
}

/// A schema with a default.
fn preset(schema: Schema, default: Value) -> Schema {
    Schema {
        default: Some(default),
        ..schema
    }
}

/// A text.
fn t(text: &str) -> Value {
    Value::Text(text.into())
}

/// A decimal of these digits.
fn decimal(digits: &str) -> Value {
    Value::Decimal(Box::new(
        connector_api::Decimal::parse(digits).expect("digits"),
    ))
}

/// A struct.
fn structure(fields: &[Field], values: impl Into<Box<[Value]>>) -> Datum {
    Datum::new(
        Arc::new(Schema::structure(None, fields.to_vec())),
        Value::Struct(values.into()),
    )
}

/// A value alone.
fn single(schema: Schema, value: Value) -> Datum {
    Datum::new(Arc::new(schema), value)
}

/// A key `id`.
fn id_key(id: i32) -> Datum {
    structure(&[int("id")], [Value::I32(id)])
}

/// A change event of Debezium: the states before and after.
fn event(
    topic: &Topic,
    id: i32,
    op: &str,
    before: Option<Vec<Value>>,
    after: Option<Vec<Value>>,
) -> SinkRecord {
    let row = Schema::structure(
        Some("s.t.Value"),
        vec![int("id"), optional("name", SchemaType::String)],
    )
    .optional(true);
    let source = Schema::structure(None, vec![optional("table", SchemaType::String)]);
    let fields = [
        field("before", row.clone()),
        field("after", row),
        field("source", source),
        field("op", Schema::of(SchemaType::String)),
        optional("ts_ms", SchemaType::Int64),
    ];
    let schema = Arc::new(Schema::structure(Some("s.t.Envelope"), fields.to_vec()));
    let state = |values: Option<Vec<Value>>| {
        values.map_or(Value::Null, |values| Value::Struct(values.into()))
    };
    let members = [
        state(before),
        state(after),
        Value::Struct([t("t")].into()),
        t(op),
        Value::I64(0),
    ];
    topic.record(
        id_key(id),
        Datum::new(schema, Value::Struct(members.into())),
    )
}
