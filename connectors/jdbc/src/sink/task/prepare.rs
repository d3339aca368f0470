//! The first half of a batch: its records become rows, and each row finds its table and plan.
//!
//! Creates and alters tables. That happens outside the transaction of the batch, because MariaDB
//! and MySQL commit implicitly at each DDL statement.

#![expect(
    clippy::indexing_slicing,
    reason = "a TableIndex is of this task's tables"
)]

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Error, ErrorKind, Record, Rejected, Result, SinkRecord};

use super::{JdbcSinkTask, position_of};
use crate::sink::config::SchemaEvolution;
use crate::sink::mapping::adapt::{Adapted, PlainTarget};
use crate::sink::mapping::shape::check_record;
use crate::sink::write::group::RowOperation;
use crate::sink::write::index::{PlanIndex, RecordIndex, TableIndex};
use crate::sink::write::plan::PlanSource;
use crate::sink::write::target::TargetTable;

/// A batch that is ready to be written.
pub(super) struct PreparedBatch {
    /// The batch as rows; `None` if its records are rows already.
    rows: Option<Vec<SinkRecord>>,
    /// Tables in the order in which the batch first names them.
    pub operations: Vec<TableOperations>,
    pub rejected: Vec<Rejected>,
}

impl PreparedBatch {
    /// Returns the rows, given the batch that they were made of.
    pub(super) fn rows<'a>(&'a self, batch: &'a [SinkRecord]) -> &'a [SinkRecord] {
        self.rows.as_deref().unwrap_or(batch)
    }
}

/// The operations on one table, in the order of their records.
#[derive(Clone)]
pub(super) struct TableOperations {
    /// `None` with `insert.mode=statement`: the user's SQL names the tables.
    pub table: Option<TableIndex>,
    pub rows: Vec<RowOperation>,
}

/// The outcome of a record that is no row.
enum RecordOutcome {
    Skip,
    Truncate,
    Refused(Error),
}

type RecordOutcomes = HashMap<RecordIndex, RecordOutcome>;

impl JdbcSinkTask {
    /// Converts the batch to rows if its records are none, and finds the operations of each table.
    pub(super) async fn prepare(&mut self, batch: &[SinkRecord]) -> Result<PreparedBatch> {
        let mut prepared = PreparedBatch {
            rows: None,
            operations: Vec::new(),
            rejected: Vec::new(),
        };
        let mut outcomes = HashMap::new();
        if self.statements.is_none() {
            outcomes = self.name_tables(batch);
            prepared.rows = self.adapt(batch, &mut outcomes).await?;
        }
        let rows = prepared.rows.as_deref().unwrap_or(batch);
        (prepared.operations, prepared.rejected) = self.find_operations(rows, outcomes).await?;
        Ok(prepared)
    }

    /// Notes the names of the records' tables, if topics alone do not determine them. Returns the
    /// outcome of records that have no table.
    fn name_tables(&mut self, batch: &[SinkRecord]) -> RecordOutcomes {
        let mut outcomes = HashMap::new();
        self.names.clear();
        if !self.config.naming.is_by_source() {
            return outcomes;
        }
        for (index, record) in batch.iter().enumerate() {
            let (name, outcome) = match self.config.naming.name(&record.record) {
                Ok(Some(name)) => (Some(name), None),
                Ok(None) => (None, Some(RecordOutcome::Skip)),
                Err(error) => (None, Some(RecordOutcome::Refused(error))),
            };
            outcomes.extend(outcome.map(|outcome| (RecordIndex(index), outcome)));
            self.names.push(name);
        }
        outcomes
    }

    /// Converts the records to rows where they are none yet, and notes the outcome of records that
    /// yield no row. `None` if all are rows already.
    async fn adapt(
        &mut self,
        batch: &[SinkRecord],
        outcomes: &mut RecordOutcomes,
    ) -> Result<Option<Vec<SinkRecord>>> {
        let mut changed = HashMap::new();
        for (index, record) in batch.iter().enumerate() {
            let index = RecordIndex(index);
            if !outcomes.is_empty() && outcomes.contains_key(&index) {
                continue;
            }
            let outcome = match self.adapt_record(index, record).await? {
                Ok(Adapted::Same) => continue,
                Ok(Adapted::Changed(row)) => {
                    changed.insert(index, *row);
                    continue;
                }
                Ok(Adapted::Skip) => RecordOutcome::Skip,
                Ok(Adapted::Truncate) => RecordOutcome::Truncate,
                Err(error) => RecordOutcome::Refused(error),
            };
            outcomes.insert(index, outcome);
        }
        if changed.is_empty() {
            return Ok(None);
        }
        let rows = batch.iter().enumerate().map(|(index, record)| {
            changed
                .remove(&RecordIndex(index))
                .unwrap_or_else(|| record.clone())
        });
        Ok(Some(rows.collect()))
    }

    /// Converts one record, if it is no row. The inner error is about the record, the outer one
    /// about its table.
    async fn adapt_record(
        &mut self,
        index: RecordIndex,
        record: &SinkRecord,
    ) -> Result<Result<Adapted>> {
        if let Some(outcome) = self.adapter.event_outcome(record) {
            return Ok(outcome);
        }
        if !self.adapter.is_plain(record) {
            return Ok(self.adapter.apply(record));
        }
        let table = self.table_of(index, record).await?;
        let (Some(table), Some(writing)) = (self.targets[table].meta(), self.connection.writing())
        else {
            return Ok(Ok(self.adapter.without_table(record)));
        };
        let target = PlainTarget {
            table,
            writing,
            time: &self.config.time,
        };
        Ok(self.adapter.match_to(target, record))
    }

    /// Returns each table's operations, and the records that can have none. Creates and alters
    /// tables.
    async fn find_operations(
        &mut self,
        batch: &[SinkRecord],
        mut outcomes: RecordOutcomes,
    ) -> Result<(Vec<TableOperations>, Vec<Rejected>)> {
        let mut found: Vec<TableOperations> = Vec::new();
        let mut rejected = Vec::new();
        self.truncated.clear();
        self.targets.iter_mut().for_each(TargetTable::thin_out);
        for (index, record) in batch.iter().enumerate() {
            let index = RecordIndex(index);
            let operation = match outcomes.remove(&index) {
                None => self.find_plan(index, record).await,
                Some(RecordOutcome::Skip) => Ok(None),
                Some(RecordOutcome::Refused(error)) => Err(error),
                Some(RecordOutcome::Truncate) => {
                    self.truncate(index, record, &mut found).await?;
                    Ok(None)
                }
            };
            match operation {
                Ok(None) => {}
                Ok(Some((table, plan))) => {
                    let operation = RowOperation {
                        record: index,
                        plan,
                        delete: record.record.value.value.is_null(),
                    };
                    match found.iter_mut().find(|known| known.table == table) {
                        Some(known) => known.rows.push(operation),
                        None => found.push(TableOperations {
                            table,
                            rows: vec![operation],
                        }),
                    }
                }
                Err(error) if error.kind() == ErrorKind::Retry => return Err(error),
                Err(error) => {
                    let error = error.context(position_of(record));
                    if !self.tolerate || error.kind() != ErrorKind::Record {
                        return Err(error);
                    }
                    rejected.push(Rejected {
                        index: index.0,
                        error,
                    });
                }
            }
        }
        Ok((found, rejected))
    }

    /// Notes that the record's table is emptied before the batch is written. A truncation deletes
    /// the rows of earlier records of the batch, too.
    async fn truncate(
        &mut self,
        index: RecordIndex,
        record: &SinkRecord,
        earlier: &mut [TableOperations],
    ) -> Result<()> {
        let table = self.table_of(index, record).await?;
        let of_table = earlier
            .iter_mut()
            .filter(|known| known.table == Some(table));
        of_table.for_each(|known| known.rows.clear());
        if self.targets[table].meta().is_some() && !self.truncated.contains(&table) {
            self.truncated.push(table);
        }
        Ok(())
    }

    /// Returns the table of a record and the plan by which it is written; `None` if there is
    /// nothing to write.
    async fn find_plan(
        &mut self,
        index: RecordIndex,
        record: &SinkRecord,
    ) -> Result<Option<(Option<TableIndex>, PlanIndex)>> {
        if let Some(statements) = &mut self.statements {
            let connection = self.connection.get()?;
            let session = &mut *connection.session;
            let plan = statements
                .plan(session, &self.config, connection.writing, record)
                .await?;
            return Ok(Some((None, plan)));
        }
        check_record(&self.config, record)?;
        let index = self.look_up(index, &record.record.topic).await?;
        let connection = self.connection.get()?;
        let (session, writing) = (&mut *connection.session, connection.writing);
        let Record {
            topic, key, value, ..
        } = &record.record;
        let source = PlanSource { topic, key, value };
        let table = &mut self.targets[index];
        let plan = table.plan(session, &self.config, writing, source).await?;
        let Some(plan) = plan else { return Ok(None) };
        if self.config.evolve == SchemaEvolution::Widen && !value.value.is_null() {
            table.lengthen(session, writing, plan, record).await?;
        }
        Ok(Some((Some(index), plan)))
    }

    /// Returns the table of a record of the current batch.
    /// Errors: those of the look-up, with the record's position.
    async fn table_of(&mut self, index: RecordIndex, record: &SinkRecord) -> Result<TableIndex> {
        let found = self.look_up(index, &record.record.topic).await;
        found.map_err(|error| error.context(position_of(record)))
    }

    /// Returns the table of a record of the current batch; asks the database on first use.
    async fn look_up(&mut self, index: RecordIndex, topic: &Arc<str>) -> Result<TableIndex> {
        let given = self.names.get(index.0).and_then(Option::as_ref);
        let name = given.unwrap_or(topic);
        if let Some(table) = self.by_name.get(name) {
            return Ok(*table);
        }
        let name = Arc::clone(name);
        let database = self.connect_to.database_kind();
        let id = match given {
            Some(name) => self.config.naming.named(name, topic, database)?,
            None => self.config.naming.table(topic, database)?,
        };
        let connection = self.connection.get()?;
        let session = &mut *connection.session;
        let found = TargetTable::find(
            session,
            &self.config,
            connection.writing,
            (&connection.here, id),
        )
        .await?;
        if found.id.is_offsets_table() {
            return Err(Error::record(format!(
                "table {} holds the offsets of sinks and takes no records; leave topic {topic} out of the sink's topics, \
                 or name another table with table.name.format",
                found.id
            )));
        }
        let known = self.targets.iter().position(|table| table.id == found.id);
        let table = TableIndex(known.unwrap_or(self.targets.len()));
        if known.is_none() {
            self.targets.push(found);
        }
        self.by_name.insert(name, table);
        Ok(table)
    }
}
