//! Writes the operations of a batch, inside the transaction that the task has begun.
//!
//! Many rows share a statement: at most 500, in sizes that repeat, so that each text is prepared
//! once per session.

use std::sync::Arc;

use connector_api::{Error, ErrorKind, Result, SinkRecord, async_trait};

use super::bind::ColumnBinder;
use super::connection::SessionInfo;
use super::copy::CopyText;
use super::group::{self, GroupRules, KeyIdentity, OperationKeys, RowGroup, RowOperation};
use super::key_bytes::key_bytes;
use super::target::{StatementVerb, TargetTable, keys_repeat};
use crate::dialect::writing::WriteDialect;
use crate::driver::{Session, SqlParam};
use crate::sink::config::{InsertMode, SinkConfig};

/// Most rows of one statement; larger statements are not faster.
const MOST_ROWS: usize = 500;

/// The savepoint before the records whose rejection is looked for.
pub(super) const SAVEPOINT: &str = "SAVEPOINT rowferry_sift";
pub(super) const BACK_TO_SAVEPOINT: &str = "ROLLBACK TO SAVEPOINT rowferry_sift";

/// Why a statement failed, and for which records.
pub struct WriteFailure {
    pub error: Error,
    /// The table's number.
    pub target: usize,
    /// Indices of the records of that statement.
    pub records: Vec<usize>,
}

/// Writes records of a batch, some at a time.
#[async_trait]
pub trait RecordWriter: Send {
    fn session(&mut self) -> &mut dyn Session;

    /// Returns how many of these records go into the next statement; at least one.
    fn chunk(&self, left: &[usize]) -> usize;

    /// Returns the number of a record's table, if this writer groups the rows of several tables.
    fn target(&self, _record: usize) -> usize {
        usize::MAX
    }

    /// Writes these records. After an error the transaction must be rolled back.
    async fn apply(&mut self, records: &[usize]) -> Result<(), WriteFailure>;

    /// Names the column whose value the server refused, where its text does not and the column can
    /// be found. The transaction is as it was at the savepoint before the record, and is left so.
    /// Errors: all kinds but `Record`.
    async fn name_refused_column(
        &mut self,
        failure: WriteFailure,
    ) -> Result<WriteFailure, WriteFailure> {
        Ok(failure)
    }
}

/// Writes all records. After an error the transaction must be rolled back.
pub async fn write_all(
    apply: &mut dyn RecordWriter,
    records: &[usize],
) -> Result<(), WriteFailure> {
    let mut left = records;
    while !left.is_empty() {
        let (now, later) = left.split_at(apply.chunk(left));
        apply.apply(now).await?;
        left = later;
    }
    Ok(())
}

/// Writes the records except those that the database rejects, and adds these to `culprits`:
/// whatever fails is rolled back to a savepoint and halved until single records are left.
/// Errors: all kinds but `Record`.
pub async fn isolate_rejected(
    apply: &mut dyn RecordWriter,
    records: &[usize],
    culprits: &mut Vec<(usize, WriteFailure)>,
) -> Result<(), WriteFailure> {
    let mut todo = vec![records];
    while let Some(records) = todo.pop() {
        let (now, later) = records.split_at(apply.chunk(records));
        if !later.is_empty() {
            todo.push(later);
        }
        run_tx_control(apply, SAVEPOINT).await?;
        match apply.apply(now).await {
            Ok(()) => {}
            Err(failure) if failure.error.kind() == ErrorKind::Record => {
                run_tx_control(apply, BACK_TO_SAVEPOINT).await?;
                match (failure.records.as_slice(), now) {
                    (&[one], [_]) => {
                        let failure = apply.name_refused_column(failure).await?;
                        culprits.push((one, failure));
                    }
                    _ => {
                        let (first, second) = now.split_at(now.len() / 2);
                        todo.extend([second, first]);
                    }
                }
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Runs a transaction control statement.
pub async fn run_tx_control(apply: &mut dyn RecordWriter, sql: &str) -> Result<(), WriteFailure> {
    let done = apply.session().run(sql).await;
    done.map(drop).map_err(|error| WriteFailure {
        error,
        target: usize::MAX,
        records: Vec::new(),
    })
}

/// Rows of one table and one shape that are being written.
pub struct TableWrite<'a, 'b> {
    pub writer: &'a mut BatchWriter<'b>,
    pub target: usize,
    pub rows: &'a RowGroup,
}

#[async_trait]
impl RecordWriter for TableWrite<'_, '_> {
    fn session(&mut self) -> &mut dyn Session {
        &mut *self.writer.session
    }

    fn chunk(&self, left: &[usize]) -> usize {
        self.writer.chunk(self.target, self.rows, left)
    }

    async fn apply(&mut self, records: &[usize]) -> Result<(), WriteFailure> {
        self.writer.statement(self.target, self.rows, records).await
    }

    async fn name_refused_column(
        &mut self,
        failure: WriteFailure,
    ) -> Result<WriteFailure, WriteFailure> {
        let &[record] = failure.records.as_slice() else {
            return Ok(failure);
        };
        // PostgreSQL's texts about values name no column
        let about_a_value = failure.error.message().contains("refused (22");
        if !self.writer.writing.capabilities.binds_text || !about_a_value {
            return Ok(failure);
        }
        let column = match self
            .writer
            .refused_column(self.target, self.rows, record)
            .await
        {
            Ok(column) => column,
            Err(error) => return Err(WriteFailure { error, ..failure }),
        };
        run_tx_control(self, BACK_TO_SAVEPOINT).await?;
        Ok(match column {
            Some(column) => WriteFailure {
                error: failure.error.context(format!("column {column}")),
                ..failure
            },
            None => failure,
        })
    }
}

/// Everything that writing needs, borrowed for one batch.
pub struct BatchWriter<'a> {
    pub session: &'a mut dyn Session,
    pub config: &'a SinkConfig,
    pub writing: &'a WriteDialect,
    pub here: &'a SessionInfo,
    pub targets: &'a mut [TargetTable],
    pub batch: &'a [SinkRecord],
}

impl BatchWriter<'_> {
    /// Groups the operations on one table into statements.
    pub fn group(&self, target: usize, ops: &[RowOperation]) -> Vec<RowGroup> {
        let table = &self.targets[target];
        if !keys_repeat(self.config) {
            return group::in_order(ops);
        }
        let mut used: Vec<usize> = ops.iter().map(|op| op.shape).collect();
        used.sort_unstable();
        used.dedup();
        let only_inserts =
            self.config.insert_mode == InsertMode::Insert && !ops.iter().any(|op| op.delete);
        if only_inserts {
            return group::in_order(ops);
        }
        let identity = table.identity(&used);
        let mut keys = OperationKeys::default();
        for op in ops {
            let record = &self.batch[op.record];
            let params = table.plans[op.shape]
                .keys
                .iter()
                .map(|b| b.param(record))
                .collect::<Result<Vec<_>>>();
            // a key that cannot be bound fails later, when its own statement runs
            let params = params.unwrap_or_default();
            keys.push(|out| {
                params
                    .iter()
                    .for_each(|p| key_bytes(p, identity == KeyIdentity::Exact, out));
            });
        }
        let covers = |a: usize, b: usize| table.plans[a].covers(&table.plans[b]);
        let complete = |plan: usize| table.is_complete(plan);
        let (mode, compact) = (self.config.insert_mode, !table.has_other_unique());
        group::by_key(
            ops,
            &keys,
            &GroupRules {
                mode,
                identity,
                compact,
                covers: &covers,
                complete: &complete,
            },
        )
    }

    /// Returns the kind of statement for that many rows.
    fn verb(&self, target: usize, rows: &RowGroup, count: usize) -> StatementVerb {
        match (rows.delete, self.config.insert_mode) {
            (true, _) => StatementVerb::Delete,
            (false, InsertMode::Update)
                if count > 1 && rows.distinct && self.targets[target].plans[rows.shape].many =>
            {
                StatementVerb::UpdateMany
            }
            (false, InsertMode::Update) => StatementVerb::Update,
            (false, InsertMode::Insert | InsertMode::Upsert) => StatementVerb::Insert,
        }
    }

    /// Returns how many of the remaining records go into the next statement.
    fn chunk(&self, target: usize, rows: &RowGroup, left: &[usize]) -> usize {
        let plan = &self.targets[target].plans[rows.shape];
        let verb = self.verb(target, rows, left.len());
        let copied = verb == StatementVerb::Insert && plan.copy().is_some();
        let (columns, most) = match verb {
            StatementVerb::Update => return 1,
            StatementVerb::Insert if plan.by_column => return 1,
            StatementVerb::Insert if copied => (1, usize::MAX),
            StatementVerb::Delete => (plan.keys.len(), MOST_ROWS),
            StatementVerb::Insert | StatementVerb::UpdateMany => {
                (plan.keys.len() + plan.values.len(), MOST_ROWS)
            }
        };
        let limit = self.writing.dialect.capabilities().limits.params / columns.max(1);
        let most = most.min(self.config.batch_rows).min(limit).max(1);
        let count = match left.len() {
            all if all >= most => most,
            all if copied => all,
            all => 1 << all.ilog2(),
        };
        let mut room = self.here.packet / 2;
        for (n, record) in left.iter().take(count).enumerate() {
            let record = &self.batch[*record].record;
            let weight = record.key.value.weight() + record.value.value.weight();
            match room.checked_sub(weight) {
                Some(rest) => room = rest,
                None => return n.max(1),
            }
        }
        count
    }

    /// Inserts rows by COPY, which is faster than multi-row INSERT statements.
    async fn copy(
        &mut self,
        sql: &str,
        (target, rows): (usize, &RowGroup),
        records: &[usize],
    ) -> Result<(), WriteFailure> {
        let plan = &self.targets[target].plans[rows.shape];
        let mut text = CopyText::default();
        for &n in records {
            let begin = text.as_str().len();
            for binder in plan.keys.iter().chain(&plan.values) {
                let appended = binder.append(&self.batch[n], &mut text);
                appended.map_err(|error| WriteFailure {
                    error,
                    target,
                    records: vec![n],
                })?;
            }
            text.end_row();
            let row = self.here.largest.admits(text.as_str().len() - begin);
            row.map_err(|error| WriteFailure {
                error,
                target,
                records: vec![n],
            })?;
        }
        let copied = self.session.copy(sql, text.as_str()).await;
        copied.map(drop).map_err(|error| WriteFailure {
            error,
            target,
            records: records.to_vec(),
        })
    }

    async fn statement(
        &mut self,
        target: usize,
        rows: &RowGroup,
        records: &[usize],
    ) -> Result<(), WriteFailure> {
        if let Some(sql) = self.targets[target].plans[rows.shape]
            .copy()
            .filter(|_| !rows.delete && records.len() > 1)
        {
            return self.copy(&sql, (target, rows), records).await;
        }
        let verb = self.verb(target, rows, records.len());
        if verb == StatementVerb::Insert && self.targets[target].plans[rows.shape].by_column {
            let changed = self
                .send(target, rows, StatementVerb::Update, records)
                .await?;
            if changed > 0 {
                return Ok(());
            }
        }
        self.send(target, rows, verb, records).await.map(drop)
    }

    /// The first column that does not take its value of a record. Errors: all kinds but `Record`.
    async fn refused_column(
        &mut self,
        target: usize,
        rows: &RowGroup,
        record: usize,
    ) -> Result<Option<Arc<str>>> {
        let plan = &self.targets[target].plans[rows.shape];
        let binders = || plan.keys.iter().chain(&plan.values);
        for binder in binders() {
            let Ok(param) = binder.param(&self.batch[record]) else {
                continue;
            };
            let mut sql = "SELECT ".to_owned();
            self.writing.dml.value(1, binder.full_type(), &mut sql);
            match self.session.execute(&Arc::from(sql), &[param]).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Record => {
                    return Ok(Some(Arc::clone(&binder.name)));
                }
                Err(error) if error.kind() == ErrorKind::Config => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        // a cast cuts off what is too long, an assignment does not
        let too_long = binders().find(|binder| binder.exceeds(&self.batch[record]));
        Ok(too_long.map(|binder| Arc::clone(&binder.name)))
    }

    /// Runs a statement. Returns the number of rows affected.
    async fn send(
        &mut self,
        target: usize,
        rows: &RowGroup,
        verb: StatementVerb,
        records: &[usize],
    ) -> Result<u64, WriteFailure> {
        let table = &mut self.targets[target];
        let plan = &mut table.plans[rows.shape];
        let sql = plan.sql(self.writing, &table.id, verb, records.len());
        let (keys, values) = (plan.keys.as_slice(), plan.values.as_slice());
        let columns: [&[ColumnBinder]; 2] = match verb {
            StatementVerb::Delete => [keys, &[]],
            StatementVerb::Insert | StatementVerb::UpdateMany => [keys, values],
            StatementVerb::Update if plan.set().is_empty() => [keys, keys],
            StatementVerb::Update => [plan.set(), keys],
        };
        let mut params: Vec<SqlParam<'_>> =
            Vec::with_capacity(records.len() * (columns[0].len() + columns[1].len()));
        for &n in records {
            for binder in columns[0].iter().chain(columns[1]) {
                match binder.param(&self.batch[n]) {
                    Ok(param) => params.push(param),
                    Err(error) => {
                        return Err(WriteFailure {
                            error,
                            target,
                            records: vec![n],
                        });
                    }
                }
            }
        }
        let done = match self.here.largest.takes(&params) {
            Ok(()) => self.session.execute(&sql, &params).await,
            Err(error) => Err(error),
        };
        done.map_err(|error| WriteFailure {
            error,
            target,
            records: records.to_vec(),
        })
    }
}
