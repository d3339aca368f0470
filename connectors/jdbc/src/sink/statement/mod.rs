//! `insert.mode=statement`: SQL that the user wrote, run once for each record, in the order of the
//! records, in the transaction that also stores their offsets.

mod aim;
mod bind;
mod written;

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Error, ErrorKind, Result, Schema, SinkRecord, Value, async_trait};

use self::aim::{ParameterTarget, aims};
use self::bind::{BindContext, StatementParameter};
use self::written::{WrittenTable, written};
use crate::catalog::ColumnMeta;
use crate::dialect::writing::WriteDialect;
use crate::driver::{Session, SqlParam};
use crate::sink::config::template::{ParameterName, StatementTemplate, parse};
use crate::sink::config::{SinkConfig, TimeRules};
use crate::sink::write::batch::RecordWriter;
use crate::sink::write::evolve;
use crate::sink::write::failure::WriteFailure;
use crate::sink::write::group::RowOperation;
use crate::sink::write::index::{PlanIndex, RecordIndex};
use crate::sink::write::size::SizeLimits;
use crate::url::DatabaseKind;

/// The statements of a task.
pub struct StatementSet {
    /// For records with a value.
    write: Vec<StatementTemplate>,
    /// For tombstones; `None`: a tombstone is an error.
    delete: Option<Vec<StatementTemplate>>,
    time: Arc<TimeRules>,
    /// The casts of each statement's parameters, as the server described them.
    casts: HashMap<(bool, usize), Vec<Cast>>,
    /// The column that each parameter goes to, if it is known.
    columns: HashMap<(bool, usize), Vec<Option<ColumnMeta>>>,
    plans: Vec<StatementPlan>,
}

/// The type of a parameter.
#[derive(Clone, PartialEq, Eq)]
struct Cast {
    /// The type's name in a CAST.
    sql: String,
    /// The type's name in the catalog.
    data_type: String,
}

/// The statements prepared for records of one pair of schemas.
struct StatementPlan {
    key: Option<Arc<Schema>>,
    value: Option<Arc<Schema>>,
    delete: bool,
    statements: Vec<(Arc<str>, Vec<StatementParameter>, String)>,
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
    pub fn read(config: &SinkConfig, database: DatabaseKind) -> Result<Option<Self>> {
        let Some(sql) = &config.statement else {
            return Ok(None);
        };
        let parsed = |key: &str, sql: &str| {
            parse(sql, database).map_err(|e| Error::config(format!("{key}: {e}")))
        };
        Ok(Some(Self {
            write: parsed("statement", &sql.write)?,
            delete: sql
                .delete
                .as_deref()
                .map(|sql| parsed("delete.statement", sql))
                .transpose()?,
            time: Arc::new(config.time.clone()),
            casts: HashMap::new(),
            columns: HashMap::new(),
            plans: Vec::new(),
        }))
    }

    /// True if the server has described no statement yet.
    pub fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    /// Describes a table that the statements write and that cannot roll back, if there is one.
    pub async fn no_rollback(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
    ) -> Result<Option<String>> {
        if !writing.capabilities.has_engines_without_rollback {
            return Ok(None);
        }
        for template in self.write.iter().chain(self.delete.iter().flatten()) {
            for WrittenTable { table, if_it_has } in written(template) {
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
    pub fn forget(&mut self) {
        self.casts.clear();
        self.columns.clear();
        self.plans.clear();
    }

    /// Has the server describe the statements' parameters again. True if the result differs.
    pub async fn have_changed(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
    ) -> Result<bool> {
        for delete in [false, true] {
            let templates = if delete {
                self.delete.as_deref().unwrap_or_default()
            } else {
                &self.write
            };
            for (n, template) in templates.iter().enumerate() {
                let (Some(casts), Some(known)) =
                    (self.casts.get(&(delete, n)), self.columns.get(&(delete, n)))
                else {
                    continue;
                };
                let now = match ask(session, writing, template).await {
                    Ok(now) => now,
                    Err(error) if error.kind() == ErrorKind::Retry => return Err(error),
                    // the server no longer accepts the statement; writing will report why
                    Err(_) => return Ok(true),
                };
                if now != *casts || columns(session, writing, template, &now).await? != *known {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Returns the plan for records like this one.
    /// Errors: `Record` if it lacks a value that a parameter names.
    pub async fn plan(
        &mut self,
        session: &mut dyn Session,
        config: &SinkConfig,
        writing: &WriteDialect,
        record: &SinkRecord,
    ) -> Result<PlanIndex> {
        if let Some(known) = self.plans.iter().position(|plan| plan.is_of(record)) {
            return Ok(PlanIndex(known));
        }
        let delete = record.record.value.value.is_null();
        let templates = match (&self.delete, delete) {
            (_, false) => &self.write,
            (Some(templates), true) => templates,
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
        let mut statements = Vec::with_capacity(templates.len());
        for (n, template) in templates.iter().enumerate() {
            let casts = match self.casts.get(&(delete, n)) {
                Some(known) => known.clone(),
                None => {
                    let told = ask(session, writing, template)
                        .await
                        .map_err(|e| e.context(named(template)))?;
                    self.casts.insert((delete, n), told.clone());
                    told
                }
            };
            let columns = match self.columns.get(&(delete, n)) {
                Some(known) => known.clone(),
                None => {
                    let told = columns(session, writing, template, &casts).await?;
                    self.columns.insert((delete, n), told.clone());
                    told
                }
            };
            let hole = |(n, (text, name)): (usize, (&str, &ParameterName))| {
                let column = columns.get(n).and_then(Option::as_ref);
                let mut hole = binding.hole(text, name, column, record)?;
                if let Some(cast) = casts.get(n) {
                    hole.cast.clone_from(&cast.sql);
                }
                Ok(hole)
            };
            let holes = template
                .params()
                .enumerate()
                .map(hole)
                .collect::<Result<Vec<_>>>()?;
            let sql = template.sql(|n, out| write_placeholder(writing, n + 1, &holes[n].cast, out));
            statements.push((Arc::from(sql), holes, named(template)));
        }
        let (key, value) = (
            record.record.key.schema.clone(),
            record.record.value.schema.clone(),
        );
        self.plans.push(StatementPlan {
            key,
            value,
            delete,
            statements,
        });
        Ok(PlanIndex(self.plans.len() - 1))
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
        for (sql, holes, named) in &plan.statements {
            let params = holes
                .iter()
                .map(|hole| hole.param(record))
                .collect::<Result<Vec<SqlParam<'_>>>>();
            let params = params.map_err(|e| e.context(named))?;
            largest.takes(&params).map_err(|e| e.context(named))?;
            session
                .execute(sql, &params)
                .await
                .map_err(|e| e.context(named))?;
        }
        Ok(())
    }
}

fn named(template: &StatementTemplate) -> String {
    format!("statement '{}'", template.shown())
}

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

/// Returns the columns that the parameters go to, as far as the statement's text or the server
/// shows.
async fn columns(
    session: &mut dyn Session,
    writing: &WriteDialect,
    template: &StatementTemplate,
    casts: &[Cast],
) -> Result<Vec<Option<ColumnMeta>>> {
    let probe = writing.capabilities.statement_probe;
    if probe.is_some_and(|probe| probe.types.is_some()) {
        let of_type = |Cast { sql, data_type }: &Cast| {
            let meta = ColumnMeta {
                data_type: data_type.clone(),
                column_type: sql.clone(),
                ..ColumnMeta::default()
            };
            (!sql.is_empty()).then_some(meta)
        };
        return Ok(casts.iter().map(of_type).collect());
    }
    let aims = aims(template);
    let one = match written(template).as_slice() {
        [WrittenTable { table, if_it_has }]
            if if_it_has.is_empty() && aims.iter().any(Option::is_some) =>
        {
            table.clone()
        }
        _ => return Ok(Vec::new()),
    };
    let Some(meta) = session.table(&one).await? else {
        return Ok(Vec::new());
    };
    let column = |aim: &Option<ParameterTarget>| match aim {
        Some(ParameterTarget::Named(name)) => meta.column(name).cloned(),
        Some(ParameterTarget::Nth(n)) => meta
            .columns
            .iter()
            .filter(|column| !column.invisible)
            .nth(*n)
            .cloned(),
        None => None,
    };
    Ok(aims.iter().map(column).collect())
}

/// Returns the types of the parameters as the server describes them; empty if it need not be asked.
/// Errors: `Config` if the server cannot parse the statement.
async fn ask(
    session: &mut dyn Session,
    writing: &WriteDialect,
    template: &StatementTemplate,
) -> Result<Vec<Cast>> {
    let sql = template.sql(|n, out| writing.dialect.placeholder(n + 1, out));
    let Some(probe) = writing
        .capabilities
        .statement_probe
        .filter(|_| template.verb() != "CALL")
    else {
        return Ok(Vec::new());
    };
    session.run(&(probe.prepare)(&sql)).await?;
    let mut types = Vec::new();
    if let Some(query) = probe.types {
        for row in session.query(query, &[]).await? {
            let text = |n: usize| {
                row.get(n)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            types.push(Cast {
                sql: text(0),
                data_type: text(1),
            });
        }
    }
    session.run(probe.deallocate).await?;
    Ok(types)
}

/// Has the server parse every statement. Returns the keys whose statement it refuses, with the
/// error.
pub async fn check(
    session: &mut dyn Session,
    writing: &WriteDialect,
    statements: &StatementSet,
) -> Vec<(&'static str, Error)> {
    let delete = statements
        .delete
        .iter()
        .flatten()
        .map(|t| ("delete.statement", t));
    let mut out = Vec::new();
    for (key, template) in statements
        .write
        .iter()
        .map(|t| ("statement", t))
        .chain(delete)
    {
        match ask(session, writing, template).await {
            Err(error) if error.kind() != ErrorKind::Retry => {
                out.push((key, error.context(named(template))));
            }
            _ => {}
        }
    }
    out
}

/// Runs a batch's statements, inside the transaction that the task has begun.
pub struct StatementRunner<'a> {
    pub session: &'a mut dyn Session,
    pub statements: &'a StatementSet,
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
}
