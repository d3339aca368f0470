//! `insert.mode=statement`: SQL that the user wrote, run once for each record, in the order of the
//! records, in the transaction that also stores their offsets.

#![expect(
    clippy::indexing_slicing,
    reason = "a template numbers its own parameters"
)]

mod description;
mod parameter;
mod parameter_columns;
mod tokens;
mod written;

use std::sync::Arc;

use connector_api::{Error, ErrorKind, Result, Schema, SinkRecord, async_trait};

use self::description::{StatementDescription, UserStatement};
use self::parameter::{BindContext, StatementParameter};
use self::written::{WrittenTable, written};
use crate::dialect::writing::WriteDialect;
use crate::driver::{Session, SqlParam};
use crate::sink::config::template::parse;
use crate::sink::config::{SinkConfig, TimeRules};
use crate::sink::write::batch::{RecordWriter, is_about_a_value, run_tx_control};
use crate::sink::write::evolve;
use crate::sink::write::failure::WriteFailure;
use crate::sink::write::group::RowOperation;
use crate::sink::write::index::{PlanIndex, RecordIndex};
use crate::sink::write::known_table::{KnownTable, pin};
use crate::sink::write::rejected::BACK_TO_SAVEPOINT;
use crate::sink::write::size::SizeLimits;
use crate::url::DatabaseKind;

/// The statements of a task.
pub(super) struct StatementSet {
    /// For records with a value.
    write: Vec<UserStatement>,
    /// For tombstones; `None`: a tombstone is an error.
    delete: Option<Vec<UserStatement>>,
    time: Arc<TimeRules>,
    plans: Vec<StatementPlan>,
}

/// The statements prepared for records of one pair of schemas.
struct StatementPlan {
    key: Option<Arc<Schema>>,
    value: Option<Arc<Schema>>,
    delete: bool,
    statements: Vec<PreparedStatement>,
}

/// A statement as it is sent.
struct PreparedStatement {
    sql: Arc<str>,
    parameters: Vec<StatementParameter>,
    /// Its beginning, for messages.
    shown: String,
}

impl StatementPlan {
    fn is_of(&self, record: &SinkRecord) -> bool {
        let same = |a: &Option<Arc<Schema>>, b: &Option<Arc<Schema>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
            (None, None) => true,
            _ => false,
        };
        let (key, value) = (&record.record.key, &record.record.value);
        // values without schema may each have other members
        self.delete == value.value.is_null()
            && same(&self.key, &key.schema)
            && same(&self.value, &value.schema)
    }
}

impl StatementSet {
    /// Reads the statements of a configuration; `None` in other insert modes.
    /// Errors: `Config`.
    pub(super) fn read(config: &SinkConfig, database: DatabaseKind) -> Result<Option<Self>> {
        let Some(sql) = &config.statement else {
            return Ok(None);
        };
        let read = |key: &str, sql: &str| -> Result<Vec<UserStatement>> {
            let templates =
                parse(sql, database).map_err(|text| Error::config(format!("{key}: {text}")))?;
            Ok(templates.into_iter().map(UserStatement::new).collect())
        };
        let delete = sql.delete.as_deref();
        Ok(Some(Self {
            write: read("statement", &sql.write)?,
            delete: delete
                .map(|sql| read("delete.statement", sql))
                .transpose()?,
            time: Arc::new(config.time.clone()),
            plans: Vec::new(),
        }))
    }

    /// True if the server has described no statement yet.
    pub(super) fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &UserStatement> {
        self.write.iter().chain(self.delete.iter().flatten())
    }

    /// Describes a table that the statements write and that cannot roll back, if there is one.
    pub(super) async fn no_rollback(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
    ) -> Result<Option<String>> {
        if !writing.capabilities.has_engines_without_rollback {
            return Ok(None);
        }
        for statement in self.all() {
            for WrittenTable { table, if_it_has } in written(&statement.template, writing.database)
            {
                pin(session, writing, &table).await?;
                let Some(meta) = session.table(&table).await? else {
                    continue;
                };
                let is_written = if_it_has.is_empty()
                    || if_it_has.iter().any(|name| meta.column(name).is_some());
                if let Some(text) = evolve::no_rollback(writing, &meta).filter(|_| is_written) {
                    return Ok(Some(text));
                }
            }
        }
        Ok(None)
    }

    /// Forgets what the server has described.
    pub(super) fn forget(&mut self) {
        let all = self
            .write
            .iter_mut()
            .chain(self.delete.iter_mut().flatten());
        all.for_each(UserStatement::forget);
        self.plans.clear();
    }

    /// Has the server describe the statements' parameters again. True if the result differs.
    pub(super) async fn have_changed(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
    ) -> Result<bool> {
        for statement in self.all() {
            if statement.has_changed(session, writing).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True if the tables of the statements that were run for these plans are still those that
    /// their parameters are converted for, as far as the database would not report a difference.
    /// Asks once for each table.
    pub(super) async fn tables_hold(
        &mut self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        run: impl Iterator<Item = PlanIndex> + Clone,
    ) -> Result<bool> {
        let is_run = |delete| {
            let mut plans = run.clone().filter_map(|plan| self.plans.get(plan.0));
            plans.any(|plan| plan.delete == delete)
        };
        let (writes, deletes) = (is_run(false), is_run(true));
        let writes = self.write.iter_mut().filter(|_| writes);
        let deletes = self.delete.iter_mut().flatten().filter(|_| deletes);
        let mut asked: Vec<KnownTable> = Vec::new();
        for table in writes.chain(deletes).filter_map(UserStatement::table) {
            if asked.iter().any(|known| known.is_same(table)) {
                continue;
            }
            if !table.holds(session, writing).await? {
                return Ok(false);
            }
            asked.push(table.clone());
        }
        Ok(true)
    }

    /// Has the server parse every statement. Returns the keys whose statement it refuses, with the
    /// error.
    pub(super) async fn check(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
    ) -> Vec<(&'static str, Error)> {
        let write = self.write.iter().map(|statement| ("statement", statement));
        let delete = self.delete.iter().flatten();
        let delete = delete.map(|statement| ("delete.statement", statement));
        let mut refused = Vec::new();
        for (key, statement) in write.chain(delete) {
            let checked = statement.check(session, writing).await;
            refused.extend(checked.err().map(|error| (key, error)));
        }
        refused
    }

    /// Returns the plan for records like this one.
    /// Errors: `Record` if it lacks a value that a parameter names.
    pub(super) async fn plan(
        &mut self,
        session: &mut dyn Session,
        config: &SinkConfig,
        writing: &WriteDialect,
        record: &SinkRecord,
    ) -> Result<PlanIndex> {
        if let Some(known) = self.plans.iter().position(|plan| plan.is_of(record)) {
            return Ok(PlanIndex(known));
        }
        let (key, value) = (&record.record.key, &record.record.value);
        let delete = value.value.is_null();
        let statements = match (&mut self.delete, delete) {
            (_, false) => &mut self.write,
            (Some(statements), true) => statements,
            (None, true) => {
                return Err(Error::record(
                    "the record has no value, and delete.statement, which handles such records, is \
                     not set; a transform (Filter with the predicate RecordIsTombstone) can skip \
                     them",
                ));
            }
        };
        let binding = BindContext {
            config,
            time: &self.time,
            writing,
        };
        let mut prepared = Vec::with_capacity(statements.len());
        for statement in statements {
            let description = statement.describe(session, writing).await?.clone();
            prepared.push(prepare(statement, &description, &binding, record)?);
        }
        self.plans.push(StatementPlan {
            key: key.schema.clone(),
            value: value.schema.clone(),
            delete,
            statements: prepared,
        });
        Ok(PlanIndex(self.plans.len() - 1))
    }

    /// Returns the parameter whose value the server does not cast to its type; `None` if it is none
    /// of those that are cast.
    /// Errors: all kinds but `Record`.
    async fn refused_parameter(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        plan: PlanIndex,
        record: &SinkRecord,
    ) -> Result<Option<&StatementParameter>> {
        let statements = self.plans.get(plan.0).map(|plan| &plan.statements);
        let parameters = statements.into_iter().flatten();
        let cast = parameters
            .flat_map(|statement| &statement.parameters)
            .filter(|parameter| !parameter.cast.is_empty());
        for parameter in cast {
            let Ok(param) = parameter.param(record) else {
                continue;
            };
            let mut sql = "SELECT ".to_owned();
            write_placeholder(writing, 1, &parameter.cast, &mut sql);
            match session.execute(&Arc::from(sql), &[param]).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Record => return Ok(Some(parameter)),
                Err(error) if error.kind() == ErrorKind::Config => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Runs the statements for one record. Errors name the statement's beginning.
    async fn run(
        &self,
        session: &mut dyn Session,
        largest: SizeLimits,
        plan: PlanIndex,
        record: &SinkRecord,
    ) -> Result<()> {
        let Some(plan) = self.plans.get(plan.0) else {
            return Err(Error::fatal("a record has no plan"));
        };
        for statement in &plan.statements {
            let done = statement.run(session, largest, record).await;
            done.map_err(|error| error.context(&statement.shown))?;
        }
        Ok(())
    }
}

impl PreparedStatement {
    async fn run(
        &self,
        session: &mut dyn Session,
        largest: SizeLimits,
        record: &SinkRecord,
    ) -> Result<()> {
        let params = self
            .parameters
            .iter()
            .map(|parameter| parameter.param(record))
            .collect::<Result<Vec<SqlParam<'_>>>>()?;
        largest.takes(&params)?;
        session.execute(&self.sql, &params).await?;
        Ok(())
    }
}

/// Resolves the parameters of a statement in records like this one.
/// Errors: `Record` if it lacks a value that a parameter names.
fn prepare(
    statement: &UserStatement,
    description: &StatementDescription,
    binding: &BindContext<'_>,
    record: &SinkRecord,
) -> Result<PreparedStatement> {
    let template = &statement.template;
    let mut parameters = Vec::new();
    for (n, (text, name)) in template.params().enumerate() {
        let column = description.columns.get(n).and_then(Option::as_ref);
        let mut parameter = binding.parameter(text, name, column, record)?;
        if let Some(cast) = description.casts.get(n) {
            parameter.cast.clone_from(&cast.sql);
        }
        parameters.push(parameter);
    }
    let sql =
        template.sql(|n, out| write_placeholder(binding.writing, n + 1, &parameters[n].cast, out));
    Ok(PreparedStatement {
        sql: Arc::from(sql),
        parameters,
        shown: statement.shown(),
    })
}

/// Appends a placeholder, with a cast if the database needs one.
fn write_placeholder(writing: &WriteDialect, number: usize, cast: &str, out: &mut String) {
    if cast.is_empty() {
        return writing.dialect.placeholder(number, out);
    }
    out.push_str("CAST(");
    writing.dialect.placeholder(number, out);
    out.push_str(" AS ");
    out.push_str(cast);
    out.push(')');
}

/// Runs a batch's statements, inside the transaction that the task has begun.
pub(super) struct StatementRunner<'a> {
    pub session: &'a mut dyn Session,
    pub statements: &'a StatementSet,
    pub writing: &'a WriteDialect,
    pub largest: SizeLimits,
    pub batch: &'a [SinkRecord],
    pub ops: &'a [RowOperation],
}

#[async_trait]
impl RecordWriter for StatementRunner<'_> {
    fn session(&mut self) -> &mut dyn Session {
        &mut *self.session
    }

    fn chunk(&self, left: &[RecordIndex]) -> usize {
        left.len()
    }

    /// Runs the statements of these records, which are in order.
    async fn apply(&mut self, records: &[RecordIndex]) -> Result<(), WriteFailure> {
        let mut ops = self.ops.iter();
        for &record in records {
            let Some(op) = ops.find(|op| op.record == record) else {
                return Err(Error::fatal("a record has no plan").into());
            };
            let (session, row) = (&mut *self.session, &self.batch[record]);
            let done = self.statements.run(session, self.largest, op.plan, row);
            done.await
                .map_err(|error| WriteFailure::of_record(error, None, record))?;
        }
        Ok(())
    }

    async fn name_refused_column(
        &mut self,
        failure: WriteFailure,
    ) -> Result<WriteFailure, WriteFailure> {
        let &[record] = failure.records.as_slice() else {
            return Ok(failure);
        };
        let op = self.ops.iter().find(|op| op.record == record);
        let Some(op) = op.filter(|_| is_about_a_value(&failure.error)) else {
            return Ok(failure);
        };
        let (session, row) = (&mut *self.session, &self.batch[record]);
        let refused = self
            .statements
            .refused_parameter(session, self.writing, op.plan, row);
        let parameter = match refused.await {
            Ok(parameter) => parameter,
            Err(error) => return Err(WriteFailure { error, ..failure }),
        };
        run_tx_control(self, BACK_TO_SAVEPOINT).await?;
        let Some(parameter) = parameter else {
            return Ok(failure);
        };
        let error = failure
            .error
            .context(format!("parameter :{}", parameter.name()));
        let error = match parameter.described() {
            Some(line) => error.and_line(&line),
            None => error,
        };
        Ok(WriteFailure { error, ..failure })
    }
}
