//! The keys of rows that the log has changed since a moment, of one table. Pure.

#![expect(
    clippy::indexing_slicing,
    reason = "the order of a plan is of its own columns"
)]

use std::collections::HashSet;

use connector_api::Value;

use super::position::write_key;

/// Bytes of keys that are remembered.
const BYTES_MAX: usize = 16 << 20;

/// Bytes of a key beside its text.
const KEY_BYTES: usize = 48;

/// Keys, in the form in which offsets hold them.
#[derive(Debug, Default)]
pub(super) struct TouchedKeys {
    keys: HashSet<Box<str>>,
    bytes: usize,
    is_all: bool,
}

impl TouchedKeys {
    /// A row was changed.
    pub(super) fn insert(&mut self, row: &[Value], order: &[usize]) {
        if self.is_all {
            return;
        }
        let key: Box<str> = text(row, order).into();
        let bytes = key.len() + KEY_BYTES;
        if self.keys.insert(key) {
            self.bytes += bytes;
        }
        if self.bytes > BYTES_MAX {
            self.all();
        }
    }

    /// Any row may have been changed, or more than can be remembered.
    pub(super) fn all(&mut self) {
        self.is_all = true;
        self.keys = HashSet::new();
    }

    /// True if nothing is known of single rows.
    pub(super) fn is_all(&self) -> bool {
        self.is_all
    }

    /// True if the row was changed.
    pub(super) fn has(&self, row: &[Value], order: &[usize]) -> bool {
        self.is_all || self.keys.contains(text(row, order).as_str())
    }
}

fn text(row: &[Value], order: &[usize]) -> String {
    let key: Vec<_> = order.iter().map(|i| row[*i].clone()).collect();
    write_key(&key)
}

#[cfg(test)]
mod tests {
    use connector_api::Value;

    use super::{BYTES_MAX, TouchedKeys};

    fn row(key: &str) -> [Value; 2] {
        [Value::I64(1), Value::Text(key.into())]
    }

    #[test]
    fn rows_are_distinguished_by_their_keys_up_to_a_limit() {
        let mut touched = TouchedKeys::default();
        touched.insert(&row("a"), &[1]);
        assert!(touched.has(&row("a"), &[1]) && !touched.has(&row("b"), &[1]));
        assert!(!touched.is_all());
        touched.insert(&row(&"c".repeat(BYTES_MAX)), &[1]);
        assert!(touched.is_all() && touched.has(&row("b"), &[1]));
    }
}
