//! Values in the text form of their types become the values that the binary form would be decoded
//! into: the text is converted to the bytes that `dialect::postgres::decode` takes.

use connector_api::{Error, Result, SchemaType, Value};

use super::message::LoggedCell;
use crate::calendar::{DAY, SECOND, gregorian_days};
use crate::dialect::postgres::decode;
use crate::dialect::read::{ReadColumn, TimestampDecoding, TimestampGranularity, ValueDecoding};
use crate::zone::JdbcTimeZone;

/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
const EPOCH_DAYS: i64 = 10_957;

/// Decodes a value that is not NULL; `data_type` is its type's name in the catalog.
/// Errors: as [`decode::value`].
pub(crate) fn value(column: &ReadColumn, data_type: &str, text: &[u8]) -> Result<Value> {
    let wire = match &column.read {
        ValueDecoding::Bytes if !column.bits => bytea(text),
        ValueDecoding::Bytes | ValueDecoding::BitInt => bits(text),
        ValueDecoding::Text if data_type == "inet" => Some(with_mask(text)),
        ValueDecoding::Text
        | ValueDecoding::Decimal
        | ValueDecoding::Scaled(_)
        | ValueDecoding::DecimalInt(_)
        | ValueDecoding::DecimalF64 => return decode::value(column, text),
        read => std::str::from_utf8(text)
            .ok()
            .and_then(|text| wire(read, data_type, text)),
    };
    match wire {
        Some(bytes) => decode::value(column, &bytes),
        None => Err(Error::record(format!(
            "column {} has a value whose text is not that of the type {data_type}",
            column.name
        ))),
    }
}

/// The binary form of a value.
fn wire(read: &ValueDecoding, data_type: &str, text: &str) -> Option<Vec<u8>> {
    match read {
        ValueDecoding::Bool => match text {
            "t" | "1" => Some(vec![1]),
            "f" | "0" => Some(vec![0]),
            _ => None,
        },
        ValueDecoding::Int(_) => Some(text.parse::<i64>().ok()?.to_be_bytes().to_vec()),
        ValueDecoding::F32 => Some(text.parse::<f32>().ok()?.to_be_bytes().to_vec()),
        ValueDecoding::F64 if data_type == "money" => money(text),
        ValueDecoding::F64 => Some(text.parse::<f64>().ok()?.to_be_bytes().to_vec()),
        ValueDecoding::Date(_) => {
            let days = match text {
                "infinity" => i32::MAX,
                "-infinity" => i32::MIN,
                _ => i32::try_from(date(text)? - EPOCH_DAYS).ok()?,
            };
            Some(days.to_be_bytes().to_vec())
        }
        ValueDecoding::Time(_) => Some(time_of_day(text)?.to_be_bytes().to_vec()),
        ValueDecoding::Timestamp(_) => {
            let micros = match text {
                "infinity" => i64::MAX,
                "-infinity" => i64::MIN,
                _ => timestamp(text)?,
            };
            Some(micros.to_be_bytes().to_vec())
        }
        _ => None,
    }
}

/// `2024-01-02`, with ` BC` for years before 1; in days since 1970.
fn date(text: &str) -> Option<i64> {
    let (text, is_bc) = match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let mut parts = text.splitn(3, '-');
    let year: i32 = parts.next()?.parse().ok()?;
    let year = if is_bc {
        1_i32.checked_sub(year)?
    } else {
        year
    };
    let (month, day) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day) && year.abs() < 10_000_000;
    is_date.then(|| gregorian_days(year, month, day))
}

/// `03:04:05.678901` in microseconds.
fn clock(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.splitn(3, ':');
    let mut two = || {
        let n = parts.next()?.parse::<i64>().ok()?;
        (0..=60).contains(&n).then_some(n)
    };
    let seconds = (two()? * 60 + two()?) * 60 + two()?;
    if fraction.len() > 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").parse().ok()?;
    Some(seconds * SECOND + micros)
}

/// A time, with an offset from UTC if it has one, as one in UTC.
fn time_of_day(text: &str) -> Option<i64> {
    let Some(at) = text.find(['+', '-']) else {
        return clock(text);
    };
    let (time, zone) = text.split_at_checked(at)?;
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let mut parts = zone.get(1..)?.splitn(3, ':');
    let mut two = || match parts.next() {
        None => Some(0),
        Some(text) => text.parse::<i64>().ok().filter(|n| (0..=60).contains(n)),
    };
    let offset = sign * ((two()? * 60 + two()?) * 60 + two()?) * SECOND;
    Some((clock(time)? - offset).rem_euclid(DAY))
}

/// `2024-01-02 03:04:05.6`, with `+00` if it is an instant; in microseconds since 2000.
fn timestamp(text: &str) -> Option<i64> {
    let (text, bc) = match text.strip_suffix(" BC") {
        Some(text) => (text, " BC"),
        None => (text, ""),
    };
    let (day, time) = text.split_once(' ')?;
    let time = time.strip_suffix("+00").unwrap_or(time);
    let days = date(&format!("{day}{bc}"))? - EPOCH_DAYS;
    days.checked_mul(DAY)?.checked_add(clock(time)?)
}

/// The amount in the notation of the server's locale: the last separator that is followed by one or
/// two digits is the decimal point.
fn money(text: &str) -> Option<Vec<u8>> {
    let is_negative = text.contains('-') || text.contains('(');
    let shown: Vec<char> = text
        .chars()
        .filter(|c| c.is_ascii_digit() || matches!(c, '.' | ','))
        .collect();
    let point = shown.iter().rposition(|c| !c.is_ascii_digit());
    let point = point.filter(|at| (1..=2).contains(&(shown.len() - at - 1)));
    let mut number = String::new();
    for (at, c) in shown.iter().enumerate() {
        if c.is_ascii_digit() {
            number.push(*c);
        } else if Some(at) == point {
            number.push('.');
        }
    }
    let amount: f64 = number.parse().ok()?;
    let amount = if is_negative { -amount } else { amount };
    Some(amount.to_be_bytes().to_vec())
}

/// `\x0aff`.
fn bytea(text: &[u8]) -> Option<Vec<u8>> {
    let hex = text.strip_prefix(b"\\x")?;
    let (pairs, []) = hex.as_chunks::<2>() else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok())
        .collect()
}

/// `0101`: the number of bits, then the bits from the left.
fn bits(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = u32::try_from(text.len()).ok()?.to_be_bytes().to_vec();
    for eight in text.chunks(8) {
        let mut byte = 0;
        for (at, bit) in eight.iter().enumerate() {
            match bit {
                b'1' => byte |= 0x80 >> at,
                b'0' => {}
                _ => return None,
            }
        }
        out.push(byte);
    }
    Some(out)
}

/// The cast to text shows the mask of a single host, too.
fn with_mask(text: &[u8]) -> Vec<u8> {
    let mut out = text.to_vec();
    if !text.contains(&b'/') {
        let mask: &[u8] = if text.contains(&b':') {
            b"/128"
        } else {
            b"/32"
        };
        out.extend(mask);
    }
    out
}

/// Decodes each value as every type.
pub(super) fn read_all(row: &[LoggedCell<'_>]) {
    let all = [
        ValueDecoding::Bool,
        ValueDecoding::Int(SchemaType::Int64),
        ValueDecoding::F32,
        ValueDecoding::F64,
        ValueDecoding::Text,
        ValueDecoding::Bytes,
        ValueDecoding::BitInt,
        ValueDecoding::Scaled(3),
        ValueDecoding::Date(crate::calendar::Calendar::Legacy),
        ValueDecoding::Time(JdbcTimeZone::default()),
        ValueDecoding::Timestamp(Box::new(TimestampDecoding {
            granularity: TimestampGranularity::Logical,
            calendar: crate::calendar::Calendar::Legacy,
            zone: JdbcTimeZone::default(),
            is_instant: true,
        })),
    ];
    let columns = all.map(|read| ReadColumn::new("c", true, read));
    for cell in row {
        let LoggedCell::Text(text) = cell else {
            continue;
        };
        for column in &columns {
            for data_type in ["", "money", "inet"] {
                drop(value(column, data_type, text));
            }
        }
    }
}
