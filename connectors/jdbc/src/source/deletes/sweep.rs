//! `delete.capture=key_sweep`: periodically reads the primary keys of a table in their order and
//! compares them with the known ones; keys that have disappeared become tombstones.
//!
//! Known keys are stored (`known_keys`) piece by piece, in the transaction of the tombstones that
//! follow from them: each deletion is emitted exactly once, whatever crashes meanwhile, and also if
//! it happened while nothing was running. A sweep alternates with the reads of its table, and no
//! rows of the table are in flight during its turn, so a tombstone always lies between the records
//! of the row before and after it. Memory holds the texts of the known keys, which are bounded, and
//! the keys of one chunk.

use std::time::{Duration, Instant};

use connector_api::{Error, Record, Result, SourcePartition, SourcePosition, Value};

use super::known_keys::{KeyPage, KnownKeys};
use super::second_look::look_for;
use crate::dialect::Dialect;
use crate::driver::Session;
use crate::source::config::DeleteCapture;
use crate::source::plan::key_plan::KeyPlan;
use crate::source::plan::key_set::{KeySet, RowKey};
use crate::source::plan::query::{self, SqlStatement};
use crate::source::read::page::{DeletedKeys, PageSender, ReadOutcome, TurnEnd, TurnProgress};

/// Maximum keys of a page.
const PAGE: u64 = 10_000;
/// Maximum bytes of a page.
const WEIGHT: usize = 4 << 20;
/// Maximum tombstones in one batch.
const PIECE: usize = 1000;
/// Maximum keys, or ranges of ids, in one statement.
const ASKED: usize = 64;
/// Number of keys from lists that are compared with the chunks at once.
const LISTED: usize = 100_000;
/// A turn ends after this time, so that the table can be read.
const TURN: Duration = Duration::from_secs(1);

/// The known keys of one table, and the state of the sweep.
#[derive(Debug)]
pub(crate) struct KeySweep {
    known: KnownKeys,
    config: DeleteCapture,
    stage: SweepStage,
    /// When the next sweep is due; `None` until the table has been read to its end for the first
    /// time.
    pub due: Option<Instant>,
    /// True if the last turn of the table was a sweep's.
    pub was_last: bool,
    warning: Option<String>,
    /// Maximum keys of the next page: smaller after connections that broke before a page was
    /// complete.
    page: u64,
    /// Current maximum keys of a second look.
    piece: usize,
    /// True if the running turn has read keys.
    advanced: bool,
}

/// What the sweep is doing.
#[derive(Debug)]
enum SweepStage {
    Idle,
    /// Reading the chunk of that index, with what has been found so far.
    Chunk(usize, Option<FoundKeys>),
    /// Checking these lists, the last one first.
    Lists(Vec<i64>),
}

/// What has been found of the chunk being read.
#[derive(Debug)]
struct FoundKeys {
    keys: KeySet,
    /// Known keys that have not been found so far.
    missing: KeySet,
    read_to: Option<RowKey>,
}

impl KeySweep {
    /// Creates the sweep of a table from the stored positions.
    pub(crate) fn new(
        partition: &SourcePartition,
        config: DeleteCapture,
        stored: &[SourcePosition],
    ) -> Self {
        let known = KnownKeys::read(partition, stored);
        let due = (!known.chunks.is_empty()).then(Instant::now);
        Self {
            known,
            config,
            stage: SweepStage::Idle,
            due,
            was_last: false,
            warning: None,
            page: PAGE,
            piece: PIECE,
            advanced: false,
        }
    }

    /// Records the keys of emitted records. Returns the positions to store with them.
    /// Errors: `Config` if there are too many keys, or one that cannot be stored.
    pub(crate) fn note(
        &mut self,
        records: &[Record],
        plan: &KeyPlan,
    ) -> Result<Vec<SourcePosition>> {
        let mut positions = self.fit(plan);
        let mut keys = Vec::with_capacity(records.len());
        for record in records {
            if let Value::Struct(values) = &record.key.value {
                keys.push(plan.key(values).ok_or_else(|| plan.unstorable())?);
            }
        }
        positions.extend(self.known.note(keys));
        self.check(plan)?;
        Ok(positions)
    }

    pub(crate) fn warning(&self) -> Option<&String> {
        self.warning.as_ref()
    }

    /// Sets when the next turn is due, after one that has ended.
    pub(crate) fn ended(&mut self, outcome: &Result<ReadOutcome>, backoff: Duration) {
        let wait = match outcome {
            Ok(ReadOutcome::More) => Duration::ZERO,
            Ok(_) => self.config.interval,
            Err(_) => backoff,
        };
        self.due = Some(Instant::now() + wait);
    }

    fn fit(&mut self, plan: &KeyPlan) -> Vec<SourcePosition> {
        let before = !self.known.chunks.is_empty();
        let gone = self.known.fit(plan);
        if before && !gone.is_empty() {
            self.stage = SweepStage::Idle;
            self.warning = Some(format!(
                "the primary key of {} has changed: rows that were deleted before this point will \
                 not produce tombstones (delete.capture)",
                plan.table
            ));
        }
        gone
    }

    fn check(&self, plan: &KeyPlan) -> Result<()> {
        let bytes = self.known.bytes();
        if bytes <= self.config.max_bytes {
            return Ok(());
        }
        Err(Error::config(format!(
            "the keys of {} take {bytes} bytes, more than delete.capture.max.bytes ({}): raise it, or set \
             delete.capture=none",
            plan.table, self.config.max_bytes
        )))
    }

    /// Continues a sweep, or begins one.
    pub(crate) async fn turn(
        &mut self,
        session: &mut dyn Session,
        plan: &KeyPlan,
        pages: &PageSender<'_>,
    ) -> TurnEnd {
        self.advanced = false;
        let outcome = self.sweep_some(session, plan, pages).await;
        let progress = TurnProgress {
            advanced: self.advanced,
            narrowed: false,
        };
        TurnEnd { outcome, progress }
    }

    async fn sweep_some(
        &mut self,
        session: &mut dyn Session,
        plan: &KeyPlan,
        pages: &PageSender<'_>,
    ) -> Result<ReadOutcome> {
        let began = Instant::now();
        let stale = self.fit(plan);
        if !stale.is_empty() && !pages.send_deleted(DeletedKeys::positions(stale)).await {
            return Ok(ReadOutcome::Waiting);
        }
        loop {
            let go_on = match std::mem::replace(&mut self.stage, SweepStage::Idle) {
                SweepStage::Idle => {
                    self.known.begin();
                    self.stage = SweepStage::Chunk(0, None);
                    true
                }
                SweepStage::Chunk(at, _) if at >= self.known.chunks.len() => {
                    self.stage = SweepStage::Lists(self.known.close());
                    true
                }
                SweepStage::Chunk(at, found) => self.page(at, found, session, plan, pages).await?,
                SweepStage::Lists(lists) if lists.is_empty() => return Ok(ReadOutcome::CaughtUp),
                SweepStage::Lists(lists) => self.lists(lists, session, plan, pages).await?,
            };
            self.check(plan)?;
            if !go_on {
                return Ok(ReadOutcome::Waiting);
            }
            if began.elapsed() > TURN {
                return Ok(ReadOutcome::More);
            }
        }
    }

    /// Reads the next keys of a chunk. Returns `false` if the receiver has been dropped.
    async fn page(
        &mut self,
        at: usize,
        found: Option<FoundKeys>,
        session: &mut dyn Session,
        plan: &KeyPlan,
        pages: &PageSender<'_>,
    ) -> Result<bool> {
        let Some(chunk) = self.known.chunks.get(at) else {
            return Ok(true);
        };
        let mut found = match found {
            Some(found) => found,
            None => FoundKeys {
                keys: self.known.none(),
                missing: self.known.set(&chunk.set)?,
                read_to: None,
            },
        };
        let limit = self.page;
        let statement = self.page_statement(chunk, &found, plan, session.dialect())?;
        let page = match session
            .read(&statement.sql, &statement.params, &plan.layout, WEIGHT)
            .await
        {
            Ok(page) => page,
            Err(error) => {
                if session.is_lost() {
                    // Keep what has been found: the next connection may break just as soon.
                    self.page = (limit / 2).max(1);
                    self.stage = SweepStage::Chunk(at, Some(found));
                }
                return Err(error);
            }
        };
        self.advanced |= !page.rows.is_empty();
        self.page = limit.saturating_add(limit / 4 + 1).min(PAGE);
        for row in &page.rows {
            let key = plan.key(row).ok_or_else(|| plan.unstorable())?;
            found.missing.remove(&key);
            found.keys.insert(key.clone());
            found.read_to = Some(key);
        }
        if !page.cut && (page.rows.len() as u64) < limit {
            return self.end_chunk(at, found, session, plan, pages).await;
        }
        if let (true, Some(behind)) = (found.keys.is_full(), &found.read_to) {
            let low = found.missing.take_up_to(behind);
            let mut before = found.keys.clone();
            before.extend(&low);
            let positions = self.known.split(at, behind, &before, &found.missing);
            found.missing = low;
            if !pages.send_deleted(DeletedKeys::positions(positions)).await {
                return Ok(false);
            }
            return self.end_chunk(at, found, session, plan, pages).await;
        }
        self.stage = SweepStage::Chunk(at, Some(found));
        Ok(true)
    }

    /// Returns the statement for the next keys of a chunk, behind those that have been read.
    fn page_statement(
        &self,
        chunk: &KeyPage,
        found: &FoundKeys,
        plan: &KeyPlan,
        dialect: &dyn Dialect,
    ) -> Result<SqlStatement> {
        let bound = |text: &Option<String>| {
            text.as_deref()
                .map(|text| self.known.bound(text))
                .transpose()
        };
        let values = |key: Option<RowKey>| {
            key.map(|key| plan.values(&key).ok_or_else(|| plan.unstorable()))
                .transpose()
        };
        let after = match &found.read_to {
            Some(key) => Some(key.clone()),
            None => bound(&chunk.after)?,
        };
        let after = values(after)?;
        let up_to = values(bound(&chunk.up_to)?)?;
        Ok(query::keys(
            plan,
            after.as_deref(),
            up_to.as_deref(),
            self.page,
            dialect,
        ))
    }

    /// Ends a chunk that has been read: emits tombstones for the keys that have disappeared from
    /// it.
    async fn end_chunk(
        &mut self,
        at: usize,
        mut found: FoundKeys,
        session: &mut dyn Session,
        plan: &KeyPlan,
        pages: &PageSender<'_>,
    ) -> Result<bool> {
        loop {
            let piece = found.missing.take(self.piece);
            if piece.is_empty() {
                break;
            }
            let (there, mut gone) = match self.look_for(&piece, session, plan).await {
                Ok(looked) => looked,
                Err(error) => {
                    if session.is_lost() {
                        // Keep what has been found: reading continues behind it, and then this look
                        // is repeated.
                        piece.into_iter().for_each(|key| found.missing.insert(key));
                        self.stage = SweepStage::Chunk(at, Some(found));
                    }
                    return Err(error);
                }
            };
            there.into_iter().for_each(|key| found.keys.insert(key));
            self.known.without_listed(&mut gone)?;
            if gone.is_empty() {
                continue;
            }
            let mut rest = found.keys.clone();
            rest.extend(&found.missing);
            // The chunk without the deleted keys is stored in the transaction of their tombstones:
            // a crash can neither lose nor repeat them.
            let positions = self.known.replace(at, &rest).into_iter().collect();
            if !pages
                .send_deleted(DeletedKeys::new(&gone, positions, plan)?)
                .await
            {
                return Ok(false);
            }
        }
        let mut positions: Vec<_> = self.known.replace(at, &found.keys).into_iter().collect();
        let joined = self.known.join(at)?;
        let next = if joined.is_empty() { at + 1 } else { at };
        if !joined.is_empty() {
            positions = joined;
        }
        self.stage = SweepStage::Chunk(next, None);
        Ok(positions.is_empty() || pages.send_deleted(DeletedKeys::positions(positions)).await)
    }

    /// Checks the keys emitted since the last sweep: those that are in no chunk have been deleted,
    /// or were inserted again behind the sweep.
    async fn lists(
        &mut self,
        mut lists: Vec<i64>,
        session: &mut dyn Session,
        plan: &KeyPlan,
        pages: &PageSender<'_>,
    ) -> Result<bool> {
        let (mut rest, mut some) = (self.known.none(), Vec::new());
        while rest.len() < LISTED
            && let Some(number) = lists.pop()
        {
            rest.extend(&self.known.list(number)?);
            some.push(number);
        }
        for chunk in &self.known.chunks {
            rest.subtract(&self.known.set(&chunk.set)?);
            tokio::task::yield_now().await;
        }
        let mut kept = Vec::new();
        loop {
            let piece = rest.take(self.piece);
            if piece.is_empty() {
                break;
            }
            let (there, gone) = match self.look_for(&piece, session, plan).await {
                Ok(looked) => looked,
                Err(error) => {
                    if session.is_lost() {
                        // Keys already found deleted have been emitted and removed from the lists.
                        lists.extend(some.into_iter().rev());
                        self.stage = SweepStage::Lists(lists);
                    }
                    return Err(error);
                }
            };
            kept.extend(there);
            let positions = self.known.forget(&gone)?;
            if !gone.is_empty()
                && !pages
                    .send_deleted(DeletedKeys::new(&gone, positions, plan)?)
                    .await
            {
                return Ok(false);
            }
        }
        self.known.close();
        let mut positions = self.known.drop_lists(&some);
        for position in self.known.note(kept) {
            positions.retain(|p| p.partition != position.partition);
            positions.push(position);
        }
        self.stage = SweepStage::Lists(lists);
        Ok(pages.send_deleted(DeletedKeys::positions(positions)).await)
    }

    /// Looks up keys, see [`look_for`]. After a connection that broke meanwhile, fewer keys are
    /// looked up at once.
    async fn look_for(
        &mut self,
        keys: &[RowKey],
        session: &mut dyn Session,
        plan: &KeyPlan,
    ) -> Result<(Vec<RowKey>, Vec<RowKey>)> {
        let looked = look_for(keys, self.piece.min(ASKED), session, plan).await;
        self.piece = match &looked {
            Ok(_) => (self.piece + self.piece / 4 + 1).min(PIECE),
            Err(_) if session.is_lost() => (self.piece / 2).max(1),
            Err(_) => self.piece,
        };
        self.advanced |= looked.is_ok();
        looked
    }
}

impl DeletedKeys {
    /// Positions to store, without tombstones.
    fn positions(positions: Vec<SourcePosition>) -> Self {
        Self {
            keys: Vec::new(),
            schema: None,
            positions,
        }
    }

    fn new(keys: &[RowKey], positions: Vec<SourcePosition>, plan: &KeyPlan) -> Result<Self> {
        let keys = keys
            .iter()
            .map(|key| plan.values(key).ok_or_else(|| plan.unstorable()))
            .collect::<Result<_>>()?;
        Ok(Self {
            keys,
            schema: Some(std::sync::Arc::clone(&plan.schema)),
            positions,
        })
    }
}
