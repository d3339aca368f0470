//! Debezium's placeholder for a value that a change event does not contain: the database's log omits
//! large values that a change did not touch. Pure.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector_api::Value;

/// Debezium's placeholder in the forms in which records carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder {
    text: Box<str>,
    /// Of its bytes, as records without a schema carry bytes.
    base64: Box<str>,
}

impl Placeholder {
    /// Creates it from `unavailable.value.placeholder`; `None` if that is empty.
    pub fn new(text: &str) -> Option<Arc<Self>> {
        (!text.is_empty()).then(|| {
            Arc::new(Self {
                text: text.into(),
                base64: STANDARD.encode(text).into(),
            })
        })
    }

    /// True if a value is the placeholder: a text, the text's bytes, in a list the only item or the
    /// bytes as numbers, in a map the only value.
    pub fn is(&self, value: &Value) -> bool {
        match value {
            Value::Text(text) => **text == *self.text,
            Value::Bytes(bytes) => **bytes == *self.text.as_bytes(),
            Value::Array(items) => match &items[..] {
                [one] => self.is(one),
                items => self.is_numbers(items),
            },
            Value::Map(members) => matches!(&members[..], [(_, one)] if self.is(one)),
            _ => false,
        }
    }

    /// Like [`Placeholder::is`], for a value of a record without a schema.
    pub fn is_plain(&self, value: &Value) -> bool {
        self.is(value) || matches!(value, Value::Text(text) if **text == *self.base64)
    }

    /// True for the bytes of the text as a list of numbers, as Debezium writes it for lists of numbers.
    fn is_numbers(&self, items: &[Value]) -> bool {
        let bytes = self.text.bytes().map(i64::from);
        items.len() == self.text.len() && items.iter().map(Value::as_i64).eq(bytes.map(Some))
    }
}

#[cfg(test)]
mod tests {
    use connector_api::Value;

    use super::Placeholder;

    #[test]
    fn the_placeholder_is_known_in_every_form() {
        let placeholder = Placeholder::new("ab").unwrap();
        let list = |items: &[Value]| Value::Array(items.to_vec().into());
        let text = |text: &str| Value::Text(text.into());
        for (value, want) in [
            (text("ab"), true),
            (Value::Bytes(b"ab"[..].into()), true),
            (list(&[text("ab")]), true),
            (list(&[Value::I32(97), Value::I32(98)]), true),
            (list(&[Value::I64(97), Value::I64(98)]), true),
            (Value::Map([(text("ab"), text("ab"))].into()), true),
            (text("abc"), false),
            (text("YWI="), false),
            (list(&[text("ab"), text("ab")]), false),
            (list(&[Value::I32(98), Value::I32(97)]), false),
            (list(&[]), false),
            (Value::Null, false),
        ] {
            assert_eq!(placeholder.is(&value), want, "{value:?}");
        }
        assert!(placeholder.is_plain(&text("YWI=")));
        assert!(Placeholder::new("").is_none());
    }
}
