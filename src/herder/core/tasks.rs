//! Tasks: reconciles what should run with what runs, and handles task events.

use std::sync::Arc;

use connector_api::{Config, Error, ErrorKind};

use super::shared::{Scope, is_active, is_waiting, release};
use super::{
    Action, BACKOFF, ConnectorEntry, HerderState, Millis, Run, Task, millis, retry_wait,
    set_status, trace,
};
use crate::herder::{Direction, RunState, RunStatus, TargetState};
use crate::store::StoreChange;
use crate::worker::TaskId;

impl Task {
    /// Creates a task that has not run yet.
    pub(super) fn new(config: Config, version: u64, incarnation: u64, status: RunStatus) -> Self {
        Self {
            config,
            version,
            incarnation,
            status,
            down: false,
            failures: 0,
            retry_at: None,
            up_since: None,
            slot: 0,
            restarts: 0,
            held: None,
            former: None,
        }
    }

    /// Replaces the status.
    pub(super) fn take_status(&mut self, status: RunStatus) {
        if self.status.worker_id != status.worker_id {
            self.former = Some(Arc::clone(&self.status.worker_id));
        }
        self.status = status;
    }

    /// Turns the task into a new incarnation that should run.
    pub(super) fn renew(&mut self, incarnation: u64) {
        self.incarnation = incarnation;
        self.down = false;
        self.retry_at = None;
        self.up_since = None;
    }
}

impl ConnectorEntry {
    /// Returns task `number`, if it should run here.
    fn wanted(&self, number: u32, scope: &Scope) -> Option<&Task> {
        if self.target == TargetState::Stopped || self.direction == Direction::Unknown {
            return None;
        }
        let task = self.tasks.get(usize::try_from(number).ok()?)?;
        let may_run = !task.down && task.held.is_none() && scope.has(task.slot);
        may_run.then_some(task)
    }
}

/// Emits the actions that make what runs of a connector match what should run.
///
/// No task of a connector starts while another one of it is still ending: a table that moves
/// between tasks must have been released first.
pub(super) fn reconcile(state: &mut HerderState, name: &Arc<str>, out: &mut Vec<Action>) {
    let connector = state.connectors.get(name).filter(|_| !state.closing);
    let pause = connector.is_some_and(|c| c.target == TargetState::Paused);
    let first = TaskId {
        connector: Arc::clone(name),
        task: 0,
    };
    let mut stops = Vec::new();
    let mut ending = false;
    let mut running = 0;
    for (id, run) in state
        .runs
        .range_mut(first..)
        .take_while(|(id, _)| id.connector == *name)
    {
        let wanted = connector
            .and_then(|c| c.wanted(id.task, &state.scope))
            .filter(|task| task.incarnation == run.incarnation);
        running += 1;
        match wanted {
            _ if run.stopping => ending = true,
            None => {
                run.stopping = true;
                ending = true;
                stops.push(id.clone());
            }
            Some(task) => {
                // It may have moved to another slot of this worker.
                run.slot = task.slot;
                if run.paused != pause {
                    run.paused = pause;
                    out.push(Action::SetPaused(id.clone(), pause));
                }
            }
        }
    }
    if !stops.is_empty() {
        out.push(Action::Stop(stops));
    }
    let Some(connector) = connector else { return };
    if connector.target == TargetState::Stopped && running == 0 && state.scope.has(connector.slot) {
        return set_status(state, name, RunState::Stopped, None, out);
    }
    if !ending && !state.changing_offsets.contains(name) && !is_waiting(connector) {
        start_missing(state, name, pause, out);
    }
}

fn start_missing(state: &mut HerderState, name: &Arc<str>, paused: bool, out: &mut Vec<Action>) {
    let (runs, scope) = (&mut state.runs, &state.scope);
    let Some(connector) = state.connectors.get(name) else {
        return;
    };
    for (number, task) in (0..).zip(&connector.tasks) {
        let id = TaskId {
            connector: Arc::clone(name),
            task: number,
        };
        let wanted = connector.wanted(number, scope);
        if wanted.is_none() || runs.contains_key(&id) {
            continue;
        }
        runs.insert(
            id.clone(),
            Run {
                incarnation: task.incarnation,
                paused,
                stopping: false,
                slot: task.slot,
            },
        );
        out.push(Action::Start {
            id,
            tasks: connector.tasks.len(),
            connector_config: connector.config.clone(),
            task_config: task.config.clone(),
            paused,
        });
    }
}

/// Returns the task of this id, if the running incarnation is the one that should run.
fn current<'a>(state: &'a mut HerderState, id: &TaskId) -> Option<&'a mut Task> {
    let run = state.runs.get(id).filter(|run| !run.stopping)?;
    let connector = state.connectors.get_mut(&id.connector)?;
    let task = connector.tasks.get_mut(usize::try_from(id.task).ok()?)?;
    (task.incarnation == run.incarnation).then_some(task)
}

/// Handles a task that works, or is idle because it is paused.
pub(super) fn opened(
    state: &mut HerderState,
    id: &TaskId,
    part: RunState,
    now: Millis,
    out: &mut Vec<Action>,
) {
    let worker_id = Arc::clone(&state.worker_id);
    let Some(task) = current(state, id) else {
        return;
    };
    task.up_since.get_or_insert(now);
    show(
        task,
        id,
        RunStatus {
            state: part,
            worker_id,
            trace: None,
        },
        out,
    );
}

/// Handles a task that failed. If it was being stopped, the stop's own result ends it.
pub(super) fn failed(
    state: &mut HerderState,
    id: &TaskId,
    error: &Error,
    now: Millis,
    out: &mut Vec<Action>,
) {
    let worker_id = Arc::clone(&state.worker_id);
    if let Some(task) = current(state, id) {
        if task
            .up_since
            .take()
            .is_some_and(|since| now.saturating_sub(since) >= millis(BACKOFF.max))
        {
            // A task that has worked for as long as the maximum back-off starts over at the first
            // one.
            task.failures = 0;
        }
        task.failures = task.failures.saturating_add(1);
        task.down = true;
        let wait = (error.kind() == ErrorKind::Retry).then(|| retry_wait(task.failures));
        task.retry_at = wait.map(|wait| now.saturating_add(wait));
        let trace = Some(trace(error, task.failures, wait));
        show(
            task,
            id,
            RunStatus {
                state: RunState::Failed,
                worker_id,
                trace,
            },
            out,
        );
    }
    if state.runs.get(id).is_some_and(|run| !run.stopping) {
        state.runs.remove(id);
        reconcile(state, &id.connector, out);
    }
}

/// Restarts tasks whose back-off has elapsed. Their status stays FAILED until they work.
pub(super) fn retry_due(
    state: &mut HerderState,
    name: &Arc<str>,
    now: Millis,
    out: &mut Vec<Action>,
) {
    let mut number = state.last_number;
    let Some(connector) = state
        .connectors
        .get_mut(name)
        .filter(|c| c.target == TargetState::Started)
    else {
        return;
    };
    for task in connector
        .tasks
        .iter_mut()
        .filter(|task| task.retry_at.is_some_and(|at| at <= now))
    {
        number += 1;
        task.renew(number);
    }
    if number != state.last_number {
        state.last_number = number;
        reconcile(state, name, out);
    }
}

/// Handles tasks that have ended after a stop.
pub(super) fn gone(state: &mut HerderState, ids: &[TaskId], out: &mut Vec<Action>) {
    for id in ids {
        if state.runs.get(id).is_some_and(|run| run.stopping) {
            state.runs.remove(id);
            ended_here(state, id, out);
        }
    }
    let mut names: Vec<&Arc<str>> = ids.iter().map(|id| &id.connector).collect();
    names.dedup();
    for name in names {
        reconcile(state, name, out);
    }
}

/// Tells the other workers that a task has ended here: one of them may wait for it.
fn ended_here(state: &mut HerderState, id: &TaskId, out: &mut Vec<Action>) {
    if !state.scope.is_shared() {
        return;
    }
    let worker_id = Arc::clone(&state.worker_id);
    out.push(release(&id.connector, Some(id.task), &worker_id));
    let Some(task) = state
        .connectors
        .get_mut(&id.connector)
        .and_then(|c| c.tasks.get_mut(usize::try_from(id.task).ok()?))
        .filter(|task| task.status.worker_id == worker_id)
    else {
        return;
    };
    if is_active(&task.status) {
        task.status.state = RunState::Unassigned;
    }
}

/// Handles a task's first use of a topic.
pub(super) fn topic(state: &mut HerderState, id: &TaskId, topic: Arc<str>, out: &mut Vec<Action>) {
    let track = state.track_topics;
    if let Some(connector) = state.connectors.get_mut(&id.connector).filter(|_| track)
        && connector.topics.insert(Arc::clone(&topic))
    {
        out.push(Action::Write(StoreChange::AddTopic {
            name: Arc::clone(&id.connector),
            topic,
        }));
    }
}

/// Sets a task's status and stores it if it changed.
pub(super) fn show(task: &mut Task, id: &TaskId, status: RunStatus, out: &mut Vec<Action>) {
    if task.status != status {
        task.take_status(status.clone());
        out.push(Action::Write(StoreChange::SetStatus {
            name: Arc::clone(&id.connector),
            task: Some(id.task),
            status,
        }));
    }
}
