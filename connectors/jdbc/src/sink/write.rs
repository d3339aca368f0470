//! Writes the operations of a batch, inside the transaction that the task has begun.
//!
//! Many rows share a statement: 500 at most, in sizes that repeat, so that each text is prepared once per session.

use connector_api::{Error, Kind, Result, SinkRecord};

use super::bind::{Binder, key_bytes};
use super::config::{InsertMode, SinkConfig};
use super::group::{self, Identity, Keys, Op, Rows, Rules};
use super::target::{Surroundings, Target, Verb, keys_repeat};
use crate::dialect::writing::Writing;
use crate::driver::{Param, Session};

/// Rows of one statement; more do not get faster.
const MOST_ROWS: usize = 500;

/// Why a statement failed, and for which records.
pub struct Failure {
    /// Why.
    pub error: Error,
    /// Number of the table.
    pub target: usize,
    /// Indices of the records of that statement.
    pub records: Vec<usize>,
}

/// All that writing needs, borrowed for one batch.
pub struct Writer<'a> {
    pub session: &'a mut dyn Session,
    pub config: &'a SinkConfig,
    pub writing: &'a dyn Writing,
    pub here: &'a Surroundings,
    pub targets: &'a mut [Target],
    pub batch: &'a [SinkRecord],
}

impl Writer<'_> {
    /// The statements for the operations on one table.
    pub fn group(&self, target: usize, ops: &[Op]) -> Vec<Rows> {
        let table = &self.targets[target];
        if !keys_repeat(self.config) {
            return group::in_order(ops);
        }
        let mut used: Vec<usize> = ops.iter().map(|op| op.shape).collect();
        used.sort_unstable();
        used.dedup();
        let only_inserts = self.config.insert_mode == InsertMode::Insert && !ops.iter().any(|op| op.delete);
        if only_inserts {
            return group::in_order(ops);
        }
        let identity = table.identity(&used);
        let mut keys = Keys::default();
        for op in ops {
            let record = &self.batch[op.record];
            let params = table.plans[op.shape].keys.iter().map(|b| b.param(record)).collect::<Result<Vec<_>>>();
            // what cannot be bound fails when its statement does, alone
            let params = params.unwrap_or_default();
            keys.push(|out| params.iter().for_each(|p| key_bytes(p, identity == Identity::Exact, out)));
        }
        let covers = |a: usize, b: usize| table.plans[a].covers(&table.plans[b]);
        let complete = |plan: usize| table.is_complete(plan);
        let (mode, compact) = (self.config.insert_mode, !table.has_other_unique());
        group::by_key(ops, &keys, &Rules { mode, identity, compact, covers: &covers, complete: &complete })
    }

    /// Writes rows of one table. On an error the transaction is to be rolled back.
    pub async fn write(&mut self, target: usize, rows: &Rows) -> Result<(), Failure> {
        let mut left = rows.records.as_slice();
        while !left.is_empty() {
            let count = self.chunk(target, rows, left);
            let (now, later) = left.split_at(count);
            self.statement(target, rows, now).await?;
            left = later;
        }
        Ok(())
    }

    /// Writes rows, leaving out those that the database refuses: a statement that fails is taken back and halved
    /// until the culprits stand alone. Adds them to `rejected`.
    /// Errors: all kinds but `Record`.
    pub async fn sift(
        &mut self,
        target: usize,
        rows: &Rows,
        rejected: &mut Vec<(usize, Error)>,
    ) -> Result<(), Failure> {
        let mut todo = vec![rows.records.as_slice()];
        while let Some(records) = todo.pop() {
            let count = self.chunk(target, rows, records);
            let (now, later) = records.split_at(count);
            if !later.is_empty() {
                todo.push(later);
            }
            self.settle("SAVEPOINT rowferry_sift", target).await?;
            match self.statement(target, rows, now).await {
                Ok(()) => {}
                Err(failure) if failure.error.kind() == Kind::Record => {
                    self.settle("ROLLBACK TO SAVEPOINT rowferry_sift", target).await?;
                    match (failure.records.as_slice(), now) {
                        ([one], [_]) => rejected.push((*one, failure.error)),
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

    async fn settle(&mut self, sql: &str, target: usize) -> Result<(), Failure> {
        let done = self.session.run(sql).await;
        done.map(drop).map_err(|error| Failure { error, target, records: Vec::new() })
    }

    fn verb(&self, rows: &Rows) -> Verb {
        match (rows.delete, self.config.insert_mode) {
            (true, _) => Verb::Delete,
            (false, InsertMode::Update) => Verb::Update,
            (false, InsertMode::Insert | InsertMode::Upsert) => Verb::Insert,
        }
    }

    /// How many of the records left go into the next statement.
    fn chunk(&self, target: usize, rows: &Rows, left: &[usize]) -> usize {
        let plan = &self.targets[target].plans[rows.shape];
        let (columns, most) = match self.verb(rows) {
            Verb::Update => return 1,
            Verb::Delete => (plan.keys.len(), MOST_ROWS),
            Verb::Insert => (plan.keys.len() + plan.values.len(), MOST_ROWS),
        };
        let limit = self.writing.dialect().limits().params / columns.max(1);
        let most = most.min(self.config.batch_rows).min(limit).max(1);
        let count = if left.len() >= most { most } else { 1 << left.len().ilog2() };
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

    async fn statement(&mut self, target: usize, rows: &Rows, records: &[usize]) -> Result<(), Failure> {
        let verb = self.verb(rows);
        let table = &mut self.targets[target];
        let plan = &mut table.plans[rows.shape];
        let sql = plan.sql(self.writing, &table.id, verb, records.len());
        let (keys, values) = (plan.keys.as_slice(), plan.values.as_slice());
        let columns: [&[Binder]; 2] = match verb {
            Verb::Delete => [keys, &[]],
            Verb::Insert => [keys, values],
            Verb::Update if values.is_empty() => [keys, keys],
            Verb::Update => [values, keys],
        };
        let mut params: Vec<Param<'_>> = Vec::with_capacity(records.len() * (columns[0].len() + columns[1].len()));
        for &n in records {
            for binder in columns[0].iter().chain(columns[1]) {
                match binder.param(&self.batch[n]) {
                    Ok(param) => params.push(param),
                    Err(error) => return Err(Failure { error, target, records: vec![n] }),
                }
            }
        }
        match self.session.execute(&sql, &params).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure { error, target, records: records.to_vec() }),
        }
    }
}
