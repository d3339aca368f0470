//! Writes the operations of a batch, inside the transaction that the task has begun.
//!
//! Many rows share a statement: at most 500, in sizes that repeat, so that each text is prepared
//! once per session. Where the database executes a statement of one row for many, or has COPY, one
//! text serves any number of rows.

#![expect(
    clippy::indexing_slicing,
    reason = "indexes are typed: of this batch, of its tables, and of a table's plans"
)]

use std::sync::Arc;

use connector_api::{Error, ErrorKind, Result, SinkRecord, async_trait};

use super::bind::ColumnBinder;
use super::connection::SessionInfo;
use super::copy::RecordRows;
use super::failure::WriteFailure;
use super::group::{self, GroupRules, KeyIdentity, OperationKeys, RowGroup, RowOperation};
use super::index::{PlanIndex, RecordIndex, TableIndex};
use super::key_bytes::key_bytes;
use super::new_rows::FEWEST_ROWS;
use super::plan::{StatementVerb, WritePlan};
use super::rejected::BACK_TO_SAVEPOINT;
use super::target::{TargetTable, keys_repeat};
use crate::dialect::writing::WriteDialect;
use crate::driver::{Session, SqlParam, sqlstate};
use crate::ident::TableId;
use crate::sink::config::{InsertMode, SinkConfig};

/// Most rows of a statement that names each of them; larger statements are not faster.
const MOST_ROWS: usize = 500;

/// About how many bytes of records are sent as rows of parameters at once; more is not faster, and
/// takes memory.
const ROWS_BYTES: usize = 4 << 20;

/// The class of the SQLSTATEs of values that do not fit their column.
const DATA_EXCEPTION: &str = "22";
/// The class of SQLSTATEs of violated constraints.
const VIOLATION: &str = "23";
/// SQLSTATEs of objects that do not exist: of values that name one (`regclass`, `regtype`, …).
const UNKNOWN_OBJECT: [&str; 4] = ["42P01", "42704", "42883", "3F000"];
/// The SQLSTATE of the input functions of extensions.
const INTERNAL: &str = "XX000";

/// True for an error of PostgreSQL about a value, which its text does not name.
pub(crate) fn is_about_a_value(error: &Error) -> bool {
    sqlstate(error).is_some_and(|state| {
        state.starts_with(DATA_EXCEPTION)
            || *state == *INTERNAL
            || UNKNOWN_OBJECT.contains(&&*state)
    })
}

/// Writes records of a batch, some at a time.
#[async_trait]
pub(crate) trait RecordWriter: Send {
    fn session(&mut self) -> &mut dyn Session;

    /// Returns how many of these records go into the next statement; at least one.
    fn chunk(&self, left: &[RecordIndex]) -> usize;

    /// Returns a record's table, if this writer groups the rows of several tables.
    fn table_of(&self, _record: RecordIndex) -> Option<TableIndex> {
        None
    }

    /// Writes these records. After an error the transaction must be rolled back.
    async fn apply(&mut self, records: &[RecordIndex]) -> Result<(), WriteFailure>;

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
pub(crate) async fn write_all(
    writer: &mut dyn RecordWriter,
    records: &[RecordIndex],
) -> Result<(), WriteFailure> {
    let mut left = records;
    while !left.is_empty() {
        let (now, later) = left.split_at(writer.chunk(left));
        writer.apply(now).await?;
        left = later;
    }
    Ok(())
}

/// Runs a transaction control statement.
pub(crate) async fn run_tx_control(
    writer: &mut dyn RecordWriter,
    sql: &str,
) -> Result<(), WriteFailure> {
    writer.session().run(sql).await?;
    Ok(())
}

/// Rows of one table and one shape that are being written.
pub(crate) struct TableWrite<'a, 'b> {
    pub writer: &'a mut BatchWriter<'b>,
    pub table: TableIndex,
    pub rows: &'a RowGroup,
}

#[async_trait]
impl RecordWriter for TableWrite<'_, '_> {
    fn session(&mut self) -> &mut dyn Session {
        &mut *self.writer.session
    }

    fn chunk(&self, left: &[RecordIndex]) -> usize {
        self.writer.chunk(self.table, self.rows, left)
    }

    async fn apply(&mut self, records: &[RecordIndex]) -> Result<(), WriteFailure> {
        self.writer.write(self.table, self.rows, records).await
    }

    async fn name_refused_column(
        &mut self,
        failure: WriteFailure,
    ) -> Result<WriteFailure, WriteFailure> {
        let &[record] = failure.records.as_slice() else {
            return Ok(failure);
        };
        let capabilities = &self.writer.writing.capabilities;
        if capabilities
            .spatial_error
            .is_some_and(|sign| failure.error.message().contains(sign))
        {
            let plan = &self.writer.tables[self.table].plans[self.rows.plan];
            let spatial: Vec<&str> = plan.spatial_columns().collect();
            return Ok(failure.context(format!("column {}", spatial.join(" or "))));
        }
        // PostgreSQL's texts about values name no column
        if !capabilities.binds_text {
            let plan = &self.writer.tables[self.table].plans[self.rows.plan];
            return Ok(match described_column(&failure.error, plan) {
                Some(line) => WriteFailure {
                    error: failure.error.and_line(&line),
                    ..failure
                },
                None => failure,
            });
        }
        if !is_about_a_value(&failure.error) {
            return Ok(failure);
        }
        let column = match self
            .writer
            .refused_column(self.table, self.rows, record)
            .await
        {
            Ok(column) => column,
            Err(error) => return Err(WriteFailure { error, ..failure }),
        };
        run_tx_control(self, BACK_TO_SAVEPOINT).await?;
        Ok(match column {
            Some((column, described)) => WriteFailure {
                error: failure
                    .error
                    .context(format!("column {column}"))
                    .and_line(&described),
                ..failure
            },
            None => failure,
        })
    }
}

/// Everything that writing needs, borrowed for one batch.
pub(crate) struct BatchWriter<'a> {
    pub session: &'a mut dyn Session,
    pub config: &'a SinkConfig,
    pub writing: &'a WriteDialect,
    pub here: &'a SessionInfo,
    pub tables: &'a mut [TargetTable],
    pub batch: &'a [SinkRecord],
    /// True if rows that are upserted may be written as if they were new. If that is refused, the
    /// batch is written again without.
    pub tries_copy: bool,
}

impl BatchWriter<'_> {
    /// Groups the operations on one table into statements.
    pub(crate) fn group(&self, table: TableIndex, ops: &[RowOperation]) -> Vec<RowGroup> {
        let table = &self.tables[table];
        if !keys_repeat(self.config) {
            return group::in_order(ops);
        }
        let mut used: Vec<PlanIndex> = ops.iter().map(|op| op.plan).collect();
        used.sort_unstable();
        used.dedup();
        let only_inserts =
            self.config.insert_mode == InsertMode::Insert && !ops.iter().any(|op| op.delete);
        if only_inserts {
            return group::in_order(ops);
        }
        let identity = table.identity(&used);
        let keys = self.keys(table, ops, identity);
        let covers = |a: PlanIndex, b: PlanIndex| table.plans[a].covers(&table.plans[b]);
        let complete = |plan: PlanIndex| table.is_complete(plan);
        let rules = GroupRules {
            mode: self.config.insert_mode,
            identity,
            compact: !table.has_other_unique(),
            covers: &covers,
            complete: &complete,
        };
        group::by_key(ops, &keys, &rules)
    }

    /// Returns the keys of the operations, comparable as bytes.
    fn keys(
        &self,
        table: &TargetTable,
        ops: &[RowOperation],
        identity: KeyIdentity,
    ) -> OperationKeys {
        let mut keys = OperationKeys::default();
        for op in ops {
            let record = &self.batch[op.record];
            let params = table.plans[op.plan]
                .keys
                .iter()
                .map(|binder| binder.param(record))
                .collect::<Result<Vec<_>>>();
            // a key that cannot be bound fails later, when its own statement runs
            let params = params.unwrap_or_default();
            keys.push(|out| {
                for param in &params {
                    key_bytes(param, identity == KeyIdentity::Exact, out);
                }
            });
        }
        keys
    }

    /// Returns the kind of statement for that many rows.
    fn verb(&self, table: TableIndex, rows: &RowGroup, count: usize) -> StatementVerb {
        match (rows.delete, self.config.insert_mode) {
            (true, _) => StatementVerb::Delete,
            (false, InsertMode::Update)
                if count > 1
                    && rows.distinct
                    && self.tables[table].plans[rows.plan].many
                    && !self.session.executes_rows() =>
            {
                StatementVerb::UpdateMany
            }
            (false, InsertMode::Update) => StatementVerb::Update,
            (false, InsertMode::Insert | InsertMode::Upsert) => StatementVerb::Insert,
        }
    }

    /// Returns how many of the remaining records go into the next statement.
    fn chunk(&self, table: TableIndex, rows: &RowGroup, left: &[RecordIndex]) -> usize {
        let plan = &self.tables[table].plans[rows.plan];
        let verb = self.verb(table, rows, left.len());
        let copied = self.copies(table, rows, left.len()).is_some();
        let as_rows = self.sends_rows(verb);
        let most = match verb {
            StatementVerb::Update if !as_rows => return 1,
            StatementVerb::Insert if plan.by_column => return 1,
            _ if copied || as_rows => self.config.batch_rows.max(1),
            _ => self.most_rows(plan, verb),
        };
        let count = match left.len() {
            all if all >= most => most,
            all if copied || as_rows => all,
            all => 1 << all.ilog2(),
        };
        // their text is made in parts of a limited size
        if copied {
            return count;
        }
        let mut room = self.here.packet / 2;
        if as_rows {
            room = room.min(ROWS_BYTES);
        }
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

    /// Returns the COPY statement by which that many rows are to be written.
    fn copies(&self, table: TableIndex, rows: &RowGroup, count: usize) -> Option<Arc<str>> {
        let TargetTable {
            plans, new_rows, ..
        } = &self.tables[table];
        let plan = &plans[rows.plan];
        let is_wanted = if plan.is_upsert() {
            self.tries_copy && count >= FEWEST_ROWS && new_rows.are_expected()
        } else {
            count > 1
        };
        plan.copy().filter(|_| !rows.delete && is_wanted)
    }

    /// Returns the most rows of a statement that names each of them.
    fn most_rows(&self, plan: &WritePlan, verb: StatementVerb) -> usize {
        let (first, second) = plan.parameters(verb);
        let params = self.writing.dialect.capabilities().limits.params;
        let limit = params / (first.len() + second.len()).max(1);
        MOST_ROWS.min(self.config.batch_rows).min(limit).max(1)
    }

    /// True if a statement of one row is executed for all rows at once, see
    /// [`Session::execute_rows`]. Two rows take as long as one statement of two, ten rows less;
    /// updates take a third less than a join with the rows.
    /// Deletes are not executed so: MariaDB executes them one after the other, which
    /// takes twice as long as one DELETE of many keys (docs/dev/performance.md).
    fn sends_rows(&self, verb: StatementVerb) -> bool {
        matches!(verb, StatementVerb::Insert | StatementVerb::Update)
            && self.session.executes_rows()
    }

    /// Writes rows of one shape. After an error the transaction must be rolled back.
    async fn write(
        &mut self,
        table: TableIndex,
        rows: &RowGroup,
        records: &[RecordIndex],
    ) -> Result<(), WriteFailure> {
        let plan = &self.tables[table].plans[rows.plan];
        let by_column = plan.by_column;
        if let Some(sql) = self.copies(table, rows, records.len()) {
            return self.copy(&sql, table, rows, records).await;
        }
        self.tables[table].new_rows.were_upserted(records.len());
        let verb = self.verb(table, rows, records.len());
        if verb == StatementVerb::Insert && by_column {
            let changed = self
                .send(table, rows, StatementVerb::Update, records)
                .await?;
            if changed > 0 {
                return Ok(());
            }
        }
        if records.len() == 1 || !self.sends_rows(verb) {
            return self.send(table, rows, verb, records).await.map(drop);
        }
        if !self.send_rows(table, rows, verb, records).await? {
            let most = match verb {
                StatementVerb::Update => 1,
                _ => self.most_rows(&self.tables[table].plans[rows.plan], verb),
            };
            for records in records.chunks(most) {
                self.send(table, rows, verb, records).await?;
            }
        }
        Ok(())
    }

    /// Executes a statement of one row for all records at once. Returns false if the server or these
    /// values do not allow that; nothing was written then.
    async fn send_rows(
        &mut self,
        table: TableIndex,
        rows: &RowGroup,
        verb: StatementVerb,
        records: &[RecordIndex],
    ) -> Result<bool, WriteFailure> {
        let TargetTable { id, plans, .. } = &mut self.tables[table];
        let plan = &mut plans[rows.plan];
        let sql = plan.sql(self.writing, id, verb, 1);
        let params = bound(plan, verb, self.batch, records)
            .map_err(|(error, record)| WriteFailure::of_record(error, Some(table), record))?;
        let width = params.len() / records.len();
        let written = match self.here.largest.takes(&params) {
            Ok(()) => self.session.execute_rows(&sql, width, &params).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(written) => Ok(written.is_some()),
            Err(error) => Err(WriteFailure::of_records(
                of_value(of_trigger(error, self.writing, id), plan),
                table,
                records,
            )),
        }
    }

    /// Inserts rows by COPY, which is faster than multi-row INSERT statements. Upserts fail if a
    /// row exists.
    async fn copy(
        &mut self,
        sql: &str,
        table: TableIndex,
        rows: &RowGroup,
        records: &[RecordIndex],
    ) -> Result<(), WriteFailure> {
        let TargetTable {
            plans, new_rows, ..
        } = &mut self.tables[table];
        let plan = &plans[rows.plan];
        let mut copied = RecordRows::new(plan, self.batch, records, self.here.largest);
        let sent = self.session.copy(sql, &mut copied).await;
        if let Some((error, record)) = copied.failure {
            return Err(WriteFailure::of_record(error, Some(table), record));
        }
        let done = sent
            .map(drop)
            .map_err(|error| WriteFailure::of_records(of_value(error, plan), table, records));
        if plan.is_upsert() && done.as_ref().err().is_none_or(WriteFailure::is_refusal) {
            new_rows.were_copied(done.is_ok());
        }
        done
    }

    /// The first column that does not take its value of a record. Errors: all kinds but `Record`.
    async fn refused_column(
        &mut self,
        table: TableIndex,
        rows: &RowGroup,
        record: RecordIndex,
    ) -> Result<Option<(Arc<str>, String)>> {
        let named = |binder: &ColumnBinder| (Arc::clone(&binder.name), binder.described(""));
        let plan = &self.tables[table].plans[rows.plan];
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
                    return Ok(Some(named(binder)));
                }
                Err(error) if error.kind() == ErrorKind::Config && binder.looks_up() => {
                    return Ok(Some(named(binder)));
                }
                Err(error) if error.kind() == ErrorKind::Config => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        // a cast cuts off what is too long, an assignment does not
        let too_long = binders().find(|binder| binder.exceeds(&self.batch[record]));
        Ok(too_long.map(named))
    }

    /// Runs a statement. Returns the number of rows affected.
    async fn send(
        &mut self,
        table: TableIndex,
        rows: &RowGroup,
        verb: StatementVerb,
        records: &[RecordIndex],
    ) -> Result<u64, WriteFailure> {
        let TargetTable { id, plans, .. } = &mut self.tables[table];
        let plan = &mut plans[rows.plan];
        let sql = plan.sql(self.writing, id, verb, records.len());
        let params = bound(plan, verb, self.batch, records)
            .map_err(|(error, record)| WriteFailure::of_record(error, Some(table), record))?;
        let changed = match self.here.largest.takes(&params) {
            Ok(()) => self.session.execute(&sql, &params).await,
            Err(error) => Err(error),
        };
        changed.map_err(|error| {
            let error = of_value(of_trigger(error, self.writing, id), plan);
            WriteFailure::of_records(error, table, records)
        })
    }
}

/// An error about a missing table that is not the one that is written: a trigger of that names it.
/// Other rows need not lead there, as with errors inside of PostgreSQL's triggers, so it is about
/// the record.
fn of_trigger(error: Error, writing: &WriteDialect, table: &TableId) -> Error {
    let Some(sign) = writing.capabilities.missing_table_error else {
        return error;
    };
    let own = table.parts().collect::<Vec<_>>().join(".").to_lowercase();
    let message = error.message();
    if !message.contains(sign) || message.to_lowercase().contains(&format!("'{own}'")) {
        return error;
    }
    let message = format!("{message}; a trigger of the written table needs it");
    Error::record(message).caused_by(error)
}

/// Turns an error about an object that does not exist into one of the record, if the record's value
/// names that object. The server's text would show the value.
fn of_value(error: Error, plan: &WritePlan) -> Error {
    let is_unknown =
        |error: &Error| sqlstate(error).is_some_and(|state| UNKNOWN_OBJECT.contains(&&*state));
    let looks_up = || plan.keys.iter().chain(&plan.values).any(|b| b.looks_up());
    if error.kind() != ErrorKind::Config || !is_unknown(&error) || !looks_up() {
        return error;
    }
    let state = sqlstate(&error).unwrap_or_default().into_owned();
    error.of_kind(ErrorKind::Record).of_message(format!(
        "the database refused ({state}): the value names nothing that exists there, as its type \
         (regclass, regtype, …) requires; create it first, or change the column to text"
    ))
}

/// Returns the line about the field and the column that a server's text about a value names.
fn described_column(error: &Error, plan: &WritePlan) -> Option<String> {
    // MariaDB's and MySQL's `column 'a'` and `` column `d`.`t`.`a` ``, SQLite's `column t.a`
    let (_, named) = error.message().split_once("column ")?;
    // what is missing has no type
    if sqlstate(error).is_some_and(|state| state.starts_with(VIOLATION)) {
        return None;
    }
    let is_named = |name: &str| {
        let quoted = [format!("'{name}'"), format!("`{name}`")];
        let first = named.split([' ', '\n']).next().unwrap_or_default();
        let bare = |quoted: &String| {
            named.starts_with(quoted.as_str()) || first.ends_with(quoted.as_str())
        };
        quoted.iter().any(bare) || first.rsplit('.').next() == Some(name)
    };
    let mut found = plan
        .keys
        .iter()
        .chain(&plan.values)
        .filter(|binder| is_named(&binder.name));
    let binder = found.next()?;
    found.next().is_none().then(|| binder.described(""))
}

/// Returns the parameters of a statement for these records, row by row.
/// Errors: with the record whose value cannot be bound.
fn bound<'a>(
    plan: &'a WritePlan,
    verb: StatementVerb,
    batch: &'a [SinkRecord],
    records: &[RecordIndex],
) -> Result<Vec<SqlParam<'a>>, (Error, RecordIndex)> {
    let (first, second) = plan.parameters(verb);
    let mut params = Vec::with_capacity(records.len() * (first.len() + second.len()));
    for &record in records {
        for binder in first.iter().chain(second) {
            let param = binder.param(&batch[record]);
            params.push(param.map_err(|error| (error, record))?);
        }
    }
    Ok(params)
}
