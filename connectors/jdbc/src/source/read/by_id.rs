//! Incrementing mode: decides which ids may be emitted and which are asked for again.

use std::sync::Arc;

use connector_api::Result;

use super::cursor::{PAGE_WEIGHT, TableReader};
use super::page::{PageIds, PageSender, ReadOutcome, RowPage};
use crate::driver::{ResultPage, Session};
use crate::source::config::SourceMode;
use crate::source::plan::offset::SourceProgress;
use crate::source::plan::query;
use crate::source::plan::query::id_of;
use crate::source::plan::table::TablePlan;
use crate::source::visibility::barrier::CommitBarrier;
use crate::source::visibility::gap_tracker::GapTracker;
use crate::source::visibility::overtake::EmitFilter;
use crate::source::visibility::uncommitted;

/// Maximum ranges of missing ids in one statement.
const ASKED: usize = 128;

/// Wraps rows whose ids were missing, or (without rows) a change of the settled id.
fn out_of_turn(page: ResultPage, plan: &Arc<TablePlan>, ids: PageIds) -> RowPage {
    RowPage {
        page,
        plan: Arc::clone(plan),
        ends: false,
        aside: EmitFilter::default(),
        ids: Some(ids),
        through: None,
    }
}

impl TableReader {
    /// Sets up gap tracking if the mode and the database need it.
    pub(super) async fn track(
        &mut self,
        reached: Option<&SourceProgress>,
        session: &mut dyn Session,
    ) -> Result<()> {
        let paged = self.plan.as_ref().is_some_and(|plan| plan.shape.paged);
        let dialect = session.dialect();
        let overtaken = dialect.capabilities().has_snapshots
            || dialect.capabilities().oldest_transaction.is_some();
        self.tracking = None;
        if !self.config.gap_tracking
            || self.config.mode != SourceMode::Incrementing
            || !paged
            || !overtaken
        {
            return Ok(());
        }
        let step = match dialect.capabilities().id_step {
            Some(sql) => session
                .query(sql, &[])
                .await?
                .first()
                .and_then(|row| row.first()?.as_i64())
                .unwrap_or(1),
            None => 1,
        };
        let gaps = reached.map(|r| r.gaps.clone()).unwrap_or_default();
        let id = self.from.id.unwrap_or(-1);
        self.tracking = Some(GapTracker::new(
            id,
            gaps,
            step,
            dialect.capabilities().has_snapshots,
        ));
        Ok(())
    }

    /// Checks which transactions have ended, and asks for missing ids again.
    pub(super) async fn ask_again(
        &mut self,
        session: &mut dyn Session,
        plan: &Arc<TablePlan>,
        pages: &PageSender<'_>,
    ) -> Result<()> {
        // All ids of a range have been assigned already, whether or not its last rows still exist.
        let least = self
            .range
            .as_ref()
            .map_or(i64::MIN, |(range, _)| range.up_to)
            .max(self.from.id.unwrap_or(-1));
        loop {
            let Some(tracking) = &mut self.tracking else {
                return Ok(());
            };
            let fence = match tracking.begin() {
                Some(fence) => fence,
                None if !tracking.wants_fence() => return Ok(()),
                None => {
                    let fence = CommitBarrier::set(session, plan, least).await?;
                    tracking.set(fence);
                    fence
                }
            };
            let state = fence.state(session, &self.config.target).await?;
            let settled = tracking.judge(state, self.config.gap_max_age);
            // Ask after judging the barrier and before settling: if its transactions have ended,
            // whatever they committed is visible to this query, and no row is given up unread.
            self.ask(session, plan, pages, settled.unwrap_or(i64::MAX))
                .await?;
            let (Some(up_to), Some(tracking)) = (settled, &mut self.tracking) else {
                return Ok(());
            };
            let had = tracking.gaps().len();
            tracking.settle(up_to);
            if tracking.gaps().len() < had {
                let ids = PageIds {
                    late: true,
                    settled: up_to,
                    step: tracking.step(),
                };
                pages
                    .send(out_of_turn(ResultPage::default(), plan, ids))
                    .await;
            }
            tracking.end(false);
        }
    }

    /// Reads the rows of missing ids up to `up_to`.
    async fn ask(
        &mut self,
        session: &mut dyn Session,
        plan: &Arc<TablePlan>,
        pages: &PageSender<'_>,
        up_to: i64,
    ) -> Result<()> {
        let mut next = i64::MIN;
        loop {
            let Some(tracking) = &mut self.tracking else {
                return Ok(());
            };
            let open = tracking
                .gaps()
                .ranges()
                .filter(|(first, last)| *last >= next && *first <= up_to);
            let ranges: Vec<_> = open.take(ASKED).collect();
            let Some((_, end)) = ranges.last().copied() else {
                return Ok(());
            };
            let statement = query::within(&plan.shape, &ranges, session.dialect());
            let page = session
                .read(&statement.sql, &statement.params, &plan.layout, PAGE_WEIGHT)
                .await?;
            if !page.cut {
                next = end.saturating_add(1);
            }
            let id = plan.id.unwrap_or_default();
            for row in &page.rows {
                tracking.fill(id_of(&row[id])?);
            }
            let ids = PageIds {
                late: true,
                settled: i64::MIN,
                step: tracking.step(),
            };
            let empty = page.rows.is_empty();
            if !empty && !pages.send(out_of_turn(page, plan, ids)).await {
                return Ok(());
            }
            if next == i64::MAX || (empty && next == i64::MIN) {
                return Ok(());
            }
        }
    }

    /// Ends a range that has been read completely, as soon as no transaction can add a row to it
    /// any more. Returns the resulting outcome.
    pub(super) async fn end_range(
        &mut self,
        outcome: ReadOutcome,
        plan: &Arc<TablePlan>,
        pages: &PageSender<'_>,
    ) -> ReadOutcome {
        let range = self.range.as_ref().map(|(range, _)| *range);
        let Some(range) = range.filter(|_| outcome == ReadOutcome::CaughtUp) else {
            return outcome;
        };
        if self
            .tracking
            .as_ref()
            .is_some_and(|tracking| tracking.settled() < range.up_to)
        {
            return ReadOutcome::Waiting;
        }
        self.from.id = Some(range.up_to);
        let chunk = RowPage {
            through: Some(range.up_to),
            ..self.chunk(ResultPage::default(), plan, false)
        };
        pages.send(chunk).await;
        ReadOutcome::Done
    }

    /// Returns the server's estimate of the rows in the range, in total and of those still to be
    /// read.
    pub fn rows_in_range(&self) -> Option<(u64, u64)> {
        let (range, snapshot) = self.range.as_ref()?;
        let all = self.rows_estimated()? as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of an estimate, which is not below zero"
        )]
        let rows = |reached: i64| (all * snapshot.share(range, reached)) as u64;
        Some((rows(range.above), rows(self.from.id.unwrap_or(range.above))))
    }

    /// Cuts the page before the first row that has to wait. Returns whether it did.
    pub(super) async fn hold_back(
        &mut self,
        session: &mut dyn Session,
        plan: &TablePlan,
        page: &mut ResultPage,
    ) -> Result<bool> {
        let (Some(tracking), Some(id)) = (&mut self.tracking, plan.id) else {
            return Ok(false);
        };
        let above = self.from.id.unwrap_or(-1);
        let Some(last) = page.rows.last().map(|row| id_of(&row[id])).transpose()? else {
            return Ok(false);
        };
        let came = page.rows.len();
        if last > tracking.settled()
            && let Some(keep) = uncommitted::safe_rows(session, plan, id, above, &page.rows).await?
        {
            page.rows.truncate(keep);
        }
        let ids = page.rows.iter().map(|row| id_of(&row[id]));
        let keep = tracking.admit(above, ids, last)?;
        page.rows.truncate(keep);
        Ok(page.rows.len() < came)
    }

    /// Returns warnings about missing ids.
    pub(super) fn id_warnings(&self) -> Vec<String> {
        let Some(tracking) = &self.tracking else {
            return Vec::new();
        };
        let grant = crate::dialect::of(self.config.target.database_kind())
            .capabilities()
            .oldest_transaction;
        let seconds = self.config.gap_max_age.as_secs_f32();
        let mut warnings = Vec::new();
        if let (true, Some(grant)) = (tracking.is_denied(), grant) {
            warnings.push(format!(
                "open transactions are not visible without the privilege {}: a missing id is \
                 queried again for {seconds} s (gap.max.age.ms), and a row that is committed later \
                 is missed; grant the privilege",
                grant.grant
            ));
        }
        if tracking.expired() > 0 && !tracking.is_denied() {
            warnings.push(format!(
                "{} missing ids of {} were abandoned after {seconds} s (gap.max.age.ms) while \
                 transactions of their time were still open; rows with these ids that are \
                 committed later are missed",
                tracking.expired(),
                self.id
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default()
            ));
        }
        warnings
    }
}
