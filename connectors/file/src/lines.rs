//! Cuts the bytes of a file into records, one for each complete line. Pure but for the time of day
//! that records bear.

use std::sync::Arc;
use std::time::SystemTime;

use connector_api::{Datum, Error, Record, Result, Schema, SchemaType, Value};

/// Bytes that a line may have.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// What was read of a file and not handed out yet.
pub struct LineBuffer {
    topic: Arc<str>,
    schema: Arc<Schema>,
    batch_size: usize,
    /// What was read and not handed out yet: whole lines, and the beginning of the next one.
    pub unread: Vec<u8>,
    /// Where in the file `unread` begins.
    pub position: u64,
}

impl LineBuffer {
    pub fn new(topic: Arc<str>, batch_size: usize) -> Self {
        Self {
            topic,
            schema: Arc::new(Schema::of(SchemaType::String)),
            batch_size,
            unread: Vec::new(),
            position: 0,
        }
    }

    /// The complete lines, at most a batch of them. A line ends with `\n`, `\r\n` or `\r`; a `\r`
    /// at the end of what is there may be the first half of `\r\n`.
    pub fn take(&mut self) -> Vec<Record> {
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

    /// Adds what was read. Errors: `Config` for a line without an end.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        if self.unread.len() + bytes.len() > MAX_LINE {
            return Err(Error::config(format!(
                "the line that begins at byte {} has more than {MAX_LINE} bytes: is it a file of lines?",
                self.position
            )));
        }
        self.unread.extend_from_slice(bytes);
        Ok(())
    }
}
