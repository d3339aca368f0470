//! Source partitions and offsets, byte for byte as Confluent's JDBC source stores them. Pure.
//!
//! A batch that ends between rows of one timestamp needs additional members: `at_…` says where it
//! stopped, while `timestamp` stays before the group, so that a Java connector that takes over
//! reads the group again and loses none of it. In incrementing mode `gaps` holds the ids below
//! `incrementing` whose rows may still appear, and `snapshot` the bounds of the ranges of a snapshot
//! shared by several tasks. A wall time that the clock of `db.timezone` skips is not an instant:
//! `…_wall` then holds it, in microseconds. The peers ignore members that they do not know.

use connector_api::{Error, OffsetValue, Result, SourceOffset, SourcePartition};
use serde_json::Value as Json;

use super::gaps::IdGaps;
use crate::ident::TableId;

const INCREMENTING: &str = "incrementing";
const TIMESTAMP: &str = "timestamp";
const NANOS: &str = "timestamp_nanos";
const AT_TIMESTAMP: &str = "at_timestamp";
const AT_NANOS: &str = "at_timestamp_nanos";
const AT_KEY: &str = "at_key";
const GAPS: &str = "gaps";
const SNAPSHOT: &str = "snapshot";
const RANGE: &str = "range";
/// Member of the partitions of tables that are read again.
pub(crate) const REREAD: &str = "reread";
const WALL: &str = "timestamp_wall";
const AT_WALL: &str = "at_timestamp_wall";

/// How far a table has been read. Timestamps are instants in microseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SourceProgress {
    /// Rows up to this timestamp are done (or, with an id, rows of this timestamp up to the id).
    pub timestamp: Option<i64>,
    /// The timestamp as a wall time, if that is skipped by the clock.
    pub wall: Option<i64>,
    /// Rows up to this id are done.
    pub id: Option<i64>,
    /// Timestamp mode: a group of equal timestamps that is partly done.
    pub within: Option<TieBreak>,
    /// Missing ids below `id` whose rows may still appear.
    pub gaps: IdGaps,
    /// The ranges of ids in which several tasks read the table's snapshot.
    pub snapshot: Option<SnapshotBounds>,
}

/// The bounds of the ranges of ids in which several tasks read a table's snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotBounds {
    /// At least two, in ascending order.
    bounds: Vec<i64>,
}

/// A position between rows of the same timestamp.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TieBreak {
    pub timestamp: i64,
    /// The timestamp as a wall time, if that is skipped by the clock.
    pub wall: Option<i64>,
    /// Key of the last row done: numbers and texts.
    pub key: Vec<OffsetValue>,
}

/// Returns the partition of a table: protocol 1.
pub(crate) fn table(id: &TableId, qualify: bool) -> SourcePartition {
    if !qualify {
        return bare_table(id);
    }
    SourcePartition(vec![
        ("protocol".into(), text("1")),
        ("table".into(), text(&full_name(id))),
    ])
}

/// Returns the partition of a table by its unqualified name: protocol 0, and bulk mode.
pub(crate) fn bare_table(id: &TableId) -> SourcePartition {
    SourcePartition(vec![("table".into(), text(&id.table))])
}

/// Returns the partition of a range of a table's ids.
pub(crate) fn range(id: &TableId, qualify: bool, n: usize) -> SourcePartition {
    let mut partition = table(id, qualify);
    partition.0.push((RANGE.into(), text(&n.to_string())));
    partition
}

/// Returns the partition under which is stored how far a table has been read again.
pub(crate) fn reread(id: &TableId, qualify: bool) -> SourcePartition {
    let mut partition = table(id, qualify);
    partition.0.push((REREAD.into(), text("1")));
    partition
}

/// Returns the partition of a query.
pub(crate) fn query() -> SourcePartition {
    SourcePartition(vec![("query".into(), text("query"))])
}

/// Returns the name as offsets have it: PostgreSQL's without its database.
fn full_name(id: &TableId) -> String {
    if id.schema.is_some() {
        TableId {
            catalog: None,
            ..id.clone()
        }
        .to_string()
    } else {
        id.to_string()
    }
}

impl SourceProgress {
    /// Reads a stored offset. Errors: `Config` for a member of the wrong type.
    pub(crate) fn read(offset: &SourceOffset) -> Result<Self> {
        let timestamp = timestamp_of(offset, TIMESTAMP, NANOS)?;
        let within = match (
            timestamp_of(offset, AT_TIMESTAMP, AT_NANOS)?,
            offset.get(AT_KEY),
        ) {
            (Some(timestamp), Some(OffsetValue::Text(key))) => {
                let key = read_key(key).ok_or_else(|| wrong(AT_KEY))?;
                Some(TieBreak {
                    timestamp,
                    wall: long(offset, AT_WALL)?,
                    key,
                })
            }
            (None, None) => None,
            _ => return Err(wrong(AT_KEY)),
        };
        let gaps = match offset.get(GAPS) {
            None | Some(OffsetValue::Null) => Some(IdGaps::default()),
            Some(OffsetValue::Text(text)) => IdGaps::read(text),
            Some(_) => None,
        };
        let gaps = gaps.ok_or_else(|| wrong(GAPS))?;
        let snapshot = match offset.get(SNAPSHOT) {
            None | Some(OffsetValue::Null) => None,
            Some(OffsetValue::Text(text)) => {
                Some(SnapshotBounds::read(text).ok_or_else(|| wrong(SNAPSHOT))?)
            }
            Some(_) => return Err(wrong(SNAPSHOT)),
        };
        Ok(Self {
            timestamp,
            wall: long(offset, WALL)?,
            id: long(offset, INCREMENTING)?,
            within,
            gaps,
            snapshot,
        })
    }

    /// Returns the offset to store, members in the order in which the peers write them.
    pub(crate) fn write(&self) -> SourceOffset {
        let mut members = Vec::with_capacity(3);
        if let Some(timestamp) = self.timestamp {
            members.push((
                NANOS.to_owned(),
                OffsetValue::Long(timestamp.rem_euclid(1_000_000) * 1000),
            ));
        }
        if let Some(id) = self.id {
            members.push((INCREMENTING.to_owned(), OffsetValue::Long(id)));
        }
        if let Some(timestamp) = self.timestamp {
            members.push((
                TIMESTAMP.to_owned(),
                OffsetValue::Long(timestamp.div_euclid(1000)),
            ));
        }
        if let Some(wall) = self.wall {
            members.push((WALL.to_owned(), OffsetValue::Long(wall)));
        }
        if let Some(within) = &self.within {
            members.push((
                AT_NANOS.to_owned(),
                OffsetValue::Long(within.timestamp.rem_euclid(1_000_000) * 1000),
            ));
            members.push((
                AT_TIMESTAMP.to_owned(),
                OffsetValue::Long(within.timestamp.div_euclid(1000)),
            ));
            if let Some(wall) = within.wall {
                members.push((AT_WALL.to_owned(), OffsetValue::Long(wall)));
            }
            members.push((AT_KEY.to_owned(), OffsetValue::Text(write_key(&within.key))));
        }
        if !self.gaps.is_empty() {
            members.push((GAPS.to_owned(), OffsetValue::Text(self.gaps.write())));
        }
        if let Some(snapshot) = &self.snapshot {
            members.push((SNAPSHOT.to_owned(), OffsetValue::Text(snapshot.write())));
        }
        SourceOffset(members)
    }
}

impl SnapshotBounds {
    /// Makes bounds; `None` if there are fewer than two, or they are not in ascending order.
    pub(crate) fn new(bounds: Vec<i64>) -> Option<Self> {
        (bounds.len() > 1 && bounds.is_sorted()).then_some(Self { bounds })
    }

    /// Returns the bounds in ascending order.
    pub(crate) fn as_slice(&self) -> &[i64] {
        &self.bounds
    }

    /// Writes the bounds as text.
    pub(crate) fn write(&self) -> String {
        self.bounds
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Parses the text that [`Self::write`] returns. `None` if it is invalid.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let bounds = text.split(',').map(|bound| bound.parse().ok());
        Self::new(bounds.collect::<Option<_>>()?)
    }
}

/// Converts milliseconds and the nanoseconds of their second to microseconds. Without nanoseconds
/// the milliseconds count.
fn timestamp_of(offset: &SourceOffset, millis: &str, nanos: &str) -> Result<Option<i64>> {
    let Some(millis) = long(offset, millis)? else {
        return Ok(None);
    };
    let nanos = long(offset, nanos)?;
    Ok(Some(match nanos {
        Some(nanos) => millis.div_euclid(1000) * 1_000_000 + nanos / 1000,
        None => millis * 1000,
    }))
}

fn long(offset: &SourceOffset, name: &str) -> Result<Option<i64>> {
    match offset.get(name) {
        None | Some(OffsetValue::Null) => Ok(None),
        Some(OffsetValue::Long(n)) => Ok(Some(*n)),
        Some(_) => Err(wrong(name)),
    }
}

fn wrong(name: &str) -> Error {
    Error::config(format!(
        "the offset's member {name} is invalid (expected: {}); set it with PATCH \
         /connectors/NAME/offsets, or delete the offsets to read everything again",
        match name {
            AT_KEY => "a JSON array of the key's values, in a text",
            SNAPSHOT => "bounds of ranges of ids such as -1,500,1000, in a text",
            GAPS => "ranges of missing ids such as 17*2,5, in a text",
            _ => "a whole number",
        }
    ))
}

/// Writes a key as a JSON array of numbers and texts, as text because offsets hold scalars only.
pub(super) fn write_key(key: &[OffsetValue]) -> String {
    let items = key.iter().map(|value| match value {
        OffsetValue::Long(n) => Json::from(*n),
        OffsetValue::Text(t) => Json::from(t.as_str()),
        _ => Json::Null,
    });
    Json::Array(items.collect()).to_string()
}

pub(super) fn read_key(text: &str) -> Option<Vec<OffsetValue>> {
    let items: Vec<Json> = serde_json::from_str(text).ok()?;
    let value = |item: Json| match item {
        Json::Number(n) => n.as_i64().map(OffsetValue::Long),
        Json::String(t) => Some(OffsetValue::Text(t)),
        _ => None,
    };
    items.into_iter().map(value).collect()
}

fn text(value: &str) -> OffsetValue {
    OffsetValue::Text(value.to_owned())
}

#[cfg(test)]
mod tests {
    use connector_api::{OffsetValue, SourceOffset};

    use super::{SnapshotBounds, SourceProgress, TieBreak, bare_table, table};
    use crate::ident::TableId;

    fn offset(members: &[(&str, i64)]) -> SourceOffset {
        SourceOffset(
            members
                .iter()
                .map(|(n, v)| ((*n).to_owned(), OffsetValue::Long(*v)))
                .collect(),
        )
    }

    #[test]
    fn offsets_are_written_and_read_as_the_peers_do() {
        let timestamp = 1_704_067_200_000_003;
        for (reached, want) in [
            (
                SourceProgress {
                    id: Some(5),
                    ..SourceProgress::default()
                },
                offset(&[("incrementing", 5)]),
            ),
            (
                SourceProgress {
                    timestamp: Some(timestamp),
                    ..SourceProgress::default()
                },
                offset(&[("timestamp_nanos", 3000), ("timestamp", 1_704_067_200_000)]),
            ),
            (
                SourceProgress {
                    timestamp: Some(-18_489_599_750_000),
                    id: Some(1),
                    ..SourceProgress::default()
                },
                offset(&[
                    ("timestamp_nanos", 250_000_000),
                    ("incrementing", 1),
                    ("timestamp", -18_489_599_750),
                ]),
            ),
        ] {
            assert_eq!(reached.write(), want);
            assert_eq!(SourceProgress::read(&want).unwrap(), reached);
        }
        let millis = SourceProgress::read(&offset(&[("timestamp", 1500)])).unwrap();
        assert_eq!(millis.timestamp, Some(1_500_000));
        let text = SourceOffset(vec![(
            "incrementing".into(),
            OffsetValue::Text("five".into()),
        )]);
        assert!(SourceProgress::read(&text).is_err());
    }

    #[test]
    fn a_position_within_equal_timestamps_survives() {
        let key = vec![
            OffsetValue::Long(-7),
            OffsetValue::Text("a\0\"b".into()),
            OffsetValue::Text(String::new()),
        ];
        for (wall, at_wall) in [(None, None), (Some(3), Some(-4))] {
            let within = Some(TieBreak {
                timestamp: 2,
                wall: at_wall,
                key: key.clone(),
            });
            let reached = SourceProgress {
                timestamp: Some(1),
                wall,
                within,
                ..SourceProgress::default()
            };
            assert_eq!(SourceProgress::read(&reached.write()).unwrap(), reached);
        }
    }

    #[test]
    fn missing_ids_are_kept() {
        let stored = SourceOffset(vec![
            ("incrementing".into(), OffsetValue::Long(9)),
            ("gaps".into(), OffsetValue::Text("3*2,3".into())),
        ]);
        let reached = SourceProgress::read(&stored).unwrap();
        assert_eq!(reached.gaps.ranges().collect::<Vec<_>>(), [(3, 4), (7, 7)]);
        assert_eq!(reached.write(), stored);
        assert!(
            SourceProgress::read(&SourceOffset(vec![(
                "gaps".into(),
                OffsetValue::Text("x".into())
            )]))
            .is_err()
        );
    }

    #[test]
    fn bounds_of_a_snapshot_ascend() {
        let bounds = SnapshotBounds::read("-1,25,50").unwrap();
        assert_eq!(bounds.as_slice(), [-1, 25, 50]);
        assert_eq!(bounds.write(), "-1,25,50");
        for wrong in ["", "5", "5,a", "5,4"] {
            assert_eq!(SnapshotBounds::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn partitions_name_tables_by_protocol() {
        let id = TableId {
            catalog: Some("shop".into()),
            schema: Some("public".into()),
            table: "t".into(),
        };
        let shown = |p: connector_api::SourcePartition| format!("{:?}", p.0);
        assert_eq!(
            shown(table(&id, true)),
            r#"[("protocol", Text("1")), ("table", Text("public.t"))]"#
        );
        assert_eq!(
            shown(table(&TableId::in_catalog("d", "t"), true)),
            r#"[("protocol", Text("1")), ("table", Text("d.t"))]"#
        );
        assert_eq!(table(&id, false), bare_table(&id));
    }
}
