//! Renewing a recording: the answers that Kafka Connect gives now take the place of those that no longer agree.
//!
//! A file keeps every byte but the `expect` of the steps that differ, so a version control system shows what changed.
//! A new step has `"expect": null`.

use std::path::Path;

use regex::Regex;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::compare::{config_name, put_at};
use super::http::Answer;

/// Headers that are recorded wherever they are there.
const HEADERS: [&str; 3] = ["content-type", "location", "allow"];

/// Plug-ins that are kept of a long list: those that Rowferry has as well.
const PLUGINS: [&str; 5] = [
    "io.confluent.connect.jdbc.",
    "org.apache.kafka.connect.file.",
    "org.apache.kafka.connect.json.",
    "org.apache.kafka.connect.transforms.",
    "org.apache.kafka.connect.storage.",
];

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    steps: Vec<Step<'a>>,
}

#[derive(Deserialize)]
struct Step<'a> {
    #[serde(borrow, default, deserialize_with = "raw")]
    expect: Option<&'a RawValue>,
}

/// A null counts as what is there.
fn raw<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Puts `renewed` (number of a step, from 0, and its `expect`) into a file.
pub(super) fn write(file: &Path, renewed: &[(usize, Value)]) {
    let mut text = std::fs::read_to_string(file).expect("a recording");
    for (number, expect) in renewed.iter().rev() {
        let step = serde_json::from_str::<File<'_>>(&text)
            .expect("a recording")
            .steps
            .swap_remove(*number);
        let old = step
            .expect
            .expect("a step with \"expect\", if only null")
            .get();
        // It is a part of the text itself.
        let at = old.as_ptr().addr() - text.as_ptr().addr();
        let range = at..at + old.len();
        text.replace_range(range, &pretty(expect, 6));
    }
    std::fs::write(file, text).expect("write the recording");
}

/// JSON with one line for what is short.
fn pretty(value: &Value, indent: usize) -> String {
    let flat = value.to_string();
    if flat.len() + indent <= 150 {
        return flat;
    }
    let pad = " ".repeat(indent + 2);
    let (rows, open, close): (Vec<String>, _, _) = match value {
        Value::Object(members) => {
            let row = |(key, value): (&String, &Value)| {
                format!("{pad}{}: {}", json!(key), pretty(value, indent + 2))
            };
            (members.iter().map(row).collect(), '{', '}')
        }
        Value::Array(items) => (
            items
                .iter()
                .map(|item| format!("{pad}{}", pretty(item, indent + 2)))
                .collect(),
            '[',
            ']',
        ),
        _ => return flat,
    };
    format!(
        "{open}\n{}\n{}{close}",
        rows.join(",\n"),
        " ".repeat(indent)
    )
}

/// The `expect` of a step, from an answer: placeholders and matchers put in.
pub(super) fn expect(step: &Value, answer: &Answer, names: &[(String, String)]) -> Value {
    let rules = &step["compare"];
    let java = step["java_internal"] == true;
    let mut expect = json!({"status": answer.status});
    let headers = headers(rules, java, answer, names);
    if !headers.is_empty() {
        expect["headers"] = headers.into();
    }
    if rules["body"] == "ignore" || answer.text.is_empty() {
        return expect;
    }
    match serde_json::from_str::<Value>(&answer.text) {
        Ok(body) => expect["body"] = body_of(body, rules, java, answer.status, names),
        Err(_) if java => expect["page"] = title_of(&answer.text).into(),
        Err(_) => expect["text"] = unfill_text(&answer.text, names).into(),
    }
    expect
}

fn headers(
    rules: &Value,
    java: bool,
    answer: &Answer,
    names: &[(String, String)],
) -> Map<String, Value> {
    let listed = |key: &str| {
        rules[key]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
    };
    let mut headers = Map::new();
    for name in HEADERS.into_iter().chain(listed("headers")) {
        let Some(value) = answer.header(name) else {
            continue;
        };
        let page = name == "content-type"
            && (rules["body"] == "ignore" || (java && !value.contains("json")));
        if !page {
            headers.insert(name.to_owned(), unfill_text(value, names).into());
        }
    }
    for name in listed("headers_absent") {
        assert!(answer.header(name).is_none(), "header {name} is there");
        headers.insert(name.to_owned(), Value::Null);
    }
    headers
}

/// The title of a page of the web server, whose words are nobody's contract.
fn title_of(page: &str) -> String {
    let title = Regex::new("<title>(.*?)</title>").expect("a regular expression");
    title
        .captures(page)
        .map(|found| found[1].to_owned())
        .unwrap_or_default()
}

fn body_of(
    body: Value,
    rules: &Value,
    java: bool,
    status: u16,
    names: &[(String, String)],
) -> Value {
    let mut body = blur(unfill(body, names));
    if status < 400 {
        keep(&mut body, rules);
    }
    if let Some(message) = body
        .get("message")
        .and_then(Value::as_str)
        .map(str::to_owned)
    {
        let several = message.contains("contains the following ")
            && !message.contains("contains the following 1 ");
        if java {
            body["message"] = message.lines().next().unwrap_or_default().into();
        } else if several {
            // Several errors come in the order of a hash table.
            body["message"] = format!("<lines:{message}>").into();
        } else if let Some(either) = either_sentence(&message) {
            body["message"] = either.into();
        }
    }
    for (path, matcher) in rules["match"].as_object().into_iter().flatten() {
        put_at(
            &mut body,
            path,
            &|value| match (matcher.as_str(), value.as_str()) {
                (Some("<trace>"), Some(text)) => first_line(text).into(),
                _ => matcher.clone(),
            },
        );
    }
    body
}

/// Which of the two sentences is said depends on who keeps the offsets: both are accepted.
fn either_sentence(message: &str) -> Option<String> {
    let done = ["altered", "reset"]
        .into_iter()
        .find(|done| message.contains(&format!("this connector have been {done} successfully")))?;
    Some(format!(
        "<re:The offsets for this connector have been {done} successfully|The Connect framework-managed offsets for this \
         connector have been {done} successfully\\. However, if this connector manages offsets externally, they will need \
         to be manually {done} in the system that the connector uses\\.>"
    ))
}

/// Only what the rules of a step want to keep of a long answer.
fn keep(body: &mut Value, rules: &Value) {
    let wanted = |rule: &str, name: &str| {
        rules[rule]
            .as_array()
            .is_some_and(|names| names.iter().any(|n| n == name))
    };
    if let (true, Some(plugins)) = (rules["keep_plugins"] == true, body.as_array_mut()) {
        let class = |plugin: &Value| plugin["class"].as_str().unwrap_or_default().to_owned();
        plugins.retain(|plugin| PLUGINS.iter().any(|ours| class(plugin).starts_with(ours)));
    }
    if let (true, Some(configs)) = (
        rules["keep_configs"].is_array(),
        body["configs"].as_array_mut(),
    ) {
        configs.retain(|config| wanted("keep_configs", config_name(config)));
        configs
            .iter_mut()
            .for_each(|config| *config = json!({"value": config["value"]}));
    }
    if rules["keep"].is_array() {
        match body {
            Value::Object(members) => members.retain(|key, _| wanted("keep", key)),
            Value::Array(items) => {
                items.retain(|item| item.as_str().is_some_and(|name| wanted("keep", name)));
            }
            _ => {}
        }
    }
}

/// Matchers in the place of what is different each time.
fn blur(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(blur).collect(),
        Value::Object(members) => {
            let restarting = members
                .get("state")
                .is_some_and(|state| state == "RESTARTING");
            let plugin = members.contains_key("worker_id") || members.contains_key("class");
            let blurred = members.into_iter().map(|(key, value)| {
                let optional = (key == "version" && plugin) || (key == "trace" && restarting);
                let blurred = blur_member(&key, value);
                (if optional { format!("{key}?") } else { key }, blurred)
            });
            Value::Object(blurred.collect())
        }
        other => other,
    }
}

fn blur_member(key: &str, value: Value) -> Value {
    match (key, value) {
        ("config", config @ Value::Object(_)) => config,
        (_, nested @ (Value::Object(_) | Value::Array(_))) => blur(nested),
        ("worker_id" | "commit" | "kafka_cluster_id" | "version", _) => "<string>".into(),
        ("documentation", _) => "<doc>".into(),
        ("last_modified", Value::Number(_)) => "<int>".into(),
        ("trace", Value::String(text)) => first_line(&text).into(),
        (_, other) => other,
    }
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim_end();
    let connection = Regex::new(r"\(conn=\d+\)").expect("a regular expression");
    format!("<trace:{}>", connection.replace_all(line, "(conn=…)"))
}

/// Inserts placeholders for the values that they represent.
fn unfill(value: Value, names: &[(String, String)]) -> Value {
    match value {
        Value::String(text) => unfill_text(&text, names).into(),
        Value::Array(items) => items.into_iter().map(|item| unfill(item, names)).collect(),
        Value::Object(members) => {
            let about = members
                .get("name")
                .and_then(Value::as_str)
                .map(str::to_owned);
            let unfilled = members.into_iter().map(|(key, value)| {
                // The `value` of a key in the answer to a validation is about the key beside it.
                let about = if key == "value" {
                    about.as_deref().unwrap_or(&key)
                } else {
                    &key
                };
                let filled = secret(about, &value, names).unwrap_or_else(|| unfill(value, names));
                (unfill_text(&key, names), filled)
            });
            Value::Object(unfilled.collect())
        }
        other => other,
    }
}

fn name<'a>(names: &'a [(String, String)], wanted: &str) -> &'a str {
    names
        .iter()
        .find(|(name, _)| name == wanted)
        .map_or("", |(_, value)| value)
}

/// User and password are too short to look for: they count only where the whole value is theirs.
fn secret(key: &str, value: &Value, names: &[(String, String)]) -> Option<Value> {
    let part = key
        .strip_prefix("connection.")
        .filter(|part| matches!(*part, "user" | "password"))?;
    let kind = ["mysql", "pg"]
        .into_iter()
        .find(|kind| *value == name(names, &format!("{kind}_{part}")))?;
    Some(format!("{{{{{kind}_{part}}}}}").into())
}

fn unfill_text(text: &str, names: &[(String, String)]) -> String {
    let mut text = text.replace(name(names, "base"), "{{base}}");
    for kind in ["mysql", "pg"] {
        let of = |part: &str| name(names, &format!("{kind}_{part}")).to_owned();
        let (user, host, port) = (of("user"), of("host"), of("port"));
        text = text.replace(&format!("'{user}'@"), &format!("'{{{{{kind}_user}}}}'@"));
        text = text.replace(
            &format!("?user={user}"),
            &format!("?user={{{{{kind}_user}}}}"),
        );
        let place = |host: &str, port: &str| {
            [
                format!("{host}:{port}"),
                format!("host={host})(port={port}"),
            ]
        };
        let placeholders = place(
            &format!("{{{{{kind}_host}}}}"),
            &format!("{{{{{kind}_port}}}}"),
        );
        for (real, placeholder) in place(&host, &port).iter().zip(&placeholders) {
            text = text.replace(real, placeholder);
        }
    }
    for whole in ["bootstrap", "run", "num"] {
        text = text.replace(name(names, whole), &format!("{{{{{whole}}}}}"));
    }
    shorten_repeats(&text)
}

/// `{{repeat:x:300}}` for 200 or more of the same letter.
fn shorten_repeats(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(letter) = rest.chars().next() {
        let count = rest.chars().take_while(|c| *c == letter).count();
        let (run, after) = rest.split_at(count * letter.len_utf8());
        match count >= 200 && letter.is_alphanumeric() {
            true => out.push_str(&format!("{{{{repeat:{letter}:{count}}}}}")),
            false => out.push_str(run),
        }
        rest = after;
    }
    out
}

#[test]
fn a_renewed_step_changes_nothing_else_in_its_file() {
    let folder = std::env::temp_dir().join(format!("rowferry-record-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("recording.json");
    let before = "{\n \"steps\": [ {\"expect\":  {\"status\": 1}, \"b\": 2},\n  {\"sleep_s\": 1}, {\"a\": 1, \"expect\": null} ]}\n";
    std::fs::write(&file, before).unwrap();
    write(
        &file,
        &[
            (0, json!({"status": 200})),
            (2, json!({"status": 404, "body": "é"})),
        ],
    );
    let after = std::fs::read_to_string(&file).unwrap();
    let want = before
        .replace("{\"status\": 1}", "{\"status\":200}")
        .replace("null", "{\"status\":404,\"body\":\"é\"}");
    assert_eq!(after, want);
    std::fs::remove_dir_all(&folder).unwrap();
}
