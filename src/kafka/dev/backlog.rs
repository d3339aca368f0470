//! Keeps sources from pushing unread records out of the development broker, which holds only a few
//! megabytes of each partition: a source waits until the sinks of this worker have written what was
//! sent before.
//!
//! Bytes are counted uncompressed and per topic, so a source waits rather too early. If no sink
//! reads a topic, the source does not wait, except for a moment when the topic first overflows: its
//! sink may be about to be created.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use connector_api::locks::TakeLock;
use connector_api::pattern::Pattern;
use connector_api::{TopicOffset, TopicPartition};

use super::KEPT_BYTES;
use crate::kafka::consumer::Subscription;

/// Unread bytes of a topic that the broker safely holds.
const LIMIT: u64 = KEPT_BYTES as u64 * 4 / 5;
/// How long to wait for a sink that does not exist yet, or has just left.
const GRACE: Duration = Duration::from_secs(15);
/// Estimated size of a record besides key and value, in bytes.
const OVERHEAD: u64 = 40;
/// Acknowledged records are logged once per this many bytes.
const GRAIN: u64 = 32 * 1024;
/// Maximum number of log entries per partition: far more than the broker can still hold, whatever
/// the compression.
const NOTES: usize = 8192;

/// Tracks what was sent and what was read. Shared by all tasks of a worker.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    state: Mutex<BacklogState>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct BacklogState {
    topics: HashMap<Arc<str>, SentOffsets>,
    readers: HashMap<Arc<str>, BacklogReader>,
}

#[derive(Debug, Default)]
struct SentOffsets {
    bytes: u64,
    partitions: HashMap<i32, TopicLog>,
    /// When the unread bytes first exceeded the limit without any reader.
    overflowed: Option<Instant>,
}

/// Pairs of next offset and total bytes up to it, oldest first.
#[derive(Debug, Default)]
struct TopicLog(Vec<(i64, u64)>);

#[derive(Debug)]
struct BacklogReader {
    wants: ReaderWants,
    tasks: usize,
    left: Option<Instant>,
    offsets: HashMap<TopicPartition, i64>,
}

#[derive(Debug)]
enum ReaderWants {
    Topics(Vec<String>),
    /// `None` for an invalid expression, which the consumer refuses.
    Pattern(Option<Pattern>),
}

impl BacklogReader {
    fn reads(&self, topic: &str) -> bool {
        let here = self.tasks > 0 || self.left.is_some_and(|left| left.elapsed() < GRACE);
        here && match &self.wants {
            ReaderWants::Topics(topics) => topics.iter().any(|t| t == topic),
            ReaderWants::Pattern(pattern) => pattern
                .as_ref()
                .is_some_and(|pattern| pattern.matches(topic).unwrap_or(false)),
        }
    }
}

impl TopicLog {
    fn upto(&self, offset: i64) -> u64 {
        let behind = self.0.partition_point(|(next, _)| *next <= offset);
        behind
            .checked_sub(1)
            .and_then(|i| self.0.get(i))
            .map_or(0, |(_, bytes)| *bytes)
    }
}

impl BacklogState {
    /// Returns the bytes of a topic that its slowest reader has yet to read; `None` without a
    /// reader.
    fn unread(&self, topic: &str) -> Option<u64> {
        let sent = self.topics.get(topic)?;
        let read = |reader: &BacklogReader| {
            let upto =
                |(at, offset): (&TopicPartition, &i64)| match sent.partitions.get(&at.partition) {
                    Some(log) if &*at.topic == topic => log.upto(*offset),
                    _ => 0,
                };
            reader.offsets.iter().map(upto).sum::<u64>()
        };
        let readers = self.readers.values().filter(|reader| reader.reads(topic));
        readers
            .map(|reader| sent.bytes.saturating_sub(read(reader)))
            .max()
    }
}

impl Backlog {
    fn state(&self) -> MutexGuard<'_, BacklogState> {
        self.state.take_lock()
    }

    /// Notes that a sink task starts to read in that group.
    pub(super) fn join(&self, group: &Arc<str>, what: &Subscription) {
        let wants = match what {
            Subscription::Topics(topics) => ReaderWants::Topics(topics.clone()),
            Subscription::Pattern(pattern) => ReaderWants::Pattern(Pattern::whole(pattern).ok()),
        };
        let mut state = self.state();
        let fresh = BacklogReader {
            wants: ReaderWants::Topics(Vec::new()),
            tasks: 0,
            left: None,
            offsets: HashMap::new(),
        };
        let reader = state.readers.entry(Arc::clone(group)).or_insert(fresh);
        reader.wants = wants;
        reader.tasks += 1;
    }

    /// Notes that a sink task has stopped reading.
    pub(super) fn leave(&self, group: &str) {
        if let Some(reader) = self.state().readers.get_mut(group) {
            reader.tasks = reader.tasks.saturating_sub(1);
            reader.left = Some(Instant::now());
        }
        self.moved.notify_all();
    }

    /// Notes that the group has written everything before these offsets.
    pub(super) fn read(&self, group: &str, next: &[TopicOffset]) {
        if let Some(reader) = self.state().readers.get_mut(group) {
            for at in next {
                let partition = TopicPartition {
                    topic: Arc::clone(&at.topic),
                    partition: at.partition,
                };
                reader.offsets.insert(partition, at.offset);
            }
        }
        self.moved.notify_all();
    }

    /// True if the group has read from that partition since this broker started, so that its offset
    /// is one of this broker.
    pub(super) fn knows(&self, group: &str, at: &TopicPartition) -> bool {
        self.state()
            .readers
            .get(group)
            .is_some_and(|reader| reader.offsets.contains_key(at))
    }

    /// Waits until the broker can safely hold a record of `bytes`, while `go_on` returns true.
    /// `go_on` must serve the producer's acknowledgements, without which nothing advances.
    pub(super) fn send(&self, topic: &str, bytes: usize, go_on: impl Fn() -> bool) {
        let more = bytes as u64 + OVERHEAD;
        while !self.reserve(topic, more, false) {
            if !go_on() {
                self.reserve(topic, more, true);
                return;
            }
            let waited = self
                .moved
                .wait_timeout(self.state(), Duration::from_millis(10));
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Counts `more` bytes as sent if they are safe or `anyway` is set. Returns true if it did.
    fn reserve(&self, topic: &str, more: u64, anyway: bool) -> bool {
        let mut state = self.state();
        let unread = state.unread(topic);
        if !state.topics.contains_key(topic) {
            state.topics.insert(topic.into(), SentOffsets::default());
        }
        let Some(sent) = state.topics.get_mut(topic) else {
            return anyway;
        };
        let safe = match unread {
            Some(unread) => unread == 0 || unread + more <= LIMIT,
            None if sent.bytes + more <= LIMIT => true,
            None => sent.overflowed.get_or_insert_with(Instant::now).elapsed() >= GRACE,
        };
        if safe || anyway {
            sent.bytes += more;
        }
        safe || anyway
    }

    /// Notes that a record is durable. `bytes` is the size of key and value.
    pub(super) fn record(&self, topic: &str, partition: i32, offset: i64, bytes: usize) {
        let mut state = self.state();
        let Some(sent) = state.topics.get_mut(topic) else {
            return;
        };
        let log = &mut sent.partitions.entry(partition).or_default().0;
        let total = log.last().map_or(0, |(_, bytes)| *bytes) + bytes as u64 + OVERHEAD;
        let grained = log
            .len()
            .checked_sub(2)
            .and_then(|i| log.get(i))
            .is_some_and(|(_, before)| total - before < GRAIN);
        if log.len() > NOTES {
            log.drain(..NOTES / 2);
        }
        match log.last_mut() {
            Some(last) if grained => *last = (offset + 1, total),
            _ => log.push((offset + 1, total)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(topic: &Arc<str>, offset: i64) -> [TopicOffset; 1] {
        [TopicOffset {
            topic: Arc::clone(topic),
            partition: 0,
            offset,
        }]
    }

    #[test]
    fn a_source_waits_for_the_slowest_sink_and_no_longer() {
        let (backlog, topic, group): (_, Arc<str>, Arc<str>) =
            (Backlog::default(), "t".into(), "g".into());
        backlog.join(&group, &Subscription::Pattern("t.*".to_owned()));
        let record = 1000;
        let mut sent = 0_i64;
        let asked = std::cell::Cell::new(0);
        let refuse = || {
            asked.set(asked.get() + 1);
            false
        };
        while asked.get() == 0 {
            backlog.send(&topic, record, refuse);
            backlog.record("t", 0, sent, record);
            sent += 1;
        }
        let limit = i64::try_from(LIMIT / (1000 + OVERHEAD)).unwrap();
        assert_eq!(sent, limit + 1);
        backlog.read("g", &next(&topic, sent / 2));
        asked.set(0);
        backlog.send(&topic, record, refuse);
        assert_eq!(asked.get(), 0, "half of it was read");
    }

    #[test]
    fn an_offset_between_two_notes_counts_as_the_one_before() {
        let backlog = Backlog::default();
        let topic: Arc<str> = "t".into();
        backlog.send(&topic, 0, || true);
        for offset in 0..1000 {
            backlog.record("t", 0, offset, 60);
        }
        let state = backlog.state();
        let log = state
            .topics
            .get("t")
            .and_then(|t| t.partitions.get(&0))
            .unwrap();
        assert!(log.0.len() < 10, "{}", log.0.len());
        assert_eq!(log.upto(1000), 100_000);
        assert!(log.upto(999) <= 99_900 && log.upto(0) == 0);
    }
}
