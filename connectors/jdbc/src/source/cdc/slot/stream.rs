//! Follows the log: from the bytes of messages to changed rows and completed transactions.

use connector_api::{Error, Result};

use super::position::SlotPosition;
use crate::driver::{ReplicationStream, position_text};
use crate::pgoutput::message::{Message, decode};
use crate::pgoutput::{Frame, PgOutputError, frame};

/// The transaction that is being read.
#[derive(Clone, Copy, Debug)]
struct StreamedTransaction {
    commit: u64,
    /// Changed rows seen so far, those of tables that are not captured included.
    rows: u64,
}

/// Where the log is read.
#[derive(Debug)]
pub(super) struct SlotProgress {
    /// Every transaction whose commit is before is complete.
    done: u64,
    transaction: Option<StreamedTransaction>,
    /// What an earlier run has emitted of the transaction that comes first.
    skip: Option<(u64, u64)>,
    /// The server waits for this position to be stored.
    pub is_asked: bool,
}

/// Reads a slot.
pub(super) struct SlotStream {
    pub stream: ReplicationStream,
    pub progress: SlotProgress,
}

impl SlotProgress {
    pub(super) fn new(from: SlotPosition) -> Self {
        Self {
            done: from.done,
            transaction: None,
            skip: from.partial,
            is_asked: false,
        }
    }

    /// What has been read.
    pub(super) fn position(&self) -> SlotPosition {
        let partial = match self.transaction {
            Some(open) if open.rows > 0 => {
                let before = self.skip.map_or(0, |(_, rows)| rows);
                Some((open.commit, open.rows.max(before)))
            }
            _ => self.skip,
        };
        SlotPosition {
            done: self.done,
            partial,
        }
    }

    /// True between two transactions if all whose commits are before `at` have been read.
    pub(super) fn has_reached(&self, at: u64) -> bool {
        match self.transaction {
            Some(open) => open.rows == 0 && self.skip.is_none() && open.commit >= at,
            None => self.skip.is_none() && self.done >= at,
        }
    }

    /// Takes a message. Returns what concerns tables, unless it was emitted by an earlier run.
    /// Errors: `Config` for a log that cannot be read on.
    pub(super) fn take<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<Message<'a>>> {
        let data = match frame(bytes).map_err(|error| self.refuse(&error))? {
            Frame::Data(data) => data,
            Frame::Keepalive { sent, asks } => {
                self.is_asked |= asks;
                if self.transaction.is_none() && self.skip.is_none() {
                    self.done = self.done.max(sent);
                }
                return Ok(None);
            }
        };
        let message = decode(data).map_err(|error| self.refuse(&error))?;
        match &message {
            Message::Begin { commit } => {
                if let Some((known, _)) = self.skip
                    && known != *commit
                {
                    return Err(Error::config(format!(
                        "the stored position is inside of the transaction whose commit is at {}, \
                         and the log goes on with that at {}: is this another server? Read the \
                         tables again: stop the connector, delete its offsets (DELETE \
                         /connectors/NAME/offsets) and resume it",
                        position_text(known),
                        position_text(*commit)
                    )));
                }
                self.transaction = Some(StreamedTransaction {
                    commit: *commit,
                    rows: 0,
                });
                Ok(None)
            }
            Message::Commit { end } => {
                self.transaction = None;
                self.skip = None;
                self.done = self.done.max(*end);
                Ok(None)
            }
            Message::Change(_) | Message::Truncate(_) => {
                let Some(open) = &mut self.transaction else {
                    let error = PgOutputError("a row outside of a transaction".to_owned());
                    return Err(self.refuse(&error));
                };
                open.rows += 1;
                let is_known = self.skip.is_some_and(|(_, rows)| open.rows <= rows);
                Ok((!is_known).then_some(message))
            }
            Message::Relation(_) => Ok(Some(message)),
            Message::Other => Ok(None),
        }
    }

    fn refuse(&self, error: &PgOutputError) -> Error {
        Error::config(format!(
            "the log cannot be read on behind {}: {error}",
            position_text(self.done)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{SlotPosition, SlotProgress};
    use crate::pgoutput::message::Message;

    fn data(message: &[u8]) -> Vec<u8> {
        let mut bytes = b"w".to_vec();
        bytes.extend([0; 24]);
        bytes.extend(message);
        bytes
    }

    fn begin(commit: u64) -> Vec<u8> {
        data(&[&b"B"[..], &commit.to_be_bytes(), &[0; 12]].concat())
    }

    fn commit(end: u64) -> Vec<u8> {
        data(&[&b"C\0"[..], &[0; 8], &end.to_be_bytes(), &[0; 8]].concat())
    }

    fn row() -> Vec<u8> {
        data(b"I\0\0\0\x01N\0\0")
    }

    fn is_row(progress: &mut SlotProgress, bytes: &[u8]) -> bool {
        matches!(progress.take(bytes).unwrap(), Some(Message::Change(_)))
    }

    #[test]
    fn rows_that_were_emitted_are_skipped_and_no_others() {
        let from = SlotPosition {
            done: 10,
            partial: Some((20, 1)),
        };
        let mut progress = SlotProgress::new(from);
        assert_eq!(progress.position(), from);
        assert!(!progress.has_reached(15));
        assert!(!is_row(&mut progress, &begin(20)));
        assert!(!is_row(&mut progress, &row()));
        assert_eq!(progress.position(), from);
        assert!(is_row(&mut progress, &row()));
        assert_eq!(progress.position().partial, Some((20, 2)));
        progress.take(&commit(25)).unwrap();
        let done = SlotPosition {
            done: 25,
            partial: None,
        };
        assert_eq!(progress.position(), done);
        assert!(progress.has_reached(25) && !progress.has_reached(26));
        // the next transaction begins with its first row
        progress.take(&begin(30)).unwrap();
        assert!(progress.has_reached(30) && !progress.has_reached(31));
        assert!(is_row(&mut progress, &row()));
        assert!(!progress.has_reached(30));
    }

    #[test]
    fn a_log_that_goes_on_with_another_transaction_is_refused() {
        let mut progress = SlotProgress::new(SlotPosition {
            done: 10,
            partial: Some((20, 1)),
        });
        assert!(progress.take(&begin(21)).is_err());
    }
}
