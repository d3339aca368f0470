//! Several workers: each runs the connectors and tasks whose slots it owns, and learns from the store
//! what should run and what the others do.
//!
//! Whatever a caller changes takes effect through the store, on the worker that was asked as on the
//! others. Only what a worker owns is decided here, and only its statuses are written from here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::restarts::PendingRestart;
use super::{
    Action, BalanceClock, ConnectorEntry, HerderState, Millis, Task, Ticket, held, set_status,
    tasks, verbs,
};
use crate::herder::{Direction, RunState, RunStatus, TargetState};
use crate::store::{StoreChange, StoredConnector, StoredStatus, StoredTask};
use crate::worker::TaskId;

/// How long a task waits at most for another worker to report the end of the same task, or of one
/// that had its tables. After that the other one is fenced.
pub(super) const RELEASED_WITHIN_MS: Millis = 10_000;

/// What this worker runs.
#[derive(Clone, Debug)]
pub(super) enum Scope {
    /// Everything: it is alone.
    Everything,
    /// What lies in these slots, of that many.
    Slots { own: BTreeSet<u16>, count: u16 },
}

impl Scope {
    /// True if what has this slot runs here.
    pub(super) fn has(&self, slot: u16) -> bool {
        match self {
            Self::Everything => true,
            Self::Slots { own, count } => own.contains(&(slot % (*count).max(1))),
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Slots { .. })
    }
}

impl HerderState {
    /// Makes this worker one of several. It owns none of the `count` slots yet.
    pub(crate) fn share(&mut self, count: u16) {
        self.scope = Scope::Slots {
            own: BTreeSet::new(),
            count,
        };
    }

    /// Sets when tasks move for balance, and how long those of a lost worker wait for its return.
    pub(crate) fn balance(&mut self, clock: BalanceClock, return_within: Millis) {
        (self.balance, self.return_within) = (clock, return_within);
    }

    /// True if a task that lies in one of these slots still runs here.
    pub(crate) fn runs_in(&self, slots: &BTreeSet<u16>) -> bool {
        let Scope::Slots { count, .. } = &self.scope else {
            return false;
        };
        let count = (*count).max(1);
        self.runs
            .values()
            .any(|run| slots.contains(&(run.slot % count)))
    }

    /// True if the connector exists. With the revision of a plan: if its tasks may still be stored,
    /// because the config is the one that they were planned from, and the connector is this worker's.
    pub(crate) fn is_current(&self, name: &str, plan: Option<u64>) -> bool {
        let connector = self.connectors.get(name);
        connector.is_some_and(|c| match plan {
            Some(revision) => c.version == revision && self.scope.has(c.slot),
            None => true,
        })
    }

    /// Returns the names of the connectors.
    pub(crate) fn names(&self) -> BTreeSet<Arc<str>> {
        self.connectors.keys().cloned().collect()
    }

    /// True if something waits for what other workers do.
    pub(crate) fn awaits_others(&self) -> bool {
        !self.restarts.is_empty() || self.connectors.values().any(is_waiting)
    }

    /// True if this worker may write this: it owns what it is about.
    pub(super) fn may_write(&self, change: &StoreChange) -> bool {
        let connector = self.connectors.get(change.name());
        let slot = match change {
            StoreChange::SetStatus { task: None, .. } | StoreChange::SetTasks { .. } => {
                connector.map(|c| c.slot)
            }
            StoreChange::SetStatus {
                task: Some(task), ..
            } => connector
                .and_then(|c| c.tasks.get(usize::try_from(*task).ok()?))
                .map(|task| task.slot),
            _ => return true,
        };
        slot.is_some_and(|slot| self.scope.has(slot))
    }

    /// Returns the slots of the connectors themselves.
    pub(super) fn connector_slots(&self) -> Vec<u16> {
        self.connectors.values().map(|c| c.slot).collect()
    }
}

/// Something that happens with several workers.
#[derive(Debug)]
pub(crate) enum SharedEvent {
    /// The store holds this now; `slots` is the worker of each slot, `workers`are those that have
    /// registered, and whether each is drained.
    Revised {
        connectors: Vec<(StoredConnector, Direction)>,
        slots: BTreeMap<u16, Arc<str>>,
        workers: BTreeMap<Arc<str>, bool>,
    },
    /// The store holds these statuses now, and nothing else has changed.
    StatusesRead(Vec<StoredStatus>),
    /// This worker now owns these slots too.
    SlotsGained(BTreeSet<u16>),
    /// This worker gives up these slots, or has lost them.
    SlotsLeft(BTreeSet<u16>),
    /// A restart was stored, which the owners of the parts perform. The caller waits for it; `plain`
    /// if the answer says why the connector failed.
    AwaitRestart {
        name: Arc<str>,
        connector: bool,
        tasks: Vec<u32>,
        ticket: Ticket,
        plain: bool,
    },
}

/// Applies an event.
pub(super) fn step(
    state: &mut HerderState,
    event: SharedEvent,
    now: Millis,
    out: &mut Vec<Action>,
) {
    match event {
        SharedEvent::Revised {
            connectors,
            slots,
            workers,
        } => {
            (state.slots, state.workers) = (slots, workers);
            let open = state.open_slots();
            state.balance.note_slots(open, now);
            revised(state, connectors, now, out);
        }
        SharedEvent::StatusesRead(statuses) => statuses_read(state, statuses, now, out),
        SharedEvent::SlotsGained(slots) => gained(state, &slots, now, out),
        SharedEvent::SlotsLeft(slots) => left(state, &slots, out),
        SharedEvent::AwaitRestart {
            name,
            connector,
            tasks,
            ticket,
            plain,
        } => await_restart(state, &name, (connector, tasks), (ticket, plain), now),
    }
}

/// Takes over what the store holds.
fn revised(
    state: &mut HerderState,
    connectors: Vec<(StoredConnector, Direction)>,
    now: Millis,
    out: &mut Vec<Action>,
) {
    let names: BTreeSet<Arc<str>> = connectors
        .iter()
        .map(|(stored, _)| Arc::clone(&stored.name))
        .collect();
    for name in state.names().difference(&names) {
        verbs::delete(state, name, out);
    }
    for (stored, _) in &connectors {
        // Deleted and created again since the last look: only the name is the same.
        let former = state.connectors.get(&stored.name);
        if former.is_some_and(|former| former.created_ms != stored.created_ms) {
            verbs::delete(state, &stored.name, out);
        }
    }
    for (stored, direction) in connectors {
        take_in(state, stored, direction, now, out);
    }
}

fn take_in(
    state: &mut HerderState,
    mut stored: StoredConnector,
    direction: Direction,
    now: Millis,
    out: &mut Vec<Action>,
) {
    let name = Arc::clone(&stored.name);
    let statuses = std::mem::take(&mut stored.task_statuses);
    let fresh = |stored: &StoredConnector| ConnectorEntry {
        version: stored.revision,
        created_ms: stored.created_ms,
        restarts: stored.restarts,
        due: Some(now),
        ..ConnectorEntry::new(stored.config.clone(), direction, stored.target)
    };
    let scope = &state.scope;
    let is_known = state.connectors.contains_key(&name);
    let connector = state
        .connectors
        .entry(Arc::clone(&name))
        .or_insert_with(|| fresh(&stored));
    connector.topics = std::mem::take(&mut stored.topics);
    let own = scope.has(stored.slot);
    let moved = (is_known && scope.has(connector.slot), own);
    connector.slot = stored.slot;
    let mut shown = None;
    if moved == (true, false) {
        give_away(connector, out);
        out.push(release(&name, None, &state.worker_id));
    } else if is_known && moved == (false, true) {
        shown = take_over(connector, now);
    }
    if connector.version != stored.revision || connector.config != stored.config {
        connector.config = stored.config.clone();
        connector.version = stored.revision;
        connector.direction = direction;
        connector.failures = 0;
        connector.due = Some(now);
        let failed = connector.status.as_ref().map(|status| status.state) == Some(RunState::Failed);
        let restarts = failed && own && stored.target != TargetState::Stopped;
        shown = restarts.then_some(RunState::Restarting);
    }
    if connector.restarts != stored.restarts {
        connector.restarts = stored.restarts;
        connector.failures = 0;
        connector.due = Some(now);
        shown = own.then_some(RunState::Restarting);
    }
    drop_missed_plan(connector, &stored, now);
    if let Some(part) = shown {
        set_status(state, &name, part, None, out);
    }
    verbs::set_target(state, &name, stored.target, now, out);
    if stored.planned == Some(stored.revision) || stored.target == TargetState::Stopped {
        take_tasks(state, &name, std::mem::take(&mut stored.tasks));
    }
    take_statuses(state, &name, stored.status, statuses);
    held::hold(state, &name, now, out);
    note_waiting(state, &name, now);
    tasks::reconcile(state, &name, out);
}

/// Tasks continue after a change of the config until the next plan. But if these are not of the last
/// plan, the connector was stopped and resumed since the last look, or a plan has replaced them.
fn drop_missed_plan(connector: &mut ConnectorEntry, stored: &StoredConnector, now: Millis) {
    let of_plan = connector.tasks.first().map(|task| task.version);
    if of_plan.is_some() && of_plan != stored.planned && stored.planned != Some(stored.revision) {
        connector.tasks.clear();
        connector.due = Some(now);
    }
}

fn take_statuses(
    state: &mut HerderState,
    name: &Arc<str>,
    itself: Option<RunStatus>,
    of_tasks: BTreeMap<u32, RunStatus>,
) {
    if let Some(connector) = state.connectors.get_mut(name) {
        connector.ending.clear();
    }
    let of_tasks = of_tasks
        .into_iter()
        .map(|(task, status)| (Some(task), status));
    let itself = itself.map(|status| (None, status));
    for (task, status) in itself.into_iter().chain(of_tasks) {
        take_status(state, name, task, status);
    }
}

/// Replaces the tasks by the stored ones. A task that is unchanged continues undisturbed.
fn take_tasks(state: &mut HerderState, name: &Arc<str>, stored: Vec<StoredTask>) {
    let (scope, slots) = (&state.scope, &state.slots);
    let mut next = state.last_number;
    let Some(connector) = state.connectors.get_mut(name) else {
        return;
    };
    let version = connector.version;
    let mut old = std::mem::take(&mut connector.tasks).into_iter();
    for StoredTask {
        config,
        slot,
        restarts,
    } in stored
    {
        let before = old.next();
        let mut task = match before {
            Some(mut task) if task.version == version && task.config == config => {
                let gained = !scope.has(task.slot) && scope.has(slot);
                let restarted = task.restarts != restarts;
                if gained || restarted {
                    next += 1;
                    task.renew(next);
                    task.failures = 0;
                }
                if restarted {
                    task.status.state = RunState::Restarting;
                    task.status.trace = None;
                }
                if !scope.has(slot) {
                    task.retry_at = None;
                }
                if restarted || !scope.has(slot) {
                    task.held = None;
                }
                task
            }
            before => {
                next += 1;
                let status = before.map(|task| task.status).unwrap_or_else(|| RunStatus {
                    state: RunState::Unassigned,
                    worker_id: slots
                        .get(&slot)
                        .cloned()
                        .unwrap_or_else(|| Arc::clone(&state.worker_id)),
                    trace: None,
                });
                Task::new(config, version, next, status)
            }
        };
        (task.slot, task.restarts) = (slot, restarts);
        connector.tasks.push(task);
    }
    state.last_number = next;
}

/// Takes over a status that another worker has stored. What this worker runs it knows better itself.
fn take_status(state: &mut HerderState, name: &Arc<str>, task: Option<u32>, mut status: RunStatus) {
    let (scope, me) = (&state.scope, &state.worker_id);
    let runs_here = task.is_some_and(|task| {
        let id = TaskId {
            connector: Arc::clone(name),
            task,
        };
        state.runs.contains_key(&id)
    });
    let Some(connector) = state.connectors.get_mut(name) else {
        return;
    };
    if task.is_some() && status.worker_id == *me && !runs_here && is_active(&status) {
        // It has ended here, which the store does not show yet.
        status.state = RunState::Unassigned;
    }
    match task.map(usize::try_from) {
        None if !scope.has(connector.slot) || connector.status.is_none() => {
            connector.status = Some(status);
        }
        Some(Ok(at)) => {
            let Some(task) = connector.tasks.get_mut(at) else {
                if let (Some(number), RunState::Restarting) = (task, status.state) {
                    connector.ending.insert(number, status);
                }
                return;
            };
            let foreign = task.status.worker_id != *me || status.worker_id != *me;
            if !scope.has(task.slot) || (foreign && !runs_here) {
                task.take_status(status);
            }
        }
        _ => {}
    }
}

/// Takes over the stored statuses.
fn statuses_read(
    state: &mut HerderState,
    statuses: Vec<StoredStatus>,
    now: Millis,
    out: &mut Vec<Action>,
) {
    let mut names = BTreeSet::new();
    for connector in state.connectors.values_mut() {
        connector.ending.clear();
    }
    for StoredStatus { name, task, status } in statuses {
        take_status(state, &name, task, status);
        names.insert(name);
    }
    for name in names {
        held::hold(state, &name, now, out);
        note_waiting(state, &name, now);
        tasks::reconcile(state, &name, out);
    }
}

/// Notes since when a connector's tasks wait for other workers.
fn note_waiting(state: &mut HerderState, name: &str, now: Millis) {
    let Some(connector) = state.connectors.get(name) else {
        return;
    };
    let own = |at: &usize| {
        let task = connector.tasks.get(*at);
        task.is_some_and(|task| state.scope.has(task.slot))
    };
    let waits = (0..connector.tasks.len())
        .filter(own)
        .any(|at| awaits_release(state, connector, at));
    if let Some(connector) = state.connectors.get_mut(name) {
        connector.waits_until = match (waits, connector.waits_until) {
            (false, _) => None,
            (true, None) => Some(now.saturating_add(RELEASED_WITHIN_MS)),
            (true, until) => until,
        };
    }
}

/// True if a task of this status runs, or still ends.
pub(super) fn is_active(status: &RunStatus) -> bool {
    matches!(
        status.state,
        RunState::Running | RunState::Paused | RunState::Restarting
    )
}

/// True if a task must not start yet: another worker has not reported the end of the same task, or
/// of one that is replaced and may have had its tables.
fn awaits_release(state: &HerderState, connector: &ConnectorEntry, at: usize) -> bool {
    let elsewhere = |status: &RunStatus| {
        status.worker_id != state.worker_id
            && state
                .slots
                .values()
                .any(|worker| *worker == status.worker_id)
    };
    connector.tasks.iter().enumerate().any(|(other, task)| {
        let ends = if other == at {
            state.scope.has(task.slot) && is_active(&task.status)
        } else {
            task.status.state == RunState::Restarting
        };
        ends && elsewhere(&task.status)
    }) || connector.ending.values().any(elsewhere)
}

/// True if no task of the connector may start yet, because another worker still ends one.
pub(super) fn is_waiting(connector: &ConnectorEntry) -> bool {
    connector.waits_until.is_some()
}

/// Lets the tasks start that have waited long enough.
pub(super) fn release_overdue(state: &mut HerderState, now: Millis, out: &mut Vec<Action>) {
    let waits = |c: &ConnectorEntry| c.waits_until.is_some_and(|until| until <= now);
    let is_over = |task: &Task| task.held.as_ref().is_some_and(|held| held.until <= now);
    let names: Vec<Arc<str>> = state
        .connectors
        .iter()
        .filter(|(_, connector)| waits(connector) || connector.tasks.iter().any(is_over))
        .map(|(name, _)| Arc::clone(name))
        .collect();
    let me = Arc::clone(&state.worker_id);
    for name in names {
        let Some(connector) = state.connectors.get_mut(&name) else {
            continue;
        };
        for task in connector.tasks.iter_mut().filter(|task| is_over(task)) {
            task.held = None;
        }
        if waits(connector) {
            connector.waits_until = None;
            connector.ending.clear();
            for task in &mut connector.tasks {
                if state.scope.has(task.slot) && task.status.worker_id != me {
                    task.status.worker_id = Arc::clone(&me);
                    task.status.state = RunState::Unassigned;
                }
            }
        }
        tasks::reconcile(state, &name, out);
    }
}

/// Takes over slots: what lies in them starts here.
fn gained(state: &mut HerderState, slots: &BTreeSet<u16>, now: Millis, out: &mut Vec<Action>) {
    let Scope::Slots { own, count } = &mut state.scope else {
        return;
    };
    let count = (*count).max(1);
    let new: BTreeSet<u16> = slots.difference(own).copied().collect();
    own.extend(&new);
    let mut next = state.last_number;
    let mut touched = Vec::new();
    for (name, connector) in &mut state.connectors {
        let mut is_touched = new.contains(&(connector.slot % count));
        if is_touched {
            connector.due = Some(now);
            connector.failures = 0;
        }
        for task in &mut connector.tasks {
            if new.contains(&(task.slot % count)) {
                next += 1;
                task.renew(next);
                task.failures = 0;
                is_touched = true;
            }
        }
        if is_touched {
            touched.push(Arc::clone(name));
        }
    }
    state.last_number = next;
    for name in touched {
        held::hold(state, &name, now, out);
        note_waiting(state, &name, now);
        let own_status = state.connectors.get(&name).is_some_and(|connector| {
            new.contains(&(connector.slot % count)) && connector.target == TargetState::Started
        });
        if own_status {
            set_status(state, &name, RunState::Unassigned, None, out);
        }
        tasks::reconcile(state, &name, out);
    }
}

/// Gives slots up: what lies in them stops here.
fn left(state: &mut HerderState, slots: &BTreeSet<u16>, out: &mut Vec<Action>) {
    let Scope::Slots { own, count } = &mut state.scope else {
        return;
    };
    let count = (*count).max(1);
    own.retain(|slot| !slots.contains(slot));
    let me = Arc::clone(&state.worker_id);
    let mut touched = Vec::new();
    for (name, connector) in &mut state.connectors {
        if slots.contains(&(connector.slot % count)) {
            give_away(connector, out);
            out.push(release(name, None, &me));
        }
        for task in &mut connector.tasks {
            if slots.contains(&(task.slot % count)) {
                task.retry_at = None;
                task.down = false;
                task.held = None;
            }
        }
        touched.push(Arc::clone(name));
    }
    for name in touched {
        tasks::reconcile(state, &name, out);
    }
}

/// Plans a connector from now on, which another worker did. Returns the state to show.
fn take_over(connector: &mut ConnectorEntry, now: Millis) -> Option<RunState> {
    connector.failures = 0;
    connector.due = Some(now);
    (connector.target == TargetState::Started).then_some(RunState::Unassigned)
}

/// Stops planning a connector, which another worker does from now on.
fn give_away(connector: &mut ConnectorEntry, out: &mut Vec<Action>) {
    connector.due = None;
    connector.planning = None;
    super::plan::answer_waiting(connector, &Ok(()), out);
}

/// Returns the action that shows a part as unassigned until its new owner shows it.
pub(super) fn release(name: &Arc<str>, task: Option<u32>, me: &Arc<str>) -> Action {
    Action::Write(StoreChange::Release {
        name: Arc::clone(name),
        task,
        worker_id: Arc::clone(me),
    })
}

/// Makes a caller wait for a restart that is stored; its parts are shown as restarting.
fn await_restart(
    state: &mut HerderState,
    name: &Arc<str>,
    (connector, tasks): (bool, Vec<u32>),
    (ticket, plain): (Ticket, bool),
    now: Millis,
) {
    let restart = PendingRestart::elsewhere(ticket, name, connector, &tasks, plain, now);
    state.restarts.push(restart);
}

/// Returns the parts that a restart restarts (KIP-745).
pub(crate) fn restarted(
    state: &HerderState,
    name: &str,
    include_tasks: bool,
    only_failed: bool,
) -> (bool, Vec<u32>) {
    let Some(connector) = state.connectors.get(name) else {
        return (false, Vec::new());
    };
    let chosen = |part: Option<RunState>| !only_failed || part == Some(RunState::Failed);
    let tasks = (0..)
        .zip(&connector.tasks)
        .filter(|(_, task)| include_tasks && chosen(Some(task.status.state)))
        .map(|(number, _)| number)
        .collect();
    let itself = chosen(connector.status.as_ref().map(|status| status.state));
    (itself, tasks)
}

/// Returns the connector itself as what a restart restarts, if it has failed.
pub(crate) fn restarted_if_failed(state: &HerderState, name: &str) -> (bool, Vec<u32>) {
    let (itself, _) = restarted(state, name, false, true);
    (itself, Vec::new())
}
