//! Converts numbers, and texts of numbers, for their columns.

use std::borrow::Cow;

use connector_api::Decimal;

use crate::driver::SqlParam;

type NumberFit<'a> = Result<SqlParam<'a>, Cow<'static, str>>;

/// Why a number with a fraction is rejected.
pub(super) const FRACTION: &str = "it is not an integer of at most 64 bits, and the column stores integers only; a DECIMAL or \
     DOUBLE column keeps the fraction, the transform Cast removes it";

/// Returns the same number as an integer, if it has no fraction and is exact.
#[expect(
    clippy::cast_possible_truncation,
    reason = "up to 2^53 every whole number has its own float"
)]
pub(super) fn whole(n: f64) -> Option<i64> {
    (n.fract() == 0.0 && n.abs() <= 9_007_199_254_740_992.0).then_some(n as i64)
}

/// Parses a whole number.
pub(super) fn whole_of_text(text: &str) -> NumberFit<'static> {
    let digits = text.trim();
    if let Ok(n) = digits.parse() {
        return Ok(SqlParam::I64(n));
    }
    let number = Decimal::parse(digits).filter(Decimal::has_usual_scale);
    match number.and_then(|n| n.rescaled(0)) {
        // the server checks whether it fits the column
        Some(whole) => Ok(SqlParam::Text(whole.to_string().into())),
        None => Err("its text is not an integer, and the column stores integers only".into()),
    }
}

/// Checks that a text is a number.
pub(super) fn number_text(text: Cow<'_, str>, special: bool) -> NumberFit<'_> {
    let digits = text.trim();
    let is_special = || {
        let bare = digits.strip_prefix(['+', '-']).unwrap_or(digits);
        ["nan", "infinity", "inf"]
            .iter()
            .any(|name| bare.eq_ignore_ascii_case(name))
    };
    if Decimal::parse(digits).is_some() || special && is_special() {
        return Ok(SqlParam::Text(text));
    }
    Err("its text is not a number, and the column stores numbers only".into())
}

/// Checks a year. YEAR would read 1 to 99 as years of two digits.
pub(super) fn year(n: i64) -> NumberFit<'static> {
    match n {
        0 | 1901..=2155 => Ok(SqlParam::I64(n)),
        _ => {
            Err("its number is not a year from 1901 to 2155 (or 0), the values of type year".into())
        }
    }
}

/// Returns a number of at most `width` bits.
pub(super) fn bits(n: i64, width: u32, byte: bool) -> Result<i64, Cow<'static, str>> {
    let n = if byte && n < 0 { n & 0xff } else { n };
    if width >= 64 || n >= 0 && n >> width == 0 {
        return Ok(n);
    }
    Err(format!("its number needs more than the {width} bits of the column").into())
}

/// Like [`bits`], as text of zeros and ones.
pub(super) fn bit_text(n: i64, width: u32, byte: bool) -> NumberFit<'static> {
    let (n, width) = (bits(n, width, byte)?, width as usize);
    Ok(SqlParam::Text(format!("{n:0width$b}").into()))
}

/// Parses bits: one digit for each, or a truth value for a single bit.
pub(super) fn bits_of_text(text: &str, width: u32) -> Result<i64, Cow<'static, str>> {
    let shown = text.trim();
    let all = shown.len() == width as usize && shown.bytes().all(|b| matches!(b, b'0' | b'1'));
    match u64::from_str_radix(shown, 2) {
        Ok(bits) if all => Ok(bits.cast_signed()),
        _ if matches!(shown, "0" | "1") => Ok(i64::from(shown == "1")),
        _ if width == 1 && shown.eq_ignore_ascii_case("true") => Ok(1),
        _ if width == 1 && shown.eq_ignore_ascii_case("false") => Ok(0),
        _ => Err(format!(
            "its text does not consist of {width} zeros and ones, and type bit would store the \
             bytes of its characters; the transform Cast converts it to a number"
        )
        .into()),
    }
}

/// Parses a truth value.
pub(super) fn flag_of_text(text: &str) -> Result<bool, Cow<'static, str>> {
    let word = text.trim().to_ascii_lowercase();
    let is = |names: &[&str]| names.contains(&word.as_str());
    if is(&["true", "t", "yes", "y", "on", "1"]) {
        return Ok(true);
    }
    if is(&["false", "f", "no", "n", "off", "0"]) {
        return Ok(false);
    }
    Err("its text is not a boolean, and the column stores only true and false".into())
}

/// Returns a number as the text that inserting it leaves in a text column.
pub(super) fn key_text(param: SqlParam<'_>) -> SqlParam<'_> {
    let text = match param {
        SqlParam::Bool(flag) => i64::from(flag).to_string(),
        SqlParam::I64(n) => n.to_string(),
        SqlParam::U64(n) => n.to_string(),
        SqlParam::F32(n) => n.to_string(),
        SqlParam::F64(n) => n.to_string(),
        other => return other,
    };
    SqlParam::Text(text.into())
}

/// Formats microseconds as `[-]HH:MM:SS.ffffff`, with any number of hours.
pub(crate) fn clock(micros: i64) -> String {
    let (sign, micros) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    let seconds = micros / 1_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!(
        "{sign}{hours:02}:{minutes:02}:{:02}.{:06}",
        seconds % 60,
        micros % 1_000_000
    )
}

/// Parses a whole number of at most 64 bits.
pub(super) fn long_of_text(text: &str) -> NumberFit<'static> {
    match whole_of_text(text)? {
        SqlParam::Text(digits) => match digits.parse() {
            Ok(n) => Ok(SqlParam::I64(n)),
            Err(_) => Err(FRACTION.into()),
        },
        number => Ok(number),
    }
}

/// Checks the length of a number's text. Only a column of very few characters can be too short.
pub(super) fn short(param: SqlParam<'_>, most: usize) -> NumberFit<'_> {
    const LONGEST: usize = 32;
    let length = match &param {
        SqlParam::I64(n) => itoa::Buffer::new().format(*n).len(),
        SqlParam::U64(n) => itoa::Buffer::new().format(*n).len(),
        _ => LONGEST,
    };
    if length <= most || most >= LONGEST {
        return Ok(param);
    }
    Err(format!("it is longer than the {most} bytes that the column's type can store").into())
}

/// Returns bytes, the highest first, as text of zeros and ones: all bits, without zeros on the left
/// that are more than `most`; with `fill`, exactly that many.
pub(super) fn bits_of_bytes(param: SqlParam<'_>, most: Option<u32>, fill: bool) -> NumberFit<'_> {
    let SqlParam::Bytes(bytes) = param else {
        return Ok(param);
    };
    let mut text = String::with_capacity(bytes.len() * 8);
    for byte in bytes.iter() {
        for bit in (0..8).rev() {
            text.push(if byte >> bit & 1 == 1 { '1' } else { '0' });
        }
    }
    let Some(most) = most.and_then(|most| usize::try_from(most).ok()) else {
        return Ok(SqlParam::Text(text.into()));
    };
    if let Some(excess) = text.len().checked_sub(most) {
        if text[..excess].contains('1') {
            return Err(format!("its bytes have more than the {most} bits of the column").into());
        }
        text.drain(..excess);
    } else if fill {
        text.insert_str(0, &"0".repeat(most - text.len()));
    }
    Ok(SqlParam::Text(text.into()))
}
