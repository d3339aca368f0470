//! Time zones by name: how far local time is from UTC at an instant.
//!
//! The IANA database is the system's where there is one, else the copy built into the binary.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use crate::calendar::{DAY, SECOND, civil};

/// `java.time.ZoneId.SHORT_IDS`.
const SHORT_IDS: [(&str, &str); 28] = [
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("EST", "-05:00"),
    ("HST", "-10:00"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("MST", "-07:00"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
];

/// A time zone; UTC by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone(Option<TimeZone>);

impl Zone {
    /// A zone by its IANA name, by one of Java's short ids, or an offset as `java.time.ZoneId` takes it: `+02:00`, `-5`,
    /// `UTC+1`, `GMT-03:30`, `Z`.
    pub fn named(name: &str) -> Option<Self> {
        let name = SHORT_IDS.iter().find(|(id, _)| *id == name).map_or(name, |(_, zone)| zone);
        let upper = name.to_ascii_uppercase();
        let offset = ["UTC", "GMT", "UT"].iter().find_map(|p| upper.strip_prefix(p)).unwrap_or(&upper);
        if matches!(offset, "" | "Z") && !name.is_empty() {
            return Some(Self(None));
        }
        if let Some(seconds) = offset_seconds(offset) {
            return Some(Self(Some(TimeZone::fixed(Offset::from_seconds(seconds).ok()?))));
        }
        TimeZone::get(name).ok().map(|zone| Self((zone != TimeZone::UTC).then_some(zone)))
    }

    /// Seconds that local time is ahead of UTC at that instant (seconds since 1970-01-01 UTC). Instants beyond the
    /// years -9999 to 9999 count as the nearest inside.
    pub fn offset_at(&self, epoch_seconds: i64) -> i64 {
        let Some(zone) = &self.0 else { return 0 };
        let limits = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        let at = Timestamp::from_second(epoch_seconds.clamp(limits.0, limits.1)).unwrap_or_default();
        i64::from(zone.to_offset(at).seconds())
    }
}

impl Zone {
    /// It as the time zone that it is.
    pub fn time_zone(&self) -> TimeZone {
        self.0.clone().unwrap_or(TimeZone::UTC)
    }

    /// Whether it is UTC.
    pub fn is_utc(&self) -> bool {
        self.0.is_none()
    }

    /// The instant of a wall time of this zone, both in microseconds since 1970-01-01 00:00:00. In the hour that a clock
    /// repeats the later one counts, and a time that a clock leaves out is moved behind the gap, as
    /// `java.util.Calendar` does both.
    pub fn instant(&self, wall: i64) -> i64 {
        let Some(zone) = &self.0 else { return wall };
        let Some(civil) = datetime(wall) else { return wall };
        zone.to_ambiguous_timestamp(civil).later().map_or(wall, |t| t.as_microsecond())
    }

    /// The wall time of an instant in this zone, both in microseconds.
    pub fn wall(&self, instant: i64) -> i64 {
        instant + self.offset_at(instant.div_euclid(SECOND)) * SECOND
    }
}

fn datetime(wall: i64) -> Option<DateTime> {
    let (year, month, day) = civil(wall.div_euclid(DAY));
    let seconds = wall.rem_euclid(DAY) / SECOND;
    let small = |n: i64| i8::try_from(n).ok();
    DateTime::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
        small(seconds / 3600)?,
        small(seconds / 60 % 60)?,
        small(seconds % 60)?,
        i32::try_from(wall.rem_euclid(SECOND)).ok()? * 1000,
    )
    .ok()
}

/// Seconds of `+h`, `+hh`, `+hh:mm` or `+hhmm`; `None` if it is no offset.
fn offset_seconds(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    let number = |s: &str, max: i32| s.parse::<i32>().ok().filter(|n| (0..=max).contains(n));
    Some(sign * (number(hours, 18)? * 3600 + number(minutes, 59)? * 60))
}

/// The check of a key that holds a zone's name.
pub fn check(name: &str) -> Result<(), String> {
    match Zone::named(name) {
        Some(_) => Ok(()),
        None => {
            Err("Invalid time zone: use UTC, an IANA name such as Europe/Vienna, or an offset such as +02:00"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Zone, check};
    use crate::calendar::parse_wall;

    #[test]
    fn clock_changes_are_read_as_java_reads_them() {
        let zone = Zone::named("America/New_York").unwrap();
        for (wall, instant_ms) in [
            ("2024-01-15 12:00:00", 1_705_338_000_000),
            ("2024-03-10 02:30:00", 1_710_055_800_000),
            ("2024-11-03 01:30:00", 1_730_615_400_000),
            ("1970-01-01 00:00:00", 18_000_000),
        ] {
            assert_eq!(zone.instant(parse_wall(wall).unwrap()) / 1000, instant_ms, "{wall}");
        }
        assert_eq!(zone.wall(18_000_000_000), 0);
    }

    #[test]
    fn zones_and_offsets_are_known_by_name() {
        for (name, at, want) in [
            ("UTC", 0, 0),
            ("Z", 0, 0),
            ("Asia/Tokyo", 0, 9 * 3600),
            ("America/New_York", 1_700_000_000, -5 * 3600),
            ("America/New_York", 1_690_000_000, -4 * 3600),
            ("+02:00", 0, 7200),
            ("GMT-03:30", 0, -12600),
            ("UTC+1", 0, 3600),
            ("PST", 1_700_000_000, -8 * 3600),
            ("EST", 1_690_000_000, -5 * 3600),
            ("Europe/Vienna", i64::MAX, 3600),
        ] {
            assert_eq!(Zone::named(name).unwrap().offset_at(at), want, "{name}");
        }
        for bad in ["Mars/Phobos", "", "+99:00", "+1:99"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
