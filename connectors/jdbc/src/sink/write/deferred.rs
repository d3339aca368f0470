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

#![expect(
    clippy::indexing_slicing,
    reason = "positions are below the length of the same list"
)]

use std::collections::BTreeMap;

use connector_api::async_trait;

use super::batch::{BatchWriter, RecordWriter, TableWrite, write_all};
use super::failure::WriteFailure;
use super::group::RowGroup;
use super::index::{RecordIndex, TableIndex};
use super::rejected::{RefusedRecord, RejectedSearch};
use crate::driver::Session;

/// Most rows that are tried in pairs.
const MOST_IN_PAIRS: usize = 24;

/// The rows of all tables of a batch.
pub(crate) struct BatchWrite<'a, 'b> {
    writer: &'a mut BatchWriter<'b>,
    groups: Vec<(TableIndex, Vec<RowGroup>)>,
    /// The table of each record.
    tables: BTreeMap<RecordIndex, TableIndex>,
}

impl<'a, 'b> BatchWrite<'a, 'b> {
    /// Takes the groups of each table.
    pub(crate) fn new(
        writer: &'a mut BatchWriter<'b>,
        groups: Vec<(TableIndex, Vec<RowGroup>)>,
    ) -> Self {
        let mut tables = BTreeMap::new();
        for (table, groups) in &groups {
            let records = groups.iter().flat_map(|rows| &rows.records);
            tables.extend(records.map(|record| (*record, *table)));
        }
        Self {
            writer,
            groups,
            tables,
        }
    }

    /// Returns the records in order.
    pub(crate) fn records(&self) -> Vec<RecordIndex> {
        self.tables.keys().copied().collect()
    }
}

#[async_trait]
impl RecordWriter for BatchWrite<'_, '_> {
    fn session(&mut self) -> &mut dyn Session {
        &mut *self.writer.session
    }

    fn chunk(&self, left: &[RecordIndex]) -> usize {
        left.len()
    }

    fn table_of(&self, record: RecordIndex) -> Option<TableIndex> {
        self.tables.get(&record).copied()
    }

    /// Writes these records, which are in order.
    async fn apply(&mut self, records: &[RecordIndex]) -> Result<(), WriteFailure> {
        for (table, groups) in &self.groups {
            for rows in groups {
                let wanted: Vec<RecordIndex> = rows
                    .records
                    .iter()
                    .filter(|record| records.binary_search(record).is_ok())
                    .copied()
                    .collect();
                let mut part = TableWrite {
                    writer: &mut *self.writer,
                    table: *table,
                    rows,
                };
                write_all(&mut part, &wanted).await?;
            }
        }
        Ok(())
    }
}

impl RejectedSearch<'_> {
    /// Writes the records, which are in order. If constraints refuse them, returns those without
    /// which the constraints hold; then the transaction must be rolled back.
    /// Errors: all kinds but `Record`; `Record` if no single record can be named.
    pub(crate) async fn run_deferred(
        &mut self,
        records: &[RecordIndex],
    ) -> Result<Vec<RefusedRecord>, WriteFailure> {
        // what the transaction wrote before may violate a constraint already
        if let Some(failure) = self.try_apply(&[]).await? {
            return Err(failure);
        }
        let Some(failure) = self.try_apply(records).await? else {
            return Ok(Vec::new());
        };
        let mut left = records.to_vec();
        while !left.is_empty() {
            let refused = self.run(&left).await?;
            if refused.len() < left.len() {
                // the refused rows may have needed rows that are written now
                left = refused.iter().map(|refused| refused.record).collect();
            } else if let Some(rest) = self.apply_cyclic(&left).await? {
                left = rest;
            } else {
                return Ok(refused);
            }
        }
        // all rows can be written in some order, but not in that of the batch
        Err(failure)
    }

    /// Writes rows that need each other in a cycle, which succeed only together. If few rows are
    /// left, tries all but one and every pair. Returns the remaining rows; `None` if no such rows
    /// were found. This runs only after a COMMIT was refused, over rows that no other row makes
    /// acceptable.
    async fn apply_cyclic(
        &mut self,
        left: &[RecordIndex],
    ) -> Result<Option<Vec<RecordIndex>>, WriteFailure> {
        if left.len() > MOST_IN_PAIRS {
            return Ok(None);
        }
        let but_one = (0..left.len()).map(|one| [&left[..one], &left[one + 1..]].concat());
        let pairs = (1..left.len()).flat_map(|b| (0..b).map(move |a| vec![left[a], left[b]]));
        for together in but_one.chain(pairs).filter(|together| together.len() > 1) {
            if self.try_apply(&together).await?.is_some() {
                continue;
            }
            let mut rest = left.to_vec();
            rest.retain(|record| !together.contains(record));
            return Ok(Some(rest));
        }
        Ok(None)
    }
}
