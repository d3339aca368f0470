//! Finds the records of a batch that the database rejects.
//!
//! Whatever fails is rolled back to a savepoint and halved until single records are left. This is
//! the only search: rows that a statement refuses, rows that a constraint refuses at the end of the
//! transaction ([`super::deferred`]), and records that end the connection (`task::losses`) differ
//! in what a try is, not in how the records are halved.

use connector_api::{ErrorKind, Result};

use super::batch::{RecordWriter, run_tx_control};
use super::failure::WriteFailure;
use super::index::RecordIndex;
use crate::dialect::writing::DeferredConstraints;

/// The savepoint before the records that are tried.
const SAVEPOINT: &str = "SAVEPOINT rowferry_search";
pub(in crate::sink) const BACK_TO_SAVEPOINT: &str = "ROLLBACK TO SAVEPOINT rowferry_search";

/// A record that the database rejects, and why.
#[derive(Debug)]
pub(crate) struct RefusedRecord {
    pub record: RecordIndex,
    pub failure: WriteFailure,
}

/// Which records to try next: parts that fail are halved, in order. Pure.
pub(crate) struct Bisection<'a> {
    /// The next part is the last element.
    untried: Vec<&'a [RecordIndex]>,
}

impl<'a> Bisection<'a> {
    /// Starts with all records as one part.
    pub(crate) fn of(records: &'a [RecordIndex]) -> Self {
        let mut untried = Vec::new();
        if !records.is_empty() {
            untried.push(records);
        }
        Self { untried }
    }

    /// Returns the next records to try; `most` returns how many of a part are tried at once.
    pub(crate) fn next(
        &mut self,
        most: impl FnOnce(&[RecordIndex]) -> usize,
    ) -> Option<&'a [RecordIndex]> {
        let part = self.untried.pop()?;
        let (now, later) = part.split_at(most(part));
        if !later.is_empty() {
            self.untried.push(later);
        }
        Some(now)
    }

    /// Halves records that failed. Returns the record if there is only one: it is found.
    pub(crate) fn halve(&mut self, failed: &'a [RecordIndex]) -> Option<RecordIndex> {
        if let [] | [_] = failed {
            return failed.first().copied();
        }
        let (first, second) = failed.split_at(failed.len() / 2);
        self.untried.extend([second, first]);
        None
    }

    /// True if nothing is left to try.
    pub(crate) fn is_empty(&self) -> bool {
        self.untried.is_empty()
    }

    /// Drops what is not tried yet, and returns its first record.
    pub(crate) fn stop(&mut self) -> Option<RecordIndex> {
        let next = self.untried.last().and_then(|part| part.first()).copied();
        self.untried.clear();
        next
    }
}

/// The search in one transaction: what is accepted stays written.
pub(crate) struct RejectedSearch<'a> {
    pub writer: &'a mut dyn RecordWriter,
    /// Set if constraints that are otherwise checked at commit decide; `None` if the statements do.
    pub deferral: Option<DeferredConstraints>,
}

impl RejectedSearch<'_> {
    /// Writes the records except those that the database rejects, and returns these in the order of
    /// `records`.
    /// Errors: all kinds but `Record`.
    pub(crate) async fn run(
        &mut self,
        records: &[RecordIndex],
    ) -> Result<Vec<RefusedRecord>, WriteFailure> {
        let mut refused = Vec::new();
        let mut search = Bisection::of(records);
        while let Some(part) = search.next(|part| self.writer.chunk(part)) {
            let Some(failure) = self.try_apply(part).await? else {
                continue;
            };
            let Some(record) = search.halve(part) else {
                continue;
            };
            let failure = self.attribute_to_record(failure, record);
            let failure = self.writer.name_refused_column(failure).await?;
            refused.push(RefusedRecord { record, failure });
        }
        Ok(refused)
    }

    /// Writes the records on top of what is written. If the database refuses them, rolls them back
    /// and returns the failure.
    /// Errors: all kinds but `Record`.
    pub(super) async fn try_apply(
        &mut self,
        records: &[RecordIndex],
    ) -> Result<Option<WriteFailure>, WriteFailure> {
        run_tx_control(self.writer, SAVEPOINT).await?;
        match self.apply(records).await {
            Ok(()) => Ok(None),
            Err(failure) if failure.is_refusal() => {
                match run_tx_control(self.writer, BACK_TO_SAVEPOINT).await {
                    Ok(()) => Ok(Some(failure)),
                    // a trigger has ended the transaction (SQLite's RAISE(ROLLBACK))
                    Err(none) if none.error.kind() == ErrorKind::Config => Err(failure),
                    Err(other) => Err(other),
                }
            }
            Err(failure) => Err(failure),
        }
    }

    async fn apply(&mut self, records: &[RecordIndex]) -> Result<(), WriteFailure> {
        let Some(deferral) = self.deferral else {
            return self.writer.apply(records).await;
        };
        run_tx_control(self.writer, deferral.defer).await?;
        self.writer.apply(records).await?;
        run_tx_control(self.writer, deferral.check).await
    }

    /// Turns the failure into one of this record, without which the others were accepted.
    fn attribute_to_record(&self, failure: WriteFailure, record: RecordIndex) -> WriteFailure {
        if failure.records == [record] {
            return failure;
        }
        WriteFailure::of_record(failure.error, self.writer.table_of(record), record)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bisection, RecordIndex};

    fn records(indices: impl IntoIterator<Item = usize>) -> Vec<RecordIndex> {
        indices.into_iter().map(RecordIndex).collect()
    }

    #[test]
    fn each_record_that_fails_is_found_in_order_and_each_other_one_is_accepted_once() {
        for most in [1, 3, 100] {
            let all = records(0..50);
            let bad = records([0, 7, 8, 31, 49]);
            let (mut found, mut accepted) = (Vec::new(), Vec::new());
            let mut search = Bisection::of(&all);
            while let Some(part) = search.next(|part| part.len().min(most)) {
                if part.iter().any(|record| bad.contains(record)) {
                    found.extend(search.halve(part));
                } else {
                    accepted.extend_from_slice(part);
                }
            }
            assert_eq!(found, bad);
            accepted.extend(found);
            accepted.sort_unstable();
            assert_eq!(accepted, all);
        }
    }

    #[test]
    fn a_search_that_is_stopped_names_a_record_it_has_not_tried() {
        let all = records(0..4);
        let mut search = Bisection::of(&all);
        let part = search.next(<[_]>::len).unwrap();
        assert!(search.is_empty());
        assert_eq!(search.halve(part), None);
        search.next(<[_]>::len);
        assert_eq!(search.stop(), Some(RecordIndex(2)));
        assert!(search.is_empty());
    }

    #[test]
    fn nothing_is_tried_where_there_is_nothing() {
        assert_eq!(Bisection::of(&[]).next(<[_]>::len), None);
    }
}
