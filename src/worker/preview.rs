//! What Kafka and the transforms of a connector have to do with its records, found out without
//! sending or storing anything: which topics it would use, what its records become, and which
//! records a sink would read. Every function blocks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use connector_api::{Config, Error, Record, Result, SinkRecord, TopicOffset};

use super::codec::{CodecError, EncodedBatch, RawHeaders, RecordCodec, WireRecord};
use super::sink_places::{self, PartitionPlace, SinkPlaces};
use super::topics::TopicRules;
use super::trial::JsonForms;
use super::{Worker, WorkerShared, client_settings};
use crate::kafka::admin::KafkaAdmin;
use crate::kafka::partition_reader::PartitionReader;
use crate::model::{PlannedRecord, PlannedTopic, TrialRecord};

/// How long a preview may wait for Kafka.
const KAFKA_LIMIT: Duration = Duration::from_secs(10);
/// Most partitions of a sink that are examined.
const PARTITIONS_MAX: usize = 200;
/// Most topics of a source that are examined.
const TOPICS_MAX: usize = 50;
/// Most bytes of a record that is shown.
const SHOWN_MAX_BYTES: usize = 16 * 1024;

/// A record as its bytes would be in a topic.
#[derive(Clone, Debug)]
pub struct SampleRecord {
    pub topic: String,
    partition: i32,
    offset: i64,
    timestamp_ms: Option<i64>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: RawHeaders,
}

impl WireRecord for SampleRecord {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn partition(&self) -> i32 {
        self.partition
    }

    fn offset(&self) -> i64 {
        self.offset
    }

    fn timestamp_ms(&self) -> Option<i64> {
        self.timestamp_ms
    }

    fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.headers
            .iter()
            .map(|(name, value)| (&**name, value.as_deref()))
    }
}

/// What becomes of a source's records.
#[derive(Debug, Default)]
pub struct SentRecords {
    /// As they would be sent, or why not.
    pub shown: Vec<PlannedRecord>,
    /// As bytes, for a sink that reads them.
    pub samples: Vec<SampleRecord>,
    /// The topics by the topic before the transforms.
    pub topics: BTreeMap<String, Option<String>>,
    /// Why they cannot be converted.
    pub failure: Option<Error>,
}

/// The records that a sink would read.
#[derive(Debug, Default)]
pub struct ReadRecords {
    /// The topics, with the number of records to read.
    pub topics: Vec<PlannedTopic>,
    /// Some records as the transforms leave them.
    pub records: Vec<SinkRecord>,
    /// The same for people, with those that failed.
    pub shown: Vec<PlannedRecord>,
}

impl Worker {
    /// Sends the records of a source through its transforms and converters, in a blocking thread.
    pub async fn preview_sending(
        &self,
        config: &Config,
        records: Vec<Record>,
    ) -> Result<SentRecords> {
        let (shared, config) = (self.shared.clone(), config.clone());
        super::thread::blocking(move || sent(&shared, &config, records)).await
    }

    /// Returns what is known of topics that a source writes.
    pub async fn preview_topics(
        &self,
        config: &Config,
        topics: Vec<String>,
    ) -> Result<Vec<PlannedTopic>> {
        let (shared, config) = (self.shared.clone(), config.clone());
        super::thread::blocking(move || written(&shared, &config, topics)).await
    }

    /// Returns the topics of a sink and at most `most` records: from its topics, or else of
    /// `samples`.
    pub async fn preview_reading(
        &self,
        connector: &str,
        config: &Config,
        samples: Vec<SampleRecord>,
        most: usize,
    ) -> Result<ReadRecords> {
        let (shared, config) = (self.shared.clone(), config.clone());
        let connector = connector.to_owned();
        super::thread::blocking(move || read(&shared, &connector, &config, samples, most)).await
    }
}

/// Returns a config whose converters register no schema.
fn without_registering(config: &Config) -> Config {
    let mut config = config.clone();
    for converter in ["key.converter", "value.converter", "header.converter"] {
        config.set(format!("{converter}.auto.register.schemas"), "false");
    }
    config
}

fn sent(shared: &WorkerShared, config: &Config, records: Vec<Record>) -> Result<SentRecords> {
    let config = without_registering(config);
    let mut forms = JsonForms::new(&shared.registry)?;
    let mut chain = super::TransformChain::open(&shared.registry, &config)?;
    let mut codec = RecordCodec::open(&shared.registry, &shared.options.config, &config)?;
    let mut sent = SentRecords::default();
    for record in records {
        let before = record.topic.to_string();
        let planned = match chain.apply(record.clone(), None) {
            Ok(Some(after)) => {
                let topic = after.topic.to_string();
                sent.topics.entry(before).or_insert(Some(topic));
                shown(forms.write_record(&after, None))
            }
            Ok(None) => {
                sent.topics.entry(before).or_insert(None);
                PlannedRecord {
                    record: None,
                    error: None,
                }
            }
            Err((class, error)) => failed(format!("{class}: {error}")),
        };
        sent.shown.push(planned);
        let mut batch = EncodedBatch::default();
        match codec.encode(record, &mut batch) {
            Ok(_) => sent.samples.extend(samples(&batch)),
            Err((_, _, error)) => drop(sent.failure.get_or_insert(error)),
        }
    }
    Ok(sent)
}

fn samples(batch: &EncodedBatch) -> Vec<SampleRecord> {
    let sample = |(topic, record): (
        &std::sync::Arc<str>,
        crate::kafka::producer::OutgoingRecord<'_>,
    )| {
        SampleRecord {
            topic: topic.to_string(),
            partition: record.partition.unwrap_or_default(),
            offset: 0,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.to_vec(),
        }
    };
    batch.records().map(sample).collect()
}

fn failed(error: String) -> PlannedRecord {
    PlannedRecord {
        record: None,
        error: Some(error),
    }
}

fn shown(written: Result<TrialRecord>) -> PlannedRecord {
    match written {
        Ok(record) if super::trial::bytes(&record) > SHOWN_MAX_BYTES => failed(format!(
            "the record is larger than {SHOWN_MAX_BYTES} bytes and is not shown"
        )),
        Ok(record) => PlannedRecord {
            record: Some(record),
            error: None,
        },
        Err(error) => failed(format!("the record cannot be shown: {error}")),
    }
}

fn written(
    shared: &WorkerShared,
    config: &Config,
    topics: Vec<String>,
) -> Result<Vec<PlannedTopic>> {
    let rules = TopicRules::read(config)?;
    let creates = client_settings::may_create_topics(&shared.options);
    let admin = admin(shared, config)?;
    let topic = |topic: String| {
        let partitions = admin.partitions(&topic)?;
        let spec = rules.topic_spec(&topic);
        let new = partitions.is_none() && creates;
        let broker_decides = |n: i32| Some(n).filter(|n| *n > 0);
        Ok(PlannedTopic {
            exists: partitions.is_some(),
            created: new,
            partitions: partitions.or_else(|| broker_decides(spec.partitions).filter(|_| new)),
            replication_factor: broker_decides(spec.replication_factor).filter(|_| new),
            config: if new {
                spec.config.into_iter().collect()
            } else {
                BTreeMap::new()
            },
            records: None,
            topic,
        })
    };
    topics.into_iter().take(TOPICS_MAX).map(topic).collect()
}

fn admin(shared: &WorkerShared, config: &Config) -> Result<KafkaAdmin> {
    KafkaAdmin::open(
        &client_settings::admin(&shared.options, Some(config))?,
        shared.options.dev_broker.clone(),
        shared.runtime.clone(),
    )
}

fn read(
    shared: &WorkerShared,
    connector: &str,
    config: &Config,
    samples: Vec<SampleRecord>,
    most: usize,
) -> Result<ReadRecords> {
    let config = &without_registering(config);
    let until = Instant::now() + KAFKA_LIMIT;
    let settings = sink_places::settings(shared, connector, config)?;
    let SinkPlaces {
        partitions: places,
        missing,
        more,
    } = sink_places::places(shared, &settings, config, PARTITIONS_MAX)?;
    let reader = PartitionReader::open(&settings)?;
    let topics = topics(&places, missing, more);
    let mut decoded = DecodedSamples::open(shared, config, most)?;
    let from = places.iter().filter(|place| place.end > place.first);
    let first = |place: &PartitionPlace| {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        // what has been read already shows the same: what records look like
        let last = (place.end - most).max(place.first);
        TopicOffset {
            topic: place.at.topic.clone(),
            partition: place.at.partition,
            offset: place.start.min(last).max(place.first),
        }
    };
    let from: Vec<_> = from.map(first).collect();
    reader.read(&from, until, |record| decoded.take(record))?;
    if decoded.shown.is_empty() {
        let is_read = |topic: &str| topics.iter().any(|known| known.topic == topic);
        for sample in samples.iter().filter(|sample| is_read(&sample.topic)) {
            if !decoded.take(sample) {
                break;
            }
        }
    }
    Ok(ReadRecords {
        topics,
        records: decoded.records,
        shown: decoded.shown,
    })
}

fn topics(places: &[PartitionPlace], missing: Vec<String>, left_out: bool) -> Vec<PlannedTopic> {
    let mut topics: BTreeMap<&str, (i32, u64)> = BTreeMap::new();
    for place in places {
        let (partitions, records) = topics.entry(&place.at.topic).or_default();
        *partitions += 1;
        *records += u64::try_from(place.end - place.start).unwrap_or(0);
    }
    let topic = |topic: String, exists, partitions, records| PlannedTopic {
        topic,
        exists,
        created: false,
        partitions,
        replication_factor: None,
        config: BTreeMap::new(),
        records,
    };
    let known = topics.into_iter().map(|(name, (partitions, records))| {
        let records = Some(records).filter(|_| !left_out);
        topic(name.to_owned(), true, Some(partitions), records)
    });
    let missing = missing
        .into_iter()
        .map(|name| topic(name, false, None, None));
    let mut all: Vec<_> = known.chain(missing).collect();
    all.truncate(TOPICS_MAX);
    all
}

/// Decodes the first records of each topic.
struct DecodedSamples {
    codec: RecordCodec,
    forms: JsonForms,
    most: usize,
    records: Vec<SinkRecord>,
    shown: Vec<PlannedRecord>,
}

impl DecodedSamples {
    fn open(shared: &WorkerShared, config: &Config, most: usize) -> Result<Self> {
        Ok(Self {
            codec: RecordCodec::open(&shared.registry, &shared.options.config, config)?,
            forms: JsonForms::new(&shared.registry)?,
            most,
            records: Vec::new(),
            shown: Vec::new(),
        })
    }

    /// Takes a record; returns false once there are enough.
    fn take(&mut self, record: &impl WireRecord) -> bool {
        if self.shown.len() >= self.most {
            return false;
        }
        let decoded: Result<_, CodecError> = self.codec.decode(record);
        self.shown.push(match decoded {
            Ok(Some(record)) => {
                let shown = shown(
                    self.forms
                        .write_record(&record.record, Some(record.at.offset)),
                );
                self.records.push(record);
                shown
            }
            Ok(None) => PlannedRecord {
                record: None,
                error: None,
            },
            Err((_, class, error)) => failed(format!("{class}: {error}")),
        });
        self.shown.len() < self.most
    }
}
