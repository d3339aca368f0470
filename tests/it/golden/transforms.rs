//! Transforms and predicates, one by one and in chains.

use std::sync::Arc;

use connector_api::{Config, Converter, Datum, EncodedPresence, Header, Record, TopicOffset};
use rowferry::registry::{ConverterRole, Registry};
use rowferry::worker::TransformChain;
use serde_json::Value as Json;

use super::data::{Unheld, datum, same, same_error, sorted, value};
use super::{Outcome, judge_all};

#[test]
fn transforms_agree_with_kafka_connect() {
    judge_all("transforms", &["differences.json"], 98, judge);
}

const FILTER: &str = "org.apache.kafka.connect.transforms.Filter";

/// The case as a connector's config: chains as they are, a transform or predicate alone as a chain of one.
fn config(case: &Json) -> Config {
    let mut config = Config::new();
    let Some(class) = case["class"].as_str() else {
        for (name, text) in case["config"].as_object().unwrap() {
            config.set(name, text.as_str().unwrap());
        }
        return config;
    };
    let is_predicate = class.contains(".predicates.");
    let prefix = if is_predicate {
        "predicates.p."
    } else {
        "transforms.t."
    };
    config.set("transforms", "t");
    config.set(format!("{prefix}type"), class);
    for (name, text) in case["config"].as_object().unwrap() {
        config.set(format!("{prefix}{name}"), text.as_str().unwrap());
    }
    if is_predicate {
        config.set("predicates", "p");
        config.set("transforms.t.type", FILTER);
        config.set("transforms.t.predicate", "p");
        config.set(
            "transforms.t.negate",
            case["negate"].as_bool().unwrap_or(false).to_string(),
        );
    }
    config
}

fn judge(case: &Json) -> Outcome {
    let expected = &case["out"];
    let unprefixed = |text: &str| {
        text.replace("transforms.t.", "")
            .replace("predicates.p.", "")
    };
    let mut chain = match (
        TransformChain::open(&Registry::built_in(), &config(case)),
        expected["at"] == "configure",
    ) {
        (Err(error), true) => {
            let alone = case.get("class").is_some();
            let ours = if alone {
                unprefixed(error.message())
            } else {
                error.message().to_owned()
            };
            return texts(expected, &ours);
        }
        (Err(error), false) => return Err(format!("does not configure: {error}")),
        (Ok(_), true) => return Err("configures".to_owned()),
        (Ok(chain), false) => chain,
    };
    if case.get("configures").is_some() {
        return Ok(());
    }
    // Twice, the second time with whatever the transform keeps of the first.
    for _ in 0..2 {
        let (input, at) = record(&case["in"]).map_err(|Unheld(what)| format!("holds {what}"))?;
        match (chain.apply(input, at.as_ref()), expected.get("error")) {
            (Err((_, error)), Some(_)) => texts(expected, error.message())?,
            (Err((_, error)), None) => return Err(format!("does not apply: {error}")),
            (Ok(out), Some(_)) => return Err(format!("gives {out:?}")),
            (Ok(None), None) if expected.is_null() => {}
            (Ok(None), None) => return Err("drops the record".to_owned()),
            (Ok(Some(out)), None) if expected.is_null() => return Err(format!("gives {out:?}")),
            (Ok(Some(out)), None) => compare(&out, expected)?,
        }
    }
    Ok(())
}

/// Compares error texts, but for those that speak of Java alone, and for what we leave out of errors: values.
fn texts(expected: &Json, ours: &str) -> Outcome {
    let Some(text) = expected["error"].as_str() else {
        return Ok(());
    };
    for free in [
        "java.lang.IllegalArgumentException",
        "Cannot invoke",
        "cannot be cast to class",
        "fromIndex",
        "org.apache.kafka.common.config.ConfigException",
        "@<hash>",
    ] {
        if text.contains(free) {
            return Ok(());
        }
    }
    for (start, kept) in [
        ("Value (", "Value was out of range for requested data type"),
        (
            "Could not parse timestamp: value (",
            "Could not parse timestamp: value does not match pattern",
        ),
        (
            "Timestamp missing on record: ",
            "Timestamp missing on record: ",
        ),
    ] {
        if text.starts_with(start) {
            return if ours.starts_with(kept) {
                Ok(())
            } else {
                Err(format!("error {ours:?}"))
            };
        }
    }
    if let Some((start, _)) = text.split_once("Invalid regex: ") {
        let start = format!("{start}Invalid regex: ");
        return if ours.starts_with(&start) {
            Ok(())
        } else {
            Err(format!("error {ours:?} instead of {text:?}"))
        };
    }
    same_error(expected, ours)
}

fn json_converter(schemas: &str) -> Box<dyn Converter> {
    let config = Config::from([
        ("schemas.enable", schemas),
        ("replace.null.with.default", "false"),
        ("strict", "false"),
    ]);
    Registry::built_in()
        .converter("JsonConverter", ConverterRole::Value, &config)
        .unwrap()
}

/// Key, value or header of a recorded record.
fn part(json: &Json) -> Result<Datum, Unheld> {
    let read = |text: &str, schemas| {
        json_converter(schemas)
            .decode("t", Some(text.as_bytes()))
            .unwrap()
    };
    if json.is_null() {
        return Ok(Datum::NONE);
    }
    if let Some(text) = json.as_str() {
        return Ok(read(text, "true"));
    }
    match (json.get("typed"), json.get("text"), json.get("schemaless")) {
        (Some(typed), _, None) if typed.get("schema").is_some() => datum(typed),
        (Some(typed), ..) => Ok(Datum {
            schema: None,
            value: value(typed, None)?,
        }),
        (None, Some(text), _) => Ok(read(text.as_str().unwrap(), "true")),
        (None, None, Some(plain)) => Ok(read(&plain.to_string(), "false")),
        (None, None, None) => panic!("unknown form {json}"),
    }
}

fn record(json: &Json) -> Result<(Record, Option<TopicOffset>), Unheld> {
    let topic: Arc<str> = Arc::from(json["topic"].as_str().unwrap());
    let partition = json["partition"]
        .as_i64()
        .map(|n| i32::try_from(n).unwrap());
    let header = |json: &Json| {
        Ok(Header {
            key: Arc::from(json["name"].as_str().unwrap()),
            datum: part(&json["envelope"])?,
        })
    };
    let headers = json["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(header)
        .collect::<Result<_, Unheld>>()?;
    let at = json["offset"].as_i64().map(|offset| TopicOffset {
        topic: Arc::clone(&topic),
        partition: partition.unwrap_or_default(),
        offset,
    });
    let (key, value) = (part(&json["key"])?, part(&json["value"])?);
    Ok((
        Record {
            topic,
            partition,
            key,
            value,
            timestamp_ms: json["timestamp"].as_i64(),
            headers,
        },
        at,
    ))
}

fn compare(ours: &Record, expected: &Json) -> Outcome {
    let (want, _) = record(expected).map_err(|Unheld(what)| format!("holds {what}"))?;
    let unordered = expected["unordered"] == true;
    if (&ours.topic, ours.partition, ours.timestamp_ms)
        != (&want.topic, want.partition, want.timestamp_ms)
    {
        return Err(format!(
            "topic {}, partition {:?}, timestamp {:?}",
            ours.topic, ours.partition, ours.timestamp_ms
        ));
    }
    same_part("key", &ours.key, &want.key, &expected["key"], unordered)?;
    same_part(
        "value",
        &ours.value,
        &want.value,
        &expected["value"],
        unordered,
    )?;
    if ours.headers.len() != want.headers.len() {
        return Err(format!(
            "headers {:?} instead of {:?}",
            ours.headers, want.headers
        ));
    }
    for ((ours, want), json) in ours
        .headers
        .iter()
        .zip(&want.headers)
        .zip(expected["headers"].as_array().unwrap())
    {
        if ours.key != want.key {
            return Err(format!("header {} instead of {}", ours.key, want.key));
        }
        same_part(
            "header",
            &ours.datum,
            &want.datum,
            &json["envelope"],
            unordered,
        )?;
    }
    Ok(())
}

/// Texts byte for byte, all else by schema and value.
fn same_part(name: &str, ours: &Datum, want: &Datum, json: &Json, unordered: bool) -> Outcome {
    let text = json
        .get("textShortest")
        .or_else(|| json.get("text"))
        .unwrap_or(json);
    if let (Some(text), None) = (text.as_str(), json.get("typed")) {
        let mut out = Vec::new();
        let written = json_converter("true").encode("t", ours, &mut out);
        let ours = match written {
            Ok(EncodedPresence::Present) => String::from_utf8(out).unwrap(),
            other => return Err(format!("{name} gives {other:?}")),
        };
        let tree = |text: &str| {
            serde_json::from_str::<Json>(text)
                .map(|json| sorted(&json))
                .ok()
        };
        if ours == text || unordered && tree(&ours) == tree(text) {
            return Ok(());
        }
        return Err(format!("{name} {ours} instead of {text}"));
    }
    if same(ours, want) {
        Ok(())
    } else {
        Err(format!("{name} {ours:?} instead of {want:?}"))
    }
}
