//! Reads numbers and texts from bytes, and never beyond them.

use super::PgOutputError;

/// The bytes that are left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Everything that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], PgOutputError> {
        let (head, rest) = self.0.split_first_chunk().ok_or_else(|| cut(what))?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn byte(&mut self, what: &str) -> Result<u8, PgOutputError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(super) fn short(&mut self, what: &str) -> Result<u16, PgOutputError> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(super) fn int(&mut self, what: &str) -> Result<u32, PgOutputError> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(super) fn long(&mut self, what: &str) -> Result<u64, PgOutputError> {
        self.array(what).map(u64::from_be_bytes)
    }

    pub(super) fn bytes(&mut self, count: u32, what: &str) -> Result<&'a [u8], PgOutputError> {
        let count = usize::try_from(count).map_err(|_| cut(what))?;
        let (head, rest) = self.0.split_at_checked(count).ok_or_else(|| cut(what))?;
        self.0 = rest;
        Ok(head)
    }

    /// A text that a zero byte ends.
    pub(super) fn text(&mut self, what: &str) -> Result<&'a str, PgOutputError> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let (text, rest) = self.0.split_at(end.ok_or_else(|| cut(what))?);
        self.0 = rest.get(1..).unwrap_or_default();
        std::str::from_utf8(text).map_err(|_| PgOutputError(format!("{what} is not UTF-8")))
    }
}

fn cut(what: &str) -> PgOutputError {
    PgOutputError(format!("{what} is longer than its message in the log"))
}
