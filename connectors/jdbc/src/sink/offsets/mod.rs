//! The sink's own offsets: the table `rowferry_offsets` in the target database, written in the
//! transaction of the rows.
//!
//! Each owner of a partition raises its epoch, and every write names the epoch that it holds. A
//! task that has lost a partition without noticing (a zombie) is therefore fenced: its UPDATE
//! matches no row, and it stops.

mod claim;
mod table;
mod transaction;

use connector_api::text::append;
use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Error, ErrorKind, Result, TopicOffset, TopicPartition, Value};

use crate::dialect::writing::{OffsetsSql, WriteDialect};
use crate::driver::{Session, SqlParam, of_definition};
use crate::ident::OFFSETS_TABLE;

pub(super) use self::table::find;
pub(super) use self::transaction::Tx;

/// The offsets that one task stores with its rows.
pub(super) struct SinkOffsets {
    cluster: String,
    sink: String,
    owner: String,
    /// The table's name in SQL, once it was looked up.
    table: String,
    epochs: HashMap<TopicPartition, i64>,
    advance_sql: HashMap<usize, Arc<str>>,
}

/// The stored row of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OffsetRow {
    next_offset: i64,
    epoch: i64,
    session: Option<i64>,
}

impl OffsetRow {
    /// Reads a row that begins with these columns.
    fn of(row: &[Value]) -> Result<Self> {
        let long = |n: usize| row.get(n).and_then(Value::as_i64);
        match (long(0), long(1)) {
            (Some(next_offset), Some(epoch)) => Ok(Self {
                next_offset,
                epoch,
                session: long(2),
            }),
            _ => Err(Error::fatal(
                "rowferry_offsets has a value that is not a number in next_offset or epoch",
            )),
        }
    }
}

impl SinkOffsets {
    /// Creates the offsets of one sink connector for one Kafka cluster: sinks of one name on two
    /// clusters may write to one database. `owner` is stored for people who read the table.
    pub(super) fn new(cluster: &str, sink: &str, owner: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            sink: sink.to_owned(),
            owner: owner.to_owned(),
            table: OFFSETS_TABLE.to_owned(),
            epochs: HashMap::new(),
            advance_sql: HashMap::new(),
        }
    }

    /// Releases partitions. Their rows stay; the next owner raises the epoch.
    pub(super) fn release(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.epochs.remove(partition);
        }
    }

    /// Stores the next offsets, inside the transaction of the rows and before them: the UPDATE
    /// takes the row locks that make a later owner wait.
    /// Errors: `Fenced` if another owner has taken over.
    pub(super) async fn advance(
        &mut self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        next: &[TopicOffset],
    ) -> Result<()> {
        if next.is_empty() {
            return Ok(());
        }
        let entries = next
            .iter()
            .map(|at| Ok((at, self.epoch(at)?)))
            .collect::<Result<Vec<_>>>()?;
        let number = session_number(session, writing);
        let sql = self.advance_sql.entry(next.len()).or_insert_with(|| {
            let sql = advance_sql(writing, number, next.len());
            Arc::from(sql.replace("{table}", &self.table))
        });
        let mut params = Vec::with_capacity(next.len() * 6 + 3);
        for (at, _) in &entries {
            let topic = SqlParam::Text((&*at.topic).into());
            params.extend([
                topic,
                SqlParam::I64(i64::from(at.partition)),
                SqlParam::I64(at.offset),
            ]);
        }
        params.extend(
            [&self.owner, &self.cluster, &self.sink]
                .map(|text| SqlParam::Text(text.as_str().into())),
        );
        for (at, epoch) in &entries {
            let topic = SqlParam::Text((&*at.topic).into());
            params.extend([
                topic,
                SqlParam::I64(i64::from(at.partition)),
                SqlParam::I64(*epoch),
            ]);
        }
        let changed = session.execute(sql, &params).await?;
        if usize::try_from(changed).is_ok_and(|n| n == next.len()) {
            return Ok(());
        }
        Err(Error::fenced(format!(
            "sink {}: another task has taken over a partition of topic {} (see rowferry_offsets); \
             this task stops",
            self.sink,
            next.first().map_or("", |at| &at.topic)
        )))
    }

    /// True if these next offsets are stored, after a commit whose outcome is unknown. Waits for a
    /// transaction that still locks the rows.
    /// Errors: `Fenced` if another owner has taken over.
    pub(super) async fn is_stored(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        next: &[TopicOffset],
    ) -> Result<bool> {
        session.begin().await?;
        let mut same = true;
        for at in next {
            let partition = TopicPartition {
                topic: Arc::clone(&at.topic),
                partition: at.partition,
            };
            let entry = self.read(session, writing, &partition, true).await?;
            let held = self.epoch(at)?;
            match entry {
                Some(entry) if entry.epoch == held => same &= entry.next_offset == at.offset,
                _ => {
                    session.rollback().await?;
                    return Err(Error::fenced(format!(
                        "sink {}: another task has taken over partition {} of topic {}; this task \
                         stops",
                        self.sink, at.partition, at.topic
                    )));
                }
            }
        }
        session.rollback().await?;
        Ok(same)
    }

    /// Resets every offset of the sink. Raises the epochs rather than deleting the rows, so that
    /// zombies stay fenced.
    pub(super) async fn reset(
        &mut self,
        session: &mut dyn Session,
        writing: &WriteDialect,
    ) -> Result<()> {
        self.ensure_table(session, writing).await?;
        let sql =
            "UPDATE {table} SET next_offset=-1, epoch=epoch+1 WHERE cluster IN (?, '') AND sink=?";
        let params = [&self.cluster, &self.sink].map(|text| SqlParam::Text(text.as_str().into()));
        session.execute(&self.sql(writing, sql), &params).await?;
        Ok(())
    }

    fn epoch(&self, at: &TopicOffset) -> Result<i64> {
        let partition = TopicPartition {
            topic: Arc::clone(&at.topic),
            partition: at.partition,
        };
        self.epochs.get(&partition).copied().ok_or_else(|| {
            Error::fatal(format!(
                "partition {} of topic {} was written without being assigned",
                at.partition, at.topic
            ))
        })
    }

    async fn ensure_table(
        &mut self,
        session: &mut dyn Session,
        writing: &WriteDialect,
    ) -> Result<()> {
        let found = table::find(session, writing, &self.cluster, &self.sink).await?;
        let table = if found.schema.is_some() {
            writing.dialect.table(&found)
        } else {
            found.table
        };
        if self.table != table {
            self.table = table;
            self.advance_sql.clear();
        }
        let look = self.sql(writing, "SELECT cluster FROM {table} WHERE 1=0");
        if session.query(&look, &[]).await.is_ok() {
            return Ok(());
        }
        let sql = &writing.offsets;
        let look_earlier = self.sql(writing, "SELECT sink FROM {table} WHERE 1=0");
        let earlier = session.query(&look_earlier, &[]).await.is_ok();
        let mut made = Ok(());
        for statement in if earlier {
            sql.upgrade
        } else {
            std::slice::from_ref(&sql.create)
        } {
            made = made.and(session.run(&self.sql(writing, statement)).await.map(drop));
        }
        if made.is_err() && session.query(&look, &[]).await.is_ok() {
            // another task created it at the same time; PostgreSQL reports that despite IF NOT
            // EXISTS
            made = Ok(());
        }
        made.map_err(|error| {
            let error = of_definition(error);
            if error.kind() == ErrorKind::Retry {
                return error;
            }
            error.context(
                "the table rowferry_offsets, which exactly-once delivery needs, cannot be created \
                 or migrated in the target database; grant CREATE and ALTER on it, or set \
                 delivery.guarantee=at_least_once",
            )
        })
    }

    async fn read(
        &self,
        session: &mut dyn Session,
        writing: &WriteDialect,
        partition: &TopicPartition,
        lock: bool,
    ) -> Result<Option<OffsetRow>> {
        let OffsetsSql { lock: locking, .. } = writing.offsets;
        let sql = format!(
            "SELECT next_offset, epoch, session_id FROM {{table}} \
             WHERE cluster=? AND sink=? AND topic=? AND partition_id=?{}",
            if lock { locking } else { "" }
        );
        let rows = session
            .query(&self.sql(writing, &sql), &self.row_key(partition))
            .await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        OffsetRow::of(row).map(Some)
    }

    /// Returns the statement with this database's placeholders and the table's name.
    fn sql(&self, writing: &WriteDialect, sql: &str) -> Arc<str> {
        Arc::from(
            writing
                .with_placeholders(sql)
                .replace("{table}", &self.table),
        )
    }

    fn row_key(&self, partition: &TopicPartition) -> Vec<SqlParam<'_>> {
        vec![
            SqlParam::Text(self.cluster.as_str().into()),
            SqlParam::Text(self.sink.as_str().into()),
            SqlParam::Text(partition.topic.to_string().into()),
            SqlParam::I64(i64::from(partition.partition)),
        ]
    }
}

/// Returns the SQL of the session's number, by which a later owner can end it. Behind a pooler the
/// number is that of a server's process which works for other clients a moment later, and must not
/// be ended for this one.
fn session_number(session: &dyn Session, writing: &WriteDialect) -> &'static str {
    match session.connection_id() {
        Some(_) => writing.offsets.session,
        None => "NULL",
    }
}

/// Returns one statement for all partitions of a batch: it sets the offset of each whose epoch is
/// still the one held.
fn advance_sql(writing: &WriteDialect, session: &str, partitions: usize) -> String {
    let mut sql = String::from("UPDATE {table} SET next_offset=CASE");
    for _ in 0..partitions {
        sql.push_str(" WHEN topic=? AND partition_id=? THEN ?");
    }
    // writing to a String cannot fail
    append(
        &mut sql,
        format_args!(
            " ELSE next_offset END, owner=?, session_id={session}, updated_at=CURRENT_TIMESTAMP WHERE cluster=? AND sink=? AND (",
        ),
    );
    for n in 0..partitions {
        sql.push_str(if n == 0 { "" } else { " OR " });
        sql.push_str("(topic=? AND partition_id=? AND epoch=?)");
    }
    sql.push(')');
    writing.with_placeholders(&sql)
}
