//! One running task of the sink: a batch is one transaction.
//!
//! `put`: find each record's table and shape (creating or altering tables) -> group -> begin ->
//! offsets -> rows. The transaction stays open until `commit`, because rejected records are sent to
//! the dead letters in between. DDL runs first, outside the transaction, because MariaDB and MySQL
//! commit implicitly at each DDL statement.

mod again;
mod losses;
mod transaction;

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{
    Error, ErrorKind, PutReport, Record, Rejected, Result, SinkRecord, SinkTask, TopicOffset,
    TopicPartition, async_trait,
};

use tokio::time::Instant;

use self::losses::BatchLosses;
use self::transaction::CulpritSearch;
use crate::driver;
use crate::sink::config::{InsertMode, SchemaEvolution, SinkConfig};
use crate::sink::mapping::adapt::{Adapted, Adapter, PlainTarget};
use crate::sink::mapping::shape::check_record;
use crate::sink::offsets::{SinkOffsets, Tx};
use crate::sink::statement::StatementSet;
use crate::sink::write::batch::WriteFailure;
use crate::sink::write::connection::{ConnectionSlot, WriteConnection};
use crate::sink::write::group::RowOperation;
use crate::sink::write::target::{PlanSource, TargetTable};
use crate::url::{self, DatabaseKind};

/// Used in place of a table's number when the records run statements.
const STATEMENTS: usize = usize::MAX;

/// One running sink task: its connection, the tables it knows and the transaction of its batch.
pub struct JdbcSinkTask {
    config: SinkConfig,
    connect_to: url::ConnectionTarget,
    tolerate: bool,
    connection: ConnectionSlot,
    offsets: SinkOffsets,
    targets: Vec<TargetTable>,
    /// Tables by topic, or by the name that the record's source gives.
    by_name: HashMap<Arc<str>, usize>,
    /// The names that the current batch's records give, if topics alone do not name the tables.
    names: Vec<Option<Arc<str>>>,
    adapter: Adapter,
    /// Tables that the current batch truncates before it writes.
    emptied: Vec<usize>,
    tx: Tx,
    /// Set once a deferred constraint has failed a commit; from then on constraints are checked
    /// before the commit.
    checks_deferred_early: bool,
    /// The unique indexes of a table have changed since the batch was grouped by them.
    keys_changed: bool,
    /// With `insert.mode=statement`.
    statements: Option<StatementSet>,
    losses: BatchLosses,
    /// Failed attempts of the current batch.
    tries: u64,
    retry_at: Option<Instant>,
}

impl JdbcSinkTask {
    /// Connects, and returns the task.
    pub(super) async fn open(
        config: SinkConfig,
        connect_to: url::ConnectionTarget,
        tolerate: bool,
    ) -> Result<Self> {
        let statements = StatementSet::read(&config, connect_to.database_kind())?;
        let mut connection = WriteConnection::open(&connect_to, config.connect_options()).await?;
        if config.tables_must_exist {
            tables_exist(&mut connection, &config).await?;
        }
        if let Some(statements) = statements.as_ref().filter(|_| config.exactly_once)
            && let Some(text) = statements
                .no_rollback(&mut *connection.session, connection.writing)
                .await?
        {
            return Err(Error::config(text));
        }
        let adapter =
            Adapter::new(config.adapting(connect_to.database_kind() == DatabaseKind::Postgres));
        let offsets = SinkOffsets::new(
            &config.cluster,
            &config.name,
            &format!("{}-{}", config.name, config.task),
        );
        Ok(Self {
            config,
            connect_to,
            tolerate,
            connection: ConnectionSlot::new(connection),
            offsets,
            targets: Vec::new(),
            by_name: HashMap::new(),
            names: Vec::new(),
            adapter,
            emptied: Vec::new(),
            tx: Tx::Idle,
            checks_deferred_early: false,
            keys_changed: false,
            statements,
            losses: BatchLosses::default(),
            tries: 0,
            retry_at: None,
        })
    }

    /// Connects again if the connection was lost.
    async fn connect(&mut self) -> Result<()> {
        if self.connection.is_lost() {
            self.forget_tables();
            self.connection
                .reopen(&self.connect_to, self.config.connect_options())
                .await?;
        }
        Ok(())
    }

    fn forget_tables(&mut self) {
        self.targets.clear();
        self.by_name.clear();
        if let Some(statements) = &mut self.statements {
            statements.forget();
        }
    }

    async fn write_batch(
        &mut self,
        batch: &[SinkRecord],
        next: &[TopicOffset],
    ) -> Result<PutReport> {
        let (adapted, ops, mut rejected) = self.prepare(batch).await?;
        let batch = adapted.as_deref().unwrap_or(batch);
        for Rejected { index, error } in self.losses.blamed(next) {
            let error = error.context(batch.get(index).map_or_else(String::new, position_of));
            if !self.tolerate {
                return Err(error);
            }
            rejected.retain(|known| known.index != index);
            rejected.push(Rejected { index, error });
        }
        let mut search = CulpritSearch::None;
        loop {
            let bad: Vec<usize> = rejected.iter().map(|r| r.index).collect();
            match self.transaction(batch, next, &ops, &bad, search).await {
                Ok(culprits) if culprits.is_empty() => match self.check_deferred(search).await? {
                    None => break,
                    Some(deferral) => search = CulpritSearch::Deferred(deferral),
                },
                Ok(mut culprits) => {
                    search = CulpritSearch::None;
                    culprits.sort_by_key(|(index, _)| *index);
                    for (index, failure) in culprits {
                        let error = self.with_record_context(batch, failure);
                        if !self.tolerate {
                            return Err(error);
                        }
                        rejected.push(Rejected { index, error });
                    }
                }
                Err(failure)
                    if failure.error.kind() == ErrorKind::Record
                        && search == CulpritSearch::None =>
                {
                    search = CulpritSearch::Rows;
                }
                Err(failure) => {
                    let lost = self.connection.is_lost();
                    self.losses.note(next, &failure, lost);
                    return Err(self.with_record_context(batch, failure));
                }
            }
        }
        rejected.sort_by_key(|r| r.index);
        Ok(PutReport { rejected })
    }

    /// Converts the batch to rows if its records are none; returns them with each table's
    /// operations and the rejected records.
    async fn prepare(&mut self, batch: &[SinkRecord]) -> Result<PreparedBatch> {
        let mut rejected: Vec<Rejected> = Vec::new();
        let statements = self.statements.is_some();
        let (adapted, fates) = if statements {
            (None, HashMap::new())
        } else {
            self.adapt(batch).await?
        };
        let ops = self
            .operations(adapted.as_deref().unwrap_or(batch), fates, &mut rejected)
            .await?;
        Ok((adapted, ops, rejected))
    }

    /// Notes the names of the records' tables, if topics alone do not determine them. Returns the
    /// outcome of records that have no table.
    fn name(&mut self, batch: &[SinkRecord]) -> HashMap<usize, RecordOutcome> {
        self.names.clear();
        let mut fates = HashMap::new();
        if self.config.naming.is_by_source() {
            for (index, record) in batch.iter().enumerate() {
                let name = self
                    .config
                    .naming
                    .name(&record.record)
                    .unwrap_or_else(|error| {
                        fates.insert(index, RecordOutcome::Refused(error));
                        None
                    });
                if name.is_none() {
                    fates.entry(index).or_insert(RecordOutcome::Skip);
                }
                self.names.push(name);
            }
        }
        fates
    }

    /// Converts the records to rows where they are none yet; returns `None` if all are rows
    /// already, and the outcome of records that yield no row.
    async fn adapt(
        &mut self,
        batch: &[SinkRecord],
    ) -> Result<(Option<Vec<SinkRecord>>, HashMap<usize, RecordOutcome>)> {
        let (mut changed, mut fates) = (HashMap::new(), self.name(batch));
        for (index, record) in batch.iter().enumerate() {
            if !fates.is_empty() && fates.contains_key(&index) {
                continue;
            }
            let outcome = if let Some(settled) = self.adapter.settled(record) {
                settled
            } else if self.adapter.is_plain(record) {
                let target = self
                    .target(index, &record.record.topic)
                    .await
                    .map_err(|e| e.context(position_of(record)))?;
                match (&self.targets[target].meta, self.connection.writing()) {
                    (Some(table), Some(writing)) => {
                        let time = &self.config.time;
                        self.adapter.match_to(
                            PlainTarget {
                                table,
                                writing,
                                time,
                            },
                            record,
                        )
                    }
                    _ => Ok(self.adapter.without_table(record)),
                }
            } else {
                self.adapter.apply(record)
            };
            match outcome {
                Ok(Adapted::Same) => {}
                Ok(Adapted::Changed(row)) => drop(changed.insert(index, *row)),
                Ok(Adapted::Skip) => drop(fates.insert(index, RecordOutcome::Skip)),
                Ok(Adapted::Truncate) => drop(fates.insert(index, RecordOutcome::Truncate)),
                Err(error) => drop(fates.insert(index, RecordOutcome::Refused(error))),
            }
        }
        if changed.is_empty() {
            return Ok((None, fates));
        }
        let row = |(index, record): (usize, &SinkRecord)| {
            changed.remove(&index).unwrap_or_else(|| record.clone())
        };
        Ok((Some(batch.iter().enumerate().map(row).collect()), fates))
    }

    /// Returns each table's operations, tables in the order first seen. Creates and alters tables.
    async fn operations(
        &mut self,
        batch: &[SinkRecord],
        mut fates: HashMap<usize, RecordOutcome>,
        rejected: &mut Vec<Rejected>,
    ) -> Result<Vec<(usize, Vec<RowOperation>)>> {
        let mut out: Vec<(usize, Vec<RowOperation>)> = Vec::new();
        self.emptied.clear();
        self.targets.iter_mut().for_each(TargetTable::thin_out);
        for (index, record) in batch.iter().enumerate() {
            let outcome = match fates.remove(&index) {
                None => self.operation(index, record).await,
                Some(RecordOutcome::Skip) => Ok(None),
                Some(RecordOutcome::Refused(error)) => Err(error),
                Some(RecordOutcome::Truncate) => {
                    // a truncation deletes the rows of earlier records of the batch, too
                    let target = self
                        .target(index, &record.record.topic)
                        .await
                        .map_err(|e| e.context(position_of(record)))?;
                    out.iter_mut()
                        .filter(|(table, _)| *table == target)
                        .for_each(|(_, ops)| ops.clear());
                    if self.targets[target].meta.is_some() && !self.emptied.contains(&target) {
                        self.emptied.push(target);
                    }
                    Ok(None)
                }
            };
            match outcome {
                Ok(None) => {}
                Ok(Some((target, shape))) => {
                    let op = RowOperation {
                        record: index,
                        shape,
                        delete: record.record.value.value.is_null(),
                    };
                    match out.iter_mut().find(|(t, _)| *t == target) {
                        Some((_, ops)) => ops.push(op),
                        None => out.push((target, vec![op])),
                    }
                }
                Err(error) if self.tolerate && error.kind() == ErrorKind::Record => {
                    rejected.push(Rejected {
                        index,
                        error: error.context(position_of(record)),
                    });
                }
                Err(error) if error.kind() == ErrorKind::Retry => return Err(error),
                Err(error) => return Err(error.context(position_of(record))),
            }
        }
        Ok(out)
    }

    async fn operation(
        &mut self,
        index: usize,
        record: &SinkRecord,
    ) -> Result<Option<(usize, usize)>> {
        if let Some(statements) = &mut self.statements {
            let connection = self.connection.get()?;
            let plan = statements
                .plan(
                    &mut *connection.session,
                    &self.config,
                    connection.writing,
                    record,
                )
                .await?;
            return Ok(Some((STATEMENTS, plan)));
        }
        check_record(&self.config, record)?;
        let target = self.target(index, &record.record.topic).await?;
        let connection = self.connection.get()?;
        let Record {
            topic, key, value, ..
        } = &record.record;
        let (session, writing) = (&mut *connection.session, connection.writing);
        let table = &mut self.targets[target];
        let plan = table
            .plan(
                session,
                &self.config,
                writing,
                PlanSource { topic, key, value },
            )
            .await?;
        if let Some(plan) = plan
            && self.config.evolve == SchemaEvolution::Widen
            && !value.value.is_null()
        {
            table.lengthen(session, writing, plan, record).await?;
        }
        Ok(plan.map(|plan| (target, plan)))
    }

    /// Returns the number of the table of a record of the current batch; looks it up on first use.
    async fn target(&mut self, index: usize, topic: &Arc<str>) -> Result<usize> {
        let given = self.names.get(index).and_then(Option::as_ref);
        let name = given.unwrap_or(topic);
        if let Some(target) = self.by_name.get(name) {
            return Ok(*target);
        }
        let (name, database) = (Arc::clone(name), self.connect_to.database_kind());
        let id = match given {
            Some(name) => self.config.naming.named(name, topic, database)?,
            None => self.config.naming.table(topic, database)?,
        };
        let connection = self.connection.get()?;
        let found =
            TargetTable::find(&mut *connection.session, &self.config, &connection.here, id).await?;
        let target = match self.targets.iter().position(|t| t.id == found.id) {
            Some(known) => known,
            None => {
                self.targets.push(found);
                self.targets.len() - 1
            }
        };
        self.by_name.insert(name, target);
        Ok(target)
    }

    /// Adds the table and the record's position to an error.
    fn with_record_context(&self, batch: &[SinkRecord], failure: WriteFailure) -> Error {
        let WriteFailure {
            error,
            target,
            records,
        } = failure;
        if error.kind() == ErrorKind::Fenced {
            return error;
        }
        let error = match self.targets.get(target) {
            Some(table) => self
                .hint_unique_key(error, table)
                .context(format!("table {}", table.id)),
            None => error,
        };
        match records.as_slice() {
            [one] if error.kind() == ErrorKind::Record => {
                error.context(batch.get(*one).map_or_else(String::new, position_of))
            }
            _ => error,
        }
    }

    /// Adds the second cause that a refused NULL may have if an upsert is guarded against
    /// collisions.
    fn hint_unique_key(&self, error: Error, table: &TargetTable) -> Error {
        let guarded = self.config.insert_mode == InsertMode::Upsert && table.has_other_unique();
        let sign = self
            .connection
            .writing()
            .and_then(|writing| writing.capabilities.guard_error);
        if !guarded || sign.is_none_or(|sign| !error.message().contains(sign)) {
            return error;
        }
        let message = format!(
            "{error}, or the row has another row's value in a unique index beside the primary key"
        );
        Error::new(error.kind(), message)
            .of_class(error.class())
            .caused_by(error)
    }

    /// Applies `max.retries`, if set: that many retries for any failure of the database. A commit
    /// in doubt is not counted: its outcome must be resolved first.
    fn apply_max_retries(&mut self, error: Error) -> Error {
        let Some(most) = self.config.max_retries else {
            return error;
        };
        let from_database = matches!(
            error.kind(),
            ErrorKind::Retry | ErrorKind::Record | ErrorKind::Config
        );
        if !from_database || self.tx.is_in_doubt() {
            return error;
        }
        self.tries += 1;
        let message = error.message().to_owned();
        match error.kind() {
            _ if self.tries <= most => {
                self.retry_at = Some(Instant::now() + self.config.retry_backoff);
                Error::retry(message).caused_by(error)
            }
            ErrorKind::Retry => Error::fatal(format!(
                "given up after {most} retries (max.retries): {message}"
            ))
            .caused_by(error),
            _ => error,
        }
    }
}

/// The batch as rows (`None`: its records are rows already), each table's operations, and the
/// rejected records.
type PreparedBatch = (
    Option<Vec<SinkRecord>>,
    Vec<(usize, Vec<RowOperation>)>,
    Vec<Rejected>,
);

/// The outcome of a record that is no row.
enum RecordOutcome {
    Skip,
    Truncate,
    Refused(Error),
}

/// Errors: `Config` if a topic's table does not exist.
async fn tables_exist(connection: &mut WriteConnection, config: &SinkConfig) -> Result<()> {
    // only the records name these tables
    let topics = if config.naming.is_by_source() {
        &[][..]
    } else {
        &config.topics
    };
    for topic in topics {
        let id = config.naming.table(topic, connection.writing.database)?;
        if connection.session.table(&id).await?.is_none() {
            return Err(Error::config(format!(
                "Could not find table: {id}, and schema.evolution=validate-only creates none"
            )));
        }
    }
    Ok(())
}

/// A record's topic, partition and offset, for messages.
fn position_of(record: &SinkRecord) -> String {
    format!(
        "record of topic {}, partition {}, offset {}",
        record.at.topic, record.at.partition, record.at.offset
    )
}

#[async_trait]
impl SinkTask for JdbcSinkTask {
    async fn assign(&mut self, partitions: &[TopicPartition]) -> Result<Vec<TopicOffset>> {
        if !self.config.exactly_once {
            return Ok(Vec::new());
        }
        let new: Vec<_> = partitions
            .iter()
            .filter(|p| !self.offsets.holds(p))
            .cloned()
            .collect();
        self.connect().await?;
        let connection = self.connection.get()?;
        self.offsets
            .claim(&mut *connection.session, connection.writing, &new, None)
            .await
    }

    async fn revoke(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.offsets.release(partitions);
        self.tx.revoke(partitions);
        Ok(())
    }

    async fn put(&mut self, batch: &[SinkRecord], next: &[TopicOffset]) -> Result<PutReport> {
        if batch.is_empty() && (next.is_empty() || !self.config.exactly_once) {
            return Ok(PutReport::default());
        }
        if let Some(at) = self.retry_at.take() {
            driver::rest(
                at.saturating_duration_since(Instant::now()),
                "the next try is due after retry.backoff.ms",
            )
            .await;
        }
        self.try_put(batch, next)
            .await
            .map_err(|error| self.apply_max_retries(error))
    }

    async fn commit(&mut self) -> Result<()> {
        match self
            .tx
            .commit_open(self.connection.as_mut(), self.config.exactly_once)
            .await
        {
            Ok(()) => self.tries = 0,
            Err(error) => {
                return Err(self
                    .retry_with_deferred_checks(&error)
                    .unwrap_or_else(|| self.apply_max_retries(error)));
            }
        }
        Ok(())
    }

    async fn rollback(&mut self) -> Result<()> {
        self.tx.rollback_open(self.connection.as_mut()).await
    }

    async fn close(self: Box<Self>) {
        self.connection.close().await;
    }
}
