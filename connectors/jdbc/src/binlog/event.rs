//! The events of a binary log: their header, and those bodies that need no table.

use super::BinlogError;
use super::gtid::Gtid;
use super::reader::ByteReader;
use super::rows::RowsEvent;

/// Bytes of an event's header.
pub(crate) const HEADER: usize = 19;

/// The flag of an event that a reader who does not know it may skip.
const IGNORABLE: u16 = 0x80;

/// What every event begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventHeader {
    /// Seconds since 1970 of the statement; 0 if the event was made for this reader.
    pub timestamp: u32,
    pub code: u8,
    pub server: u32,
    /// Bytes of the event, this header and the checksum included.
    pub size: u32,
    /// Position of the next event in its file; 0 if the event is not in a file.
    pub next: u32,
    pub flags: u16,
}

/// An event.
#[derive(Debug, PartialEq)]
pub(crate) enum EventBody<'a> {
    /// The log goes on in that file at that position.
    Rotate { file: &'a str, position: u64 },
    /// The format of what follows.
    Format,
    /// A transaction, or a single statement, begins.
    Gtid(GtidEvent),
    /// What the log's files before this one, or this stream, held.
    GtidList(Vec<Gtid>),
    /// A statement: the limits of a transaction, DDL, or a change that was not logged by rows.
    Query(QueryEvent<'a>),
    /// The transaction is committed.
    Commit,
    /// The transaction is prepared (XA): it is committed or rolled back later.
    /// Its name as statements of the log write it, in lower case.
    XaPrepare { one_phase: bool, xid: String },
    /// Columns of the rows that follow; the decoder remembers them.
    TableMap,
    /// Changed rows of a table.
    Rows(RowsEvent<'a>),
    /// The text of the statement whose rows follow.
    Annotate(&'a [u8]),
    /// The server lost events.
    Incident { message: String },
    /// Nothing happened; the reader's position.
    Heartbeat { file: &'a str },
    /// A LOAD DATA or another change in a form without rows.
    Statement,
    /// An event of no consequence.
    Ignored,
}

/// The beginning of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GtidEvent {
    pub gtid: Gtid,
    /// One statement follows, and no commit.
    pub standalone: bool,
    pub ddl: bool,
    /// What follows ends in XA PREPARE.
    pub prepares_xa: bool,
    /// What follows is XA COMMIT or XA ROLLBACK of an earlier transaction.
    pub completes_xa: bool,
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueryEvent<'a> {
    /// The database in which it ran.
    pub database: std::borrow::Cow<'a, [u8]>,
    pub sql: std::borrow::Cow<'a, [u8]>,
    /// The server's error when it ran the statement; 0 if none.
    pub error: u16,
}

/// Returns the size that the event at the beginning of these bytes says it has.
pub(crate) fn size_of_event(bytes: &[u8]) -> Result<usize, BinlogError> {
    let size = read_header(&mut ByteReader::new(bytes))?.size;
    usize::try_from(size)
        .ok()
        .filter(|size| *size >= HEADER)
        .ok_or_else(|| BinlogError::cut("an event's header"))
}

/// Reads a header.
pub(crate) fn read_header(r: &mut ByteReader<'_>) -> Result<EventHeader, BinlogError> {
    let what = "an event's header";
    Ok(EventHeader {
        timestamp: r.u32(what)?,
        code: r.u8(what)?,
        server: r.u32(what)?,
        size: r.u32(what)?,
        next: r.u32(what)?,
        flags: r.u16(what)?,
    })
}

impl EventHeader {
    /// True if a reader who does not know the event may skip it.
    pub(crate) fn is_ignorable(&self) -> bool {
        self.flags & IGNORABLE != 0
    }
}

/// Reads a rotate event's body.
pub(super) fn rotate(body: &[u8]) -> Result<EventBody<'_>, BinlogError> {
    let mut r = ByteReader::new(body);
    let position = r.uint(8, "a rotate event")?;
    Ok(EventBody::Rotate {
        file: file_name(r.rest())?,
        position,
    })
}

/// Reads the name of a log file.
pub(super) fn file_name(bytes: &[u8]) -> Result<&str, BinlogError> {
    std::str::from_utf8(bytes)
        .ok()
        .filter(|name| !name.is_empty() && name.len() <= 512)
        .ok_or_else(|| BinlogError("the name of a log file is not a text".into()))
}

/// Reads the beginning of a transaction; the header has its server.
pub(super) fn gtid(body: &[u8], server: u32) -> Result<GtidEvent, BinlogError> {
    let mut r = ByteReader::new(body);
    let what = "a GTID event";
    let gtid = Gtid {
        sequence: r.uint(8, what)?,
        domain: r.u32(what)?,
        server,
    };
    let flags = r.u8(what)?;
    Ok(GtidEvent {
        gtid,
        standalone: flags & 1 != 0,
        ddl: flags & 32 != 0,
        prepares_xa: flags & 64 != 0,
        completes_xa: flags & 128 != 0,
    })
}

/// Reads a list of transactions.
pub(super) fn gtid_list(body: &[u8]) -> Result<Vec<Gtid>, BinlogError> {
    let what = "a GTID list event";
    let mut r = ByteReader::new(body);
    let count = usize::try_from(r.u32(what)? & 0x0fff_ffff).unwrap_or(usize::MAX);
    if count > r.rest().len() / 16 {
        return Err(BinlogError::cut(what));
    }
    (0..count)
        .map(|_| {
            Ok(Gtid {
                domain: r.u32(what)?,
                server: r.u32(what)?,
                sequence: r.uint(8, what)?,
            })
        })
        .collect()
}

/// Reads a statement whose text is compressed or not.
pub(super) fn query(
    body: &[u8],
    post_header: usize,
    compressed: bool,
    max: usize,
) -> Result<QueryEvent<'_>, BinlogError> {
    let what = "a query event";
    let mut r = ByteReader::new(body);
    let mut fixed = ByteReader::new(r.take(post_header.max(13), what)?);
    fixed.take(8, what)?;
    let database = usize::from(fixed.u8(what)?);
    let error = fixed.u16(what)?;
    let status = usize::from(fixed.u16(what)?);
    r.take(status, what)?;
    let database = r.take(database, what)?;
    r.take(1, what)?;
    let sql = if compressed {
        super::compressed::zlib(r.rest(), max)?.into()
    } else {
        r.rest().into()
    };
    Ok(QueryEvent {
        database: database.into(),
        sql,
        error,
    })
}

/// Reads the end of a prepared transaction.
pub(super) fn xa_prepare(body: &[u8]) -> Result<EventBody<'static>, BinlogError> {
    let what = "an XA prepare event";
    let mut r = ByteReader::new(body);
    let one_phase = r.u8(what)? != 0;
    let format = r.u32(what)?.cast_signed();
    let lengths = [r.u32(what)?, r.u32(what)?];
    let [global, branch] = lengths.map(|len| usize::try_from(len).unwrap_or(usize::MAX));
    let global = hex_literal(r.take(global, what)?);
    let branch = hex_literal(r.take(branch, what)?);
    Ok(EventBody::XaPrepare {
        one_phase,
        xid: format!("{global},{branch},{format}"),
    })
}

/// Writes bytes as SQL does: `x'61'`.
pub(crate) fn hex_literal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("x'{digits}'")
}

/// Reads what the server says about lost events.
pub(super) fn incident(body: &[u8]) -> Result<EventBody<'_>, BinlogError> {
    let what = "an incident event";
    let mut r = ByteReader::new(body);
    r.u16(what)?;
    let message = match r.u8(what) {
        Ok(len) => r.take(usize::from(len), what)?,
        Err(_) => &[],
    };
    Ok(EventBody::Incident {
        message: String::from_utf8_lossy(message).into_owned(),
    })
}
