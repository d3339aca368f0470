//! Finds the timestamps of prepared transactions (`PREPARE TRANSACTION`, XA), which PostgreSQL lists
//! apart from open ones, and with the time at which they were prepared instead of the one at which
//! they began. Pure.
//!
//! A prepared transaction that one look lists and the look before did not was either open then, or
//! it had not begun.

use std::time::{Duration, Instant};

/// How long before it was prepared a transaction may have begun, if no earlier look says more, in
/// microseconds.
const BEGAN_BEFORE: i64 = 60_000_000;

/// A prepared transaction that the server lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PreparedTransaction {
    /// Its transaction number.
    pub number: i64,
    /// Microseconds since it was prepared.
    pub age: i64,
}

/// Reads the server's list: numbers and ages, as in `731 52000,734 100`.
pub(super) fn parse(list: &str) -> Vec<PreparedTransaction> {
    list.split(',')
        .filter_map(|one| {
            let (number, age) = one.split_once(' ')?;
            Some(PreparedTransaction {
                number: number.parse().ok()?,
                age: age.parse().ok()?,
            })
        })
        .collect()
}

/// What all looks at one server have shown. Times are in microseconds since the first look.
#[derive(Debug)]
pub(super) struct PreparedTransactions {
    began: Instant,
    /// The earliest timestamp that a transaction that was not prepared at the last look may have.
    from: Option<i64>,
    /// The earliest timestamp that each listed transaction may have.
    listed: Vec<(i64, i64)>,
}

impl Default for PreparedTransactions {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            from: None,
            listed: Vec::new(),
        }
    }
}

impl PreparedTransactions {
    /// Records a look, begun at `at`, that listed these prepared transactions, and open ones of
    /// which the oldest is that old (in microseconds). Returns the age at `at` of the earliest
    /// timestamp that a prepared transaction may have.
    pub(super) fn look(
        &mut self,
        at: Instant,
        oldest: Option<i64>,
        listed: &[PreparedTransaction],
    ) -> Option<i64> {
        let now = micros(at.saturating_duration_since(self.began));
        let from_of = |one: &PreparedTransaction| {
            let known = self.listed.iter().find(|(number, _)| *number == one.number);
            let from = known.map(|(_, from)| *from).or(self.from);
            let unseen = now.saturating_sub(one.age).saturating_sub(BEGAN_BEFORE);
            (one.number, from.unwrap_or(unseen))
        };
        self.listed = listed.iter().map(from_of).collect();
        self.from = Some(now.saturating_sub(oldest.unwrap_or_default()));
        let earliest = self.listed.iter().map(|(_, from)| *from).min()?;
        Some(now.saturating_sub(earliest))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{PreparedTransaction, PreparedTransactions, parse};

    const SECOND: i64 = 1_000_000;

    /// Second of the look, age of the oldest open transaction, and the prepared transactions:
    /// numbers and ages.
    type Look = (u64, Option<i64>, &'static [(i64, i64)]);

    /// Returns the answer to each look, in seconds.
    fn looks(looks: &[Look]) -> Vec<Option<i64>> {
        let mut prepared = PreparedTransactions::default();
        let began = prepared.began;
        let look = |(second, oldest, listed): &Look| {
            let prepared_at = |&(number, age): &(i64, i64)| PreparedTransaction {
                number,
                age: age * SECOND,
            };
            let listed: Vec<_> = listed.iter().map(prepared_at).collect();
            let oldest = oldest.map(|age| age * SECOND);
            let age = prepared.look(began + Duration::from_secs(*second), oldest, &listed);
            age.map(|age| age / SECOND)
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn a_prepared_transaction_began_after_the_look_before_or_was_open_then() {
        assert_eq!(
            looks(&[
                (10, None, &[]),
                (11, Some(0), &[(7, 0)]),
                (15, None, &[(7, 4)]),
                (16, None, &[]),
            ]),
            [None, Some(1), Some(5), None]
        );
        assert_eq!(
            looks(&[
                (10, Some(8), &[]),
                (11, Some(3), &[(7, 0)]),
                (20, None, &[(7, 9), (9, 1)]),
                (21, None, &[(9, 2)]),
            ]),
            [None, Some(9), Some(18), Some(13)]
        );
    }

    #[test]
    fn one_that_the_first_look_lists_may_have_begun_a_minute_before_it_was_prepared() {
        assert_eq!(
            looks(&[(1, None, &[(7, 100)]), (2, None, &[(7, 101)])]),
            [Some(160), Some(161)]
        );
    }

    #[test]
    fn the_servers_list_is_read() {
        let one = |number, age| PreparedTransaction { number, age };
        assert_eq!(parse("731 52000,734 100"), [one(731, 52000), one(734, 100)]);
        assert_eq!(parse(""), []);
    }
}
