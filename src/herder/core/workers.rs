//! The workers of a shared store: what each has, which is emptied before it leaves (drained), and
//! which part moves next.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::HerderState;
use super::balance::{self, Movable};
use super::shared::Scope;
use crate::herder::HerderRefusal;
use crate::store::StoreChange;

/// What a worker has, as the store says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkerShare {
    pub(crate) slots: usize,
    /// Connectors that it plans.
    pub(crate) connectors: usize,
    pub(crate) tasks: usize,
}

/// Returns what each worker has that has something.
pub(crate) fn shares(state: &HerderState) -> BTreeMap<Arc<str>, WorkerShare> {
    let mut shares: BTreeMap<Arc<str>, WorkerShare> = BTreeMap::new();
    let owner = |slot: u16| state.slots.get(&state.scope.within(slot));
    for worker in state.slots.values() {
        shares.entry(Arc::clone(worker)).or_default().slots += 1;
    }
    for connector in state.connectors.values() {
        if let Some(share) = owner(connector.slot).and_then(|worker| shares.get_mut(worker)) {
            share.connectors += 1;
        }
        for task in &connector.tasks {
            if let Some(share) = owner(task.slot).and_then(|worker| shares.get_mut(worker)) {
                share.tasks += 1;
            }
        }
    }
    shares
}

/// True if this worker is to be drained, and nothing is left that it has or runs.
pub(crate) fn is_drained(state: &HerderState) -> bool {
    state.is_draining(&state.worker_id)
        && state.runs.is_empty()
        && shares(state)
            .get(&state.worker_id)
            .is_none_or(|share| share.connectors == 0 && share.tasks == 0)
}

/// Returns the change that drains a worker, or ends that. Errors: why it is refused.
pub(super) fn admit_drain(
    state: &HerderState,
    worker: &str,
    draining: bool,
) -> Result<Vec<StoreChange>, HerderRefusal> {
    if !state.scope.is_shared() {
        return Err(HerderRefusal::CannotDrain(
            "This worker does not share its work with others (rowferry.store.shared): stop it \
             instead"
                .to_owned(),
        ));
    }
    let Some((id, is_draining)) = state.workers.get_key_value(worker) else {
        return Err(HerderRefusal::UnknownWorker(worker.to_owned()));
    };
    if *is_draining == draining {
        return Ok(Vec::new());
    }
    let takes_over = |other: &&Arc<str>| *other != id && !state.is_draining(other);
    if draining && !state.slots.values().any(|other| takes_over(&other)) {
        return Err(HerderRefusal::CannotDrain(format!(
            "No other worker could take over what {worker} runs: start one first"
        )));
    }
    Ok(vec![StoreChange::Drain {
        name: Arc::clone(id),
        draining,
    }])
}

impl HerderState {
    /// True if the worker gives its tasks away.
    pub(crate) fn is_draining(&self, worker: &str) -> bool {
        self.workers.get(worker).copied().unwrap_or_default()
    }

    /// Returns the numbers of connectors and tasks.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let tasks = self.connectors.values().map(|c| c.tasks.len());
        (self.connectors.len(), tasks.sum())
    }

    /// Returns the slots that get tasks, with their workers: not those of workers that are drained,
    /// unless there are no others.
    pub(super) fn open_slots(&self) -> BTreeMap<u16, Arc<str>> {
        let open: BTreeMap<u16, Arc<str>> = self
            .slots
            .iter()
            .filter(|(_, worker)| !self.is_draining(worker))
            .map(|(slot, worker)| (*slot, Arc::clone(worker)))
            .collect();
        if open.is_empty() {
            self.slots.clone()
        } else {
            open
        }
    }

    /// Returns the slot for one more connector or task: the least used one of the worker that has
    /// the fewest tasks.
    pub(super) fn free_slot(&self, further: &[u16]) -> u16 {
        let used = self
            .connectors
            .values()
            .flat_map(|c| c.tasks.iter().map(|task| task.slot))
            .chain(further.iter().copied());
        balance::free_slot(&self.open_slots(), used)
    }
}

impl Scope {
    /// Returns the slot that a stored number means.
    pub(super) fn within(&self, slot: u16) -> u16 {
        match self {
            Self::Everything => slot,
            Self::Slots { count, .. } => slot % (*count).max(1),
        }
    }
}

/// Returns the parts of all connectors with their slots: tasks, and the connectors themselves.
fn placed(state: &HerderState) -> Vec<(Movable, u16)> {
    let mut placed = Vec::new();
    for (name, connector) in &state.connectors {
        placed.push(((Arc::clone(name), None), connector.slot));
        let tasks = (0..).zip(&connector.tasks);
        placed.extend(tasks.map(|(number, task)| ((Arc::clone(name), Some(number)), task.slot)));
    }
    for (_, slot) in &mut placed {
        *slot = state.scope.within(*slot);
    }
    placed
}

/// Returns a move of one part away from a worker that is drained. The owner of the first slot
/// decides, so that one worker does.
pub(crate) fn next_drain(state: &HerderState) -> Option<StoreChange> {
    if !decides(state) || !state.workers.values().any(|draining| *draining) {
        return None;
    }
    let open = state.open_slots();
    let moved = balance::next_drain(&state.slots, &open, placed(state))?;
    Some(part_moves(moved))
}

/// Returns a move of one task that makes the workers' numbers of tasks more equal. The owner of the
/// first slot decides.
pub(crate) fn next_move(state: &HerderState) -> Option<StoreChange> {
    if !decides(state) {
        return None;
    }
    let tasks = placed(state)
        .into_iter()
        .filter(|((_, task), _)| task.is_some());
    let moved = balance::next_move(&state.open_slots(), tasks)?;
    Some(part_moves(moved))
}

fn decides(state: &HerderState) -> bool {
    state.scope.is_shared() && state.scope.has(0) && !state.closing
}

fn part_moves(((name, task), from, to): (Movable, u16, u16)) -> StoreChange {
    StoreChange::MoveTask {
        name,
        task,
        from,
        to,
    }
}
