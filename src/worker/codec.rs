//! Converts records to bytes and back: a connector's converters and transforms, one set per task.
//!
//! This module does not decide what happens on an error: it returns the error with the
//! [`ErrorStage`] where it occurred.

use std::ops::Range;
use std::sync::Arc;

use connector_api::{
    Config, Converter, EncodedPresence, Error, Header, Headers, Record, SinkRecord, SourcePosition,
    TopicOffset,
};

use super::chain::TransformChain;
use super::policy::ErrorStage;
use crate::kafka::consumer::IncomingRecord;
use crate::kafka::producer::OutgoingRecord;
use crate::kafka::topic_name;
use crate::keys;
use crate::registry::{ConverterRole, Registry, version};

/// What failed: the stage, the class, and the error.
pub(super) type CodecError = (ErrorStage, Arc<str>, Error);

/// Headers as they are on the wire.
pub(super) type RawHeaders = Vec<(Arc<str>, Option<Vec<u8>>)>;

/// A record as bytes, wherever they come from.
pub(super) trait WireRecord {
    fn topic(&self) -> &str;
    fn partition(&self) -> i32;
    fn offset(&self) -> i64;
    fn timestamp_ms(&self) -> Option<i64>;
    fn key(&self) -> Option<&[u8]>;
    fn value(&self) -> Option<&[u8]>;
    fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)>;
}

impl WireRecord for IncomingRecord<'_> {
    fn topic(&self) -> &str {
        self.topic()
    }

    fn partition(&self) -> i32 {
        self.partition()
    }

    fn offset(&self) -> i64 {
        self.offset()
    }

    fn timestamp_ms(&self) -> Option<i64> {
        self.timestamp_ms()
    }

    fn key(&self) -> Option<&[u8]> {
        self.key()
    }

    fn value(&self) -> Option<&[u8]> {
        self.value()
    }

    fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.headers()
    }
}

/// A converter with its class name.
struct NamedConverter<T: ?Sized> {
    class: Arc<str>,
    it: Box<T>,
}

/// The converters and transforms of one task.
pub(super) struct RecordCodec {
    key: NamedConverter<dyn Converter>,
    value: NamedConverter<dyn Converter>,
    header: NamedConverter<dyn Converter>,
    transforms: TransformChain,
    /// Topics seen, so that records share their names.
    topics: Vec<Arc<str>>,
    /// The last topic name that passed the check.
    legal: Option<Arc<str>>,
}

/// Maximum number of bytes of an illegal topic name in an error text.
const LONGEST_SHOWN: usize = 100;
/// The class that Kafka Connect reports when a source's record cannot be produced.
const PRODUCED_BY: &str = "org.apache.kafka.connect.runtime.WorkerSourceTask";

impl RecordCodec {
    /// Creates the converters that the connector's config names, or else the worker's. Errors:
    /// `Config`.
    pub(super) fn open(
        registry: &Registry,
        worker: &Config,
        connector: &Config,
    ) -> Result<Self, Error> {
        let converter = |prefix: &str, role| {
            let otherwise = keys::default_converter(prefix).unwrap_or_default();
            let (class, config) = converter_config(worker, connector, prefix, otherwise);
            converter_version(registry, worker, connector, prefix, role, &class)?;
            let it = registry
                .converter(&class, role, &config)
                .map_err(|e| e.context(prefix))?;
            Ok::<_, Error>(NamedConverter {
                class: class.into(),
                it,
            })
        };
        Ok(Self {
            key: converter("key.converter", ConverterRole::Key)?,
            value: converter("value.converter", ConverterRole::Value)?,
            header: converter("header.converter", ConverterRole::Header)?,
            transforms: TransformChain::open(registry, connector)?,
            topics: Vec::new(),
            legal: None,
        })
    }

    fn transform(
        &mut self,
        record: Record,
        at: Option<&TopicOffset>,
    ) -> Result<Option<Record>, CodecError> {
        self.transforms
            .apply(record, at)
            .map_err(|(class, error)| (ErrorStage::Transformation, class, error))
    }

    /// Appends a source's record to `chunk`. Returns false if a transform dropped it. After an
    /// error, `chunk` is unchanged.
    pub(super) fn encode(
        &mut self,
        record: Record,
        chunk: &mut EncodedBatch,
    ) -> Result<bool, CodecError> {
        let Some(record) = self.transform(record, None)? else {
            return Ok(false);
        };
        self.check_topic(&record.topic)?;
        let start = chunk.bytes.len();
        let encoded = self.encode_into(&record, &mut chunk.bytes);
        match encoded {
            Ok((key, value, headers)) => {
                let Record {
                    topic,
                    partition,
                    timestamp_ms,
                    ..
                } = record;
                let topic = chunk.topic(topic);
                chunk.records.push(EncodedRecord {
                    topic,
                    partition,
                    timestamp_ms,
                    key,
                    value,
                    headers,
                });
                Ok(true)
            }
            Err(failed) => {
                chunk.bytes.truncate(start);
                Err(failed)
            }
        }
    }

    /// Checks that Kafka accepts the topic's name. Errors: `Record`.
    fn check_topic(&mut self, topic: &Arc<str>) -> Result<(), CodecError> {
        if self
            .legal
            .as_ref()
            .is_some_and(|legal| Arc::ptr_eq(legal, topic) || **legal == **topic)
        {
            return Ok(());
        }
        if let Some(rule) = topic_name::broken_rule(topic) {
            return Err(illegal_topic(topic, rule, self.transforms.renamer()));
        }
        self.legal = Some(Arc::clone(topic));
        Ok(())
    }

    #[expect(
        clippy::type_complexity,
        reason = "three parts of one record, used once"
    )]
    fn encode_into(
        &mut self,
        record: &Record,
        bytes: &mut Vec<u8>,
    ) -> Result<(Option<Range<usize>>, Option<Range<usize>>, RawHeaders), CodecError> {
        let mut headers = RawHeaders::new();
        for header in &record.headers {
            let mut out = Vec::new();
            let present = self
                .header
                .it
                .encode(&record.topic, &header.datum, &mut out);
            let present = present.map_err(|e| {
                (
                    ErrorStage::HeaderConverter,
                    Arc::clone(&self.header.class),
                    e,
                )
            })?;
            headers.push((
                Arc::clone(&header.key),
                (present == EncodedPresence::Present).then_some(out),
            ));
        }
        let mut part = |converter: &mut NamedConverter<dyn Converter>, stage, datum| {
            let start = bytes.len();
            match converter.it.encode(&record.topic, datum, bytes) {
                Ok(EncodedPresence::Present) => Ok(Some(start..bytes.len())),
                Ok(EncodedPresence::Absent) => Ok(None),
                Err(error) => Err((stage, Arc::clone(&converter.class), error)),
            }
        };
        let key = part(&mut self.key, ErrorStage::KeyConverter, &record.key)?;
        let value = part(&mut self.value, ErrorStage::ValueConverter, &record.value)?;
        Ok((key, value, headers))
    }

    /// Decodes and transforms a record for the sink. Returns `None` if a transform dropped it.
    pub(super) fn decode(
        &mut self,
        incoming: &impl WireRecord,
    ) -> Result<Option<SinkRecord>, CodecError> {
        let topic = self.topic(incoming.topic());
        let key = self.key.it.decode(&topic, incoming.key());
        let key = key.map_err(|e| (ErrorStage::KeyConverter, Arc::clone(&self.key.class), e))?;
        let value = self.value.it.decode(&topic, incoming.value());
        let value =
            value.map_err(|e| (ErrorStage::ValueConverter, Arc::clone(&self.value.class), e))?;
        let mut headers = Headers::new();
        for (name, bytes) in incoming.headers() {
            let datum = self.header.it.decode(&topic, bytes);
            let datum = datum.map_err(|e| {
                (
                    ErrorStage::HeaderConverter,
                    Arc::clone(&self.header.class),
                    e,
                )
            })?;
            headers.push(Header {
                key: name.into(),
                datum,
            });
        }
        let at = TopicOffset {
            topic: Arc::clone(&topic),
            partition: incoming.partition(),
            offset: incoming.offset(),
        };
        let partition = Some(incoming.partition());
        let record = Record {
            topic,
            partition,
            key,
            value,
            timestamp_ms: incoming.timestamp_ms(),
            headers,
        };
        Ok(self
            .transform(record, Some(&at))?
            .map(|record| SinkRecord { record, at }))
    }

    /// Returns the shared name of a topic.
    pub(super) fn topic(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.topics.iter().find(|known| &***known == name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = name.into();
        self.topics.push(Arc::clone(&new));
        new
    }
}

#[cold]
fn illegal_topic(topic: &str, rule: &str, renamer: Option<(&Arc<str>, &Arc<str>)>) -> CodecError {
    let shown = &topic[..topic.floor_char_boundary(LONGEST_SHOWN)];
    let more = if shown.len() < topic.len() { "…" } else { "" };
    match renamer {
        Some((alias, class)) => {
            let text = format!(
                "the transform {alias} sets the topic \"{shown}{more}\", which Kafka does not \
                 accept: {rule}; change transforms.{alias}, or skip such records \
                 (errors.tolerance=all)"
            );
            (
                ErrorStage::Transformation,
                Arc::clone(class),
                Error::record(text),
            )
        }
        None => {
            let text = format!(
                "Kafka does not accept the topic \"{shown}{more}\": {rule}; use another topic \
                 (topic.prefix, or transforms with RegexRouter), or skip such records \
                 (errors.tolerance=all)"
            );
            (ErrorStage::Produce, PRODUCED_BY.into(), Error::record(text))
        }
    }
}

/// Checks that a converter has the version asked for by the config that names its class. Errors:
/// `Config`.
fn converter_version(
    registry: &Registry,
    worker: &Config,
    connector: &Config,
    prefix: &str,
    role: ConverterRole,
    class: &str,
) -> Result<(), Error> {
    let key = format!("{prefix}.plugin.version");
    let asking = if connector.get(prefix).is_some() {
        connector
    } else {
        worker
    };
    match registry.plugin(role.kind(), class) {
        Some(plugin) => version::ensure(plugin, &key, asking.get(&key)),
        None => Ok(()),
    }
}

/// Returns the class and settings of a converter. A connector that names none uses the worker's,
/// with the connector's own sub-keys on top (which Kafka Connect ignores silently).
pub(super) fn converter_config(
    worker: &Config,
    connector: &Config,
    prefix: &str,
    otherwise: &str,
) -> (String, Config) {
    let sub = format!("{prefix}.");
    let own = connector.with_prefix(&sub);
    match (connector.get(prefix), worker.get(prefix)) {
        (Some(class), _) => (class.trim().to_owned(), own),
        (None, class) => {
            let mut config = worker.with_prefix(&sub);
            for (name, value) in own.iter() {
                config.set(name, value);
            }
            (class.unwrap_or(otherwise).trim().to_owned(), config)
        }
    }
}

/// Encoded records on their way to the producer, all bytes in one buffer.
#[derive(Debug, Default)]
pub(super) struct EncodedBatch {
    bytes: Vec<u8>,
    records: Vec<EncodedRecord>,
    topics: Vec<Arc<str>>,
    /// Positions that hold once these records and those before them are durable.
    pub positions: Vec<SourcePosition>,
    /// True if the chunk ends with a whole batch of the source, so that a transaction may end here.
    pub complete: bool,
    /// True if a transaction of the source goes on in the next chunk.
    pub partial: bool,
    /// True if the source has no more records for now, so that waiting gains nothing.
    pub last: bool,
    /// Number of records of the source that this chunk results from, with those that transforms
    /// removed.
    pub polled: u64,
}

#[derive(Debug)]
struct EncodedRecord {
    /// Index of the topic in the chunk.
    topic: usize,
    partition: Option<i32>,
    timestamp_ms: Option<i64>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: RawHeaders,
}

/// A record that is already encoded.
pub(super) struct EncodedParts<'a> {
    pub topic: Arc<str>,
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: RawHeaders,
}

impl EncodedBatch {
    /// Appends a record that is already encoded.
    pub(super) fn push(&mut self, parts: EncodedParts<'_>) {
        let mut append = |part: Option<&[u8]>| {
            part.map(|part| {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(part);
                start..self.bytes.len()
            })
        };
        let (key, value) = (append(parts.key), append(parts.value));
        let topic = self.topic(parts.topic);
        self.records.push(EncodedRecord {
            topic,
            partition: None,
            timestamp_ms: parts.timestamp_ms,
            key,
            value,
            headers: parts.headers,
        });
    }

    /// Returns the size in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True if the chunk holds no record.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns the index of a topic in this chunk. All its records share one handle, because
    /// updating a reference count from two threads is slow.
    fn topic(&mut self, topic: Arc<str>) -> usize {
        if let Some(known) = self
            .topics
            .iter()
            .rposition(|known| Arc::ptr_eq(known, &topic) || **known == *topic)
        {
            return known;
        }
        self.topics.push(topic);
        self.topics.len() - 1
    }

    /// Returns the records with the shared names of their topics.
    pub(super) fn records(&self) -> impl Iterator<Item = (&Arc<str>, OutgoingRecord<'_>)> {
        let bytes =
            |range: &Option<Range<usize>>| range.clone().and_then(|range| self.bytes.get(range));
        self.records.iter().filter_map(move |r| {
            let topic = self.topics.get(r.topic)?;
            let outgoing = OutgoingRecord {
                topic,
                partition: r.partition,
                key: bytes(&r.key),
                value: bytes(&r.value),
                timestamp_ms: r.timestamp_ms,
                headers: &r.headers,
                number: 0,
            };
            Some((topic, outgoing))
        })
    }

    /// Empties the buffers and keeps their memory.
    #[must_use]
    pub(super) fn reuse(mut self) -> Self {
        self.bytes.clear();
        self.records.clear();
        self.topics.clear();
        Self {
            bytes: self.bytes,
            records: self.records,
            topics: self.topics,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connectors_converter_is_independent_and_settings_without_a_class_apply_to_the_workers() {
        let worker = Config::from([
            ("value.converter", "W"),
            ("value.converter.schemas.enable", "true"),
            ("value.converter.x", "1"),
        ]);
        let read =
            |connector: Config| converter_config(&worker, &connector, "value.converter", "D");
        let (class, config) = read(Config::from([
            ("value.converter", " C "),
            ("value.converter.y", "2"),
        ]));
        assert_eq!((class.as_str(), config), ("C", Config::from([("y", "2")])));
        let (class, config) = read(Config::from([("value.converter.schemas.enable", "false")]));
        assert_eq!(
            (class.as_str(), config),
            ("W", Config::from([("schemas.enable", "false"), ("x", "1")]))
        );
        assert_eq!(
            converter_config(&Config::new(), &Config::new(), "key.converter", "D").0,
            "D"
        );
    }

    fn regex_router(alias: &str, regex: &str, replacement: &str) -> [(String, String); 3] {
        [
            ("type", "RegexRouter"),
            ("regex", regex),
            ("replacement", replacement),
        ]
        .map(|(key, value)| (format!("transforms.{alias}.{key}"), value.to_owned()))
    }

    /// Encodes a record without values to this topic between two others, which are kept.
    fn encode(config: &Config, topic: &str) -> Result<(), (ErrorStage, String, Error)> {
        let mut codec = RecordCodec::open(&Registry::built_in(), &Config::new(), config).unwrap();
        let record = |topic: &str| Record {
            topic: topic.into(),
            partition: None,
            key: connector_api::Datum::NONE,
            value: connector_api::Datum::NONE,
            timestamp_ms: None,
            headers: Vec::new(),
        };
        let mut chunk = EncodedBatch::default();
        codec.encode(record("fine"), &mut chunk).unwrap();
        let outcome = codec.encode(record(topic), &mut chunk).map(drop);
        codec.encode(record("fine"), &mut chunk).unwrap();
        assert_eq!(chunk.records().count(), 2 + usize::from(outcome.is_ok()));
        outcome.map_err(|(stage, class, error)| (stage, class.to_string(), error))
    }

    #[test]
    fn a_topic_that_kafka_does_not_take_is_its_records_error_and_names_the_transform() {
        let mut config: Config = [
            regex_router("spaced", "(.*)-b", "$1 b"),
            regex_router("again", "x (.*)", "x/$1"),
            regex_router("none", "gone", ""),
        ]
        .into_iter()
        .flatten()
        .chain([("transforms".to_owned(), "spaced,again,none".to_owned())])
        .collect();
        for (topic, alias, name, rule) in [
            ("t-b", "spaced", "\"t b\"", "ASCII letters"),
            ("x-b", "again", "\"x/b\"", "ASCII letters"),
            ("gone", "none", "\"\"", "not empty"),
        ] {
            let (stage, class, error) = encode(&config, topic).unwrap_err();
            let kind = error.kind();
            assert_eq!(
                (stage, class.as_str(), kind),
                (
                    ErrorStage::Transformation,
                    "RegexRouter",
                    connector_api::ErrorKind::Record
                )
            );
            for part in [
                &format!("the transform {alias} "),
                name,
                rule,
                "errors.tolerance=all",
            ] {
                assert!(error.message().contains(part), "{error}");
            }
        }
        encode(&config, "t-a").unwrap();
        config.remove("transforms");
        let (stage, _, error) = encode(&config, &"ö".repeat(300)).unwrap_err();
        assert!(
            stage == ErrorStage::Produce
                && error.message().contains("topic.prefix")
                && error.message().len() < 500
        );
    }

    #[test]
    fn a_task_does_not_begin_with_plug_ins_of_other_versions() {
        let open = |worker: &Config, connector: &Config| {
            RecordCodec::open(&Registry::built_in(), worker, connector).map(drop)
        };
        let routed = [
            ("transforms", "t"),
            ("transforms.t.type", "TimestampRouter"),
            ("transforms.t.predicate", "p"),
            ("predicates", "p"),
            ("predicates.p.type", "RecordIsTombstone"),
            ("key.converter", "StringConverter"),
            ("header.converter", "SimpleHeaderConverter"),
        ];
        let here = env!("CARGO_PKG_VERSION");
        for key in [
            "transforms.t.plugin.version",
            "predicates.p.plugin.version",
            "key.converter.plugin.version",
            "header.converter.plugin.version",
        ] {
            let with = |version| {
                routed
                    .into_iter()
                    .chain([(key, version)])
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .collect::<Config>()
            };
            open(&Config::new(), &with(here)).unwrap();
            let error = open(&Config::new(), &with("[9.0,)")).unwrap_err();
            let text = error.message().to_owned();
            assert!(
                text.contains(&format!(
                    "Invalid value [9.0,) for configuration {key}: Plugin "
                )),
                "{text}"
            );
            assert!(
                text.contains(&format!("available versions: [{here}]")),
                "{text}"
            );
        }
        let unfit = Config::from([("value.converter.plugin.version", "9.9")]);
        assert!(
            open(&unfit, &Config::new()).is_err(),
            "the worker's converter"
        );
        open(&Config::new(), &unfit).unwrap();
    }
}
