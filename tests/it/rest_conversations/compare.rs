//! Whether an answer is what was recorded: exact JSON, except for matchers and the rules of a step.

use std::fmt::Write as _;

use regex::Regex;
use serde_json::Value;

use super::http::Answer;

/// One step of a path in a body: `$.a[*].b[0]`.
#[derive(Clone, Debug, PartialEq)]
enum At {
    Key(String),
    Index(usize),
    All,
    /// `[name=x]`: the items whose member has that value.
    Named(String, String),
}

/// The rules of one step that concern its body.
struct Rules {
    unordered: Vec<Vec<At>>,
    subset: Vec<Vec<At>>,
    by_name: Vec<Vec<At>>,
    status: u16,
}

/// Lines of difference between an answer and the recorded one; none: it is the same.
pub(super) fn compare(step: &Value, expect: &Value, answer: &Answer) -> Vec<String> {
    let rules = &step["compare"];
    let status = expect["status"].as_u64().unwrap_or_default();
    let mut lines = Vec::new();
    if u64::from(answer.status) != status {
        let also = rules["status_also"]
            .as_array()
            .is_some_and(|also| also.contains(&answer.status.into()));
        if also {
            return if answer.status >= 400 {
                error_form(answer)
            } else {
                lines
            };
        }
        lines.push(format!("status: expected {status}, got {}", answer.status));
    }
    for (name, want) in expect["headers"].as_object().into_iter().flatten() {
        compare_header(name, want, answer.header(name), &mut lines);
    }
    if rules["body"] != "ignore" {
        compare_body(step, expect, answer, &mut lines);
    }
    lines
}

fn compare_header(name: &str, want: &Value, got: Option<&str>, lines: &mut Vec<String>) {
    let normal = |value: &str| match name {
        "allow" => {
            let mut methods: Vec<_> = value.split(',').map(str::trim).collect();
            methods.sort_unstable();
            methods.join(",")
        }
        "content-type" => {
            let value = value.to_ascii_lowercase();
            value
                .replace("; charset=utf-8", "")
                .replace(";charset=utf-8", "")
        }
        _ => value.to_owned(),
    };
    match (want.as_str(), got) {
        (None, None) => {}
        (Some(want), Some(got))
            if matches(want, &got.into()) == Some(true) || normal(want) == normal(got) => {}
        (want, got) => lines.push(format!("header {name}: expected {want:?}, got {got:?}")),
    }
}

fn compare_body(step: &Value, expect: &Value, answer: &Answer, lines: &mut Vec<String>) {
    let java = step["java_internal"] == true;
    if let Some(want) = expect.get("body") {
        let Ok(got) = serde_json::from_str(&answer.text) else {
            return lines.push(format!("body: expected JSON, got {}", short(&answer.text)));
        };
        if java {
            shape(want, &got, answer.status, &mut Vec::new(), lines);
        } else {
            Rules::of(&step["compare"], answer.status).value(want, &got, &mut Vec::new(), lines);
        }
    } else if !java && expect["text"].as_str().unwrap_or_default() != answer.text {
        lines.push(format!(
            "body: expected {}, got {}",
            expect["text"],
            short(&answer.text)
        ));
    }
}

/// Another status that is accepted: of an error, the form of the body is known.
fn error_form(answer: &Answer) -> Vec<String> {
    let Ok(got) = serde_json::from_str(&answer.text) else {
        return vec![format!(
            "body: expected an error as JSON, got {}",
            short(&answer.text)
        )];
    };
    let mut lines = Vec::new();
    let want = serde_json::json!({"error_code": answer.status, "message": ""});
    shape(&want, &got, answer.status, &mut Vec::new(), &mut lines);
    lines
}

/// The same kinds of values under the same keys; `error_code` has to be the status.
fn shape(want: &Value, got: &Value, status: u16, at: &mut Vec<At>, lines: &mut Vec<String>) {
    match (want, got) {
        (Value::Object(want), Value::Object(got)) => {
            for (key, want) in want {
                at.push(At::Key(key.clone()));
                match got.get(key) {
                    None => differ(at, want, None, lines),
                    Some(got) if key == "error_code" && *got != status => {
                        differ(at, &status.into(), Some(got), lines);
                    }
                    Some(_) if key == "error_code" => {}
                    Some(got) => shape(want, got, status, at, lines),
                }
                at.pop();
            }
        }
        (want, got) if std::mem::discriminant(want) == std::mem::discriminant(got) => {}
        (want, got) => differ(at, want, Some(got), lines),
    }
}

impl Rules {
    fn of(compare: &Value, status: u16) -> Self {
        let paths = |rule: &str| {
            let paths = compare[rule].as_array().into_iter().flatten();
            paths
                .map(|path| path_steps(path.as_str().expect("a path")))
                .collect()
        };
        Self {
            unordered: paths("unordered"),
            subset: paths("subset"),
            by_name: paths("configs_by_name"),
            status,
        }
    }

    fn value(&self, want: &Value, got: &Value, at: &mut Vec<At>, lines: &mut Vec<String>) {
        match (want, got) {
            (Value::String(text), got) if matches(text, got).is_some() => {
                if matches(text, got) == Some(false) {
                    differ(at, want, Some(got), lines);
                }
            }
            (Value::Object(want), Value::Object(got)) => {
                for (key, want) in want {
                    let bare = key.strip_suffix('?').filter(|_| !got.contains_key(key));
                    let there = bare.unwrap_or(key);
                    at.push(At::Key(there.to_owned()));
                    match got.get(there) {
                        Some(got) => self.value(want, got, at, lines),
                        None if bare.is_none() => differ(at, want, None, lines),
                        None => {}
                    }
                    at.pop();
                }
                let unknown =
                    |key: &str| !want.contains_key(key) && !want.contains_key(&format!("{key}?"));
                let open = has(&self.subset, at);
                for (key, got) in got.iter().filter(|(key, _)| !open && unknown(key)) {
                    at.push(At::Key(key.clone()));
                    differ(at, &"nothing".into(), Some(got), lines);
                    at.pop();
                }
            }
            (Value::Array(want), Value::Array(got)) => self.array(want, got, at, lines),
            (want, got) if want == got => {}
            _ if at.last() == Some(&At::Key("error_code".to_owned())) && *got == self.status => {}
            _ => differ(at, want, Some(got), lines),
        }
    }

    fn array(&self, want: &[Value], got: &[Value], at: &mut Vec<At>, lines: &mut Vec<String>) {
        if has(&self.by_name, at) {
            return self.configs(want, got, at, lines);
        }
        let subset = has(&self.subset, at);
        if !subset && want.len() != got.len() {
            return differ(at, &want.into(), Some(&got.into()), lines);
        }
        let unordered = subset || has(&self.unordered, at);
        let mut left: Vec<&Value> = got.iter().collect();
        for (index, item) in want.iter().enumerate() {
            at.push(At::Index(index));
            if unordered {
                let hit = left.iter().position(|got| {
                    let mut found = Vec::new();
                    self.value(item, got, at, &mut found);
                    found.is_empty()
                });
                match hit {
                    Some(hit) => drop(left.remove(hit)),
                    None => differ(at, item, None, lines),
                }
            } else {
                self.value(item, &got[index], at, lines);
            }
            at.pop();
        }
    }

    /// Keys of a form are looked up by name; a server may know more.
    fn configs(&self, want: &[Value], got: &[Value], at: &mut Vec<At>, lines: &mut Vec<String>) {
        for item in want {
            let name = config_name(item);
            at.push(At::Key(name.to_owned()));
            match got.iter().find(|got| config_name(got) == name) {
                None => differ(at, item, None, lines),
                Some(got) => {
                    for (key, want) in item.as_object().into_iter().flatten() {
                        at.push(At::Key(key.clone()));
                        self.value(want, &got[key], at, lines);
                        at.pop();
                    }
                }
            }
            at.pop();
        }
    }
}

/// The name of the config key that an item is about.
pub(super) fn config_name(item: &Value) -> &str {
    named(item, "name")
}

/// A member of an item, or of its `value` or `definition`.
fn named<'a>(item: &'a Value, key: &str) -> &'a str {
    let places = [&item[key], &item["value"][key], &item["definition"][key]];
    places
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_default()
}

fn has(rules: &[Vec<At>], at: &[At]) -> bool {
    let same = |rule: &[At]| {
        rule.len() == at.len() && rule.iter().zip(at).all(|(r, a)| r == a || *r == At::All)
    };
    rules.iter().any(|rule| same(rule))
}

fn path_steps(path: &str) -> Vec<At> {
    let step = Regex::new(r#"\.\*|\[\*\]|\."([^"]+)"|\.([^.\[]+)|\[(\d+)\]|\[(\w+)=([^\]]*)\]"#)
        .expect("a regular expression");
    let steps = step.captures_iter(path).map(|found| {
        let part = |group: usize| found.get(group).map(|part| part.as_str().to_owned());
        match (part(1).or(part(2)), part(3), part(4).zip(part(5))) {
            (Some(key), _, _) => At::Key(key),
            (_, Some(index), _) => At::Index(index.parse().expect("an index")),
            (_, _, Some((key, value))) => At::Named(key, value),
            _ => At::All,
        }
    });
    steps.collect()
}

/// Replaces the value at a path; a path that leads nowhere changes nothing.
pub(super) fn put_at(value: &mut Value, path: &str, new: &dyn Fn(&Value) -> Value) {
    put(value, &path_steps(path), new);
}

fn put(value: &mut Value, steps: &[At], new: &dyn Fn(&Value) -> Value) {
    let Some((step, rest)) = steps.split_first() else {
        return *value = new(value);
    };
    match (step, value) {
        (At::All, Value::Object(members)) => members
            .iter_mut()
            .for_each(|(_, member)| put(member, rest, new)),
        (At::All, Value::Array(items)) => items.iter_mut().for_each(|item| put(item, rest, new)),
        (At::Key(key), Value::Object(members)) => {
            if let Some(member) = members.get_mut(key) {
                put(member, rest, new);
            }
        }
        (At::Index(index), Value::Array(items)) => {
            if let Some(item) = items.get_mut(*index) {
                put(item, rest, new);
            }
        }
        (At::Named(key, wanted), Value::Array(items)) => {
            items
                .iter_mut()
                .filter(|item| named(item, key) == wanted)
                .for_each(|item| put(item, rest, new));
        }
        _ => {}
    }
}

/// Whether a matcher accepts a value; `None` if the text is no matcher.
fn matches(want: &str, got: &Value) -> Option<bool> {
    let text = |check: &dyn Fn(&str) -> bool| got.as_str().is_some_and(check);
    let inner = |kind: &str| {
        want.strip_prefix(kind)
            .and_then(|rest| rest.strip_suffix('>'))
    };
    if let Some(want) = inner("<lines:") {
        let sorted = |text: &str| {
            let mut lines: Vec<_> = text.split('\n').map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        return Some(text(&|got| sorted(got) == sorted(want)));
    }
    if let Some(want) = inner("<line1:") {
        return Some(text(&|got| {
            got.split('\n').next().unwrap_or_default().trim_end() == want
        }));
    }
    if let Some(pattern) = inner("<re:") {
        let pattern = Regex::new(&format!("(?s)^(?:{pattern})$")).expect("a regular expression");
        return Some(text(&|got| pattern.is_match(got)));
    }
    if inner("<trace:").is_some() {
        return Some(text(&|got| !got.trim().is_empty()));
    }
    match want {
        "<any>" => Some(true),
        "<string>" => Some(text(&|got| !got.is_empty())),
        "<doc>" => Some(got.is_null() || got.is_string()),
        "<int>" => Some(got.is_i64() || got.is_u64()),
        "<array>" => Some(got.is_array()),
        "<object>" => Some(got.is_object()),
        _ => None,
    }
}

/// For waiting: objects may have more keys; arrays have the same length, in any order.
pub(super) fn includes(want: &Value, got: &Value) -> bool {
    match (want, got) {
        (Value::Object(want), Value::Object(got)) => want
            .iter()
            .all(|(key, want)| got.get(key).is_some_and(|got| includes(want, got))),
        (Value::Array(want), Value::Array(got)) if want.len() == got.len() => {
            let mut left: Vec<_> = got.iter().collect();
            want.iter().all(
                |want| match left.iter().position(|got| includes(want, got)) {
                    Some(hit) => {
                        left.remove(hit);
                        true
                    }
                    None => false,
                },
            )
        }
        (Value::String(want), got) if matches(want, got).is_some() => {
            matches(want, got) == Some(true)
        }
        (want, got) => want == got,
    }
}

fn differ(at: &[At], want: &Value, got: Option<&Value>, lines: &mut Vec<String>) {
    let mut place = "$".to_owned();
    for step in at {
        let _ = match step {
            At::Key(key) => write!(place, ".{key}"),
            At::Index(index) => write!(place, "[{index}]"),
            At::All => write!(place, "[*]"),
            At::Named(key, value) => write!(place, "[{key}={value}]"),
        };
    }
    let got = got.map_or("nothing".to_owned(), |got| short(&got.to_string()));
    lines.push(format!(
        "{place}: expected {}, got {got}",
        short(&want.to_string())
    ));
}

fn short(text: &str) -> String {
    if text.chars().count() <= 300 {
        text.to_owned()
    } else {
        text.chars().take(300).chain("…".chars()).collect()
    }
}
