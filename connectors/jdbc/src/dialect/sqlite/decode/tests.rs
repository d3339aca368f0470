//! Tests of reading stored values.

use connector_api::{Decimal, Kind, Type, Value};

use super::{Stored, cursor_micros, value};
use crate::calendar::{Calendar, parse_wall};
use crate::dialect::read::{Granularity, Read, ReadColumn, Stamp};
use crate::zone::Zone;

fn text(text: &str) -> Stored<'_> {
    Stored::Text(text.as_bytes())
}

fn stamp(zone: &str) -> Read {
    let zone = Zone::named(zone).unwrap();
    let (granularity, calendar) = (Granularity::MicrosLong, Calendar::Legacy);
    Read::Stamp(Box::new(Stamp { granularity, calendar, zone, is_instant: false }))
}

#[test]
fn stored_values_become_what_their_column_promises() {
    let decimal = |unscaled, scale| Value::Decimal(Box::new(Decimal::new(unscaled, scale)));
    let date = Read::Date(Calendar::Legacy);
    let time = Read::Time(Zone::default());
    for (read, stored, want) in [
        (Read::Int(Type::Int64), Stored::Integer(i64::MIN), Value::I64(i64::MIN)),
        (Read::Int(Type::Int8), Stored::Integer(-128), Value::I8(-128)),
        (Read::Bool, Stored::Integer(1), Value::Bool(true)),
        (Read::Bool, text("False"), Value::Bool(false)),
        (Read::F64, Stored::Integer(3), Value::F64(3.0)),
        (Read::Text, Stored::Real(1.0), Value::Text("1.0".into())),
        (Read::Text, text("é\0"), Value::Text("é\0".into())),
        (Read::Bytes, text("a"), Value::Bytes([b'a'].into())),
        (Read::Scaled(2), Stored::Real(0.1 + 0.2), decimal(30, 2)),
        (Read::Scaled(2), Stored::Integer(-7), decimal(-700, 2)),
        (Read::Scaled(2), Stored::Real(1e15), decimal(100_000_000_000_000_000, 2)),
        (Read::Scaled(25), text("1.2345678901234567890123456"), decimal(12_345_678_901_234_567_890_123_456, 25)),
        (Read::DecimalInt(Type::Int16), Stored::Real(7.0), Value::I16(7)),
        (date.clone(), text("2024-02-29"), Value::I32(19_782)),
        (date.clone(), text("2024-02-29 00:00:00.000"), Value::I32(19_782)),
        (date.clone(), Stored::Integer(1_709_164_800_000), Value::I32(19_782)),
        (date.clone(), Stored::Real(2_460_369.5), Value::I32(19_782)),
        (date, text("0001-01-01"), Value::I32(-719_164)),
        (time.clone(), text("23:59"), Value::I32(86_340_000)),
        (time.clone(), text("12:34:56.789999"), Value::I32(45_296_789)),
        (time, Stored::Integer(1), Value::I32(1)),
        (stamp("UTC"), text("2024-01-02 03:04:05.678901"), Value::I64(1_704_164_645_678_901)),
        (stamp("UTC"), text("2024-01-02T03:04Z"), Value::I64(1_704_164_640_000_000)),
        (stamp("UTC"), text("2024-01-02T05:34:00+02:30"), Value::I64(1_704_164_640_000_000)),
        (stamp("Asia/Tokyo"), text("2024-01-02"), Value::I64(1_704_121_200_000_000)),
        (stamp("Asia/Tokyo"), text("2024-01-02T00:00:00Z"), Value::I64(1_704_153_600_000_000)),
        (stamp("Asia/Tokyo"), Stored::Integer(-1), Value::I64(-1000)),
        (stamp("UTC"), Stored::Real(2_440_587.5), Value::I64(0)),
    ] {
        assert_eq!(value(&ReadColumn::new("c", true, read.clone()), stored).unwrap(), want, "{read:?} {stored:?}");
    }
}

#[test]
fn what_breaks_the_promise_is_refused() {
    for (read, stored) in [
        (Read::Int(Type::Int8), Stored::Integer(128)),
        (Read::Int(Type::Int64), Stored::Real(1.5)),
        (Read::Int(Type::Int64), text("1")),
        (Read::Bool, Stored::Integer(2)),
        (Read::F64, Stored::Integer(i64::MAX)),
        (Read::Text, Stored::Blob(b"a")),
        (Read::Text, Stored::Text(&[0xff])),
        (Read::Bytes, Stored::Integer(1)),
        (Read::Scaled(2), Stored::Real(1.234)),
        (Read::Scaled(2), text("1,5")),
        (Read::Scaled(2), Stored::Real(f64::INFINITY)),
        (Read::Date(Calendar::Legacy), text("2024-01-01 00:00:01")),
        (Read::Date(Calendar::Legacy), text("2024-02-30")),
        (Read::Date(Calendar::Legacy), text("yesterday")),
        (Read::Date(Calendar::Legacy), Stored::Integer(1)),
        (Read::Time(Zone::default()), text("24:00:00")),
        (Read::Time(Zone::default()), Stored::Integer(-1)),
        (stamp("UTC"), text("2024-01-01 1:00:00")),
        (stamp("UTC"), text("2024-01-01 01:00:00.5x")),
        (stamp("UTC"), text("2024-01-01 01:00:00.")),
        (stamp("UTC"), Stored::Real(-1.0)),
    ] {
        let error = value(&ReadColumn::new("c", true, read), stored).unwrap_err();
        assert!(error.kind() == Kind::Record && error.message().contains("column c holds"), "{error}");
    }
    assert!(value(&ReadColumn::new("c", false, Read::Text), Stored::Null).is_err());
}

#[test]
fn stamps_are_compared_by_their_microseconds() {
    let micros = |text: &str| parse_wall(text);
    for (stored, want) in [
        (text("2024-01-02 03:04:05.6789019"), micros("2024-01-02 03:04:05.678901")),
        (text("2024-01-02T03:04:05.678901Z"), micros("2024-01-02 03:04:05.678901")),
        (text("2024-01-02 03:04:05.6785+01:00"), micros("2024-01-02 02:04:05.679")),
        (Stored::Integer(1), Some(1000)),
        (text("soon"), None),
        (Stored::Null, None),
    ] {
        assert_eq!(cursor_micros(stored), want, "{stored:?}");
    }
}
