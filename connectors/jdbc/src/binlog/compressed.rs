//! What MariaDB compresses: events (`log_bin_compress`) and columns (`COMPRESSED`).

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::BinlogError;
use super::reader::{ByteReader, big_endian};

/// Returns the checksum of an event's bytes.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Decompresses the body of an event to at most `max` bytes.
pub(crate) fn zlib(bytes: &[u8], max: usize) -> Result<Vec<u8>, BinlogError> {
    let mut r = ByteReader::new(bytes);
    let head = r.u8("a compressed event")?;
    if head & 0x80 == 0 || head & 0x70 != 0 {
        return Err(BinlogError(
            "an event is compressed in a way that is not known".into(),
        ));
    }
    let len = big_endian(r.take(usize::from(head & 0x07), "a compressed event")?);
    inflate(r.rest(), true, len, max)
}

/// Decompresses a value of a COMPRESSED column to at most `max` bytes.
pub(crate) fn column(bytes: &[u8], max: usize) -> Result<Vec<u8>, BinlogError> {
    let mut r = ByteReader::new(bytes);
    if r.is_empty() {
        return Ok(Vec::new());
    }
    let head = r.u8("a compressed value")?;
    match head >> 4 {
        0 => Ok(r.rest().to_vec()),
        8 => {
            let raw = head & 8 != 0;
            let len = big_endian(r.take(usize::from(head & 7), "a compressed value")?);
            inflate(r.rest(), !raw, len, max)
        }
        _ => Err(BinlogError(
            "a value is compressed in a way that is not known".into(),
        )),
    }
}

/// Decompresses exactly `len` bytes.
fn inflate(bytes: &[u8], header: bool, len: u64, max: usize) -> Result<Vec<u8>, BinlogError> {
    let len = usize::try_from(len)
        .ok()
        .filter(|len| *len <= max)
        .ok_or_else(|| BinlogError(format!("compressed data is larger than {max} bytes")))?;
    // Deflate makes at most 1032 bytes of one, so a length beyond that is not believed.
    if len / 1100 > bytes.len() {
        return Err(BinlogError::cut("compressed data"));
    }
    let mut out = Vec::with_capacity(len);
    let status = Decompress::new(header).decompress_vec(bytes, &mut out, FlushDecompress::Finish);
    match status {
        Ok(Status::StreamEnd | Status::BufError | Status::Ok) if out.len() == len => Ok(out),
        _ => Err(BinlogError("compressed data is damaged".into())),
    }
}
