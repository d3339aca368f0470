//! Parses ISO 8601's durations, as Debezium writes intervals: `P1Y2M3DT4H5M6.78S`. Pure.

/// A span of time in ISO 8601's form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IsoDuration {
    /// True if it has years or months, whose lengths differ.
    by_calendar: bool,
    /// The length of the rest; `None` if it exceeds 64 bits of microseconds.
    micros: Option<i64>,
}

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

impl IsoDuration {
    /// Parses a duration; `None` if the text is none. Each number may have a sign, as in Debezium's
    /// and PostgreSQL's texts, and seconds may have a fraction.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (sign, rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let rest = rest.strip_prefix(['P', 'p'])?;
        let (date, time) = match rest.split_once(['T', 't']) {
            Some((date, time)) if !time.is_empty() => (date, time),
            Some(_) => return None,
            None => (rest, ""),
        };
        if date.is_empty() && time.is_empty() {
            return None;
        }
        let mut duration = Self {
            by_calendar: false,
            micros: Some(0),
        };
        duration.add(
            date,
            sign,
            &[
                ('Y', None),
                ('M', None),
                ('W', Some(7 * DAY)),
                ('D', Some(DAY)),
            ],
        )?;
        duration.add(
            time,
            sign,
            &[
                ('H', Some(3600 * SECOND)),
                ('M', Some(60 * SECOND)),
                ('S', Some(SECOND)),
            ],
        )?;
        Some(duration)
    }

    /// Returns its length in microseconds; `None` if it is not known, or exceeds 64 bits.
    pub(super) fn micros(self) -> Option<i64> {
        self.micros.filter(|_| !self.by_calendar)
    }

    /// Adds numbers with these units, in their order; a unit without a length differs by calendar.
    fn add(&mut self, text: &str, sign: i64, units: &[(char, Option<i64>)]) -> Option<()> {
        let (mut rest, mut units) = (text, units.iter());
        while !rest.is_empty() {
            let at = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let (number, behind) = rest.split_at(at);
            let mut letters = behind.chars();
            let letter = letters.next()?.to_ascii_uppercase();
            let (_, length) = units.find(|(unit, _)| *unit == letter)?;
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            let is_written = !fraction.is_empty() || number == whole;
            if !is_written || !fraction.is_empty() && letter != 'S' {
                return None;
            }
            let whole: i64 = whole.parse().ok()?;
            let fraction = micros_of(fraction)?;
            match length {
                None => self.by_calendar |= whole != 0,
                Some(length) => {
                    let fraction = if number.starts_with('-') {
                        -fraction
                    } else {
                        fraction
                    };
                    let part = whole
                        .checked_mul(*length)
                        .and_then(|part| part.checked_add(fraction)?.checked_mul(sign));
                    self.micros = self
                        .micros
                        .zip(part)
                        .and_then(|(sum, part)| sum.checked_add(part));
                }
            }
            rest = letters.as_str();
        }
        Some(())
    }
}

/// Returns the microseconds of a fraction of a second; further digits are dropped.
fn micros_of(fraction: &str) -> Option<i64> {
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let six: String = fraction.chars().chain("000000".chars()).take(6).collect();
    six.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::IsoDuration;

    #[test]
    fn durations_of_a_known_length_are_microseconds() {
        for (text, want) in [
            ("PT12H30M5S", Some(45_005_000_000)),
            ("P0Y0M0DT12H30M5.25S", Some(45_005_250_000)),
            ("P1DT2H", Some(93_600_000_000)),
            ("P2W", Some(1_209_600_000_000)),
            ("-PT1S", Some(-1_000_000)),
            ("PT-0.5S", Some(-500_000)),
            ("P0Y0M-1DT-2H0M0S", Some(-93_600_000_000)),
            ("pt0s", Some(0)),
            ("P1Y", None),
            ("P0Y2M0DT1H", None),
            ("PT9223372036854775807H", None),
        ] {
            let duration = IsoDuration::parse(text);
            assert_eq!(duration.map(IsoDuration::micros), Some(want), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_durations() {
        for text in [
            "", "P", "PT", "-", "12:30", "P1", "PT1D", "P1H", "P1DT", "PT1M1H", "PT1.S", "PT1.5M",
            "PTS", "PT1x", "P1Y2", "PM", "pm", "PT1.2.3S",
        ] {
            assert_eq!(IsoDuration::parse(text), None, "{text}");
        }
    }
}
