//! Reads records of topics for people: those that a connector reads or writes, decoded with its
//! converters.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector_api::{Config, Converter, Result};
use serde_json::Value;

use super::codec::converter_config;
use super::trial::JsonForms;
use super::{WorkerShared, client_settings};
use crate::kafka::page::{self, PageRequest, PageStart, PartitionOffsets, StoredRecord, TopicPage};
use crate::keys;
use crate::model::{RecordHeader, RecordPage, ShownBytes, TopicRecord};
use crate::registry::ConverterRole;

/// Maximum number of records per page.
pub(crate) const RECORDS_MAX: usize = 1_000;
/// Maximum size of a page, in bytes.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a page is read.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// Which records of a topic to read.
#[derive(Clone, Debug)]
pub(crate) struct RecordsWanted {
    pub topic: String,
    pub start: PageStart,
    pub limit: usize,
    /// Only records with this key: its text, or its decoded JSON.
    pub key: Option<String>,
}

/// Reads a page, or `None` without such a topic. Blocks. Errors: `Retry`, `Denied`, `Config` for an
/// invalid converter.
pub(super) fn read(
    shared: &WorkerShared,
    config: &Config,
    wanted: &RecordsWanted,
) -> Result<Option<RecordPage>> {
    let mut decoders = Decoders::open(shared, config)?;
    // A page is decoded while it is read only if that decides what belongs to it.
    let keys = wanted.key.as_deref().map(KeyFilter::new);
    let found = {
        let decoders = std::cell::RefCell::new(&mut decoders);
        let keep = |record: &StoredRecord| {
            keys.as_ref().is_none_or(|keys| {
                let mut decoders = decoders.borrow_mut();
                let key = decoders.key(&wanted.topic, record.key.as_deref());
                key.is_some_and(|key| keys.accepts(&key))
            })
        };
        raw_page(shared, &wanted.topic, &wanted.start, wanted.limit, keep)?
    };
    Ok(found.map(|page| RecordPage {
        topic: wanted.topic.clone(),
        start: offsets_text(&page.start),
        next: offsets_text(&page.next),
        end: page.is_end,
        records: (page.records.into_iter())
            .map(|record| decoders.record(&wanted.topic, record))
            .collect(),
    }))
}

/// Reads a page of bytes.
pub(super) fn raw_page(
    shared: &WorkerShared,
    topic: &str,
    start: &PageStart,
    limit: usize,
    keep: impl Fn(&StoredRecord) -> bool,
) -> Result<Option<TopicPage>> {
    let request = PageRequest {
        topic: topic.to_owned(),
        start: start.clone(),
        records: limit.clamp(1, RECORDS_MAX),
        bytes: BYTES_MAX,
        within: READ_WITHIN,
    };
    page::read(&client_settings::reader(&shared.options)?, &request, keep)
}

/// Formats offsets as REST requests take them: `0:15,1:7`.
pub(crate) fn offsets_text(offsets: &PartitionOffsets) -> String {
    let one = |(partition, offset): (&i32, &i64)| format!("{partition}:{offset}");
    offsets.iter().map(one).collect::<Vec<_>>().join(",")
}

/// Parses what [`offsets_text`] writes.
pub(crate) fn read_offsets(text: &str) -> Option<PartitionOffsets> {
    let one = |pair: &str| {
        let (partition, offset) = pair.split_once(':')?;
        let (partition, offset) = (partition.trim().parse().ok()?, offset.trim().parse().ok()?);
        (partition >= 0 && offset >= 0).then_some((partition, offset))
    };
    text.split(',').map(one).collect()
}

/// Returns bytes as text if they are UTF-8, else in base64.
pub(super) fn part(bytes: &[u8]) -> ShownBytes {
    match std::str::from_utf8(bytes) {
        Ok(text) => ShownBytes {
            text: Some(text.to_owned()),
            ..ShownBytes::default()
        },
        Err(_) => ShownBytes {
            base64: Some(STANDARD.encode(bytes)),
            ..ShownBytes::default()
        },
    }
}

/// The converters of a connector.
struct Decoders {
    key: Box<dyn Converter>,
    value: Box<dyn Converter>,
    forms: JsonForms,
}

impl Decoders {
    fn open(shared: &WorkerShared, config: &Config) -> Result<Self> {
        let converter = |prefix: &str, role| {
            let otherwise = keys::default_converter(prefix).unwrap_or_default();
            let worker = &shared.options.config;
            let (class, config) = converter_config(worker, config, prefix, otherwise);
            let opened = shared.registry.converter(&class, role, &config);
            opened.map_err(|error| error.context(prefix))
        };
        Ok(Self {
            key: converter("key.converter", ConverterRole::Key)?,
            value: converter("value.converter", ConverterRole::Value)?,
            forms: JsonForms::new(&shared.registry)?,
        })
    }

    fn key(&mut self, topic: &str, bytes: Option<&[u8]>) -> Option<ShownBytes> {
        Some(shown(&mut *self.key, &mut self.forms, topic, bytes?))
    }

    fn record(&mut self, topic: &str, record: StoredRecord) -> TopicRecord {
        let key = self.key(topic, record.key.as_deref());
        let value = record.value.as_deref();
        let value = value.map(|bytes| shown(&mut *self.value, &mut self.forms, topic, bytes));
        TopicRecord {
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp_ms,
            key,
            value,
            headers: headers(&record.headers),
        }
    }
}

/// Returns headers as text or base64.
pub(super) fn headers(stored: &page::StoredHeaders) -> Vec<RecordHeader> {
    let header = |(name, value): &(std::sync::Arc<str>, Option<Vec<u8>>)| RecordHeader {
        name: name.to_string(),
        value: value.as_deref().map(part),
    };
    stored.iter().map(header).collect()
}

/// Decodes bytes; those that the converter cannot read are shown as they are.
fn shown(
    converter: &mut dyn Converter,
    forms: &mut JsonForms,
    topic: &str,
    bytes: &[u8],
) -> ShownBytes {
    let decoded = converter
        .decode(topic, Some(bytes))
        .and_then(|datum| forms.write_plain(&datum));
    let json = match decoded {
        Ok(Some(json)) => serde_json::from_str(json.get()).ok(),
        Ok(None) => Some(Value::Null),
        Err(_) => None,
    };
    match json {
        Some(data) => ShownBytes {
            data: Some(data),
            ..ShownBytes::default()
        },
        None => part(bytes),
    }
}

/// Compares keys with the text that a user gives.
struct KeyFilter<'a> {
    text: &'a str,
    json: Option<Value>,
}

impl<'a> KeyFilter<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            json: serde_json::from_str(text).ok(),
        }
    }

    /// True if the key is the text, or the same JSON; or has the given members; or is an object
    /// whose only member has this value.
    fn accepts(&self, key: &ShownBytes) -> bool {
        if key.text.as_deref() == Some(self.text) || key.base64.as_deref() == Some(self.text) {
            return true;
        }
        match (&key.data, &self.json) {
            (Some(Value::Object(of_key)), Some(Value::Object(given))) => given
                .iter()
                .all(|(name, value)| of_key.get(name).is_some_and(|of| same(of, value))),
            (Some(Value::Object(of_key)), _) => {
                of_key.len() == 1 && of_key.values().all(|of| self.is(of))
            }
            (Some(data), _) => self.is(data),
            (None, _) => false,
        }
    }

    fn is(&self, data: &Value) -> bool {
        data.as_str() == Some(self.text) || self.json.as_ref().is_some_and(|json| same(data, json))
    }
}

/// Compares JSON; a number is also the text of it.
fn same(a: &Value, b: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    a == b || (!a.is_null() && !b.is_null() && text(a) == text(b))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_found_by_text_json_or_members() {
        let data = |data: Value| ShownBytes {
            data: Some(data),
            ..ShownBytes::default()
        };
        let accepts = |given: &str, key: &ShownBytes| KeyFilter::new(given).accepts(key);
        for (given, key, want) in [
            ("5", data(json!(5)), true),
            ("5", data(json!("5")), true),
            ("5", data(json!({"id": 5})), true),
            ("5", data(json!({"id": 5, "b": 5})), false),
            (r#"{"id":5}"#, data(json!({"id": 5, "b": 6})), true),
            (r#"{"id":6}"#, data(json!({"id": 5})), false),
            ("a b", data(json!("a b")), true),
            ("a b", part(b"a b"), true),
            ("null", data(json!(0)), false),
        ] {
            assert_eq!(accepts(given, &key), want, "{given} {key:?}");
        }
    }

    #[test]
    fn offsets_are_read_as_they_are_written() {
        let offsets = PartitionOffsets::from([(0, 15), (1, 7)]);
        assert_eq!(offsets_text(&offsets), "0:15,1:7");
        assert_eq!(read_offsets("0:15, 1:7"), Some(offsets));
        for wrong in ["", "0", "0:x", "-1:0", "0:-1", "0:1,"] {
            assert_eq!(read_offsets(wrong), None, "{wrong}");
        }
    }
}
