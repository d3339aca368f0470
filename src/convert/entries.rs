//! The entries of decoded maps.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same list"
)]

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use connector_api::Value;

/// Removes duplicate keys: the last entry of a key counts, at the position of the first.
pub(super) fn last_of_each(entries: Vec<(Value, Value)>) -> Vec<(Value, Value)> {
    if !has_repeats(&entries) {
        return entries;
    }
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut kept: Vec<(Value, Value)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        match places.entry(format!("{key:?}")) {
            Entry::Occupied(place) => kept[*place.get()].1 = value,
            Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push((key, value));
            }
        }
    }
    kept
}

fn has_repeats(entries: &[(Value, Value)]) -> bool {
    const FEW: usize = 16;
    if entries.len() <= FEW {
        return entries
            .iter()
            .enumerate()
            .any(|(at, (key, _))| entries[..at].iter().any(|(other, _)| other == key));
    }
    let mut seen = HashSet::with_capacity(entries.len());
    entries.iter().any(|(key, _)| match key {
        Value::Text(text) => !seen.insert(Cow::Borrowed(&**text)),
        other => !seen.insert(Cow::Owned(format!("{other:?}"))),
    })
}
