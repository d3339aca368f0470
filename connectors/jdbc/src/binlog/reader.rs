//! Reads numbers and byte strings from a slice; whatever is not there is an error.

use super::BinlogError;

/// What is left of some bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteReader<'a> {
    rest: &'a [u8],
}

type Read<T> = Result<T, BinlogError>;

impl<'a> ByteReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Returns what has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the next `len` bytes; `what` names them in the error.
    pub(crate) fn take(&mut self, len: usize, what: &str) -> Read<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| BinlogError::cut(what))?;
        self.rest = rest;
        Ok(taken)
    }

    /// Reads a little-endian number of up to eight bytes.
    pub(crate) fn uint(&mut self, len: usize, what: &str) -> Read<u64> {
        Ok(little_endian(self.take(len.min(8), what)?))
    }

    pub(crate) fn u8(&mut self, what: &str) -> Read<u8> {
        Ok(self.take(1, what)?.first().copied().unwrap_or_default())
    }

    pub(crate) fn u16(&mut self, what: &str) -> Read<u16> {
        let bytes = self.take(2, what)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |n, byte| n << 8 | u16::from(*byte)))
    }

    pub(crate) fn u32(&mut self, what: &str) -> Read<u32> {
        let bytes = self.take(4, what)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |n, byte| n << 8 | u32::from(*byte)))
    }

    /// Reads a number of the protocol's variable width.
    pub(crate) fn lenenc(&mut self, what: &str) -> Read<usize> {
        let width = match self.u8(what)? {
            small @ 0..=250 => return Ok(usize::from(small)),
            252 => 2,
            253 => 3,
            254 => 8,
            _ => return Err(BinlogError(format!("{what} has an invalid length"))),
        };
        usize::try_from(self.uint(width, what)?).map_err(|_| BinlogError::cut(what))
    }

    /// Reads a byte string behind its length.
    pub(crate) fn lenenc_bytes(&mut self, what: &str) -> Read<&'a [u8]> {
        let len = self.lenenc(what)?;
        self.take(len, what)
    }
}

/// Returns a little-endian number; bytes beyond the eighth do not count.
pub(crate) fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .take(8)
        .rev()
        .fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// Returns a big-endian number; only the last eight bytes count.
pub(crate) fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// True if the bit of that index is set; bits are counted from the lowest of the first byte on.
pub(crate) fn bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8)
        .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}
