//! Limits how much a producer hands to librdkafka ahead of the broker. Pure.
//!
//! An idempotent producer has one request in flight per partition. While it waits for the answer,
//! its thread busy-polls as soon as a whole batch is queued behind that request (librdkafka 2.12).
//! So at most one batch in flight and most of the next one are handed over: the thread sleeps, and
//! what it is about to compress is still in the cache.

use std::collections::VecDeque;

/// Records handed over and not known to be durable yet, oldest first.
#[derive(Debug, Default)]
pub(crate) struct InFlightBytes {
    /// Bytes of key and value of each record.
    under_way: VecDeque<usize>,
    bytes: usize,
}

impl InFlightBytes {
    /// Notes that a record was handed over.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.under_way.push_back(bytes);
    }

    /// Notes that this many records are still in flight; the oldest ones are done.
    pub(crate) fn left(&mut self, records: usize) {
        while self.under_way.len() > records {
            self.bytes -= self.under_way.pop_front().unwrap_or_default();
        }
    }

    /// Returns the bytes in flight.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Returns how many bytes may be in flight to that many partitions with batches of that size.
pub(crate) fn most(batch_bytes: usize, partitions: usize) -> usize {
    // Slightly less than two batches: the second becomes ready when the first has been answered.
    (batch_bytes * 2 - batch_bytes / 16).saturating_mul(partitions.max(1))
}

#[cfg(test)]
mod tests {
    use super::{InFlightBytes, most};

    #[test]
    fn the_oldest_records_are_the_ones_that_are_done() {
        let mut pace = InFlightBytes::default();
        [5, 7, 11].into_iter().for_each(|bytes| pace.sent(bytes));
        pace.left(3);
        assert_eq!(pace.bytes(), 23);
        pace.left(1);
        assert_eq!(pace.bytes(), 11);
        pace.left(0);
        assert_eq!(pace.bytes(), 0);
        assert!(most(1000, 1) < 2000 && most(1000, 1) > 1000 && most(1000, 3) > 5000);
    }
}
