//! Turns the rows of a page into batches of records and tracks how far the table has been emitted.
//! Pure.

#![expect(
    clippy::indexing_slicing,
    reason = "a row has the columns of the plan that it was read by"
)]

use std::sync::Arc;

use connector_api::{Datum, Record, Result, SourcePartition, SourcePosition, Value};

use super::out_of_range::OutOfRangeColumns;
use super::page::RowPage;
use super::resume::{reached, zone_of};
use crate::source::config::{SourceConfig, SourceMode};
use crate::source::plan::gaps::IdGaps;
use crate::source::plan::key::is_deleted;
use crate::source::plan::query::{ReadPosition, id_of};
use crate::source::plan::table::TablePlan;
use crate::source::visibility::PageIds;
use crate::source::visibility::overtake::EmitFilter;

/// How far the records of a table have been emitted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EmittedUpTo {
    /// Rows up to here have been emitted; `timestamp` is the last timestamp whose rows have all been
    /// emitted.
    pub from: ReadPosition,
    /// A timestamp of which more rows may follow.
    pub open: Option<i64>,
    /// Missing ids up to `from` that are still asked for.
    pub gaps: IdGaps,
}

/// Rows of a table that have not been emitted yet.
#[derive(Debug)]
pub(crate) struct PendingRows {
    rows: std::vec::IntoIter<Box<[Value]>>,
    timestamps: std::vec::IntoIter<i64>,
    plan: Arc<TablePlan>,
    ends: bool,
    out_of_range: OutOfRangeColumns,
    ids: Option<PageIds>,
    through: Option<i64>,
    filter: EmitFilter,
    /// Number of rows emitted so far.
    taken: usize,
}

impl PendingRows {
    /// Takes the rows of a page.
    pub(crate) fn new(page: RowPage) -> Self {
        Self {
            rows: page.page.rows.into_iter(),
            timestamps: page.page.timestamps.into_iter(),
            out_of_range: OutOfRangeColumns::of(&page.plan),
            plan: page.plan,
            ends: page.ends,
            ids: page.ids,
            through: page.through,
            filter: page.filter,
            taken: 0,
        }
    }

    /// Returns new warnings about values that their column's type cannot hold, each once.
    pub(crate) fn warnings(&mut self) -> Vec<String> {
        self.out_of_range.warnings()
    }

    pub(crate) fn plan(&self) -> &TablePlan {
        &self.plan
    }

    /// True if all rows have been emitted.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 0
    }

    /// Returns how many of the next rows make up to `max` records. Rows of an early page that were
    /// emitted before are passed over at once: a batch without records would not move the offset,
    /// so the task would take the page for done and replace it while rows of it are left.
    fn rows_of(&self, max: usize) -> usize {
        let left = self.rows.len();
        if !self.filter.early {
            return left.min(max);
        }
        let mut kept = (0..left).filter(|n| !self.filter.skips(self.taken + n));
        kept.nth(max).unwrap_or(left)
    }

    /// Returns the last of up to `max` rows that [`Self::take`] takes next.
    pub(crate) fn last_of(&self, max: usize) -> Option<&[Value]> {
        let rows = self.rows.as_slice().get(..self.rows_of(max))?;
        rows.last().map(|row| &**row)
    }

    /// Drops all rows.
    pub(crate) fn clear(&mut self) {
        self.rows.by_ref().for_each(drop);
    }

    /// Returns up to `max` rows as records, and whether the position has moved.
    /// Errors: `Record` or `Config` for an invalid id; the rows then stay.
    pub(crate) fn take(
        &mut self,
        max: usize,
        topic: &Arc<str>,
        done: &mut EmittedUpTo,
        mode: SourceMode,
    ) -> Result<(Vec<Record>, bool)> {
        let count = self.rows_of(max);
        let ends = self.ends && count == self.rows.len();
        let rows = &self.rows.as_slice()[..count];
        let mut moved = match (rows.last(), self.ids) {
            // Rows emitted ahead of an open transaction do not move the offset: a restart must read
            // them again, together with what the transaction commits.
            _ if self.filter.early => false,
            (Some(_), Some(PageIds { late: true, .. })) => {
                done.fill(rows, &self.plan)?;
                true
            }
            (Some(last), ids) => {
                if let Some(ids) = ids {
                    done.note(rows, ids, &self.plan)?;
                }
                let timestamps = self.timestamps.as_slice();
                done.advance(
                    last,
                    &timestamps[..count.min(timestamps.len())],
                    timestamps.get(count).copied(),
                    ends,
                    &self.plan,
                    mode,
                )?;
                true
            }
            (None, _) => ends && done.close(),
        };
        if let Some(ids) = self.ids.filter(|_| count == self.rows.len()) {
            moved |= done.gaps.settle(ids.settled);
        }
        if self.through.is_some() && count == self.rows.len() {
            done.from.id = self.through;
            moved = true;
        }
        let rows = self.rows.by_ref().take(count).enumerate();
        let records = rows
            .filter(|(n, _)| !self.filter.skips(self.taken + n))
            .map(|(_, row)| record(row, &self.plan, &mut self.out_of_range, topic))
            .collect();
        self.taken += count;
        self.timestamps.by_ref().take(count).for_each(drop);
        Ok((records, moved))
    }

    /// Returns the position of `partition` to store for the rows emitted so far.
    pub(crate) fn position(
        &self,
        partition: SourcePartition,
        done: &EmittedUpTo,
        config: &SourceConfig,
    ) -> SourcePosition {
        if config.mode == SourceMode::Bulk {
            return SourcePosition {
                partition,
                offset: None,
            };
        }
        let mut reached = reached(&done.from, config.mode, zone_of(&self.plan, config));
        reached.gaps.clone_from(&done.gaps);
        SourcePosition {
            partition,
            offset: Some(reached.write()),
        }
    }
}

impl EmittedUpTo {
    /// Moves behind the row `last` of a batch with these `timestamps`. `next` is the timestamp
    /// that follows, if known; `ends`: no more rows follow for now.
    fn advance(
        &mut self,
        last: &[Value],
        timestamps: &[i64],
        next: Option<i64>,
        ends: bool,
        plan: &TablePlan,
        mode: SourceMode,
    ) -> Result<()> {
        if let Some(id) = plan.id {
            self.from.id = Some(id_of(&last[id])?);
        }
        let Some(timestamp) = timestamps.last().copied() else {
            return Ok(());
        };
        if mode == SourceMode::TimestampIncrementing {
            self.from.timestamp = Some(timestamp);
        } else if next.map_or(ends, |next| next != timestamp) {
            self.open = Some(timestamp);
            self.close();
        } else {
            let before = timestamps.iter().rev().copied().find(|s| *s != timestamp);
            self.from.timestamp = before
                .or(self.open.filter(|open| *open != timestamp))
                .or(self.from.timestamp);
            self.open = Some(timestamp);
            let key = || plan.order.iter().map(|i| last[*i].clone()).collect();
            self.from.at = plan.shape.paged.then(|| (timestamp, key()));
        }
        Ok(())
    }

    /// Records the ids that are missing before and between the ids of these rows.
    fn note(&mut self, rows: &[Box<[Value]>], ids: PageIds, plan: &TablePlan) -> Result<()> {
        let mut before = self.from.id.unwrap_or(-1);
        for row in rows {
            let id = id_of(&row[plan.id.unwrap_or_default()])?;
            self.gaps.note(before, id, ids.settled, ids.step);
            before = id;
        }
        Ok(())
    }

    /// Removes the ids of these rows from the missing ones.
    fn fill(&mut self, rows: &[Box<[Value]>], plan: &TablePlan) -> Result<()> {
        for row in rows {
            self.gaps.fill(id_of(&row[plan.id.unwrap_or_default()])?);
        }
        Ok(())
    }

    /// Marks the open timestamp as emitted completely. Returns whether there was one.
    fn close(&mut self) -> bool {
        let Some(timestamp) = self.open.take() else {
            return false;
        };
        self.from.timestamp = Some(timestamp);
        self.from.at = None;
        true
    }
}

fn record(
    row: Box<[Value]>,
    plan: &TablePlan,
    out_of_range: &mut OutOfRangeColumns,
    topic: &Arc<str>,
) -> Record {
    let (value_schema, key_schema) = out_of_range.schemas(&row, plan);
    let key = match (&plan.key, key_schema) {
        (Some((_, columns)), Some(schema)) => Datum::new(
            schema,
            Value::Struct(columns.iter().map(|i| row[*i].clone()).collect()),
        ),
        _ => Datum::NONE,
    };
    let deleted = plan
        .marker
        .is_some_and(|column| is_deleted(&plan.layout.columns[column], &row[column]));
    Record {
        topic: Arc::clone(topic),
        partition: None,
        key,
        value: if deleted {
            Datum::NONE
        } else {
            Datum::new(value_schema, Value::Struct(row))
        },
        timestamp_ms: None,
        headers: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connector_api::{Schema, SchemaType, Value};

    use super::{EmittedUpTo, PendingRows};
    use crate::dialect::read::{ReadColumn, ValueDecoding};
    use crate::driver::{ResultPage, RowLayout};
    use crate::source::config::SourceMode;
    use crate::source::plan::query::{QueryShape, ReadPosition};
    use crate::source::plan::table::TablePlan;
    use crate::source::read::page::RowPage;
    use crate::source::visibility::overtake::EmitFilter;

    fn plan(mode: SourceMode, paged: bool) -> Arc<TablePlan> {
        let column = ReadColumn::new("id", false, ValueDecoding::Int(SchemaType::Int32));
        Arc::new(TablePlan {
            layout: RowLayout {
                columns: vec![column],
                timestamps: vec![],
                by_position: false,
            },
            shape: QueryShape {
                mode,
                select: String::new(),
                id: None,
                id_type: String::new(),
                timestamp: None,
                timestamp_type: String::new(),
                key: vec![],
                paged,
                suffix: None,
            },
            table_sql: String::new(),
            value_schema: Arc::new(Schema::structure(None, vec![])),
            key: None,
            id: mode.has_id().then_some(0),
            order: vec![0],
            keys: None,
            marker: None,
            timestamp_is_instant: true,
            timestamp_step: 1,
            warnings: vec![],
            values_sql: None,
        })
    }

    fn chunk(plan: &Arc<TablePlan>, rows: &[(i32, i64)], ends: bool) -> PendingRows {
        let page = ResultPage {
            rows: rows
                .iter()
                .map(|(id, _)| vec![Value::I32(*id)].into_boxed_slice())
                .collect(),
            timestamps: rows.iter().map(|(_, timestamp)| *timestamp).collect(),
            ..ResultPage::default()
        };
        let filter = EmitFilter::default();
        PendingRows::new(RowPage {
            page,
            plan: Arc::clone(plan),
            ends,
            filter,
            ids: None,
            through: None,
        })
    }

    /// Takes everything in batches of two; returns the position after each batch.
    fn places(chunks: Vec<PendingRows>, mode: SourceMode) -> Vec<(Option<i64>, Option<i64>)> {
        let mut done = EmittedUpTo {
            from: ReadPosition {
                timestamp: Some(0),
                ..ReadPosition::default()
            },
            ..EmittedUpTo::default()
        };
        let topic: Arc<str> = "t".into();
        let mut out = Vec::new();
        for mut chunk in chunks {
            loop {
                let (_, moved) = chunk.take(2, &topic, &mut done, mode).unwrap();
                if moved {
                    let at = done
                        .from
                        .at
                        .as_ref()
                        .map(|(_, key)| key[0].as_i64().unwrap());
                    out.push((done.from.timestamp, at));
                }
                if chunk.is_empty() {
                    break;
                }
            }
        }
        out
    }

    #[test]
    fn an_early_page_is_emitted_to_its_end_however_many_of_its_rows_were_emitted_before() {
        let plan = plan(SourceMode::Timestamp, true);
        let rows: Vec<(i32, i64)> = (0..7).map(|id| (id, i64::from(id))).collect();
        for (skipped, want) in [
            (vec![0, 1, 2], vec![vec![3, 4], vec![5, 6]]),
            (vec![1, 2, 3, 5], vec![vec![0, 4], vec![6]]),
            ((0..7).collect(), vec![vec![]]),
        ] {
            let mut page = chunk(&plan, &rows, true);
            page.filter = EmitFilter::early_without(skipped.clone());
            let mut done = EmittedUpTo::default();
            let mut batches = Vec::new();
            while !page.is_empty() {
                let (records, moved) = page
                    .take(2, &"t".into(), &mut done, SourceMode::Timestamp)
                    .unwrap();
                assert!(!moved, "{skipped:?}");
                assert!(
                    !records.is_empty() || page.is_empty(),
                    "{skipped:?}: rows are left behind a batch without records"
                );
                let ids = records.iter().map(|record| match &record.value.value {
                    Value::Struct(values) => values[0].as_i64().unwrap(),
                    other => panic!("{other:?}"),
                });
                batches.push(ids.collect::<Vec<_>>());
            }
            assert_eq!(batches, want, "{skipped:?}");
        }
    }

    #[test]
    fn a_timestamp_is_done_when_its_last_row_is_out() {
        let plan = plan(SourceMode::Timestamp, true);
        let rows = [(1, 5), (2, 5), (3, 5), (4, 6)];
        let one = places(vec![chunk(&plan, &rows, true)], SourceMode::Timestamp);
        assert_eq!(one, [(Some(0), Some(2)), (Some(6), None)]);
        let two = places(
            vec![
                chunk(&plan, &rows[..3], false),
                chunk(&plan, &rows[3..], true),
            ],
            SourceMode::Timestamp,
        );
        assert_eq!(
            two,
            [(Some(0), Some(2)), (Some(0), Some(3)), (Some(6), None)]
        );
        let late = places(
            vec![chunk(&plan, &rows[..2], false), chunk(&plan, &[], true)],
            SourceMode::Timestamp,
        );
        assert_eq!(late, [(Some(0), Some(2)), (Some(5), None)]);
        let next = places(
            vec![
                chunk(&plan, &rows[..2], false),
                chunk(&plan, &rows[3..], false),
            ],
            SourceMode::Timestamp,
        );
        assert_eq!(next, [(Some(0), Some(2)), (Some(5), Some(4))]);
    }

    #[test]
    fn without_a_key_a_timestamp_is_not_entered_by_halves() {
        let plan = plan(SourceMode::Timestamp, false);
        let chunks = vec![
            chunk(&plan, &[(1, 5), (2, 6), (3, 6), (4, 6)], false),
            chunk(&plan, &[(5, 7)], true),
        ];
        assert_eq!(
            places(chunks, SourceMode::Timestamp),
            [(Some(5), None), (Some(5), None), (Some(7), None)]
        );
    }

    #[test]
    fn ids_move_with_every_row() {
        let plan = plan(SourceMode::TimestampIncrementing, true);
        let mut done = EmittedUpTo {
            from: ReadPosition::default(),
            ..EmittedUpTo::default()
        };
        let mut rows = chunk(&plan, &[(1, 5), (2, 5), (3, 5)], true);
        let (records, moved) = rows
            .take(2, &"t".into(), &mut done, SourceMode::TimestampIncrementing)
            .unwrap();
        assert_eq!(
            (records.len(), moved, done.from.timestamp, done.from.id),
            (2, true, Some(5), Some(2))
        );
    }
}
