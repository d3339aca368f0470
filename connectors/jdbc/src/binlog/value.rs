//! The bytes of a value in the log as those of the client protocol, from which the dialect makes
//! values: what is polled and what is captured go through the same code.

use std::borrow::Cow;

use super::BinlogError;
use super::charset::Charset;
use super::compressed;
use super::reader::{big_endian, little_endian};
use super::table_map::{LoggedColumn, code};
use super::text;
use crate::catalog::ColumnMeta;
use crate::dialect::mysql::decode::WireFormat;

/// How the bytes of a column are turned into those of the client protocol.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ColumnReader {
    Int {
        unsigned: bool,
    },
    F32,
    F64,
    Year,
    Date,
    DateTime {
        precision: usize,
    },
    Timestamp {
        precision: usize,
    },
    Time {
        precision: usize,
    },
    Decimal {
        precision: usize,
        scale: usize,
    },
    Text(Charset),
    Bytes,
    /// BINARY(n), whose zero bytes at the end are not logged.
    Binary(usize),
    Uuid,
    Inet6,
    Inet4,
    Enum(Vec<Box<str>>),
    Set(Vec<Box<str>>),
    /// A COMPRESSED column: of that reader.
    Compressed(Box<Self>),
}

/// Most bytes of a decompressed value.
const MAX_VALUE: usize = 64 << 20;

/// Bytes of the digits that are left of nine.
const DIGITS: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

impl ColumnReader {
    /// Returns how a logged column is read that the catalog describes so; `None` if the two are not
    /// the same column.
    /// Errors: for a character set whose texts cannot be converted.
    pub(crate) fn of(logged: LoggedColumn, meta: &ColumnMeta) -> Result<Option<Self>, BinlogError> {
        let precision = usize::from(logged.meta);
        let is = |names: &[&str]| names.contains(&meta.data_type.as_str());
        let fraction = usize::try_from(meta.fraction.unwrap_or(0)).unwrap_or(0);
        let unsigned = meta.column_type.contains("unsigned");
        Ok(Some(match logged.code {
            code::TINY if is(&["tinyint", "boolean"]) => Self::Int { unsigned },
            code::SHORT if is(&["smallint"]) => Self::Int { unsigned },
            code::INT24 if is(&["mediumint"]) => Self::Int { unsigned },
            code::LONG if is(&["int", "integer"]) => Self::Int { unsigned },
            code::LONGLONG if is(&["bigint"]) => Self::Int { unsigned },
            code::FLOAT if is(&["float"]) => Self::F32,
            code::DOUBLE if is(&["double", "real"]) => Self::F64,
            code::YEAR if is(&["year"]) => Self::Year,
            code::DATE | code::NEWDATE if is(&["date"]) => Self::Date,
            code::DATETIME2 if is(&["datetime"]) && precision == fraction => {
                Self::DateTime { precision }
            }
            code::TIMESTAMP2 if is(&["timestamp"]) && precision == fraction => {
                Self::Timestamp { precision }
            }
            code::TIME2 if is(&["time"]) && precision == fraction => Self::Time { precision },
            code::NEWDECIMAL if is(&["decimal", "numeric"]) => {
                let (digits, scale) = (logged.meta >> 8, logged.meta & 0xff);
                let same = meta.precision == Some(i32::from(digits))
                    && meta.scale == Some(i32::from(scale));
                if !same {
                    return Ok(None);
                }
                Self::Decimal {
                    precision: usize::from(digits),
                    scale: usize::from(scale),
                }
            }
            code::BIT if is(&["bit"]) => Self::Bytes,
            code::ENUM if is(&["enum"]) => Self::Enum(text::members(&meta.column_type)),
            code::SET if is(&["set"]) => Self::Set(text::members(&meta.column_type)),
            code::VARCHAR | code::VAR_STRING if is(&["varchar", "varbinary"]) => text_of(meta)?,
            code::STRING if is(&["uuid"]) => Self::Uuid,
            code::STRING if is(&["inet6"]) => Self::Inet6,
            code::STRING if is(&["inet4"]) => Self::Inet4,
            code::STRING if is(&["binary"]) => Self::Binary(precision),
            code::STRING if is(&["char"]) => text_of(meta)?,
            code::BLOB if meta.data_type.ends_with("text") || meta.data_type.ends_with("blob") => {
                text_of(meta)?
            }
            code::GEOMETRY if meta.charset.is_none() && !is(&["char", "varchar"]) => Self::Bytes,
            code::BLOB_COMPRESSED | code::VARCHAR_COMPRESSED => {
                Self::Compressed(Box::new(text_of(meta)?))
            }
            _ => return Ok(None),
        }))
    }

    /// Returns the bytes of a value as the client protocol has them. `scratch` may hold them.
    /// Errors: for bytes that are no such value, or a text not of its character set.
    pub(crate) fn wire<'a>(
        &self,
        bytes: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<(WireFormat, &'a [u8]), BinlogError> {
        scratch.clear();
        Ok(match self {
            Self::Int { unsigned } => integer(*unsigned, bytes, scratch),
            Self::F32 => (WireFormat::F32, bytes),
            Self::F64 => (WireFormat::F64, bytes),
            Self::Year => {
                scratch.extend_from_slice(&year(bytes).to_le_bytes());
                (WireFormat::UnsignedInt, scratch)
            }
            Self::Date => {
                let packed = little_endian(bytes);
                put_date(scratch, packed >> 9, packed >> 5 & 15, packed & 31);
                (WireFormat::Date, scratch)
            }
            Self::DateTime { precision } => {
                date_time(bytes, *precision, scratch)?;
                (WireFormat::DateTime, scratch)
            }
            Self::Timestamp { precision } => {
                timestamp(bytes, *precision, scratch)?;
                (WireFormat::DateTime, scratch)
            }
            Self::Time { precision } => {
                time(bytes, *precision, scratch)?;
                (WireFormat::Time, scratch)
            }
            Self::Decimal { precision, scale } => {
                decimal(bytes, *precision, *scale, scratch)?;
                (WireFormat::Bytes, scratch)
            }
            Self::Text(Charset::Utf8) | Self::Bytes => (WireFormat::Bytes, bytes),
            Self::Text(charset) => (WireFormat::Bytes, utf8(*charset, bytes, scratch)?),
            Self::Binary(len) if bytes.len() >= *len => (WireFormat::Bytes, bytes),
            Self::Binary(len) => {
                scratch.extend_from_slice(bytes);
                scratch.resize(*len, 0);
                (WireFormat::Bytes, scratch)
            }
            Self::Uuid | Self::Inet6 | Self::Inet4 => {
                *scratch = self.address(bytes).into_bytes();
                (WireFormat::Bytes, scratch)
            }
            Self::Enum(members) => {
                scratch.extend_from_slice(member(members, bytes)?.as_bytes());
                (WireFormat::Bytes, scratch)
            }
            Self::Set(members) => {
                set(members, little_endian(bytes), scratch)?;
                (WireFormat::Bytes, scratch)
            }
            Self::Compressed(inner) => {
                let plain = compressed::column(bytes, MAX_VALUE)?;
                let mut converted = Vec::new();
                scratch.extend_from_slice(inner.wire(&plain, &mut converted)?.1);
                (WireFormat::Bytes, scratch)
            }
        })
    }

    /// Returns the text of a UUID or an address, whose zero bytes at the end are not logged.
    fn address(&self, bytes: &[u8]) -> String {
        let mut full = [0; 16];
        for (to, from) in full.iter_mut().zip(bytes) {
            *to = *from;
        }
        match self {
            Self::Uuid => text::uuid(&full),
            Self::Inet6 => text::inet6(&full),
            _ => {
                let [a, b, c, d, ..] = full;
                format!("{a}.{b}.{c}.{d}")
            }
        }
    }
}

/// Converts a text. `scratch` may hold it.
fn utf8<'a>(
    charset: Charset,
    bytes: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], BinlogError> {
    let text = charset
        .decode(bytes)
        .ok_or_else(|| BinlogError("a text is not of its character set".into()))?;
    Ok(match text {
        Cow::Borrowed(text) => text.as_bytes(),
        Cow::Owned(text) => {
            *scratch = text.into_bytes();
            scratch
        }
    })
}

/// Returns the member of an ENUM: the first is 1, and 0 is the empty text of a value that was
/// invalid.
fn member<'a>(members: &'a [Box<str>], bytes: &[u8]) -> Result<&'a str, BinlogError> {
    let index = usize::try_from(little_endian(bytes)).unwrap_or(usize::MAX);
    match index.checked_sub(1) {
        None => Ok(""),
        Some(at) => members
            .get(at)
            .map(|name| &**name)
            .ok_or_else(unknown_member),
    }
}

fn unknown_member() -> BinlogError {
    BinlogError("a value is not a member of its column's ENUM or SET".into())
}

/// Returns how texts and binary strings are read.
fn text_of(meta: &ColumnMeta) -> Result<ColumnReader, BinlogError> {
    match meta.charset.as_deref() {
        None | Some("binary") => Ok(ColumnReader::Bytes),
        Some(name) => Charset::named(name).map(ColumnReader::Text).ok_or_else(|| {
            BinlogError(format!(
                "column {} has character set {name}, whose texts cannot be converted",
                meta.name
            ))
        }),
    }
}

fn integer<'a>(
    unsigned: bool,
    bytes: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> (WireFormat, &'a [u8]) {
    let format = if unsigned {
        WireFormat::UnsignedInt
    } else {
        WireFormat::Int
    };
    if bytes.len() != 3 {
        return (format, bytes);
    }
    scratch.extend_from_slice(bytes);
    let negative = !unsigned && bytes.last().is_some_and(|high| *high >= 0x80);
    scratch.push(if negative { 0xff } else { 0 });
    (format, scratch)
}

fn set(members: &[Box<str>], bits: u64, out: &mut Vec<u8>) -> Result<(), BinlogError> {
    if members.len() < 64 && bits >> members.len() != 0 {
        return Err(unknown_member());
    }
    let chosen = members
        .iter()
        .enumerate()
        .filter(|(n, _)| bits >> n & 1 == 1);
    for (n, (_, member)) in chosen.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(member.as_bytes());
    }
    Ok(())
}

/// Returns a YEAR: the year 0 has its own number.
fn year(bytes: &[u8]) -> u16 {
    match bytes.first() {
        None | Some(0) => 0,
        Some(year) => 1900 + u16::from(*year),
    }
}

/// Low byte of a number that has no more.
fn byte(n: u64) -> u8 {
    n.to_le_bytes()[0]
}

fn put_date(out: &mut Vec<u8>, year: u64, month: u64, day: u64) {
    out.push(4);
    out.extend_from_slice(&[byte(year), byte(year >> 8), byte(month), byte(day)]);
}

/// Appends a time of day with its microseconds to a date.
fn put_clock(out: &mut Vec<u8>, (hour, minute, second): (u64, u64, u64), micros: u64) {
    if let Some(len) = out.first_mut() {
        *len = 11;
    }
    out.extend_from_slice(&[byte(hour), byte(minute), byte(second)]);
    out.extend(micros.to_le_bytes().into_iter().take(4));
}

/// Splits the whole part from the fraction, which becomes microseconds.
fn fraction(bytes: &[u8], whole: usize, precision: usize) -> Result<(u64, u64), BinlogError> {
    let (head, tail) = bytes
        .split_at_checked(whole)
        .ok_or_else(|| BinlogError::cut("a date-time"))?;
    let scale = match precision.div_ceil(2) {
        0 => 0,
        1 => 10_000,
        2 => 100,
        _ => 1,
    };
    Ok((big_endian(head), big_endian(tail) * scale))
}

fn date_time(bytes: &[u8], precision: usize, out: &mut Vec<u8>) -> Result<(), BinlogError> {
    let (packed, micros) = fraction(bytes, 5, precision)?;
    let packed = packed.wrapping_sub(0x80_0000_0000);
    let (date, clock) = (packed >> 17, packed & 0x1_ffff);
    let (year_month, day) = (date >> 5, date & 31);
    put_date(out, year_month / 13, year_month % 13, day);
    put_clock(out, (clock >> 12, clock >> 6 & 63, clock & 63), micros);
    Ok(())
}

fn timestamp(bytes: &[u8], precision: usize, out: &mut Vec<u8>) -> Result<(), BinlogError> {
    let (seconds, micros) = fraction(bytes, 4, precision)?;
    if seconds == 0 && micros == 0 {
        out.push(0);
        return Ok(());
    }
    let (year, month, day) = civil(seconds / 86_400);
    put_date(out, year, month, day);
    let clock = seconds % 86_400;
    put_clock(out, (clock / 3600, clock / 60 % 60, clock % 60), micros);
    Ok(())
}

/// Returns year, month and day of a number of days since 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    // counted from 0000-03-01, so that a leap day ends its year; eras have 400 years
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

fn time(bytes: &[u8], precision: usize, out: &mut Vec<u8>) -> Result<(), BinlogError> {
    let width = bytes.len();
    let fraction_bytes = precision.div_ceil(2);
    if width != 3 + fraction_bytes {
        return Err(BinlogError::cut("a time"));
    }
    // one number of whole seconds and fraction, moved up by half of its range
    let bits = 8 * fraction_bytes;
    let all = big_endian(bytes);
    let zero = 0x80_0000 << bits;
    let (negative, span) = if all >= zero {
        (false, all - zero)
    } else {
        (true, zero - all)
    };
    let part = span & ((1 << bits) - 1);
    let micros = match fraction_bytes {
        1 => part * 10_000,
        2 => part * 100,
        _ => part,
    };
    let clock = span >> bits;
    let (hours, minute, second) = (clock >> 12 & 0x3ff, clock >> 6 & 63, clock & 63);
    out.extend_from_slice(&[12, u8::from(negative)]);
    out.extend((hours / 24).to_le_bytes().into_iter().take(4));
    out.extend_from_slice(&[byte(hours % 24), byte(minute), byte(second)]);
    out.extend(micros.to_le_bytes().into_iter().take(4));
    Ok(())
}

/// Returns the bytes of a DECIMAL of that metadata.
pub(super) fn decimal_size(meta: u16) -> usize {
    let (precision, scale) = (usize::from(meta >> 8), usize::from(meta & 0xff));
    let of = |digits: usize| digits / 9 * 4 + DIGITS.get(digits % 9).copied().unwrap_or(0);
    of(precision.saturating_sub(scale)) + of(scale)
}

/// Writes a packed DECIMAL as text: groups of nine digits, the highest bit inverted, a negative one
/// complemented.
fn decimal(
    bytes: &[u8],
    precision: usize,
    scale: usize,
    out: &mut Vec<u8>,
) -> Result<(), BinlogError> {
    let whole = precision.saturating_sub(scale);
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 == 0);
    let mut plain = bytes.to_vec();
    if let Some(first) = plain.first_mut() {
        *first ^= 0x80;
    }
    if negative {
        plain.iter_mut().for_each(|byte| *byte = !*byte);
        out.push(b'-');
    }
    let mut rest = plain.as_slice();
    let mut group = |digits: usize, out: &mut Vec<u8>| {
        let size = DIGITS.get(digits).copied().unwrap_or(0);
        let (head, tail) = rest
            .split_at_checked(size)
            .ok_or_else(|| BinlogError::cut("a decimal"))?;
        rest = tail;
        let text = format!("{:0digits$}", big_endian(head));
        if text.len() > digits {
            return Err(BinlogError("a decimal has too many digits".into()));
        }
        out.extend_from_slice(text.as_bytes());
        Ok(())
    };
    let start = out.len();
    if !whole.is_multiple_of(9) {
        group(whole % 9, out)?;
    }
    for _ in 0..whole / 9 {
        group(9, out)?;
    }
    let zeros = out
        .iter()
        .skip(start)
        .take_while(|digit| **digit == b'0')
        .count();
    out.drain(start..start + zeros);
    if out.len() == start {
        out.push(b'0');
    }
    if scale > 0 {
        out.push(b'.');
        for _ in 0..scale / 9 {
            group(9, out)?;
        }
        if !scale.is_multiple_of(9) {
            group(scale % 9, out)?;
        }
    }
    Ok(())
}

/// Reads a value as far as the log alone shows its type.
pub(super) fn any(column: LoggedColumn, bytes: &[u8]) -> Result<(), BinlogError> {
    let precision = usize::from(column.meta);
    let reader = match column.code {
        code::TINY | code::SHORT | code::INT24 | code::LONG | code::LONGLONG => {
            ColumnReader::Int { unsigned: false }
        }
        code::YEAR => ColumnReader::Year,
        code::DATE | code::NEWDATE => ColumnReader::Date,
        code::DATETIME2 => ColumnReader::DateTime { precision },
        code::TIMESTAMP2 => ColumnReader::Timestamp { precision },
        code::TIME2 => ColumnReader::Time { precision },
        code::NEWDECIMAL => ColumnReader::Decimal {
            precision: usize::from(column.meta >> 8),
            scale: usize::from(column.meta & 0xff),
        },
        code::BLOB_COMPRESSED | code::VARCHAR_COMPRESSED => {
            ColumnReader::Compressed(Box::new(ColumnReader::Bytes))
        }
        _ => ColumnReader::Bytes,
    };
    reader.wire(bytes, &mut Vec::new()).map(drop)
}
