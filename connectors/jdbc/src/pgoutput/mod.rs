//! PostgreSQL's logical replication: the bytes of its messages become transactions, tables and rows.
//! Pure.
//!
//! `frame` takes a message of the replication protocol, `message::decode` the change that it holds
//! (plugin `pgoutput`, protocol version 1). Lengths that the bytes announce are checked against the
//! bytes that are there, so that a hostile server is an error.

pub(crate) mod message;
mod reader;
pub(crate) mod text;

#[cfg(test)]
mod tests;

use std::fmt;

use self::message::Message;
use self::reader::Reader;

/// Why bytes are not what a server sends. Holds no value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgOutputError(pub String);

impl fmt::Display for PgOutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the replication protocol carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A message of the plugin.
    Data(&'a [u8]),
    /// The server shows that it is there.
    Keepalive {
        /// Everything before this position of the log has been sent.
        sent: u64,
        /// The server waits for an answer.
        asks: bool,
    },
}

/// Takes a message of the replication protocol.
pub(crate) fn frame(bytes: &[u8]) -> Result<Frame<'_>, PgOutputError> {
    let mut reader = Reader::new(bytes);
    match reader.byte("a message")? {
        b'w' => {
            // where the data begins, how far the log goes, and the server's clock
            for _ in 0..3 {
                reader.long("a position")?;
            }
            Ok(Frame::Data(reader.rest()))
        }
        b'k' => {
            let sent = reader.long("a position")?;
            reader.long("a time")?;
            let asks = reader.byte("a keepalive")? != 0;
            Ok(Frame::Keepalive { sent, asks })
        }
        other => Err(PgOutputError(format!(
            "unknown message {other} of the replication protocol"
        ))),
    }
}

/// Decodes messages, each after its length in four bytes, and every value of their rows as every
/// type. Returns the number of changed rows. For tests and fuzzing.
/// Errors: the first fault.
pub fn decode_all(bytes: &[u8]) -> Result<u64, PgOutputError> {
    let mut rest = bytes;
    let mut rows = 0;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (bytes, after) = after
            .split_at_checked(length)
            .ok_or_else(|| PgOutputError("a message is cut".to_owned()))?;
        rest = after;
        let Frame::Data(data) = frame(bytes)? else {
            continue;
        };
        let decoded = message::decode(data)?;
        if let Message::Change(change) = &decoded {
            rows += 1;
            for tuple in change.old.iter().map(|old| &old.1).chain(&change.new) {
                text::read_all(tuple);
            }
        }
    }
    Ok(rows)
}
