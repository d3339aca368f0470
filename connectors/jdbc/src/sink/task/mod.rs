//! One running task of the sink: a batch is one transaction.
//!
//! `put`: find each record's table and shape (creating or altering tables) -> group -> begin ->
//! offsets -> rows. The transaction stays open until `commit`, because rejected records are sent to
//! the dead letters in between. DDL runs first, outside the transaction, because MariaDB and MySQL
//! commit implicitly at each DDL statement.

#![expect(
    clippy::indexing_slicing,
    reason = "a rejected record is one of the batch"
)]

mod again;
mod losses;
mod prepare;
mod transaction;

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{
    Error, ErrorKind, PutReport, Result, SinkRecord, SinkTask, TopicOffset, TopicPartition,
    async_trait,
};

use tokio::time::Instant;

use self::losses::BatchLosses;
use crate::driver;
use crate::sink::config::{InsertMode, SinkConfig};
use crate::sink::mapping::adapt::Adapter;
use crate::sink::offsets::{SinkOffsets, Tx};
use crate::sink::statement::StatementSet;
use crate::sink::write::connection::{ConnectionSlot, WriteConnection};
use crate::sink::write::failure::WriteFailure;
use crate::sink::write::index::TableIndex;
use crate::sink::write::target::TargetTable;
use crate::url;

/// One running sink task: its connection, the tables it knows and the transaction of its batch.
pub(super) struct JdbcSinkTask {
    config: SinkConfig,
    connect_to: url::ConnectionTarget,
    tolerate: bool,
    connection: ConnectionSlot,
    offsets: SinkOffsets,
    targets: Vec<TargetTable>,
    /// Tables by topic, or by the name that the record's source gives.
    by_name: HashMap<Arc<str>, TableIndex>,
    /// The names that the current batch's records give, if topics alone do not name the tables.
    names: Vec<Option<Arc<str>>>,
    adapter: Adapter,
    /// Tables that the current batch truncates before it writes.
    truncated: Vec<TableIndex>,
    tx: Tx,
    /// Set once a deferred constraint has failed a commit; from then on constraints are checked
    /// before the commit.
    checks_deferred_early: bool,
    /// A table of the batch has changed since its rows were converted and grouped for it.
    table_changed: bool,
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
            Adapter::new(config.adapting(connection.writing.capabilities.values.has_arrays));
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
            truncated: Vec::new(),
            tx: Tx::Idle,
            checks_deferred_early: false,
            table_changed: false,
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

    /// Adds the table and the record's position to an error.
    fn with_record_context(&self, batch: &[SinkRecord], failure: WriteFailure) -> Error {
        let WriteFailure {
            error,
            table,
            records,
        } = failure;
        if error.kind() == ErrorKind::Fenced {
            return error;
        }
        let error = match table.and_then(|table| self.targets.get(table.0)) {
            Some(table) => self
                .hint_unique_key(error, table)
                .context(format!("table {}", table.id)),
            None => error,
        };
        match records.as_slice() {
            [one] if error.kind() == ErrorKind::Record => error.context(position_of(&batch[*one])),
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
        error.and_line(
            "Or another row has the same value in another unique index than the primary key.",
        )
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
        match error.kind() {
            _ if self.tries <= most => {
                self.retry_at = Some(Instant::now() + self.config.retry_backoff);
                error.of_kind(ErrorKind::Retry)
            }
            ErrorKind::Retry => error
                .context(format_args!("failed after {most} retries (max.retries)"))
                .of_kind(ErrorKind::Fatal),
            _ => error,
        }
    }
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
        self.connect().await?;
        let connection = self.connection.get()?;
        // Also those that this task holds: an earlier call may have claimed some and failed over
        // another, so that their stored offsets were not returned.
        self.offsets
            .claim(
                &mut *connection.session,
                connection.writing,
                partitions,
                None,
            )
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
            driver::wait_before_retry(
                at.saturating_duration_since(Instant::now()),
                "the next attempt is due after retry.backoff.ms",
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
