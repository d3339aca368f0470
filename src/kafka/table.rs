//! Reads a compacted topic as a table: the last value of each key at this moment.
//!
//! Reading stops at the end that the topic had when it began. Another producer's transaction may
//! still be open before that end. Reading waits for it, because the records behind it count too: a
//! position read too early would duplicate rows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use connector_api::{Error, ErrorKind, Result, fail_point};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::admin::PATIENCE;
use super::background_drop::DropInBackground;
use super::context::QuietContext;
use super::each::ask_each;
use super::{ClientSettings, admin, error};

/// Maximum size of a table in bytes: the offsets of one connector, and the keys by which its
/// deletes are found.
const MAX_TABLE: usize = 1 << 30;

/// Last value by key.
pub(crate) type TopicTable = BTreeMap<Vec<u8>, Vec<u8>>;

/// Reads the whole topic: the last value of each key that `keep` accepts, without tombstones.
/// Returns `None` if the topic does not exist. Blocks. Errors: `Retry` when the broker is
/// unreachable or reading takes longer than `within`.
pub(crate) fn read(
    settings: &ClientSettings,
    topic: &str,
    within: Duration,
    keep: impl Fn(&[u8]) -> bool,
) -> Result<Option<TopicTable>> {
    fail_point::reach("offsets.read")?;
    let reader = TopicTableReader::open(settings, topic, Instant::now() + within)?;
    let (mut table, mut held) = (TopicTable::new(), 0);
    let Some(mut waiting) = reader.fetch_ends()? else {
        return Ok(None);
    };
    while !waiting.is_empty() {
        let (ready, open): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .map(|end| reader.check_stable(end))
            .partition(|end| end.stable);
        reader.read(&ready, |message| {
            held += apply(message, &keep, &mut table);
            if held <= MAX_TABLE {
                return Ok(());
            }
            held = table
                .iter()
                .map(|(key, value)| key.len() + value.len())
                .sum();
            if held <= MAX_TABLE {
                Ok(())
            } else {
                Err(too_large(topic))
            }
        })?;
        if !open.is_empty() {
            reader.check_deadline()?;
            std::thread::sleep(Duration::from_millis(20));
        }
        waiting = open;
    }
    Ok(Some(table))
}

/// The end of a partition when reading began.
struct EndOffset {
    partition: i32,
    end: i64,
    /// No transaction is open before the end any more.
    stable: bool,
}

struct TopicTableReader<'a> {
    topic: &'a str,
    brokers: &'a str,
    committed: DropInBackground<BaseConsumer<QuietContext>>,
    uncommitted: DropInBackground<BaseConsumer<QuietContext>>,
    deadline: Instant,
}

impl<'a> TopicTableReader<'a> {
    fn open(settings: &'a ClientSettings, topic: &'a str, deadline: Instant) -> Result<Self> {
        let client = |isolation: &str| {
            let mut settings = settings.clone();
            settings.set("isolation.level", isolation);
            settings.set("enable.partition.eof", "true");
            settings.set("auto.offset.reset", "earliest");
            settings.set("fetch.wait.max.ms", "10");
            settings
                .native()
                .create_with_context(QuietContext::default())
                .map(DropInBackground::new)
                .map_err(|e| error::of("opening a Kafka consumer", e))
        };
        let (committed, uncommitted) = (client("read_committed")?, client("read_uncommitted")?);
        Ok(Self {
            topic,
            brokers: settings.brokers(),
            committed,
            uncommitted,
            deadline,
        })
    }

    fn failed(&self, error: KafkaError) -> Error {
        error::of(
            format_args!("reading topic {} at {}", self.topic, self.brokers),
            error,
        )
    }

    fn check_deadline(&self) -> Result<()> {
        if Instant::now() < self.deadline {
            return Ok(());
        }
        let (topic, brokers) = (self.topic, self.brokers);
        Err(Error::retry(format!(
            "reading topic {topic} at {brokers} took too long; a transaction may be open in it, or \
             the broker is unreachable"
        )))
    }

    /// Returns the ends of all partitions that are not empty, or `None` if the topic does not
    /// exist.
    fn fetch_ends(&self) -> Result<Option<Vec<EndOffset>>> {
        let Some(count) = admin::partitions(self.uncommitted.client(), self.brokers, self.topic)?
        else {
            return Ok(None);
        };
        let partitions: Vec<i32> = (0..count).collect();
        let ends = ask_each(&partitions, "querying the end offsets of a topic", |p| {
            Ok((*p, self.await_watermarks(*p)?))
        })?;
        let filled = ends.into_iter().filter(|(_, (first, end))| end > first);
        Ok(Some(
            filled
                .map(|(partition, (_, end))| EndOffset {
                    partition,
                    end,
                    stable: false,
                })
                .collect(),
        ))
    }

    /// Returns the first and next offset of a partition. Retries, because the brokers may still be
    /// choosing the leader of a new topic.
    fn await_watermarks(&self, partition: i32) -> Result<(i64, i64)> {
        loop {
            match self
                .uncommitted
                .fetch_watermarks(self.topic, partition, PATIENCE)
                .map_err(|e| self.failed(e))
            {
                Err(error)
                    if error.kind() == ErrorKind::Retry && Instant::now() < self.deadline =>
                {
                    std::thread::sleep(Duration::from_millis(50));
                }
                marks => return marks,
            }
        }
    }

    fn check_stable(&self, end: EndOffset) -> EndOffset {
        let marks = self
            .committed
            .fetch_watermarks(self.topic, end.partition, PATIENCE);
        EndOffset {
            stable: marks.is_ok_and(|(_, stable)| stable >= end.end),
            ..end
        }
    }

    fn read(
        &self,
        ready: &[EndOffset],
        mut apply: impl FnMut(&BorrowedMessage<'_>) -> Result<()>,
    ) -> Result<()> {
        if ready.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(ready.len());
        for end in ready {
            list.add_partition_offset(self.topic, end.partition, Offset::Beginning)
                .map_err(|e| self.failed(e))?;
        }
        self.committed.assign(&list).map_err(|e| self.failed(e))?;
        let mut left: Vec<i32> = ready.iter().map(|end| end.partition).collect();
        while !left.is_empty() {
            match self.committed.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => apply(&message)?,
                Some(Err(KafkaError::PartitionEOF(partition))) => left.retain(|p| *p != partition),
                Some(Err(cause)) => {
                    let error = self.failed(cause);
                    if error.kind() != ErrorKind::Retry {
                        return Err(error);
                    }
                    self.check_deadline()?;
                }
                None => self.check_deadline()?,
            }
        }
        self.committed.unassign().map_err(|e| self.failed(e))
    }
}

/// Applies a record to the table. Returns its size in bytes.
fn apply(
    message: &BorrowedMessage<'_>,
    keep: impl Fn(&[u8]) -> bool,
    table: &mut TopicTable,
) -> usize {
    let Some(key) = message.key().filter(|key| keep(key)) else {
        return 0;
    };
    let Some(value) = message.payload() else {
        table.remove(key);
        return 0;
    };
    table.insert(key.to_vec(), value.to_vec());
    key.len() + value.len()
}

fn too_large(topic: &str) -> Error {
    Error::fatal(format!(
        "topic {topic} has more than {MAX_TABLE} bytes of offsets of one connector (MAX_TABLE): \
         another program writes to it"
    ))
}
