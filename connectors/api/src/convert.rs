//! Converters: between values and the bytes of a topic.

use crate::{Datum, Result};

/// Whether encoding gave bytes or "no bytes at all" (a null key or a tombstone).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodedPresence {
    /// Bytes were appended (perhaps none: an empty string).
    Present,
    /// Null on the wire.
    Absent,
}

/// Turns values into bytes and back. Each task owns its own instances, so caches need no lock. Pure: no I/O.
pub trait Converter: Send {
    /// Appends the bytes of `datum` to `out`. Errors: `Record`, with Connect's text; `out` may then hold a part.
    fn encode(&mut self, topic: &str, datum: &Datum, out: &mut Vec<u8>) -> Result<EncodedPresence>;

    /// Reads bytes. `None` is null on the wire. Errors: `Record`, with Connect's text.
    fn decode(&mut self, topic: &str, bytes: Option<&[u8]>) -> Result<Datum>;
}
