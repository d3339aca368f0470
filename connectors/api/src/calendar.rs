//! Dates as `java.util.GregorianCalendar` computes them in UTC: Gregorian from 15 October 1582 on
//! and Julian before. The pure Gregorian and pure Julian calendars are available, too. Uses the
//! civil-from-days algorithm, with years that start in March. Pure.

/// Milliseconds per day.
pub const DAY_MS: i64 = 86_400_000;
/// Day of the first Gregorian date, 1582-10-15, in days since 1970-01-01.
pub const CUTOVER: i64 = -141_427;

/// A point in time split into calendar fields. 1 BC is year 0, 2 BC is year -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CivilTime {
    /// Year; 0 is 1 BC.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: i64,
    /// Day of the month, 1 to 31.
    pub day: i64,
    /// Milliseconds since midnight.
    pub millis: i64,
    /// Day of the week; 0 is Sunday.
    pub weekday: i64,
    /// Days since 1970-01-01.
    pub epoch_day: i64,
}

impl CivilTime {
    /// Splits milliseconds since 1970-01-01 UTC into calendar fields.
    pub fn from_millis(millis: i64) -> Self {
        let days = millis.div_euclid(DAY_MS);
        let (year, month, day) = if days >= CUTOVER {
            gregorian(days)
        } else {
            julian(days)
        };
        let weekday = (days + 4).rem_euclid(7);
        Self {
            year,
            month,
            day,
            millis: millis.rem_euclid(DAY_MS),
            weekday,
            epoch_day: days,
        }
    }

    /// Hour, 0 to 23.
    pub fn hour(&self) -> i64 {
        self.millis / 3_600_000
    }

    /// Minute, 0 to 59.
    pub fn minute(&self) -> i64 {
        self.millis / 60_000 % 60
    }

    /// Second, 0 to 59.
    pub fn second(&self) -> i64 {
        self.millis / 1000 % 60
    }

    /// Millisecond, 0 to 999.
    pub fn milli(&self) -> i64 {
        self.millis % 1000
    }
}

/// Returns the days from 1970-01-01 to a date. Lenient: month 13 is January of the next year, day 0
/// is the last day of the previous month. `None` if the milliseconds would overflow 64 bits.
pub fn epoch_day(year: i64, month: i64, day: i64) -> Option<i64> {
    const FAR: i64 = 400_000_000;
    if year.abs() > FAR || month.abs() > FAR || day.abs() > FAR * 366 {
        return None;
    }
    let (year, month) = (
        year + (month - 1).div_euclid(12),
        (month - 1).rem_euclid(12) + 1,
    );
    // As in Java, the Gregorian day count decides which calendar applies.
    let gregorian = gregorian_day(year, month, 1) + day - 1;
    if gregorian >= CUTOVER {
        return Some(gregorian);
    }
    let julian = julian_day(year, month, 1) + day - 1;
    Some(if julian < CUTOVER { julian } else { gregorian })
}

/// Days from 1 March of year 0 to the first day of a month; months count from March.
fn month_day(month_from_march: i64) -> i64 {
    (153 * month_from_march + 2) / 5
}

/// Returns the days from 1970-01-01 to a Gregorian date, also before 1582.
pub fn gregorian_day(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = month_day((month + 9) % 12) + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Returns the days from 1970-01-01 (Gregorian) to a date in the Julian calendar.
pub fn julian_day(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(4), year.rem_euclid(4));
    era * 1461 + of_era * 365 + month_day((month + 9) % 12) + day - 1 - 719_470
}

/// Returns year, month and day in the Gregorian calendar, also before 1582.
pub fn gregorian(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    from_march(era * 400 + year, of_year)
}

/// Returns year, month and day in the Julian calendar.
pub fn julian(days: i64) -> (i64, i64, i64) {
    let days = days + 719_470;
    let (era, of_era) = (days.div_euclid(1461), days.rem_euclid(1461));
    let year = (of_era - of_era / 1460) / 365;
    from_march(era * 4 + year, of_era - 365 * year)
}

fn from_march(year: i64, of_year: i64) -> (i64, i64, i64) {
    let month = (5 * of_year + 2) / 153;
    let day = of_year - month_day(month) + 1;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[cfg(test)]
mod tests {
    use super::{CivilTime, DAY_MS, epoch_day};

    #[test]
    fn every_day_comes_back_and_the_cutover_is_javas() {
        for days in (-3_000_000..3_000_000)
            .step_by(13)
            .chain(-141_500..-141_300)
            .chain(-800_000..-700_000)
        {
            let civil = CivilTime::from_millis(days * DAY_MS);
            assert_eq!(
                epoch_day(civil.year, civil.month, civil.day),
                Some(days),
                "{civil:?}"
            );
        }
        let date = |days: i64| {
            let civil = CivilTime::from_millis(days * DAY_MS);
            (civil.year, civil.month, civil.day, civil.weekday)
        };
        assert_eq!(date(0), (1970, 1, 1, 4));
        assert_eq!(date(-141_427), (1582, 10, 15, 5));
        assert_eq!(date(-141_428), (1582, 10, 4, 4));
        assert_eq!(date(-719_164), (1, 1, 1, 6));
        assert_eq!(date(-719_165), (0, 12, 31, 5));
        assert_eq!(epoch_day(2023, 13, 45), epoch_day(2024, 2, 14));
    }
}
