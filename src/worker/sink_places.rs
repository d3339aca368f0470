//! How far a sink's group has read its topics, asked of the brokers: also while no task of it runs.
//! Every function blocks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Config, Error, Result, TopicOffset, TopicPartition};

use super::{TaskId, Worker, WorkerShared, client_settings, offsets};
use crate::kafka::ClientSettings;
use crate::kafka::admin::GroupOffsets;
use crate::kafka::partition_reader::{PartitionBounds, PartitionReader};

/// How long the brokers may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Most partitions that are examined.
pub(super) const PARTITIONS_MAX: usize = 1_000;

/// Where a sink would begin to read a partition, and up to where there is something to read.
#[derive(Clone, Debug)]
pub struct PartitionPlace {
    pub at: TopicPartition,
    /// The committed offset, or the one that `auto.offset.reset` means.
    pub start: i64,
    /// The offset after the last committed record.
    pub end: i64,
    /// The first offset that is kept.
    pub first: i64,
    /// The timestamp of the first record that is to be read, in milliseconds since 1970-01-01 UTC.
    pub oldest_ms: Option<i64>,
}

/// The places of all partitions of a sink.
#[derive(Debug, Default)]
pub struct SinkPlaces {
    pub partitions: Vec<PartitionPlace>,
    /// Topics that the config names, but that do not exist.
    pub missing: Vec<String>,
    /// True if there are more partitions than are examined.
    pub more: bool,
}

impl Worker {
    /// Returns how far a sink's group has read its partitions, with the ages of the first unread
    /// records. Errors: `Retry` when Kafka does not answer, `Denied`, `Config`.
    pub async fn sink_places(&self, connector: &str, config: &Config) -> Result<SinkPlaces, Error> {
        let (config, redactor) = self.resolve_config(config).await?;
        let (shared, connector) = (self.shared.clone(), connector.to_owned());
        let asking = super::thread::blocking(move || {
            let settings = settings(&shared, &connector, &config)?;
            let mut places = places(&shared, &settings, &config, PARTITIONS_MAX)?;
            let reader = PartitionReader::open(&settings)?;
            date(&reader, &mut places.partitions)?;
            Ok(places)
        });
        asking.await.map_err(|error| redactor.error(error))
    }
}

/// Returns the settings of a sink's consumer.
pub(super) fn settings(
    shared: &WorkerShared,
    connector: &str,
    config: &Config,
) -> Result<ClientSettings> {
    let id = TaskId {
        connector: connector.into(),
        task: 0,
    };
    client_settings::consumer(&shared.options, &id, config)
}

/// Returns the places of the first `most` partitions.
pub(super) fn places(
    shared: &WorkerShared,
    settings: &ClientSettings,
    config: &Config,
    most: usize,
) -> Result<SinkPlaces> {
    let (mut partitions, missing) = offsets::partitions_to_read(shared, config)?;
    let more = partitions.len() > most;
    partitions.truncate(most);
    let committed: HashMap<(Arc<str>, i32), i64> = GroupOffsets::open(settings)?
        .committed(&partitions)?
        .into_iter()
        .map(|known| ((known.topic, known.partition), known.offset))
        .collect();
    let bounds = PartitionReader::open(settings)?.bounds(&partitions, Instant::now() + LIMIT)?;
    let latest = settings
        .get("auto.offset.reset")
        .is_some_and(|text| ["latest", "largest", "end"].contains(&text.trim()));
    let place = |(at, PartitionBounds { first, end }): (TopicPartition, PartitionBounds)| {
        let known = committed.get(&(at.topic.clone(), at.partition));
        let new = if latest { end } else { first };
        PartitionPlace {
            start: known.map_or(new, |known| (*known).max(first)).min(end),
            at,
            end,
            first,
            oldest_ms: None,
        }
    };
    Ok(SinkPlaces {
        partitions: partitions.into_iter().zip(bounds).map(place).collect(),
        missing,
        more,
    })
}

/// Looks up the first records that are to be read. Partitions in which only markers of transactions
/// are left have been read to their end.
fn date(reader: &PartitionReader, places: &mut [PartitionPlace]) -> Result<()> {
    let until = Instant::now() + LIMIT;
    let mut behind: BTreeMap<Arc<str>, Vec<TopicOffset>> = BTreeMap::new();
    for place in places.iter().filter(|place| place.start < place.end) {
        let topic = &place.at.topic;
        behind
            .entry(Arc::clone(topic))
            .or_default()
            .push(TopicOffset {
                topic: Arc::clone(topic),
                partition: place.at.partition,
                offset: place.start,
            });
    }
    for (topic, from) in behind {
        let found: HashMap<_, _> = reader.first_records(&from, until)?.into_iter().collect();
        for place in places.iter_mut().filter(|place| place.at.topic == topic) {
            match found.get(&place.at.partition) {
                Some(Some(first)) => {
                    place.start = place.start.max(first.offset);
                    place.oldest_ms = first.timestamp_ms;
                }
                Some(None) => place.start = place.end,
                None => {}
            }
        }
    }
    Ok(())
}
