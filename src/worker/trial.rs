//! Dry runs: a transform chain over given records, showing each step, and a converter over given
//! bytes. Nothing is stored.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector_api::{
    Config, Converter, Datum, EncodedPresence, Error, Header, Record, Result, TopicOffset,
};
use serde_json::value::RawValue;

use super::TransformChain;
use crate::keys::ALIASES_MAX;
use crate::model::{
    TrialHeader, TrialRecord, TriedConverter, TriedRecord, TriedStep, TryConverter, TryTransforms,
};
use crate::registry::{ConverterRole, Registry};

/// Maximum number of records per request.
const RECORDS_MAX: usize = 1_000;
/// Maximum number of bytes of keys, values and headers in an answer, over all steps of all records.
const SHOWN_MAX_BYTES: usize = 16 * 1024 * 1024;

const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

/// Converters for the JSON of key, value and headers: with an envelope, and plain.
pub(super) struct JsonForms {
    envelope: Box<dyn Converter>,
    plain: Box<dyn Converter>,
}

impl JsonForms {
    pub(super) fn new(registry: &Registry) -> Result<Self> {
        let form = |schemas| {
            let config = Config::from([
                ("schemas.enable", schemas),
                ("replace.null.with.default", "false"),
            ]);
            registry.converter(JSON, ConverterRole::Value, &config)
        };
        Ok(Self {
            envelope: form("true")?,
            plain: form("false")?,
        })
    }

    /// Reads an envelope of schema and payload, or plain JSON. Errors: `Record`.
    pub(super) fn read(&mut self, json: Option<&RawValue>) -> Result<Datum> {
        let Some(json) = json else {
            return Ok(Datum::NONE);
        };
        let text = json.get();
        let members = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
        let envelope = members
            .is_ok_and(|m| m.len() == 2 && m.contains_key("schema") && m.contains_key("payload"));
        let form = if envelope {
            &mut self.envelope
        } else {
            &mut self.plain
        };
        form.decode("", Some(text.as_bytes()))
    }

    /// Writes an envelope, or plain JSON without a schema. Errors: `Record`.
    pub(super) fn write(&mut self, datum: &Datum) -> Result<Option<Box<RawValue>>> {
        let is_envelope = datum.schema.is_some();
        self.write_form(datum, is_envelope)
    }

    /// Writes plain JSON. Errors: `Record`.
    pub(super) fn write_plain(&mut self, datum: &Datum) -> Result<Option<Box<RawValue>>> {
        self.write_form(datum, false)
    }

    fn write_form(&mut self, datum: &Datum, is_envelope: bool) -> Result<Option<Box<RawValue>>> {
        let form = if is_envelope {
            &mut self.envelope
        } else {
            &mut self.plain
        };
        let mut out = Vec::new();
        if form.encode("", datum, &mut out)? == EncodedPresence::Absent {
            return Ok(None);
        }
        let text = String::from_utf8(out).map_err(|_| Error::fatal("JSON that is no text"))?;
        RawValue::from_string(text)
            .map(Some)
            .map_err(|_| Error::fatal("JSON that is none"))
    }

    fn read_record(&mut self, given: &TrialRecord) -> Result<(Record, Option<TopicOffset>)> {
        let topic: Arc<str> = given.topic.as_str().into();
        let headers = given.headers.iter().map(|header| {
            let datum = self
                .read(header.value.as_deref())
                .map_err(|e| e.context(format_args!("header {}", header.name)))?;
            Ok(Header {
                key: header.name.as_str().into(),
                datum,
            })
        });
        let headers = headers.collect::<Result<_>>()?;
        let key = self
            .read(given.key.as_deref())
            .map_err(|e| e.context("key"))?;
        let value = self
            .read(given.value.as_deref())
            .map_err(|e| e.context("value"))?;
        let partition = given.partition.unwrap_or_default();
        let at = given.offset.map(|offset| TopicOffset {
            topic: Arc::clone(&topic),
            partition,
            offset,
        });
        let timestamp_ms = given.timestamp;
        Ok((
            Record {
                topic,
                partition: given.partition,
                key,
                value,
                timestamp_ms,
                headers,
            },
            at,
        ))
    }

    pub(super) fn write_record(
        &mut self,
        record: &Record,
        offset: Option<i64>,
    ) -> Result<TrialRecord> {
        let header = |header: &Header| {
            Ok(TrialHeader {
                name: header.key.to_string(),
                value: self.write(&header.datum)?,
            })
        };
        let headers = record.headers.iter().map(header).collect::<Result<_>>()?;
        Ok(TrialRecord {
            topic: record.topic.to_string(),
            partition: record.partition,
            offset,
            timestamp: record.timestamp_ms,
            key: self.write(&record.key)?,
            value: self.write(&record.value)?,
            headers,
        })
    }
}

/// Sends records through the chain of a config. Errors: `Config` for an invalid config, `Record`
/// for input that is not a record. Errors within the chain are part of the answer.
pub fn transforms(registry: &Registry, given: &TryTransforms) -> Result<Vec<TriedRecord>> {
    let config = given.config.given();
    small_enough(given.records.len(), RECORDS_MAX, "records")?;
    for key in ["transforms", "predicates"] {
        small_enough(
            config.get(key).unwrap_or_default().split(',').count(),
            ALIASES_MAX,
            key,
        )?;
    }
    let mut forms = JsonForms::new(registry)?;
    let mut chain = open(registry, &config)?;
    let mut shown = 0;
    let tried = |(at, record): (usize, &TrialRecord)| {
        let read = forms
            .read_record(record)
            .map_err(|e| e.context(format_args!("record {at}")));
        let (input, place) = read?;
        let mut last = Some(input.clone());
        let mut steps = Vec::new();
        for step in chain.steps(input, place.as_ref()) {
            let (class, transform, applied) =
                (step.class.to_string(), step.alias.to_string(), step.applied);
            let (written, error) = match &step.result {
                Ok(Some(record)) => match forms.write_record(record, record_offset(place.as_ref()))
                {
                    Ok(written) => {
                        shown += bytes(&written);
                        small_enough(shown, SHOWN_MAX_BYTES, "bytes of records to show")?;
                        (Some(written), None)
                    }
                    Err(error) => (None, Some(format!("the record cannot be shown: {error}"))),
                },
                Ok(None) => (None, None),
                Err(error) => (None, Some(error.to_string())),
            };
            last = step.result.ok().flatten();
            steps.push(TriedStep {
                transform,
                class,
                applied,
                record: written,
                error,
            });
        }
        let record = last
            .map(|record| forms.write_record(&record, record_offset(place.as_ref())))
            .transpose();
        Ok(TriedRecord {
            steps,
            record: record.unwrap_or_default(),
        })
    };
    given.records.iter().enumerate().map(tried).collect()
}

fn small_enough(found: usize, most: usize, what: &str) -> Result<()> {
    if found <= most {
        return Ok(());
    }
    Err(Error::config(format!(
        "{found} {what} are too many for one trial, at most {most} are allowed: try fewer or \
         smaller records"
    )))
}

/// Returns the size of a record in the answer, in bytes.
pub(super) fn bytes(record: &TrialRecord) -> usize {
    let json = |json: &Option<Box<RawValue>>| json.as_ref().map_or(0, |json| json.get().len());
    let headers = record
        .headers
        .iter()
        .map(|header| header.name.len() + json(&header.value));
    record.topic.len() + json(&record.key) + json(&record.value) + headers.sum::<usize>()
}

/// Opens the chain of a config. Errors name the transform concerned.
fn open(registry: &Registry, config: &Config) -> Result<TransformChain> {
    let wrong = match TransformChain::open(registry, config) {
        Ok(chain) => return Ok(chain),
        Err(wrong) => wrong,
    };
    for alias in config
        .get("transforms")
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
    {
        let mut alone = config.clone();
        alone.set("transforms", alias);
        if let Err(error) = TransformChain::open(registry, &alone) {
            return Err(error.context(format_args!("transform {alias}")));
        }
    }
    Err(wrong)
}

fn record_offset(at: Option<&TopicOffset>) -> Option<i64> {
    at.map(|at| at.offset)
}

/// Decodes bytes with a converter and encodes the result again. Errors: `Config` for an invalid
/// config, `Record` for bytes that the converter rejects.
pub fn converter(registry: &Registry, given: &TryConverter) -> Result<TriedConverter> {
    let role = match given.role.as_deref() {
        Some("key") => ConverterRole::Key,
        Some("header") => ConverterRole::Header,
        None | Some("value") => ConverterRole::Value,
        Some(other) => {
            return Err(Error::config(format!(
                "role {other} is unknown; use key, value or header"
            )));
        }
    };
    let bytes = match (&given.text, &given.base64) {
        (Some(text), None) => Some(text.clone().into_bytes()),
        (None, Some(text)) => {
            let bytes = STANDARD.decode(text);
            Some(bytes.map_err(|error| Error::config(format!("base64 cannot be read: {error}")))?)
        }
        (None, None) => None,
        (Some(_), Some(_)) => return Err(Error::config("give either text or base64, not both")),
    };
    // A dry run must leave nothing behind, not even in a schema registry.
    let mut config = given.config.given();
    config.set("auto.register.schemas", "false");
    let mut converter = registry.converter(&given.class, role, &config)?;
    let topic = given.topic.as_deref().unwrap_or("topic");
    let datum = converter.decode(topic, bytes.as_deref())?;
    let data = match (&datum.schema, datum.value.is_null()) {
        (None, true) => None,
        _ => {
            let mut out = Vec::new();
            JsonForms::new(registry)?
                .envelope
                .encode("", &datum, &mut out)?;
            let text = String::from_utf8(out).map_err(|_| Error::fatal("JSON that is no text"))?;
            Some(RawValue::from_string(text).map_err(|_| Error::fatal("JSON that is none"))?)
        }
    };
    let mut out = Vec::new();
    let (again, error) = match converter.encode(topic, &datum, &mut out) {
        Ok(EncodedPresence::Present) => (Some(out), None),
        Ok(EncodedPresence::Absent) => (None, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let base64 = again.as_deref().map(|bytes| STANDARD.encode(bytes));
    Ok(TriedConverter {
        data,
        text: again.and_then(|bytes| String::from_utf8(bytes).ok()),
        base64,
        error,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tried(given: Value) -> Value {
        let given: TryTransforms = serde_json::from_str(&given.to_string()).unwrap();
        serde_json::to_value(transforms(&Registry::built_in(), &given).unwrap()).unwrap()
    }

    #[test]
    fn each_step_of_a_chain_is_shown() {
        let out = tried(json!({
            "config": {
                "transforms": "mask,route,only",
                "transforms.mask.type": "MaskField$Value", "transforms.mask.fields": "secret",
                "transforms.route.type": "RegexRouter", "transforms.route.regex": "a(.*)", "transforms.route.replacement": "b$1",
                "transforms.only.type": "Filter", "transforms.only.predicate": "p",
                "predicates": "p", "predicates.p.type": "TopicNameMatches", "predicates.p.pattern": "bx",
            },
            "records": [
                {"topic": "ax", "value": {"secret": "s", "n": 1}},
                {"topic": "ay", "value": {"schema": {"type": "struct", "fields": [{"type": "string", "optional": false, "field": "secret"}], "optional": false},
                    "payload": {"secret": "s"}}, "headers": [{"name": "h", "value": 5}]},
                {"topic": "ay", "value": 5},
            ],
        }));
        assert_eq!(
            out[0]["steps"][0]["record"]["value"],
            json!({"secret": "", "n": 1})
        );
        assert_eq!(out[0]["steps"][1]["record"]["topic"], "bx");
        assert_eq!(
            (&out[0]["steps"][2]["applied"], &out[0]["record"]),
            (&json!(true), &Value::Null)
        );
        assert_eq!(out[1]["record"]["value"]["payload"], json!({"secret": ""}));
        assert_eq!(
            (
                &out[1]["steps"][2]["applied"],
                &out[1]["record"]["headers"][0]["value"]
            ),
            (&json!(false), &json!(5))
        );
        assert!(
            out[2]["steps"][0]["error"]
                .as_str()
                .unwrap()
                .starts_with("Only Map objects supported")
        );
        assert_eq!(out[2]["steps"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let refused = |given: Value| match serde_json::from_str::<TryTransforms>(&given.to_string())
        {
            Ok(given) => transforms(&Registry::built_in(), &given)
                .unwrap_err()
                .to_string(),
            Err(error) => error.to_string(),
        };
        let broken = json!({"transforms": "a,b", "transforms.a.type": "Filter", "transforms.b.type": "Expression", "transforms.b.filter": "1 +"});
        let error = refused(json!({"config": broken, "records": []}));
        assert!(
            error.starts_with("transform b: Invalid value 1 + for configuration filter"),
            "{error}"
        );
        let error = refused(json!({"config": {}, "records": [{"topic": "t", "vlaue": 1}]}));
        assert!(
            error.contains("unknown field `vlaue`, expected one of"),
            "{error}"
        );
        let bad = json!({"schema": {"type": "int8"}, "payload": 300});
        let error = refused(
            json!({"config": {}, "records": [{"topic": "t"}, {"topic": "t", "value": bad}]}),
        );
        let place = "record 1: value: Invalid value for INT8: the number does not fit this type";
        assert_eq!(error.lines().next(), Some(place));
    }

    #[test]
    fn bytes_are_read_and_written_again() {
        let given = json!({"class": "SimpleHeaderConverter", "role": "header", "text": "[1, 2]"});
        let given: TryConverter = serde_json::from_str(&given.to_string()).unwrap();
        let out = serde_json::to_value(converter(&Registry::built_in(), &given).unwrap()).unwrap();
        assert_eq!(out["data"]["payload"], json!([1, 2]));
        assert_eq!(
            (&out["text"], &out["base64"]),
            (&json!("[1,2]"), &json!("WzEsMl0="))
        );
        let given = json!({"class": "LongConverter", "base64": "AAAAAAAAAAU="});
        let given: TryConverter = serde_json::from_str(&given.to_string()).unwrap();
        assert_eq!(
            serde_json::to_value(converter(&Registry::built_in(), &given).unwrap()).unwrap()["data"]
                ["payload"],
            5
        );
    }
}
