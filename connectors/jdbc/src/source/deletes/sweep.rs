//! `delete.capture=key_sweep`: from time to time the primary keys of a table are read in their order and compared with
//! those known; what has vanished becomes a tombstone.
//!
//! What is known is stored (`known`), piece by piece, in the transaction of the tombstones that follow from it: each
//! deletion is told once, whatever dies meanwhile, and also when it happened while nothing ran. A sweep takes turns with
//! the reading of its table, and nothing else of that table is on its way during such a turn, so that a tombstone stands
//! between the records of the row before and after it. Memory holds the texts of the known keys, which are bounded, and
//! of one chunk the keys themselves.

use std::time::{Duration, Instant};

use connector_api::{Error, Record, Result, SourcePartition, SourcePosition, Value};

use super::known_keys::KnownKeys;
use super::second_look::look_for;
use crate::driver::Session;
use crate::source::config::DeleteCapture;
use crate::source::plan::key_plan::KeyPlan;
use crate::source::plan::key_set::{KeySet, RowKey};
use crate::source::plan::query;
use crate::source::read::page::{DeletedKeys, PageSender, ReadOutcome};

/// Keys of a page.
const PAGE: u64 = 10_000;
/// Bytes of a page.
const WEIGHT: usize = 4 << 20;
/// Keys that one batch tells gone.
const PIECE: usize = 1000;
/// Keys and ranges of ids that one statement asks for.
const ASKED: usize = 64;
/// Keys of lists that are compared with the chunks at once.
const LISTED: usize = 100_000;
/// After so long the reading of the table has its turn.
const TURN: Duration = Duration::from_secs(1);

/// The keys of one table, and how far a sweep has come.
#[derive(Debug)]
pub struct KeySweep {
    known: KnownKeys,
    config: DeleteCapture,
    stage: SweepStage,
    /// When it is time for the next one; `None`: when the table has been read to its end for the first time.
    pub due: Option<Instant>,
    /// The last turn of its table was a sweep's.
    pub was_last: bool,
    warning: Option<String>,
    /// Keys that the next statement asks for: fewer after connections that did not live as long as a page took.
    page: u64,
    /// Keys of one second look, for now.
    piece: usize,
    /// Whether the last turn has read keys, however it ended.
    got_on: bool,
}

/// What is being done.
#[derive(Debug)]
enum SweepStage {
    Idle,
    /// That chunk is read, so far with this outcome.
    Chunk(usize, Option<FoundKeys>),
    /// These lists are looked at, the last one first.
    Lists(Vec<i64>),
}

/// A chunk whose keys are being read.
#[derive(Debug)]
struct FoundKeys {
    keys: KeySet,
    /// Known, and not found so far.
    missing: KeySet,
    read_to: Option<RowKey>,
}

impl KeySweep {
    /// Of the table of that partition, with what is stored.
    pub fn new(
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
            got_on: false,
        }
    }

    /// Notes the keys of records that are handed out. What is to be stored with them.
    /// Errors: `Config` when there are too many, or one that cannot be kept.
    pub fn note(&mut self, records: &[Record], plan: &KeyPlan) -> Result<Vec<SourcePosition>> {
        let mut positions = self.fit(plan);
        let mut keys = Vec::with_capacity(records.len());
        for record in records {
            if let Value::Struct(values) = &record.key.value {
                keys.push(plan.key(values).ok_or_else(|| unkept(plan))?);
            }
        }
        positions.extend(self.known.note(keys));
        self.check(plan)?;
        Ok(positions)
    }

    /// Whether the last turn has read keys, however it ended.
    pub fn got_on(&self) -> bool {
        self.got_on
    }

    /// What a person should know.
    pub fn warning(&self) -> Option<&String> {
        self.warning.as_ref()
    }

    /// After a turn: when the next one is due.
    pub fn ended(&mut self, outcome: &Result<ReadOutcome>, backoff: Duration) {
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
                "the primary key of {} is another one than before: rows deleted until now are not told \
                 (delete.capture)",
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

    /// Goes on with a sweep, or begins one.
    pub async fn turn(
        &mut self,
        session: &mut dyn Session,
        plan: &KeyPlan,
        pages: &PageSender<'_>,
    ) -> Result<ReadOutcome> {
        let began = Instant::now();
        self.got_on = false;
        let stale = self.fit(plan);
        if !stale.is_empty() && !pages.gone(DeletedKeys::positions(stale)).await {
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

    /// Reads the next keys of a chunk. `false`: nobody wants them.
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
        let bound = |text: &Option<String>| {
            text.as_deref()
                .map(|text| self.known.bound(text))
                .transpose()
        };
        let (after, up_to) = (
            found
                .read_to
                .clone()
                .map_or_else(|| bound(&chunk.after), |key| Ok(Some(key)))?,
            bound(&chunk.up_to)?,
        );
        let values = |key: &Option<RowKey>| {
            key.as_ref()
                .map(|key| plan.values(key).ok_or_else(|| unkept(plan)))
                .transpose()
        };
        let (after, up_to) = (values(&after)?, values(&up_to)?);
        let limit = self.page;
        let statement = query::keys(
            plan,
            after.as_deref(),
            up_to.as_deref(),
            limit,
            session.dialect(),
        );
        let page = match session
            .read(&statement.sql, &statement.params, &plan.layout, WEIGHT)
            .await
        {
            Ok(page) => page,
            Err(error) => {
                if session.is_lost() {
                    // what was found counts, and the next connection may live no longer
                    self.page = (limit / 2).max(1);
                    self.stage = SweepStage::Chunk(at, Some(found));
                }
                return Err(error);
            }
        };
        self.got_on |= !page.rows.is_empty();
        self.page = limit.saturating_add(limit / 4 + 1).min(PAGE);
        for row in &page.rows {
            let key = plan.key(row).ok_or_else(|| unkept(plan))?;
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
            if !pages.gone(DeletedKeys::positions(positions)).await {
                return Ok(false);
            }
            return self.end_chunk(at, found, session, plan, pages).await;
        }
        self.stage = SweepStage::Chunk(at, Some(found));
        Ok(true)
    }

    /// A chunk has been read: tells what has vanished from it.
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
                        // what was found counts: reading goes on behind it, and then comes this look again
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
            let positions = self.known.replace(at, &rest).into_iter().collect();
            if !pages.gone(DeletedKeys::new(&gone, positions, plan)?).await {
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
        Ok(positions.is_empty() || pages.gone(DeletedKeys::positions(positions)).await)
    }

    /// Keys handed out since the last sweep: those that are in no chunk now have vanished, or come back behind the sweep.
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
                        // those that are gone are told, and in no list any more
                        lists.extend(some.into_iter().rev());
                        self.stage = SweepStage::Lists(lists);
                    }
                    return Err(error);
                }
            };
            kept.extend(there);
            let positions = self.known.forget(&gone)?;
            if !gone.is_empty() && !pages.gone(DeletedKeys::new(&gone, positions, plan)?).await {
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
        Ok(pages.gone(DeletedKeys::positions(positions)).await)
    }

    /// See [`look_for`]. After a connection that did not live as long as that took, fewer keys are looked for at once.
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
        self.got_on |= looked.is_ok();
        looked
    }
}

impl DeletedKeys {
    /// What is to be stored, and nothing to be told.
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
            .map(|key| plan.values(key).ok_or_else(|| unkept(plan)))
            .collect::<Result<_>>()?;
        Ok(Self {
            keys,
            schema: Some(std::sync::Arc::clone(&plan.schema)),
            positions,
        })
    }
}

pub(super) fn unkept(plan: &KeyPlan) -> Error {
    Error::config(format!(
        "a primary key of {} is NULL or does not have its column's type, so that its deletion could not be told \
         (delete.capture): mend the row, or set delete.capture=none",
        plan.table
    ))
}
