//! When tasks move to other workers, and what their workers have measured of them. Pure.
//!
//! After the slots have moved, numbers of tasks are evened out quickly. From then on a task moves only
//! if workers are busy very unequally, one at a time and rarely, so that what was measured is right
//! again before the next one moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::balance::{Movable, Placed};
use super::{HerderState, Millis};
use crate::settings::BalanceMode;
use crate::store::StoredWorker;

/// How long slots must have stayed where they are before tasks move for balance.
const SETTLED_AFTER: Millis = 10_000;
/// The least time between two moves.
const MOVE_EVERY: Millis = 1_000;
/// A task moves because of its work at most once in that many intervals.
const MOVES_ONCE_IN: u64 = 10;

/// Why a task moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MoveReason {
    /// Its worker is drained.
    Drain,
    /// Another worker has fewer tasks.
    Count,
    /// Another worker is less busy.
    Work,
    /// The worker that ran it before it was lost is back.
    Return,
}

impl MoveReason {
    /// Returns the name that logs and metrics use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Count => "count",
            Self::Work => "work",
            Self::Return => "return",
        }
    }
}

/// How busy tasks are, as their workers have measured it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loads {
    /// 1 for a task that always works.
    tasks: BTreeMap<Arc<str>, BTreeMap<u32, f64>>,
    /// Number of processors of each worker.
    powers: BTreeMap<Arc<str>, f64>,
}

impl Loads {
    /// Returns what workers have published. If several know a task, the one seen last is right.
    pub(crate) fn of(workers: &[StoredWorker]) -> Self {
        let mut by_age: Vec<_> = workers.iter().collect();
        by_age.sort_by_key(|worker| worker.seen_ms);
        let mut loads = Self::default();
        for worker in by_age {
            let Some(busy) = &worker.busy else { continue };
            let power = busy.processors.max(1.0);
            loads.powers.insert(Arc::from(worker.id.as_str()), power);
            for (connector, task, work) in &busy.tasks {
                let of = loads.tasks.entry(Arc::from(connector.as_str()));
                of.or_default().insert(*task, work.clamp(0.0, 1.0));
            }
        }
        loads
    }

    /// Returns how busy a task is, if it was measured.
    pub(crate) fn task(&self, connector: &str, task: u32) -> Option<f64> {
        self.tasks.get(connector)?.get(&task).copied()
    }

    /// Returns the number of processors of a worker.
    pub(super) fn power(&self, worker: &str) -> f64 {
        self.powers.get(worker).copied().unwrap_or(1.0)
    }

    /// Returns how busy a task is taken to be that was not measured yet: as much as the mean of the
    /// others.
    fn assumed(&self) -> f64 {
        let all = self.tasks.values().flat_map(BTreeMap::values);
        let (count, sum) = all.fold((0_u32, 0.0), |(count, sum), work| (count + 1, sum + work));
        if count == 0 {
            0.0
        } else {
            sum / f64::from(count)
        }
    }
}

/// When which task may move.
#[derive(Debug)]
pub(crate) struct BalanceClock {
    mode: BalanceMode,
    /// The least time between two moves because of work.
    interval: Millis,
    /// The slots that may get tasks, with their workers, as last seen.
    open: BTreeMap<u16, Arc<str>>,
    /// Until when nothing moves for balance, because the slots have just moved.
    settled_at: Millis,
    /// Numbers of tasks are even, or as even as work allows, since the slots have moved.
    is_even: bool,
    next: Millis,
    next_by_work: Millis,
    /// When tasks were last moved because of work.
    moved: BTreeMap<Movable, Millis>,
}

impl Default for BalanceClock {
    fn default() -> Self {
        Self {
            mode: BalanceMode::Work,
            interval: 60_000,
            open: BTreeMap::new(),
            settled_at: SETTLED_AFTER,
            is_even: false,
            next: 0,
            next_by_work: 0,
            moved: BTreeMap::new(),
        }
    }
}

impl BalanceClock {
    /// Creates it with what `rowferry.balance` and `rowferry.balance.interval.ms` say.
    pub(crate) fn new(mode: BalanceMode, interval: Millis) -> Self {
        Self {
            mode,
            interval,
            ..Self::default()
        }
    }

    /// Notes the slots that may get tasks. If they are others, numbers of tasks are evened out
    /// first.
    pub(super) fn note_slots(&mut self, open: BTreeMap<u16, Arc<str>>, now: Millis) {
        if self.open == open {
            return;
        }
        self.open = open;
        self.settled_at = now.saturating_add(SETTLED_AFTER);
        self.is_even = false;
    }

    fn note_move(&mut self, now: Millis) {
        self.next = now.saturating_add(MOVE_EVERY);
    }
}

impl HerderState {
    /// Returns the next move to another worker, and why; none if it is not time for one. The move is
    /// taken for made.
    pub(super) fn choose_move(
        &mut self,
        now: Millis,
    ) -> Option<(super::balance::Move, MoveReason)> {
        if self.balance.next > now {
            return None;
        }
        self.balance.note_move(now);
        let open = self.open_slots();
        let tasks = self.placed_tasks();
        let placement = self.placement(&open, &tasks);
        if self.workers.values().any(|draining| *draining) {
            let parts = self.parts();
            if let Some(part) = super::balance::next_drain(&self.slots, &open, parts) {
                let to = placement.free_slot();
                return Some(((part, to), MoveReason::Drain));
            }
        }
        let clock = &self.balance;
        if clock.mode == BalanceMode::Off || clock.settled_at > now || self.awaits_lost() {
            return None;
        }
        let by_work = clock.mode == BalanceMode::Work;
        if !by_work || !clock.is_even {
            if let Some(next) = placement.next_by_count(&tasks, by_work) {
                return Some((next, MoveReason::Count));
            }
            // What has just moved has to be measured first.
            let first = now.saturating_add(clock.interval);
            let clock = &mut self.balance;
            (clock.is_even, clock.next_by_work) = (true, first);
        }
        let clock = &self.balance;
        if !by_work || clock.next_by_work > now {
            return None;
        }
        let rest = clock.interval.saturating_mul(MOVES_ONCE_IN);
        let may_move = |part: &Movable| {
            let last = clock.moved.get(part);
            last.is_none_or(|last| last.saturating_add(rest) <= now)
        };
        let next = placement.next_by_work(&tasks, may_move)?;
        let clock = &mut self.balance;
        clock.next_by_work = now.saturating_add(clock.interval);
        clock
            .moved
            .retain(|_, last| last.saturating_add(rest) > now);
        clock.moved.insert(next.0.clone(), now);
        Some((next, MoveReason::Work))
    }

    /// Returns all tasks with their slots and their work.
    pub(super) fn placed_tasks(&self) -> Vec<Placed> {
        let assumed = self.loads.assumed();
        let mut placed = Vec::new();
        for (name, connector) in &self.connectors {
            for (number, task) in (0..).zip(&connector.tasks) {
                placed.push(Placed {
                    part: (Arc::clone(name), Some(number)),
                    slot: self.scope.within(task.slot),
                    work: self.loads.task(name, number).unwrap_or(assumed),
                    former: task.former.clone(),
                });
            }
        }
        placed
    }

    /// Returns the work of a task that does not run yet.
    pub(super) fn assumed_work(&self) -> f64 {
        self.loads.assumed()
    }
}
