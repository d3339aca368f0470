//! PostgreSQL's write-ahead log, decoded by the server's plugin `pgoutput`, as a replica reads it.
//!
//! A task of its own reads the connection and reports to the server how far the log is no longer needed,
//! also while nobody takes the messages: a server that receives nothing ends the connection. Messages
//! wait in a channel that is limited by their bytes.

use std::sync::Arc;
use std::time::Duration;

use connector_api::{Error, Result};
use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Postgres, Row};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::backend::DatabaseBackend;
use super::{ConnectOptions, failure, retry};
use crate::pgoutput::{Frame, frame};
use crate::url::ConnectionTarget;

/// How often the server receives how far its log is no longer needed. Its `wal_sender_timeout` is a
/// minute by default.
const STATUS: Duration = Duration::from_secs(5);

/// How long nothing may come. The server answers each status that asks it to.
const SILENCE: Duration = Duration::from_secs(60);

/// How long a snapshot waits for the transactions that are open when it is asked for.
const EXPORTED_WITHIN: Duration = Duration::from_secs(600);

/// Bytes of messages that may wait, in units of 1 KiB; one larger message waits alone.
const WAITING_UNITS: u32 = 8 << 10;

/// Messages that may wait.
const WAITING_MESSAGES: usize = 4096;

/// A snapshot that other sessions can import until this is dropped.
pub(crate) struct ExportedSnapshot {
    /// The snapshot sees exactly the transactions whose commits are before this position.
    pub position: u64,
    /// For `SET TRANSACTION SNAPSHOT`.
    pub name: String,
    _connection: PgConnection,
}

/// What the reading task is to report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    /// The log before this position is no longer needed.
    confirmed: u64,
    /// The server is to say how far it is.
    asks: u64,
}

/// A message, and its share of what may wait.
struct WaitingMessage {
    bytes: Vec<u8>,
    _share: OwnedSemaphorePermit,
}

/// Messages of a replication slot.
pub(crate) struct ReplicationStream {
    messages: mpsc::Receiver<Result<WaitingMessage>>,
    told: watch::Sender<Told>,
    reader: JoinHandle<()>,
}

/// Makes a snapshot whose position in the log is known, by a slot that ends with it.
/// Errors: `Denied` without the attribute REPLICATION, `Config` if no slot is free.
pub(crate) async fn export_snapshot(
    target: &ConnectionTarget,
    options: ConnectOptions,
    slot: &str,
) -> Result<ExportedSnapshot> {
    let place = target.place();
    let mut connection = retry::attempts(target, options, connect).await?;
    let sql =
        format!("CREATE_REPLICATION_SLOT \"{slot}\" TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT");
    let made = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut connection);
    let row = timeout(EXPORTED_WITHIN, made)
        .await
        .map_err(|_| {
            Error::retry(format!(
                "{place} has made no snapshot within {} s: transactions that were open before must \
                 end first (see pg_stat_activity, and pg_prepared_xacts)",
                EXPORTED_WITHIN.as_secs()
            ))
        })?
        .map_err(|error| classify(&place, slot, error))?;
    let text = |index: usize| row.try_get::<String, _>(index).ok();
    match (text(1).and_then(|text| parse_position(&text)), text(2)) {
        (Some(position), Some(name)) => Ok(ExportedSnapshot {
            position,
            name,
            _connection: connection,
        }),
        _ => Err(Error::fatal(format!(
            "{place} does not tell the position of a snapshot"
        ))),
    }
}

/// Parses a position of the log, such as `0/16B3748`.
pub(crate) fn parse_position(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let part = |hex: &str| u32::from_str_radix(hex, 16).ok().map(u64::from);
    Some(part(high)? << 32 | part(low)?)
}

/// Writes a position of the log.
pub(crate) fn position_text(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xffff_ffff)
}

impl ReplicationStream {
    /// Connects, and asks for the changes of transactions whose commits are at or behind `from`.
    /// Errors: `Denied` without the attribute REPLICATION, `Config` if the slot does not have the
    /// log from there on, `Retry` if the server cannot be reached or another reader has the slot.
    pub(crate) async fn open(
        target: &ConnectionTarget,
        options: ConnectOptions,
        slot: &str,
        publication: &str,
        from: u64,
    ) -> Result<Self> {
        let place = target.place();
        let mut connection = retry::attempts(target, options, connect).await?;
        // values have the same texts whatever the server's defaults are
        for sql in ["SET bytea_output = 'hex'", "SET extra_float_digits = 2"] {
            let set = sqlx::raw_sql(sql).execute(&mut connection);
            let set = timeout(options.timeout, set).await;
            set.map_err(|_| Error::retry(format!("no answer from {place}")))?
                .map_err(|error| classify(&place, slot, error))?;
        }
        let names = format!("\"{}\"", publication.replace('"', "\"\"")).replace('\'', "''");
        let command = format!(
            "START_REPLICATION SLOT \"{slot}\" LOGICAL {} (proto_version '1', publication_names \
             '{names}')",
            position_text(from)
        );
        let asked = timeout(options.timeout, connection.start_replication(&command)).await;
        asked
            .map_err(|_| Error::retry(format!("no answer from {place}")))?
            .map_err(|error| classify(&place, slot, error))?;
        let (sender, messages) = mpsc::channel(WAITING_MESSAGES);
        let (told, telling) = watch::channel(Told {
            confirmed: from,
            asks: 0,
        });
        let reading = SlotReader {
            connection,
            telling,
            place,
            slot: slot.to_owned(),
        };
        Ok(Self {
            messages,
            told,
            reader: tokio::spawn(reading.run(sender)),
        })
    }

    /// Returns the next message. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>> {
        match self.messages.recv().await {
            Some(message) => message.map(|message| message.bytes),
            None => Err(Error::retry("the log's connection has ended")),
        }
    }

    /// Returns the next message if it is there.
    pub(crate) fn waiting(&mut self) -> Option<Result<Vec<u8>>> {
        let message = self.messages.try_recv().ok()?;
        Some(message.map(|message| message.bytes))
    }

    /// The log before this position is no longer needed.
    pub(crate) fn confirm(&self, position: u64) {
        self.told.send_if_modified(|told| {
            let is_new = position > told.confirmed;
            told.confirmed = told.confirmed.max(position);
            is_new
        });
    }

    /// Asks the server how far it is; a keepalive answers.
    pub(crate) fn ask(&self) {
        self.told.send_modify(|told| told.asks += 1);
    }
}

impl Drop for ReplicationStream {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The task that reads.
struct SlotReader {
    connection: PgConnection,
    telling: watch::Receiver<Told>,
    place: String,
    slot: String,
}

impl SlotReader {
    /// Reads messages until the connection fails or nobody wants them.
    async fn run(mut self, messages: mpsc::Sender<Result<WaitingMessage>>) {
        let room = Arc::new(Semaphore::new(WAITING_UNITS as usize));
        if let Err(error) = self.forward(&messages, &room).await {
            // if the receiver is gone, nobody needs the error
            drop(messages.send(Err(error)).await);
        }
    }

    async fn forward(
        &mut self,
        messages: &mpsc::Sender<Result<WaitingMessage>>,
        room: &Arc<Semaphore>,
    ) -> Result<()> {
        let mut status = interval(STATUS);
        status.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = tokio::time::Instant::now();
        loop {
            let received = tokio::select! {
                received = self.connection.next_replicated() => received,
                _ = status.tick() => {
                    if heard.elapsed() > SILENCE {
                        return Err(Error::retry(format!(
                            "nothing from {} for {} s", self.place, SILENCE.as_secs()
                        )));
                    }
                    self.tell(true).await?;
                    continue;
                }
                changed = self.telling.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let asks = self.telling.borrow_and_update().asks > 0;
                    self.tell(asks).await?;
                    continue;
                }
            };
            heard = tokio::time::Instant::now();
            let bytes = match received {
                Ok(Some(bytes)) => bytes.to_vec(),
                Ok(None) => {
                    return Err(Error::retry(format!("{} has ended its log", self.place)));
                }
                Err(error) => return Err(classify(&self.place, &self.slot, error)),
            };
            if matches!(frame(&bytes), Ok(Frame::Keepalive { asks: true, .. })) {
                self.tell(false).await?;
            }
            let units = u32::try_from(bytes.len() >> 10).unwrap_or(u32::MAX);
            let units = units.saturating_add(1).min(WAITING_UNITS);
            let room = Arc::clone(room);
            let passing = async move {
                let share = room.acquire_many_owned(units).await;
                let share = share.map_err(|_| Error::retry("the log is not read any more"))?;
                let message = WaitingMessage {
                    bytes,
                    _share: share,
                };
                let sent = messages.send(Ok(message)).await;
                sent.map_err(|_| Error::retry("nobody waits for the log"))
            };
            tokio::pin!(passing);
            loop {
                tokio::select! {
                    passed = &mut passing => break passed?,
                    _ = status.tick() => self.tell(false).await?,
                }
            }
        }
    }

    /// Reports to the server how far its log is no longer needed; `asks`: it is to answer.
    async fn tell(&mut self, asks: bool) -> Result<()> {
        let confirmed = self.telling.borrow().confirmed;
        let mut message = Vec::with_capacity(34);
        message.push(b'r');
        // written, flushed, applied
        for _ in 0..3 {
            message.extend(confirmed.to_be_bytes());
        }
        // the clock is not looked at
        message.extend([0; 8]);
        message.push(u8::from(asks));
        let sent = timeout(SILENCE, self.connection.send_replicated(&message)).await;
        sent.map_err(|_| Error::retry(format!("{} takes no messages", self.place)))?
            .map_err(|error| classify(&self.place, &self.slot, error))
    }
}

async fn connect(
    target: &ConnectionTarget,
    host: &str,
    port: u16,
    how: ConnectOptions,
) -> Result<PgConnection> {
    let options = <Postgres as DatabaseBackend>::options(target, host, port, how)?;
    let connecting = options.replication(true).disable_statement_logging();
    connecting
        .connect()
        .await
        .map_err(|error| classify(&target.place(), "", error))
}

/// Classifies an error of the log.
fn classify(place: &str, slot: &str, error: sqlx::Error) -> Error {
    let refused = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    let (code, text) = refused.map_or(("", ""), |e| (e.code(), e.message()));
    let about = match code {
        // the privilege
        "42501" => Error::denied(format!(
            "{place} does not send its log to this account ({text}): run ALTER ROLE it REPLICATION \
             as a superuser (on managed servers: GRANT rds_replication TO it, or the like)"
        )),
        "53400" => Error::config(format!(
            "{place} has no free replication slot ({text}): drop one that nobody reads (SELECT \
             pg_drop_replication_slot('name'), see pg_replication_slots), or run ALTER SYSTEM SET \
             max_replication_slots = 20 and restart the server. Two are needed at the start of a \
             task, and one afterwards"
        )),
        // in use, and lost or invalid
        "55006" => Error::retry(format!("another reader has the slot {slot}: {text}")),
        "55000" | "42704" => Error::config(format!(
            "{place} cannot send its log by the slot {slot} ({text}). Changes may be lost to this \
             connector: read the tables again: stop the connector, delete its offsets (DELETE \
             /connectors/NAME/offsets) and resume it"
        )),
        _ => return failure::classify::<Postgres>(place, error),
    };
    about.caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::{parse_position, position_text};

    #[test]
    fn positions_come_back_from_their_text() {
        for (text, position) in [("0/16B3748", 0x16B_3748), ("1/0", 1 << 32)] {
            assert_eq!(parse_position(text), Some(position));
            assert_eq!(position_text(position), text);
        }
        assert_eq!(parse_position("16B3748"), None);
    }
}
