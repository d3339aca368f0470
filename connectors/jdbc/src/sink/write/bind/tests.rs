//! Tests of binding values.

use std::sync::Arc;

use connector_api::{
    Config, Datum, Decimal, Record, Schema, SchemaType, SinkRecord, TopicOffset, Value,
};

use super::{ColumnBinder, SqlParam};
use crate::dialect::writing;
use crate::sink::config::SinkConfig;
use crate::sink::config::columns::{RecordColumn, ValueSlot};
use crate::url::DatabaseKind;

fn record(value: Value) -> SinkRecord {
    let topic: Arc<str> = Arc::from("t");
    SinkRecord {
        record: Record {
            topic: Arc::clone(&topic),
            partition: Some(3),
            key: Datum::NONE,
            value: Datum {
                schema: None,
                value: Value::Struct([value].into()),
            },
            timestamp_ms: None,
            headers: Vec::new(),
        },
        at: TopicOffset {
            topic,
            partition: 3,
            offset: 42,
        },
    }
}

#[test]
fn every_type_becomes_its_parameter() {
    let config = Config::from([
        ("connection.url", "jdbc:mysql://h/d"),
        ("timestamp.fields.list", "at"),
        ("timestamp.precision.mode", "nanoseconds"),
    ]);
    let config = SinkConfig::read(&config).unwrap();
    let time = Arc::new(config.time.clone());
    let mysql = writing::of(DatabaseKind::MySql, "10.11-MariaDB");
    let text = |t: &'static str| SqlParam::Text(t.into());
    let decimal = Value::Decimal(Box::new(Decimal::parse("-12.50").unwrap()));
    let with_default = Schema {
        default: Some(Value::I32(7)),
        ..Schema::of(SchemaType::Int32).optional(true)
    };
    for (name, schema, value, want) in [
        (
            "a",
            Schema::of(SchemaType::Int8),
            Value::I8(-1),
            SqlParam::I64(-1),
        ),
        (
            "a",
            Schema::of(SchemaType::Float32),
            Value::F32(0.5),
            SqlParam::F32(0.5),
        ),
        (
            "a",
            Schema::of(SchemaType::Boolean),
            Value::Bool(true),
            SqlParam::Bool(true),
        ),
        (
            "a",
            Schema::of(SchemaType::String),
            Value::Text("x".into()),
            text("x"),
        ),
        ("a", Schema::decimal(2), decimal, text("-12.50")),
        ("a", Schema::date(), Value::I32(0), text("1970-01-01")),
        ("a", Schema::time(), Value::I32(1), text("00:00:00.001")),
        (
            "a",
            Schema::timestamp(),
            Value::I64(1),
            text("1970-01-01 00:00:00.001"),
        ),
        (
            "at",
            Schema::of(SchemaType::Int64),
            Value::I64(1_000_000_001),
            text("1970-01-01 00:00:01.000000001"),
        ),
        (
            "at",
            Schema::of(SchemaType::String),
            Value::Text("1000000001".into()),
            text("1970-01-01 00:00:01.000000001"),
        ),
        (
            "at",
            Schema::of(SchemaType::String),
            Value::Text("1970-01-01T00:00:01Z".into()),
            text("1970-01-01 00:00:01.000000000"),
        ),
        ("a", with_default, Value::Null, SqlParam::I64(7)),
        (
            "a",
            Schema::timestamp().optional(true),
            Value::Null,
            SqlParam::Null,
        ),
    ] {
        let column = RecordColumn {
            name: Arc::from(name),
            field: Arc::from(name),
            schema: Arc::new(schema),
            key: false,
            slot: ValueSlot::ValueField(0),
        };
        let binder = ColumnBinder::new(&config, &time, mysql, &column, None);
        let record = record(value);
        assert_eq!(binder.param(&record).unwrap(), want);
    }
    let nested = RecordColumn {
        name: Arc::from("n"),
        field: Arc::from("n"),
        schema: Arc::new(Schema::of(SchemaType::Struct)),
        key: false,
        slot: ValueSlot::ValueField(0),
    };
    let record = record(Value::Struct([].into()));
    let error = ColumnBinder::new(&config, &time, mysql, &nested, None)
        .param(&record)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("column n: Unsupported source data type: STRUCT\nnested.mode=json"),
        "{error}"
    );
}
