//! Tests of reading stored values.

use connector_api::{Decimal, ErrorKind, SchemaType, Value};

use super::{StorageValue, cursor_micros, value};
use crate::calendar::{Calendar, parse_wall};
use crate::dialect::read::{ReadColumn, TimestampDecoding, TimestampGranularity, ValueDecoding};
use crate::zone::JdbcTimeZone;

fn text(text: &str) -> StorageValue<'_> {
    StorageValue::Text(text.as_bytes())
}

fn timestamp(zone: &str) -> ValueDecoding {
    let zone = JdbcTimeZone::named(zone).unwrap();
    let (granularity, calendar) = (TimestampGranularity::MicrosLong, Calendar::Legacy);
    ValueDecoding::Timestamp(Box::new(TimestampDecoding {
        granularity,
        calendar,
        zone,
        is_instant: false,
    }))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn stored_values_become_what_their_column_promises() {
    let decimal = |unscaled, scale| Value::Decimal(Box::new(Decimal::new(unscaled, scale)));
    let date = ValueDecoding::Date(Calendar::Legacy);
    let time = ValueDecoding::Time(JdbcTimeZone::default());
    for (read, stored, want) in [
        (
            ValueDecoding::Int(SchemaType::Int64),
            StorageValue::Integer(i64::MIN),
            Value::I64(i64::MIN),
        ),
        (
            ValueDecoding::Int(SchemaType::Int8),
            StorageValue::Integer(-128),
            Value::I8(-128),
        ),
        (
            ValueDecoding::Bool,
            StorageValue::Integer(1),
            Value::Bool(true),
        ),
        (ValueDecoding::Bool, text("False"), Value::Bool(false)),
        (
            ValueDecoding::F64,
            StorageValue::Integer(3),
            Value::F64(3.0),
        ),
        (
            ValueDecoding::Text,
            StorageValue::Real(1.0),
            Value::Text("1.0".into()),
        ),
        (ValueDecoding::Text, text("é\0"), Value::Text("é\0".into())),
        (ValueDecoding::Bytes, text("a"), Value::Bytes([b'a'].into())),
        (
            ValueDecoding::Scaled(2),
            StorageValue::Real(0.1 + 0.2),
            decimal(30, 2),
        ),
        (
            ValueDecoding::Scaled(2),
            StorageValue::Integer(-7),
            decimal(-700, 2),
        ),
        (
            ValueDecoding::Scaled(2),
            StorageValue::Real(1e15),
            decimal(100_000_000_000_000_000, 2),
        ),
        (
            ValueDecoding::Scaled(25),
            text("1.2345678901234567890123456"),
            decimal(12_345_678_901_234_567_890_123_456, 25),
        ),
        (
            ValueDecoding::DecimalInt(SchemaType::Int16),
            StorageValue::Real(7.0),
            Value::I16(7),
        ),
        (date.clone(), text("2024-02-29"), Value::I32(19_782)),
        (
            date.clone(),
            text("2024-02-29 00:00:00.000"),
            Value::I32(19_782),
        ),
        (
            date.clone(),
            StorageValue::Integer(1_709_164_800_000),
            Value::I32(19_782),
        ),
        (
            date.clone(),
            StorageValue::Real(2_460_369.5),
            Value::I32(19_782),
        ),
        (date, text("0001-01-01"), Value::I32(-719_164)),
        (time.clone(), text("23:59"), Value::I32(86_340_000)),
        (
            time.clone(),
            text("12:34:56.789999"),
            Value::I32(45_296_789),
        ),
        (time, StorageValue::Integer(1), Value::I32(1)),
        (
            timestamp("UTC"),
            text("2024-01-02 03:04:05.678901"),
            Value::I64(1_704_164_645_678_901),
        ),
        (
            timestamp("UTC"),
            text("2024-01-02T03:04Z"),
            Value::I64(1_704_164_640_000_000),
        ),
        (
            timestamp("UTC"),
            text("2024-01-02T05:34:00+02:30"),
            Value::I64(1_704_164_640_000_000),
        ),
        (
            timestamp("Asia/Tokyo"),
            text("2024-01-02"),
            Value::I64(1_704_121_200_000_000),
        ),
        (
            timestamp("Asia/Tokyo"),
            text("2024-01-02T00:00:00Z"),
            Value::I64(1_704_153_600_000_000),
        ),
        (
            timestamp("Asia/Tokyo"),
            StorageValue::Integer(-1),
            Value::I64(-1000),
        ),
        (
            timestamp("UTC"),
            StorageValue::Real(2_440_587.5),
            Value::I64(0),
        ),
    ] {
        assert_eq!(
            value(&ReadColumn::new("c", true, read.clone()), stored).unwrap(),
            want,
            "{read:?} {stored:?}"
        );
    }
}

#[test]
fn what_breaks_the_promise_is_refused() {
    for (read, stored) in [
        (
            ValueDecoding::Int(SchemaType::Int8),
            StorageValue::Integer(128),
        ),
        (
            ValueDecoding::Int(SchemaType::Int64),
            StorageValue::Real(1.5),
        ),
        (ValueDecoding::Int(SchemaType::Int64), text("1")),
        (ValueDecoding::Bool, StorageValue::Integer(2)),
        (ValueDecoding::F64, StorageValue::Integer(i64::MAX)),
        (ValueDecoding::Text, StorageValue::Blob(b"a")),
        (ValueDecoding::Text, StorageValue::Text(&[0xff])),
        (ValueDecoding::Bytes, StorageValue::Integer(1)),
        (ValueDecoding::Scaled(2), StorageValue::Real(1.234)),
        (ValueDecoding::Scaled(2), text("1,5")),
        (ValueDecoding::Scaled(2), StorageValue::Real(f64::INFINITY)),
        (
            ValueDecoding::Date(Calendar::Legacy),
            text("2024-01-01 00:00:01"),
        ),
        (ValueDecoding::Date(Calendar::Legacy), text("2024-02-30")),
        (ValueDecoding::Date(Calendar::Legacy), text("yesterday")),
        (
            ValueDecoding::Date(Calendar::Legacy),
            StorageValue::Integer(1),
        ),
        (
            ValueDecoding::Time(JdbcTimeZone::default()),
            text("24:00:00"),
        ),
        (
            ValueDecoding::Time(JdbcTimeZone::default()),
            StorageValue::Integer(-1),
        ),
        (timestamp("UTC"), text("2024-01-01 1:00:00")),
        (timestamp("UTC"), text("2024-01-01 01:00:00.5x")),
        (timestamp("UTC"), text("2024-01-01 01:00:00.")),
        (timestamp("UTC"), StorageValue::Real(-1.0)),
    ] {
        let error = value(&ReadColumn::new("c", true, read), stored).unwrap_err();
        assert!(
            error.kind() == ErrorKind::Record && error.message().contains("column c has"),
            "{error}"
        );
    }
    assert!(
        value(
            &ReadColumn::new("c", false, ValueDecoding::Text),
            StorageValue::Null
        )
        .is_err()
    );
}

#[test]
fn stamps_are_compared_by_their_microseconds() {
    let micros = |text: &str| parse_wall(text);
    for (stored, want) in [
        (
            text("2024-01-02 03:04:05.6789019"),
            micros("2024-01-02 03:04:05.678901"),
        ),
        (
            text("2024-01-02T03:04:05.678901Z"),
            micros("2024-01-02 03:04:05.678901"),
        ),
        (
            text("2024-01-02 03:04:05.6785+01:00"),
            micros("2024-01-02 02:04:05.679"),
        ),
        (StorageValue::Integer(1), Some(1000)),
        (text("soon"), None),
        (StorageValue::Null, None),
    ] {
        assert_eq!(cursor_micros(stored), want, "{stored:?}");
    }
}
