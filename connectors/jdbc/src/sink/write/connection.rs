//! The connection of a task, set up for writing.

use connector_api::{Result, Value};

use super::size::SizeLimits;
use crate::dialect::writing::{self, WriteDialect};
use crate::driver::{self, ConnectOptions, Session};
use crate::url;

/// One connection, with what belongs to it.
pub struct WriteConnection {
    pub session: Box<dyn Session>,
    pub writing: Box<dyn WriteDialect>,
    pub here: SessionInfo,
}

impl WriteConnection {
    /// Connects and sets the session up for writing.
    pub async fn open(target: &url::ConnectionTarget, options: ConnectOptions) -> Result<Self> {
        let mut session = driver::connect(target, options).await?;
        let writing = writing::of(target.database_kind(), session.server_version());
        for sql in writing.session() {
            if let Err(error) = session.run(sql).await {
                if session.is_lost() {
                    return Err(error);
                }
                tracing::debug!(%error, sql, "the server does not take a setting");
            }
        }
        let here = SessionInfo::of(&mut *session, &*writing).await?;
        Ok(Self {
            session,
            writing,
            here,
        })
    }
}

/// Where a session is, and what it may send.
#[derive(Clone, Debug, Default)]
pub struct SessionInfo {
    /// The current catalog (MariaDB's and MySQL's database).
    pub catalog: Option<String>,
    /// The current schema.
    pub schema: Option<String>,
    /// Most bytes that several rows share in a statement.
    pub packet: usize,
    /// The most that a statement may have.
    pub largest: SizeLimits,
}

impl SessionInfo {
    /// Asks the server.
    pub async fn of(session: &mut dyn Session, writing: &dyn WriteDialect) -> Result<Self> {
        let rows = session.query(writing.surroundings(), &[]).await?;
        let cell = |n: usize| rows.first().and_then(|row| row.get(n));
        let text = |n: usize| cell(n).and_then(Value::as_str).map(str::to_owned);
        let most = writing.dialect().limits().packet;
        let packet = cell(2)
            .and_then(Value::as_i64)
            .and_then(|n| usize::try_from(n).ok());
        // a packet of max_allowed_packet bytes is one too large
        let told = packet.map(|bytes| bytes.saturating_sub(1));
        let largest = SizeLimits {
            bytes: told.unwrap_or(writing.dialect().limits().largest),
            is_set: told.is_some(),
        };
        Ok(Self {
            catalog: text(0),
            schema: text(1),
            packet: packet.unwrap_or(most),
            largest,
        })
    }
}
