//! What another mode has emitted of a table before the connector's mode became `cdc`.

use connector_api::{Result, SourceOffset, StoredOffsets, Value};
use serde_json::{Value as Json, json};

use super::position::TableFront;
use crate::catalog::TableMeta;
use crate::source::config::SourceConfig;
use crate::source::plan::gaps::IdGaps;
use crate::source::plan::mode_columns;
use crate::source::plan::offset::{self, SourceProgress};
use crate::source::plan::ranges::SnapshotRanges;
use crate::source::plan::table::TablePlan;

/// The ids that `mode=incrementing` has emitted: no snapshot emits their rows again, and their
/// changes follow from the log at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PolledIds {
    /// The incrementing column.
    pub column: String,
    /// All up to this one, but for those that were missing.
    pub up_to: i64,
    pub missing: IdGaps,
}

impl PolledIds {
    /// True if the row of that id was emitted.
    pub(super) fn has(&self, id: i64) -> bool {
        id <= self.up_to && !self.missing.contains(id)
    }

    /// Where the rows begin that were not emitted.
    fn before_missing(&self) -> i64 {
        let first = self.missing.ranges().next();
        first.map_or(self.up_to, |(first, _)| first.saturating_sub(1))
    }

    /// Where a snapshot of the table begins.
    pub(super) fn front(&self, plan: &TablePlan) -> TableFront {
        let is_key = match plan.order.as_slice() {
            [column] => plan.layout.columns.get(*column),
            _ => None,
        };
        if is_key.is_some_and(|key| *key.name == *self.column) {
            TableFront::UpTo(vec![Value::I64(self.before_missing())])
        } else {
            TableFront::Before
        }
    }

    /// Writes the member of a stored offset.
    pub(super) fn write(&self) -> String {
        json!({"column": self.column, "up_to": self.up_to, "missing": self.missing.write()})
            .to_string()
    }

    /// Reads the member of a stored offset.
    pub(super) fn read(text: &str) -> Option<Self> {
        let json: Json = serde_json::from_str(text).ok()?;
        Some(Self {
            column: json.get("column")?.as_str()?.to_owned(),
            up_to: json.get("up_to")?.as_i64()?,
            missing: IdGaps::read(json.get("missing")?.as_str()?)?,
        })
    }
}

/// Looks up what `mode=incrementing` has emitted of a table.
pub(super) async fn polled(
    meta: &TableMeta,
    config: &SourceConfig,
    stored: &dyn StoredOffsets,
) -> Result<Option<PolledIds>> {
    let id = &meta.id;
    let partitions = [offset::table(id, config.qualify), offset::bare_table(id)];
    let found = stored.read(&partitions).await?.into_iter().flatten().next();
    let Some(found) = found else {
        return Ok(None);
    };
    let Ok(column) = mode_columns::id_column(meta, config, &id.to_string()) else {
        return Ok(None);
    };
    let ids = emitted_ids(meta, config, stored, &found).await?;
    Ok(ids.map(|(up_to, missing)| PolledIds {
        column: column.name.clone(),
        up_to,
        missing,
    }))
}

/// Returns the highest id and those that are missing below; `None` for an offset that has no ids,
/// or whose rows may have changed since (`timestamp+incrementing`).
async fn emitted_ids(
    meta: &TableMeta,
    config: &SourceConfig,
    stored: &dyn StoredOffsets,
    found: &SourceOffset,
) -> Result<Option<(i64, IdGaps)>> {
    let progress = SourceProgress::read(found)?;
    if progress.timestamp.is_some() || progress.within.is_some() {
        return Ok(None);
    }
    let Some(bounds) = progress.snapshot else {
        return Ok(progress.id.map(|id| (id, progress.gaps)));
    };
    // a snapshot that several tasks share: what is left of a range is missing
    let ranges = SnapshotRanges::new(bounds);
    let mut missing = IdGaps::default();
    for (range, reached) in ranges.reached(&meta.id, config, stored).await? {
        let id = reached.id.unwrap_or(range.above);
        if id < range.up_to {
            missing.insert(id.saturating_add(1), range.up_to);
        }
        for (first, last) in reached.gaps.ranges() {
            missing.insert(first, last);
        }
    }
    Ok(Some((ranges.end(), missing)))
}

#[cfg(test)]
mod tests {
    use super::PolledIds;
    use crate::source::plan::gaps::IdGaps;

    #[test]
    fn ids_that_were_missing_are_not_emitted_yet() {
        let polled = PolledIds {
            column: "id".into(),
            up_to: 20,
            missing: IdGaps::read("5,3*3").unwrap(),
        };
        let emitted: Vec<_> = (1..24).filter(|id| polled.has(*id)).collect();
        let missing = |id: &i64| [5, 8, 9, 10].contains(id) || *id > 20;
        assert!((1..24).all(|id| emitted.contains(&id) != missing(&id)));
        assert_eq!(polled.before_missing(), 4);
        assert_eq!(PolledIds::read(&polled.write()).unwrap(), polled);
        assert!(PolledIds::read("{}").is_none());
    }
}
