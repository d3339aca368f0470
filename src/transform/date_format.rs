//! Formats and parses dates by a pattern of `java.text.SimpleDateFormat`: English names, zone UTC,
//! lenient parsing.
//!
//! Lenient: numbers may be out of range and carry over, and text after the end of the pattern is
//! ignored.

#![expect(
    clippy::indexing_slicing,
    reason = "the position was found in the same list"
)]

use crate::convert::calendar::{CivilTime, DAY_MS, epoch_day};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const LETTERS: &str = "GyMdkHmsSEDFwWahKzZYuXL";
/// Maximum length of a pattern, in characters; the width of a number is the number of its letters.
const MAX_PATTERN: usize = 250;
pub(crate) struct DateFormat {
    items: Vec<FormatItem>,
    /// First year of the century that two-digit years belong to.
    century_start: i64,
}

enum FormatItem {
    Text(String),
    Field(char, usize),
}

impl DateFormat {
    /// Compiles a pattern. Two-digit years are read as one of the 80 years before `now_ms` or the
    /// 20 years after.
    /// Errors: Java's text.
    pub(crate) fn compile(pattern: &str, now_ms: i64) -> Result<Self, String> {
        if pattern.chars().count() > MAX_PATTERN {
            return Err(format!(
                "a pattern has at most {MAX_PATTERN} characters (MAX_PATTERN)"
            ));
        }
        let mut items = Vec::new();
        let mut text = String::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    text.push('\'');
                }
                '\'' => loop {
                    match chars.next() {
                        Some('\'') if chars.peek() == Some(&'\'') => {
                            chars.next();
                            text.push('\'');
                        }
                        Some('\'') => break,
                        Some(c) => text.push(c),
                        None => return Err("Unterminated quote".to_owned()),
                    }
                },
                c if c.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while chars.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    if !LETTERS.contains(c) {
                        return Err(format!("Illegal pattern character '{c}'"));
                    }
                    if c == 'X' && count > 3 {
                        return Err(format!("invalid ISO 8601 format: length={count}"));
                    }
                    if !text.is_empty() {
                        items.push(FormatItem::Text(std::mem::take(&mut text)));
                    }
                    items.push(FormatItem::Field(c, count));
                }
                c => text.push(c),
            }
        }
        if !text.is_empty() {
            items.push(FormatItem::Text(text));
        }
        Ok(Self {
            items,
            century_start: CivilTime::from_millis(now_ms).year - 80,
        })
    }

    /// Formats a time given in milliseconds since 1970-01-01 UTC.
    pub(crate) fn format(&self, millis: i64) -> String {
        let moment = CivilTime::from_millis(millis);
        let mut out = String::new();
        for item in &self.items {
            match item {
                FormatItem::Text(text) => out.push_str(text),
                FormatItem::Field(letter, count) => out.push_str(&field(&moment, *letter, *count)),
            }
        }
        out
    }

    /// Parses a time into milliseconds since 1970-01-01 UTC; `None` if the text does not match.
    pub(crate) fn parse(&self, text: &str) -> Option<i64> {
        let mut parsed = ParsedDate::default();
        let mut rest = text;
        for (at, item) in self.items.iter().enumerate() {
            match item {
                FormatItem::Text(literal) => rest = rest.strip_prefix(literal.as_str())?,
                FormatItem::Field(letter, count) => {
                    rest = rest.trim_start_matches([' ', '\t']);
                    // A number directly followed by another field has exactly as many digits as its
                    // pattern letters.
                    let adjacent = matches!(self.items.get(at + 1), Some(FormatItem::Field(..)));
                    rest = parsed.read(
                        rest,
                        *letter,
                        *count,
                        adjacent.then_some(*count),
                        self.century_start,
                    )?;
                }
            }
        }
        parsed.millis()
    }
}

fn field(moment: &CivilTime, letter: char, count: usize) -> String {
    let number = |n: i64| format!("{n:0count$}");
    let name = |names: &[&'static str], at: i64, short: usize| {
        let name = usize::try_from(at)
            .ok()
            .and_then(|at| names.get(at).copied())
            .unwrap_or_default();
        (if count >= 4 {
            name
        } else {
            name.get(..short).unwrap_or(name)
        })
        .to_owned()
    };
    let year_of_era = |year: i64| if year > 0 { year } else { 1 - year };
    let year = |year: i64| {
        if count == 2 {
            format!("{:02}", year % 100)
        } else {
            number(year)
        }
    };
    let (week, week_year) = week_of_year(moment);
    let twelve = |hour: i64| if hour == 0 { 12 } else { hour };
    match letter {
        'G' => (if moment.year > 0 { "AD" } else { "BC" }).to_owned(),
        'y' => year(year_of_era(moment.year)),
        'Y' => year(week_year),
        'M' | 'L' if count >= 3 => name(&MONTHS, moment.month - 1, 3),
        'M' | 'L' => number(moment.month),
        'd' => number(moment.day),
        'D' => number(day_of_year(moment)),
        'F' => number((moment.day - 1) / 7 + 1),
        'w' => number(week),
        'W' => number((moment.day + 5 + (moment.weekday - moment.day + 1).rem_euclid(7) + 1) / 7),
        'u' => number((moment.weekday + 6) % 7 + 1),
        'E' => name(&DAYS, moment.weekday, 3),
        'a' => (if moment.hour() < 12 { "AM" } else { "PM" }).to_owned(),
        'H' => number(moment.hour()),
        'k' => number(if moment.hour() == 0 {
            24
        } else {
            moment.hour()
        }),
        'K' => number(moment.hour() % 12),
        'h' => number(twelve(moment.hour() % 12)),
        'm' => number(moment.minute()),
        's' => number(moment.second()),
        'S' => number(moment.milli()),
        'z' if count >= 4 => "Coordinated Universal Time".to_owned(),
        'z' => "UTC".to_owned(),
        'Z' => "+0000".to_owned(),
        _ => "Z".to_owned(),
    }
}

fn day_of_year(moment: &CivilTime) -> i64 {
    moment.epoch_day - epoch_day(moment.year, 1, 1).unwrap_or(moment.epoch_day) + 1
}

/// Returns the year and week as counted in the United States: weeks start on Sunday, and the first
/// one contains 1 January.
fn week_of_year(moment: &CivilTime) -> (i64, i64) {
    let day = day_of_year(moment);
    let next = epoch_day(moment.year + 1, 1, 1).unwrap_or(i64::MAX);
    if moment.epoch_day - moment.weekday + 7 > next {
        return (1, moment.year + 1);
    }
    let first = (moment.weekday - (day - 1)).rem_euclid(7);
    ((day - 1 + first) / 7 + 1, moment.year)
}

/// The fields parsed so far.
#[derive(Default)]
struct ParsedDate {
    bc: bool,
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    hour_of_half: Option<i64>,
    pm: bool,
    minute: i64,
    second: i64,
    milli: i64,
    offset_ms: i64,
}

impl ParsedDate {
    /// Parses one field; returns the rest of the text.
    fn read<'a>(
        &mut self,
        text: &'a str,
        letter: char,
        count: usize,
        width: Option<usize>,
        century_start: i64,
    ) -> Option<&'a str> {
        match letter {
            'G' => {
                let (at, rest) = named(text, &["BC", "AD"], 2)?;
                self.bc = at == 0;
                return Some(rest);
            }
            'M' | 'L' if count >= 3 => {
                let (at, rest) = named(text, &MONTHS, 3)?;
                self.month = i64::try_from(at + 1).ok();
                return Some(rest);
            }
            'E' => return named(text, &DAYS, 3).map(|(_, rest)| rest),
            'a' => {
                let (at, rest) = named(text, &["AM", "PM"], 2)?;
                self.pm = at == 1;
                return Some(rest);
            }
            'z' | 'Z' | 'X' => {
                let (offset_ms, rest) = zone(text, letter)?;
                self.offset_ms = offset_ms;
                return Some(rest);
            }
            _ => {}
        }
        let (n, rest) = number(text, width)?;
        match letter {
            'y' | 'Y' => {
                let digits = text.len() - rest.len();
                let two = count <= 2 && digits == 2 && n >= 0;
                self.year = Some(if two { in_century(n, century_start) } else { n });
            }
            'M' | 'L' => self.month = Some(n),
            'd' => self.day = Some(n),
            'D' => self.day_of_year = Some(n),
            'H' => self.hour = n,
            'k' => self.hour = if n == 24 { 0 } else { n },
            'K' => self.hour_of_half = Some(n),
            'h' => self.hour_of_half = Some(if n == 12 { 0 } else { n }),
            'm' => self.minute = n,
            's' => self.second = n,
            'S' => self.milli = n,
            _ => {}
        }
        Some(rest)
    }

    fn millis(&self) -> Option<i64> {
        let year = self
            .year
            .map_or(1970, |year| if self.bc { 1 - year } else { year });
        let day = match self.day_of_year {
            Some(day) if self.month.is_none() && self.day.is_none() => epoch_day(year, 1, day)?,
            _ => epoch_day(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let half = if self.pm { 12 } else { 0 };
        let hour = self.hour_of_half.map_or(self.hour, |hour| hour + half);
        let clock = hour * 3_600_000 + self.minute * 60_000 + self.second * 1000 + self.milli;
        day.checked_mul(DAY_MS)?
            .checked_add(clock)?
            .checked_sub(self.offset_ms)
    }
}

/// Returns the first year from `start` on that ends with these two digits.
fn in_century(two: i64, start: i64) -> i64 {
    let year = start / 100 * 100 + two;
    if year < start { year + 100 } else { year }
}

/// Parses a number of at most ten digits, with an optional minus sign; exactly `width` characters
/// if given.
fn number(text: &str, width: Option<usize>) -> Option<(i64, &str)> {
    let within = match width {
        Some(width) => text.get(..width)?,
        None => text,
    };
    let digits_from = usize::from(within.starts_with('-'));
    let digits = within
        .bytes()
        .skip(digits_from)
        .take_while(u8::is_ascii_digit)
        .count();
    let end = digits_from + digits;
    let n: i64 = within
        .get(..end)?
        .parse()
        .ok()
        .filter(|n: &i64| n.unsigned_abs() <= 9_999_999_999)?;
    Some((n, &text[end..]))
}

/// Parses the longest matching name, in full or abbreviated to its first letters, in any letter
/// case.
fn named<'a>(text: &'a str, names: &[&str], short: usize) -> Option<(usize, &'a str)> {
    let fits = |name: &str| {
        text.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    let whole = names
        .iter()
        .position(|name| fits(name))
        .map(|at| (at, names[at].len()));
    let found = whole.or_else(|| {
        names
            .iter()
            .position(|name| fits(&name[..short]))
            .map(|at| (at, short))
    });
    found.map(|(at, length)| (at, &text[length..]))
}

/// Parses a time zone into its offset in milliseconds: `Z` (for X), `UTC`, `GMT`, `GMT+1:00`,
/// `+0100`, `+01:00`, `+01` (for X), and the American names of RFC 822.
fn zone(text: &str, letter: char) -> Option<(i64, &str)> {
    if letter == 'X' && text.starts_with('Z') {
        return Some((0, &text[1..]));
    }
    const AMERICAN: [(&str, i64); 8] = [
        ("EST", -5),
        ("EDT", -4),
        ("CST", -6),
        ("CDT", -5),
        ("MST", -7),
        ("MDT", -6),
        ("PST", -8),
        ("PDT", -7),
    ];
    let american = AMERICAN
        .iter()
        .find(|(name, _)| letter != 'X' && text.starts_with(name));
    if let Some((name, hours)) = american {
        return Some((hours * 3_600_000, &text[name.len()..]));
    }
    let after_name = ["Coordinated Universal Time", "UTC", "GMT", "Z"]
        .iter()
        .find(|name| {
            letter != 'X'
                && text
                    .get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name))
        })
        .map(|name| &text[name.len()..]);
    let named = after_name.is_some();
    let text = after_name.unwrap_or(text);
    let sign = match text.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return named.then_some((0, text)),
    };
    let digits = |text: &str, most: usize| {
        text.bytes()
            .take(most)
            .take_while(u8::is_ascii_digit)
            .count()
    };
    let rest = &text[1..];
    let hour_digits = digits(rest, 2);
    let hours: i64 = rest.get(..hour_digits)?.parse().ok()?;
    let rest = &rest[hour_digits..];
    let minutes_text = rest.strip_prefix(':').unwrap_or(rest);
    match digits(minutes_text, 2) {
        2 => {
            let minutes: i64 = minutes_text[..2].parse().ok()?;
            Some((sign * (hours * 60 + minutes) * 60_000, &minutes_text[2..]))
        }
        _ if letter == 'X' => Some((sign * hours * 3_600_000, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::DateFormat;

    #[test]
    fn what_is_written_reads_back() {
        for pattern in [
            "yyyy-MM-dd HH:mm:ss.SSS",
            "G yyyyMMdd hhmmssSSS a",
            "d MMMM yyyy 'at' H:mm:ss.SSSXXX",
            "yyyy D HH:mm:ss.SSS Z",
        ] {
            let format = DateFormat::compile(pattern, 1_700_000_000_000).unwrap();
            for millis in [
                0,
                -1,
                1_700_000_000_123,
                951_782_400_000,
                -12_219_292_800_001,
                253_402_300_799_999,
            ] {
                assert_eq!(
                    format.parse(&format.format(millis)),
                    Some(millis),
                    "{pattern} {millis}"
                );
            }
        }
    }

    #[test]
    fn two_digits_are_a_year_near_now() {
        let format = DateFormat::compile("yy", 1_700_000_000_000).unwrap();
        let year = |text: &str| format.format(format.parse(text).unwrap());
        let long = DateFormat::compile("yyyy", 0).unwrap();
        assert_eq!(year("23"), "23");
        assert_eq!(long.format(format.parse("43").unwrap()), "1943");
        assert_eq!(long.format(format.parse("42").unwrap()), "2042");
    }

    #[test]
    fn strange_text_does_not_panic() {
        for pattern in ["GyMdkHmsSEDFwWahKzZYuXL", "y", "MMM", "z", "X", "''"] {
            let format = DateFormat::compile(pattern, 0).unwrap();
            for text in [
                "",
                "-",
                "ä",
                "99999999999999999999",
                "-9999999999",
                "+",
                "GMT+",
                "GMT+9",
                "Zä",
                "J",
                "Mäy",
            ] {
                let _ = format.parse(text);
            }
        }
        for millis in [i64::MIN, i64::MAX] {
            DateFormat::compile("G y M d w W D F E", 0)
                .unwrap()
                .format(millis);
        }
    }
}
