//! Looks at partitions from outside: their first and last offsets, and some of their records. Joins
//! no group, and commits nothing.

use std::time::{Duration, Instant};

use connector_api::{Error, ErrorKind, Result, TopicOffset, TopicPartition};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;

use super::admin::offset_list;
use super::background_drop::DropInBackground;
use super::consumer::IncomingRecord;
use super::context::QuietContext;
use super::each::ask_each;
use super::{ClientSettings, error};

/// The offsets that a partition has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionBounds {
    /// The first offset that is kept.
    pub first: i64,
    /// The offset after the last committed record.
    pub end: i64,
}

/// The first record from some offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstRecord {
    pub offset: i64,
    /// Milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: Option<i64>,
}

/// A consumer that reads partitions without being a member of a group.
pub(crate) struct PartitionReader {
    consumer: DropInBackground<BaseConsumer<QuietContext>>,
    brokers: String,
}

impl PartitionReader {
    /// Opens a reader of committed records. Errors: `Config`.
    pub(crate) fn open(settings: &ClientSettings) -> Result<Self> {
        let mut settings = settings.clone();
        for (name, value) in [
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "true"),
            ("fetch.wait.max.ms", "10"),
            ("statistics.interval.ms", "0"),
            ("queued.min.messages", "1"),
        ] {
            settings.set(name, value);
        }
        let consumer = settings
            .native()
            .create_with_context(QuietContext::default())
            .map_err(|e| error::of("opening a Kafka consumer", e))?;
        Ok(Self {
            consumer: DropInBackground::new(consumer),
            brokers: settings.brokers().to_owned(),
        })
    }

    fn failed(&self, error: KafkaError) -> Error {
        error::of(format_args!("reading from {}", self.brokers), error)
    }

    /// Returns the offsets of each partition, in the order given; blocks until `until` at most.
    /// Errors: `Retry`, `Denied`.
    pub(crate) fn bounds(
        &self,
        partitions: &[TopicPartition],
        until: Instant,
    ) -> Result<Vec<PartitionBounds>> {
        ask_each(partitions, "querying the offsets of partitions", |at| {
            self.await_bounds(at, until)
        })
    }

    /// Asks again while the brokers choose the leader of a new topic.
    fn await_bounds(&self, at: &TopicPartition, until: Instant) -> Result<PartitionBounds> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let limit = left.max(Duration::from_millis(100));
            let asked = self
                .consumer
                .fetch_watermarks(&at.topic, at.partition, limit);
            match asked.map_err(|e| self.failed(e)) {
                Err(error) if error.kind() == ErrorKind::Retry && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                bounds => return bounds.map(|(first, end)| PartitionBounds { first, end }),
            }
        }
    }

    /// Reads records from these offsets until `take` returns false, all partitions are at their end,
    /// or `until`. Errors: `Retry`, `Denied`.
    pub(crate) fn read(
        &self,
        from: &[TopicOffset],
        until: Instant,
        mut take: impl FnMut(&IncomingRecord<'_>) -> bool,
    ) -> Result<()> {
        if from.is_empty() {
            return Ok(());
        }
        let list = offset_list(from).map_err(|e| self.failed(e))?;
        self.consumer.assign(&list).map_err(|e| self.failed(e))?;
        let mut at_end = 0;
        while at_end < from.len() && Instant::now() < until {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let goes_on = take(&IncomingRecord::of(message));
                    if !goes_on {
                        break;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => at_end += 1,
                Some(Err(cause)) => {
                    let error = self.failed(cause);
                    if error.kind() != ErrorKind::Retry {
                        return Err(error);
                    }
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Returns the first record of each partition from these offsets, all of one topic, as offset and
    /// timestamp; `None` where only markers of transactions are left. Partitions that did not answer
    /// until `until` are left out. Errors: `Retry`, `Denied`.
    pub(crate) fn first_records(
        &self,
        from: &[TopicOffset],
        until: Instant,
    ) -> Result<Vec<(i32, Option<FirstRecord>)>> {
        let list = offset_list(from).map_err(|e| self.failed(e))?;
        self.consumer.assign(&list).map_err(|e| self.failed(e))?;
        let mut left: Vec<i32> = from.iter().map(|at| at.partition).collect();
        let mut found = Vec::with_capacity(left.len());
        while !left.is_empty() && Instant::now() < until {
            let (partition, first) = match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let record = IncomingRecord::of(message);
                    let first = FirstRecord {
                        offset: record.offset(),
                        timestamp_ms: record.timestamp_ms(),
                    };
                    (record.partition(), Some(first))
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => (partition, None),
                Some(Err(cause)) => {
                    let error = self.failed(cause);
                    if error.kind() != ErrorKind::Retry {
                        return Err(error);
                    }
                    continue;
                }
                None => continue,
            };
            if let Some(at) = left.iter().position(|known| *known == partition) {
                left.swap_remove(at);
                found.push((partition, first));
            }
        }
        Ok(found)
    }
}
