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
use super::transaction::CulpritSearch;
use crate::sink::write::batch::WriteFailure;

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
    suspects: Vec<usize>,
    /// The records found, each with the number of times that it ended the connection.
    blamed: Vec<(usize, u32)>,
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
        let blamed = if self.next == next {
            self.blamed.as_slice()
        } else {
            &[]
        };
        let rejected = |&(index, times): &(usize, u32)| Rejected {
            index,
            error: Error::record(format!(
                "the server ended the connection each of the {times} times that this record was written by itself, and is \
                 there for others; its log may say why"
            )),
        };
        blamed.iter().map(rejected).collect()
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
            "connections are lost over the same batch; looking for a record that ends them"
        );
        let found = self.halved(batch, next, suspects).await?;
        // if there is another one, the next loss starts the search again
        self.losses.count = if found.is_some() { LOSSES - 1 } else { 0 };
        self.losses.blamed.extend(found);
        Ok(())
    }

    /// Halves the suspects until one is left, and confirms that one. `None` if no record ends the
    /// connection every time.
    async fn halved(
        &mut self,
        batch: &[SinkRecord],
        next: &[TopicOffset],
        mut suspects: Vec<usize>,
    ) -> Result<Option<(usize, u32)>> {
        let mut taken = None;
        while suspects.len() > 1 {
            let second = suspects.split_off(suspects.len() / 2);
            if self.ends_the_connection(batch, next, &suspects).await? {
                taken = second.first().copied().or(taken);
            } else {
                taken = suspects.first().copied().or(taken);
                suspects = second;
            }
        }
        let Some(&alone) = suspects.first() else {
            return Ok(None);
        };
        let blamed = self.losses.blamed(next);
        let is_other = |index: &usize| {
            *index != alone && blamed.iter().all(|rejected| rejected.index != *index)
        };
        let other = taken.into_iter().chain(0..batch.len()).find(is_other);
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
        Ok(Some((alone, times)))
    }

    /// Writes only these records of the batch, and rolls them back. True if the connection was lost
    /// over them.
    async fn ends_the_connection(
        &mut self,
        batch: &[SinkRecord],
        next: &[TopicOffset],
        records: &[usize],
    ) -> Result<bool> {
        self.connect().await?;
        let (adapted, ops, _) = self.prepare(batch).await?;
        let batch = adapted.as_deref().unwrap_or(batch);
        let others: Vec<usize> = (0..batch.len())
            .filter(|index| !records.contains(index))
            .collect();
        let outcome = self
            .transaction(batch, next, &ops, &others, CulpritSearch::None)
            .await;
        let lost = self.connection.is_lost();
        match outcome {
            Ok(_) => {
                self.tx.rollback_open(self.connection.as_mut()).await?;
                Ok(false)
            }
            Err(failure)
                if failure.error.kind() == ErrorKind::Retry
                    && lost
                    && !failure.records.is_empty() =>
            {
                Ok(true)
            }
            Err(failure) if failure.error.kind() == ErrorKind::Retry => Err(failure.error),
            Err(_) => Ok(false),
        }
    }
}
