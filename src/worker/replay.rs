//! Dead letters for people: lists them, shows one, writes it to its topic again, deletes them.
//!
//! A letter of a sink is written to the topic that it was read from, as it is, so that the sink
//! reads it again. A letter of a source goes through the transforms and converters of the
//! connector's present config.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector_api::pattern::Pattern;
use connector_api::{Config, Datum, Error, Record, Result};
use serde_json::value::RawValue;

use super::codec::{EncodedBatch, RawHeaders, RecordCodec};
use super::dlq::{REASON, TOPIC, read_topic};
use super::records::{headers, offsets_text, part, raw_page};
use super::sink::subscription;
use super::topics::TopicRules;
use super::trial::JsonForms;
use super::{TaskId, WorkerShared, client_settings};
use crate::kafka::admin::KafkaAdmin;
use crate::kafka::consumer::Subscription;
use crate::kafka::page::{self, PageStart, PartitionOffsets, StoredRecord};
use crate::kafka::producer::{OutgoingRecord, Producer};
use crate::model::{
    DeadLetter, DeadLetterPage, DeadLetterReason, LetterPosition, ReplayLetters, ReplayedLetter,
    ShownBytes,
};

/// Maximum number of letters per replay.
const REPLAYED_MAX: usize = 1_000;
/// How long letters are searched.
const READ_WITHIN: Duration = Duration::from_secs(40);
/// How long the broker may take to store replayed letters.
const STORED_WITHIN: Duration = Duration::from_secs(30);
/// Header of a replayed letter: where it was in the dead-letter topic.
const REPLAYED_FROM: &str = "rowferry.replayed.from";

/// Whose letters.
pub(crate) struct LettersOf {
    pub connector: Arc<str>,
    /// The resolved config.
    pub config: Config,
    pub is_source: bool,
}

/// Returns the connector's dead-letter topic. Errors: `Config` if it has none.
fn topic(config: &Config) -> Result<String> {
    let wanted = read_topic(config)?;
    wanted.map(|(wanted, _)| wanted.topic).ok_or_else(|| {
        Error::config(format!(
            "the connector has no dead-letter topic; set {TOPIC}"
        ))
    })
}

/// Returns a page of letters without keys and values. Letters that name another connector are left
/// out. A topic that does not exist yet has none. Blocks.
pub(super) fn list(
    shared: &WorkerShared,
    of: &LettersOf,
    start: &PageStart,
    limit: usize,
) -> Result<DeadLetterPage> {
    let topic = topic(&of.config)?;
    let found = raw_page(shared, &topic, start, limit, |record| is_of(record, of))?;
    let (records, next, end) = match found {
        Some(page) => (page.records, offsets_text(&page.next), page.is_end),
        None => (Vec::new(), String::new(), true),
    };
    Ok(DeadLetterPage {
        topic,
        letters: records.iter().map(letter).collect(),
        next,
        end,
    })
}

/// Returns one letter with key, value and headers. Blocks.
pub(super) fn show(
    shared: &WorkerShared,
    of: &LettersOf,
    at: LetterPosition,
) -> Result<Option<DeadLetter>> {
    let (found, _) = find(shared, of, &topic(&of.config)?, &BTreeSet::from([at]))?;
    Ok(found.into_iter().next().map(|record| DeadLetter {
        key: record.key.as_deref().map(part),
        value: record.value.as_deref().map(part),
        headers: headers(&without_reason(&record.headers)),
        ..letter(&record)
    }))
}

/// Deletes the letters before these offsets, of all connectors that share the topic. Blocks.
pub(super) fn delete_before(
    shared: &WorkerShared,
    of: &LettersOf,
    before: &PartitionOffsets,
) -> Result<()> {
    if shared.options.dev_broker.is_some() {
        return Err(Error::config(
            "the development broker cannot delete records; it keeps only the last ones anyway",
        ));
    }
    let settings = client_settings::admin(&shared.options, Some(&of.config))?;
    page::delete_before(&settings, &topic(&of.config)?, before, &shared.runtime)
}

/// Writes letters to their topics again, and returns what became of each. Letters stay in the
/// dead-letter topic. Blocks.
pub(super) fn replay(
    shared: &Arc<WorkerShared>,
    of: &LettersOf,
    wanted: &ReplayLetters,
) -> Result<Vec<ReplayedLetter>> {
    let is_corrected = wanted.key.is_some() || wanted.value.is_some();
    if wanted.letters.is_empty() || wanted.letters.len() > REPLAYED_MAX {
        return Err(Error::config(format!(
            "name 1 to {REPLAYED_MAX} letters by partition and offset"
        )));
    }
    if is_corrected && wanted.letters.len() != 1 {
        return Err(Error::config(
            "a key or value replaces that of one letter; name only one",
        ));
    }
    let dead = topic(&of.config)?;
    let mut writer = ReplayWriter::open(shared, of)?;
    let mut open: BTreeSet<LetterPosition> = wanted.letters.iter().copied().collect();
    let (mut done, until) = (Vec::new(), Instant::now() + READ_WITHIN);
    loop {
        let (found, is_end) = find(shared, of, &dead, &open)?;
        for record in found {
            let at = position(&record);
            open.remove(&at);
            let corrected = correct(record, wanted);
            let written =
                corrected.and_then(|it| writer.write(&it, wanted.topic.as_deref(), &dead));
            done.push(replayed(at, written));
        }
        if open.is_empty() || is_end || Instant::now() >= until {
            break;
        }
    }
    let missing = || Err(Error::record("there is no such letter of this connector"));
    done.extend(open.into_iter().map(|at| replayed(at, missing())));
    writer.producer.flush(STORED_WITHIN, || true)?;
    Ok(done)
}

fn replayed(at: LetterPosition, written: Result<Arc<str>>) -> ReplayedLetter {
    let (topic, error) = match written {
        Ok(topic) => (Some(topic.to_string()), None),
        Err(error) => (None, Some(error.to_string())),
    };
    ReplayedLetter {
        partition: at.partition,
        offset: at.offset,
        topic,
        error,
    }
}

fn position(record: &StoredRecord) -> LetterPosition {
    LetterPosition {
        partition: record.partition,
        offset: record.offset,
    }
}

/// Returns the first of these letters, and whether the topic has no more after them.
fn find(
    shared: &WorkerShared,
    of: &LettersOf,
    topic: &str,
    all: &BTreeSet<LetterPosition>,
) -> Result<(Vec<StoredRecord>, bool)> {
    let mut start = PartitionOffsets::new();
    for at in all {
        // The set is sorted: the first one of a partition is its lowest offset.
        start.entry(at.partition).or_insert(at.offset);
    }
    let is_wanted = |record: &StoredRecord| all.contains(&position(record)) && is_of(record, of);
    let found = raw_page(shared, topic, &PageStart::Only(start), all.len(), is_wanted)?;
    Ok(found.map_or((Vec::new(), true), |page| (page.records, page.is_end)))
}

/// Returns the record with the key and value that the user replaced. Errors: `Config`.
fn correct(mut record: StoredRecord, wanted: &ReplayLetters) -> Result<StoredRecord> {
    let bytes = |part: &ShownBytes| match part {
        ShownBytes {
            data: Some(data),
            text: None,
            base64: None,
        } => Ok(data.to_string().into_bytes()),
        ShownBytes {
            data: None,
            text: Some(text),
            base64: None,
        } => Ok(text.clone().into_bytes()),
        ShownBytes {
            data: None,
            text: None,
            base64: Some(base64),
        } => (STANDARD.decode(base64))
            .map_err(|error| Error::config(format!("base64 cannot be read: {error}"))),
        _ => Err(Error::config("give data, text or base64, one of them")),
    };
    if let Some(key) = &wanted.key {
        record.key = Some(bytes(key)?);
    }
    if let Some(value) = &wanted.value {
        record.value = Some(bytes(value)?);
    }
    Ok(record)
}

/// Writes letters to their topics.
struct ReplayWriter<'a> {
    shared: &'a Arc<WorkerShared>,
    of: &'a LettersOf,
    producer: Producer,
    /// Transforms and converters, for letters of a source.
    source: Option<(RecordCodec, JsonForms)>,
    /// What a sink reads.
    reads: Option<(Subscription, Option<Pattern>)>,
}

impl<'a> ReplayWriter<'a> {
    fn open(shared: &'a Arc<WorkerShared>, of: &'a LettersOf) -> Result<Self> {
        let (options, registry) = (&shared.options, &shared.registry);
        let id = TaskId {
            connector: Arc::clone(&of.connector),
            task: 0,
        };
        let mut settings = client_settings::producer(options, &id, &of.config, false)?;
        settings.set("client.id", &format!("rowferry-replay-{}", of.connector));
        let producer = Producer::open(&settings, options.dev_broker.as_ref(), None)?;
        let source = if of.is_source {
            let codec = RecordCodec::open(registry, &options.config, &of.config)?;
            Some((codec, JsonForms::new(registry)?))
        } else {
            None
        };
        let reads = if of.is_source {
            None
        } else {
            let reads = subscription(&of.config)?;
            let pattern = match &reads {
                Subscription::Pattern(pattern) => {
                    Some(Pattern::whole(pattern).map_err(Error::config)?)
                }
                Subscription::Topics(_) => None,
            };
            Some((reads, pattern))
        };
        Ok(Self {
            shared,
            of,
            producer,
            source,
            reads,
        })
    }

    /// Hands a letter to the producer. Returns its topic. Errors: `Record`, `Config`.
    fn write(
        &mut self,
        letter: &StoredRecord,
        topic: Option<&str>,
        dead: &str,
    ) -> Result<Arc<str>> {
        let from = format!("{dead}-{}-{}", letter.partition, letter.offset);
        if self.source.is_some() {
            self.write_of_source(letter, topic, from)
        } else {
            self.write_of_sink(letter, topic, from)
        }
    }

    fn write_of_sink(
        &mut self,
        letter: &StoredRecord,
        topic: Option<&str>,
        from: String,
    ) -> Result<Arc<str>> {
        let reason = reasons(letter);
        let named = topic.or_else(|| reason.get("topic").map(String::as_str));
        let topic: Arc<str> = match (named, &self.reads) {
            (Some(topic), _) => topic.into(),
            (None, Some((Subscription::Topics(topics), _))) if topics.len() == 1 => topics
                .first()
                .map(String::as_str)
                .unwrap_or_default()
                .into(),
            (None, _) => {
                return Err(Error::config(
                    "the letter does not name the topic it was read from \
                     (errors.deadletterqueue.context.headers.enable); name it",
                ));
            }
        };
        if !self.reads(&topic) {
            // Whoever can write to the dead-letter topic could otherwise write to any topic.
            return Err(Error::config(format!(
                "the connector does not read topic {topic}"
            )));
        }
        let partition = reason.get("partition").and_then(|text| text.parse().ok());
        let mut headers = without_reason(&letter.headers);
        headers.push((REPLAYED_FROM.into(), Some(from.into_bytes())));
        let record = OutgoingRecord {
            topic: &topic,
            partition: partition.filter(|_| named.is_some_and(|named| named == &*topic)),
            key: letter.key.as_deref(),
            value: letter.value.as_deref(),
            timestamp_ms: letter.timestamp_ms,
            headers: &headers,
            number: 0,
        };
        self.send(record)?;
        Ok(topic)
    }

    fn reads(&self, topic: &str) -> bool {
        match &self.reads {
            Some((Subscription::Topics(topics), _)) => topics.iter().any(|read| read == topic),
            Some((_, Some(pattern))) => pattern.matches(topic).unwrap_or(false),
            Some((_, None)) | None => false,
        }
    }

    fn write_of_source(
        &mut self,
        letter: &StoredRecord,
        topic: Option<&str>,
        from: String,
    ) -> Result<Arc<str>> {
        let reason = reasons(letter);
        let topic = topic.or_else(|| reason.get("topic").map(String::as_str));
        let topic = topic.ok_or_else(|| Error::config("the letter does not name its topic"))?;
        let Some((codec, forms)) = &mut self.source else {
            return Err(Error::fatal("letters of a source without its transforms"));
        };
        let record = Record {
            topic: topic.into(),
            partition: None,
            key: read_json(forms, letter.key.as_deref()).map_err(|e| e.context("key"))?,
            value: read_json(forms, letter.value.as_deref()).map_err(|e| e.context("value"))?,
            timestamp_ms: letter.timestamp_ms,
            headers: Vec::new(),
        };
        let mut chunk = EncodedBatch::default();
        let encoded = codec.encode(record, &mut chunk);
        encoded.map_err(|(stage, class, error)| {
            error.context(format_args!("{} ({class})", stage.name()))
        })?;
        let written = match chunk.records().next() {
            None => return Err(Error::record("a transform drops the record")),
            Some((topic, record)) => {
                let mut headers = record.headers.to_vec();
                headers.push((REPLAYED_FROM.into(), Some(from.into_bytes())));
                ensure_topic(self.shared, &self.of.config, &self.producer, topic)?;
                let record = OutgoingRecord {
                    headers: &headers,
                    ..record
                };
                self.send(record)?;
                Arc::clone(topic)
            }
        };
        Ok(written)
    }

    fn send(&self, record: OutgoingRecord<'_>) -> Result<()> {
        let began = Instant::now();
        self.producer
            .send(record, || began.elapsed() < STORED_WITHIN)
    }
}

/// Creates the topic of a replayed record as the source would.
fn ensure_topic(
    shared: &Arc<WorkerShared>,
    config: &Config,
    producer: &Producer,
    topic: &str,
) -> Result<()> {
    if producer.partitions(topic)?.is_some() || !client_settings::may_create_topics(&shared.options)
    {
        return Ok(());
    }
    let rules = TopicRules::read(config)?;
    let settings = client_settings::admin(&shared.options, Some(config))?;
    let dev = shared.options.dev_broker.clone();
    KafkaAdmin::open(&settings, dev, shared.runtime.clone())?.ensure(&rules.topic_spec(topic))
}

fn read_json(forms: &mut JsonForms, bytes: Option<&[u8]>) -> Result<Datum> {
    let Some(bytes) = bytes else {
        return Ok(Datum::NONE);
    };
    let json: Box<RawValue> = serde_json::from_slice(bytes)
        .map_err(|_| Error::record("it is not the JSON that a letter of a source holds"))?;
    forms.read(Some(&json))
}

/// Returns the headers with the reason, by their names without `__connect.errors.`
fn reasons(record: &StoredRecord) -> BTreeMap<String, String> {
    let reason = |(name, value): &(Arc<str>, Option<Vec<u8>>)| {
        let name = name.strip_prefix(REASON)?;
        let value = String::from_utf8_lossy(value.as_deref().unwrap_or_default());
        Some((name.to_owned(), value.into_owned()))
    };
    record.headers.iter().filter_map(reason).collect()
}

fn without_reason(headers: &RawHeaders) -> RawHeaders {
    let others = headers.iter().filter(|(name, _)| !name.starts_with(REASON));
    others.cloned().collect()
}

/// True unless the letter names another connector.
fn is_of(record: &StoredRecord, of: &LettersOf) -> bool {
    let name = (record.headers.iter())
        .find(|(name, _)| name.strip_prefix(REASON) == Some("connector.name"))
        .and_then(|(_, value)| value.as_deref());
    name.is_none_or(|name| name == of.connector.as_bytes())
}

fn letter(record: &StoredRecord) -> DeadLetter {
    let mut found = reasons(record);
    let bytes = |part: &Option<Vec<u8>>| part.as_ref().map(|part| part.len() as u64);
    let is_explained = !found.is_empty();
    let mut take = |name: &str| found.remove(name).unwrap_or_default();
    let reason = DeadLetterReason {
        connector: take("connector.name"),
        task: take("task.id").parse().ok(),
        topic: take("topic"),
        partition: take("partition").parse().ok(),
        offset: take("offset").parse().ok(),
        stage: take("stage"),
        class: take("class.name"),
        exception: take("exception.class.name"),
        message: take("exception.message"),
    };
    DeadLetter {
        partition: record.partition,
        offset: record.offset,
        timestamp: record.timestamp_ms,
        key_bytes: bytes(&record.key),
        value_bytes: bytes(&record.value),
        reason: is_explained.then_some(reason),
        ..DeadLetter::default()
    }
}
