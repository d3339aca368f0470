//! Decides when rows that are upserted are written by COPY, as if none of them existed. Pure.
//!
//! A COPY takes the server a third of the time of an upsert, but fails over the first row that
//! exists. The first load of a table is new rows alone; later batches are not. So a COPY that failed
//! is followed by many rows without one, twice as many each time. It costs the server one batch
//! that is written twice, and a line in its log.

/// Fewer rows are sent as a statement, in one round trip instead of two.
pub(crate) const FEWEST_ROWS: usize = 50;

/// Rows without a COPY after the first one that failed.
const FEWEST_WITHOUT: u64 = 100_000;
const MOST_WITHOUT: u64 = 1_000_000_000;

/// Whether the next rows of a table are likely not to exist yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRows {
    /// Rows to be written before the next try.
    without: u64,
    /// `without` after the next failure.
    after_failure: u64,
}

impl Default for NewRows {
    fn default() -> Self {
        Self {
            without: 0,
            after_failure: FEWEST_WITHOUT,
        }
    }
}

impl NewRows {
    /// True if the next rows may all be new.
    pub(crate) fn are_expected(&self) -> bool {
        self.without == 0
    }

    /// Notes that rows were written without a try.
    pub(crate) fn were_upserted(&mut self, rows: usize) {
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        self.without = self.without.saturating_sub(rows);
    }

    /// Notes the outcome of a try.
    pub(crate) fn were_copied(&mut self, all_new: bool) {
        if all_new {
            self.after_failure = FEWEST_WITHOUT.max(self.after_failure / 2);
        } else {
            self.without = self.after_failure;
            self.after_failure = MOST_WITHOUT.min(self.after_failure * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FEWEST_WITHOUT, MOST_WITHOUT, NewRows};

    #[test]
    fn a_table_whose_rows_exist_is_tried_ever_more_rarely() {
        let mut rows = NewRows::default();
        let mut tries = Vec::new();
        for batch in 0..1_000_000_u64 {
            if rows.are_expected() {
                tries.push(batch * 4000);
                rows.were_copied(false);
            }
            rows.were_upserted(4000);
        }
        assert_eq!(
            &tries[..4],
            [0, FEWEST_WITHOUT, 3 * FEWEST_WITHOUT, 7 * FEWEST_WITHOUT]
        );
        assert!(tries.len() < 20, "{tries:?}");
        rows.without = 0;
        for _ in 0..100 {
            rows.were_copied(false);
        }
        assert_eq!(rows.without, MOST_WITHOUT);
    }

    #[test]
    fn new_rows_are_copied_batch_after_batch() {
        let mut rows = NewRows::default();
        rows.were_copied(false);
        rows.were_upserted(usize::MAX);
        for _ in 0..100 {
            assert!(rows.are_expected());
            rows.were_copied(true);
        }
        rows.were_copied(false);
        assert_eq!(rows.without, FEWEST_WITHOUT);
    }
}
