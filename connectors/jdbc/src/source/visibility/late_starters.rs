//! Stamps of transactions whose first statement waited before it could begin. Pure.
//!
//! A stamp is fixed when its statement begins. One that waits for a table (behind an ALTER TABLE) is in no list of
//! transactions meanwhile, and its transaction is listed as begun when the wait was over; it may then stay open for more
//! statements. What is known of a transaction that one look is the first to see: its stamps are no older than the look
//! before and than the statements that ran then.

use std::time::{Duration, Instant};

/// Looks that are further apart say nothing of each other.
const APART: Duration = Duration::from_secs(60);
/// So many are told apart; of more the last are taken together.
const MOST: usize = 64;

/// What one look saw.
#[derive(Clone, Copy, Debug)]
pub struct TransactionsSeen {
    /// Before the server was asked.
    pub at: Instant,
    /// For how long the oldest running statement has been running.
    pub running: Option<Duration>,
    /// The least and the greatest number of the transactions that are open and have written; later ones have greater
    /// numbers.
    pub open: Option<(i64, i64)>,
}

/// What the looks at one server have seen.
#[derive(Debug, Default)]
pub struct LateStarters {
    /// When the last look was, and from when on what it did not see may have stamps.
    last: Option<(Instant, Instant)>,
    /// The greatest number of a transaction so far.
    greatest: i64,
    /// Transactions up to that number may have stamps from then on.
    open: Vec<(i64, Instant)>,
}

impl LateStarters {
    /// Takes in what a look saw. Returns from when on open transactions may have stamps, where that is not told by when
    /// they began.
    pub fn look(&mut self, seen: TransactionsSeen) -> Option<Instant> {
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
        // what lives shorter and is younger tells nothing
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

    /// Its second, the age of the oldest running statement, and the open transactions.
    type Look = (u64, Option<u64>, Option<(i64, i64)>);

    /// The answers to looks, in seconds.
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
    fn a_new_transaction_may_have_stamps_from_the_last_look_on_or_from_what_ran_then() {
        assert_eq!(
            looks(&[(10, None, Some((5, 5)))]),
            [None],
            "the first look knows nothing"
        );
        assert_eq!(
            looks(&[(10, None, None), (12, None, Some((6, 8))), (13, None, None)]),
            [None, Some(10), None]
        );
        // a statement that had been running for 7 seconds has begun its transaction, which stays open
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
