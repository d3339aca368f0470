//! Sets of primary keys as deletion capture stores them, and their text form in offsets. Pure.
//!
//! Keys that are a single integer are ranges of ids (`17*3,5`, see `gaps`), so a table without
//! holes is one range. All others are sorted texts, each written as `shared:length:rest`: the
//! number of leading bytes it shares with the one before, and the length and bytes of the rest.

use std::collections::BTreeSet;

use super::gaps::IdGaps;

/// Limits at which a set is full: ranges, keys and bytes.
const RANGES: usize = 4096;
const KEYS: usize = 8192;
const BYTES: usize = 128 << 10;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RowKey {
    Id(i64),
    /// The values as a JSON array.
    Text(Box<str>),
}

/// A set of keys of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySet {
    Ids(IdGaps),
    /// Other keys, and the bytes of all of them.
    Texts(BTreeSet<Box<str>>, usize),
}

impl RowKey {
    /// Writes the key as text that is never empty.
    pub(crate) fn write(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Text(text) => text.to_string(),
        }
    }

    /// Parses the text that [`Self::write`] returns.
    pub(crate) fn read(text: &str, numbers: bool) -> Option<Self> {
        if numbers {
            text.parse().ok().map(Self::Id)
        } else {
            Some(Self::Text(text.into()))
        }
    }
}

impl KeySet {
    /// Returns an empty set, of integers or of other keys.
    pub(crate) fn new(numbers: bool) -> Self {
        if numbers {
            Self::Ids(IdGaps::default())
        } else {
            Self::Texts(BTreeSet::new(), 0)
        }
    }

    /// True if the set should not grow: its text is one record of the offsets topic.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Ids(ids) => ids.len() >= RANGES,
            Self::Texts(keys, bytes) => keys.len() >= KEYS || *bytes >= BYTES,
        }
    }

    /// Returns the number of elements in memory: ranges, or keys.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len(),
            Self::Texts(keys, _) => keys.len(),
        }
    }

    pub(crate) fn insert(&mut self, key: RowKey) {
        match (self, key) {
            (Self::Ids(ids), RowKey::Id(id)) => ids.insert(id, id),
            (Self::Texts(keys, bytes), RowKey::Text(text)) => {
                let more = text.len();
                if keys.insert(text) {
                    *bytes += more;
                }
            }
            _ => {}
        }
    }

    /// Removes a key. Returns whether it was present.
    pub(crate) fn remove(&mut self, key: &RowKey) -> bool {
        match (self, key) {
            (Self::Ids(ids), RowKey::Id(id)) => ids.fill(*id),
            (Self::Texts(keys, bytes), RowKey::Text(text)) => {
                let there = keys.remove(text);
                if there {
                    *bytes -= text.len();
                }
                there
            }
            _ => false,
        }
    }

    pub(crate) fn contains(&self, key: &RowKey) -> bool {
        match (self, key) {
            (Self::Ids(ids), RowKey::Id(id)) => ids.contains(*id),
            (Self::Texts(keys, _), RowKey::Text(text)) => keys.contains(text),
            _ => false,
        }
    }

    /// Adds all keys of another set.
    pub(crate) fn extend(&mut self, other: &Self) {
        match (self, other) {
            (Self::Ids(ids), Self::Ids(other)) => other
                .ranges()
                .for_each(|(first, last)| ids.insert(first, last)),
            (own, Self::Texts(keys, _)) => keys
                .iter()
                .for_each(|key| own.insert(RowKey::Text(key.clone()))),
            _ => {}
        }
    }

    /// Removes all keys of another set.
    pub(crate) fn subtract(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Ids(ids), Self::Ids(other)) => other
                .ranges()
                .for_each(|(first, last)| ids.remove(first, last)),
            (Self::Texts(keys, bytes), Self::Texts(other, _)) if keys.len() < other.len() => {
                keys.retain(|key| !other.contains(key));
                *bytes = keys.iter().map(|key| key.len()).sum();
            }
            (own, Self::Texts(other, _)) => other.iter().for_each(|key| {
                own.remove(&RowKey::Text(key.clone()));
            }),
            _ => {}
        }
    }

    /// Removes and returns the integers up to that key. Returns nothing for other keys: only the
    /// database knows their order.
    pub(crate) fn take_up_to(&mut self, key: &RowKey) -> Self {
        let mut low = self.clone();
        match (&mut *self, &mut low, key) {
            (Self::Ids(ids), Self::Ids(low), RowKey::Id(id)) => {
                ids.settle(*id);
                ids.ranges()
                    .for_each(|(first, last)| low.remove(first, last));
            }
            _ => low = Self::new(false),
        }
        low
    }

    /// Removes and returns the first keys, at most `most`.
    pub(crate) fn take(&mut self, most: usize) -> Vec<RowKey> {
        let taken: Vec<RowKey> = match &*self {
            Self::Ids(ids) => ids
                .ranges()
                .flat_map(|(first, last)| first..=last)
                .take(most)
                .map(RowKey::Id)
                .collect(),
            Self::Texts(keys, _) => keys.iter().take(most).cloned().map(RowKey::Text).collect(),
        };
        match (&mut *self, taken.last()) {
            (Self::Ids(ids), Some(RowKey::Id(last))) => drop(ids.settle(*last)),
            _ => taken.iter().for_each(|key| {
                self.remove(key);
            }),
        }
        taken
    }

    /// Writes the set as text.
    pub(crate) fn write(&self) -> String {
        let keys = match self {
            Self::Ids(ids) => return ids.write(),
            Self::Texts(keys, _) => keys,
        };
        let (mut text, mut before) = (String::new(), "");
        let mut number = itoa::Buffer::new();
        for key in keys {
            let alike = key
                .bytes()
                .zip(before.bytes())
                .take_while(|(a, b)| a == b)
                .count();
            let shared = (0..=alike)
                .rev()
                .find(|at| key.is_char_boundary(*at))
                .unwrap_or(0);
            let rest = &key[shared..];
            text.push_str(number.format(shared));
            text.push(':');
            text.push_str(number.format(rest.len()));
            text.push(':');
            text.push_str(rest);
            before = key;
        }
        text
    }

    /// Parses the text that [`Self::write`] returns. `None` if it is invalid.
    pub(crate) fn read(text: &str, numbers: bool) -> Option<Self> {
        if numbers {
            return IdGaps::read(text).map(Self::Ids);
        }
        let (mut set, mut rest, mut before) = (Self::new(false), text, String::new());
        while !rest.is_empty() {
            let (shared, tail) = rest.split_once(':')?;
            let (length, tail) = tail.split_once(':')?;
            let (own, tail) = tail.split_at_checked(length.parse().ok()?)?;
            let key = format!("{}{own}", before.get(..shared.parse().ok()?)?);
            set.insert(RowKey::Text(key.as_str().into()));
            (rest, before) = (tail, key);
        }
        Some(set)
    }
}

#[cfg(test)]
mod tests {
    use super::{KeySet, RowKey};

    fn texts(keys: &[&str]) -> KeySet {
        let mut set = KeySet::new(false);
        keys.iter()
            .for_each(|key| set.insert(RowKey::Text((*key).into())));
        set
    }

    fn ids(keys: &[i64]) -> KeySet {
        let mut set = KeySet::new(true);
        keys.iter().for_each(|id| set.insert(RowKey::Id(*id)));
        set
    }

    #[test]
    fn sets_are_read_as_they_were_written() {
        for set in [
            texts(&[]),
            texts(&[
                "[\"ä:1\"]",
                "[\"äö\"]",
                "[\"ö\"]",
                "[1,\"x:\"]",
                "[1,\"x:y\"]",
            ]),
        ] {
            assert_eq!(KeySet::read(&set.write(), false), Some(set));
        }
        assert_eq!(texts(&["[1,2]", "[1,3]"]).write(), "0:5:[1,2]3:2:3]");
        let set = ids(&[3, 1, 2, -7, 9]);
        assert_eq!(KeySet::read(&set.write(), true), Some(set));
        for wrong in ["x", "1:1:a", "0:9:a", "0:1", "0:1:ä"] {
            assert_eq!(KeySet::read(wrong, false), None, "{wrong}");
        }
    }

    #[test]
    fn sets_are_joined_and_taken_apart() {
        let mut set = ids(&[1, 2, 3, 7]);
        set.subtract(&ids(&[2, 7, 8]));
        set.extend(&ids(&[10, 11]));
        assert_eq!(set.take(3), [RowKey::Id(1), RowKey::Id(3), RowKey::Id(10)]);
        assert_eq!(set, ids(&[11]));
        let mut set = ids(&[1, 3, 4, 5, 9]);
        assert_eq!(set.take_up_to(&RowKey::Id(4)), ids(&[1, 3, 4]));
        assert_eq!(set, ids(&[5, 9]));
        let mut set = texts(&["a", "b", "c"]);
        set.subtract(&texts(&["b"]));
        set.extend(&texts(&["d"]));
        assert_eq!(set.take(1), [RowKey::Text("a".into())]);
        assert_eq!(set, texts(&["c", "d"]));
        assert!(
            set.contains(&RowKey::Text("c".into()))
                && set.remove(&RowKey::Text("c".into()))
                && set.len() == 1
        );
    }
}
