//! What a task reads: its tables, ranges of ids of a table that several tasks share, or the query.

use std::sync::Arc;

use connector_api::{Error, ErrorKind, Result, SourcePartition, SourcePosition, StoredOffsets};

use super::look_up::{id_bounds, look_up_table};
use super::select::topic_problem;
use crate::driver::Session;
use crate::ident::TableId;
use crate::source::config::TaskShare;
use crate::source::config::{SourceConfig, SourceMode};
use crate::source::plan::offset::{self, SourceProgress};
use crate::source::plan::ranges::{KeyRange, SnapshotRanges};

/// One table, one range of a table, or the query.
#[derive(Clone, Debug)]
pub(crate) struct TableAssignment {
    /// The table; `None` for the query.
    pub id: Option<TableId>,
    /// The range of ids to read, and the snapshot it belongs to; `None`: all ids.
    pub range: Option<(KeyRange, SnapshotRanges)>,
    /// The stored offset to start from.
    pub reached: Option<SourceProgress>,
    /// Why it must not be read: its stored offset could not be read.
    pub unreadable: Option<String>,
}

impl TableAssignment {
    /// Assigns a whole table, or the query.
    pub(crate) fn whole(id: Option<TableId>, reached: Option<SourceProgress>) -> Self {
        Self {
            id,
            range: None,
            reached,
            unreadable: None,
        }
    }

    /// Assigns a table that must not be read.
    pub(crate) fn unreadable(id: Option<TableId>, why: &Error) -> Self {
        Self {
            unreadable: Some(why.message().to_owned()),
            ..Self::whole(id, None)
        }
    }

    /// Returns the partition under which the offset is stored.
    pub(crate) fn partition(&self, config: &SourceConfig) -> SourcePartition {
        match (&self.id, &self.range) {
            (None, _) => offset::query(),
            (Some(id), _) if config.mode == SourceMode::Bulk => offset::bare_table(id),
            (Some(id), Some((range, _))) => offset::range(id, config.qualify, range.n),
            (Some(id), None) => offset::table(id, config.qualify),
        }
    }
}

/// Returns what is to be read of a table (or the query), and the positions to store before anything
/// else. A table with an error that concerns it alone (`alone`) still yields one entry: opening it
/// reports the error.
pub(crate) async fn entries(
    id: Option<TableId>,
    config: &Arc<SourceConfig>,
    stored: &dyn StoredOffsets,
    session: &mut dyn Session,
    alone: impl Fn(ErrorKind) -> bool,
) -> Result<(Vec<TableAssignment>, Vec<SourcePosition>)> {
    match planned(id.clone(), config, stored, session).await {
        Err(error) if alone(error.kind()) => {}
        planned => return planned,
    }
    // The table cannot be split, so no ranges are stored for it.
    let entry = match stored_place(config, id.as_ref(), stored).await {
        Ok(reached) => TableAssignment::whole(id, reached),
        Err(error) if alone(error.kind()) => TableAssignment::unreadable(id, &error),
        Err(error) => return Err(error),
    };
    Ok((vec![entry], Vec::new()))
}

/// Returns the entries of a table, one per range assigned to this task.
/// Errors: `Config` when the table does not exist or does not fit the mode, or its stored offset
/// cannot be read.
async fn planned(
    id: Option<TableId>,
    config: &Arc<SourceConfig>,
    stored: &dyn StoredOffsets,
    session: &mut dyn Session,
) -> Result<(Vec<TableAssignment>, Vec<SourcePosition>)> {
    let reached = stored_place(config, id.as_ref(), stored).await?;
    let whole = |id, reached| (vec![TableAssignment::whole(id, reached)], Vec::new());
    let (part, mut positions) = (config.part.unwrap_or(TaskShare::WHOLE), Vec::new());
    let Some(table) = id
        .as_ref()
        .filter(|_| config.mode == SourceMode::Incrementing)
    else {
        return Ok(whole(id, reached));
    };
    let snapshot = match &reached {
        Some(reached) => reached.snapshot.clone().map(SnapshotRanges::new),
        None if config.part.is_some() && part.n == 0 => {
            let begun = begin(table, part, config, session).await?;
            positions.extend(
                begun
                    .iter()
                    .map(|snapshot| snapshot.position(table, config)),
            );
            begun
        }
        None => None,
    };
    let Some(snapshot) = snapshot else {
        // There is nothing left to share.
        return Ok(if part.n > 0 {
            (Vec::new(), Vec::new())
        } else {
            whole(id, reached)
        });
    };
    let ranges = snapshot.reached(table, config, stored).await?;
    if ranges.iter().all(|(range, reached)| range.is_done(reached)) {
        if part.n > 0 {
            return Ok((Vec::new(), Vec::new()));
        }
        let over = snapshot.over(table, config);
        return Ok((
            vec![TableAssignment::whole(id, Some(snapshot.end_reached()))],
            over,
        ));
    }
    let own = ranges
        .into_iter()
        .filter(|(range, reached)| range.n % part.of == part.n && !range.is_done(reached));
    let entry = |(range, reached)| TableAssignment {
        range: Some((range, snapshot.clone())),
        ..TableAssignment::whole(id.clone(), Some(reached))
    };
    Ok((own.map(entry).collect(), positions))
}

/// Splits a table into ranges. `None` if it is empty, or its ids cannot be split.
async fn begin(
    id: &TableId,
    part: TaskShare,
    config: &Arc<SourceConfig>,
    session: &mut dyn Session,
) -> Result<Option<SnapshotRanges>> {
    if let Some(text) = topic_problem(config, id) {
        return Err(Error::config(text));
    }
    let (_, plan) = look_up_table(session, id, config, None).await?;
    let above = config.initial.id;
    let bounds = id_bounds(session, &plan)
        .await?
        .filter(|(_, last)| *last > above);
    Ok(bounds.and_then(|(first, last)| {
        SnapshotRanges::cut(above, first.max(above.saturating_add(1)), last, part.of)
    }))
}

/// Whether several tasks should read a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SplitStage {
    /// No: it is small, its snapshot is complete, or it was begun by one task.
    One,
    /// Yes, but its ranges are not stored yet: the table's own task stores them.
    Soon,
    /// Yes, and its ranges are stored.
    Several,
}

/// Returns the stage of a table.
pub(crate) async fn stage(
    id: &TableId,
    config: &SourceConfig,
    stored: &dyn StoredOffsets,
    session: &mut dyn Session,
) -> Result<SplitStage> {
    let Some(from) = config
        .parallel_from
        .filter(|_| config.mode == SourceMode::Incrementing)
    else {
        return Ok(SplitStage::One);
    };
    let Some(meta) = session.table(id).await? else {
        return Ok(SplitStage::One);
    };
    // Estimates vary, hence the margin; for a clearly smaller table nothing has to be looked up.
    let Some(rows) = meta.rows_estimated.filter(|rows| *rows >= from / 10) else {
        return Ok(SplitStage::One);
    };
    let reached = match stored_place(config, Some(id), stored).await {
        // The table's own task reports the error.
        Err(error) if error.kind() == ErrorKind::Config => return Ok(SplitStage::One),
        reached => reached?,
    };
    match reached {
        None => Ok(if rows >= from {
            SplitStage::Soon
        } else {
            SplitStage::One
        }),
        Some(SourceProgress {
            snapshot: Some(bounds),
            ..
        }) => {
            let snapshot = SnapshotRanges::new(bounds);
            let ranges = snapshot.reached(id, config, stored).await?;
            let done = ranges.iter().all(|(range, reached)| range.is_done(reached));
            Ok(if done {
                SplitStage::One
            } else {
                SplitStage::Several
            })
        }
        Some(_) => Ok(SplitStage::One),
    }
}

/// Returns the stored offset: by the current protocol, otherwise by the older one.
pub(crate) async fn stored_place(
    config: &SourceConfig,
    id: Option<&TableId>,
    stored: &dyn StoredOffsets,
) -> Result<Option<SourceProgress>> {
    let partitions = match id {
        Some(id) => vec![offset::table(id, config.qualify), offset::bare_table(id)],
        None => vec![offset::query()],
    };
    let found = stored.read(&partitions).await?;
    let read = |offset| {
        SourceProgress::read(&offset).map_err(|error| match id {
            Some(id) => error.context(format_args!("table {id}")),
            None => error,
        })
    };
    found.into_iter().flatten().next().map(read).transpose()
}
