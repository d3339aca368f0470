//! Reads one table from its current position, page by page, in a task of its own: the next page is
//! fetched while the previous one is on its way to the topic. `resume` finds the start position,
//! `by_id` decides which ids may be emitted, `by_timestamp` up to which timestamp rows may be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Error, ErrorKind, Result};
use tokio::sync::mpsc;

use super::by_timestamp::AmbiguousTimes;
use super::page::{PageIds, PageSender, ReadOutcome, RowPage};
use crate::catalog::TableMeta;
use crate::driver::{ResultPage, Session};
use crate::ident::TableId;
use crate::source::config::{SourceConfig, SourceMode};
use crate::source::plan::gaps::IdGaps;
use crate::source::plan::offset::SourceProgress;
use crate::source::plan::query::id_of;
use crate::source::plan::query::{self, ReadPosition};
use crate::source::plan::ranges::{KeyRange, SnapshotRanges};
use crate::source::plan::table::TablePlan;
use crate::source::tables::assignments::TableAssignment;
use crate::source::tables::look_up::{look_up_query, look_up_table};
use crate::source::tables::select;
use crate::source::visibility::gap_tracker::GapTracker;
use crate::source::visibility::overtake::Overtake;

/// A page is cut when its values weigh more than this many bytes.
pub(super) const PAGE_WEIGHT: usize = 4 << 20;
/// Rows of a table's first page, when the size of its rows is not known yet.
const FIRST_PAGE: u64 = 500;
/// Maximum rows of a page.
const LARGEST_PAGE: u64 = 10_000;
/// A warning is reported once rows have waited this long.
const WAITS_LONG: Duration = Duration::from_secs(60);
/// A turn ends after this time, so that other tables of the task get theirs.
const TURN: Duration = Duration::from_secs(1);

/// One table (or the query) and how far it has been read.
#[derive(Debug)]
pub struct TableReader {
    /// The table; `None` for a query.
    pub id: Option<TableId>,
    pub(super) config: Arc<SourceConfig>,
    /// Why the table must not be read: its topic name is illegal, or its stored offset could not be
    /// read.
    pub(super) barred: Option<String>,
    pub(super) meta: Option<TableMeta>,
    pub(super) plan: Option<Arc<TablePlan>>,
    /// The range of ids to read, and the snapshot it belongs to; `None`: all ids.
    pub(super) range: Option<(KeyRange, SnapshotRanges)>,
    /// The stored offset to start from.
    pub(super) reached: Option<SourceProgress>,
    /// True once `from` is a valid position.
    pub(super) standing: bool,
    /// Position of the read; it runs ahead of what the task has emitted.
    pub(super) from: ReadPosition,
    /// In the middle of a cycle: upper bound and definition stay the same until it ends.
    pub(super) in_cycle: bool,
    /// An error occurred: the definition must be looked up again.
    pub(super) stale: bool,
    /// Incrementing mode: tracks missing ids.
    pub(super) tracking: Option<GapTracker>,
    /// Timestamp modes: this user cannot see open transactions, so a grace period is used instead.
    pub(super) blind: bool,
    /// Timestamp modes: age of the oldest open transaction, in microseconds.
    pub(super) oldest: Option<i64>,
    /// Timestamp modes: rows emitted ahead of a transaction that has been open too long.
    pub(super) passing: Overtake,
    /// Timestamp modes: wall times that may still occur although later ones are read.
    pub(super) unsettled: AmbiguousTimes,
    /// Since when rows have been waiting.
    pub(super) waiting_since: Option<Instant>,
    pub(super) page_rows: u64,
    /// Current maximum rows of a page: smaller after connections that broke before a page was
    /// complete.
    pub(super) most_rows: u64,
    /// True if the last turn sent rows, however it ended.
    pub(super) got_on: bool,
    /// True if the last turn failed at a row that cannot be read and a smaller page may get the
    /// rows before it.
    pub(super) narrowed: bool,
}

impl TableReader {
    /// Creates a reader that will start at the stored offset, or at the configured beginning.
    pub fn new(entry: TableAssignment, config: Arc<SourceConfig>) -> Self {
        let TableAssignment {
            id,
            range,
            reached,
            barred,
        } = entry;
        Self {
            barred: barred.or_else(|| {
                id.as_ref()
                    .and_then(|id| select::topic_problem(&config, id))
            }),
            id,
            range,
            config,
            meta: None,
            plan: None,
            reached,
            standing: false,
            from: ReadPosition::default(),
            in_cycle: false,
            stale: false,
            tracking: None,
            blind: false,
            oldest: None,
            passing: Overtake::default(),
            unsettled: AmbiguousTimes::default(),
            waiting_since: None,
            page_rows: FIRST_PAGE,
            most_rows: LARGEST_PAGE,
            got_on: false,
            narrowed: false,
        }
    }

    /// Returns the server's estimate of the number of rows.
    pub fn rows_estimated(&self) -> Option<u64> {
        self.meta.as_ref()?.rows_estimated
    }

    /// Looks up the table and seeks to its start position.
    /// Errors: `Config` when the table does not exist or does not fit the mode.
    pub async fn open(&mut self, session: &mut dyn Session) -> Result<()> {
        self.look_up(session).await?;
        self.stand(session).await
    }

    /// Looks up the table and plans it again if its definition has changed.
    /// Errors: `Config` when the table does not exist or does not fit the mode.
    pub async fn look_up(&mut self, session: &mut dyn Session) -> Result<Arc<TablePlan>> {
        let Some(id) = &self.id else {
            let plan = look_up_query(session, &self.config, self.plan.as_ref()).await?;
            self.plan = Some(Arc::clone(&plan));
            return Ok(plan);
        };
        if let Some(text) = &self.barred {
            return Err(Error::config(text.clone()));
        }
        let known = self.meta.as_ref().zip(self.plan.as_ref());
        let (meta, plan) = look_up_table(session, id, &self.config, known).await?;
        self.meta = Some(meta);
        self.plan = Some(Arc::clone(&plan));
        Ok(plan)
    }

    /// True once the reader has been opened and has a position.
    pub fn is_standing(&self) -> bool {
        self.standing
    }

    /// True if the last turn sent rows, however it ended.
    pub fn got_on(&self) -> bool {
        self.got_on
    }

    /// True if a row cannot be read and a smaller page may still get the rows before it.
    pub fn has_narrowed(&self) -> bool {
        self.narrowed
    }

    /// Returns the missing ids below the current position that are still asked for.
    pub fn gaps(&self) -> IdGaps {
        self.tracking
            .as_ref()
            .map(|tracking| tracking.gaps().clone())
            .unwrap_or_default()
    }

    /// Returns the current position.
    pub fn from(&self) -> &ReadPosition {
        &self.from
    }

    /// Reads until there is nothing more or the turn is over. Pages are sent in order; a closed
    /// receiver ends the turn. A reader that has not been opened yet is only opened.
    pub async fn turn(
        &mut self,
        session: &mut dyn Session,
        pages: &PageSender<'_>,
    ) -> Result<ReadOutcome> {
        (self.got_on, self.narrowed) = (false, false);
        if !self.standing {
            self.open(session).await?;
            return Ok(ReadOutcome::More);
        }
        let mut outcome = self.read_some(session, pages).await;
        let outdated = |error: &Error| {
            session.is_stale() || error.kind() == ErrorKind::Config && !session.is_lost()
        };
        if outcome.as_ref().is_err_and(outdated) {
            // A prepared statement or the definition is from before the table changed: look it up
            // again and retry once.
            self.stale = true;
            outcome = self.read_some(session, pages).await;
        }
        match outcome {
            Ok(ReadOutcome::Waiting) => drop(self.waiting_since.get_or_insert_with(Instant::now)),
            _ => self.waiting_since = None,
        }
        outcome
    }

    /// Runs one turn of reading and updates the state of the cycle.
    async fn read_some(
        &mut self,
        session: &mut dyn Session,
        pages: &PageSender<'_>,
    ) -> Result<ReadOutcome> {
        let plan = match &self.plan {
            Some(plan) if self.in_cycle && !self.stale => Arc::clone(plan),
            _ => self.prepare(session).await?,
        };
        let outcome = if plan.shape.paged {
            self.read_on(session, &plan, pages).await
        } else {
            self.read_stream(session, &plan, pages).await
        };
        match &outcome {
            Ok(ReadOutcome::More) => {}
            // Pages continue where they stopped; a single statement for all rows starts from the
            // beginning.
            Err(error) if plan.shape.paged => {
                self.stale = true;
                // Halve the page: it then ends before the row that cannot be read, or completes
                // before the connection breaks.
                self.narrowed = error.kind() == ErrorKind::Record && self.page_rows > 1;
                if session.is_lost() || self.narrowed {
                    self.most_rows = (self.page_rows / 2).max(1);
                    self.page_rows = self.most_rows;
                }
            }
            _ => self.in_cycle = false,
        }
        outcome
    }

    /// Asks for ids that were missing before, then reads the next pages.
    async fn read_on(
        &mut self,
        session: &mut dyn Session,
        plan: &Arc<TablePlan>,
        pages: &PageSender<'_>,
    ) -> Result<ReadOutcome> {
        self.ask_again(session, plan, pages).await?;
        let outcome = self.read_pages(session, plan, pages).await?;
        let outcome = self.end_range(outcome, plan, pages).await;
        let unfinished = self.range.is_some() && outcome != ReadOutcome::Done;
        if let Some(tracking) = &mut self.tracking {
            tracking.end(unfinished || outcome == ReadOutcome::More);
        }
        Ok(outcome)
    }

    /// Looks up the table and, at the beginning of a cycle, sets its upper bound.
    async fn prepare(&mut self, session: &mut dyn Session) -> Result<Arc<TablePlan>> {
        let plan = self.look_up(session).await?;
        self.stale = false;
        if !self.in_cycle {
            self.from.before = if self.config.mode.has_stamp() {
                Some(self.bound(session).await?)
            } else {
                None
            };
            self.from.key = None;
            self.in_cycle = true;
        }
        Ok(plan)
    }

    /// Returns the warnings of this table, for its user.
    pub fn warnings(&self) -> Vec<String> {
        let columns = self
            .plan
            .iter()
            .flat_map(|plan| plan.warnings.iter().cloned());
        columns
            .chain(self.stamp_warning())
            .chain(self.set_back_warning())
            .chain(self.id_warnings())
            .chain(self.waiting_warning())
            .collect()
    }

    fn waiting_warning(&self) -> Option<String> {
        let since = self.waiting_since?.elapsed();
        let name = self
            .id
            .as_ref()
            .map_or_else(|| "the query".to_owned(), TableId::to_string);
        (since > WAITS_LONG).then(|| {
            format!(
                "rows of {name} wait for a transaction that has been open for {} s: end it",
                since.as_secs()
            )
        })
    }

    async fn read_pages(
        &mut self,
        session: &mut dyn Session,
        plan: &Arc<TablePlan>,
        pages: &PageSender<'_>,
    ) -> Result<ReadOutcome> {
        let started = Instant::now();
        loop {
            let limit = self.page_rows;
            let statement = query::statement(&plan.shape, &self.from, limit, session.dialect());
            let mut page = session
                .read(&statement.sql, &statement.params, &plan.layout, PAGE_WEIGHT)
                .await?;
            let full = page.cut || page.rows.len() as u64 >= limit;
            // Cut first, then advance: the position must not move past a row that is held back, or
            // the row would be lost.
            let waiting = self.hold_back(session, plan, &mut page).await?;
            let unsettled = self.unsettled.cut(&mut page);
            self.most_rows = self
                .most_rows
                .saturating_add(self.most_rows / 4 + 1)
                .min(LARGEST_PAGE);
            self.page_rows = next_page_rows(&page, self.page_rows).min(self.most_rows);
            self.advance(plan, &page)?;
            let ends = !full || waiting || unsettled;
            if ends {
                // From here on only later timestamps count, as in the peers.
                self.from.at = None;
            }
            self.got_on |= !page.rows.is_empty();
            if !pages.send(self.chunk(page, plan, ends)).await || waiting {
                return Ok(ReadOutcome::Waiting);
            }
            if ends {
                return Ok(ReadOutcome::CaughtUp);
            }
            if started.elapsed() > TURN {
                return Ok(ReadOutcome::More);
            }
        }
    }

    /// Runs one statement for all rows and sends them as they arrive.
    async fn read_stream(
        &mut self,
        session: &mut dyn Session,
        plan: &Arc<TablePlan>,
        pages: &PageSender<'_>,
    ) -> Result<ReadOutcome> {
        let statement = query::statement(&plan.shape, &self.from, 0, session.dialect());
        let (sender, receiver) = mpsc::channel::<ResultPage>(1);
        let forward = async {
            let mut plan = Arc::clone(plan);
            let mut receiver = receiver;
            let mut held: Option<ResultPage> = None;
            while let Some(mut page) = receiver.recv().await {
                let unsettled = self.unsettled.cut(&mut page);
                if let Some(settled) = plan.settled(&page.rows) {
                    plan = Arc::new(settled);
                }
                if let Some(page) = held.replace(page) {
                    self.advance(&plan, &page)?;
                    if !pages.send(self.chunk(page, &plan, false)).await {
                        return Ok(None);
                    }
                }
                if unsettled {
                    break;
                }
            }
            Ok::<_, Error>(held.map(|page| (page, plan)))
        };
        let read = async {
            let sender = sender;
            session
                .stream(
                    &statement.sql,
                    &statement.params,
                    &plan.layout,
                    PAGE_WEIGHT,
                    &sender,
                )
                .await
        };
        let (read, last) = tokio::join!(read, forward);
        let last = last?;
        let failed = read.err();
        if let Some((page, plan)) = last {
            self.advance(&plan, &page)?;
            let _ = pages.send(self.chunk(page, &plan, failed.is_none())).await;
        }
        failed.map_or(Ok(ReadOutcome::CaughtUp), Err)
    }

    /// Wraps a page of rows in their order for the task.
    pub(super) fn chunk(&mut self, page: ResultPage, plan: &Arc<TablePlan>, ends: bool) -> RowPage {
        let ids = self.tracking.as_ref().map(|t| PageIds {
            late: false,
            settled: t.settled(),
            step: t.step(),
        });
        RowPage {
            aside: self.passing.aside(&page),
            page,
            plan: Arc::clone(plan),
            ends,
            ids,
            through: None,
        }
    }

    /// Moves the position behind the page's last row.
    fn advance(&mut self, plan: &TablePlan, page: &ResultPage) -> Result<()> {
        let Some(last) = page.rows.last() else {
            return Ok(());
        };
        if let Some(id) = plan.id {
            self.from.id = Some(id_of(&last[id])?);
        }
        let key = || plan.order.iter().map(|i| last[*i].clone()).collect();
        match (self.config.mode, page.timestamps.last()) {
            (SourceMode::Timestamp, Some(stamp)) => {
                self.from.at = if plan.shape.paged {
                    Some((*stamp, key()))
                } else {
                    None
                };
                self.from.stamp = Some(*stamp);
            }
            (SourceMode::TimestampIncrementing, Some(stamp)) => self.from.stamp = Some(*stamp),
            (SourceMode::Bulk, _) if plan.shape.paged => self.from.key = Some(key()),
            _ => {}
        }
        Ok(())
    }
}

fn next_page_rows(page: &ResultPage, now: u64) -> u64 {
    if page.rows.is_empty() {
        return now;
    }
    let each = (page.weight / page.rows.len()).max(1);
    let fitting = (PAGE_WEIGHT / each / 2) as u64;
    fitting.clamp(1, LARGEST_PAGE).min(now.saturating_mul(8))
}
