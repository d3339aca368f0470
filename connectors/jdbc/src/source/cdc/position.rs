//! Where the log has been read to, and which rows of a table were there before: what is stored in
//! the transaction of the records.

use std::cmp::Ordering;

use connector_api::{
    Decimal, Error, OffsetValue, Result, SourceOffset, SourcePartition, SourcePosition, Value,
};
use serde_json::Value as Json;

use super::polled::PolledIds;
use super::xa::{self, HeldXa};
use crate::binlog::gtid::GtidSet;
use crate::ident::TableId;
use crate::source::plan::offset::REREAD;
use crate::source::plan::reread::RereadPlace;

const SERVER: &str = "server";
const TABLE: &str = "table";
const FILE: &str = "file";
const POS: &str = "pos";
const GTIDS: &str = "gtids";
const EVENT: &str = "event";
const ROW: &str = "row";
const HOST: &str = "server_id";
const SNAPSHOT: &str = "snapshot";
const FRONT: &str = "front";
const COLUMNS: &str = "columns";
const XA: &str = "xa";
const POLLED: &str = "polled";

/// A position in a server's log files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogPosition {
    pub file: String,
    pub position: u64,
}

/// What has been emitted of a server's log.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StreamProgress {
    /// Completed transactions.
    pub gtids: GtidSet,
    /// The end of the last completed transaction.
    pub position: Option<LogPosition>,
    /// The number of the server that the position is of.
    pub host: Option<i64>,
    /// Row events done in the transaction that follows.
    pub event: u64,
    /// Rows done in the row event that follows them.
    pub row: u64,
    /// Prepared transactions that may have changed captured tables.
    pub xa: Vec<HeldXa>,
}

/// Which rows of a table have been emitted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum TableFront {
    /// None yet: its changes are of no concern, a later snapshot has them.
    #[default]
    Before,
    /// Those whose keys are up to this one.
    UpTo(Vec<Value>),
    /// All: changes follow.
    Done,
}

/// What is stored of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TableProgressStored {
    pub front: TableFront,
    /// The columns of the rows that follow in the log, as `definition` writes them.
    pub columns: Option<String>,
    /// What another mode has emitted.
    pub polled: Option<PolledIds>,
}

impl LogPosition {
    /// True if everything before `other` is before this position.
    pub(super) fn has_reached(&self, other: &Self) -> bool {
        self.order(other) != Ordering::Less
    }

    /// Files are in the order of the numbers at the end of their names.
    fn order(&self, other: &Self) -> Ordering {
        let number = |file: &str| {
            let digits = file.rsplit('.').next().unwrap_or_default();
            digits.parse::<u64>().unwrap_or(0)
        };
        (number(&self.file), &self.file, self.position).cmp(&(
            number(&other.file),
            &other.file,
            other.position,
        ))
    }
}

/// The partition of a connector's log.
pub(super) fn stream_partition(topic_prefix: &str) -> SourcePartition {
    SourcePartition(vec![(SERVER.into(), text(topic_prefix))])
}

/// The partition of a table's rows that were there before.
pub(super) fn table_partition(topic_prefix: &str, id: &TableId) -> SourcePartition {
    SourcePartition(vec![
        (SERVER.into(), text(topic_prefix)),
        (TABLE.into(), text(&id.to_string())),
    ])
}

/// The partition of a table's rows that are read again.
pub(super) fn reread_partition(topic_prefix: &str, id: &TableId) -> SourcePartition {
    let mut partition = table_partition(topic_prefix, id);
    partition.0.push((REREAD.into(), text("1")));
    partition
}

/// True if the partition is one of `mode=cdc`.
pub(in crate::source) fn owns(partition: &SourcePartition) -> bool {
    partition.get(SERVER).is_some()
}

/// Errors: `Config` for a position that a task could not read.
pub(in crate::source) fn check(position: &SourcePosition) -> Result<()> {
    let Some(offset) = &position.offset else {
        return Ok(());
    };
    if position.partition.get(REREAD).is_some() {
        RereadPlace::read(offset).map(drop)
    } else if super::slot::owns_offset(offset) {
        super::slot::check_offset(offset)
    } else if position.partition.get(TABLE).is_some() {
        TableProgressStored::read(offset).map(drop)
    } else {
        StreamProgress::read(offset).map(drop)
    }
}

impl StreamProgress {
    /// Reads a stored offset.
    pub(super) fn read(offset: &SourceOffset) -> Result<Self> {
        let gtids = match string(offset, GTIDS)? {
            None => GtidSet::default(),
            Some(list) => GtidSet::parse(list).ok_or_else(|| wrong(GTIDS, "0-1-100,1-1-5"))?,
        };
        let count = |name| {
            let n = long(offset, name)?.unwrap_or(0);
            u64::try_from(n).map_err(|_| wrong(name, "a count"))
        };
        let position = match (string(offset, FILE)?, long(offset, POS)?) {
            (Some(file), Some(at)) => Some(LogPosition {
                file: file.to_owned(),
                position: u64::try_from(at).map_err(|_| wrong(POS, "a position"))?,
            }),
            _ => None,
        };
        if gtids.is_empty() && position.is_none() {
            return Err(wrong(GTIDS, "0-1-100,1-1-5"));
        }
        Ok(Self {
            gtids,
            position,
            host: long(offset, HOST)?,
            event: count(EVENT)?,
            row: count(ROW)?,
            xa: string(offset, XA)?
                .map_or(Some(Vec::new()), xa::read)
                .ok_or_else(|| wrong(XA, "a JSON array"))?,
        })
    }

    /// Writes the offset.
    pub(super) fn write(&self) -> SourceOffset {
        let number = |n: u64| OffsetValue::Long(i64::try_from(n).unwrap_or(i64::MAX));
        let mut members = Vec::new();
        if let Some(at) = &self.position {
            members.push((FILE.into(), text(&at.file)));
            members.push((POS.into(), number(at.position)));
        }
        if !self.gtids.is_empty() {
            members.push((GTIDS.into(), text(&self.gtids.to_string())));
        }
        if let Some(host) = self.host {
            members.push((HOST.into(), OffsetValue::Long(host)));
        }
        if self.event > 0 || self.row > 0 {
            members.push((EVENT.into(), number(self.event)));
            members.push((ROW.into(), number(self.row)));
        }
        if !self.xa.is_empty() {
            members.push((XA.into(), text(&xa::write(&self.xa))));
        }
        SourceOffset(members)
    }
}

impl TableProgressStored {
    /// Reads a stored offset.
    pub(super) fn read(offset: &SourceOffset) -> Result<Self> {
        let front = match (string(offset, SNAPSHOT)?, string(offset, FRONT)?) {
            (Some("done"), _) => TableFront::Done,
            (Some("running"), Some(front)) => {
                TableFront::UpTo(read_key(front).ok_or_else(|| wrong(FRONT, "[{\"n\":5}]"))?)
            }
            (Some("running"), None) => TableFront::Before,
            _ => return Err(wrong(SNAPSHOT, "running or done")),
        };
        let polled = string(offset, POLLED)?;
        Ok(Self {
            front,
            columns: string(offset, COLUMNS)?.map(Into::into),
            polled: polled
                .map(|text| PolledIds::read(text).ok_or_else(|| wrong(POLLED, "a JSON object")))
                .transpose()?,
        })
    }

    /// Writes the offset.
    pub(super) fn write(&self) -> SourceOffset {
        let state = match self.front {
            TableFront::Done => "done",
            TableFront::Before | TableFront::UpTo(_) => "running",
        };
        let mut members = vec![(SNAPSHOT.into(), text(state))];
        if let TableFront::UpTo(key) = &self.front {
            members.push((FRONT.into(), text(&write_key(key))));
        }
        if let Some(columns) = &self.columns {
            members.push((COLUMNS.into(), text(columns)));
        }
        if let (Some(polled), true) = (&self.polled, self.front != TableFront::Done) {
            members.push((POLLED.into(), text(&polled.write())));
        }
        SourceOffset(members)
    }
}

pub(super) fn text(value: &str) -> OffsetValue {
    OffsetValue::Text(value.to_owned())
}

fn string<'a>(offset: &'a SourceOffset, name: &str) -> Result<Option<&'a str>> {
    match offset.get(name) {
        None | Some(OffsetValue::Null) => Ok(None),
        Some(OffsetValue::Text(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(name, "a text")),
    }
}

pub(super) fn long(offset: &SourceOffset, name: &str) -> Result<Option<i64>> {
    match offset.get(name) {
        None | Some(OffsetValue::Null) => Ok(None),
        Some(OffsetValue::Long(n)) => Ok(Some(*n)),
        Some(_) => Err(wrong(name, "a whole number")),
    }
}

pub(super) fn wrong(name: &str, expected: &str) -> Error {
    Error::config(format!(
        "the offset's member {name} is invalid (expected: {expected}); set it with PATCH \
         /connectors/NAME/offsets, or delete the offsets to read everything again"
    ))
}

/// Writes a key as JSON: numbers, decimals, texts and bytes are distinguished.
pub(super) fn write_key(key: &[Value]) -> String {
    let item = |value: &Value| match value {
        Value::Decimal(decimal) => serde_json::json!({ "d": decimal.to_string() }),
        Value::Text(text) => serde_json::json!({ "t": &**text }),
        Value::Bytes(bytes) => {
            use base64::Engine as _;
            serde_json::json!({ "b": base64::prelude::BASE64_STANDARD.encode(bytes) })
        }
        Value::Bool(set) => serde_json::json!({ "n": i64::from(*set) }),
        other => serde_json::json!({ "n": other.as_i64() }),
    };
    Json::Array(key.iter().map(item).collect()).to_string()
}

fn read_key(text: &str) -> Option<Vec<Value>> {
    let items: Vec<Json> = serde_json::from_str(text).ok()?;
    let item = |json: Json| {
        let (name, value) = json.as_object()?.iter().next()?;
        Some(match (name.as_str(), value) {
            ("n", Json::Number(n)) => Value::I64(n.as_i64()?),
            ("d", Json::String(digits)) => Value::Decimal(Box::new(Decimal::parse(digits)?)),
            ("t", Json::String(text)) => Value::Text(text.as_str().into()),
            ("b", Json::String(text)) => {
                use base64::Engine as _;
                Value::Bytes(base64::prelude::BASE64_STANDARD.decode(text).ok()?.into())
            }
            _ => return None,
        })
    };
    items.into_iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use connector_api::{Decimal, OffsetValue, SourceOffset, Value};

    use super::super::polled::PolledIds;
    use super::super::xa::HeldXa;
    use super::{LogPosition, StreamProgress, TableFront, TableProgressStored};
    use crate::binlog::gtid::GtidSet;
    use crate::source::plan::gaps::IdGaps;

    fn at(file: &str, position: u64) -> LogPosition {
        LogPosition {
            file: file.into(),
            position,
        }
    }

    #[test]
    fn files_are_ordered_by_their_numbers() {
        assert!(at("b.1000000", 4).has_reached(&at("b.999999", 900)));
        assert!(at("b.000002", 5).has_reached(&at("b.000002", 5)));
        assert!(!at("b.000002", 4).has_reached(&at("b.000002", 5)));
    }

    #[test]
    fn progress_survives_its_storage() {
        let progress = StreamProgress {
            gtids: GtidSet::parse("0-1-5,7-2-9").unwrap(),
            position: Some(at("b.000002", 77)),
            host: Some(3),
            event: 4,
            row: 2,
            xa: vec![HeldXa {
                xid: "x'61',x'',1".into(),
                rows: None,
            }],
        };
        assert_eq!(StreamProgress::read(&progress.write()).unwrap(), progress);
        let key = vec![
            Value::I64(-5),
            Value::Decimal(Box::new(Decimal::new(-150, 2))),
            Value::Text("ä\"".into()),
            Value::Bytes([0, 255].into()),
        ];
        let polled = PolledIds {
            column: "id".into(),
            up_to: 9,
            missing: IdGaps::read("4").unwrap(),
        };
        for front in [TableFront::Before, TableFront::UpTo(key), TableFront::Done] {
            let stored = TableProgressStored {
                polled: (front != TableFront::Done).then(|| polled.clone()),
                front,
                columns: Some("[]".into()),
            };
            assert_eq!(TableProgressStored::read(&stored.write()).unwrap(), stored);
        }
    }

    #[test]
    fn positions_that_lead_nowhere_are_refused() {
        for (name, value) in [
            ("gtids", OffsetValue::Text("0-1".into())),
            ("gtids", OffsetValue::Long(1)),
            ("event", OffsetValue::Long(-1)),
        ] {
            let offset = SourceOffset(vec![(name.into(), value)]);
            assert!(StreamProgress::read(&offset).is_err(), "{name}");
        }
        assert!(TableProgressStored::read(&SourceOffset(Vec::new())).is_err());
    }
}
