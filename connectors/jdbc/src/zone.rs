//! Time zones by name: the offset of local time from UTC at an instant.
//!
//! Uses the system's IANA database if there is one, else the copy built into the binary.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use crate::calendar::{DAY, SECOND, civil};

/// Clocks are set back by less than this.
const SET_BACK: i64 = DAY;

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
pub struct JdbcTimeZone(Option<TimeZone>);

impl JdbcTimeZone {
    /// Returns a zone by its IANA name, by one of Java's short ids, or by an offset in the forms of
    /// `java.time.ZoneId`: `+02:00`, `-5`, `UTC+1`, `GMT-03:30`, `Z`.
    pub fn named(name: &str) -> Option<Self> {
        let name = SHORT_IDS
            .iter()
            .find(|(id, _)| *id == name)
            .map_or(name, |(_, zone)| zone);
        let upper = name.to_ascii_uppercase();
        let offset = ["UTC", "GMT", "UT"]
            .iter()
            .find_map(|p| upper.strip_prefix(p))
            .unwrap_or(&upper);
        if matches!(offset, "" | "Z") && !name.is_empty() {
            return Some(Self(None));
        }
        if let Some(seconds) = offset_seconds(offset) {
            return Some(Self(Some(TimeZone::fixed(
                Offset::from_seconds(seconds).ok()?,
            ))));
        }
        TimeZone::get(name)
            .ok()
            .map(|zone| Self((zone != TimeZone::UTC).then_some(zone)))
    }

    /// Returns the seconds that local time is ahead of UTC at an instant (seconds since 1970-01-01
    /// UTC). Instants beyond the years -9999 to 9999 count as the nearest inside.
    pub fn offset_at(&self, epoch_seconds: i64) -> i64 {
        let Some(zone) = &self.0 else { return 0 };
        let limits = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        let at =
            Timestamp::from_second(epoch_seconds.clamp(limits.0, limits.1)).unwrap_or_default();
        i64::from(zone.to_offset(at).seconds())
    }
}

impl JdbcTimeZone {
    /// Returns the time zone itself.
    pub fn time_zone(&self) -> TimeZone {
        self.0.clone().unwrap_or(TimeZone::UTC)
    }

    /// True if the zone is UTC.
    pub fn is_utc(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the instant of a wall time of this zone, both in microseconds since 1970-01-01
    /// 00:00:00. In the hour that a clock repeats, the later instant counts; a time that a clock
    /// skips is moved past the gap. `java.util.Calendar` does both.
    pub fn instant(&self, wall: i64) -> i64 {
        let Some(zone) = &self.0 else { return wall };
        let Some(civil) = datetime(wall) else {
            return wall;
        };
        zone.to_ambiguous_timestamp(civil)
            .later()
            .map_or(wall, |t| t.as_microsecond())
    }

    /// Returns the wall time of an instant in this zone, both in microseconds.
    pub fn wall(&self, instant: i64) -> i64 {
        instant + self.offset_at(instant.div_euclid(SECOND)) * SECOND
    }

    /// Returns the last instant at which a clock of this zone has not yet shown more than that wall
    /// time. If it shows the time twice, that is the second; if it skips the time, the instant
    /// before it is set forward.
    pub fn last_instant(&self, wall: i64) -> i64 {
        let instant = self.instant(wall);
        if self.wall(instant) <= wall {
            return instant;
        }
        let Some((zone, behind)) = self.0.as_ref().zip(timestamp(instant + 1)) else {
            return instant;
        };
        zone.preceding(behind)
            .next()
            .map_or(instant, |change| change.timestamp().as_microsecond() - 1)
    }

    /// Returns the lowest wall time that a clock of this zone shows from an instant on: that of the
    /// instant itself, unless the clock is soon set back to before it.
    pub fn lowest_wall_from(&self, instant: i64) -> i64 {
        self.set_back(instant, instant + SET_BACK)
            .map(|(_, to)| to)
            .fold(self.wall(instant), i64::min)
    }

    /// Returns the highest wall time that a clock of this zone has shown up to an instant: that of
    /// the instant itself, unless the clock was set back shortly before.
    pub fn highest_wall_until(&self, instant: i64) -> i64 {
        self.set_back(instant - SET_BACK, instant)
            .map(|(from, _)| from)
            .fold(self.wall(instant), i64::max)
    }

    /// Returns from which and to which wall time the clock is set back, after the first instant and
    /// up to the second.
    fn set_back(&self, after: i64, until: i64) -> impl Iterator<Item = (i64, i64)> {
        let changes = self
            .0
            .as_ref()
            .zip(timestamp(after))
            .into_iter()
            .flat_map(|(zone, after)| zone.following(after));
        let times = changes
            .map(|change| change.timestamp().as_microsecond())
            .take_while(move |at| *at <= until);
        times
            .map(|at| (self.wall(at - 1) + 1, self.wall(at)))
            .filter(|(from, to)| to < from)
    }
}

fn timestamp(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
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

/// Parses `+h`, `+hh`, `+hh:mm` or `+hhmm` to seconds; `None` if it is no offset.
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

/// Checks a key that holds a zone's name.
pub(crate) fn check(name: &str) -> Result<(), String> {
    match JdbcTimeZone::named(name) {
        Some(_) => Ok(()),
        None => {
            Err("Invalid time zone: use UTC, an IANA name such as Europe/Vienna, or an offset such as +02:00"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{JdbcTimeZone, check};
    use crate::calendar::parse_wall;

    #[test]
    fn clock_changes_are_read_as_java_reads_them() {
        let zone = JdbcTimeZone::named("America/New_York").unwrap();
        for (wall, instant_ms) in [
            ("2024-01-15 12:00:00", 1_705_338_000_000),
            ("2024-03-10 02:30:00", 1_710_055_800_000),
            ("2024-11-03 01:30:00", 1_730_615_400_000),
            ("1970-01-01 00:00:00", 18_000_000),
        ] {
            assert_eq!(
                zone.instant(parse_wall(wall).unwrap()) / 1000,
                instant_ms,
                "{wall}"
            );
        }
        assert_eq!(zone.wall(18_000_000_000), 0);
    }

    /// In Berlin the clock is set back from 03:00 to 02:00 on 2024-10-27 at 01:00 UTC, and forward
    /// from 02:00 to 03:00 on 2024-03-31.
    #[test]
    fn what_a_clock_will_show_and_has_shown_around_its_changes() {
        let zone = JdbcTimeZone::named("Europe/Berlin").unwrap();
        let at = |text: &str| parse_wall(text).unwrap();
        for (instant, lowest, highest) in [
            (
                "2024-10-26 12:00:00",
                "2024-10-26 14:00:00",
                "2024-10-26 14:00:00",
            ),
            (
                "2024-10-26 23:59:00",
                "2024-10-27 01:59:00",
                "2024-10-27 01:59:00",
            ),
            (
                "2024-10-27 00:30:00",
                "2024-10-27 02:00:00",
                "2024-10-27 02:30:00",
            ),
            (
                "2024-10-27 00:59:59",
                "2024-10-27 02:00:00",
                "2024-10-27 02:59:59",
            ),
            (
                "2024-10-27 01:00:00",
                "2024-10-27 02:00:00",
                "2024-10-27 03:00:00",
            ),
            (
                "2024-10-27 01:30:00",
                "2024-10-27 02:30:00",
                "2024-10-27 03:00:00",
            ),
            (
                "2024-10-27 02:30:00",
                "2024-10-27 03:30:00",
                "2024-10-27 03:30:00",
            ),
            (
                "2024-03-31 00:59:59",
                "2024-03-31 01:59:59",
                "2024-03-31 01:59:59",
            ),
            (
                "2024-03-31 01:00:00",
                "2024-03-31 03:00:00",
                "2024-03-31 03:00:00",
            ),
        ] {
            let instant = at(instant);
            assert_eq!(
                zone.lowest_wall_from(instant),
                at(lowest),
                "lowest from {instant}"
            );
            assert_eq!(
                zone.highest_wall_until(instant),
                at(highest),
                "highest until {instant}"
            );
        }
        for (wall, instant) in [
            ("2024-03-31 01:59:59", "2024-03-31 00:59:59"),
            ("2024-03-31 02:00:00", "2024-03-31 00:59:59.999999"),
            ("2024-03-31 02:30:00", "2024-03-31 00:59:59.999999"),
            ("2024-03-31 03:00:00", "2024-03-31 01:00:00"),
            ("2024-10-27 02:30:00", "2024-10-27 01:30:00"),
        ] {
            assert_eq!(zone.last_instant(at(wall)), at(instant), "{wall}");
        }
        let utc = JdbcTimeZone::named("UTC").unwrap();
        assert_eq!(
            (
                utc.lowest_wall_from(5),
                utc.highest_wall_until(5),
                utc.last_instant(5)
            ),
            (5, 5, 5)
        );
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
            assert_eq!(
                JdbcTimeZone::named(name).unwrap().offset_at(at),
                want,
                "{name}"
            );
        }
        for bad in ["Mars/Phobos", "", "+99:00", "+1:99"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
