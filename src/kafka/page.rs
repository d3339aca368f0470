//! Reads some records of a topic, page by page, without a consumer group.
//!
//! Only committed records are read. A page is limited by records, bytes and time; it says where the
//! next one begins.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Error, ErrorKind, Result};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::admin::{self, PATIENCE};
use super::background_drop::DropInBackground;
use super::context::QuietContext;
use super::{ClientSettings, error};

/// Headers of a record, in order.
pub(crate) type StoredHeaders = Vec<(Arc<str>, Option<Vec<u8>>)>;

/// Offsets by partition.
pub(crate) type PartitionOffsets = BTreeMap<i32, i64>;

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PageStart {
    /// At these offsets; partitions that are not named begin at their first record.
    At(PartitionOffsets),
    /// At these offsets; partitions that are not named are not read.
    Only(PartitionOffsets),
    /// Such that about this number of records is left.
    Last(usize),
    /// At the first records of this time or later, in milliseconds since 1970-01-01 UTC.
    Time(i64),
    /// After the last record.
    End,
}

/// What to read.
#[derive(Clone, Debug)]
pub(crate) struct PageRequest {
    pub topic: String,
    pub start: PageStart,
    /// Maximum number of records in the page.
    pub records: usize,
    /// Maximum number of bytes in the page; a single record may be larger.
    pub bytes: usize,
    /// How long to read; what is found until then is the page.
    pub within: Duration,
}

/// A record as the topic holds it.
#[derive(Clone, Debug)]
pub(crate) struct StoredRecord {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: StoredHeaders,
}

/// Some records, and where the next page begins.
#[derive(Clone, Debug)]
pub(crate) struct TopicPage {
    pub records: Vec<StoredRecord>,
    pub start: PartitionOffsets,
    pub next: PartitionOffsets,
    /// True if there was no committed record after these.
    pub is_end: bool,
}

type PageClient = DropInBackground<BaseConsumer<QuietContext>>;

/// Reads a page of the records that `keep` accepts. Returns `None` if the topic does not exist.
/// Blocks. Errors: `Retry` when the broker is unreachable, `Denied`.
pub(crate) fn read(
    settings: &ClientSettings,
    request: &PageRequest,
    keep: impl Fn(&StoredRecord) -> bool,
) -> Result<Option<TopicPage>> {
    let until = Instant::now() + request.within;
    let client = open(settings)?;
    let Some(ranges) = ranges(&client, settings, &request.topic)? else {
        return Ok(None);
    };
    let start = match request.start {
        PageStart::Time(ms) => at_time(&client, settings, &request.topic, &ranges, ms)?,
        _ => starts(&ranges, request),
    };
    let mut next = start.clone();
    let mut left: Vec<i32> = (ranges.iter())
        .filter(|(partition, (_, end))| next.get(partition).is_some_and(|at| at < end))
        .map(|(partition, _)| *partition)
        .collect();
    let failed = |error: KafkaError| {
        let (topic, brokers) = (&request.topic, settings.brokers());
        error::of(format_args!("reading topic {topic} at {brokers}"), error)
    };
    let list = assignment(&request.topic, &left, &next).map_err(failed)?;
    let (mut records, mut bytes) = (VecDeque::new(), 0);
    if !left.is_empty() {
        client.assign(&list).map_err(failed)?;
    }
    while !left.is_empty() && Instant::now() < until {
        match client.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let record = stored(&message);
                let size = size(&record);
                let kept = keep(&record);
                if kept && !records.is_empty() && bytes + size > request.bytes {
                    if !is_of_last(request) {
                        break;
                    }
                    // Of the last records, earlier ones make room.
                    bytes -= records.pop_front().as_ref().map_or(0, self::size);
                }
                next.insert(record.partition, record.offset + 1);
                if kept {
                    bytes += size;
                    records.push_back(record);
                }
                if records.len() >= request.records && !is_of_last(request) {
                    break;
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => left.retain(|p| *p != partition),
            Some(Err(cause)) => transient(failed(cause))?,
            None => {}
        }
    }
    let is_end = left.is_empty();
    let records = in_order(records.into(), request);
    Ok(Some(TopicPage {
        records,
        start,
        next,
        is_end,
    }))
}

/// Returns the error unless it may pass.
fn transient(error: Error) -> Result<()> {
    match error.kind() {
        ErrorKind::Retry => Ok(()),
        _ => Err(error),
    }
}

fn assignment(
    topic: &str,
    partitions: &[i32],
    from: &PartitionOffsets,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        let from = Offset::Offset(from.get(partition).copied().unwrap_or_default());
        list.add_partition_offset(topic, *partition, from)?;
    }
    Ok(list)
}

/// Deletes the records before these offsets. Blocks. Errors: `Retry`, `Denied`; `Config` if the
/// topic is compacted only.
pub(crate) fn delete_before(
    settings: &ClientSettings,
    topic: &str,
    before: &PartitionOffsets,
    runtime: &tokio::runtime::Handle,
) -> Result<()> {
    use rdkafka::admin::{AdminClient, AdminOptions};

    let what = || {
        format!(
            "deleting records of topic {topic} at {}",
            settings.brokers()
        )
    };
    let client: AdminClient<QuietContext> = settings
        .native()
        .create_with_context(QuietContext::default())
        .map_err(|e| error::of("opening a Kafka admin client", e))?;
    let client = DropInBackground::new(client);
    let mut list = TopicPartitionList::with_capacity(before.len());
    for (partition, offset) in before {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
            .map_err(|e| error::of(what(), e))?;
    }
    let options = AdminOptions::new()
        .operation_timeout(Some(PATIENCE))
        .request_timeout(Some(PATIENCE));
    let deleted = runtime
        .block_on(client.delete_records(&list, &options))
        .map_err(|e| error::of(what(), e))?;
    for element in deleted.elements() {
        element.error().map_err(|e| error::of(what(), e))?;
    }
    Ok(())
}

fn open(settings: &ClientSettings) -> Result<PageClient> {
    let mut settings = settings.clone();
    settings.set("isolation.level", "read_committed");
    settings.set("enable.partition.eof", "true");
    settings.set("auto.offset.reset", "earliest");
    settings.set("fetch.wait.max.ms", "10");
    settings.set("enable.auto.commit", "false");
    // Prefetching more than the page would only be thrown away.
    settings.set("queued.min.messages", "1");
    settings
        .native()
        .create_with_context(QuietContext::default())
        .map(DropInBackground::new)
        .map_err(|e| error::of("opening a Kafka consumer", e))
}

/// Returns the first and the next offset of each partition, or `None` without such a topic.
fn ranges(
    client: &PageClient,
    settings: &ClientSettings,
    topic: &str,
) -> Result<Option<BTreeMap<i32, (i64, i64)>>> {
    let Some(count) = admin::partitions(client.client(), settings.brokers(), topic)? else {
        return Ok(None);
    };
    let mut ranges = BTreeMap::new();
    for partition in 0..count {
        let marks = client.fetch_watermarks(topic, partition, PATIENCE);
        let marks = marks.map_err(|cause| {
            let brokers = settings.brokers();
            Error::retry(format!(
                "the offsets of topic {topic} at {brokers} cannot be read: {cause}"
            ))
        })?;
        ranges.insert(partition, marks);
    }
    Ok(Some(ranges))
}

/// Returns the first offsets of a time; of a partition without such records, its end.
fn at_time(
    client: &PageClient,
    settings: &ClientSettings,
    topic: &str,
    ranges: &BTreeMap<i32, (i64, i64)>,
    ms: i64,
) -> Result<PartitionOffsets> {
    let failed = |error: KafkaError| {
        let brokers = settings.brokers();
        error::of(
            format_args!("reading offsets of topic {topic} at {brokers}"),
            error,
        )
    };
    let mut list = TopicPartitionList::with_capacity(ranges.len());
    for partition in ranges.keys() {
        list.add_partition_offset(topic, *partition, Offset::Offset(ms.max(0)))
            .map_err(failed)?;
    }
    let found = client.offsets_for_times(list, PATIENCE).map_err(failed)?;
    let mut offsets: PartitionOffsets = ranges.iter().map(|(at, (_, end))| (*at, *end)).collect();
    for element in found.elements() {
        if let Offset::Offset(offset) = element.offset() {
            offsets.insert(element.partition(), offset);
        }
    }
    Ok(offsets)
}

/// Transactions leave markers in a topic, which are not records: so many offsets are gone back for
/// one record.
const OFFSETS_PER_RECORD: usize = 3;

fn starts(ranges: &BTreeMap<i32, (i64, i64)>, request: &PageRequest) -> PartitionOffsets {
    let start = |(partition, (first, end)): (&i32, &(i64, i64))| {
        let at = match &request.start {
            PageStart::At(offsets) => offsets.get(partition).copied().unwrap_or(*first),
            PageStart::Only(offsets) => offsets.get(partition).copied().unwrap_or(*end),
            PageStart::Last(records) => {
                let back = records.saturating_mul(OFFSETS_PER_RECORD);
                end.saturating_sub(i64::try_from(back).unwrap_or(i64::MAX))
            }
            PageStart::Time(_) | PageStart::End => *end,
        };
        (*partition, at.clamp(*first, *end))
    };
    ranges.iter().map(start).collect()
}

/// True if the last records are wanted, which are known only at the end.
fn is_of_last(request: &PageRequest) -> bool {
    matches!(request.start, PageStart::Last(_))
}

/// Sorts by time. Of the last records, those are kept that are wanted.
fn in_order(mut records: Vec<StoredRecord>, request: &PageRequest) -> Vec<StoredRecord> {
    records.sort_by_key(|record| (record.timestamp_ms, record.partition, record.offset));
    if let PageStart::Last(last) = request.start {
        let last = last.min(request.records);
        records
            .sort_by_key(|record| Reverse((record.timestamp_ms, record.partition, record.offset)));
        records.truncate(last);
        records.reverse();
    }
    records
}

fn size(record: &StoredRecord) -> usize {
    let part = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
    let headers = record.headers.iter();
    let headers = headers.map(|(name, value)| name.len() + part(value));
    part(&record.key) + part(&record.value) + headers.sum::<usize>()
}

fn stored(message: &impl Message) -> StoredRecord {
    let headers = message.headers();
    let headers = headers.into_iter().flat_map(|headers| {
        headers
            .iter()
            .map(|header| (header.key.into(), header.value.map(<[u8]>::to_vec)))
    });
    StoredRecord {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(start: PageStart) -> PageRequest {
        PageRequest {
            topic: "t".to_owned(),
            start,
            records: 2,
            bytes: 1000,
            within: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_page_begins_within_what_the_topic_holds() {
        let ranges = BTreeMap::from([(0, (5, 20)), (1, (0, 0))]);
        let from = |start| starts(&ranges, &request(start));
        let at = |offsets: &[(i32, i64)]| PageStart::At(offsets.iter().copied().collect());
        assert_eq!(from(at(&[])), PartitionOffsets::from([(0, 5), (1, 0)]));
        assert_eq!(
            from(at(&[(0, 9)])),
            PartitionOffsets::from([(0, 9), (1, 0)])
        );
        assert_eq!(
            from(at(&[(0, 99)])),
            PartitionOffsets::from([(0, 20), (1, 0)])
        );
        assert_eq!(
            from(PageStart::Last(2)),
            PartitionOffsets::from([(0, 14), (1, 0)])
        );
        assert_eq!(
            from(PageStart::End),
            PartitionOffsets::from([(0, 20), (1, 0)])
        );
    }

    #[test]
    fn the_last_records_are_the_latest_in_order() {
        let record = |partition, offset, timestamp_ms| StoredRecord {
            partition,
            offset,
            timestamp_ms: Some(timestamp_ms),
            key: None,
            value: None,
            headers: Vec::new(),
        };
        let all = vec![record(0, 1, 10), record(0, 2, 30), record(1, 1, 20)];
        let last = in_order(all, &request(PageStart::Last(2)));
        let offsets: Vec<_> = last.iter().map(|r| (r.partition, r.offset)).collect();
        assert_eq!(offsets, [(1, 1), (0, 2)]);
    }
}
