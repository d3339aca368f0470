//! Rows that are handed out past a transaction that stays open (`timestamp.horizon.max.wait.ms`).
//!
//! What such a transaction commits in the end is stamped before what has been handed out meanwhile. So when it has ended
//! the reading goes back to where it went past; rows that were handed out are told by their fingerprint, and left out.
//! Until then offsets stay there: after a restart rows come twice, but none is missed.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use connector_api::Value;

use crate::driver::ResultPage;
use crate::source::plan::query::ReadPosition;

/// Most rows that are handed out past a transaction; more wait for it.
const MOST: usize = 100_000;

/// What is done with the rows of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmitFilter {
    /// They are handed out early: offsets stay where they are.
    pub early: bool,
    /// Those that were handed out before, by their place in the page, in order.
    left_out: Vec<usize>,
}

impl EmitFilter {
    /// Whether the row at that place was handed out before.
    pub fn leaves_out(&self, row: usize) -> bool {
        !self.left_out.is_empty() && self.left_out.binary_search(&row).is_ok()
    }
}

/// The state of one table's reading.
#[derive(Debug, Default)]
pub struct Overtake {
    /// Where the reading goes back to, while it is past a transaction.
    back: Option<ReadPosition>,
    /// How often each row was handed out early.
    early: HashMap<(u64, u64), u32>,
    /// The last stamp of those rows.
    up_to: i64,
}

impl Overtake {
    /// Whether the reading is past a transaction.
    pub fn is_on(&self) -> bool {
        self.back.is_some()
    }

    /// Whether no more rows may be handed out early.
    pub fn is_full(&self) -> bool {
        self.early.len() >= MOST
    }

    /// Goes past what is open, from there.
    pub fn begin(&mut self, from: &ReadPosition) {
        self.back.get_or_insert_with(|| from.clone());
    }

    /// What was open has ended, with all rows up to `stamp` read. Returns where to go back to.
    pub fn end(&mut self, stamp: Option<i64>) -> Option<ReadPosition> {
        if self.back.is_none() && stamp >= Some(self.up_to) {
            self.early.clear();
        }
        self.back.take()
    }

    /// Says what is to be done with the rows of a page, and remembers those that are handed out early.
    pub fn aside(&mut self, page: &ResultPage) -> EmitFilter {
        let early = self.is_on();
        if !early && self.early.is_empty() {
            return EmitFilter::default();
        }
        let mut left_out = Vec::new();
        for (n, row) in page.rows.iter().enumerate() {
            let row = fingerprint(row);
            match (self.early.get_mut(&row), early) {
                (Some(_), true) => left_out.push(n),
                (Some(times), false) => {
                    left_out.push(n);
                    *times -= 1;
                    if *times == 0 {
                        self.early.remove(&row);
                    }
                }
                (None, true) => drop(self.early.insert(row, 1)),
                (None, false) => {}
            }
        }
        if let Some(last) = page.stamps.last().filter(|_| early) {
            self.up_to = self.up_to.max(*last);
        }
        EmitFilter { early, left_out }
    }
}

/// Two hashes of all values: far too many rows would be needed for two of them to have the same.
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
            stamps: rows.iter().map(|(_, stamp)| *stamp).collect(),
            ..ResultPage::default()
        }
    }

    fn left_out(passing: &mut Overtake, rows: &[(i64, i64)]) -> (bool, Vec<usize>) {
        let aside = passing.aside(&page(rows));
        (
            aside.early,
            (0..rows.len()).filter(|n| aside.leaves_out(*n)).collect(),
        )
    }

    #[test]
    fn rows_that_were_handed_out_early_are_left_out_when_reading_goes_back() {
        let mut passing = Overtake::default();
        let from = ReadPosition {
            stamp: Some(5),
            ..ReadPosition::default()
        };
        assert_eq!(left_out(&mut passing, &[(1, 5)]), (false, vec![]));
        passing.begin(&from);
        assert_eq!(left_out(&mut passing, &[(3, 7), (4, 8)]), (true, vec![]));
        passing.begin(&ReadPosition {
            stamp: Some(8),
            ..ReadPosition::default()
        });
        assert_eq!(left_out(&mut passing, &[(5, 9)]), (true, vec![]));
        assert_eq!(passing.end(Some(9)), Some(from.clone()));
        assert_eq!(left_out(&mut passing, &[(2, 6), (3, 7)]), (false, vec![1]));
        // past another one before all have been read anew
        passing.begin(&ReadPosition {
            stamp: Some(7),
            ..ReadPosition::default()
        });
        assert_eq!(
            left_out(&mut passing, &[(4, 8), (5, 9), (6, 10)]),
            (true, vec![0, 1])
        );
        assert_eq!(passing.end(Some(10)).and_then(|from| from.stamp), Some(7));
        assert_eq!(
            left_out(&mut passing, &[(4, 8), (5, 9), (6, 10), (6, 10)]),
            (false, vec![0, 1, 2])
        );
    }

    #[test]
    fn what_was_handed_out_early_is_forgotten_when_all_of_its_time_is_read() {
        let mut passing = Overtake::default();
        passing.begin(&ReadPosition::default());
        left_out(&mut passing, &[(3, 7)]);
        passing.end(Some(7));
        assert_eq!((passing.end(Some(6)), passing.early.len()), (None, 1));
        assert_eq!((passing.end(Some(7)), passing.early.len()), (None, 0));
    }
}
