//! The workers of a shared store: what each has, which is emptied before it leaves (drained), and
//! which part moves next.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::balance::{Movable, Placed, Placement};
use super::loads::{Loads, MoveReason};
use super::shared::Scope;
use super::{HerderState, Millis, held};
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

    /// Returns the slot for one more connector or task: the least used one of the worker that is
    /// least busy, or has the fewest tasks. `further` are slots that others get with it.
    pub(super) fn free_slot(&self, further: &[u16]) -> u16 {
        let open = self.open_slots();
        let mut tasks = self.placed_tasks();
        let work = self.assumed_work();
        tasks.extend(further.iter().map(|slot| Placed {
            part: (Arc::from(""), None),
            slot: self.scope.within(*slot),
            work,
            former: None,
        }));
        self.placement(&open, &tasks).free_slot()
    }

    pub(super) fn placement<'a>(
        &self,
        open: &'a BTreeMap<u16, Arc<str>>,
        tasks: &[Placed],
    ) -> Placement<'a> {
        let placed = tasks.iter().map(|task| (task.slot, task.work));
        Placement::new(open, placed, |worker| self.loads.power(worker))
    }

    /// Returns the parts of all connectors with their slots: tasks, and the connectors themselves.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Movable, u16)> {
        self.connectors.iter().flat_map(|(name, connector)| {
            let tasks = (0..).zip(&connector.tasks);
            let tasks = tasks.map(|(number, task)| (Some(number), task.slot));
            let all = tasks.chain([(None, connector.slot)]);
            all.map(|(part, slot)| ((Arc::clone(name), part), self.scope.within(slot)))
        })
    }

    /// Takes over what workers have measured, and decides moves by it from now on.
    pub(crate) fn measured(&mut self, loads: Loads) {
        self.loads = loads;
    }

    /// Returns how busy a task is, as last measured.
    pub(crate) fn work_of(&self, connector: &str, task: u32) -> Option<f64> {
        self.loads.task(connector, task)
    }

    /// Returns the slot of a part as the store holds it.
    fn stored_slot(&self, (name, task): &Movable) -> Option<u16> {
        let connector = self.connectors.get(name)?;
        let Some(task) = task else {
            return Some(connector.slot);
        };
        let task = connector.tasks.get(usize::try_from(*task).ok()?);
        task.map(|task| task.slot)
    }

    /// Returns the worker that owns a slot.
    pub(crate) fn owner(&self, slot: u16) -> Option<&Arc<str>> {
        self.slots.get(&self.scope.within(slot))
    }

    /// True if this worker decides which tasks move.
    pub(crate) fn balances(&self) -> bool {
        self.scope.is_shared() && self.scope.has(0)
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

/// Returns the next move of a part to another worker, and why. Moves are chosen by the owner of the
/// first slot, so that one worker does, except those back to a worker that was lost and has returned.
pub(crate) fn next_move(state: &mut HerderState, now: Millis) -> Option<(StoreChange, MoveReason)> {
    if !state.scope.is_shared() || state.closing {
        return None;
    }
    let ((part, to), reason) = match held::next_return(state) {
        Some(back) => (back, MoveReason::Return),
        None if state.balances() => state.choose_move(now)?,
        None => return None,
    };
    let from = state.stored_slot(&part)?;
    let (name, task) = part;
    let change = StoreChange::MoveTask {
        name,
        task,
        from,
        to,
    };
    Some((change, reason))
}
