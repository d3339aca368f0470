//! Texts of a recorded case, anywhere in its JSON.

use serde_json::Value;

/// The value with every text and every name of a member changed.
pub fn mapped(value: &Value, text: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(s) => text(s).into(),
        Value::Array(items) => items.iter().map(|item| mapped(item, text)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (text(key), mapped(value, text)))
            .collect(),
        other => other.clone(),
    }
}
