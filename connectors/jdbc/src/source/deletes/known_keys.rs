//! The keys of a table that deletion capture knows: those of rows that have been emitted and for
//! which no tombstone has been emitted. Pure.
//!
//! They are stored as source offsets, beside the table's own and in the transaction of the records
//! that they follow from, so that they survive any crash. Keys seen by the last sweep are in
//! chunks: a chunk holds those above one key up to another, as the database orders them (member
//! `keys` of the partition: the key below, empty for the first chunk). Keys emitted since are in
//! numbered lists (member `new_keys`), because only the database could say to which chunk they
//! belong. A key may be in both.

use std::collections::{BTreeMap, BTreeSet};

use connector_api::{Error, OffsetValue, Result, SourceOffset, SourcePartition, SourcePosition};

use crate::source::plan::key_plan::KeyPlan;
use crate::source::plan::key_set::{KeySet, RowKey};

const KEYS: &str = "keys";
const NEW_KEYS: &str = "new_keys";
const KEY: &str = "key";
const SET: &str = "set";
const UP_TO: &str = "up_to";
/// Adjacent chunks are joined while their combined text is shorter.
const LIGHT: usize = 16 << 10;
/// A new list is begun at this number of keys or ranges.
const LIST: usize = 1000;

/// A chunk: the keys between two keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPage {
    /// Exclusive lower bound; `None`: from the first key on.
    pub after: Option<String>,
    /// Inclusive upper bound; `None`: up to the last key.
    pub up_to: Option<String>,
    /// The keys, as [`KeySet`] writes them.
    pub set: String,
}

/// The known keys of one table.
#[derive(Clone, Debug)]
pub(crate) struct KnownKeys {
    partition: SourcePartition,
    /// The key's columns as stored with each set: `id`, or `a,b`; with `#` in front if the key is a
    /// number.
    key: String,
    numbers: bool,
    /// The chunks in order, from the first key to the last. Empty before the first sweep.
    pub chunks: Vec<KeyPage>,
    /// The lists by number, as [`KeySet`] writes them.
    lists: BTreeMap<i64, String>,
    /// Number and keys of the list that is being extended.
    open: Option<(i64, KeySet)>,
}

impl KnownKeys {
    /// Reads what is stored for the table of that partition.
    pub(crate) fn read(partition: &SourcePartition, stored: &[SourcePosition]) -> Self {
        let own = |p: &&SourcePosition| {
            partition
                .0
                .iter()
                .all(|(name, value)| p.partition.get(name) == Some(value))
        };
        let mut known = Self {
            partition: partition.clone(),
            key: String::new(),
            numbers: false,
            chunks: Vec::new(),
            lists: BTreeMap::new(),
            open: None,
        };
        let mut chunks: BTreeMap<String, KeyPage> = BTreeMap::new();
        for position in stored.iter().filter(own) {
            let Some(offset) = &position.offset else {
                continue;
            };
            let set = text(offset.get(SET)).unwrap_or_default();
            if let Some(after) = text(position.partition.get(KEYS)) {
                let up_to = text(offset.get(UP_TO));
                let chunk = KeyPage {
                    after: Some(after.clone()).filter(|after| !after.is_empty()),
                    up_to,
                    set,
                };
                chunks.insert(after, chunk);
            } else if let Some(number) =
                text(position.partition.get(NEW_KEYS)).and_then(|n| n.parse().ok())
            {
                known.lists.insert(number, set);
            } else {
                continue;
            }
            known.key = text(offset.get(KEY)).unwrap_or_default();
        }
        known.numbers = known.key.starts_with('#');
        let mut next = Some(String::new());
        while let Some(chunk) = next.and_then(|after| chunks.remove(&after)) {
            next = chunk.up_to.clone();
            known.chunks.push(chunk);
        }
        known
    }

    /// Checks a position set by a user. Errors: `Config` if it could not be read back.
    pub(crate) fn check(position: &SourcePosition) -> Result<()> {
        let Some(offset) = &position.offset else {
            return Ok(());
        };
        let numbers = text(offset.get(KEY)).is_some_and(|key| key.starts_with('#'));
        let readable =
            text(offset.get(SET)).is_some_and(|set| KeySet::read(&set, numbers).is_some());
        if readable { Ok(()) } else { Err(broken()) }
    }

    /// True if a partition is one of known keys.
    pub(crate) fn owns(partition: &SourcePartition) -> bool {
        partition.get(KEYS).is_some() || partition.get(NEW_KEYS).is_some()
    }

    /// Makes sure that the keys are of the plan's kind. If the primary key has changed, all are
    /// discarded. Returns the positions to store, which delete the discarded ones.
    pub(crate) fn fit(&mut self, plan: &KeyPlan) -> Vec<SourcePosition> {
        if self.key == plan.name {
            return Vec::new();
        }
        let gone = self
            .chunks
            .iter()
            .map(|chunk| self.label(chunk))
            .chain(self.lists.keys().map(|n| self.list_label(*n)));
        let gone = gone
            .map(|partition| SourcePosition {
                partition,
                offset: None,
            })
            .collect();
        (self.key, self.numbers) = (plan.name.clone(), plan.numbers);
        (self.chunks, self.lists, self.open) = (Vec::new(), BTreeMap::new(), None);
        gone
    }

    /// Returns the bytes of the texts in memory.
    pub(crate) fn bytes(&self) -> usize {
        let chunk = |c: &KeyPage| {
            c.set.len() + c.after.as_ref().map_or(0, String::len) + size_of::<KeyPage>()
        };
        self.chunks.iter().map(chunk).sum::<usize>()
            + self.lists.values().map(|set| set.len() + 64).sum::<usize>()
    }

    /// Parses a set of keys. Errors: `Config` if the text is not one.
    pub(crate) fn set(&self, text: &str) -> Result<KeySet> {
        KeySet::read(text, self.numbers).ok_or_else(broken)
    }

    /// Parses the bound of a chunk. Errors: `Config` if the text is not a key.
    pub(crate) fn bound(&self, text: &str) -> Result<RowKey> {
        RowKey::read(text, self.numbers).ok_or_else(broken)
    }

    /// Returns an empty set.
    pub(crate) fn none(&self) -> KeySet {
        KeySet::new(self.numbers)
    }

    /// Adds keys that have been emitted. Returns the positions to store with their records.
    pub(crate) fn note(&mut self, keys: impl IntoIterator<Item = RowKey>) -> Vec<SourcePosition> {
        let mut touched = BTreeSet::new();
        for key in keys {
            if self
                .open
                .as_ref()
                .is_none_or(|(_, set)| set.len() >= LIST || set.is_full())
            {
                if let Some((number, set)) = self.open.take() {
                    self.lists.insert(number, set.write());
                }
                let next = self
                    .lists
                    .last_key_value()
                    .map_or(0, |(number, _)| number.saturating_add(1));
                self.open = Some((next, KeySet::new(self.numbers)));
            }
            if let Some((number, set)) = &mut self.open {
                set.insert(key);
                touched.insert(*number);
            }
        }
        if let Some((number, set)) = &self.open {
            self.lists.insert(*number, set.write());
        }
        touched
            .into_iter()
            .map(|number| self.list_position(number))
            .collect()
    }

    /// Begins a sweep. Before the first one there is a single chunk, without known keys.
    pub(crate) fn begin(&mut self) {
        if self.chunks.is_empty() {
            self.chunks.push(KeyPage {
                after: None,
                up_to: None,
                set: String::new(),
            });
        }
    }

    /// Closes the list that is being extended and returns the numbers of all lists.
    pub(crate) fn close(&mut self) -> Vec<i64> {
        self.open = None;
        self.lists.keys().copied().collect()
    }

    /// Returns the keys of a list. Errors: `Config` if it cannot be parsed.
    pub(crate) fn list(&self, number: i64) -> Result<KeySet> {
        self.set(
            self.lists
                .get(&number)
                .map(String::as_str)
                .unwrap_or_default(),
        )
    }

    /// Removes from `keys` those that are in a list: the sweep of the lists emits their tombstones.
    pub(crate) fn without_listed(&self, keys: &mut Vec<RowKey>) -> Result<()> {
        for set in self.lists.values() {
            if keys.is_empty() {
                break;
            }
            let set = self.set(set)?;
            keys.retain(|key| !set.contains(key));
        }
        Ok(())
    }

    /// Removes keys from all lists. Returns the positions to store.
    pub(crate) fn forget(&mut self, keys: &[RowKey]) -> Result<Vec<SourcePosition>> {
        self.open = None;
        let mut changed = Vec::new();
        for (number, text) in &self.lists {
            let mut set = self.set(text)?;
            if keys.iter().filter(|key| set.remove(key)).count() > 0 {
                changed.push((*number, set.write()));
            }
        }
        let numbers: Vec<_> = changed.iter().map(|(number, _)| *number).collect();
        self.lists.extend(changed);
        Ok(numbers
            .into_iter()
            .map(|number| self.list_position(number))
            .collect())
    }

    /// Drops lists. Returns the positions to store, which delete them.
    pub(crate) fn drop_lists(&mut self, numbers: &[i64]) -> Vec<SourcePosition> {
        let drop = |number: &i64| {
            self.lists.remove(number);
            SourcePosition {
                partition: self.list_label(*number),
                offset: None,
            }
        };
        numbers.iter().map(drop).collect()
    }

    /// Replaces the keys of a chunk. Returns the position to store; `None` if nothing changed.
    pub(crate) fn replace(&mut self, at: usize, set: &KeySet) -> Option<SourcePosition> {
        let text = set.write();
        let chunk = self.chunks.get_mut(at).filter(|chunk| chunk.set != text)?;
        chunk.set = text;
        Some(self.position(at))
    }

    /// Splits a chunk behind a key into its keys up to there, and the others. Returns the positions
    /// to store.
    pub(crate) fn split(
        &mut self,
        at: usize,
        behind: &RowKey,
        before: &KeySet,
        after: &KeySet,
    ) -> Vec<SourcePosition> {
        let Some(chunk) = self.chunks.get_mut(at) else {
            return Vec::new();
        };
        let (bound, set) = (Some(behind.write()), after.write());
        let second = KeyPage {
            after: bound.clone(),
            up_to: std::mem::replace(&mut chunk.up_to, bound),
            set,
        };
        chunk.set = before.write();
        self.chunks.insert(at + 1, second);
        vec![self.position(at), self.position(at + 1)]
    }

    /// Joins a chunk with the one before, if both are small. Returns the positions to store; empty
    /// if they stay separate.
    pub(crate) fn join(&mut self, at: usize) -> Result<Vec<SourcePosition>> {
        let (Some(first), Some(second)) = (
            at.checked_sub(1).and_then(|n| self.chunks.get(n)),
            self.chunks.get(at),
        ) else {
            return Ok(Vec::new());
        };
        if first.set.len() + second.set.len() > LIGHT {
            return Ok(Vec::new());
        }
        let mut set = self.set(&first.set)?;
        set.extend(&self.set(&second.set)?);
        if set.is_full() {
            return Ok(Vec::new());
        }
        let second = self.chunks.remove(at);
        let gone = SourcePosition {
            partition: self.label(&second),
            offset: None,
        };
        if let Some(first) = self.chunks.get_mut(at - 1) {
            (first.up_to, first.set) = (second.up_to, set.write());
        }
        Ok(vec![self.position(at - 1), gone])
    }

    fn position(&self, at: usize) -> SourcePosition {
        let chunk = self.chunks.get(at).cloned().unwrap_or(KeyPage {
            after: None,
            up_to: None,
            set: String::new(),
        });
        let mut members = vec![
            (KEY.into(), value(&self.key)),
            (SET.into(), value(&chunk.set)),
        ];
        if let Some(bound) = &chunk.up_to {
            members.push((UP_TO.into(), value(bound)));
        }
        SourcePosition {
            partition: self.label(&chunk),
            offset: Some(SourceOffset(members)),
        }
    }

    fn list_position(&self, number: i64) -> SourcePosition {
        let set = self
            .lists
            .get(&number)
            .map(String::as_str)
            .unwrap_or_default();
        let members = vec![(KEY.into(), value(&self.key)), (SET.into(), value(set))];
        SourcePosition {
            partition: self.list_label(number),
            offset: Some(SourceOffset(members)),
        }
    }

    fn label(&self, chunk: &KeyPage) -> SourcePartition {
        self.with(KEYS, chunk.after.as_deref().unwrap_or_default())
    }

    fn list_label(&self, number: i64) -> SourcePartition {
        self.with(NEW_KEYS, &number.to_string())
    }

    fn with(&self, name: &str, text: &str) -> SourcePartition {
        let mut partition = self.partition.clone();
        partition.0.push((name.into(), value(text)));
        partition
    }
}

fn value(text: &str) -> OffsetValue {
    OffsetValue::Text(text.to_owned())
}

fn text(value: Option<&OffsetValue>) -> Option<String> {
    match value {
        Some(OffsetValue::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

fn broken() -> Error {
    Error::config(
        "the stored keys of delete.capture cannot be read: delete the offsets whose partition has \
         a member keys or new_keys (PATCH /connectors/NAME/offsets with a null offset for each) to \
         start again with the keys that exist then",
    )
}

#[cfg(test)]
mod tests {
    use connector_api::{OffsetValue, SourcePartition, SourcePosition};

    use super::{KeyPage, KnownKeys};
    use crate::source::plan::key_plan::KeyPlan;
    use crate::source::plan::key_set::{KeySet, RowKey};

    fn table() -> SourcePartition {
        SourcePartition(vec![("table".into(), OffsetValue::Text("d.t".into()))])
    }

    fn ids(keys: &[i64]) -> KeySet {
        let mut set = KeySet::new(true);
        keys.iter().for_each(|id| set.insert(RowKey::Id(*id)));
        set
    }

    fn known() -> KnownKeys {
        let mut known = KnownKeys::read(&table(), &[]);
        assert_eq!(known.fit(&KeyPlan::numbered("id")), []);
        known.chunks.push(KeyPage {
            after: None,
            up_to: None,
            set: String::new(),
        });
        known
    }

    /// Reads the keys back from stored positions.
    fn stored(positions: &[SourcePosition]) -> KnownKeys {
        let mut last: Vec<SourcePosition> = Vec::new();
        for position in positions {
            last.retain(|p| !p.partition.same_as(&position.partition));
            last.push(position.clone());
        }
        KnownKeys::read(&table(), &last)
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let mut known = known();
        let mut all = known.note([5, 6, 7].map(RowKey::Id));
        all.extend(known.replace(0, &ids(&[1, 2, 3, 8])));
        all.extend(known.split(0, &RowKey::Id(3), &ids(&[1, 2, 3]), &ids(&[8])));
        all.extend(known.note([9].map(RowKey::Id)));
        known.close();
        all.extend(known.note([10].map(RowKey::Id)));
        let read = stored(&all);
        assert_eq!(
            (&read.chunks, &read.lists, &read.key),
            (&known.chunks, &known.lists, &known.key)
        );
        assert_eq!((read.chunks.len(), read.lists.len()), (2, 2));
        all.extend(known.join(1).unwrap());
        all.extend(known.forget(&[RowKey::Id(6), RowKey::Id(10)]).unwrap());
        all.extend(known.drop_lists(&[1]));
        let read = stored(&all);
        assert_eq!(read.set(&read.chunks[0].set).unwrap(), ids(&[1, 2, 3, 8]));
        assert_eq!(
            (read.chunks.len(), read.list(0).unwrap()),
            (1, ids(&[5, 7, 9]))
        );
        assert!(
            all.iter().all(|position| KnownKeys::check(position).is_ok()
                && KnownKeys::owns(&position.partition))
        );
    }

    #[test]
    fn keys_of_another_kind_are_forgotten() {
        let mut known = known();
        let mut all = known.note([5].map(RowKey::Id));
        all.extend(known.replace(0, &ids(&[1])));
        let gone = known.fit(&KeyPlan::numbered("other"));
        assert_eq!(gone.iter().filter(|p| p.offset.is_none()).count(), 2);
        assert!(known.chunks.is_empty() && known.lists.is_empty());
        all.extend(gone);
        assert!(stored(&all).chunks.is_empty());
    }

    #[test]
    fn keys_in_a_list_stay_in_it() {
        let mut known = known();
        known.note((1..=2500).map(|n| RowKey::Id(n * 2)));
        assert_eq!(known.lists.len(), 3);
        let mut keys = [3, 4, 5000, 5002].map(RowKey::Id).to_vec();
        known.without_listed(&mut keys).unwrap();
        assert_eq!(keys, [3, 5002].map(RowKey::Id));
    }
}
