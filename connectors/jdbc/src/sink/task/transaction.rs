//! The transaction of a batch: written, and kept open until it is committed or taken back.

use connector_api::{Error, ErrorKind, Result, SinkRecord, TopicOffset};

use super::JdbcSinkTask;
use crate::dialect::writing::{DeferredConstraints, WriteDialect};
use crate::driver::Session;
use crate::sink::statement::StatementRunner;
use crate::sink::write::batch::{self, BatchWriter, RecordWriter, TableWrite, WriteFailure};
use crate::sink::write::connection::WriteConnection;
use crate::sink::write::deferred::{self, BatchWrite};
use crate::sink::write::group::RowOperation;
use crate::sink::write::target::{TargetTable, WritePlan};

/// How records are looked for that the database refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CulpritSearch {
    /// Not at all.
    None,
    /// By the statements that fail.
    Rows,
    /// By what constraints say at the end.
    Deferred(DeferredConstraints),
}

impl JdbcSinkTask {
    /// Writes everything but the records in `bad`, and leaves the transaction open. With `search`, finds the records
    /// that the database refuses instead, and rolls back if there are any.
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
        let Some(link) = &mut self.link else {
            return Err(plain(Error::retry("the connection is gone")));
        };
        let WriteConnection {
            session,
            writing,
            here,
        } = link;
        let session = &mut **session;
        session.begin().await.map_err(plain)?;
        let mut culprits = Vec::new();
        let written = async {
            if self.config.exactly_once {
                self.offsets
                    .advance(session, &**writing, next)
                    .await
                    .map_err(plain)?;
            }
            for &target in &self.emptied {
                let sql = format!(
                    "DELETE FROM {}",
                    writing.dialect().table(&self.targets[target].id)
                );
                session.run(&sql).await.map_err(|error| WriteFailure {
                    error,
                    target,
                    records: Vec::new(),
                })?;
            }
            let good = |ops: &[RowOperation]| {
                ops.iter()
                    .filter(|op| !bad.contains(&op.record))
                    .copied()
                    .collect::<Vec<_>>()
            };
            if let Some(statements) = &self.statements {
                for (_, ops) in ops {
                    let ops = good(ops);
                    let records: Vec<usize> = ops.iter().map(|op| op.record).collect();
                    let mut runner = StatementRunner {
                        session: &mut *session,
                        statements,
                        largest: here.largest,
                        batch,
                        ops: &ops,
                    };
                    write_records(&mut runner, &records, search, &mut culprits).await?;
                }
                return Ok(());
            }
            let targets = &mut self.targets;
            let mut writer = BatchWriter {
                session: &mut *session,
                config: &self.config,
                writing: &**writing,
                here,
                targets,
                batch,
            };
            if let CulpritSearch::Deferred(_) = search {
                let groups = ops
                    .iter()
                    .map(|(target, ops)| (*target, writer.group(*target, &good(ops))))
                    .collect();
                let mut whole = BatchWrite {
                    writer: &mut writer,
                    groups,
                };
                let records = whole.records();
                return write_records(&mut whole, &records, search, &mut culprits).await;
            }
            for (target, ops) in ops {
                for rows in writer.group(*target, &good(ops)) {
                    let mut part = TableWrite {
                        writer: &mut writer,
                        target: *target,
                        rows: &rows,
                    };
                    write_records(&mut part, &rows.records, search, &mut culprits).await?;
                }
            }
            // the transaction holds its tables: what their unique indexes are now, they were for every statement
            let changed = changed_keys(session, &**writing, &self.targets, ops)
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
            link.session.rollback().await.or_else(|e| {
                if written.is_err() {
                    Ok(())
                } else {
                    Err(plain(e))
                }
            })?;
            return written.map(|()| culprits);
        }
        self.open_tx = Some(next.to_vec());
        Ok(culprits)
    }

    /// Has constraints checked that wait for the commit, where one has refused a commit before: in time for the records
    /// to be found. If one refuses the rows, they are taken back, and how the culprits are found is returned.
    pub(super) async fn check_deferred(
        &mut self,
        search: CulpritSearch,
    ) -> Result<Option<DeferredConstraints>> {
        let (Some(link), true, false) = (
            &mut self.link,
            self.checks_deferred_early,
            matches!(search, CulpritSearch::Deferred(_)),
        ) else {
            return Ok(None);
        };
        let Some(deferral) = link.writing.deferral() else {
            return Ok(None);
        };
        let Err(error) = link.session.run(deferral.check).await else {
            return Ok(None);
        };
        self.rollback_open().await?;
        if error.kind() == ErrorKind::Record {
            Ok(Some(deferral))
        } else {
            Err(error)
        }
    }

    /// Whether the error of a commit is a constraint's, and of which records has not been looked for: then the error by
    /// which the runtime puts the batch again.
    pub(super) fn retry_with_deferred_checks(&mut self, error: &Error) -> Option<Error> {
        let deferral = self.link.as_ref().and_then(|link| link.writing.deferral());
        if error.kind() != ErrorKind::Record || self.checks_deferred_early || deferral.is_none() {
            return None;
        }
        self.checks_deferred_early = true;
        Some(Error::retry(format!(
            "a constraint that is checked at commit refused the batch; looking for the record: {error}"
        )))
    }

    /// After a commit without an answer: whether it happened, as the stored offsets tell. Its dead letters were stored before.
    pub(super) async fn resolve_in_doubt(&mut self, next: &[TopicOffset]) -> Result<bool> {
        let Some(intended) = self.in_doubt.clone() else {
            return Ok(false);
        };
        self.link().await?;
        let Some(link) = &mut self.link else {
            return Ok(false);
        };
        let stored = self
            .offsets
            .is_stored(&mut *link.session, &*link.writing, &intended)
            .await?;
        self.in_doubt = None;
        if stored && intended != next {
            return Err(Error::fatal(
                "a batch whose commit got no answer was committed, and another batch came after it",
            ));
        }
        Ok(stored)
    }

    /// Rolls back what was written and never committed.
    pub(super) async fn rollback_open(&mut self) -> Result<()> {
        match (self.open_tx.take(), &mut self.link) {
            (Some(_), Some(link)) => link.session.rollback().await,
            _ => Ok(()),
        }
    }

    pub(super) async fn commit_open(&mut self) -> Result<()> {
        let (Some(next), Some(link)) = (self.open_tx.take(), &mut self.link) else {
            return Ok(());
        };
        let Err(error) = link.session.commit().await else {
            return Ok(());
        };
        if link.session.is_lost() && self.config.exactly_once && !next.is_empty() {
            tracing::warn!(%error, "a commit got no answer");
            self.in_doubt = Some(next);
            return Err(Error::retry(
                "the database did not answer a commit; looking whether it happened",
            ));
        }
        // one that cannot be rolled back has ended with its connection
        let _ = link.session.rollback().await;
        Err(error)
    }
}

/// A table with upserts that has other unique indexes than the upserts were made for, where no error would say so.
async fn changed_keys(
    session: &mut dyn Session,
    writing: &dyn WriteDialect,
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
