//! The connection of a task, set up for writing.

use connector_api::Result;

use super::target::Surroundings;
use crate::dialect::writing::{self, Writing};
use crate::driver::{self, ConnectOptions, Session};
use crate::url;

/// One connection, with what belongs to it.
pub struct Link {
    pub session: Box<dyn Session>,
    pub writing: Box<dyn Writing>,
    pub here: Surroundings,
}

impl Link {
    /// Connects and sets the session up for writing.
    pub async fn open(place: &url::Target, options: ConnectOptions) -> Result<Self> {
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
        let here = Surroundings::of(&mut *session, &*writing).await?;
        Ok(Self { session, writing, here })
    }
}
