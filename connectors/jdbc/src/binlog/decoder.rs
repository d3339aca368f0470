//! Decodes the events of a log one after another; remembers the tables that it describes.

use std::collections::HashMap;
use std::sync::Arc;

use super::BinlogError;
use super::compressed::crc32;
use super::event::{self, EventBody, EventHeader, HEADER};
use super::reader::ByteReader;
use super::rows::{RowChange, RowsEvent};
use super::table_map::TableMap;

/// Most tables that are remembered; each change of a table's definition makes another.
const MAX_TABLES: usize = 4096;

/// The table of an event that only ends a statement.
const NO_TABLE: u64 = 0x00ff_ffff;

/// True for a rotate or heartbeat event that the server made for this reader before it knew, or
/// regardless of, the format of the file: it may lack the checksum.
fn is_bare(bytes: &[u8]) -> bool {
    let code = bytes.get(4).copied().unwrap_or_default();
    let (covered, sum) = bytes.split_last_chunk::<4>().unwrap_or((bytes, &[0; 4]));
    let made = code == 27 || code == 4 && bytes.get(13..17) == Some(&[0; 4]);
    made && crc32(covered) != u32::from_le_bytes(*sum)
}

/// The state of a log that is decoded.
#[derive(Debug)]
pub(crate) struct BinlogDecoder {
    /// True if each event ends in a checksum.
    checksums: bool,
    /// Largest size of an event that is decompressed or joined.
    max_event: usize,
    /// Bytes of each event's fixed part, by its code less one.
    post_headers: Vec<u8>,
    tables: HashMap<u64, Arc<TableMap>>,
}

impl BinlogDecoder {
    /// A decoder of events of at most `max_event` bytes. `file`: the log's format event says
    /// whether there are checksums; a stream has what the reader asked for, CRC32.
    pub(crate) fn new(max_event: usize, file: bool) -> Self {
        Self {
            checksums: !file,
            max_event,
            post_headers: Vec::new(),
            tables: HashMap::new(),
        }
    }

    /// Decodes one event.
    /// Errors: for bytes that are no such event, whose checksum differs, or whose kind is not known.
    pub(crate) fn decode<'a>(
        &mut self,
        bytes: &'a [u8],
    ) -> Result<(EventHeader, EventBody<'a>), BinlogError> {
        let mut r = ByteReader::new(bytes);
        let header = event::read_header(&mut r)?;
        if usize::try_from(header.size).ok() != Some(bytes.len()) {
            return Err(BinlogError::cut("an event"));
        }
        if header.code == 15 {
            return Ok((header, self.format(r.rest())?));
        }
        let body = self.checked(bytes)?;
        Ok((header, self.body(header, body)?))
    }

    /// Returns the body of an event after its checksum was compared.
    fn checked<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], BinlogError> {
        let body = bytes.get(HEADER..).unwrap_or_default();
        if !self.checksums || is_bare(bytes) {
            return Ok(body);
        }
        let (body, sum) = body
            .split_last_chunk::<4>()
            .ok_or_else(|| BinlogError::cut("an event's checksum"))?;
        let covered = bytes.get(..bytes.len() - 4).unwrap_or_default();
        if crc32(covered) != u32::from_le_bytes(*sum) {
            return Err(BinlogError(
                "an event's checksum is wrong: its bytes were damaged on the way".into(),
            ));
        }
        Ok(body)
    }

    /// Reads the format event: the lengths of the other events' fixed parts, and whether there are
    /// checksums. It has one itself where the log has them.
    fn format(&mut self, body: &[u8]) -> Result<EventBody<'static>, BinlogError> {
        let what = "a format event";
        let mut r = ByteReader::new(body);
        // version, the server's version, a time, the length of headers
        r.take(2 + 50 + 4, what)?;
        if r.u8(what)? != 19 {
            return Err(BinlogError("the log has headers of another length".into()));
        }
        let (lengths, tail) = r
            .rest()
            .split_last_chunk::<5>()
            .ok_or_else(|| BinlogError::cut(what))?;
        let algorithm = tail.first().copied().unwrap_or_default();
        if algorithm > 1 {
            return Err(BinlogError(
                "the log has checksums of an unknown kind".into(),
            ));
        }
        self.checksums = algorithm == 1;
        self.post_headers = lengths.to_vec();
        self.tables.clear();
        Ok(EventBody::Format)
    }

    /// Returns the length of the fixed part of events of that code.
    fn post_header(&self, code: u8, usual: usize) -> usize {
        let index = usize::from(code).wrapping_sub(1);
        self.post_headers
            .get(index)
            .map_or(usual, |len| usize::from(*len))
    }

    fn body<'a>(
        &mut self,
        header: EventHeader,
        body: &'a [u8],
    ) -> Result<EventBody<'a>, BinlogError> {
        Ok(match header.code {
            2 => EventBody::Query(event::query(body, self.post_header(2, 13), false, 0)?),
            165 => EventBody::Query(event::query(
                body,
                self.post_header(165, 13),
                true,
                self.max_event,
            )?),
            4 => event::rotate(body)?,
            16 => EventBody::Commit,
            17 | 18 => EventBody::Statement,
            19 => {
                let map = TableMap::read(body, self.post_header(19, 8))?;
                if map.id != NO_TABLE {
                    if self.tables.len() >= MAX_TABLES && !self.tables.contains_key(&map.id) {
                        // a table is described again before its next rows
                        self.tables.clear();
                    }
                    self.tables.insert(map.id, Arc::new(map));
                }
                EventBody::TableMap
            }
            23 | 30 | 166 | 169 => self.rows(header.code, body, RowChange::Insert)?,
            24 | 31 | 167 | 170 => self.rows(header.code, body, RowChange::Update)?,
            25 | 32 | 168 | 171 => self.rows(header.code, body, RowChange::Delete)?,
            26 => event::incident(body)?,
            27 => EventBody::Heartbeat {
                file: event::file_name(body)?,
            },
            38 => event::xa_prepare(body)?,
            160 => EventBody::Annotate(body),
            162 => EventBody::Gtid(event::gtid(body, header.server)?),
            163 => EventBody::GtidList(event::gtid_list(body)?),
            // STOP, INTVAR, RAND, USER_VAR, the binlog checkpoint, the start of encryption
            3 | 5 | 13 | 14 | 161 | 164 => EventBody::Ignored,
            _ if header.is_ignorable() => EventBody::Ignored,
            172 => {
                return Err(BinlogError(
                    "the log has an event in parts (binlog_row_event_fragment_threshold), which \
                     cannot be read yet"
                        .into(),
                ));
            }
            other => {
                return Err(BinlogError(format!(
                    "the log has an event of code {other}, which is not known"
                )));
            }
        })
    }

    fn rows<'a>(
        &self,
        code: u8,
        body: &'a [u8],
        change: RowChange,
    ) -> Result<EventBody<'a>, BinlogError> {
        let what = "a rows event";
        let wide = matches!(code, 30..=32 | 169..=171);
        let compressed = code >= 166;
        let mut r = ByteReader::new(body);
        let narrow_id = self.post_header(code, if wide { 10 } else { 8 }) == 6;
        let id = r.uint(if narrow_id { 4 } else { 6 }, what)?;
        r.u16(what)?;
        if id == NO_TABLE {
            return Ok(EventBody::Ignored);
        }
        let table = self.tables.get(&id).ok_or_else(|| {
            BinlogError("the log has rows of a table that it has not described".into())
        })?;
        let kind = (wide, compressed);
        RowsEvent::read(r, Arc::clone(table), change, kind, self.max_event).map(EventBody::Rows)
    }
}
