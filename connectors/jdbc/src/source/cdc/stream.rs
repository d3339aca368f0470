//! Follows the log: from the bytes of events to changed rows, statements and completed
//! transactions.

use std::sync::Arc;

use connector_api::{Error, Result};

use super::ddl::{self, LoggedStatement};
use super::position::{LogPosition, StreamProgress};
use super::xa::{self, HeldXa, XaVerb};
use crate::binlog::decoder::BinlogDecoder;
use crate::binlog::event::{EventBody, EventHeader, GtidEvent, QueryEvent};
use crate::binlog::rows::RowsEvent;
use crate::binlog::table_map::TableMap;
use crate::driver::BinlogStream;

/// Bytes from one end of a transaction to the next, at most, for which positions beyond 4 GiB are
/// recognised.
const WRAP_WITHIN: u64 = 2 << 30;

/// What an event means to the tables.
#[derive(Debug)]
pub(super) enum LogEvent {
    /// Rows of a table were changed; so many of them were emitted before.
    Rows(RowsEvent<'static>, u64),
    /// Rows of a table were changed by a transaction that is prepared.
    Prepared(Arc<TableMap>),
    /// A prepared transaction is committed: its rows come now, and then [`LogReader::end_xa`].
    Committed(HeldXa),
    /// A statement concerns tables; names without a database are of this one.
    Tables(LoggedStatement, String),
    /// Rows were changed that the log does not have: the error, and the names in the statement if
    /// they are known.
    Unlogged(Error, Option<Vec<String>>),
    /// Tables are described again: the numbers of table maps begin again.
    Restarted,
    /// Nothing that concerns tables.
    Nothing,
}

/// The transaction that is being read.
#[derive(Clone, Copy, Debug)]
struct OpenTransaction {
    begun: GtidEvent,
    /// Row events seen so far.
    events: u64,
    /// It is prepared, and changes captured tables.
    holds: bool,
    /// It commits a prepared transaction, and ends here.
    ends_at: Option<EventHeader>,
}

/// Reads a server's log.
pub(super) struct LogReader {
    stream: BinlogStream,
    decoder: BinlogDecoder,
    /// Completed transactions, and the end of the last.
    completed: StreamProgress,
    /// How far the log has been read, in the files of this server; `None`: not known yet.
    here: Option<LogPosition>,
    file: String,
    transaction: Option<OpenTransaction>,
    /// Row events, and rows of the one that follows, that were emitted by an earlier run.
    skip: (u64, u64),
}

impl LogReader {
    /// Goes on behind `progress`; `here` is its position if that is one of this server.
    pub(super) fn new(
        stream: BinlogStream,
        progress: &StreamProgress,
        here: Option<LogPosition>,
        max_event: usize,
    ) -> Self {
        Self {
            stream,
            decoder: BinlogDecoder::new(max_event, false),
            skip: (progress.event, progress.row),
            completed: StreamProgress {
                event: 0,
                row: 0,
                ..progress.clone()
            },
            file: here.as_ref().map(|at| at.file.clone()).unwrap_or_default(),
            here,
            transaction: None,
        }
    }

    /// The next event's bytes, if they are there.
    pub(super) fn waiting(&mut self) -> Option<Result<Vec<u8>>> {
        self.stream.waiting()
    }

    /// True if no event is there now.
    pub(super) fn is_idle(&self) -> bool {
        self.stream.is_idle()
    }

    /// Waits for the next event's bytes. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>> {
        self.stream.next().await
    }

    /// What has been read; `rows`: the rows done of the last row event, if it is not done.
    pub(super) fn progress(&self, rows: Option<u64>) -> StreamProgress {
        let mut progress = self.completed.clone();
        match (&self.transaction, rows) {
            (Some(open), Some(rows)) => {
                (progress.event, progress.row) = (open.events.saturating_sub(1), rows);
            }
            (Some(open), None) => progress.event = open.events,
            (None, _) => {}
        }
        // what an earlier run has emitted of it is still done
        progress.event = progress.event.max(self.skip.0);
        if progress.event == self.skip.0 {
            progress.row = progress.row.max(self.skip.1);
        }
        progress
    }

    /// How far the log has been read, if that is known in the files of this server.
    pub(super) fn here(&self) -> Option<&LogPosition> {
        self.here.as_ref()
    }

    /// True inside a transaction of which rows were returned.
    pub(super) fn is_inside(&self) -> bool {
        self.transaction.is_some_and(|open| open.events > 0)
    }

    /// True between two transactions if everything up to `at` has been read.
    pub(super) fn has_reached(&self, at: &LogPosition) -> bool {
        self.transaction.is_none() && self.here.as_ref().is_some_and(|here| here.has_reached(at))
    }

    /// True if the rows that come are of a transaction that is only prepared.
    fn is_prepared_only(&self) -> bool {
        self.transaction.is_some_and(|open| open.begun.prepares_xa)
    }

    /// Takes an event.
    /// Errors: `Config` for what cannot be read on from here, `Retry` for bytes that are no event.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<LogEvent> {
        let (header, body) = self
            .decoder
            .decode(bytes)
            .map_err(|error| self.refuse(&error.0))?;
        match body {
            EventBody::Rows(rows) if self.is_prepared_only() => Ok(LogEvent::Prepared(rows.table)),
            EventBody::Rows(rows) => self.rows(rows.into_owned()),
            EventBody::Query(query) => self.query(&header, query),
            EventBody::Gtid(begun) => {
                self.transaction = Some(OpenTransaction {
                    begun,
                    events: 0,
                    holds: false,
                    ends_at: None,
                });
                Ok(LogEvent::Nothing)
            }
            EventBody::XaPrepare { one_phase, xid } => self.prepare(&header, one_phase, xid),
            EventBody::Commit => {
                self.complete(&header);
                Ok(LogEvent::Nothing)
            }
            EventBody::Rotate { file, position } => {
                let at = LogPosition {
                    file: file.to_owned(),
                    position,
                };
                file.clone_into(&mut self.file);
                self.reach(at);
                Ok(LogEvent::Nothing)
            }
            EventBody::Heartbeat { file } if self.transaction.is_none() => {
                let at = LogPosition {
                    file: file.to_owned(),
                    position: u64::from(header.next),
                };
                self.reach(at);
                Ok(LogEvent::Nothing)
            }
            EventBody::Format if self.transaction.is_none() => Ok(LogEvent::Restarted),
            EventBody::Format => Err(self.refuse("a transaction has no end")),
            EventBody::Incident { message } => Err(self.refuse(&format!(
                "the server has lost changes before they were logged (incident: {message})"
            ))),
            EventBody::Statement => Err(self.unlogged_rows("LOAD DATA")),
            EventBody::TableMap
            | EventBody::GtidList(_)
            | EventBody::Heartbeat { .. }
            | EventBody::Annotate(_)
            | EventBody::Ignored => Ok(LogEvent::Nothing),
        }
    }

    /// The prepared transaction that is read changes captured tables.
    pub(super) fn hold(&mut self) {
        if let Some(open) = &mut self.transaction {
            open.holds = true;
        }
    }

    /// A transaction is prepared.
    fn prepare(&mut self, header: &EventHeader, one_phase: bool, xid: String) -> Result<LogEvent> {
        let Some(open) = self.transaction.filter(|open| open.holds) else {
            self.complete(header);
            return Ok(LogEvent::Nothing);
        };
        let rows = Some(self.completed.rows_after(open.begun.gtid.to_string()));
        let held = HeldXa { xid, rows };
        if one_phase {
            return Ok(self.commit(header, held));
        }
        xa::hold(&mut self.completed.xa, held)?;
        self.complete(header);
        Ok(LogEvent::Nothing)
    }

    /// A prepared transaction is committed.
    fn commit(&mut self, header: &EventHeader, held: HeldXa) -> LogEvent {
        if let Some(open) = &mut self.transaction {
            open.ends_at = Some(*header);
            open.begun.prepares_xa = false;
        }
        LogEvent::Committed(held)
    }

    /// A prepared transaction is committed or rolled back.
    fn complete_xa(&mut self, header: &EventHeader, verb: XaVerb, xid: &str) -> LogEvent {
        let held = self.completed.xa.iter().find(|held| held.xid == *xid);
        match (held.cloned(), verb, self.transaction) {
            (Some(held), XaVerb::Commit, Some(_)) => self.commit(header, held),
            _ => {
                self.completed.xa.retain(|held| held.xid != *xid);
                self.complete(header);
                LogEvent::Nothing
            }
        }
    }

    /// All rows of the prepared transaction are done.
    pub(super) fn end_xa(&mut self, held: &HeldXa) {
        let end = self.transaction.and_then(|open| open.ends_at);
        if let Some(end) = end {
            self.completed.xa.retain(|other| other.xid != held.xid);
            self.complete(&end);
        }
    }

    /// The error of a transaction whose rows are before the connector's first position.
    pub(super) fn refuse_xa(&self) -> Error {
        self.refuse(
            "an XA transaction is committed that was prepared before the connector began to read",
        )
    }

    /// Rows of the transaction that is read.
    pub(super) fn rows(&mut self, rows: RowsEvent<'static>) -> Result<LogEvent> {
        let Some(open) = &mut self.transaction else {
            return Err(self.refuse("rows are changed outside of a transaction"));
        };
        open.events += 1;
        let (events, row) = self.skip;
        if open.events <= events {
            return Ok(LogEvent::Nothing);
        }
        let done = if open.events == events + 1 { row } else { 0 };
        Ok(LogEvent::Rows(rows, done))
    }

    fn query(&mut self, header: &EventHeader, query: QueryEvent<'_>) -> Result<LogEvent> {
        let sql = String::from_utf8_lossy(&query.sql);
        let statement = ddl::statement(&sql);
        if let Some((verb, xid)) = xa::statement(&sql) {
            return Ok(self.complete_xa(header, verb, &xid));
        }
        let alone = self.transaction.is_some_and(|open| open.begun.standalone);
        if let LoggedStatement::Changes(verb) = statement {
            let error = self.unlogged_rows(verb);
            let mut names = ddl::names(&sql);
            if let Some(names) = &mut names {
                names.push(String::from_utf8_lossy(&query.database).to_lowercase());
            }
            if alone {
                self.complete(header);
            }
            return Ok(LogEvent::Unlogged(error, names));
        }
        let ends = alone
            || matches!(
                statement,
                LoggedStatement::Commit | LoggedStatement::Rollback
            );
        if ends {
            self.complete(header);
        }
        Ok(match statement {
            LoggedStatement::Defines(_)
            | LoggedStatement::Drops(_)
            | LoggedStatement::Empties(_)
            | LoggedStatement::DropsDatabase(_) => {
                let database = String::from_utf8_lossy(&query.database).into_owned();
                LogEvent::Tables(statement, database)
            }
            _ => LogEvent::Nothing,
        })
    }

    /// The transaction is complete.
    fn complete(&mut self, header: &EventHeader) {
        if let Some(open) = self.transaction.take() {
            self.completed.gtids.complete(open.begun.gtid);
        }
        self.skip = (0, 0);
        self.reach(self.end_of(header));
    }

    /// Where an event of the current file ends. A position beyond 4 GiB has more bits than the
    /// header: it has wrapped if the position before was that close to the limit.
    fn end_of(&self, header: &EventHeader) -> LogPosition {
        let known = self.here.as_ref().filter(|here| here.file == self.file);
        let before = known.map_or(0, |here| here.position);
        let mut position = before & !0xffff_ffff | u64::from(header.next);
        let low = before & 0xffff_ffff;
        if u64::from(header.next) < low && low + WRAP_WITHIN > 1 << 32 {
            position += 1 << 32;
        }
        LogPosition {
            file: self.file.clone(),
            position,
        }
    }

    /// Everything before `at` has been read, and no transaction is open.
    fn reach(&mut self, at: LogPosition) {
        let is_new = self.here.as_ref().is_none_or(|here| !here.has_reached(&at));
        if is_new && self.transaction.is_none() {
            if self.skip == (0, 0) {
                self.completed.position = Some(at.clone());
            }
            self.here = Some(at);
        }
    }

    /// The error of a log that cannot be read on.
    fn refuse(&self, why: &str) -> Error {
        Error::config(format!(
            "the binary log cannot be read on {}: {why}. Read the tables again: stop the \
             connector, delete its offsets (DELETE /connectors/NAME/offsets) and resume it",
            self.place()
        ))
    }

    fn unlogged_rows(&self, verb: &str) -> Error {
        self.refuse(&format!(
            "a session has logged a statement ({verb}) in place of the rows that it changed \
             (binlog_format other than ROW), so these changes are missing"
        ))
    }

    /// Where in the log the reader is, for messages.
    fn place(&self) -> String {
        match (&self.transaction, &self.here) {
            (Some(open), _) => format!("in transaction {}", open.begun.gtid),
            (None, Some(here)) => format!("behind {}:{}", here.file, here.position),
            (None, None) => "from its start".to_owned(),
        }
    }
}
