//! Whether what was seen is what was recorded. Error texts are compared by the phrases that clients look for; states,
//! status codes, tables, rows, offsets and dead letters exactly.

use serde_json::{Map, Value};

/// Headers of dead letters that hold texts.
const LOOSE: [&str; 2] = [
    "__connect.errors.exception.message",
    "__connect.errors.exception.stacktrace",
];

/// Lines of difference; none: it is the same. `must_say` are the phrases that some error text has to hold.
pub(super) fn differences(expect: &Value, seen: &Value, must_say: &Value) -> Vec<String> {
    let (mut expect, mut seen, mut said) = (expect.clone(), seen.clone(), Vec::new());
    loosen(&mut expect, &mut Vec::new());
    loosen(&mut seen, &mut said);
    let (mut want, mut got) = (Vec::new(), Vec::new());
    flatten(&expect, String::new(), &mut want);
    flatten(&seen, String::new(), &mut got);
    let find = |list: &[(String, Value)], path: &str| {
        list.iter().find(|(p, _)| p == path).map(|(_, v)| v.clone())
    };
    let mut lines = Vec::new();
    for (path, value) in &want {
        match find(&got, path) {
            Some(other) if other == *value => {}
            Some(other) => lines.push(format!(
                "{path}: recorded {}, seen {}",
                short(value),
                short(&other)
            )),
            None => lines.push(format!("{path}: recorded {}, not seen", short(value))),
        }
    }
    for (path, value) in &got {
        if find(&want, path).is_none() {
            lines.push(format!("{path}: seen {}, not recorded", short(value)));
        }
    }
    let said = said.join("\n");
    for phrase in must_say
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !said.contains(phrase) {
            lines.push(format!(
                "no text says: {phrase}\n      but: {}",
                short(&Value::String(said.clone()))
            ));
        }
    }
    lines
}

/// Takes out the texts that are not compared word by word.
fn loosen(seen: &mut Value, said: &mut Vec<String>) {
    let snapshots = seen.get_mut("snapshots").and_then(Value::as_object_mut);
    for snapshot in snapshots.into_iter().flat_map(Map::values_mut) {
        loosen_states(snapshot, said);
    }
    loosen_states(seen, said);
    for reply in seen
        .get_mut("replies")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if !matches!(
            reply["request"].as_str(),
            Some("alter_offsets" | "reset_offsets")
        ) {
            strip(reply, "message", said);
        }
    }
    for letter in seen
        .get_mut("dlq")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        for header in letter["headers"].as_array_mut().into_iter().flatten() {
            if header[0].as_str().is_some_and(|name| LOOSE.contains(&name)) {
                said.push(header[1].as_str().unwrap_or_default().to_owned());
                header[1] = Value::from("<text>");
            }
        }
    }
}

fn loosen_states(holder: &mut Value, said: &mut Vec<String>) {
    if let Some(connector) = holder.get_mut("connector") {
        strip(connector, "trace", said);
    }
    for task in holder
        .get_mut("tasks")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        strip(task, "trace", said);
    }
}

fn strip(entry: &mut Value, key: &str, said: &mut Vec<String>) {
    let taken = entry
        .as_object_mut()
        .and_then(|entry| entry.shift_remove(key));
    said.extend(
        taken
            .iter()
            .flat_map(|lines| lines.as_array().into_iter().flatten())
            .map(|line| match line {
                Value::String(line) => line.clone(),
                other => other.to_string(),
            }),
    );
}

/// Each leaf with its path. A row, a header, a column and a primary key are one leaf each; the order of columns is a
/// leaf of its own.
fn flatten(value: &Value, path: String, out: &mut Vec<(String, Value)>) {
    let last = path.rsplit('.').next().unwrap_or_default();
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, member) in members {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(member, path, out);
            }
        }
        Value::Array(columns) if last == "columns" => {
            for column in columns {
                let mut rest = column.as_object().cloned().unwrap_or_default();
                let name = rest.shift_remove("name").unwrap_or_default();
                out.push((format!("{path}[{name}]"), Value::Object(rest)));
            }
            let order = columns
                .iter()
                .map(|column| column["name"].clone())
                .collect();
            out.push((format!("{path}.order"), Value::Array(order)));
        }
        Value::Array(items)
            if !items.is_empty()
                && last != "primary_key"
                && !last.starts_with("rows[")
                && !last.starts_with("headers[") =>
        {
            for (n, item) in items.iter().enumerate() {
                flatten(item, format!("{path}[{n}]"), out);
            }
            out.push((format!("{path}.#"), Value::from(items.len())));
        }
        leaf => out.push((path, leaf.clone())),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 400 {
        text
    } else {
        text.chars().take(400).chain("…".chars()).collect()
    }
}
