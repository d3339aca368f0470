//! The transaction of a batch: written, then left open until it is committed or rolled back.

#![expect(
    clippy::indexing_slicing,
    reason = "a TableIndex is of this task's tables"
)]

use std::borrow::Cow;

use connector_api::{Error, ErrorKind, PutReport, Rejected, Result, SinkRecord, TopicOffset};

use super::prepare::TableOperations;
use super::{JdbcSinkTask, position_of};
use crate::dialect::writing::{DeferredConstraints, WriteDialect};
use crate::driver::Session;
use crate::sink::offsets::Tx;
use crate::sink::statement::{StatementRunner, StatementSet};
use crate::sink::write::batch::{BatchWriter, RecordWriter, TableWrite, write_all};
use crate::sink::write::connection::WriteConnection;
use crate::sink::write::deferred::BatchWrite;
use crate::sink::write::failure::WriteFailure;
use crate::sink::write::index::{RecordIndex, RecordSet, TableIndex};
use crate::sink::write::known_table::pin;
use crate::sink::write::rejected::{RefusedRecord, RejectedSearch};
use crate::sink::write::target::TargetTable;

/// How to search for the records that the database rejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CulpritSearch {
    None,
    /// By failing statements, each rolled back to a savepoint.
    Rows,
    /// One record after the other, up to the first that fails: for triggers that end the
    /// transaction, with its savepoints.
    FirstOne,
    /// By constraints that are checked at the end of the transaction.
    Deferred(DeferredConstraints),
}

impl CulpritSearch {
    /// Returns how to search after a refusal that this search did not attribute to a record.
    fn next(self) -> Option<Self> {
        match self {
            Self::None => Some(Self::Rows),
            Self::Rows => Some(Self::FirstOne),
            Self::FirstOne | Self::Deferred(_) => None,
        }
    }

    /// Returns the record over which [`Self::FirstOne`] has stopped.
    fn attribute(self, failure: WriteFailure) -> Result<Vec<RefusedRecord>, WriteFailure> {
        match failure.records.as_slice() {
            &[record] if self == Self::FirstOne && failure.is_refusal() => {
                Ok(vec![RefusedRecord { record, failure }])
            }
            _ => Err(failure),
        }
    }

    /// Writes the records; returns those that the database rejects, if it searches for them.
    async fn write(
        self,
        writer: &mut dyn RecordWriter,
        records: &[RecordIndex],
    ) -> Result<Vec<RefusedRecord>, WriteFailure> {
        let deferral = match self {
            Self::None => return write_all(writer, records).await.map(|()| Vec::new()),
            Self::FirstOne => {
                for record in records {
                    writer.apply(std::slice::from_ref(record)).await?;
                }
                return Ok(Vec::new());
            }
            Self::Rows => None,
            Self::Deferred(deferral) => Some(deferral),
        };
        let mut search = RejectedSearch { writer, deferral };
        match deferral {
            None => search.run(records).await,
            Some(_) => search.run_deferred(records).await,
        }
    }
}

/// What a transaction writes and stores.
pub(super) struct BatchContent<'a> {
    pub rows: &'a [SinkRecord],
    pub next: &'a [TopicOffset],
    pub operations: &'a [TableOperations],
}

impl BatchContent<'_> {
    /// Returns the operations without those of some records.
    fn operations_without(&self, skipped: &RecordSet) -> Cow<'_, [TableOperations]> {
        if skipped.is_empty() {
            return Cow::Borrowed(self.operations);
        }
        let mut operations = self.operations.to_vec();
        for table in &mut operations {
            table.rows.retain(|op| !skipped.contains(op.record));
        }
        Cow::Owned(operations)
    }
}

impl JdbcSinkTask {
    /// Writes a batch and leaves its transaction open. If the database rejects records, searches for
    /// them and writes the batch without them.
    pub(super) async fn write_batch(
        &mut self,
        batch: &[SinkRecord],
        next: &[TopicOffset],
    ) -> Result<PutReport> {
        let mut prepared = self.prepare(batch).await?;
        let mut rejected = std::mem::take(&mut prepared.rejected);
        let content = BatchContent {
            rows: prepared.rows(batch),
            next,
            operations: &prepared.operations,
        };
        self.reject_blamed(&content, &mut rejected)?;
        let mut search = CulpritSearch::None;
        loop {
            let skipped = rejected.iter().map(|r| RecordIndex(r.index)).collect();
            let written = self.transaction(&content, &skipped, search).await;
            let refused = match written.or_else(|failure| search.attribute(failure)) {
                Ok(refused) => refused,
                Err(failure) => {
                    if let Some(next) = search.next().filter(|_| failure.is_refusal()) {
                        search = next;
                        continue;
                    }
                    let is_lost = self.connection.is_lost();
                    self.losses.note(next, &failure, is_lost);
                    return Err(self.with_record_context(content.rows, failure));
                }
            };
            if !refused.is_empty() {
                self.reject(content.rows, refused, &mut rejected)?;
                search = CulpritSearch::None;
                continue;
            }
            match self.check_deferred(search).await? {
                Some(deferral) => search = CulpritSearch::Deferred(deferral),
                None => break,
            }
        }
        rejected.sort_by_key(|r| r.index);
        Ok(PutReport { rejected })
    }

    /// Adds the records that are known to end the connection.
    /// Errors: the first of them, if errors are not tolerated.
    fn reject_blamed(
        &self,
        content: &BatchContent<'_>,
        rejected: &mut Vec<Rejected>,
    ) -> Result<()> {
        for Rejected { index, error } in self.losses.blamed(content.next) {
            let position = content
                .rows
                .get(index)
                .map_or_else(String::new, position_of);
            let error = error.context(position);
            if !self.tolerate {
                return Err(error);
            }
            rejected.retain(|known| known.index != index);
            rejected.push(Rejected { index, error });
        }
        Ok(())
    }

    /// Adds the records that the database refused.
    /// Errors: the first of them, if errors are not tolerated.
    fn reject(
        &self,
        rows: &[SinkRecord],
        mut refused: Vec<RefusedRecord>,
        rejected: &mut Vec<Rejected>,
    ) -> Result<()> {
        refused.sort_by_key(|refused| refused.record);
        for RefusedRecord { record, failure } in refused {
            let error = self.with_record_context(rows, failure);
            if !self.tolerate {
                return Err(error);
            }
            rejected.push(Rejected {
                index: record.0,
                error,
            });
        }
        Ok(())
    }

    /// Writes all records but the skipped ones, and leaves the transaction open. With `search`,
    /// finds the records that the database rejects; if there are any, rolls back and returns them.
    pub(super) async fn transaction(
        &mut self,
        content: &BatchContent<'_>,
        skipped: &RecordSet,
        search: CulpritSearch,
    ) -> Result<Vec<RefusedRecord>, WriteFailure> {
        self.connection.get()?.session.begin().await?;
        let written = self.write_rows(content, skipped, search).await;
        if matches!(&written, Ok(refused) if refused.is_empty()) {
            self.tx = Tx::Open {
                next: content.next.to_vec(),
            };
            return written;
        }
        let rolled_back = self.connection.get()?.session.rollback().await;
        // the failure of the rows says more than that of the rollback
        let refused = written?;
        rolled_back?;
        Ok(refused)
    }

    /// Writes offsets and rows inside the transaction. Returns the records that the database
    /// rejects.
    async fn write_rows(
        &mut self,
        content: &BatchContent<'_>,
        skipped: &RecordSet,
        search: CulpritSearch,
    ) -> Result<Vec<RefusedRecord>, WriteFailure> {
        let connection = self.connection.get()?;
        // Offsets first: a fenced task fails before it writes a row, and the row locks make a
        // task that claims the partition wait.
        if self.config.exactly_once {
            self.offsets
                .advance(&mut *connection.session, connection.writing, content.next)
                .await?;
        }
        self.check_engines(content).await?;
        let connection = self.connection.get()?;
        let operations = content.operations_without(skipped);
        if let Some(statements) = &mut self.statements {
            let refused =
                run_statements(connection, statements, content, &operations, search).await?;
            if refused.is_empty()
                && !statements
                    .tables_hold(
                        &mut *connection.session,
                        connection.writing,
                        operations
                            .iter()
                            .flat_map(|of_table| &of_table.rows)
                            .map(|op| op.plan),
                    )
                    .await?
            {
                self.table_changed = true;
                return Err(changed().into());
            }
            return Ok(refused);
        }
        let WriteConnection {
            session,
            writing,
            here,
        } = connection;
        let session = &mut **session;
        delete_rows(session, writing, &self.targets, &self.truncated).await?;
        let mut writer = BatchWriter {
            session: &mut *session,
            config: &self.config,
            writing,
            here,
            tables: &mut self.targets,
            batch: content.rows,
            tries_copy: search == CulpritSearch::None,
        };
        let refused = write_tables(&mut writer, &operations, search).await?;
        if !refused.is_empty() {
            return Ok(refused);
        }
        // the transaction locks its tables: they are now as each statement saw them
        match changed_table(session, writing, &mut self.targets, content.operations).await? {
            Some(table) => {
                self.table_changed = true;
                Err(WriteFailure::of_table(changed(), table))
            }
            None => Ok(refused),
        }
    }

    /// Checks before the first row that no table of the batch has changed since it was read, or with
    /// statements that their tables can roll back: a table that others have given a storage engine
    /// without transactions would keep the rows of the batch although it is rolled back.
    async fn check_engines(&mut self, content: &BatchContent<'_>) -> Result<(), WriteFailure> {
        let WriteConnection {
            session, writing, ..
        } = self.connection.get()?;
        let (session, writing) = (&mut **session, *writing);
        if !self.config.exactly_once || !writing.capabilities.has_engines_without_rollback {
            return Ok(());
        }
        if let Some(statements) = &self.statements {
            let text = statements.no_rollback(session, writing).await?;
            return text.map_or(Ok(()), |text| Err(Error::config(text).into()));
        }
        for TableOperations { table, rows } in content.operations {
            if let Some(table) = table.filter(|_| !rows.is_empty()) {
                pin(session, writing, &self.targets[table].id).await?;
            }
        }
        match changed_table(session, writing, &mut self.targets, content.operations).await? {
            Some(table) => {
                self.table_changed = true;
                Err(WriteFailure::of_table(changed(), table))
            }
            None => Ok(()),
        }
    }

    /// Once a deferred constraint has failed a COMMIT, runs the constraint checks before
    /// committing, so that the offending records can be isolated. If a constraint fails, rolls back
    /// and returns how to find them.
    pub(super) async fn check_deferred(
        &mut self,
        search: CulpritSearch,
    ) -> Result<Option<DeferredConstraints>> {
        if !self.checks_deferred_early || matches!(search, CulpritSearch::Deferred(_)) {
            return Ok(None);
        }
        let connection = self.connection.get()?;
        let Some(deferral) = connection.writing.capabilities.deferred_constraints else {
            return Ok(None);
        };
        let Err(error) = connection.session.run(deferral.check).await else {
            return Ok(None);
        };
        self.tx.rollback_open(self.connection.as_mut()).await?;
        if error.kind() == ErrorKind::Record {
            Ok(Some(deferral))
        } else {
            Err(error)
        }
    }

    /// If a deferred constraint has failed a commit for the first time, returns the error that
    /// makes the runtime put the batch again.
    pub(super) fn retry_with_deferred_checks(&mut self, error: &Error) -> Option<Error> {
        let deferral = self
            .connection
            .writing()
            .and_then(|writing| writing.capabilities.deferred_constraints);
        if error.kind() != ErrorKind::Record || self.checks_deferred_early || deferral.is_none() {
            return None;
        }
        self.checks_deferred_early = true;
        Some(Error::retry(format!(
            "a constraint that is checked at commit refused the batch; searching for the record: \
             {error}"
        )))
    }

    /// True if the last commit was in doubt and has stored `next`.
    pub(super) async fn resolve_in_doubt(&mut self, next: &[TopicOffset]) -> Result<bool> {
        if !self.tx.is_in_doubt() {
            return Ok(false);
        }
        self.connect().await?;
        let connection = self.connection.get()?;
        self.tx
            .resolve_in_doubt(connection, &self.offsets, next)
            .await
    }
}

/// Deletes all rows of tables that truncation events have emptied.
async fn delete_rows(
    session: &mut dyn Session,
    writing: &WriteDialect,
    tables: &[TargetTable],
    truncated: &[TableIndex],
) -> Result<(), WriteFailure> {
    for &table in truncated {
        let sql = format!("DELETE FROM {}", writing.dialect.table(&tables[table].id));
        let deleted = session.run(&sql).await;
        deleted.map_err(|error| WriteFailure::of_table(error, table))?;
    }
    Ok(())
}

/// Runs the user's statements for each record.
async fn run_statements(
    connection: &mut WriteConnection,
    statements: &StatementSet,
    content: &BatchContent<'_>,
    operations: &[TableOperations],
    search: CulpritSearch,
) -> Result<Vec<RefusedRecord>, WriteFailure> {
    let mut refused = Vec::new();
    for TableOperations { rows, .. } in operations {
        let records: Vec<RecordIndex> = rows.iter().map(|op| op.record).collect();
        let mut runner = StatementRunner {
            session: &mut *connection.session,
            statements,
            writing: connection.writing,
            largest: connection.here.largest,
            batch: content.rows,
            ops: rows,
        };
        refused.extend(search.write(&mut runner, &records).await?);
    }
    Ok(refused)
}

/// Writes the operations of each table; with deferred constraints, those of all tables together.
async fn write_tables(
    writer: &mut BatchWriter<'_>,
    operations: &[TableOperations],
    search: CulpritSearch,
) -> Result<Vec<RefusedRecord>, WriteFailure> {
    let of_tables = operations
        .iter()
        .filter_map(|of_table| Some((of_table.table?, &of_table.rows)));
    if let CulpritSearch::Deferred(_) = search {
        let groups = of_tables
            .map(|(table, ops)| (table, writer.group(table, ops)))
            .collect();
        let mut batch = BatchWrite::new(writer, groups);
        let records = batch.records();
        return search.write(&mut batch, &records).await;
    }
    let mut refused = Vec::new();
    for (table, ops) in of_tables {
        for rows in writer.group(table, ops) {
            let mut part = TableWrite {
                writer,
                table,
                rows: &rows,
            };
            refused.extend(search.write(&mut part, &rows.records).await?);
        }
    }
    Ok(refused)
}

/// Returns a table that is no longer the one that its rows were converted and grouped for, if the
/// database would not report that as an error.
async fn changed_table(
    session: &mut dyn Session,
    writing: &WriteDialect,
    tables: &mut [TargetTable],
    operations: &[TableOperations],
) -> Result<Option<TableIndex>> {
    for TableOperations { table, rows } in operations {
        let Some(index) = *table else { continue };
        if !rows.is_empty() && !tables[index].holds(session, writing).await? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// The error of a transaction that has written a table as it no longer is.
fn changed() -> Error {
    Error::retry("its definition was changed after the table was read; it is read again")
}
