//! Taking partitions over: all of them in one transaction, because the consumer group waits for it
//! and each round trip to a distant database counts; one by one while an earlier owner still holds
//! locks.

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Error, ErrorKind, Result, TopicOffset, TopicPartition, Value};

use super::{OffsetRow, SinkOffsets, session_number};
use crate::dialect::writing::WriteDialect;
use crate::driver::{Session, SqlParam};
use crate::sink::write::connection::end_session;

/// How many times a claim is tried while an earlier owner's transaction is still open.
const CLAIM_ATTEMPTS: usize = 5;
/// How many partitions one statement names at most.
const CLAIMED_TOGETHER: usize = 200;
/// The row of a partition in a dialect's `seed` statement.
const SEED_ROW: &str = "(?, ?, ?, ?, -1, 0, '')";

impl SinkOffsets {
    /// Claims partitions: raises their epochs, and ends sessions of earlier owners that still lock
    /// their rows. Returns the stored next offsets. `set` overwrites them first (-1: none).
    pub(in crate::sink) async fn claim(
        &mut self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        partitions: &[TopicPartition],
        set: Option<&[i64]>,
    ) -> Result<Vec<TopicOffset>> {
        let sql = &writing.offsets;
        self.ensure_table(session, writing).await?;
        run_all(session, sql.short_lock_timeout).await;
        let (mut stored, mut outcome) = (Vec::new(), Ok(()));
        for (n, chunk) in partitions.chunks(CLAIMED_TOGETHER).enumerate() {
            let set = set.and_then(|set| set.chunks(CLAIMED_TOGETHER).nth(n));
            outcome = self
                .claim_chunk(session, writing, chunk, set, &mut stored)
                .await;
            if outcome.is_err() {
                break;
            }
        }
        run_all(session, sql.usual_lock_timeout).await;
        outcome.map(|()| stored)
    }

    /// Claims partitions together, or one by one if one of them is locked.
    async fn claim_chunk(
        &mut self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        partitions: &[TopicPartition],
        set: Option<&[i64]>,
        stored: &mut Vec<TopicOffset>,
    ) -> Result<()> {
        if partitions.len() > 1 {
            match self.try_claim(session, writing, partitions, set).await {
                Ok(rows) => {
                    self.hold(partitions, &rows, stored);
                    return Ok(());
                }
                Err(error) => {
                    session.rollback().await?;
                    if error.kind() != ErrorKind::Retry || session.is_lost() {
                        return Err(error.context("taking over partitions in rowferry_offsets"));
                    }
                    tracing::debug!(%error, "partitions are taken over one by one");
                }
            }
        }
        for (n, partition) in partitions.iter().enumerate() {
            let set = set.and_then(|set| set.get(n..=n));
            let row = self.claim_one(session, writing, partition, set).await?;
            self.hold(std::slice::from_ref(partition), &[row], stored);
        }
        Ok(())
    }

    /// Notes claimed partitions and their stored offsets.
    fn hold(
        &mut self,
        partitions: &[TopicPartition],
        rows: &[OffsetRow],
        stored: &mut Vec<TopicOffset>,
    ) {
        for (at, row) in partitions.iter().zip(rows) {
            self.epochs.insert(at.clone(), row.epoch);
            if row.next_offset >= 0 {
                stored.push(TopicOffset {
                    topic: Arc::clone(&at.topic),
                    partition: at.partition,
                    offset: row.next_offset,
                });
            }
        }
    }

    async fn claim_one(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        partition: &TopicPartition,
        set: Option<&[i64]>,
    ) -> Result<OffsetRow> {
        let one = std::slice::from_ref(partition);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.try_claim(session, writing, one, set).await {
                Ok(rows) => return rows.first().copied().ok_or_else(disappeared),
                Err(error) => error,
            };
            session.rollback().await?;
            if error.kind() != ErrorKind::Retry || session.is_lost() || attempt == CLAIM_ATTEMPTS {
                return Err(error.context(format!(
                    "taking over partition {} of topic {} in rowferry_offsets",
                    partition.partition, partition.topic
                )));
            }
            self.end_earlier_owner(session, writing, partition).await?;
        }
    }

    /// Claims partitions in one transaction. Returns a row for each.
    async fn try_claim(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        partitions: &[TopicPartition],
        set: Option<&[i64]>,
    ) -> Result<Vec<OffsetRow>> {
        session.begin().await?;
        let known = self.read_all(session, writing, partitions).await?;
        let is_new = |at: &&TopicPartition| !known.contains_key(*at);
        let new: Vec<_> = partitions.iter().filter(is_new).collect();
        if !new.is_empty() {
            self.adopt(session, writing, &new).await?;
            self.seed(session, writing, &new).await?;
        }
        // Raising the epoch waits for the row lock of an earlier owner's open transaction. So the
        // offset read below is final, and that owner's next write is fenced.
        let raise = format!(
            "UPDATE {{table}} SET epoch=epoch+1, owner=?, session_id={}, updated_at=CURRENT_TIMESTAMP \
             WHERE cluster=? AND sink=? AND ({})",
            session_number(session, writing),
            any_of(partitions.len())
        );
        let mut params = vec![SqlParam::Text(self.owner.as_str().into())];
        params.extend(self.keys_of(partitions));
        session.execute(&self.sql(writing, &raise), &params).await?;
        for (at, next) in partitions.iter().zip(set.into_iter().flatten()) {
            let sql = "UPDATE {table} SET next_offset=? WHERE cluster=? AND sink=? AND topic=? AND partition_id=?";
            let mut params = vec![SqlParam::I64(*next)];
            params.extend(self.row_key(at));
            session.execute(&self.sql(writing, sql), &params).await?;
        }
        let rows = self.read_all(session, writing, partitions).await?;
        session.commit().await?;
        let row = |at| rows.get(at).copied().ok_or_else(disappeared);
        partitions.iter().map(row).collect()
    }

    /// Assigns this cluster to rows that were written before rows had a cluster.
    async fn adopt(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        partitions: &[&TopicPartition],
    ) -> Result<()> {
        if self.cluster.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "UPDATE {{table}} SET cluster=? WHERE cluster='' AND sink=? AND ({})",
            any_of(partitions.len())
        );
        let params: Vec<_> = self.keys_of(partitions.iter().copied()).collect();
        session
            .execute(&self.sql(writing, &sql), &params)
            .await
            .map(drop)
    }

    /// Inserts the rows of partitions that have none.
    async fn seed(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        partitions: &[&TopicPartition],
    ) -> Result<()> {
        let rows = vec![SEED_ROW; partitions.len()].join(", ");
        let sql = writing.offsets.seed.replacen(SEED_ROW, &rows, 1);
        let params: Vec<_> = partitions.iter().flat_map(|at| self.row_key(at)).collect();
        session
            .execute(&self.sql(writing, &sql), &params)
            .await
            .map(drop)
    }

    /// Reads the rows of partitions, as far as they exist.
    async fn read_all(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, OffsetRow>> {
        let sql = format!(
            "SELECT next_offset, epoch, session_id, topic, partition_id FROM {{table}} \
             WHERE cluster=? AND sink=? AND ({})",
            any_of(partitions.len())
        );
        let params: Vec<_> = self.keys_of(partitions).collect();
        let rows = session.query(&self.sql(writing, &sql), &params).await?;
        let by_name: HashMap<_, _> = partitions
            .iter()
            .map(|at| ((&*at.topic, i64::from(at.partition)), at))
            .collect();
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            let topic = row.get(3).and_then(Value::as_str);
            let name = topic.zip(row.get(4).and_then(Value::as_i64));
            if let Some(at) = name.and_then(|name| by_name.get(&name)) {
                found.insert(TopicPartition::clone(at), OffsetRow::of(row)?);
            }
        }
        Ok(found)
    }

    /// Ends the session that the stored row names as the earlier owner's, if it belongs to the same
    /// account: it has lost its worker, or the worker hangs, while its transaction is open.
    async fn end_earlier_owner(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        partition: &TopicPartition,
    ) -> Result<()> {
        let Some(earlier) = self
            .read(session, writing, partition, false)
            .await?
            .and_then(|e| e.session)
        else {
            return Ok(());
        };
        end_session(session, writing, earlier).await
    }

    /// Returns the parameters of `cluster=? AND sink=?` and [`any_of`].
    fn keys_of<'a>(
        &'a self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> impl Iterator<Item = SqlParam<'a>> {
        let of_sink = [&self.cluster, &self.sink].map(|text| SqlParam::Text(text.as_str().into()));
        let of_each = |at: &'a TopicPartition| {
            let topic = SqlParam::Text((&*at.topic).into());
            [topic, SqlParam::I64(i64::from(at.partition))]
        };
        of_sink
            .into_iter()
            .chain(partitions.into_iter().flat_map(of_each))
    }
}

/// Returns a condition that names so many partitions.
fn any_of(partitions: usize) -> String {
    vec!["topic=? AND partition_id=?"; partitions].join(" OR ")
}

fn disappeared() -> Error {
    Error::fatal("a row of rowferry_offsets disappeared while it was locked")
}

/// Runs session settings; skips those that the server does not know.
async fn run_all(session: &mut dyn Session, statements: &[&str]) {
    for sql in statements {
        if let Err(error) = session.run(sql).await {
            tracing::debug!(%error, sql, "the server does not accept a setting");
        }
    }
}
