//! MariaDB's binary log: the bytes of its events become events, rows and values. Pure.
//!
//! `BinlogDecoder::decode` takes one event, `rows::RowCursor` its rows, `value::ColumnReader` one
//! value. Lengths that the bytes announce are checked against the bytes that are there before
//! anything is read or reserved, so that a hostile server or a cut file is an error.

pub(crate) mod charset;
pub(crate) mod compressed;
pub(crate) mod decoder;
pub(crate) mod event;
pub(crate) mod gtid;
pub(crate) mod reader;
pub(crate) mod rows;
pub(crate) mod table_map;
pub(crate) mod text;
pub(crate) mod value;

#[cfg(test)]
mod tests;

use std::fmt;

/// Why bytes are not what a binary log has. Holds no value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinlogError(pub String);

impl BinlogError {
    /// The error of bytes that end early, or announce what they do not hold.
    pub(crate) fn cut(what: &str) -> Self {
        Self(format!("{what} is longer than its event in the binary log"))
    }
}

impl fmt::Display for BinlogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Decodes a whole binary log file, and every value of its rows, as far as it goes. Returns the
/// number of rows. For tests and fuzzing.
/// Errors: the first fault of the file.
pub fn decode_file(bytes: &[u8], max_event: usize) -> Result<u64, BinlogError> {
    let mut decoder = decoder::BinlogDecoder::new(max_event, true);
    let mut rest = bytes.strip_prefix(b"\xfebin").unwrap_or(bytes);
    let mut count = 0;
    while !rest.is_empty() {
        let size = event::size_of_event(rest)?;
        let (bytes, after) = rest
            .split_at_checked(size)
            .ok_or_else(|| BinlogError::cut("an event"))?;
        rest = after;
        if let (_, event::EventBody::Rows(rows)) = decoder.decode(bytes)? {
            count += rows::read_all(&rows)?;
        }
    }
    Ok(count)
}
