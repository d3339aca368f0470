//! The connection of a task, set up for writing.

use connector_api::{Error, Result, Value};

use super::size::SizeLimits;
use crate::dialect::writing::{self, WriteDialect};
use crate::driver::{self, ConnectOptions, ConnectionId, Session, SqlParam};
use crate::url;

/// One session with its dialect, its current schema and the server's limits.
pub(crate) struct WriteConnection {
    pub session: Box<dyn Session>,
    pub writing: &'static WriteDialect,
    pub here: SessionInfo,
}

impl WriteConnection {
    /// Connects and sets the session up for writing.
    pub(crate) async fn open(
        target: &url::ConnectionTarget,
        options: ConnectOptions,
    ) -> Result<Self> {
        let mut session = driver::connect(target, options).await?;
        let writing = writing::of(target.database_kind(), session.server_version());
        for sql in writing.session_setup {
            if let Err(error) = session.run(sql).await {
                if session.is_lost() {
                    return Err(error);
                }
                tracing::debug!(%error, sql, "the server does not accept a setting");
            }
        }
        let here = SessionInfo::of(&mut *session, writing).await?;
        Ok(Self {
            session,
            writing,
            here,
        })
    }
}

impl WriteConnection {
    /// Ends a lost connection of this task if this server still has it. What the transaction on it
    /// became is decided by the server alone: the stored offsets show it.
    async fn end_lost(&mut self, lost: &ConnectionId) {
        let is_same_server =
            |now: Option<&ConnectionId>| now.is_some_and(|now| now.server == lost.server);
        if !is_same_server(self.session.connection_id()) {
            return;
        }
        let ended = end_session(&mut *self.session, self.writing, lost.id).await;
        if let Err(error) = ended {
            tracing::debug!(%error, "a lost connection cannot be ended on the server");
        }
    }
}

/// Ends another session of the same account, if there is one of that number.
pub(crate) async fn end_session(
    session: &mut dyn Session,
    writing: &WriteDialect,
    number: i64,
) -> Result<()> {
    let find = writing.with_placeholders(writing.offsets.own_session);
    let found = session.query(&find, &[SqlParam::I64(number)]).await?;
    if found.is_empty() {
        return Ok(());
    }
    tracing::warn!(
        session = number,
        "ending an earlier session of this sink that the server still has"
    );
    // It may have ended on its own in the meantime.
    drop(
        session
            .run(
                &writing
                    .offsets
                    .end_session
                    .replace("{}", &number.to_string()),
            )
            .await,
    );
    Ok(())
}

/// The connection of a task, which may be lost and made again.
pub(crate) struct ConnectionSlot {
    connection: Option<WriteConnection>,
    /// A lost connection that the server may still have.
    lost: Option<ConnectionId>,
}

impl ConnectionSlot {
    /// Wraps an open connection.
    pub(crate) fn new(connection: WriteConnection) -> Self {
        Self {
            connection: Some(connection),
            lost: None,
        }
    }

    /// Returns the connection.
    /// Errors: `Retry` if it was lost and could not be made again.
    pub(crate) fn get(&mut self) -> Result<&mut WriteConnection> {
        self.connection
            .as_mut()
            .ok_or_else(|| Error::retry("the connection is closed"))
    }

    /// Returns the connection, which may be lost; `None` if there is none.
    pub(crate) fn as_mut(&mut self) -> Option<&mut WriteConnection> {
        self.connection.as_mut()
    }

    /// Returns the connection if it is usable.
    pub(crate) fn usable(&mut self) -> Option<&mut WriteConnection> {
        self.as_mut().filter(|it| !it.session.is_lost())
    }

    /// True if the task has to connect before it can send anything.
    pub(crate) fn is_lost(&self) -> bool {
        self.connection
            .as_ref()
            .is_none_or(|it| it.session.is_lost())
    }

    /// True if the server has dropped a prepared statement that is still in use.
    pub(crate) fn is_stale(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|it| it.session.is_stale())
    }

    /// The SQL dialect of the server.
    pub(crate) fn writing(&self) -> Option<&WriteDialect> {
        self.connection.as_ref().map(|it| it.writing)
    }

    /// Drops the old connection and connects again. Ends the old one on the server, too: if the
    /// network dropped it silently, its open transaction would keep its row locks until the server
    /// notices, which can take hours.
    pub(crate) async fn reopen(
        &mut self,
        target: &url::ConnectionTarget,
        options: ConnectOptions,
    ) -> Result<()> {
        if let Some(dropped) = self.connection.take() {
            self.lost = dropped.session.connection_id().cloned();
        }
        let mut connection = WriteConnection::open(target, options).await?;
        if let Some(lost) = self.lost.take() {
            connection.end_lost(&lost).await;
        }
        self.connection = Some(connection);
        Ok(())
    }

    pub(crate) async fn close(self) {
        if let Some(connection) = self.connection {
            connection.session.close().await;
        }
    }
}

/// The session's current catalog and schema, and the server's limits.
#[derive(Clone, Debug, Default)]
pub struct SessionInfo {
    /// The current catalog (MariaDB's and MySQL's database).
    pub catalog: Option<String>,
    pub schema: Option<String>,
    /// Most bytes of a statement that several rows share.
    pub packet: usize,
    /// Most bytes of any statement.
    pub largest: SizeLimits,
}

impl SessionInfo {
    /// Queries them from the server.
    pub async fn of(session: &mut dyn Session, writing: &WriteDialect) -> Result<Self> {
        let rows = session.query(writing.session_info, &[]).await?;
        let cell = |n: usize| rows.first().and_then(|row| row.get(n));
        let text = |n: usize| cell(n).and_then(Value::as_str).map(str::to_owned);
        let most = writing.dialect.capabilities().limits.packet;
        let packet = cell(2)
            .and_then(Value::as_i64)
            .and_then(|n| usize::try_from(n).ok());
        // the server refuses a packet of exactly max_allowed_packet bytes
        let limit = packet.map(|bytes| bytes.saturating_sub(1));
        let largest = SizeLimits {
            bytes: limit.unwrap_or(writing.dialect.capabilities().limits.largest),
            is_set: limit.is_some(),
        };
        Ok(Self {
            catalog: text(0),
            schema: text(1),
            packet: packet.unwrap_or(most),
            largest,
        })
    }
}
