//! Finds a record that ends the connection each time it is written.
//!
//! A server that hangs up or crashes over one record does so at every try, and everything behind
//! that record would wait for ever. After several losses the batch is written in halves, each in a
//! transaction that is rolled back, until one record is left. It is rejected only if it ends the
//! connection every time it is written alone and the server accepts another record in between. A
//! server that is down does not match (no connection can be made), and neither does one that
//! restarts for another reason (it accepts each record at some try).

use connector_api::{Error, ErrorKind, Rejected, Result, SinkRecord, TopicOffset};

use super::JdbcSinkTask;
use super::transaction::{BatchContent, CulpritSearch};
use crate::sink::write::failure::WriteFailure;
use crate::sink::write::index::{RecordIndex, RecordSet};
use crate::sink::write::rejected::Bisection;

/// Losses in a row after which the search begins.
const LOSSES: u32 = 3;

/// How many times a record must end the connection when written alone, if another record is
/// accepted in between.
const CONFIRMED: u32 = 3;

/// Like [`CONFIRMED`], for a batch that has no other record.
const CONFIRMED_ALONE: u32 = 6;

/// Connections lost over the current batch.
#[derive(Debug, Default)]
pub(super) struct BatchLosses {
    /// The batch's next offsets, which identify it.
    next: Vec<TopicOffset>,
    /// Connections lost while its rows were written.
    count: u32,
    /// Records of the statement that was running when the connection was last lost.
    suspects: Vec<RecordIndex>,
    /// The records found.
    blamed: Vec<BlamedRecord>,
}

/// A record that ends the connection.
#[derive(Clone, Copy, Debug)]
struct BlamedRecord {
    record: RecordIndex,
    /// How many times it did so when it was written alone.
    times: u32,
}

impl BatchLosses {
    /// Counts a failed statement if the connection was lost with it.
    pub(super) fn note(&mut self, next: &[TopicOffset], failure: &WriteFailure, lost: bool) {
        if !lost || failure.error.kind() != ErrorKind::Retry || failure.records.is_empty() {
            return;
        }
        if self.next != next {
            *self = Self {
                next: next.to_vec(),
                ..Self::default()
            };
        }
        self.count += 1;
        self.suspects.clone_from(&failure.records);
    }

    /// Returns the records found in this batch, each with its error.
    pub(super) fn blamed(&self, next: &[TopicOffset]) -> Vec<Rejected> {
        if self.next != next {
            return Vec::new();
        }
        let rejected = |&BlamedRecord { record, times }: &BlamedRecord| Rejected {
            index: record.0,
            error: Error::record(format!(
                "the server closed the connection each of the {times} times that this record was \
                 written alone, and it is available for other records; its log may have the reason"
            )),
        };
        self.blamed.iter().map(rejected).collect()
    }
}

impl JdbcSinkTask {
    /// Searches for a record that ends connections, once enough were lost over this batch.
    /// Errors: `Retry` while no connection can be made.
    pub(super) async fn find_culprit(
        &mut self,
        batch: &[SinkRecord],
        next: &[TopicOffset],
    ) -> Result<()> {
        if self.losses.count < LOSSES || self.losses.next != next {
            return Ok(());
        }
        let suspects = self.losses.suspects.clone();
        tracing::warn!(
            losses = self.losses.count,
            records = suspects.len(),
            "connections are lost repeatedly with the same batch; searching for a record that \
             causes it"
        );
        let found = self.narrow_down(batch, next, &suspects).await?;
        // if there is another one, the next loss starts the search again
        self.losses.count = if found.is_some() { LOSSES - 1 } else { 0 };
        self.losses.blamed.extend(found);
        Ok(())
    }

    /// Halves the suspects until one is left, and confirms that one. `None` if no record ends the
    /// connection every time.
    async fn narrow_down(
        &mut self,
        batch: &[SinkRecord],
        next: &[TopicOffset],
        suspects: &[RecordIndex],
    ) -> Result<Option<BlamedRecord>> {
        let mut search = Bisection::of(suspects);
        let mut other = None;
        while let Some(part) = search.next(<[RecordIndex]>::len) {
            // The connection was lost over all of them, so the last part needs no try: each one
            // that is right costs a connection.
            let is_last = search.is_empty();
            if is_last || self.ends_the_connection(batch, next, part).await? {
                other = search.stop().or(other);
                if let Some(alone) = search.halve(part) {
                    return self.confirm(batch, next, alone, other).await;
                }
            } else {
                other = part.first().copied();
            }
        }
        Ok(None)
    }

    /// Writes a suspect several times alone, and another record in between: `other`, or any.
    async fn confirm(
        &mut self,
        batch: &[SinkRecord],
        next: &[TopicOffset],
        alone: RecordIndex,
        other: Option<RecordIndex>,
    ) -> Result<Option<BlamedRecord>> {
        let blamed: RecordSet = self.losses.blamed.iter().map(|b| b.record).collect();
        let is_other = |index: &RecordIndex| *index != alone && !blamed.contains(*index);
        let all = (0..batch.len()).map(RecordIndex);
        let other = other.into_iter().chain(all).find(is_other);
        let times = if other.is_some() {
            CONFIRMED
        } else {
            CONFIRMED_ALONE
        };
        for _ in 0..times {
            if !self.ends_the_connection(batch, next, &[alone]).await? {
                return Ok(None);
            }
            if let Some(other) = other
                && self.ends_the_connection(batch, next, &[other]).await?
            {
                return Ok(None);
            }
        }
        let record = alone;
        Ok(Some(BlamedRecord { record, times }))
    }

    /// Writes only these records of the batch, and rolls them back. True if the connection was lost
    /// over them.
    async fn ends_the_connection(
        &mut self,
        batch: &[SinkRecord],
        next: &[TopicOffset],
        records: &[RecordIndex],
    ) -> Result<bool> {
        self.connect().await?;
        let prepared = self.prepare(batch).await?;
        let content = BatchContent {
            rows: prepared.rows(batch),
            next,
            operations: &prepared.operations,
        };
        let written: RecordSet = records.iter().copied().collect();
        let all = (0..batch.len()).map(RecordIndex);
        let skipped = all.filter(|record| !written.contains(*record)).collect();
        let outcome = self
            .transaction(&content, &skipped, CulpritSearch::None)
            .await;
        let Err(failure) = outcome else {
            self.tx.rollback_open(self.connection.as_mut()).await?;
            return Ok(false);
        };
        if failure.error.kind() != ErrorKind::Retry {
            return Ok(false);
        }
        if !self.connection.is_lost() || failure.records.is_empty() {
            return Err(failure.error);
        }
        Ok(true)
    }
}
