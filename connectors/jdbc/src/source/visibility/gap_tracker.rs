//! Decides which rows may be emitted although ids before them are missing, and which missing ids
//! are still asked for.
//!
//! An id is taken when a row is inserted; the row becomes visible when its transaction commits. So
//! a missing id is remembered and asked for again until every transaction that may hold it has
//! ended: until a commit barrier set behind it is passed. Only those rows wait for that. Pure,
//! except for the clock of the holds.

use std::time::{Duration, Instant};

use connector_api::Result;

use super::barrier::{BarrierState, CommitBarrier};
use crate::source::plan::gaps::{IdGaps, between};

/// Maximum ranges of missing ids; rows beyond them wait.
const MOST: usize = 20_000;
/// How long rows wait for an id before them where nothing shows whether it is in use (PostgreSQL).
const HOLD: Duration = Duration::from_secs(2);

/// State of the ids of one table.
#[derive(Debug)]
pub(crate) struct GapTracker {
    gaps: IdGaps,
    /// No row can appear up to this id, except in `gaps`.
    settled: i64,
    /// The usual distance between two ids.
    step: i64,
    /// True if rows wait for a while before a gap is passed.
    holds: bool,
    /// The barrier that is being waited for.
    barrier: Option<CommitBarrier>,
    /// Rows wait behind a gap below this id, since that time.
    held: Option<(i64, Instant)>,
    /// Gaps up to this id have been waited for.
    passable: i64,
    /// Rows wait because too many ids are missing.
    full: bool,
    /// The last turn ended before everything was read.
    backlog: bool,
    /// Number of ids given up because of their age.
    expired: u64,
    denied: bool,
}

impl GapTracker {
    /// Creates the state of a table that has been read up to `id`, except for `gaps`.
    pub(crate) fn new(id: i64, gaps: IdGaps, step: i64, holds: bool) -> Self {
        Self {
            gaps,
            settled: id,
            step: step.max(1),
            holds,
            barrier: None,
            held: None,
            passable: id,
            full: false,
            backlog: true,
            expired: 0,
            denied: false,
        }
    }

    /// Returns the missing ids that are still asked for.
    pub(crate) fn gaps(&self) -> &IdGaps {
        &self.gaps
    }

    /// Returns the id up to which no row can appear, except in the gaps.
    pub(crate) fn settled(&self) -> i64 {
        self.settled
    }

    /// Returns the usual distance between two ids.
    pub(crate) fn step(&self) -> i64 {
        self.step
    }

    /// Begins a turn: gaps that have been waited for long enough may be passed. Returns the current
    /// barrier, or `None` if one should be set.
    pub(crate) fn begin(&mut self) -> Option<CommitBarrier> {
        if let Some((up_to, since)) = self.held
            && since.elapsed() >= HOLD
        {
            self.passable = self.passable.max(up_to);
            self.held = None;
        }
        self.barrier
    }

    /// True if a barrier would allow progress.
    pub(crate) fn wants_barrier(&self) -> bool {
        self.backlog || self.full || self.held.is_some() || !self.gaps.is_empty()
    }

    /// Takes a barrier that has been set.
    pub(crate) fn set(&mut self, barrier: CommitBarrier) {
        self.barrier = Some(barrier);
    }

    /// Evaluates the state of the barrier. Returns the id up to which no row can appear any more.
    /// Before the caller passes it to [`Self::settle`], it must query the gaps again up to
    /// it: their rows may have been committed since the last time.
    pub(crate) fn judge(&mut self, state: BarrierState, longest: Duration) -> Option<i64> {
        let barrier = self.barrier?;
        self.denied = state == BarrierState::Denied;
        if state == BarrierState::Passed {
            return Some(barrier.up_to);
        }
        let too_old = barrier.age() > longest;
        if too_old {
            let mut rest = self.gaps.clone();
            let all = rest.ids();
            rest.settle(barrier.up_to);
            self.expired = self.expired.saturating_add(all - rest.ids());
        }
        too_old.then_some(barrier.up_to)
    }

    /// Gives up the gaps up to that id and clears the barrier.
    pub(crate) fn settle(&mut self, up_to: i64) {
        self.settled = self.settled.max(up_to);
        self.gaps.settle(up_to);
        self.held = self.held.filter(|(held, _)| *held > up_to);
        self.barrier = None;
        self.full = false;
    }

    /// Removes the id of a row that has appeared. Returns whether it was missing.
    pub(crate) fn fill(&mut self, id: i64) -> bool {
        self.gaps.fill(id)
    }

    /// Records the ids that are missing among those that follow `above`. Returns how many rows may
    /// be emitted; the others wait.
    pub(crate) fn admit(
        &mut self,
        above: i64,
        ids: impl Iterator<Item = Result<i64>>,
        last: i64,
    ) -> Result<usize> {
        let mut before = above;
        let mut count = 0;
        for id in ids {
            let id = id?;
            if let Some((_, missing)) = between(before, id, self.settled, self.step) {
                if self.holds && missing > self.passable {
                    self.held.get_or_insert((last, Instant::now()));
                    return Ok(count);
                }
                if self.gaps.len() >= MOST {
                    self.full = true;
                    return Ok(count);
                }
                self.gaps.note(before, id, self.settled, self.step);
            }
            before = id;
            count += 1;
        }
        Ok(count)
    }

    /// Ends a turn. `more`: there is more to read at once.
    pub(crate) fn end(&mut self, more: bool) {
        self.backlog = more;
    }

    /// True if this user cannot see transactions.
    pub(crate) fn is_denied(&self) -> bool {
        self.denied
    }

    /// Returns how many ids were given up because of their age.
    pub(crate) fn expired(&self) -> u64 {
        self.expired
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{GapTracker, MOST};
    use crate::source::plan::gaps::IdGaps;
    use crate::source::visibility::barrier::{BarrierState, CommitBarrier};

    fn admit(tracking: &mut GapTracker, above: i64, ids: &[i64]) -> usize {
        let last = ids.last().copied().unwrap_or(above);
        tracking
            .admit(above, ids.iter().copied().map(Ok), last)
            .unwrap()
    }

    #[test]
    fn a_gap_is_passed_and_asked_for_until_its_barrier_is() {
        let mut tracking = GapTracker::new(0, IdGaps::default(), 1, false);
        assert_eq!(admit(&mut tracking, 0, &[1, 2, 5]), 3);
        assert_eq!(tracking.gaps().ranges().collect::<Vec<_>>(), [(3, 4)]);
        assert!(tracking.begin().is_none() && tracking.wants_barrier());
        tracking.set(CommitBarrier::at(5));
        assert_eq!(
            tracking.judge(BarrierState::Open, Duration::from_secs(600)),
            None
        );
        assert!(tracking.fill(3));
        assert_eq!(
            tracking.judge(BarrierState::Passed, Duration::from_secs(600)),
            Some(5)
        );
        tracking.settle(5);
        assert!(tracking.gaps().is_empty());
        assert_eq!(admit(&mut tracking, 5, &[6, 7]), 2);
        tracking.end(false);
        assert!(!tracking.wants_barrier());
    }

    #[test]
    fn a_gap_too_old_is_given_up_and_counted() {
        let mut tracking = GapTracker::new(0, IdGaps::default(), 1, false);
        admit(&mut tracking, 0, &[4, 9]);
        tracking.set(CommitBarrier::at(6));
        assert_eq!(
            tracking.judge(BarrierState::Denied, Duration::ZERO),
            Some(6)
        );
        assert_eq!((tracking.expired(), tracking.is_denied()), (5, true));
    }

    #[test]
    fn rows_wait_behind_a_gap_where_they_are_held() {
        let mut tracking = GapTracker::new(0, IdGaps::default(), 1, true);
        assert_eq!(admit(&mut tracking, 0, &[1, 2, 5, 6]), 2);
        tracking.settle(4);
        assert_eq!(admit(&mut tracking, 2, &[5, 6, 9]), 2);
        assert!(tracking.gaps().is_empty());
    }

    #[test]
    fn rows_wait_when_too_much_is_missing() {
        let mut tracking = GapTracker::new(0, IdGaps::default(), 1, false);
        let ids: Vec<i64> = (1..=MOST as i64 + 10).map(|n| n * 2).collect();
        assert_eq!(admit(&mut tracking, 0, &ids), MOST);
        assert!(tracking.wants_barrier());
    }
}
