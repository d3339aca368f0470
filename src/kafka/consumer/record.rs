//! A record as a consumer reads it.

use rdkafka::message::{BorrowedMessage, Headers, Message};

/// A record as read, borrowed from librdkafka's buffers.
pub(crate) struct IncomingRecord<'a>(pub(super) BorrowedMessage<'a>);

impl<'a> IncomingRecord<'a> {
    pub(in crate::kafka) fn of(message: BorrowedMessage<'a>) -> Self {
        Self(message)
    }

    pub(crate) fn topic(&self) -> &str {
        self.0.topic()
    }

    pub(crate) fn partition(&self) -> i32 {
        self.0.partition()
    }

    pub(crate) fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// Returns the timestamp in milliseconds since 1970-01-01 UTC.
    pub(crate) fn timestamp_ms(&self) -> Option<i64> {
        self.0.timestamp().to_millis()
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// Returns the value's bytes; `None` is a tombstone.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// Returns the headers in order.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0
            .headers()
            .into_iter()
            .flat_map(|headers| headers.iter().map(|h| (h.key, h.value)))
    }
}
