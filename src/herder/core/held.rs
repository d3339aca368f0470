//! Tasks that wait for the worker that ran them, which was lost and may come back
//! (`scheduled.rebalance.max.delay.ms`). Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::balance::{Move, Placement};
use super::shared::{is_active, release};
use super::{Action, HerderState, Millis};
use crate::herder::RunState;
use crate::worker::TaskId;

/// For which worker a task waits, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) until: Millis,
    worker: Arc<str>,
}

impl HerderState {
    /// True if a worker was lost: it has not ended in good order, and owns nothing any more.
    fn is_lost(&self, worker: &str) -> bool {
        *worker != *self.worker_id
            && self.workers.get(worker) == Some(&false)
            && !self.slots.values().any(|owner| **owner == *worker)
    }

    /// True if a task of any worker waits for one that was lost.
    pub(super) fn awaits_lost(&self) -> bool {
        let lost: BTreeSet<&str> = self
            .workers
            .keys()
            .map(|worker| &**worker)
            .filter(|worker| self.is_lost(worker))
            .collect();
        let tasks = || self.connectors.values().flat_map(|c| &c.tasks);
        self.return_within > 0
            && !lost.is_empty()
            && tasks().any(|task| {
                task.status.state == RunState::Unassigned && lost.contains(&*task.status.worker_id)
            })
    }
}

/// Lets the tasks of a connector wait that a lost worker ran, and shows them as unassigned.
pub(super) fn hold(state: &mut HerderState, name: &Arc<str>, now: Millis, out: &mut Vec<Action>) {
    if state.return_within == 0 {
        return;
    }
    let until = now.saturating_add(state.return_within);
    let Some(connector) = state.connectors.get(name) else {
        return;
    };
    let is_waiting = |number: u32, task: &super::Task| {
        let id = TaskId {
            connector: Arc::clone(name),
            task: number,
        };
        state.scope.has(task.slot)
            && is_active(&task.status)
            && !state.runs.contains_key(&id)
            && state.is_lost(&task.status.worker_id)
    };
    let waiting: Vec<usize> = (0..)
        .zip(&connector.tasks)
        .enumerate()
        .filter(|(_, (number, task))| is_waiting(*number, task))
        .map(|(at, _)| at)
        .collect();
    let Some(connector) = state.connectors.get_mut(name) else {
        return;
    };
    for at in waiting {
        let (Some(task), Ok(number)) = (connector.tasks.get_mut(at), u32::try_from(at)) else {
            continue;
        };
        let worker = Arc::clone(&task.status.worker_id);
        task.status.state = RunState::Unassigned;
        out.push(release(name, Some(number), &worker));
        task.held.get_or_insert(Held { until, worker });
    }
}

/// Returns the next move of a task that has waited to the worker that is back.
pub(super) fn next_return(state: &HerderState) -> Option<Move> {
    for (name, connector) in &state.connectors {
        for (number, task) in (0..).zip(&connector.tasks) {
            let Some(held) = &task.held else { continue };
            if !state.scope.has(task.slot) || state.is_draining(&held.worker) {
                continue;
            }
            let slots: BTreeMap<u16, Arc<str>> = state
                .slots
                .iter()
                .filter(|(_, owner)| **owner == held.worker)
                .map(|(slot, owner)| (*slot, Arc::clone(owner)))
                .collect();
            if slots.is_empty() {
                continue;
            }
            let tasks = state.placed_tasks();
            let placed = tasks.iter().map(|task| (task.slot, task.work));
            let to = Placement::new(&slots, placed, |_| 1.0).free_slot();
            return Some(((Arc::clone(name), Some(number)), to));
        }
    }
    None
}
