//! Finds the timestamps of transactions whose first statement had to wait before it could begin.
//! Pure.
//!
//! A timestamp is fixed when its statement begins. A statement that waits for a table (behind an
//! ALTER TABLE) is in no list of transactions meanwhile. Once the wait is over its transaction is
//! listed as begun then, and may stay open for more statements. For a transaction that first
//! appears in one look, its timestamps are no older than the look before, nor than the statements
//! that were running then.

use std::time::{Duration, Instant};

/// Two looks that are further apart do not bound each other's transactions.
const APART: Duration = Duration::from_secs(60);
/// Maximum number of entries kept apart; beyond it the newest ones are merged.
const MOST: usize = 64;

/// Result of one look at the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct TransactionsSeen {
    /// A time before the server was asked.
    pub at: Instant,
    /// How long the oldest running statement has been running.
    pub running: Option<Duration>,
    /// Least and greatest number of the open transactions that have written; later transactions
    /// have greater numbers.
    pub open: Option<(i64, i64)>,
}

/// What all looks at one server have shown.
#[derive(Debug, Default)]
pub(super) struct LateStarters {
    /// Time of the last look, and the earliest timestamp that transactions it did not see may have.
    last: Option<(Instant, Instant)>,
    /// The greatest transaction number seen so far.
    greatest: i64,
    /// Transactions up to that number may have timestamps from that time on.
    open: Vec<(i64, Instant)>,
}

impl LateStarters {
    /// Records a look. Returns the earliest timestamp that open transactions may have, if it is
    /// earlier than their listed begin can tell.
    pub(super) fn look(&mut self, seen: TransactionsSeen) -> Option<Instant> {
        let (least, greatest) = seen.open.unwrap_or((i64::MAX, i64::MIN));
        self.open.retain(|(up_to, _)| *up_to >= least);
        if let Some((at, from)) = self.last
            && greatest > self.greatest
            && seen.at.saturating_duration_since(at) < APART
        {
            self.note(greatest, from);
        }
        self.greatest = self.greatest.max(greatest);
        let from = seen
            .running
            .and_then(|age| seen.at.checked_sub(age))
            .unwrap_or(seen.at);
        self.last = Some((seen.at, from));
        self.open.iter().map(|(_, from)| *from).min()
    }

    fn note(&mut self, up_to: i64, from: Instant) {
        // An entry with a lower number and a later time bounds nothing that this one does not.
        self.open.retain(|(_, known)| *known < from);
        let full = self.open.len() >= MOST;
        match self.open.last_mut().filter(|_| full) {
            Some(last) => last.0 = up_to,
            None => self.open.push((up_to, from)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{LateStarters, MOST, TransactionsSeen};

    /// Second of the look, age of the oldest running statement, and the open transactions.
    type Look = (u64, Option<u64>, Option<(i64, i64)>);

    /// Returns the answer to each look, in seconds.
    fn looks(looks: &[Look]) -> Vec<Option<u64>> {
        let (zero, mut late) = (Instant::now(), LateStarters::default());
        let at = |second: u64| zero + Duration::from_secs(second);
        let look = |(second, running, open): &Look| {
            let seen = TransactionsSeen {
                at: at(*second),
                running: running.map(Duration::from_secs),
                open: *open,
            };
            late.look(seen)
                .map(|from| from.duration_since(zero).as_secs())
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn a_new_transaction_may_have_timestamps_from_the_last_look_on_or_from_what_ran_then() {
        assert_eq!(
            looks(&[(10, None, Some((5, 5)))]),
            [None],
            "the first look knows nothing"
        );
        assert_eq!(
            looks(&[(10, None, None), (12, None, Some((6, 8))), (13, None, None)]),
            [None, Some(10), None]
        );
        // A statement that had been running for 7 seconds has begun its transaction, which stays
        // open.
        let seen = [
            (10, Some(7), Some((5, 5))),
            (11, None, Some((5, 6))),
            (12, None, Some((6, 6))),
            (13, None, Some((6, 7))),
            (14, None, Some((7, 7))),
            (15, None, None),
        ];
        assert_eq!(
            looks(&seen),
            [None, Some(3), Some(3), Some(3), Some(12), None]
        );
        assert_eq!(
            looks(&[(10, None, None), (80, None, Some((6, 6)))]),
            [None, None],
            "too long ago"
        );
    }

    #[test]
    fn what_a_transaction_that_stays_open_keeps_is_bounded() {
        let (zero, mut late) = (Instant::now(), LateStarters::default());
        for n in 0..1000 {
            let at = zero + Duration::from_secs(n);
            let number = i64::try_from(n).unwrap();
            let from = late.look(TransactionsSeen {
                at,
                running: None,
                open: Some((1, 1 + number)),
            });
            assert_eq!(from, (n > 0).then_some(zero));
        }
        assert!(late.open.len() <= MOST);
        let end = zero + Duration::from_secs(1000);
        let from = late.look(TransactionsSeen {
            at: end,
            running: None,
            open: Some((1000, 1000)),
        });
        assert!(from.is_some_and(|from| from < end));
        assert_eq!(
            late.look(TransactionsSeen {
                at: end,
                running: None,
                open: Some((1001, 1001))
            }),
            Some(end)
        );
    }
}
