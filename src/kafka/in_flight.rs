//! How much a producer hands to librdkafka ahead of the broker. Pure.
//!
//! An idempotent producer has one request under way for each partition, and while it waits for the answer its thread
//! polls without rest as soon as a whole batch waits behind it (librdkafka 2.12). So at most one batch under way and the
//! better part of the next are handed over: the thread sleeps, and what it is about to compress is still in the cache.

use std::collections::VecDeque;

/// Records handed over and not known to be durable yet, oldest first.
#[derive(Debug, Default)]
pub struct InFlightBytes {
    /// Bytes of key and value of each.
    under_way: VecDeque<usize>,
    bytes: usize,
}

impl InFlightBytes {
    /// A record was handed over.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.under_way.push_back(bytes);
    }

    /// So many records are left under way; the oldest are the ones that are done.
    pub fn left(&mut self, records: usize) {
        while self.under_way.len() > records {
            self.bytes -= self.under_way.pop_front().unwrap_or_default();
        }
    }

    /// Bytes under way.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Bytes that may be under way to that many partitions with batches of that size.
pub fn most(batch_bytes: usize, partitions: usize) -> usize {
    // a little less than two batches: the second becomes ready when the first has been answered
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
