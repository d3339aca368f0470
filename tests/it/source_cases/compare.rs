//! Whether what was seen is what was recorded: records and offsets byte for byte, states, codes and counts; of texts,
//! what must be said.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Lines of difference; none: it is the same.
pub(super) fn differences(recording: &Value, seen: &Value, must_say: &[String]) -> Vec<String> {
    let expected = &recording["expected"];
    let mut lines = Vec::new();
    for (number, want) in expected["phases"]
        .as_array()
        .expect("phases")
        .iter()
        .enumerate()
    {
        let (got, at) = (&seen["phases"][number], format!("phase {}", number + 1));
        for part in ["answers", "status"] {
            json(
                &format!("{at} {part}"),
                &without_texts(&want[part]),
                &without_texts(&got[part]),
                &mut lines,
            );
        }
        records(&at, &want["records"], &got["records"], &mut lines);
    }
    records(
        "after the last phase",
        &Map::new().into(),
        &seen["late_records"],
        &mut lines,
    );
    json(
        "partitions of topics",
        &expected["topics"],
        &seen["topics"],
        &mut lines,
    );
    offsets(
        &expected["offsets_topic"],
        &seen["offsets_topic"],
        &mut lines,
    );
    json(
        "GET offsets",
        &expected["offsets"],
        &seen["offsets"],
        &mut lines,
    );
    let mut said = Vec::new();
    texts(&seen["phases"], false, &mut said);
    for text in must_say
        .iter()
        .filter(|text| !said.iter().any(|said| said.contains(text.as_str())))
    {
        lines.push(format!("nothing says {text:?}, but: {said:?}"));
    }
    lines
}

/// Without messages, traces and texts of validation.
fn without_texts(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members
                .iter()
                .filter(|(name, _)| !["message", "trace"].contains(&name.as_str()));
            let bare = |(name, value): (&String, &Value)| {
                let names = |errors: &Map<String, Value>| {
                    errors
                        .keys()
                        .map(|key| (key.clone(), Value::Null))
                        .collect()
                };
                let value = match value {
                    Value::Object(errors) if name == "errors" => names(errors),
                    value => without_texts(value),
                };
                (name.clone(), value)
            };
            kept.map(bare).collect()
        }
        Value::Array(items) => items.iter().map(without_texts).collect(),
        other => other.clone(),
    }
}

/// All messages, traces and texts of validation.
fn texts(value: &Value, inside: bool, out: &mut Vec<String>) {
    match value {
        Value::String(text) if inside => out.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, inside, out)),
        Value::Object(members) => {
            for (name, value) in members.iter().filter(|(name, _)| *name != "records") {
                texts(
                    value,
                    inside || ["message", "trace", "errors"].contains(&name.as_str()),
                    out,
                );
            }
        }
        _ => {}
    }
}

fn records(at: &str, want: &Value, got: &Value, lines: &mut Vec<String>) {
    let empty = Map::new();
    let (want, got) = (
        want.as_object().unwrap_or(&empty),
        got.as_object().unwrap_or(&empty),
    );
    for topic in want.keys().chain(got.keys()).collect::<BTreeSet<_>>() {
        let list = |from: &Map<String, Value>| {
            from.get(topic)
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default()
        };
        let (a, b) = (list(want), list(got));
        if a.len() != b.len() {
            lines.push(format!(
                "{at}, topic {topic}: expected {} records, got {}",
                a.len(),
                b.len()
            ));
        }
        for (index, (a, b)) in a.iter().zip(&b).enumerate() {
            for field in ["key", "value", "headers", "partition"] {
                text(
                    &format!("{at}, topic {topic}[{index}] {field}"),
                    &a[field],
                    &b[field],
                    lines,
                );
            }
        }
        let more = if a.len() > b.len() {
            &a[b.len()..]
        } else {
            &b[a.len()..]
        };
        lines.extend(
            more.iter()
                .take(3)
                .map(|record| format!("{at}, topic {topic}: one side only: {record}")),
        );
    }
}

fn offsets(want: &Value, got: &Value, lines: &mut Vec<String>) {
    let by_key = |entries: &Value| {
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|e| (e["key"].to_string(), e["value"].clone()))
            .collect::<BTreeMap<_, _>>()
    };
    let (want, got) = (by_key(want), by_key(got));
    for key in want.keys().chain(got.keys()).collect::<BTreeSet<_>>() {
        match (want.get(key), got.get(key)) {
            (Some(a), Some(b)) => text(&format!("offsets topic {key}"), a, b, lines),
            (Some(a), None) => lines.push(format!("offsets topic: {key} is missing, expected {a}")),
            (_, b) => lines.push(format!("offsets topic: {key} is not expected, holds {b:?}")),
        }
    }
}

/// Two texts byte for byte; those that contain JSON are compared member by member.
fn text(at: &str, want: &Value, got: &Value, lines: &mut Vec<String>) {
    if want == got {
        return;
    }
    let parsed = |value: &Value| serde_json::from_str::<Value>(value.as_str()?).ok();
    let before = lines.len();
    if let (Some(a), Some(b)) = (parsed(want), parsed(got)) {
        json(at, &a, &b, lines);
    }
    if lines.len() == before {
        lines.push(format!(
            "{at}: expected {}, got {}",
            short(want),
            short(got)
        ));
    }
}

fn json(at: &str, want: &Value, got: &Value, lines: &mut Vec<String>) {
    match (want, got) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let member = |from: &Map<String, Value>| from.get(key).cloned();
                match (member(a), member(b)) {
                    (Some(a), Some(b)) => json(&format!("{at}.{key}"), &a, &b, lines),
                    (a, b) => lines.push(format!(
                        "{at}.{key}: expected {}, got {}",
                        maybe(a),
                        maybe(b)
                    )),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                json(&format!("{at}[{index}]"), a, b, lines);
            }
            if a.len() != b.len() {
                lines.push(format!(
                    "{at}: expected {} items, got {}: {}",
                    a.len(),
                    b.len(),
                    short(got)
                ));
            }
        }
        (a, b) if a == b => {}
        (a, b) => lines.push(format!("{at}: expected {}, got {}", short(a), short(b))),
    }
}

fn maybe(value: Option<Value>) -> String {
    value.map_or("nothing".to_owned(), |value| short(&value))
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 300 {
        text
    } else {
        text.chars().take(300).chain("…".chars()).collect()
    }
}
