//! Reads one table from its current position, page by page, in a task of its own: the next page is
//! fetched while the previous one is on its way to the topic. `resume` finds the start position;
//! which of the rows may be emitted is for `visibility` to decide.

#![expect(
    clippy::indexing_slicing,
    reason = "a row has the columns of the plan that it was read by"
)]

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Error, ErrorKind, Result, Value};
use tokio::sync::mpsc;

use crate::catalog::TableMeta;
use crate::driver::{ResultPage, Session};
use crate::ident::TableId;
use crate::source::config::{SourceConfig, SourceMode};
use crate::source::plan::gaps::IdGaps;
use crate::source::plan::offset::SourceProgress;
use crate::source::plan::query::{self, KeyBounds, PAGE_WEIGHT, ReadPosition, id_of};
use crate::source::plan::reread::RereadPlace;
use crate::source::plan::table::TablePlan;
use crate::source::read::page::{PageSender, ReadOutcome, RowPage, TurnEnd, TurnProgress};
use crate::source::read::page_size::PageSize;
use crate::source::read::resume::start_position;
use crate::source::tables::assignments::TableAssignment;
use crate::source::tables::look_up::{look_up_query, look_up_table};
use crate::source::tables::select;
use crate::source::visibility::for_mode::{self, Immediate};
use crate::source::visibility::overtake::EmitFilter;
use crate::source::visibility::{Admission, LateRows, ReadContext, Visibility};

/// A warning is reported once rows have waited this long.
const WAITS_LONG: Duration = Duration::from_secs(60);
/// A definition that was looked up this long ago is looked up again, even if there are no rows.
const DEFINITION_AGE: Duration = Duration::from_secs(60);
/// A turn ends after this time, so that other tables of the task get theirs.
const TURN: Duration = Duration::from_secs(1);

/// One table (or the query) and how far it has been read.
#[derive(Debug)]
pub(crate) struct TableReader {
    /// The table; `None` for a query.
    id: Option<TableId>,
    config: Arc<SourceConfig>,
    /// Why the table must not be read: its topic name is illegal, or its stored offset could not be
    /// read.
    unreadable: Option<String>,
    meta: Option<TableMeta>,
    plan: Option<Arc<TablePlan>>,
    /// The stored offset to start from.
    stored: Option<SourceProgress>,
    /// True once `from` is a valid position.
    opened: bool,
    /// Position of the read; it runs ahead of what the task has emitted.
    from: ReadPosition,
    /// Decides which rows may be emitted, according to the mode.
    visibility: Box<dyn Visibility>,
    /// In the middle of a cycle: upper bound and definition stay the same until it ends.
    in_cycle: bool,
    /// An error occurred: the definition must be looked up again.
    stale: bool,
    /// When the definition was looked up last.
    looked_up: Option<Instant>,
    /// The cycle began with a definition looked up before: its first rows are emitted only if that
    /// is still the table's. An idle table so costs one query per poll instead of four.
    unchecked: bool,
    /// Since when rows have been waiting.
    waiting_since: Option<Instant>,
    page_size: PageSize,
    /// Set if rows are read again: their bounds, and the key to continue after.
    again: Option<(KeyBounds, Option<Vec<Value>>)>,
}

impl TableReader {
    /// Creates a reader that will start at the stored offset, or at the configured beginning.
    pub(crate) fn new(entry: TableAssignment, config: Arc<SourceConfig>) -> Self {
        let illegal_topic = || {
            let id = entry.id.as_ref()?;
            select::topic_problem(&config, id)
        };
        Self {
            unreadable: entry.unreadable.or_else(illegal_topic),
            from: ReadPosition {
                up_to: entry.range.map(|(range, _)| range.up_to),
                ..ReadPosition::default()
            },
            id: entry.id,
            stored: entry.reached,
            config,
            meta: None,
            plan: None,
            opened: false,
            visibility: Box::new(Immediate),
            in_cycle: false,
            stale: false,
            looked_up: None,
            unchecked: false,
            waiting_since: None,
            page_size: PageSize::default(),
            again: None,
        }
    }

    /// Creates a reader of rows that are read again, from a place on.
    pub(crate) fn again(id: TableId, place: &RereadPlace, config: Arc<SourceConfig>) -> Self {
        Self {
            again: Some((place.bounds(), place.after())),
            ..Self::new(TableAssignment::whole(Some(id), None), config)
        }
    }

    /// Returns the server's estimate of the number of rows.
    pub(crate) fn rows_estimated(&self) -> Option<u64> {
        self.meta.as_ref()?.rows_estimated
    }

    /// True once the reader has been opened and has a position.
    pub(crate) fn is_open(&self) -> bool {
        self.opened
    }

    /// Returns the current position.
    pub(crate) fn position(&self) -> &ReadPosition {
        &self.from
    }

    /// Returns the missing ids below the current position that are still asked for.
    pub(crate) fn gaps(&self) -> IdGaps {
        self.visibility.gaps()
    }

    /// Looks up the table and seeks to its start position.
    /// Errors: `Config` when the table does not exist or does not fit the mode.
    pub(crate) async fn open(&mut self, session: &mut dyn Session) -> Result<()> {
        let plan = self.look_up(session).await?;
        let stored = self.stored.as_ref();
        let up_to = self.from.up_to;
        self.from = start_position(stored, up_to, &plan, &self.config, session).await?;
        if let Some((bounds, _)) = &self.again {
            if !plan.shape.paged {
                return Err(Error::config(
                    "the table has no primary key any more in whose order it can be read again",
                ));
            }
            self.from.bounds = bounds.clone();
        }
        let gaps = stored.map(|stored| stored.gaps.clone()).unwrap_or_default();
        let mut cx = ReadContext {
            session,
            plan: &plan,
            from: &mut self.from,
        };
        self.visibility = for_mode::choose(&self.config, self.id.as_ref(), gaps, &mut cx).await?;
        self.in_cycle = false;
        self.opened = true;
        Ok(())
    }

    /// Looks up the table and plans it again if its definition has changed.
    /// Errors: `Config` when the table does not exist or does not fit the mode.
    pub(crate) async fn look_up(&mut self, session: &mut dyn Session) -> Result<Arc<TablePlan>> {
        let Some(id) = &self.id else {
            let plan = look_up_query(session, &self.config, self.plan.as_ref()).await?;
            self.plan = Some(Arc::clone(&plan));
            return Ok(plan);
        };
        if let Some(text) = &self.unreadable {
            return Err(Error::config(text.clone()));
        }
        let known = self.meta.as_ref().zip(self.plan.as_ref());
        let (meta, plan) = look_up_table(session, id, &self.config, known).await?;
        self.looked_up = Some(Instant::now());
        self.meta = Some(meta);
        self.plan = Some(Arc::clone(&plan));
        Ok(plan)
    }

    /// Reads until there is nothing more or the turn is over. Pages are sent in order; a closed
    /// receiver ends the turn. A reader that has not been opened yet is only opened.
    pub(crate) async fn turn(
        &mut self,
        session: &mut dyn Session,
        pages: &PageSender<'_>,
    ) -> TurnEnd {
        if !self.opened {
            let opened = self.open(session).await;
            return TurnEnd::without_progress(opened.map(|()| ReadOutcome::More));
        }
        let mut progress = TurnProgress::default();
        let mut outcome = self.read_some(session, pages, &mut progress).await;
        let outdated = |error: &Error| {
            session.is_stale() || error.kind() == ErrorKind::Config && !session.is_lost()
        };
        if outcome.as_ref().is_err_and(outdated) {
            // A prepared statement or the definition is from before the table changed: look it up
            // again and retry once.
            self.stale = true;
            outcome = self.read_some(session, pages, &mut progress).await;
        }
        match outcome {
            Ok(ReadOutcome::Waiting) => drop(self.waiting_since.get_or_insert_with(Instant::now)),
            _ => self.waiting_since = None,
        }
        TurnEnd { outcome, progress }
    }

    /// Runs one turn of reading and updates the state of the cycle.
    async fn read_some(
        &mut self,
        session: &mut dyn Session,
        pages: &PageSender<'_>,
        progress: &mut TurnProgress,
    ) -> Result<ReadOutcome> {
        let plan = match &self.plan {
            Some(plan) if self.in_cycle && !self.stale => Arc::clone(plan),
            _ => self.prepare(session).await?,
        };
        let outcome = if plan.shape.paged {
            self.read_on(session, &plan, pages, progress).await
        } else {
            self.read_stream(session, &plan, pages).await
        };
        match &outcome {
            Ok(ReadOutcome::More) => {}
            // Pages continue where they stopped; a single statement for all rows starts from the
            // beginning.
            Err(error) if plan.shape.paged => {
                self.stale = true;
                progress.narrowed = error.kind() == ErrorKind::Record && self.page_size.rows() > 1;
                if session.is_lost() || progress.narrowed {
                    self.page_size.halve();
                }
            }
            _ => self.in_cycle = false,
        }
        outcome
    }

    /// Returns the plan if its definition may be checked once there are rows: a table read in pages
    /// of new rows, of which no missing ids are asked for.
    fn plan_to_check_later(&self) -> Option<Arc<TablePlan>> {
        let is_recent = self.looked_up?.elapsed() < DEFINITION_AGE;
        let reads_news = self.config.mode != SourceMode::Bulk && self.again.is_none();
        let plan = self.plan.as_ref().filter(|plan| plan.shape.paged)?;
        let may_wait = is_recent && reads_news && !self.stale && self.gaps().is_empty();
        may_wait.then(|| Arc::clone(plan))
    }

    /// Looks up the table and, at the beginning of a cycle, sets its upper bound.
    async fn prepare(&mut self, session: &mut dyn Session) -> Result<Arc<TablePlan>> {
        let known = self.plan_to_check_later();
        self.unchecked = known.is_some();
        let plan = match known {
            Some(plan) => plan,
            None => self.look_up(session).await?,
        };
        self.stale = false;
        if !self.in_cycle {
            let mut cx = ReadContext {
                session,
                plan: &plan,
                from: &mut self.from,
            };
            let before = self.visibility.begin_cycle(&mut cx).await?;
            self.from.before = before;
            self.from.key = self.again.as_ref().and_then(|(_, after)| after.clone());
            self.in_cycle = true;
        }
        Ok(plan)
    }

    /// Sends rows that an earlier cycle could not see, then reads the next pages.
    async fn read_on(
        &mut self,
        session: &mut dyn Session,
        plan: &Arc<TablePlan>,
        pages: &PageSender<'_>,
        progress: &mut TurnProgress,
    ) -> Result<ReadOutcome> {
        let mut cx = ReadContext {
            session: &mut *session,
            plan,
            from: &mut self.from,
        };
        while let Some(late) = self.visibility.late_rows(&mut cx).await? {
            if !pages.send(late_page(late, plan)).await {
                return Ok(ReadOutcome::Waiting);
            }
        }
        let outcome = self.read_pages(session, plan, pages, progress).await?;
        let outcome = self.end_range(outcome, plan, pages).await;
        let unfinished = self.from.up_to.is_some() && outcome != ReadOutcome::Done;
        self.visibility
            .end_turn(unfinished || outcome == ReadOutcome::More);
        Ok(outcome)
    }

    async fn read_pages(
        &mut self,
        session: &mut dyn Session,
        plan: &Arc<TablePlan>,
        pages: &PageSender<'_>,
        progress: &mut TurnProgress,
    ) -> Result<ReadOutcome> {
        let started = Instant::now();
        loop {
            let limit = self.page_size.rows();
            let statement = query::statement(&plan.shape, &self.from, limit, session.dialect());
            let mut page = session
                .read(&statement.sql, &statement.params, &plan.layout, PAGE_WEIGHT)
                .await?;
            if !page.rows.is_empty() && self.has_changed(plan, session).await? {
                // The position is still before the page, which is read again as the table is now.
                self.in_cycle = false;
                return Ok(ReadOutcome::More);
            }
            let full = page.cut || page.rows.len() as u64 >= limit;
            // Cut first, then advance: the position must not move past a row that is held back, or
            // the row would be lost.
            let mut cx = ReadContext {
                session: &mut *session,
                plan,
                from: &mut self.from,
            };
            let admission = self.visibility.admit(&mut cx, &mut page).await?;
            self.page_size.adapt(&page);
            self.advance(plan, &page)?;
            let ends = !full || admission != Admission::All;
            if ends {
                // From here on only later timestamps count, as in the peers.
                self.from.at = None;
            }
            progress.advanced |= !page.rows.is_empty();
            let sent = pages.send(self.row_page(page, plan, ends)).await;
            if !sent || admission == Admission::UntilCommit {
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

    /// Looks the table up if this cycle has not done so. True if it must be read by another plan.
    async fn has_changed(
        &mut self,
        plan: &Arc<TablePlan>,
        session: &mut dyn Session,
    ) -> Result<bool> {
        if !self.unchecked {
            return Ok(false);
        }
        let current = self.look_up(session).await?;
        self.unchecked = false;
        Ok(!Arc::ptr_eq(&current, plan))
    }

    /// Ends a range that has been read completely, as soon as no transaction can add a row to it
    /// any more. Returns the resulting outcome.
    async fn end_range(
        &mut self,
        outcome: ReadOutcome,
        plan: &Arc<TablePlan>,
        pages: &PageSender<'_>,
    ) -> ReadOutcome {
        let caught_up = outcome == ReadOutcome::CaughtUp;
        let Some(up_to) = self.from.up_to.filter(|_| caught_up) else {
            return outcome;
        };
        if !self.visibility.is_settled(up_to) {
            return ReadOutcome::Waiting;
        }
        self.from.id = Some(up_to);
        let page = RowPage {
            through: Some(up_to),
            ..self.row_page(ResultPage::default(), plan, false)
        };
        pages.send(page).await;
        ReadOutcome::Done
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
        let forward = self.forward(receiver, plan, pages);
        let read = async {
            // Dropped when the statement has ended, which ends `forward`.
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
            let _ = pages
                .send(self.row_page(page, &plan, failed.is_none()))
                .await;
        }
        failed.map_or(Ok(ReadOutcome::CaughtUp), Err)
    }

    /// Sends the pages of a stream on, except for the last one: only when the statement has ended
    /// is it known whether it is the last, and whether it ended well. Returns that page with its
    /// plan; `None` if there is none, or the receiver is closed.
    async fn forward(
        &mut self,
        mut stream: mpsc::Receiver<ResultPage>,
        plan: &Arc<TablePlan>,
        pages: &PageSender<'_>,
    ) -> Result<Option<(ResultPage, Arc<TablePlan>)>> {
        let mut plan = Arc::clone(plan);
        let mut last: Option<ResultPage> = None;
        while let Some(mut page) = stream.recv().await {
            let admission = self.visibility.admit_streamed(&mut page);
            if let Some(settled) = plan.settled(&page.rows) {
                plan = Arc::new(settled);
            }
            if let Some(page) = last.replace(page) {
                self.advance(&plan, &page)?;
                if !pages.send(self.row_page(page, &plan, false)).await {
                    return Ok(None);
                }
            }
            if admission != Admission::All {
                break;
            }
        }
        Ok(last.map(|page| (page, plan)))
    }

    /// Wraps a page of rows in their order for the task.
    fn row_page(&mut self, page: ResultPage, plan: &Arc<TablePlan>, ends: bool) -> RowPage {
        RowPage {
            filter: self.visibility.filter(&page),
            ids: self.visibility.page_ids(),
            page,
            plan: Arc::clone(plan),
            ends,
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
            (SourceMode::Timestamp, Some(timestamp)) => {
                self.from.at = if plan.shape.paged {
                    Some((*timestamp, key()))
                } else {
                    None
                };
                self.from.timestamp = Some(*timestamp);
            }
            (SourceMode::TimestampIncrementing, Some(timestamp)) => {
                self.from.timestamp = Some(*timestamp);
            }
            (SourceMode::Bulk, _) if plan.shape.paged => self.from.key = Some(key()),
            _ => {}
        }
        Ok(())
    }

    /// Returns the warnings of this table, for its user.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let columns = self
            .plan
            .iter()
            .flat_map(|plan| plan.warnings.iter().cloned());
        columns
            .chain(self.visibility.warnings())
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
}

/// Wraps rows that an earlier cycle could not see for the task.
fn late_page(late: LateRows, plan: &Arc<TablePlan>) -> RowPage {
    RowPage {
        page: late.page,
        plan: Arc::clone(plan),
        ends: false,
        filter: EmitFilter::default(),
        ids: Some(late.ids),
        through: None,
    }
}
