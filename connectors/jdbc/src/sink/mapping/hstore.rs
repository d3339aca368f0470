//! PostgreSQL's hstore: maps of texts, as Debezium writes them (`hstore.handling.mode`): as a map,
//! or as the text of a JSON object. Pure.

use connector_api::Value;
use serde_json::Value as Json;

/// Returns the text of an hstore; `None` if a name or value is not a single one.
pub(crate) fn of_map(entries: &[(Value, Value)]) -> Option<String> {
    let mut out = String::new();
    for (name, value) in entries {
        let value = match value {
            Value::Null => None,
            value => Some(scalar(value)?),
        };
        append(&mut out, &scalar(name)?, value.as_deref());
    }
    Some(out)
}

/// Returns the text of an hstore from the text of a JSON object; `None` if it is none, or has nested
/// values.
pub(crate) fn of_json(text: &str) -> Option<String> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let Ok(Json::Object(members)) = serde_json::from_str(text) else {
        return None;
    };
    let mut out = String::new();
    for (name, value) in &members {
        let value = match value {
            Json::Null => None,
            Json::String(text) => Some(text.clone()),
            Json::Bool(_) | Json::Number(_) => Some(value.to_string()),
            Json::Array(_) | Json::Object(_) => return None,
        };
        append(&mut out, name, value.as_deref());
    }
    Some(out)
}

fn scalar(value: &Value) -> Option<String> {
    Some(match value {
        Value::Text(text) => text.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::F32(n) => n.to_string(),
        Value::F64(n) => n.to_string(),
        Value::Decimal(n) => n.has_usual_scale().then(|| n.to_string())?,
        other => other.as_i64()?.to_string(),
    })
}

fn append(out: &mut String, name: &str, value: Option<&str>) {
    if !out.is_empty() {
        out.push(',');
    }
    quoted(out, name);
    out.push_str("=>");
    match value {
        Some(value) => quoted(out, value),
        None => out.push_str("NULL"),
    }
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use connector_api::Value;

    use super::{of_json, of_map};

    #[test]
    fn maps_and_json_objects_become_the_same_text() {
        let text = |text: &str| Value::Text(text.into());
        let map = [
            (text("a"), text("1")),
            (text("q\"\\"), text("x=>\"y\"")),
            (text("n"), Value::Null),
        ];
        let want = r#""a"=>"1","q\"\\"=>"x=>\"y\"","n"=>NULL"#;
        assert_eq!(of_map(&map).as_deref(), Some(want));
        let json = r#" {"a":"1","q\"\\":"x=>\"y\"","n":null}"#;
        assert_eq!(of_json(json).as_deref(), Some(want));
        assert_eq!(of_map(&[]).as_deref(), Some(""));
    }

    #[test]
    fn what_is_no_map_of_texts_is_left_alone() {
        assert_eq!(of_json(r#""a"=>"1""#), None);
        assert_eq!(of_json(r#"{"a":{}}"#), None);
        assert_eq!(of_json("{"), None);
        let nested = [(Value::Text("a".into()), Value::Map([].into()))];
        assert_eq!(of_map(&nested), None);
    }
}
