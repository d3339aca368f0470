//! The columns of the rows that follow: types and their metadata, and what the server says beyond
//! (`binlog_row_metadata`).

use super::BinlogError;
use super::reader::{ByteReader, bit};

/// Most columns of a table, as the servers have it.
const MAX_COLUMNS: usize = 4096;

/// A column as the log describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoggedColumn {
    /// The type, that of ENUM and SET resolved.
    pub code: u8,
    /// Its metadata: a length, a precision, the number of length bytes.
    pub meta: u16,
}

/// Types of columns, as the log numbers them.
pub(crate) mod code {
    pub(crate) const TINY: u8 = 1;
    pub(crate) const SHORT: u8 = 2;
    pub(crate) const LONG: u8 = 3;
    pub(crate) const FLOAT: u8 = 4;
    pub(crate) const DOUBLE: u8 = 5;
    pub(crate) const NULL: u8 = 6;
    pub(crate) const TIMESTAMP: u8 = 7;
    pub(crate) const LONGLONG: u8 = 8;
    pub(crate) const INT24: u8 = 9;
    pub(crate) const DATE: u8 = 10;
    pub(crate) const TIME: u8 = 11;
    pub(crate) const DATETIME: u8 = 12;
    pub(crate) const YEAR: u8 = 13;
    pub(crate) const NEWDATE: u8 = 14;
    pub(crate) const VARCHAR: u8 = 15;
    pub(crate) const BIT: u8 = 16;
    pub(crate) const TIMESTAMP2: u8 = 17;
    pub(crate) const DATETIME2: u8 = 18;
    pub(crate) const TIME2: u8 = 19;
    pub(crate) const BLOB_COMPRESSED: u8 = 140;
    pub(crate) const VARCHAR_COMPRESSED: u8 = 141;
    pub(crate) const JSON: u8 = 245;
    pub(crate) const NEWDECIMAL: u8 = 246;
    pub(crate) const ENUM: u8 = 247;
    pub(crate) const SET: u8 = 248;
    pub(crate) const BLOB: u8 = 252;
    pub(crate) const VAR_STRING: u8 = 253;
    pub(crate) const STRING: u8 = 254;
    pub(crate) const GEOMETRY: u8 = 255;
}

/// The description of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableMap {
    pub id: u64,
    pub database: String,
    pub table: String,
    pub columns: Vec<LoggedColumn>,
    /// Whether each column is an unsigned number; `None` if the log does not say so.
    pub unsigned: Option<Vec<bool>>,
    /// Names of the columns, with `binlog_row_metadata=FULL`.
    pub names: Option<Vec<String>>,
    /// Collations by number of the columns with text; `None` where the log does not say so.
    pub collations: Vec<Option<u32>>,
}

impl TableMap {
    /// Reads the body of a table map event.
    pub(super) fn read(body: &[u8], post_header: usize) -> Result<Self, BinlogError> {
        let what = "a table map event";
        let mut r = ByteReader::new(body);
        // 6 bytes of id and 2 of flags, or 4 and 2 in logs of old
        let width = if post_header == 6 { 4 } else { 6 };
        let id = r.uint(width, what)?;
        r.u16(what)?;
        let database = name(&mut r)?;
        let table = name(&mut r)?;
        let count = r.lenenc(what)?;
        if count > MAX_COLUMNS {
            return Err(BinlogError("a table has too many columns".into()));
        }
        let codes = r.take(count, what)?;
        let mut meta = ByteReader::new(r.lenenc_bytes(what)?);
        let columns = codes
            .iter()
            .map(|code| LoggedColumn::read(*code, &mut meta))
            .collect::<Result<Vec<_>, _>>()?;
        // one bit for each column that may be NULL; the rows have their own
        r.take(count.div_ceil(8), what)?;
        let mut map = Self {
            id,
            database,
            table,
            collations: vec![None; columns.len()],
            columns,
            ..Self::default()
        };
        while !r.is_empty() {
            let kind = r.u8(what)?;
            let bytes = r.lenenc_bytes(what)?;
            map.read_optional(kind, bytes)?;
        }
        Ok(map)
    }

    /// Reads one part of the optional metadata; those of no use are passed over.
    fn read_optional(&mut self, kind: u8, bytes: &[u8]) -> Result<(), BinlogError> {
        let what = "a table's metadata";
        let mut r = ByteReader::new(bytes);
        match kind {
            1 => {
                let mut numbers = 0;
                let mut sign = |column: &LoggedColumn| {
                    let at = numbers;
                    let numeric = column.is_numeric();
                    numbers += usize::from(numeric);
                    // the highest bit of a byte is the first here
                    numeric && bit(bytes, at / 8 * 8 + 7 - at % 8)
                };
                self.unsigned = Some(self.columns.iter().map(&mut sign).collect());
            }
            2 => {
                let usual = collation(&mut r)?;
                let mut of_text = Vec::new();
                for (column, kept) in self.columns.iter().zip(&mut self.collations) {
                    if column.has_collation() {
                        *kept = Some(usual);
                        of_text.push(kept);
                    }
                }
                while !r.is_empty() {
                    let at = r.lenenc(what)?;
                    let other = collation(&mut r)?;
                    if let Some(kept) = of_text.get_mut(at) {
                        **kept = Some(other);
                    }
                }
            }
            3 => {
                for (column, kept) in self.columns.iter().zip(&mut self.collations) {
                    if column.has_collation() {
                        *kept = Some(collation(&mut r)?);
                    }
                }
            }
            4 => {
                let mut names = Vec::with_capacity(self.columns.len());
                for _ in &self.columns {
                    let name = r.lenenc_bytes(what)?;
                    names.push(String::from_utf8_lossy(name).into_owned());
                }
                self.names = Some(names);
            }
            _ => {}
        }
        Ok(())
    }

    /// The number of columns that users see: the server adds hidden ones behind them, whose names
    /// it logs with `binlog_row_metadata=FULL`.
    pub(crate) fn visible(&self) -> usize {
        let hidden = |name: &&String| name.starts_with("DB_ROW_HASH_");
        let hidden = self
            .names
            .iter()
            .flat_map(|names| names.iter().rev().take_while(hidden))
            .count();
        self.columns.len() - hidden
    }
}

/// Reads a name: its length, its bytes, and a zero byte.
fn name(r: &mut ByteReader<'_>) -> Result<String, BinlogError> {
    let what = "a table's name";
    let len = usize::from(r.u8(what)?);
    let name = r.take(len, what)?;
    r.take(1, what)?;
    String::from_utf8(name.to_vec()).map_err(|_| BinlogError("a table's name is not UTF-8".into()))
}

fn collation(r: &mut ByteReader<'_>) -> Result<u32, BinlogError> {
    let id = r.lenenc("a table's metadata")?;
    u32::try_from(id).map_err(|_| BinlogError("a collation has no such number".into()))
}

impl LoggedColumn {
    fn read(code: u8, meta: &mut ByteReader<'_>) -> Result<Self, BinlogError> {
        let what = "a column's metadata";
        let plain = |meta| Self { code, meta };
        Ok(match code {
            code::FLOAT
            | code::DOUBLE
            | code::BLOB
            | code::BLOB_COMPRESSED
            | code::GEOMETRY
            | code::JSON
            | code::TIME2
            | code::DATETIME2
            | code::TIMESTAMP2 => plain(u16::from(meta.u8(what)?)),
            code::VARCHAR | code::VARCHAR_COMPRESSED | code::BIT => plain(meta.u16(what)?),
            code::NEWDECIMAL => {
                let (precision, scale) = (meta.u8(what)?, meta.u8(what)?);
                plain(u16::from(precision) << 8 | u16::from(scale))
            }
            code::STRING | code::VAR_STRING | code::ENUM | code::SET => {
                let (first, second) = (meta.u8(what)?, meta.u8(what)?);
                // two bits of a CHAR's length are hidden in its type
                if first & 0x30 == 0x30 {
                    Self {
                        code: first,
                        meta: u16::from(second),
                    }
                } else {
                    Self {
                        code: first | 0x30,
                        meta: u16::from(second) | u16::from((first & 0x30) ^ 0x30) << 4,
                    }
                }
            }
            _ => plain(0),
        })
    }

    /// True for the types that the list of signs counts.
    fn is_numeric(self) -> bool {
        matches!(
            self.code,
            code::TINY
                | code::SHORT
                | code::INT24
                | code::LONG
                | code::LONGLONG
                | code::NEWDECIMAL
                | code::FLOAT
                | code::DOUBLE
                | code::YEAR
        )
    }

    /// True for the types that the list of collations counts: on MariaDB geometries and compressed
    /// columns, too.
    fn has_collation(self) -> bool {
        matches!(
            self.code,
            code::STRING
                | code::VAR_STRING
                | code::VARCHAR
                | code::BLOB
                | code::GEOMETRY
                | code::BLOB_COMPRESSED
                | code::VARCHAR_COMPRESSED
        )
    }

    /// Takes the bytes of one value from a row, without the length before them.
    pub(super) fn take<'a>(self, r: &mut ByteReader<'a>) -> Result<&'a [u8], BinlogError> {
        let what = "a value of a row";
        let meta = usize::from(self.meta);
        let fraction = meta.div_ceil(2).min(3);
        let fixed = match self.code {
            code::NULL => 0,
            code::TINY | code::YEAR => 1,
            code::SHORT => 2,
            code::INT24 | code::DATE | code::NEWDATE => 3,
            code::LONG | code::FLOAT => 4,
            code::LONGLONG | code::DOUBLE => 8,
            code::TIME2 => 3 + fraction,
            code::DATETIME2 => 5 + fraction,
            code::TIMESTAMP2 => 4 + fraction,
            code::NEWDECIMAL => super::value::decimal_size(self.meta),
            code::BIT => (meta >> 8) + usize::from(meta & 0xff > 0),
            code::ENUM | code::SET => meta,
            code::VARCHAR | code::VAR_STRING | code::VARCHAR_COMPRESSED | code::STRING => {
                let width = if meta < 256 { 1 } else { 2 };
                let len = usize::try_from(r.uint(width, what)?).unwrap_or(usize::MAX);
                return r.take(len, what);
            }
            code::BLOB | code::BLOB_COMPRESSED | code::GEOMETRY | code::JSON if meta <= 4 => {
                let len = usize::try_from(r.uint(meta, what)?).unwrap_or(usize::MAX);
                return r.take(len, what);
            }
            code::TIME | code::DATETIME | code::TIMESTAMP => {
                return Err(BinlogError(
                    "a table has dates or times in the format before MariaDB 10.1 \
                     (mysql56_temporal_format=OFF), whose values cannot be distinguished: run ALTER \
                     TABLE … FORCE on it"
                        .into(),
                ));
            }
            other => {
                return Err(BinlogError(format!(
                    "a column has type {other}, which is not known"
                )));
            }
        };
        r.take(fixed, what)
    }
}
