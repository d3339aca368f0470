//! Checks and converts texts for columns of dates, times and choices. Servers read many forms, some
//! of them ambiguous: digits without separators, years of two digits, offsets that are silently
//! dropped. Here a date begins with its year of four digits. Other texts are rejected, except
//! words, which the server judges.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same text"
)]

use std::borrow::Cow;

use super::duration::IsoDuration;
use super::number::clock;
use crate::driver::SqlParam;
use crate::sink::config::TimeRules;
use crate::sink::mapping::time::parse_instant;

type TextFit<'a> = Result<SqlParam<'a>, Cow<'static, str>>;

const MICROS: i64 = 1_000_000;

pub(super) const NO_DATE: &str = "its text is not a date that begins with a year of four digits (2024-02-29), and digits alone \
     are ambiguous; timestamp.fields.list accepts digits that count time since 1970, and the \
     transform TimestampConverter accepts any format";
const NO_TIME: &str = "its text is not a time of day (10:20:30 or 10:20:30+02:00), and digits alone and dates are ambiguous; \
     the transform TimestampConverter accepts any format";

const NO_SPAN: &str = "its text is an ISO 8601 duration (P1DT2H) that the column cannot hold: without years and months, \
     whose lengths differ, a time column without time zone takes it as hours; an interval or text \
     column takes any (Debezium's interval.handling.mode=numeric sends microseconds)";

/// Splits `2024-02-29 10:20:30` and returns the date (0) or the time (1).
pub(super) fn part(text: Cow<'_, str>, n: usize) -> Cow<'_, str> {
    match (text.find(' '), text) {
        (Some(at), Cow::Borrowed(text)) => {
            Cow::Borrowed(if n == 0 { &text[..at] } else { &text[at + 1..] })
        }
        (Some(at), Cow::Owned(mut text)) => {
            if n == 0 {
                text.truncate(at);
            } else {
                drop(text.drain(..=at));
            }
            Cow::Owned(text)
        }
        (None, text) => text,
    }
}

pub(super) const INFINITE_TIME: &str = "its date is infinity, which only date and timestamp columns of PostgreSQL can store; the \
     transform Filter drops such records, and the transform Cast or a column of text keeps the value";

const NO_OFFSET: &str = "its text has an unknown offset or zone, which the column's type would ignore; ISO 8601 has \
     the form Z or +09:00, and the transform TimestampConverter accepts any format";

fn borrowed<'a>(text: Cow<'a, str>, range: std::ops::Range<usize>) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[range]),
        Cow::Owned(text) => Cow::Owned(text[range].to_owned()),
    }
}

/// The form of a date's text.
enum DateTextForm {
    /// `2024-02-29…`, with the end of the date.
    Dated(usize),
    /// Digits only, with their number.
    Digits(usize),
    /// A word, such as PostgreSQL's `infinity`.
    Word,
    Unclear,
}

/// Digits of the last year that a database knows.
const MOST_YEAR_DIGITS: usize = 7;

/// True if a text is a word instead of a date.
pub(super) fn is_word(text: &str) -> bool {
    matches!(form(text.trim()), DateTextForm::Word)
}

fn form(text: &str) -> DateTextForm {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &text.as_bytes()[digits..];
    if digits > 0 && rest.is_empty() {
        return DateTextForm::Digits(digits);
    }
    if (4..=MOST_YEAR_DIGITS).contains(&digits)
        && matches!(rest.first(), Some(b'-' | b'/' | b'.'))
        && rest.get(1).is_some_and(u8::is_ascii_digit)
    {
        let date = |b: &&u8| b.is_ascii_digit() || matches!(b, b'-' | b'/' | b'.');
        let length = rest.iter().take_while(date).count();
        // one point would make it a number
        if rest[..length]
            .iter()
            .filter(|b| !b.is_ascii_digit())
            .count()
            > 1
            || rest[0] != b'.'
        {
            return DateTextForm::Dated(digits + length);
        }
        return DateTextForm::Unclear;
    }
    let bare = text.trim_start_matches(['+', '-']);
    // `J2451187` is a day of the Julian period
    let is_numbered = bare.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    // words that mean a different time whenever they are read
    let moving = ["now", "today", "tomorrow", "yesterday"]
        .iter()
        .any(|word| bare.eq_ignore_ascii_case(word));
    if bare.starts_with(|c: char| c.is_ascii_alphabetic()) && !moving && !is_numbered {
        DateTextForm::Word
    } else {
        DateTextForm::Unclear
    }
}

/// Inserts separators into `20240229…`.
fn separated(digits: &str) -> String {
    let date = format!("{}-{}-{}", &digits[..4], &digits[4..6], &digits[6..8]);
    match digits.get(8..14) {
        Some(time) => format!("{date} {}:{}:{}", &time[..2], &time[2..4], &time[4..]),
        None => date,
    }
}

/// Checks a date; of a date and time returns the date as written.
pub(super) fn date(text: Cow<'_, str>) -> TextFit<'_> {
    let shown = text.trim();
    match form(shown) {
        DateTextForm::Digits(8) => Ok(SqlParam::Text(separated(shown).into())),
        DateTextForm::Dated(end) => {
            let time = &shown.as_bytes()[end..];
            // `2024-02-29T10:…`, `2024-02-29Z`, but not `0044-03-15 BC`
            let is_time = matches!(time, [b'T' | b't' | b' ', next, ..] if next.is_ascii_digit())
                || matches!(time, [b'Z' | b'z' | b'+', ..]);
            let start = text.len() - text.trim_start().len();
            Ok(SqlParam::Text(if is_time {
                borrowed(text, start..start + end)
            } else {
                text
            }))
        }
        DateTextForm::Word => Ok(SqlParam::Text(text)),
        DateTextForm::Digits(_) | DateTextForm::Unclear => Err(NO_DATE.into()),
    }
}

/// Checks a date and time; converts one with an offset to the zone of `db.timezone`, unless the
/// column reads the offset itself.
pub(super) fn moment<'a>(text: Cow<'a, str>, zoned: bool, time: &TimeRules) -> TextFit<'a> {
    let shown = text.trim();
    let end = match form(shown) {
        DateTextForm::Digits(8 | 14) => return Ok(SqlParam::Text(separated(shown).into())),
        DateTextForm::Dated(end) => end,
        DateTextForm::Word => return Ok(SqlParam::Text(text)),
        DateTextForm::Digits(_) | DateTextForm::Unclear => return Err(NO_DATE.into()),
    };
    let (of_day, offset) = split_offset(&shown[end..]);
    let offset = match offset {
        _ if zoned => return Ok(SqlParam::Text(text)),
        "" | "AM" | "PM" | "BC" | "AD" | "am" | "pm" => return Ok(SqlParam::Text(text)),
        "Z" | "z" | "UTC" | "GMT" => Some("Z".to_owned()),
        offset => hours_and_minutes(offset),
    };
    let of_day = if of_day.is_empty() {
        "00:00:00"
    } else {
        of_day
    };
    let iso = |offset| format!("{}T{of_day}{offset}", shown[..end].replace(['/', '.'], "-"));
    match offset.and_then(|offset| parse_instant(&iso(offset), MICROS)) {
        Some(units) => Ok(SqlParam::Text(time.wall(units, MICROS).into())),
        None => Err(NO_OFFSET.into()),
    }
}

/// Splits the text after a date into the time of day and what follows it.
fn split_offset(behind: &str) -> (&str, &str) {
    let rest = behind.trim_start_matches(['T', 't', ' ']);
    let of_day = |c: char| c.is_ascii_digit() || matches!(c, ':' | '.' | ',' | ' ');
    let (of_day, offset) = rest.split_at(rest.find(|c| !of_day(c)).unwrap_or(rest.len()));
    (of_day.trim_end(), offset.trim())
}

/// Returns `+09`, `+0900` and `+09:00` in the last form.
fn hours_and_minutes(offset: &str) -> Option<String> {
    let (sign, digits) = offset
        .split_at_checked(1)
        .filter(|(sign, _)| matches!(*sign, "+" | "-"))?;
    let digits: String = digits.chars().filter(|c| *c != ':').collect();
    let known = matches!(digits.len(), 2 | 4) && digits.bytes().all(|b| b.is_ascii_digit());
    known.then(|| {
        format!(
            "{sign}{}:{}",
            &digits[..2],
            digits.get(2..4).filter(|m| !m.is_empty()).unwrap_or("00")
        )
    })
}

/// Checks a time of day. If the column keeps no zone, a time with an offset is converted to the zone
/// of `db.timezone` as of 1970-01-01, as for Debezium's types; `Z` alone is dropped.
pub(super) fn time<'a>(text: Cow<'a, str>, zoned: bool, rules: &TimeRules) -> TextFit<'a> {
    let shown = text.trim();
    if let Some(duration) = IsoDuration::parse(shown) {
        return match duration.micros() {
            Some(micros) if !zoned => Ok(SqlParam::Text(clock(micros).into())),
            _ => Err(NO_SPAN.into()),
        };
    }
    match form(shown) {
        DateTextForm::Digits(6) => {
            let time = format!("{}:{}:{}", &shown[..2], &shown[2..4], &shown[4..]);
            return Ok(SqlParam::Text(time.into()));
        }
        DateTextForm::Digits(_) | DateTextForm::Dated(_) | DateTextForm::Word => {
            return Err(NO_TIME.into());
        }
        DateTextForm::Unclear if !shown.contains(':') => return Err(NO_TIME.into()),
        DateTextForm::Unclear if zoned => return Ok(SqlParam::Text(text)),
        DateTextForm::Unclear => {}
    }
    let bare = shown.trim_end_matches(['Z', 'z']);
    // a sign at the beginning belongs to the time
    let sign = bare
        .char_indices()
        .skip(1)
        .find(|(_, c)| matches!(c, '+' | '-'));
    if let Some((at, _)) = sign {
        let (of_day, offset) = bare.split_at(at);
        let iso = hours_and_minutes(offset)
            .map(|offset| format!("1970-01-01T{}{offset}", of_day.trim_end()));
        return match iso.and_then(|iso| parse_instant(&iso, MICROS)) {
            Some(units) => Ok(SqlParam::Text(part(rules.wall(units, MICROS).into(), 1))),
            None => Err(NO_TIME.into()),
        };
    }
    // a server would drop the name of a zone
    let word = bare.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
    if !["", "AM", "PM"]
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known))
    {
        return Err(NO_TIME.into());
    }
    let (start, end) = (text.len() - text.trim_start().len(), bare.len());
    Ok(SqlParam::Text(borrowed(text, start..start + end)))
}

/// Checks a year of four digits.
pub(super) fn year(text: Cow<'_, str>) -> TextFit<'_> {
    let shown = text.trim();
    if shown.len() == 4 && shown.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(SqlParam::Text(text));
    }
    Err(
        "its text is not a year of four digits, and type year interprets two digits as another year".into())
}

/// Returns the year of a date that is its first day.
pub(super) fn year_of_day(text: Cow<'_, str>) -> TextFit<'_> {
    match text.strip_suffix("-01-01") {
        Some(year) => Ok(SqlParam::Text(year.to_owned().into())),
        None => {
            Err("its date is not the first day of a year, and type year stores a year only".into())
        }
    }
}

/// Checks an interval; a plain number would be read as seconds.
pub(super) fn interval(text: Cow<'_, str>) -> TextFit<'_> {
    if text
        .trim()
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'+' | b'-'))
    {
        return Err(
            "its text is a number without a unit, which type interval would interpret as seconds"
                .into(),
        );
    }
    Ok(SqlParam::Text(text))
}

/// Checks that a text is a member of an ENUM or SET. The server rejects other texts unless they are
/// numbers, which it reads as an index.
pub(super) fn choice<'a>(members: &[String], text: Cow<'a, str>) -> TextFit<'a> {
    let digits = text.trim().trim_start_matches(['+', '-']);
    let is_index = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if is_index && !members.iter().any(|member| *member == *text) {
        return Err(
            "its number is not one of the texts that the column's type lists, and the database \
             would use it as an index into the list"
                .into(),
        );
    }
    Ok(SqlParam::Text(text))
}

/// Returns a UUID in the form that databases show. They also read capitals, braces, and other or no
/// hyphens.
pub(super) fn uuid(text: Cow<'_, str>) -> TextFit<'_> {
    let at_hyphen = |n: usize| matches!(n, 8 | 13 | 18 | 23);
    let usual = |(n, b): (usize, u8)| match b {
        b'-' => at_hyphen(n),
        _ => !at_hyphen(n) && matches!(b, b'0'..=b'9' | b'a'..=b'f'),
    };
    if text.len() == 36 && text.bytes().enumerate().all(usual) {
        return Ok(SqlParam::Text(text));
    }
    let shown = text.trim();
    let bare = shown
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .unwrap_or(shown);
    let mut out = String::with_capacity(36);
    for digit in bare.chars().filter(|c| *c != '-') {
        if !digit.is_ascii_hexdigit() || out.len() == 36 {
            return Err(NO_UUID.into());
        }
        if at_hyphen(out.len()) {
            out.push('-');
        }
        out.push(digit.to_ascii_lowercase());
    }
    if out.len() < 36 {
        return Err(NO_UUID.into());
    }
    Ok(SqlParam::Text(out.into()))
}

const NO_UUID: &str = "its text is not a UUID: 32 hexadecimal digits, usually with hyphens \
     (6b29fc40-ca47-1067-b31d-00dd010662da)";

/// Most digits that SQLite's numbers return unchanged.
const DIGITS: usize = 15;

/// Checks that SQLite stores a text unchanged in a column of a type that it does not know: it is no
/// number, or is written as SQLite shows that number.
pub(super) fn kept(text: Cow<'_, str>) -> TextFit<'_> {
    let shown = text.trim();
    // SQLite reads "1.", ".5" and "1e5" as numbers, too
    let is_number = shown.parse::<f64>().is_ok() && shown.bytes().any(|b| b.is_ascii_digit());
    let digits = text.strip_prefix('-').unwrap_or(&text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_fraction = whole.parse::<u64>().is_ok_and(|n| n.to_string() == whole)
        && fraction.bytes().all(|b| b.is_ascii_digit())
        && !fraction.is_empty()
        && !fraction.ends_with('0')
        && whole.len() + fraction.len() <= DIGITS
        // SQLite shows it with an exponent
        && !(whole == "0" && fraction.starts_with("0000"));
    let is_whole = text.parse::<i64>().is_ok_and(|n| n.to_string() == *text);
    if !is_number || is_whole || is_fraction {
        return Ok(SqlParam::Text(text));
    }
    Err(
        "its text is a number that SQLite would write in another form (such as 007 or 1.50), and a \
         column of a type that SQLite does not know would store only the number; declare it TEXT"
        .into())
}
