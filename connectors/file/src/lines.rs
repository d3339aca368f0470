//! Splits the bytes of a file into records, one per complete line. Pure, except that it reads the
//! clock for record timestamps.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::sync::Arc;
use std::time::SystemTime;

use connector_api::{Datum, Error, Record, Result, Schema, SchemaType, Value};

/// Maximum length of a line, in bytes.
const MAX_LINE: usize = 16 * 1024 * 1024;

pub(crate) struct LineBuffer {
    topic: Arc<str>,
    schema: Arc<Schema>,
    batch_size: usize,
    /// Bytes read but not yet emitted: complete lines, and the beginning of the next one.
    pub unread: Vec<u8>,
    /// Position of `unread` in the file, in bytes.
    pub position: u64,
}

impl LineBuffer {
    pub(crate) fn new(topic: Arc<str>, batch_size: usize) -> Self {
        Self {
            topic,
            schema: Arc::new(Schema::of(SchemaType::String)),
            batch_size,
            unread: Vec::new(),
            position: 0,
        }
    }

    /// Returns the complete lines, at most one batch. A line ends with `\n`, `\r\n` or `\r`; a `\r`
    /// at the end of the buffer may be the first half of `\r\n`, and is left for the next call.
    pub(crate) fn take(&mut self) -> Vec<Record> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let timestamp_ms = i64::try_from(now.as_millis()).ok();
        let (mut records, mut from) = (Vec::new(), 0);
        while records.len() < self.batch_size
            && let Some(length) = memchr::memchr2(b'\n', b'\r', &self.unread[from..])
        {
            let end = from + length;
            let next = match (self.unread[end], self.unread.get(end + 1)) {
                (b'\r', None) => break,
                (b'\r', Some(b'\n')) => end + 2,
                _ => end + 1,
            };
            let text = String::from_utf8_lossy(&self.unread[from..end])
                .into_owned()
                .into_boxed_str();
            records.push(Record {
                topic: self.topic.clone(),
                partition: None,
                key: Datum::NONE,
                value: Datum::new(self.schema.clone(), Value::Text(text)),
                timestamp_ms,
                headers: Vec::new(),
            });
            from = next;
        }
        self.unread.drain(..from);
        self.position += from as u64;
        records
    }

    /// Appends bytes read from the file.
    /// Errors: `Config` for a line that is too long.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<()> {
        if self.unread.len() + bytes.len() > MAX_LINE {
            return Err(Error::config(format!(
                "the line that begins at byte {} has more than {MAX_LINE} bytes: is this a text \
                 file?",
                self.position
            )));
        }
        self.unread.extend_from_slice(bytes);
        Ok(())
    }
}
