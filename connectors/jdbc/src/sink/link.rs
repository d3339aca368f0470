//! The connection of a task, set up for writing.

use connector_api::Result;

use super::target::SessionInfo;
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
    pub async fn open(place: &url::ConnectionTarget, options: ConnectOptions) -> Result<Self> {
        let mut session = driver::connect(place, options).await?;
        let writing = writing::of(place.database_kind(), session.server_version());
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
