//! Rows that came become batches of records, and say how far the table is done. Pure.

use std::sync::Arc;

use connector_api::{Datum, Position, Record, Result, SourcePartition, Value};

use super::beyond::Beyond;

use super::config::{Mode, SourceConfig};
use super::deleted::is_deleted;
use super::gaps::Gaps;
use super::passing::Aside;
use super::query::From;
use super::reader::{Chunk, Ids, id_of, reached, zone_of};
use super::table::TablePlan;

/// How far a table's records have been handed out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    /// Rows up to here are out; `stamp` is the last one whose rows are all out.
    pub from: From,
    /// The stamp of rows of which more may come.
    pub open: Option<i64>,
    /// Ids up to `from` that are missing and asked for again.
    pub gaps: Gaps,
}

/// Rows of a table that are not handed out yet.
#[derive(Debug)]
pub struct Buffered {
    rows: std::vec::IntoIter<Box<[Value]>>,
    stamps: std::vec::IntoIter<i64>,
    plan: Arc<TablePlan>,
    ends: bool,
    beyond: Beyond,
    ids: Option<Ids>,
    through: Option<i64>,
    aside: Aside,
    /// How many rows are out.
    taken: usize,
}

impl Buffered {
    /// The rows of a chunk.
    pub fn new(chunk: Chunk) -> Self {
        Self {
            rows: chunk.page.rows.into_iter(),
            stamps: chunk.page.stamps.into_iter(),
            beyond: Beyond::of(&chunk.plan),
            plan: chunk.plan,
            ends: chunk.ends,
            ids: chunk.ids,
            through: chunk.through,
            aside: chunk.aside,
            taken: 0,
        }
    }

    /// What to tell of values that their columns' types cannot hold, once each.
    pub fn news(&mut self) -> Vec<String> {
        self.beyond.news()
    }

    /// The plan of its table.
    pub fn plan(&self) -> &TablePlan {
        &self.plan
    }

    /// Whether all rows are out.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 0
    }

    /// The next rows as records, and whether the place has moved.
    /// Errors: `Record` or `Config` for an id that does not count; the rows then stay.
    pub fn take(&mut self, max: usize, topic: &Arc<str>, done: &mut Done, mode: Mode) -> Result<(Vec<Record>, bool)> {
        let count = self.rows.len().min(max);
        let ends = self.ends && count == self.rows.len();
        let rows = &self.rows.as_slice()[..count];
        let mut moved = match (rows.last(), self.ids) {
            _ if self.aside.early => false,
            (Some(_), Some(Ids { late: true, .. })) => {
                done.fill(rows, &self.plan)?;
                true
            }
            (Some(last), ids) => {
                if let Some(ids) = ids {
                    done.note(rows, ids, &self.plan)?;
                }
                let stamps = self.stamps.as_slice();
                done.advance(
                    last,
                    &stamps[..count.min(stamps.len())],
                    stamps.get(count).copied(),
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
        let (plan, beyond, aside, first) = (&self.plan, &mut self.beyond, &self.aside, self.taken);
        let rows = self.rows.by_ref().take(count).enumerate().filter(|(n, _)| !aside.leaves_out(first + n));
        let records = rows.map(|(_, row)| record(row, plan, beyond, topic)).collect();
        self.taken += count;
        self.stamps.by_ref().take(count).for_each(drop);
        Ok((records, moved))
    }

    /// The position of that partition, which is done so far.
    pub fn position(&self, partition: SourcePartition, done: &Done, config: &SourceConfig) -> Position {
        if config.mode == Mode::Bulk {
            return Position { partition, offset: None };
        }
        let mut reached = reached(&done.from, config.mode, zone_of(&self.plan, config));
        reached.gaps.clone_from(&done.gaps);
        Position { partition, offset: Some(reached.write()) }
    }
}

impl Done {
    /// Moves behind `last`, whose batch has those stamps; `next` is the stamp after it where that is known, and `ends`
    /// says that no more rows come for now.
    fn advance(
        &mut self,
        last: &[Value],
        stamps: &[i64],
        next: Option<i64>,
        ends: bool,
        plan: &TablePlan,
        mode: Mode,
    ) -> Result<()> {
        if let Some(id) = plan.id {
            self.from.id = Some(id_of(&last[id])?);
        }
        let Some(stamp) = stamps.last().copied() else { return Ok(()) };
        if mode == Mode::TimestampIncrementing {
            self.from.stamp = Some(stamp);
        } else if next.map_or(ends, |next| next != stamp) {
            self.open = Some(stamp);
            self.close();
        } else {
            let before = stamps.iter().rev().copied().find(|s| *s != stamp);
            self.from.stamp = before.or(self.open.filter(|open| *open != stamp)).or(self.from.stamp);
            self.open = Some(stamp);
            let key = || plan.order.iter().map(|i| last[*i].clone()).collect();
            self.from.at = plan.shape.paged.then(|| (stamp, key()));
        }
        Ok(())
    }

    /// Notes the ids that are missing before and among those of rows.
    fn note(&mut self, rows: &[Box<[Value]>], ids: Ids, plan: &TablePlan) -> Result<()> {
        let mut before = self.from.id.unwrap_or(-1);
        for row in rows {
            let id = id_of(&row[plan.id.unwrap_or_default()])?;
            self.gaps.note(before, id, ids.settled, ids.step);
            before = id;
        }
        Ok(())
    }

    /// Rows have come that were missing.
    fn fill(&mut self, rows: &[Box<[Value]>], plan: &TablePlan) -> Result<()> {
        for row in rows {
            self.gaps.fill(id_of(&row[plan.id.unwrap_or_default()])?);
        }
        Ok(())
    }

    /// All rows of the open stamp are out. Returns whether there was one.
    fn close(&mut self) -> bool {
        let Some(stamp) = self.open.take() else { return false };
        self.from.stamp = Some(stamp);
        self.from.at = None;
        true
    }
}

fn record(row: Box<[Value]>, plan: &TablePlan, beyond: &mut Beyond, topic: &Arc<str>) -> Record {
    let (value_schema, key_schema) = beyond.schemas(&row, plan);
    let key = match (&plan.key, key_schema) {
        (Some((_, columns)), Some(schema)) => {
            Datum::new(schema, Value::Struct(columns.iter().map(|i| row[*i].clone()).collect()))
        }
        _ => Datum::NONE,
    };
    let deleted = plan.marker.is_some_and(|column| is_deleted(&plan.layout.columns[column], &row[column]));
    Record {
        topic: Arc::clone(topic),
        partition: None,
        key,
        value: if deleted { Datum::NONE } else { Datum::new(value_schema, Value::Struct(row)) },
        timestamp_ms: None,
        headers: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connector_api::{Schema, Type, Value};

    use super::{Buffered, Done};
    use crate::dialect::read::{Read, ReadColumn};
    use crate::driver::{Layout, Page};
    use crate::source::config::Mode;
    use crate::source::passing::Aside;
    use crate::source::query::{From, Shape};
    use crate::source::reader::Chunk;
    use crate::source::table::TablePlan;

    fn plan(mode: Mode, paged: bool) -> Arc<TablePlan> {
        let column = ReadColumn::new("id", false, Read::Int(Type::Int32));
        Arc::new(TablePlan {
            layout: Layout { columns: vec![column], stamps: vec![], by_place: false },
            shape: Shape {
                mode,
                select: String::new(),
                id: None,
                stamp: None,
                stamp_type: String::new(),
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
            stamp_is_instant: true,
            stamp_step: 1,
            warnings: vec![],
            values_sql: None,
        })
    }

    fn chunk(plan: &Arc<TablePlan>, rows: &[(i32, i64)], ends: bool) -> Buffered {
        let page = Page {
            rows: rows.iter().map(|(id, _)| vec![Value::I32(*id)].into_boxed_slice()).collect(),
            stamps: rows.iter().map(|(_, stamp)| *stamp).collect(),
            ..Page::default()
        };
        let aside = Aside::default();
        Buffered::new(Chunk { page, plan: Arc::clone(plan), ends, aside, ids: None, through: None })
    }

    /// Takes everything in batches of two; the place after each batch.
    fn places(chunks: Vec<Buffered>, mode: Mode) -> Vec<(Option<i64>, Option<i64>)> {
        let mut done = Done { from: From { stamp: Some(0), ..From::default() }, ..Done::default() };
        let topic: Arc<str> = "t".into();
        let mut out = Vec::new();
        for mut chunk in chunks {
            loop {
                let (_, moved) = chunk.take(2, &topic, &mut done, mode).unwrap();
                if moved {
                    let at = done.from.at.as_ref().map(|(_, key)| key[0].as_i64().unwrap());
                    out.push((done.from.stamp, at));
                }
                if chunk.is_empty() {
                    break;
                }
            }
        }
        out
    }

    #[test]
    fn a_stamp_is_done_when_its_last_row_is_out() {
        let plan = plan(Mode::Timestamp, true);
        let rows = [(1, 5), (2, 5), (3, 5), (4, 6)];
        let one = places(vec![chunk(&plan, &rows, true)], Mode::Timestamp);
        assert_eq!(one, [(Some(0), Some(2)), (Some(6), None)]);
        let two = places(vec![chunk(&plan, &rows[..3], false), chunk(&plan, &rows[3..], true)], Mode::Timestamp);
        assert_eq!(two, [(Some(0), Some(2)), (Some(0), Some(3)), (Some(6), None)]);
        let late = places(vec![chunk(&plan, &rows[..2], false), chunk(&plan, &[], true)], Mode::Timestamp);
        assert_eq!(late, [(Some(0), Some(2)), (Some(5), None)]);
        let next = places(vec![chunk(&plan, &rows[..2], false), chunk(&plan, &rows[3..], false)], Mode::Timestamp);
        assert_eq!(next, [(Some(0), Some(2)), (Some(5), Some(4))]);
    }

    #[test]
    fn without_a_key_a_stamp_is_not_entered_by_halves() {
        let plan = plan(Mode::Timestamp, false);
        let chunks = vec![chunk(&plan, &[(1, 5), (2, 6), (3, 6), (4, 6)], false), chunk(&plan, &[(5, 7)], true)];
        assert_eq!(places(chunks, Mode::Timestamp), [(Some(5), None), (Some(5), None), (Some(7), None)]);
    }

    #[test]
    fn ids_move_with_every_row() {
        let plan = plan(Mode::TimestampIncrementing, true);
        let mut done = Done { from: From::default(), ..Done::default() };
        let mut rows = chunk(&plan, &[(1, 5), (2, 5), (3, 5)], true);
        let (records, moved) = rows.take(2, &"t".into(), &mut done, Mode::TimestampIncrementing).unwrap();
        assert_eq!((records.len(), moved, done.from.stamp, done.from.id), (2, true, Some(5), Some(2)));
    }
}
