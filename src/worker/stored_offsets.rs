//! Source positions in the format of Kafka Connect's offsets topic: key
//! `["connector",{partition}]`, value `{offset}`.
//!
//! Kafka Connect compares keys byte by byte. Here keys are compared by meaning, and a position is
//! written under the key bytes seen first, so that a connector taken over from Kafka Connect
//! continues its own records. Pure.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use connector_api::{
    OffsetValue, Result, SourceOffset, SourcePartition, SourcePosition, StoredOffsets,
};
use serde_json::{Map, Value};

/// The stored positions of one connector.
#[derive(Clone, Debug, Default)]
pub struct ConnectorOffsetsReader {
    connector: String,
    entries: Vec<CachedOffset>,
    /// Indexes of the entries that mean the same partition, by that meaning; rarely more than one.
    places: HashMap<String, Vec<usize>>,
}

#[derive(Clone, Debug)]
struct CachedOffset {
    key: Vec<u8>,
    partition: SourcePartition,
    offset: Option<SourceOffset>,
}

impl ConnectorOffsetsReader {
    /// Collects the entries of `connector` from all records of the topic. Unreadable records are
    /// taken for another connector's.
    pub fn of(connector: &str, table: &BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        let entry = |(key, value): (&Vec<u8>, &Vec<u8>)| {
            let (owner, partition) = parse_key(key)?;
            let offset = Some(SourceOffset(members(serde_json::from_slice(value).ok()?)?));
            (owner == connector).then(|| CachedOffset {
                key: key.clone(),
                partition,
                offset,
            })
        };
        let mut stored = Self {
            connector: connector.to_owned(),
            ..Self::default()
        };
        table
            .iter()
            .filter_map(entry)
            .for_each(|entry| stored.add(entry));
        stored
    }

    fn add(&mut self, entry: CachedOffset) {
        self.places
            .entry(entry.partition.meaning())
            .or_default()
            .push(self.entries.len());
        self.entries.push(entry);
    }

    /// Returns the entry of a partition: the one with its members in the same order, else the
    /// first.
    fn find_index(&self, partition: &SourcePartition) -> Option<usize> {
        let places = self.places.get(&partition.meaning())?;
        let exactly = |at: &&usize| {
            self.entries
                .get(**at)
                .is_some_and(|entry| entry.partition == *partition)
        };
        places.iter().find(exactly).or(places.first()).copied()
    }

    /// Returns the stored offset of a partition.
    pub fn get(&self, partition: &SourcePartition) -> Option<&SourceOffset> {
        self.entries
            .get(self.find_index(partition)?)?
            .offset
            .as_ref()
    }

    /// Returns all positions that hold an offset.
    pub fn positions(&self) -> Vec<SourcePosition> {
        let held = self.entries.iter().filter(|e| e.offset.is_some());
        held.map(|e| SourcePosition {
            partition: e.partition.clone(),
            offset: e.offset.clone(),
        })
        .collect()
    }

    /// Returns the record that stores a position: its key, and its value or `None` for a tombstone.
    pub fn record(&mut self, position: &SourcePosition) -> (Vec<u8>, Option<Vec<u8>>) {
        let at = self.find_index(&position.partition);
        let value = position
            .offset
            .as_ref()
            .map(|offset| to_bytes(&json(&offset.0)));
        let key = match at.and_then(|at| self.entries.get_mut(at)) {
            Some(entry) => {
                entry.offset.clone_from(&position.offset);
                entry.key.clone()
            }
            None => {
                let SourcePosition { partition, offset } = position.clone();
                let key = to_bytes(&Value::Array(vec![
                    self.connector.as_str().into(),
                    json(&partition.0),
                ]));
                self.add(CachedOffset {
                    key: key.clone(),
                    partition,
                    offset,
                });
                key
            }
        };
        (key, value)
    }
}

/// The interface through which a connector reads its positions.
#[async_trait]
impl StoredOffsets for ConnectorOffsetsReader {
    async fn read(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>> {
        Ok(partitions
            .iter()
            .map(|partition| self.get(partition).cloned())
            .collect())
    }

    async fn all(&self) -> Result<Vec<SourcePosition>> {
        Ok(self.positions())
    }
}

/// Returns the position with its members in the order in which Kafka Connect stores offsets that a
/// client has set: that of a Java `HashMap`, which `OffsetUtils` and `JsonConverter` read them
/// into.
pub(super) fn sort_in_java_order(position: &SourcePosition) -> SourcePosition {
    let mut position = position.clone();
    java_order(&mut position.partition.0);
    if let Some(offset) = &mut position.offset {
        java_order(&mut offset.0);
    }
    position
}

fn java_order(members: &mut [(String, OffsetValue)]) {
    let mut buckets = 16;
    while members.len() > buckets / 4 * 3 {
        buckets *= 2;
    }
    members.sort_by_key(|(name, _)| {
        let hash = name
            .encode_utf16()
            .fold(0u32, |hash, c| hash.wrapping_mul(31).wrapping_add(c.into()));
        (hash ^ hash >> 16) as usize % buckets
    });
}

/// True if the key belongs to that connector.
pub(super) fn is_of(connector: &str, key: &[u8]) -> bool {
    parse_key(key).is_some_and(|(owner, _)| owner == connector)
}

/// Parses a key into connector and partition.
fn parse_key(key: &[u8]) -> Option<(String, SourcePartition)> {
    let Value::Array(parts) = serde_json::from_slice(key).ok()? else {
        return None;
    };
    let [Value::String(connector), partition]: [Value; 2] = parts.try_into().ok()? else {
        return None;
    };
    Some((connector, SourcePartition(members(partition)?)))
}

fn members(value: Value) -> Option<Vec<(String, OffsetValue)>> {
    let Value::Object(map) = value else {
        return None;
    };
    map.into_iter()
        .map(|(name, value)| Some((name, scalar(value)?)))
        .collect()
}

fn scalar(value: Value) -> Option<OffsetValue> {
    Some(match value {
        Value::Null => OffsetValue::Null,
        Value::Bool(b) => OffsetValue::Bool(b),
        Value::String(text) => OffsetValue::Text(text),
        Value::Number(n) => match n.as_i64() {
            Some(n) => OffsetValue::Long(n),
            None => OffsetValue::Double(n.as_f64()?),
        },
        Value::Array(_) | Value::Object(_) => return None,
    })
}

fn json(members: &[(String, OffsetValue)]) -> Value {
    let value = |v: &OffsetValue| match v {
        OffsetValue::Null => Value::Null,
        OffsetValue::Bool(b) => Value::Bool(*b),
        OffsetValue::Long(n) => Value::from(*n),
        OffsetValue::Double(d) => Value::from(*d),
        OffsetValue::Text(text) => Value::from(text.as_str()),
    };
    Value::Object(
        members
            .iter()
            .map(|(name, v)| (name.clone(), value(v)))
            .collect::<Map<_, _>>(),
    )
}

fn to_bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, value: &str) -> (String, OffsetValue) {
        (name.to_owned(), OffsetValue::Text(value.to_owned()))
    }

    fn table(records: &[(&str, &str)]) -> BTreeMap<Vec<u8>, Vec<u8>> {
        records
            .iter()
            .map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn keys_of_kafka_connect_are_found_by_meaning_and_written_again_as_they_were() {
        let key = r#"["c", {"table":"db.t","protocol":"1"}]"#;
        let mut stored = ConnectorOffsetsReader::of(
            "c",
            &table(&[
                (
                    key,
                    r#"{"timestamp_nanos":5,"incrementing":7,"timestamp":1000}"#,
                ),
                (r#"["d",{"x":1}]"#, "{}"),
                ("??", "{}"),
            ]),
        );
        let partition = SourcePartition(vec![text("protocol", "1"), text("table", "db.t")]);
        assert_eq!(
            stored.get(&partition).and_then(|o| o.get("incrementing")),
            Some(&OffsetValue::Long(7))
        );
        assert_eq!(stored.positions().len(), 1);
        let offset = Some(SourceOffset(vec![(
            "incrementing".to_owned(),
            OffsetValue::Long(9),
        )]));
        let (written, value) = stored.record(&SourcePosition {
            partition: partition.clone(),
            offset,
        });
        assert_eq!(written, key.as_bytes());
        assert_eq!(value.as_deref(), Some(&br#"{"incrementing":9}"#[..]));
        assert_eq!(
            stored
                .record(&SourcePosition {
                    partition,
                    offset: None
                })
                .1,
            None
        );
        assert!(stored.positions().is_empty());
    }

    #[test]
    fn what_a_client_sets_is_stored_in_the_order_of_a_java_map() {
        let long = |name: &str| (name.to_owned(), OffsetValue::Long(1));
        let offset = SourceOffset(vec![
            long("incrementing"),
            long("timestamp"),
            long("timestamp_nanos"),
        ]);
        let partition = SourcePartition(vec![text("table", "t"), text("protocol", "1")]);
        let set = sort_in_java_order(&SourcePosition {
            partition,
            offset: Some(offset),
        });
        let names = |members: &[(String, OffsetValue)]| {
            members.iter().map(|m| m.0.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&set.partition.0), ["protocol", "table"]);
        assert_eq!(
            names(&set.offset.unwrap().0),
            ["timestamp_nanos", "incrementing", "timestamp"]
        );
    }

    #[test]
    fn of_two_keys_that_mean_one_partition_the_one_in_the_same_order_counts() {
        let (a, b) = (
            r#"["c",{"protocol":"1","table":"t"}]"#,
            r#"["c",{"table":"t","protocol":"1"}]"#,
        );
        let mut stored = ConnectorOffsetsReader::of(
            "c",
            &table(&[(a, r#"{"incrementing":1}"#), (b, r#"{"incrementing":2}"#)]),
        );
        let partition = |names: [&str; 2]| {
            SourcePartition(
                names
                    .map(|n| text(n, if n == "table" { "t" } else { "1" }))
                    .to_vec(),
            )
        };
        let id = |stored: &ConnectorOffsetsReader, names| {
            stored
                .get(&partition(names))
                .and_then(|o| o.get("incrementing").cloned())
        };
        let (of_a, of_b) = (["protocol", "table"], ["table", "protocol"]);
        assert_eq!(
            [id(&stored, of_a), id(&stored, of_b)],
            [1, 2].map(|n| Some(OffsetValue::Long(n)))
        );
        let offset = Some(SourceOffset(vec![(
            "incrementing".to_owned(),
            OffsetValue::Long(3),
        )]));
        assert_eq!(
            stored
                .record(&SourcePosition {
                    partition: partition(of_b),
                    offset
                })
                .0,
            b.as_bytes()
        );
        assert_eq!(
            [id(&stored, of_a), id(&stored, of_b)],
            [1, 3].map(|n| Some(OffsetValue::Long(n)))
        );
    }

    #[test]
    fn new_keys_have_connects_form() {
        let mut stored = ConnectorOffsetsReader::of("my \"c\"", &BTreeMap::new());
        let partition = SourcePartition(vec![text("query", "query")]);
        let (key, value) = stored.record(&SourcePosition {
            partition,
            offset: Some(SourceOffset::default()),
        });
        assert_eq!(key, br#"["my \"c\"",{"query":"query"}]"#);
        assert_eq!(value.unwrap(), b"{}");
    }
}
