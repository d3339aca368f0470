//! MariaDB's binary log as the server sends it to replicas.
//!
//! A task of its own reads the connection, since reading cannot be given up in the middle of an
//! event; the events wait in a channel that is limited by their bytes.

use std::sync::Arc;
use std::time::Duration;

use connector_api::{Error, Result};
use sqlx::MySql;
use sqlx::mysql::MySqlDatabaseError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::mysql::MySqlSession;
use super::{ConnectOptions, Session, failure, retry};
use crate::url::ConnectionTarget;

/// How often the server shows that it is there while nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long nothing may come, heartbeats included.
const SILENCE: Duration = Duration::from_secs(60);

/// How long the server waits for a reader who is busy, in seconds.
const BUSY_READER: u32 = 3600;

/// Bytes of events that may wait, in units of 1 KiB; one larger event waits alone.
const WAITING_UNITS: u32 = 8 << 10;

/// Events that may wait.
const WAITING_EVENTS: usize = 4096;

/// Where reading the log begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BinlogStart {
    /// Behind these transactions: `0-1-100,1-1-5`.
    Gtids(String),
    /// At a position of a file.
    File { file: String, position: u64 },
}

/// An event's bytes, and its share of what may wait.
struct WaitingEvent {
    bytes: Vec<u8>,
    _share: OwnedSemaphorePermit,
}

/// Events of a server's binary log.
pub(crate) struct BinlogStream {
    events: mpsc::Receiver<Result<WaitingEvent>>,
    reader: JoinHandle<()>,
}

impl BinlogStream {
    /// Connects as the replica `server_id`, and asks for the log.
    /// Errors: `Denied` without the privilege REPLICATION SLAVE, `Retry` if the server cannot be
    /// reached. That the log cannot be read from there on is the first event's error.
    pub(crate) async fn open(
        target: &ConnectionTarget,
        options: ConnectOptions,
        server_id: u32,
        start: &BinlogStart,
    ) -> Result<Self> {
        let place = target.place();
        let mut session = retry::attempts(target, options, MySqlSession::connect).await?;
        for sql in settings(start) {
            session.run(&sql).await?;
        }
        let (file, position) = match start {
            BinlogStart::Gtids(_) => ("", 4),
            BinlogStart::File { file, position } => (
                file.as_str(),
                u32::try_from(*position).map_err(|_| {
                    Error::config(format!(
                        "the position {position} of {file} is beyond 4 GiB, where a log can only \
                         be read from a GTID on"
                    ))
                })?,
            ),
        };
        let asked = session.connection.dump_binlog(server_id, file, position);
        let asked = timeout(options.timeout, asked).await;
        asked
            .map_err(|_| Error::retry(format!("no answer from {place}")))?
            .map_err(|error| classify(&place, server_id, error))?;
        let (sender, events) = mpsc::channel(WAITING_EVENTS);
        let reader = tokio::spawn(read(session, sender, place, server_id));
        Ok(Self { events, reader })
    }

    /// Returns the next event. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>> {
        match self.events.recv().await {
            Some(event) => event.map(|event| event.bytes),
            None => Err(Error::retry("the binary log's connection has ended")),
        }
    }

    /// True if no event is there now.
    pub(crate) fn is_idle(&self) -> bool {
        self.events.is_empty()
    }

    /// Returns the next event if it is there.
    pub(crate) fn waiting(&mut self) -> Option<Result<Vec<u8>>> {
        let event = self.events.try_recv().ok()?;
        Some(event.map(|event| event.bytes))
    }
}

impl Drop for BinlogStream {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The statements that prepare a session.
fn settings(start: &BinlogStart) -> Vec<String> {
    let mut all = vec![
        format!("SET @master_heartbeat_period = {}", HEARTBEAT.as_nanos()),
        "SET @master_binlog_checksum = 'CRC32'".to_owned(),
        "SET @mariadb_slave_capability = 4".to_owned(),
        format!("SET SESSION net_write_timeout = {BUSY_READER}"),
    ];
    if let BinlogStart::Gtids(gtids) = start {
        // digits, hyphens and commas: see `GtidSet`
        all.push(format!("SET @slave_connect_state = '{gtids}'"));
        all.push("SET @slave_gtid_strict_mode = 1".to_owned());
        all.push("SET @slave_gtid_ignore_duplicates = 0".to_owned());
    }
    all
}

/// Reads events until the connection fails or nobody wants them.
async fn read(
    mut session: MySqlSession,
    events: mpsc::Sender<Result<WaitingEvent>>,
    place: String,
    server_id: u32,
) {
    let room = Arc::new(Semaphore::new(WAITING_UNITS as usize));
    loop {
        let next = timeout(SILENCE, session.connection.next_binlog_event()).await;
        let bytes = match next {
            Ok(Ok(Some(bytes))) => Ok(bytes),
            Ok(Ok(None)) => Err(Error::retry(format!("{place} has ended its binary log"))),
            Ok(Err(error)) => Err(classify(&place, server_id, error)),
            Err(_) => Err(Error::retry(format!(
                "neither an event nor a heartbeat from {place} for {} s",
                SILENCE.as_secs()
            ))),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                // if the receiver is gone, nobody needs the error
                drop(events.send(Err(error)).await);
                return;
            }
        };
        let units = u32::try_from(bytes.len() >> 10).unwrap_or(u32::MAX);
        let units = units.saturating_add(1).min(WAITING_UNITS);
        let Ok(share) = Arc::clone(&room).acquire_many_owned(units).await else {
            return;
        };
        let event = WaitingEvent {
            bytes,
            _share: share,
        };
        if events.send(Ok(event)).await.is_err() {
            return;
        }
    }
}

/// Classifies the error of a log that cannot be read from its start on, which no retry fixes.
fn classify(place: &str, server_id: u32, error: sqlx::Error) -> Error {
    const CANNOT_BE_READ: u16 = 1236;
    const DENIED: [u16; 2] = [1045, 1227];
    let refused = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
    if refused.is_some_and(|error| DENIED.contains(&error.number())) {
        return Error::denied(format!(
            "{place} does not send its binary log to this account, which needs the privilege \
             REPLICATION SLAVE: GRANT REPLICATION SLAVE ON *.* TO it"
        ))
        .caused_by(error);
    }
    let text = refused
        .filter(|error| error.number() == CANNOT_BE_READ)
        .map(|error| error.message().to_owned());
    match text {
        Some(text) if text.contains("same server_id") || text.contains("same server_uuid") => {
            Error::config(format!(
                "another reader of the binary log of {place} has the id {server_id}: set \
                 database.server.id to one that no replica and no other connector has"
            ))
        }
        Some(text) => Error::config(format!(
            "{place} cannot send its binary log from the stored position on: {text}. Changes since \
             then may be lost to this connector. Either point it to a server that still has them, \
             or read the tables again: stop the connector, delete its offsets (DELETE \
             /connectors/NAME/offsets) and resume it"
        )),
        None => failure::classify::<MySql>(place, error),
    }
}

#[cfg(test)]
mod tests {
    use super::{BinlogStart, settings};

    #[test]
    fn a_start_by_gtid_is_a_setting_of_the_session() {
        let of = |start: &BinlogStart| settings(start).join("; ");
        let gtids = of(&BinlogStart::Gtids("0-1-5".into()));
        assert!(gtids.contains("SET @slave_connect_state = '0-1-5'"));
        let file = of(&BinlogStart::File {
            file: "b.000001".into(),
            position: 4,
        });
        assert!(!file.contains("slave_connect_state"));
        assert!(file.contains("SET @master_heartbeat_period = 5000000000"));
    }
}
