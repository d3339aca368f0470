//! Converters between values and the bytes of a topic.

use crate::{Datum, Result};

/// The outcome of encoding: bytes, or a null on the wire (a null key or a tombstone).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodedPresence {
    /// Bytes were appended; possibly zero of them, as for an empty string.
    Present,
    /// The key or value is null on the wire; nothing was appended.
    Absent,
}

/// Turns values into bytes and back. Each task owns its own instances, so caches need no lock.
///
/// Uses no clock, and no I/O per record. The one exception: a converter with a schema registry
/// sends it one request per schema. The request runs elsewhere while the calling thread blocks,
/// up to a time limit; so a converter is not called where blocking holds up others, such as on
/// the threads of an async runtime. An unreachable registry is a `Retry` error.
pub trait Converter: Send {
    /// Appends the encoding of `datum` to `out`.
    /// Errors: `Record`, with Connect's text; `out` may then hold a partial encoding.
    fn encode(&mut self, topic: &str, datum: &Datum, out: &mut Vec<u8>) -> Result<EncodedPresence>;

    /// Decodes `bytes`, where `None` is null on the wire.
    /// Errors: `Record`, with Connect's text.
    fn decode(&mut self, topic: &str, bytes: Option<&[u8]>) -> Result<Datum>;
}
