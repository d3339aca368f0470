//! Finds the records that a constraint refuses which is checked at the end of a transaction.
//!
//! Such a constraint speaks of all rows together: a row may need one that stands later in the batch, in another table,
//! too. So no row is to blame until everything else that can stand without it does.

use connector_api::{ErrorKind, async_trait};

use super::batch::{
    BatchWriter, RecordWriter, TableWrite, WriteFailure, run_tx_control, write_all,
};
use super::group::RowGroup;
use crate::dialect::writing::DeferredConstraints;
use crate::driver::Session;

/// So many rows are tried in pairs, at most.
const MOST_IN_PAIRS: usize = 24;

/// The rows of all tables.
pub struct BatchWrite<'a, 'b> {
    pub writer: &'a mut BatchWriter<'b>,
    /// Each table's, by its number.
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

/// Writes the records, which are in order. If constraints refuse them, adds those to `culprits` without which they do
/// not; the transaction is to be rolled back then.
/// Errors: all kinds but `Record`, and that one where no record is to blame.
pub async fn isolate_rejected(
    apply: &mut dyn RecordWriter,
    records: &[usize],
    deferral: DeferredConstraints,
    culprits: &mut Vec<(usize, WriteFailure)>,
) -> Result<(), WriteFailure> {
    let mut search = CycleSearch { apply, deferral };
    // what the transaction began with may be refused already
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
            // these may have waited for what is there now
            refused.iter().map(|(record, _)| *record).collect()
        } else if let Some(rest) = search.apply_cyclic(&left).await? {
            rest
        } else {
            culprits.extend(refused);
            return Ok(());
        };
        left = rest;
    }
    // every row could stand in some order, but not in that of the batch
    Err(failure)
}

struct CycleSearch<'a> {
    apply: &'a mut dyn RecordWriter,
    deferral: DeferredConstraints,
}

impl CycleSearch<'_> {
    /// Adds the records to what is there, unless constraints refuse the outcome: then the reason is returned.
    async fn try_apply(&mut self, records: &[usize]) -> Result<Option<WriteFailure>, WriteFailure> {
        run_tx_control(self.apply, "SAVEPOINT rowferry_sift").await?;
        let applied = async {
            run_tx_control(self.apply, self.deferral.wait).await?;
            self.apply.apply(records).await?;
            run_tx_control(self.apply, self.deferral.check).await
        };
        match applied.await {
            Ok(()) => Ok(None),
            Err(failure) if failure.error.kind() == ErrorKind::Record => {
                run_tx_control(self.apply, "ROLLBACK TO SAVEPOINT rowferry_sift").await?;
                Ok(Some(failure))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Adds what can be added, halving what cannot. Returns the others.
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
                [one] => refused.push((*one, self.blame(failure, *one))),
                _ => {
                    let (first, second) = now.split_at(now.len() / 2);
                    todo.extend([second, first]);
                }
            }
        }
        Ok(refused)
    }

    /// Rows that need each other in a circle can be added together only. Where few are left, all but one are tried, and
    /// every two. Returns what is left then; `None`: no such rows were found.
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

    /// The failure as that of the one record.
    fn blame(&self, failure: WriteFailure, record: usize) -> WriteFailure {
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
