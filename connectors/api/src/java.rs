//! Java's text forms that other programs see in topics and error texts: numbers and class names.
//!
//! Floats are written with the fewest digits that read back as the same number, in the form of
//! `Double.toString` (Java 19 and later; older versions write some numbers longer).

#![expect(
    clippy::indexing_slicing,
    reason = "positions were counted in the same digits"
)]

use std::borrow::Cow;

use crate::{Decimal, Error, Field, Result, Schema, Value, calendar, logical};

/// Appends a double as `Double.toString` writes it: `1.5`, `1.0E7`, `4.9E-324`, `NaN`, `-Infinity`.
pub fn write_f64(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return out.extend_from_slice(special(value).as_bytes());
    }
    let mut buffer = ryu::Buffer::new();
    let shortest = buffer.format_finite(value);
    if value != 0.0 && value.abs() < 1e-300 {
        return write_float(&two_digits(shortest, value), out);
    }
    write_float(shortest, out);
}

/// Appends a float as `Float.toString` writes it.
pub fn write_f32(value: f32, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return out.extend_from_slice(special(f64::from(value)).as_bytes());
    }
    let mut buffer = ryu::Buffer::new();
    let shortest = buffer.format_finite(value);
    if value != 0.0 && value.abs() < 1e-36 {
        return write_float(&two_digits(shortest, f64::from(value)), out);
    }
    write_float(shortest, out);
}

fn special(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// Returns at least two digits, the nearest ones, as Java does: where one digit already identifies
/// a subnormal number (`5e-324`), the second is not simply a zero (`4.9E-324`).
fn two_digits(shortest: &str, value: f64) -> Cow<'_, str> {
    let digits = shortest
        .bytes()
        .take_while(|b| *b != b'e')
        .filter(u8::is_ascii_digit)
        .count();
    if digits == 1 {
        Cow::Owned(format!("{value:.1e}"))
    } else {
        Cow::Borrowed(shortest)
    }
}

/// Reshapes `-12.5`, `1e-7`, `1.25e30` into Java's form.
fn write_float(text: &str, out: &mut Vec<u8>) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let mantissa = match mantissa.strip_prefix('-') {
        Some(rest) => {
            out.push(b'-');
            rest
        }
        None => mantissa,
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mut digits = [0u8; 48];
    let mut len = 0;
    for byte in whole.bytes().chain(fraction.bytes()).take(digits.len()) {
        digits[len] = byte;
        len += 1;
    }
    let lead = digits[..len].iter().take_while(|b| **b == b'0').count();
    let tail = digits[lead..len]
        .iter()
        .rev()
        .take_while(|b| **b == b'0')
        .count();
    let digits = &digits[lead..len - tail];
    if digits.is_empty() {
        return out.extend_from_slice(b"0.0");
    }
    // The number is 0.DIGITS * 10^point.
    let point =
        i32::try_from(whole.len()).unwrap_or(0) - i32::try_from(lead).unwrap_or(0) + exponent;
    match point {
        -2..=0 => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + point.unsigned_abs() as usize, b'0');
            out.extend_from_slice(digits);
        }
        1..=7 => write_plain(digits, point.unsigned_abs() as usize, out),
        _ => {
            write_plain(digits, 1, out);
            out.push(b'E');
            out.extend_from_slice(itoa::Buffer::new().format(point - 1).as_bytes());
        }
    }
}

fn write_plain(digits: &[u8], point: usize, out: &mut Vec<u8>) {
    let cut = point.min(digits.len());
    out.extend_from_slice(&digits[..cut]);
    out.resize(out.len() + point - cut, b'0');
    out.push(b'.');
    out.extend_from_slice(if cut == digits.len() {
        b"0"
    } else {
        &digits[cut..]
    });
}

/// Appends a decimal as `BigDecimal.toString` writes it: `1.50`, `1E-7`, `1.23E+5`.
pub fn write_decimal(value: &Decimal, out: &mut Vec<u8>) {
    let text = match value.unscaled_i128() {
        Some(n) => itoa::Buffer::new().format(n).to_owned(),
        None => value.unscaled().to_string(),
    };
    let (sign, digits) = text
        .strip_prefix('-')
        .map_or(("", &*text), |rest| ("-", rest));
    out.extend_from_slice(sign.as_bytes());
    let scale = i64::from(value.scale());
    let count = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let adjusted = count - 1 - scale;
    let digits = digits.as_bytes();
    if scale == 0 {
        out.extend_from_slice(digits);
    } else if scale > 0 && adjusted >= -6 {
        match usize::try_from(count - scale) {
            Ok(whole) if whole > 0 => {
                out.extend_from_slice(&digits[..whole]);
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
            _ => {
                out.extend_from_slice(b"0.");
                out.resize(
                    out.len() + usize::try_from(scale - count).unwrap_or(0),
                    b'0',
                );
                out.extend_from_slice(digits);
            }
        }
    } else {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        if adjusted != 0 {
            out.extend_from_slice(if adjusted > 0 { b"E+" } else { b"E" });
            out.extend_from_slice(itoa::Buffer::new().format(adjusted).as_bytes());
        }
    }
}

/// Appends a value as Java's `toString` writes it: `[1, null]`, `{a=1}`, `Struct{a=1}`, dates in
/// UTC.
/// Errors: `Record` for bytes, which have no text form (Java writes an object address).
pub fn write_text(schema: Option<&Schema>, value: &Value, out: &mut String) -> Result<()> {
    let ascii = |out: &mut String, write: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::with_capacity(24);
        write(&mut bytes);
        out.extend(bytes.iter().map(|b| char::from(*b)));
    };
    let inner = schema.and_then(|schema| schema.values.as_deref());
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::I8(n) => out.push_str(itoa::Buffer::new().format(*n)),
        Value::I16(n) => out.push_str(itoa::Buffer::new().format(*n)),
        Value::I32(n) => match schema.and_then(|schema| schema.name.as_deref()) {
            Some(logical::DATE) => write_date(i64::from(*n) * calendar::DAY_MS, out),
            Some(logical::TIME) => write_date(i64::from(*n), out),
            _ => out.push_str(itoa::Buffer::new().format(*n)),
        },
        Value::I64(n) if schema.is_some_and(|schema| schema.is_named(logical::TIMESTAMP)) => {
            write_date(*n, out);
        }
        Value::I64(n) => out.push_str(itoa::Buffer::new().format(*n)),
        Value::F32(n) => ascii(out, &|bytes| write_f32(*n, bytes)),
        Value::F64(n) => ascii(out, &|bytes| write_f64(*n, bytes)),
        Value::Decimal(n) => ascii(out, &|bytes| write_decimal(n, bytes)),
        Value::Text(text) => out.push_str(text),
        Value::Bytes(_) => {
            return Err(Error::record(
                "bytes have no text form; use ByteArrayConverter for them",
            ));
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "[" } else { ", " });
                write_text(inner, item, out)?;
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Value::Map(entries) => {
            for (at, (key, value)) in entries.iter().enumerate() {
                out.push_str(if at == 0 { "{" } else { ", " });
                write_text(schema.and_then(|schema| schema.keys.as_deref()), key, out)?;
                out.push('=');
                write_text(inner, value, out)?;
            }
            out.push_str(if entries.is_empty() { "{}" } else { "}" });
        }
        Value::Struct(values) => {
            let fields = schema.map_or(&[][..], |schema| &schema.fields);
            write_struct(fields, values, out)?;
        }
    }
    Ok(())
}

/// Writes `Struct{a=1,b=2}`, without members that are null.
fn write_struct(fields: &[Field], values: &[Value], out: &mut String) -> Result<()> {
    let mut mark = "Struct{";
    for (field, value) in fields
        .iter()
        .zip(values)
        .filter(|(_, value)| !value.is_null())
    {
        out.push_str(mark);
        mark = ",";
        out.push_str(&field.name);
        out.push('=');
        write_text(Some(&field.schema), value, out)?;
    }
    out.push_str(if mark == "," { "}" } else { "Struct{}" });
    Ok(())
}

/// Writes `Thu Jan 01 00:00:00 UTC 1970`, as `java.util.Date.toString` does.
fn write_date(millis: i64, out: &mut String) {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let date = calendar::CivilTime::from_millis(millis);
    let named = |names: &[&'static str], at: i64| {
        usize::try_from(at)
            .ok()
            .and_then(|at| names.get(at).copied())
    };
    let year = if date.year > 0 {
        date.year
    } else {
        1 - date.year
    };
    out.push_str(&format!(
        "{} {} {:02} {:02}:{:02}:{:02} UTC {year}",
        named(&DAYS, date.weekday).unwrap_or_default(),
        named(&MONTHS, date.month - 1).unwrap_or_default(),
        date.day,
        date.hour(),
        date.minute(),
        date.second(),
    ));
}

/// Returns the ASCII form of a decimal digit in any script.
pub fn digit(c: char) -> Option<char> {
    /// The zero digits of all Unicode scripts (general category Nd) whose digits Java parses.
    const ZEROS: [u32; 37] = [
        0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
        0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
        0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0,
        0xff10,
    ];
    let code = u32::from(c);
    let zero = ZEROS.iter().rev().find(|zero| **zero <= code)?;
    char::from_digit(code - zero, 10)
}

/// Replaces decimal digits of any script by ASCII digits, as Java does when it parses numbers.
pub fn ascii_digits(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        Cow::Borrowed(text)
    } else {
        text.chars().map(|c| digit(c).unwrap_or(c)).collect()
    }
}

/// Parses text as `Double.parseDouble` does.
pub fn parse_double(text: &str) -> Option<f64> {
    special_float(text)
        .or_else(|| hexadecimal_float(text))
        .or_else(|| float_digits(text)?.parse().ok())
}

/// Parses text as `Float.parseFloat` does.
#[expect(
    clippy::cast_possible_truncation,
    reason = "NaN and the infinities stay what they are"
)]
pub fn parse_float(text: &str) -> Option<f32> {
    let other = special_float(text).or_else(|| hexadecimal_float(text));
    other
        .map(|n| n as f32)
        .or_else(|| float_digits(text)?.parse().ok())
}

/// Parses Java's hexadecimal floats: `0x`, hexadecimal digits with an optional point, `p` and a
/// power of two.
#[expect(
    clippy::cast_precision_loss,
    reason = "rounding to the nearest is meant"
)]
fn hexadecimal_float(text: &str) -> Option<f64> {
    let text = trimmed(text);
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let rest = rest
        .strip_prefix("0x")
        .or_else(|| rest.strip_prefix("0X"))?;
    let (mantissa, power) = rest.split_once(['p', 'P'])?;
    let power: i64 = power
        .strip_suffix(['f', 'F', 'd', 'D'])
        .unwrap_or(power)
        .parse()
        .ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // Bits beyond 128 matter only for rounding; one sticky bit represents them.
    let (mut number, mut beyond) = (0u128, 0i64);
    for digit in whole.chars().chain(fraction.chars()) {
        let digit = u128::from(digit.to_digit(16)?);
        if number >> 120 == 0 {
            number = number << 4 | digit;
        } else {
            number |= u128::from(digit != 0);
            beyond += 4;
        }
    }
    let power = power
        .saturating_add(beyond)
        .saturating_sub(4 * i64::try_from(fraction.len()).ok()?);
    let power = i32::try_from(power.clamp(-1500, 1500)).ok()?;
    let float = number as f64 * 2f64.powi(power / 2) * 2f64.powi(power - power / 2);
    Some(if negative { -float } else { float })
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

fn special_float(text: &str) -> Option<f64> {
    let text = trimmed(text);
    let (negative, name) = text
        .strip_prefix('-')
        .map_or((false, text.strip_prefix('+').unwrap_or(text)), |t| {
            (true, t)
        });
    let value = match name {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        _ => return None,
    };
    Some(if negative { -value } else { value })
}

/// Returns the digits of a float, without surrounding white space and the type suffix. `None` for
/// texts that only Rust accepts as numbers.
fn float_digits(text: &str) -> Option<&str> {
    let text = trimmed(text);
    let digits = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    digits
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
        .then_some(digits)
}

/// Returns the lowest 64 bits of a number's integer part, as Java's `longValue` of big numbers
/// does. `number` is an optional sign, digits with an optional point, and an optional exponent.
pub fn low_bits(number: &str) -> i64 {
    let (negative, digits) = number
        .strip_prefix('-')
        .map_or((false, number), |rest| (true, rest));
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let count = match exponent.parse::<i64>() {
        Ok(exponent) => i64::try_from(whole.len())
            .unwrap_or(i64::MAX)
            .saturating_add(exponent),
        Err(_) if exponent.starts_with('-') => 0,
        Err(_) => i64::MAX,
    };
    let count = usize::try_from(count).unwrap_or(0);
    let given = whole.len() + fraction.len();
    // 10^64 is a multiple of 2^64: further zeros change nothing.
    let zeros = count.saturating_sub(given).min(64);
    let digits = whole
        .bytes()
        .chain(fraction.bytes())
        .take(count)
        .chain(std::iter::repeat_n(b'0', zeros));
    let low = digits.fold(0u64, |n, byte| {
        n.wrapping_mul(10).wrapping_add(u64::from(byte & 0x0f))
    });
    let low = i64::from_ne_bytes(low.to_ne_bytes());
    if negative { low.wrapping_neg() } else { low }
}

/// Returns the name of the Java class of such a value in Connect's error texts.
pub fn class_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "java.lang.Boolean",
        Value::I8(_) => "java.lang.Byte",
        Value::I16(_) => "java.lang.Short",
        Value::I32(_) => "java.lang.Integer",
        Value::I64(_) => "java.lang.Long",
        Value::F32(_) => "java.lang.Float",
        Value::F64(_) => "java.lang.Double",
        Value::Decimal(_) => "java.math.BigDecimal",
        Value::Text(_) => "java.lang.String",
        Value::Bytes(_) => "[B",
        Value::Array(_) => "java.util.ArrayList",
        Value::Map(_) => "java.util.LinkedHashMap",
        Value::Struct(_) => "org.apache.kafka.connect.data.Struct",
    }
}

#[cfg(test)]
mod tests {
    use super::{write_decimal, write_f32, write_f64};
    use crate::Decimal;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_have_javas_shape() {
        for (value, want) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.001, "0.001"),
            (9.999e-4, "9.999E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1234.5678, "1234.5678"),
            (1e23, "1.0E23"),
            (5e-324, "4.9E-324"),
            (1e-322, "9.9E-323"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(text(|out| write_f64(value, out)), want);
        }
        for (value, want) in [
            (1.4e-45f32, "1.4E-45"),
            (3.4028235e38, "3.4028235E38"),
            (0.3, "0.3"),
            (100.0, "100.0"),
        ] {
            assert_eq!(text(|out| write_f32(value, out)), want);
        }
    }

    #[test]
    fn decimals_have_javas_shape() {
        for (unscaled, scale, want) in [
            (156, 2, "1.56"),
            (-1, 2, "-0.01"),
            (1, 6, "0.000001"),
            (1, 7, "1E-7"),
            (12, 8, "1.2E-7"),
            (0, 10, "0E-10"),
            (0, -3, "0E+3"),
            (123, -3, "1.23E+5"),
            (123_000, 3, "123.000"),
            (7, 0, "7"),
        ] {
            assert_eq!(
                text(|out| write_decimal(&Decimal::new(unscaled, scale), out)),
                want
            );
        }
    }
}
