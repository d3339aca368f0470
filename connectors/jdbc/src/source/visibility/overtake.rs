//! Emits rows ahead of a transaction that has been open too long (`timestamp.horizon.max.wait.ms`).
//!
//! What such a transaction finally commits has timestamps before those already emitted. So once it
//! has ended, reading returns to where it overtook; rows already emitted are recognized by their
//! fingerprint and skipped. Until then the stored offset stays there: after a restart rows are
//! emitted twice, but none is lost.
//!
//! The case of users: an import that runs for hours in one transaction, or a session that somebody
//! has left open after an UPDATE, holds back every new row of the database, while the topic's
//! readers have to be current within minutes. Not waiting would lose what the transaction commits,
//! and reading everything again after it would emit all rows twice; remembering the rows that were
//! emitted early is what is left.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use connector_api::Value;

use crate::driver::ResultPage;
use crate::source::plan::query::ReadPosition;

/// Maximum rows emitted ahead of a transaction; further rows wait for it.
const MOST: usize = 100_000;

/// How the rows of a page are emitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EmitFilter {
    /// The rows are emitted early: the offset stays where it is.
    pub early: bool,
    /// Indexes of the rows that were emitted before, in ascending order.
    skipped: Vec<usize>,
}

impl EmitFilter {
    /// A page that is emitted early, of which these rows, in ascending order, were emitted before.
    #[cfg(test)]
    pub(crate) fn early_without(skipped: Vec<usize>) -> Self {
        Self {
            early: true,
            skipped,
        }
    }

    /// True if the row at that index was emitted before.
    pub(crate) fn skips(&self, row: usize) -> bool {
        !self.skipped.is_empty() && self.skipped.binary_search(&row).is_ok()
    }
}

/// State of overtaking for one table.
#[derive(Debug, Default)]
pub(crate) struct Overtake {
    /// The position to return to; set while the reader is ahead of a transaction.
    back: Option<ReadPosition>,
    /// How often each row was emitted early, by fingerprint.
    early: HashMap<(u64, u64), u32>,
    /// The last timestamp of those rows.
    up_to: i64,
}

impl Overtake {
    /// True while the reader is ahead of a transaction.
    pub(crate) fn is_on(&self) -> bool {
        self.back.is_some()
    }

    /// True if no more rows may be emitted early.
    pub(crate) fn is_full(&self) -> bool {
        self.early.len() >= MOST
    }

    /// Starts to overtake at that position, unless already ahead.
    pub(crate) fn begin(&mut self, from: &ReadPosition) {
        self.back.get_or_insert_with(|| from.clone());
    }

    /// Ends overtaking: the transaction has ended, and all rows up to `timestamp` have been read.
    /// Returns the position to return to.
    pub(crate) fn end(&mut self, timestamp: Option<i64>) -> Option<ReadPosition> {
        if self.back.is_none() && timestamp >= Some(self.up_to) {
            self.early.clear();
        }
        self.back.take()
    }

    /// Decides how the rows of a page are emitted, and remembers those emitted early.
    pub(crate) fn filter(&mut self, page: &ResultPage) -> EmitFilter {
        let early = self.is_on();
        if !early && self.early.is_empty() {
            return EmitFilter::default();
        }
        let mut skipped = Vec::new();
        for (n, row) in page.rows.iter().enumerate() {
            let row = fingerprint(row);
            match (self.early.get_mut(&row), early) {
                (Some(_), true) => skipped.push(n),
                (Some(times), false) => {
                    skipped.push(n);
                    *times -= 1;
                    if *times == 0 {
                        self.early.remove(&row);
                    }
                }
                (None, true) => drop(self.early.insert(row, 1)),
                (None, false) => {}
            }
        }
        if let Some(last) = page.timestamps.last().filter(|_| early) {
            self.up_to = self.up_to.max(*last);
        }
        EmitFilter { early, skipped }
    }
}

/// Two 64-bit hashes of all values: a collision would take far more rows than [`MOST`].
fn fingerprint(row: &[Value]) -> (u64, u64) {
    let text = format!("{row:?}");
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, &text).hash(&mut hasher);
        hasher.finish()
    };
    (hash(0), hash(1))
}

#[cfg(test)]
mod tests {
    use connector_api::Value;

    use super::Overtake;
    use crate::driver::ResultPage;
    use crate::source::plan::query::ReadPosition;

    fn page(rows: &[(i64, i64)]) -> ResultPage {
        ResultPage {
            rows: rows
                .iter()
                .map(|(id, _)| vec![Value::I64(*id)].into_boxed_slice())
                .collect(),
            timestamps: rows.iter().map(|(_, timestamp)| *timestamp).collect(),
            ..ResultPage::default()
        }
    }

    fn skipped(overtake: &mut Overtake, rows: &[(i64, i64)]) -> (bool, Vec<usize>) {
        let filter = overtake.filter(&page(rows));
        (
            filter.early,
            (0..rows.len()).filter(|n| filter.skips(*n)).collect(),
        )
    }

    #[test]
    fn rows_that_were_handed_out_early_are_skipped_when_reading_goes_back() {
        let mut overtake = Overtake::default();
        let from = ReadPosition {
            timestamp: Some(5),
            ..ReadPosition::default()
        };
        assert_eq!(skipped(&mut overtake, &[(1, 5)]), (false, vec![]));
        overtake.begin(&from);
        assert_eq!(skipped(&mut overtake, &[(3, 7), (4, 8)]), (true, vec![]));
        overtake.begin(&ReadPosition {
            timestamp: Some(8),
            ..ReadPosition::default()
        });
        assert_eq!(skipped(&mut overtake, &[(5, 9)]), (true, vec![]));
        assert_eq!(overtake.end(Some(9)), Some(from.clone()));
        assert_eq!(skipped(&mut overtake, &[(2, 6), (3, 7)]), (false, vec![1]));
        // Overtakes another transaction before all rows have been read again.
        overtake.begin(&ReadPosition {
            timestamp: Some(7),
            ..ReadPosition::default()
        });
        assert_eq!(
            skipped(&mut overtake, &[(4, 8), (5, 9), (6, 10)]),
            (true, vec![0, 1])
        );
        assert_eq!(
            overtake.end(Some(10)).and_then(|from| from.timestamp),
            Some(7)
        );
        assert_eq!(
            skipped(&mut overtake, &[(4, 8), (5, 9), (6, 10), (6, 10)]),
            (false, vec![0, 1, 2])
        );
    }

    #[test]
    fn what_was_handed_out_early_is_forgotten_when_all_of_its_time_is_read() {
        let mut overtake = Overtake::default();
        overtake.begin(&ReadPosition::default());
        skipped(&mut overtake, &[(3, 7)]);
        overtake.end(Some(7));
        assert_eq!((overtake.end(Some(6)), overtake.early.len()), (None, 1));
        assert_eq!((overtake.end(Some(7)), overtake.early.len()), (None, 0));
    }
}
