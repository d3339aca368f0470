//! Finds the records that are rejected by a constraint checked at the end of the transaction.
//!
//! Such a constraint concerns all rows together: a row may need another one that comes later in the
//! batch, perhaps in another table. So no record is rejected until every row that can be written
//! without it has been written.
//!
//! The case of users: tables that refer to each other, such as departments with their heads and
//! employees with their departments. Either row is refused alone, and both are good: with
//! `errors.tolerance=all`, a search that tried rows one by one would send good records to the dead
//! letters because one other record of their batch is bad.

use connector_api::{ErrorKind, async_trait};

use super::batch::{
    BACK_TO_SAVEPOINT, BatchWriter, RecordWriter, SAVEPOINT, TableWrite, WriteFailure,
    run_tx_control, write_all,
};
use super::group::RowGroup;
use crate::dialect::writing::DeferredConstraints;
use crate::driver::Session;

/// Most rows that are tried in pairs.
const MOST_IN_PAIRS: usize = 24;

/// The rows of all tables of a batch.
pub struct BatchWrite<'a, 'b> {
    pub writer: &'a mut BatchWriter<'b>,
    /// The groups of each table, by its number.
    pub groups: Vec<(usize, Vec<RowGroup>)>,
}

impl BatchWrite<'_, '_> {
    /// Indices of the records, in order.
    pub fn records(&self) -> Vec<usize> {
        let rows = self.groups.iter().flat_map(|(_, groups)| groups);
        let mut records: Vec<usize> = rows.flat_map(|rows| rows.records.iter().copied()).collect();
        records.sort_unstable();
        records
    }
}

#[async_trait]
impl RecordWriter for BatchWrite<'_, '_> {
    fn session(&mut self) -> &mut dyn Session {
        &mut *self.writer.session
    }

    fn chunk(&self, left: &[usize]) -> usize {
        left.len()
    }

    fn target(&self, record: usize) -> usize {
        let has = |groups: &Vec<RowGroup>| groups.iter().any(|rows| rows.records.contains(&record));
        self.groups
            .iter()
            .find(|(_, groups)| has(groups))
            .map_or(usize::MAX, |(target, _)| *target)
    }

    async fn apply(&mut self, records: &[usize]) -> Result<(), WriteFailure> {
        for (target, groups) in &self.groups {
            for rows in groups {
                let wanted = rows
                    .records
                    .iter()
                    .filter(|record| records.binary_search(record).is_ok());
                let wanted: Vec<usize> = wanted.copied().collect();
                write_all(
                    &mut TableWrite {
                        writer: &mut *self.writer,
                        target: *target,
                        rows,
                    },
                    &wanted,
                )
                .await?;
            }
        }
        Ok(())
    }
}

/// Writes the records, which are in order. If constraints refuse them, adds to `culprits` those
/// without which the constraints hold; then the transaction must be rolled back.
/// Errors: all kinds but `Record`; `Record` if no single record can be named.
pub async fn isolate_rejected(
    apply: &mut dyn RecordWriter,
    records: &[usize],
    deferral: DeferredConstraints,
    culprits: &mut Vec<(usize, WriteFailure)>,
) -> Result<(), WriteFailure> {
    let mut search = CycleSearch { apply, deferral };
    // what the transaction wrote before may violate a constraint already
    if let Some(failure) = search.try_apply(&[]).await? {
        return Err(failure);
    }
    let Some(failure) = search.try_apply(records).await? else {
        return Ok(());
    };
    let mut left = records.to_vec();
    while !left.is_empty() {
        let refused = search.bisect(&left).await?;
        let rest = if refused.len() < left.len() {
            // the refused rows may have needed rows that are written now
            refused.iter().map(|(record, _)| *record).collect()
        } else if let Some(rest) = search.apply_cyclic(&left).await? {
            rest
        } else {
            culprits.extend(refused);
            return Ok(());
        };
        left = rest;
    }
    // all rows can be written in some order, but not in that of the batch
    Err(failure)
}

struct CycleSearch<'a> {
    apply: &'a mut dyn RecordWriter,
    deferral: DeferredConstraints,
}

impl CycleSearch<'_> {
    /// Writes the records on top of what is written. If constraints refuse the result, rolls them
    /// back and returns the failure.
    async fn try_apply(&mut self, records: &[usize]) -> Result<Option<WriteFailure>, WriteFailure> {
        run_tx_control(self.apply, SAVEPOINT).await?;
        let applied = async {
            run_tx_control(self.apply, self.deferral.wait).await?;
            self.apply.apply(records).await?;
            run_tx_control(self.apply, self.deferral.check).await
        };
        match applied.await {
            Ok(()) => Ok(None),
            Err(failure) if failure.error.kind() == ErrorKind::Record => {
                run_tx_control(self.apply, BACK_TO_SAVEPOINT).await?;
                Ok(Some(failure))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Writes what can be written, halving what cannot. Returns the refused records.
    async fn bisect(
        &mut self,
        records: &[usize],
    ) -> Result<Vec<(usize, WriteFailure)>, WriteFailure> {
        let (mut todo, mut refused) = (vec![records], Vec::new());
        while let Some(now) = todo.pop() {
            let Some(failure) = self.try_apply(now).await? else {
                continue;
            };
            match now {
                [one] => refused.push((*one, self.attribute_to_record(failure, *one))),
                _ => {
                    let (first, second) = now.split_at(now.len() / 2);
                    todo.extend([second, first]);
                }
            }
        }
        Ok(refused)
    }

    /// Writes rows that need each other in a cycle, which succeed only together. If few rows are
    /// left, tries all but one and every pair. Returns the remaining rows; `None` if no such rows
    /// were found.
    async fn apply_cyclic(&mut self, left: &[usize]) -> Result<Option<Vec<usize>>, WriteFailure> {
        if left.len() > MOST_IN_PAIRS {
            return Ok(None);
        }
        let but_one = (0..left.len()).map(|one| [&left[..one], &left[one + 1..]].concat());
        let pairs = (1..left.len()).flat_map(|b| (0..b).map(move |a| vec![left[a], left[b]]));
        for together in but_one.chain(pairs).filter(|together| together.len() > 1) {
            if self.try_apply(&together).await?.is_none() {
                return Ok(Some(
                    left.iter()
                        .filter(|record| !together.contains(record))
                        .copied()
                        .collect(),
                ));
            }
        }
        Ok(None)
    }

    /// Turns the failure into one of this record.
    fn attribute_to_record(&self, failure: WriteFailure, record: usize) -> WriteFailure {
        match failure.records.as_slice() {
            [one] if *one == record => failure,
            _ => WriteFailure {
                error: failure.error,
                target: self.apply.target(record),
                records: vec![record],
            },
        }
    }
}
