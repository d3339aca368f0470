//! Writes a batch again before its outcome counts: after another process has changed a table, or
//! after the server has dropped a prepared statement.

#![expect(
    clippy::indexing_slicing,
    reason = "a TableIndex is of this task's tables"
)]

use std::collections::BTreeSet;

use connector_api::{ErrorKind, PutReport, Result, SinkRecord, TopicOffset};

use super::JdbcSinkTask;
use crate::sink::statement::StatementSet;
use crate::sink::write::index::TableIndex;

/// How many times the tables of one batch are read again because they change while it is written.
const MOST_TABLE_CHANGES: u32 = 3;

/// What has been done again for a batch already.
#[derive(Default)]
struct Repetitions {
    /// The tables were read.
    read: bool,
    /// The statements were prepared.
    prepared: bool,
    /// How many times a table had changed.
    changes: u32,
}

#[derive(Clone, Copy, Debug)]
enum Again {
    /// Read the tables again.
    Read,
    /// Prepare the statements again; the session does so on its next call.
    Prepare,
}

impl JdbcSinkTask {
    /// Writes a batch and leaves its transaction open.
    pub(super) async fn try_put(
        &mut self,
        batch: &[SinkRecord],
        next: &[TopicOffset],
    ) -> Result<PutReport> {
        self.tx.rollback_open(self.connection.as_mut()).await?;
        // A commit in doubt may have stored this very batch; writing it again would write its rows
        // twice.
        if self.resolve_in_doubt(next).await? {
            return Ok(PutReport::default());
        }
        self.find_culprit(batch, next).await?;
        self.connect().await?;
        let read =
            self.targets.is_empty() && self.statements.as_ref().is_none_or(StatementSet::is_empty);
        let mut done = Repetitions {
            read,
            ..Repetitions::default()
        };
        loop {
            let outcome = self.write_batch(batch, next).await;
            let Some(again) = self.again(&outcome, batch, &mut done).await? else {
                return outcome;
            };
            tracing::debug!(?again, refused = ?outcome.err(), "the batch is written again");
            self.tx.rollback_open(self.connection.as_mut()).await?;
            if matches!(again, Again::Read) {
                self.forget_tables();
                done.read = true;
            }
        }
    }

    /// Decides whether the batch is written again. A server that has dropped a statement (behind a
    /// pooler, or after DDL) is no failure of the database and does not count as a retry.
    async fn again(
        &mut self,
        outcome: &Result<PutReport>,
        batch: &[SinkRecord],
        done: &mut Repetitions,
    ) -> Result<Option<Again>> {
        let dropped = self.connection.is_stale() && !self.connection.is_lost();
        let table_changed = std::mem::take(&mut self.table_changed);
        let changed = match outcome {
            Err(error) if error.kind() == ErrorKind::Retry && dropped && !done.prepared => {
                done.prepared = true;
                return Ok(Some(Again::Prepare));
            }
            Err(error) if error.kind() == ErrorKind::Retry && table_changed => {
                done.changes += 1;
                done.changes <= MOST_TABLE_CHANGES
            }
            _ if done.read => false,
            Err(error) if error.kind() == ErrorKind::Config => true,
            Err(error) if error.kind() == ErrorKind::Record => {
                self.tables_have_changed(batch).await?
            }
            Ok(report) if !report.rejected.is_empty() => self.tables_have_changed(batch).await?,
            _ => false,
        };
        Ok(changed.then_some(Again::Read))
    }

    /// True if another process has changed a table of the batch since it was read; then no refusal
    /// is final. Called once for a batch with rejected records, however many there are.
    async fn tables_have_changed(&mut self, batch: &[SinkRecord]) -> Result<bool> {
        let Some(connection) = self.connection.usable() else {
            return Ok(false);
        };
        if let Some(statements) = &self.statements {
            return statements
                .have_changed(&mut *connection.session, connection.writing)
                .await;
        }
        let mut tables: BTreeSet<TableIndex> = BTreeSet::new();
        for (index, record) in batch.iter().enumerate() {
            let given = self.names.get(index).and_then(Option::as_ref);
            let name = given.unwrap_or(&record.record.topic);
            tables.extend(self.by_name.get(name));
        }
        for table in tables {
            if self.targets[table]
                .has_changed(&mut *connection.session)
                .await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
