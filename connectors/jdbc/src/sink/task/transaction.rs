//! The transaction of a batch: written, then left open until it is committed or rolled back.

use connector_api::{Error, ErrorKind, Result, SinkRecord, TopicOffset};

use super::JdbcSinkTask;
use crate::dialect::writing::{DeferredConstraints, WriteDialect};
use crate::driver::Session;
use crate::sink::offsets::Tx;
use crate::sink::statement::StatementRunner;
use crate::sink::write::batch::{self, BatchWriter, RecordWriter, TableWrite, WriteFailure};
use crate::sink::write::connection::WriteConnection;
use crate::sink::write::deferred::{self, BatchWrite};
use crate::sink::write::group::RowOperation;
use crate::sink::write::target::{TargetTable, WritePlan};

/// How to search for the records that the database rejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CulpritSearch {
    None,
    /// By failing statements.
    Rows,
    /// By constraints that are checked at the end of the transaction.
    Deferred(DeferredConstraints),
}

/// Deletes all rows of tables that truncation events have emptied.
async fn delete_rows(
    session: &mut dyn Session,
    writing: &WriteDialect,
    targets: &[TargetTable],
    emptied: &[usize],
) -> Result<(), WriteFailure> {
    for &target in emptied {
        let sql = format!("DELETE FROM {}", writing.dialect.table(&targets[target].id));
        session.run(&sql).await.map_err(|error| WriteFailure {
            error,
            target,
            records: Vec::new(),
        })?;
    }
    Ok(())
}

/// Writes the operations of each table; with deferred constraints, those of all tables together.
async fn write_tables(
    writer: &mut BatchWriter<'_>,
    ops: &[(usize, Vec<RowOperation>)],
    search: CulpritSearch,
    culprits: &mut Vec<(usize, WriteFailure)>,
) -> Result<(), WriteFailure> {
    if let CulpritSearch::Deferred(_) = search {
        let groups = ops
            .iter()
            .map(|(target, ops)| (*target, writer.group(*target, ops)))
            .collect();
        let mut whole = BatchWrite { writer, groups };
        let records = whole.records();
        return write_records(&mut whole, &records, search, culprits).await;
    }
    for (target, ops) in ops {
        for rows in writer.group(*target, ops) {
            let mut part = TableWrite {
                writer,
                target: *target,
                rows: &rows,
            };
            write_records(&mut part, &rows.records, search, culprits).await?;
        }
    }
    Ok(())
}

impl JdbcSinkTask {
    /// Writes all records except those in `bad`, and leaves the transaction open. With `search`,
    /// finds the records that the database rejects; if there are any, rolls back and returns them.
    pub(super) async fn transaction(
        &mut self,
        batch: &[SinkRecord],
        next: &[TopicOffset],
        ops: &[(usize, Vec<RowOperation>)],
        bad: &[usize],
        search: CulpritSearch,
    ) -> Result<Vec<(usize, WriteFailure)>, WriteFailure> {
        let plain = |error: Error| WriteFailure {
            error,
            target: usize::MAX,
            records: Vec::new(),
        };
        let connection = self.connection.get().map_err(plain)?;
        let WriteConnection {
            session,
            writing,
            here,
        } = connection;
        let session = &mut **session;
        session.begin().await.map_err(plain)?;
        let mut culprits = Vec::new();
        let written = async {
            // Offsets first: a fenced task fails before it writes a row, and the row locks make a
            // task that claims the partition wait.
            if self.config.exactly_once {
                self.offsets
                    .advance(session, writing, next)
                    .await
                    .map_err(plain)?;
            }
            delete_rows(session, writing, &self.targets, &self.emptied).await?;
            let good: Vec<(usize, Vec<RowOperation>)> = ops
                .iter()
                .map(|(target, ops)| {
                    let ops = ops.iter().filter(|op| !bad.contains(&op.record));
                    (*target, ops.copied().collect())
                })
                .collect();
            if let Some(statements) = &self.statements {
                for (_, ops) in &good {
                    let records: Vec<usize> = ops.iter().map(|op| op.record).collect();
                    let mut runner = StatementRunner {
                        session: &mut *session,
                        statements,
                        largest: here.largest,
                        batch,
                        ops,
                    };
                    write_records(&mut runner, &records, search, &mut culprits).await?;
                }
                return Ok(());
            }
            let mut writer = BatchWriter {
                session: &mut *session,
                config: &self.config,
                writing,
                here,
                targets: &mut self.targets,
                batch,
            };
            write_tables(&mut writer, &good, search, &mut culprits).await?;
            // the transaction locks its tables: their unique indexes now are those that each
            // statement saw
            let changed = changed_keys(session, writing, &self.targets, ops)
                .await
                .map_err(plain)?;
            if let Some(target) = changed.filter(|_| culprits.is_empty()) {
                self.keys_changed = true;
                let error = Error::retry(
                    "its unique indexes were changed after the table was read; it is read again",
                );
                return Err(WriteFailure {
                    error,
                    target,
                    records: Vec::new(),
                });
            }
            Ok(())
        };
        let written = written.await;
        if written.is_err() || !culprits.is_empty() {
            connection.session.rollback().await.or_else(|e| {
                if written.is_err() {
                    Ok(())
                } else {
                    Err(plain(e))
                }
            })?;
            return written.map(|()| culprits);
        }
        self.tx = Tx::Open {
            next: next.to_vec(),
        };
        Ok(culprits)
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
            "a constraint that is checked at commit refused the batch; looking for the record: {error}"
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

/// Returns a table with upserts whose unique indexes are no longer those that the upserts were made
/// for, if the database would not report that as an error.
async fn changed_keys(
    session: &mut dyn Session,
    writing: &WriteDialect,
    targets: &[TargetTable],
    ops: &[(usize, Vec<RowOperation>)],
) -> Result<Option<usize>> {
    for (number, ops) in ops {
        let Some(target) = targets.get(*number) else {
            continue;
        };
        let upserts = ops
            .iter()
            .any(|op| target.plans.get(op.shape).is_some_and(WritePlan::is_upsert));
        if upserts && target.has_other_keys(session, writing).await? {
            return Ok(Some(*number));
        }
    }
    Ok(None)
}

async fn write_records(
    apply: &mut dyn RecordWriter,
    records: &[usize],
    search: CulpritSearch,
    culprits: &mut Vec<(usize, WriteFailure)>,
) -> Result<(), WriteFailure> {
    match search {
        CulpritSearch::None => batch::write_all(apply, records).await,
        CulpritSearch::Rows => batch::isolate_rejected(apply, records, culprits).await,
        CulpritSearch::Deferred(deferral) => {
            deferred::isolate_rejected(apply, records, deferral, culprits).await
        }
    }
}
