//! Rowferry's addition: the [streaming replication protocol](https://www.postgresql.org/docs/current/protocol-replication.html).

use sqlx_core::bytes::Bytes;

use crate::error::Error;
use crate::message::{BackendMessageFormat, CopyData, Query};
use crate::PgConnection;

impl PgConnection {
    /// Sends `START_REPLICATION …`. From then on the connection is good for [`Self::next_replicated`] and
    /// [`Self::send_replicated`] only.
    pub async fn start_replication(&mut self, command: &str) -> Result<(), Error> {
        self.wait_until_ready().await?;
        let stream = &mut self.inner.stream;
        stream.send(Query(command)).await?;
        let message = stream.recv().await?;
        match message.format {
            BackendMessageFormat::CopyBothResponse => Ok(()),
            format => Err(err_protocol!("unexpected message in place of the log: {format:?}")),
        }
    }

    /// The next message of the server's log; `None` when the server ends it. Cancel-safe.
    pub async fn next_replicated(&mut self) -> Result<Option<Bytes>, Error> {
        let message = self.inner.stream.recv().await?;
        match message.format {
            BackendMessageFormat::CopyData => Ok(Some(message.contents)),
            BackendMessageFormat::CopyDone | BackendMessageFormat::CommandComplete => Ok(None),
            format => Err(err_protocol!("unexpected message in the log: {format:?}")),
        }
    }

    /// Sends a message to the server. Not cancel-safe.
    pub async fn send_replicated(&mut self, message: &[u8]) -> Result<(), Error> {
        self.inner.stream.send(CopyData(message)).await
    }
}
