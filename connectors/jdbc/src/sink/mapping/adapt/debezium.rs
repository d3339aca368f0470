//! Debezium's own types: times without a zone, and others that mean more than their number or text.
//! Names and units follow Debezium's documentation.

use std::sync::Arc;

use connector_api::{Decimal, Schema, SchemaType, Value};

use super::json_schema;
use crate::dialect::logical_type::{DATE, DATE_TIME, NUMBER, TIME};
use crate::sink::config::TimeRules;
use crate::sink::mapping::fit::{ValueMeaning, clock};
use crate::sink::mapping::time::{infinite_instant, parse_instant};

/// The meaning of a number or text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DebeziumType {
    /// Days since 1970-01-01.
    Day,
    /// A time of day, with that many units per second.
    OfDay(i64),
    /// A date and time without a zone since 1970-01-01, with that many units per second.
    Local(i64),
    /// An instant in ISO 8601.
    Zoned,
    /// A time of day in ISO 8601 with a zone.
    ZonedOfDay,
    /// A time of day in ISO 8601, whose zone is dropped.
    IsoOfDay,
    /// A date, or a date and time, in ISO 8601 with a zone, which is dropped.
    Iso,
    /// A decimal with its scale: a struct of both.
    Number,
    /// The text unchanged, in a column of another type.
    Same,
}

/// Milliseconds per second.
pub(crate) const MILLIS: i64 = 1_000;
/// Microseconds per second.
pub(crate) const MICROS: i64 = 1_000_000;
const NANOS: i64 = 1_000_000_000;

/// Returns what a schema's values represent, and the schema that they are converted to.
pub(crate) fn meaning(schema: &Schema) -> Option<(DebeziumType, Schema)> {
    let name = schema.name.as_deref()?.strip_prefix("io.debezium.")?;
    let (meaning, to) = match (name, schema.ty) {
        ("time.Date", SchemaType::Int32) => (DebeziumType::Day, DATE),
        ("time.Time", SchemaType::Int32) => (DebeziumType::OfDay(MILLIS), TIME),
        ("time.MicroTime", SchemaType::Int64) => (DebeziumType::OfDay(MICROS), TIME),
        ("time.NanoTime", SchemaType::Int64) => (DebeziumType::OfDay(NANOS), TIME),
        ("time.ZonedTime", SchemaType::String) => (DebeziumType::ZonedOfDay, TIME),
        ("time.Timestamp", SchemaType::Int64) => (DebeziumType::Local(MILLIS), DATE_TIME),
        ("time.MicroTimestamp", SchemaType::Int64) => (DebeziumType::Local(MICROS), DATE_TIME),
        ("time.NanoTimestamp", SchemaType::Int64) => (DebeziumType::Local(NANOS), DATE_TIME),
        ("time.IsoDate", SchemaType::String) => (DebeziumType::Iso, DATE),
        ("time.IsoTime", SchemaType::String) => (DebeziumType::IsoOfDay, TIME),
        ("time.IsoTimestamp", SchemaType::String) => (DebeziumType::Iso, DATE_TIME),
        ("time.ZonedTimestamp", SchemaType::String) => (DebeziumType::Zoned, DATE_TIME),
        ("data.Json", SchemaType::String) => {
            return Some((DebeziumType::Same, json_schema(nullable(schema))));
        }
        ("data.VariableScaleDecimal", SchemaType::Struct) => (DebeziumType::Number, NUMBER),
        _ => return None,
    };
    let text = Schema {
        name: Some(Arc::from(to)),
        ..Schema::of(SchemaType::String)
    };
    Some((meaning, text.optional(nullable(schema))))
}

/// Like [`meaning`], for the innermost items of lists.
pub(crate) fn items(list: &Schema) -> Option<(DebeziumType, Schema)> {
    let of = list
        .values
        .as_deref()
        .filter(|_| list.ty == SchemaType::Array)?;
    let (meaning, to) = meaning(of).or_else(|| items(of))?;
    Some((
        meaning,
        Schema {
            values: Some(Arc::new(to)),
            ..list.clone()
        },
    ))
}

/// Converts each item of a list to SQL's text, see [`text`].
pub(crate) fn texts(meaning: DebeziumType, list: &Value, time: &TimeRules) -> Option<Value> {
    match list {
        Value::Null => Some(Value::Null),
        Value::Array(items) => Some(Value::Array(
            items
                .iter()
                .map(|item| texts(meaning, item, time))
                .collect::<Option<Vec<_>>>()?
                .into(),
        )),
        item => text(meaning, item, time),
    }
}

/// Returns what the values of a schema represent, if they are points in time.
pub(crate) fn moment(schema: &Schema) -> Option<(DebeziumType, ValueMeaning)> {
    let (meaning, to) = meaning(schema)?;
    let what = match to.name.as_deref()? {
        DATE => ValueMeaning::Day,
        TIME => ValueMeaning::OfDay,
        DATE_TIME => ValueMeaning::Moment,
        _ => return None,
    };
    Some((meaning, what))
}

/// Converts units to microseconds.
pub(crate) fn micros(units: i64, per_second: i64) -> i64 {
    if per_second > MICROS {
        units.div_euclid(per_second / MICROS)
    } else {
        units.saturating_mul(MICROS / per_second)
    }
}

/// Returns the number that bits represent, the lowest byte first; `None` if it needs more than 63
/// bits.
pub(crate) fn number_of_bits(bits: &[u8]) -> Option<i64> {
    let (low, high) = bits.split_at_checked(8).unwrap_or((bits, &[]));
    let mut bytes = [0; 8];
    bytes.get_mut(..low.len())?.copy_from_slice(low);
    let is_short = high.iter().all(|byte| *byte == 0);
    i64::try_from(u64::from_le_bytes(bytes))
        .ok()
        .filter(|_| is_short)
}

/// Returns the units per second of a span of time.
pub(crate) fn span(schema: &Schema) -> Option<i64> {
    match (schema.name.as_deref()?, schema.ty) {
        ("io.debezium.time.MicroDuration", SchemaType::Int64) => Some(MICROS),
        ("io.debezium.time.NanoDuration", SchemaType::Int64) => Some(NANOS),
        _ => None,
    }
}

fn nullable(schema: &Schema) -> bool {
    schema.optional || schema.default.is_some()
}

/// Converts a value to SQL's text; `None` if it does not match its schema.
pub(crate) fn text(meaning: DebeziumType, value: &Value, time: &TimeRules) -> Option<Value> {
    let as_is = TimeRules {
        date_in_utc: true,
        zone: crate::zone::JdbcTimeZone::default(),
        julian: false,
        ..time.clone()
    };
    let text = match (meaning, value, value.as_i64()) {
        (DebeziumType::Day, _, Some(days)) => as_is.date(days),
        // MariaDB's times exceed a day, in both directions
        (DebeziumType::OfDay(per_second), _, Some(units)) => clock(micros(units, per_second)),
        (DebeziumType::Local(per_second), _, Some(units)) => {
            match (
                infinite_instant(units),
                units.checked_mul(MICROS / per_second.min(MICROS)),
            ) {
                (Some(word), _) => word.to_owned(),
                (None, Some(_)) => as_is.timestamp(micros(units, per_second), MICROS),
                // so far away that microseconds exceed 64 bits
                (None, None) => as_is.timestamp(units, per_second),
            }
        }
        (DebeziumType::Zoned, Value::Text(iso), _) => match parse_instant(iso, MICROS) {
            Some(instant) => time.timestamp(instant, MICROS),
            None => iso.to_string(),
        },
        (DebeziumType::Iso, Value::Text(iso), _) => {
            iso.trim_end_matches(['Z', 'z']).replace('T', " ")
        }
        (DebeziumType::ZonedOfDay, Value::Text(iso), _) => {
            match parse_instant(&format!("1970-01-01T{iso}"), MICROS) {
                Some(instant) => time.wall(instant, MICROS).split_off("1970-01-01 ".len()),
                None => iso.to_string(),
            }
        }
        (DebeziumType::IsoOfDay, Value::Text(iso), _) => {
            iso.split(['Z', '+', '-']).next()?.to_owned()
        }
        (DebeziumType::Number, Value::Struct(members), _) => match members.as_ref() {
            [scale, Value::Bytes(unscaled)] => {
                let number =
                    Decimal::from_be_bytes(unscaled, i32::try_from(scale.as_i64()?).ok()?)?;
                Some(number).filter(Decimal::has_usual_scale)?.to_string()
            }
            _ => return None,
        },
        (DebeziumType::Same, value, _) => return Some(value.clone()),
        _ => return None,
    };
    Some(Value::Text(text.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connector_api::{Config, Schema, SchemaType, Value};

    use super::{meaning, text};
    use crate::sink::config::SinkConfig;

    #[test]
    fn debeziums_numbers_are_dates_and_times() {
        let config = Config::from([
            ("connection.url", "jdbc:mariadb://h/d"),
            ("db.timezone", "Asia/Kolkata"),
        ]);
        let time = SinkConfig::read(&config).unwrap().time;
        for (name, ty, value, want) in [
            ("time.Date", SchemaType::Int32, Value::I32(1), "1970-01-02"),
            (
                "time.Time",
                SchemaType::Int32,
                Value::I32(1),
                "00:00:00.001000",
            ),
            (
                "time.MicroTime",
                SchemaType::Int64,
                Value::I64(3_600_000_001),
                "01:00:00.000001",
            ),
            (
                "time.Timestamp",
                SchemaType::Int64,
                Value::I64(1_700_000_000_123),
                "2023-11-14 22:13:20.123000",
            ),
            (
                "time.MicroTimestamp",
                SchemaType::Int64,
                Value::I64(-1),
                "1969-12-31 23:59:59.999999",
            ),
            (
                "time.NanoTimestamp",
                SchemaType::Int64,
                Value::I64(1_999),
                "1970-01-01 00:00:00.000001",
            ),
            // an instant, in the zone that date-times are written in
            (
                "time.ZonedTimestamp",
                SchemaType::String,
                Value::Text("2023-11-14T22:13:20Z".into()),
                "2023-11-15 03:43:20.000000",
            ),
            (
                "time.MicroTime",
                SchemaType::Int64,
                Value::I64(-90_000_000_000),
                "-25:00:00.000000",
            ),
            (
                "time.IsoDate",
                SchemaType::String,
                Value::Text("2024-02-29Z".into()),
                "2024-02-29",
            ),
            (
                "time.IsoTimestamp",
                SchemaType::String,
                Value::Text("2024-02-29T10:20:30Z".into()),
                "2024-02-29 10:20:30",
            ),
            (
                "time.ZonedTime",
                SchemaType::String,
                Value::Text("10:00:00.5Z".into()),
                "15:30:00.500000",
            ),
            (
                "time.ZonedTime",
                SchemaType::String,
                Value::Text("02:00:00+09:00".into()),
                "22:30:00.000000",
            ),
            (
                "time.IsoTime",
                SchemaType::String,
                Value::Text("10:00:00.5Z".into()),
                "10:00:00.5",
            ),
        ] {
            let schema = Schema {
                name: Some(Arc::from(format!("io.debezium.{name}"))),
                ..Schema::of(ty)
            };
            let (meaning, to) = meaning(&schema).unwrap();
            assert_eq!(
                text(meaning, &value, &time),
                Some(Value::Text(want.into())),
                "{name}"
            );
            assert_eq!(to.ty, SchemaType::String);
        }
        assert!(meaning(&Schema::of(SchemaType::Int64)).is_none());
    }
}
