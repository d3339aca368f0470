//! `poll.schedule`: when tables are read, as a cron expression. Pure: the caller passes the current
//! time.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::Timestamp;

use crate::zone::JdbcTimeZone;

/// A cron expression of five fields, or six with seconds in front, in a time zone.
#[derive(Clone, Debug)]
pub struct CronSchedule {
    cron: Cron,
    zone: JdbcTimeZone,
}

impl CronSchedule {
    /// Parses an expression. Errors: what is wrong with it.
    pub fn parse(text: &str, zone: JdbcTimeZone) -> Result<Self, String> {
        // The parser reads an empty item as no time at all, and would search thousands of years for
        // it.
        if text
            .split_whitespace()
            .any(|field| field.split(',').any(str::is_empty))
        {
            return Err("Invalid cron expression: a list has an empty item".to_owned());
        }
        let parsed = CronParser::builder()
            .seconds(Seconds::Optional)
            .build()
            .parse(text);
        parsed.map(|cron| Self { cron, zone }).map_err(|error| {
            format!(
                "Invalid cron expression: {error}; five fields (minute, hour, day, month, weekday), such as 0 2 * * *"
            )
        })
    }

    /// Returns the time from `now` to the next occurrence; `None` if there is none.
    pub fn next(&self, now: Timestamp) -> Option<Duration> {
        let next = self
            .cron
            .find_next_occurrence(&now.to_zoned(self.zone.time_zone()), false)
            .ok()?;
        Duration::try_from(next.timestamp().duration_since(now)).ok()
    }
}

/// Returns the time from a second of Unix time to the next occurrence of an expression in UTC;
/// `None` if there is none, or the expression is invalid.
pub fn wait_in_utc(text: &str, now: i64) -> Option<Duration> {
    CronSchedule::parse(text, JdbcTimeZone::default())
        .ok()?
        .next(Timestamp::from_second(now).ok()?)
}

/// Checks the key's value; empty means no schedule.
pub fn check(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        Ok(())
    } else {
        CronSchedule::parse(text, JdbcTimeZone::default()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CronSchedule, check};
    use crate::zone::JdbcTimeZone;

    #[test]
    fn the_next_time_is_found_in_its_zone() {
        let now = "2024-03-09T12:00:30Z".parse().unwrap();
        let hours = |n: u64| Duration::from_secs(n * 3600);
        for (text, zone, want) in [
            ("* * * * *", "UTC", Duration::from_secs(30)),
            ("*/10 * * * * *", "UTC", Duration::from_secs(10)),
            ("0 2 * * *", "UTC", hours(14) - Duration::from_secs(30)),
            (
                "0 7 * * *",
                "America/New_York",
                Duration::from_secs(23 * 3600 - 30),
            ),
            ("0 12 * * MON", "UTC", hours(48) - Duration::from_secs(30)),
        ] {
            let schedule = CronSchedule::parse(text, JdbcTimeZone::named(zone).unwrap()).unwrap();
            assert_eq!(schedule.next(now), Some(want), "{text}");
        }
        assert!(
            CronSchedule::parse("0 0 30 2 *", JdbcTimeZone::default())
                .is_ok_and(|never| never.next(now).is_none())
        );
    }

    #[test]
    fn what_is_no_cron_expression_is_said() {
        assert!(check("").is_ok() && check("0 2 * * *").is_ok());
        for bad in ["soon", "* * * *", "61 * * * *", ", * * * *", "* * * * 1,,2"] {
            assert!(
                check(bad)
                    .unwrap_err()
                    .starts_with("Invalid cron expression"),
                "{bad}"
            );
        }
    }
}
