//! The whole decision of who runs what, as one pure function: [`step`] takes an event and returns
//! the actions it requires.
//!
//! No clock, no tokio, no I/O: time is passed in as `now`, and outcomes arrive as events. What
//! should run (connectors and their tasks) and what does run (`HerderState::runs`) are kept apart;
//! after each event, `tasks::reconcile` emits the actions that close the difference. So a task that
//! is still ending is never started a second time, whatever happens meanwhile, and no task outlives
//! its connector.

mod balance;
mod held;
mod loads;
#[cfg(test)]
mod missed_tests;
mod plan;
mod restarts;
mod shared;
#[cfg(test)]
mod shared_tests;
mod tasks;
#[cfg(test)]
mod tests;
mod verbs;
mod view;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use connector_api::{Backoff, Config, Error, TaskPlan};

use super::{Direction, RunState, RunStatus, TargetState};
use crate::store::{StoreChange, StoredConnector};
use crate::worker::{TaskId, exception_class};

pub(crate) use loads::{BalanceClock, Loads, MoveReason};
#[cfg(test)]
pub(crate) use plan::within_max;
pub(crate) use shared::{SharedEvent, restarted, restarted_if_failed};
pub(crate) use verbs::{admit, restarts_connector};
pub(crate) use view::{view, views};
pub(crate) use workers::{WorkerShare, is_drained, next_move, shares};

/// Milliseconds on the loop's monotonic clock.
pub(crate) type Millis = u64;

/// Identifies a caller that waits for an outcome.
pub(crate) type Ticket = u64;

/// Back-off between attempts to start a failed part.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    max: Duration::from_secs(300),
};

/// The complete state of the herder.
#[derive(Debug)]
pub(crate) struct HerderState {
    /// `host:port` of this worker.
    worker_id: Arc<str>,
    /// True if used topics are tracked.
    track_topics: bool,
    /// Maximum number of tasks per connector.
    tasks_max: usize,
    /// What this worker runs.
    scope: shared::Scope,
    /// The worker that owns each slot, if there are several workers.
    slots: BTreeMap<u16, Arc<str>>,
    /// The workers that have registered, and whether each is drained.
    workers: BTreeMap<Arc<str>, bool>,
    /// How busy tasks are.
    loads: Loads,
    balance: BalanceClock,
    /// How long tasks of a lost worker wait for its return.
    return_within: Millis,
    connectors: BTreeMap<Arc<str>, ConnectorEntry>,
    /// Tasks that the worker runs, was asked to start, or is still ending.
    runs: BTreeMap<TaskId, Run>,
    /// Connectors whose offsets are being changed: none of their tasks may start.
    changing_offsets: BTreeSet<Arc<str>>,
    /// Restarts that a caller waits for.
    restarts: Vec<restarts::PendingRestart>,
    /// Source of numbers for plans and incarnations of tasks.
    last_number: u64,
    closing: bool,
}

#[derive(Debug)]
struct ConnectorEntry {
    config: Config,
    /// Incremented with each new config, as in the store; the next plan replaces tasks made from an
    /// older one.
    version: u64,
    direction: Direction,
    target: TargetState,
    status: Option<RunStatus>,
    tasks: Vec<Task>,
    topics: BTreeSet<Arc<str>>,
    /// When to (re)start the connector: at once, after a back-off, or to look for new tables.
    due: Option<Millis>,
    /// Number of the plan in progress; answers to earlier plans are ignored.
    planning: Option<u64>,
    /// Number of consecutive failed plans.
    failures: u32,
    /// Callers waiting for the restart to succeed or fail.
    waiting: Vec<Ticket>,
    /// The worker that owns this slot runs the connector.
    slot: u16,
    /// Number of restarts that were asked for, if there are several workers.
    restarts: u64,
    /// [`StoredConnector::created_ms`], if there are several workers.
    created_ms: i64,
    /// Until when its tasks wait for other workers to end theirs.
    waits_until: Option<Millis>,
    /// Tasks beyond those of the last plan that other workers have not ended yet.
    ending: BTreeMap<u32, RunStatus>,
}

#[derive(Clone, Debug)]
struct Task {
    config: Config,
    /// [`ConnectorEntry::version`] that this task was planned from.
    version: u64,
    /// The incarnation that should run.
    incarnation: u64,
    status: RunStatus,
    /// The task has failed and should not run until it is retried.
    down: bool,
    /// Number of consecutive failures.
    failures: u32,
    /// When to retry automatically.
    retry_at: Option<Millis>,
    /// When it started to work.
    up_since: Option<Millis>,
    /// The worker that owns this slot runs the task.
    slot: u16,
    /// Number of restarts that were asked for, if there are several workers.
    restarts: u64,
    /// It waits for the worker that ran it, which was lost.
    held: Option<held::Held>,
    /// The worker that ran it before the present one.
    former: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    incarnation: u64,
    paused: bool,
    stopping: bool,
    /// The slot in which the task runs here, or ran last if it is stopping.
    slot: u16,
}

/// Something that has happened.
#[derive(Debug)]
pub(crate) enum HerderEvent {
    /// The worker has started; these connectors were stored.
    Loaded(Vec<(StoredConnector, Direction)>),
    /// A new connector was stored.
    Create {
        name: Arc<str>,
        config: Config,
        direction: Direction,
        target: TargetState,
    },
    /// A connector's config was stored.
    Replace {
        name: Arc<str>,
        config: Config,
        direction: Direction,
    },
    /// A connector was removed from the store.
    Delete { name: Arc<str> },
    /// A connector's target state was stored.
    SetTarget { name: Arc<str>, target: TargetState },
    /// A restart was requested (KIP-745). `ticket` waits for the connector, and for its tasks if
    /// they restart too.
    Restart {
        name: Arc<str>,
        include_tasks: bool,
        only_failed: bool,
        ticket: Option<Ticket>,
    },
    /// A restart of one task was requested; `ticket` waits until it is up again or has failed.
    RestartTask {
        name: Arc<str>,
        task: u32,
        ticket: Option<Ticket>,
    },
    /// The topics of a connector were removed from the store.
    ResetTopics { name: Arc<str> },
    /// A change of offsets begins; it was admitted.
    OffsetsChanging { name: Arc<str> },
    /// A change of offsets has ended.
    OffsetsChanged { name: Arc<str> },
    /// A plan has ended.
    Planned {
        name: Arc<str>,
        plan: u64,
        result: Result<TaskPlan, Error>,
    },
    /// A task works.
    TaskRunning(TaskId),
    /// A task is idle because it is paused.
    TaskPaused(TaskId),
    /// A task ended with an error.
    TaskFailed(TaskId, Error),
    /// A task has used a topic for the first time.
    TaskTopic(TaskId, Arc<str>),
    /// These tasks have ended, as requested.
    Gone(Vec<TaskId>),
    /// Something that happens with several workers.
    Shared(SharedEvent),
    /// Time has passed.
    Tick,
    /// The worker shuts down.
    Close,
}

/// Something to do, in this order.
#[derive(Debug)]
pub(crate) enum Action {
    /// Store this change; losing it costs no more than a stale status.
    Write(StoreChange),
    /// Ask the connector for its tasks; [`HerderEvent::Planned`] carries the answer.
    Plan {
        name: Arc<str>,
        plan: u64,
        config: Config,
        max_tasks: usize,
    },
    /// Start a task.
    Start {
        id: TaskId,
        tasks: usize,
        connector_config: Config,
        task_config: Config,
        paused: bool,
    },
    /// Stop tasks; [`HerderEvent::Gone`] reports their end.
    Stop(Vec<TaskId>),
    /// Pause or resume a task.
    SetPaused(TaskId, bool),
    /// Answer a waiting caller with the outcome of the restart; `Err` is why it failed.
    Answer(Ticket, Result<(), String>),
}

impl HerderState {
    /// Creates a state without connectors.
    pub(crate) fn new(worker_id: Arc<str>, track_topics: bool, tasks_max: usize) -> Self {
        Self {
            worker_id,
            track_topics,
            tasks_max,
            scope: shared::Scope::Everything,
            slots: BTreeMap::new(),
            workers: BTreeMap::new(),
            loads: Loads::default(),
            balance: BalanceClock::default(),
            return_within: 0,
            connectors: BTreeMap::new(),
            runs: BTreeMap::new(),
            changing_offsets: BTreeSet::new(),
            restarts: Vec::new(),
            last_number: 0,
            closing: false,
        }
    }

    /// Returns when [`HerderEvent::Tick`] is due, if ever.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        if self.closing {
            return None;
        }
        let retries = |c: &ConnectorEntry| {
            c.tasks
                .iter()
                .filter_map(|t| t.retry_at)
                .min()
                .filter(|_| c.target == TargetState::Started)
        };
        let given_up = self.restarts.iter().map(restarts::PendingRestart::until);
        let due = |c: &ConnectorEntry| c.due.filter(|_| self.scope.has(c.slot));
        let held = |c: &ConnectorEntry| {
            let held = c.tasks.iter().filter_map(|task| task.held.as_ref());
            held.map(|held| held.until).min()
        };
        self.connectors
            .values()
            .flat_map(|c| [due(c), retries(c), held(c), c.waits_until])
            .flatten()
            .chain(given_up)
            .min()
    }

    /// True if no task runs any more.
    pub(crate) fn is_idle(&self) -> bool {
        self.runs.is_empty()
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

/// Applies one event and returns the actions it requires.
pub(crate) fn step(state: &mut HerderState, event: HerderEvent, now: Millis) -> Vec<Action> {
    let mut actions = Vec::new();
    let out = &mut actions;
    match event {
        HerderEvent::Loaded(stored) => verbs::loaded(state, stored, now, out),
        HerderEvent::Create {
            name,
            config,
            direction,
            target,
        } => {
            verbs::create(state, &name, config, direction, target, now, out);
        }
        HerderEvent::Replace {
            name,
            config,
            direction,
        } => verbs::replace(state, &name, config, direction, now, out),
        HerderEvent::Delete { name } => verbs::delete(state, &name, out),
        HerderEvent::SetTarget { name, target } => {
            verbs::set_target(state, &name, target, now, out);
        }
        HerderEvent::Restart {
            name,
            include_tasks,
            only_failed,
            ticket,
        } => {
            verbs::restart(state, &name, (include_tasks, only_failed), ticket, now, out);
        }
        HerderEvent::RestartTask { name, task, ticket } => {
            verbs::restart_task(state, &name, task, ticket, now, out);
        }
        HerderEvent::ResetTopics { name } => verbs::reset_topics(state, &name),
        HerderEvent::OffsetsChanging { name } => drop(state.changing_offsets.insert(name)),
        HerderEvent::OffsetsChanged { name } => {
            state.changing_offsets.remove(&name);
            tasks::reconcile(state, &name, out);
        }
        HerderEvent::Planned { name, plan, result } => {
            plan::planned(state, &name, plan, result, now, out);
        }
        HerderEvent::TaskRunning(id) => tasks::opened(state, &id, RunState::Running, now, out),
        HerderEvent::TaskPaused(id) => tasks::opened(state, &id, RunState::Paused, now, out),
        HerderEvent::TaskFailed(id, error) => tasks::failed(state, &id, &error, now, out),
        HerderEvent::TaskTopic(id, topic) => tasks::topic(state, &id, topic, out),
        HerderEvent::Gone(ids) => tasks::gone(state, &ids, out),
        HerderEvent::Shared(event) => shared::step(state, event, now, out),
        HerderEvent::Tick => tick(state, now, out),
        HerderEvent::Close => close(state, out),
    }
    restarts::answer_finished(state, now, out);
    if state.scope.is_shared() {
        actions.retain(|action| match action {
            Action::Write(change) => state.may_write(change),
            _ => true,
        });
    }
    actions
}

fn tick(state: &mut HerderState, now: Millis, out: &mut Vec<Action>) {
    if state.closing {
        return;
    }
    shared::release_overdue(state, now, out);
    let is_due = |at: Option<Millis>| at.is_some_and(|at| at <= now);
    let names: Vec<Arc<str>> = state.connectors.keys().cloned().collect();
    for name in names {
        let Some(connector) = state.connectors.get(&name) else {
            continue;
        };
        if is_due(connector.due) && state.scope.has(connector.slot) {
            plan::begin(state, &name, now, out);
        }
        tasks::retry_due(state, &name, now, out);
    }
}

/// Ends everything. What was running becomes UNASSIGNED until some worker takes it over, as in
/// Kafka Connect.
fn close(state: &mut HerderState, out: &mut Vec<Action>) {
    state.closing = true;
    let worker_id = Arc::clone(&state.worker_id);
    for (name, connector) in &mut state.connectors {
        for ticket in connector.waiting.drain(..) {
            out.push(Action::Answer(ticket, Ok(())));
        }
        let unassigned = |status: &mut RunStatus| {
            let active = matches!(status.state, RunState::Running | RunState::Restarting);
            if active {
                *status = RunStatus {
                    state: RunState::Unassigned,
                    worker_id: Arc::clone(&worker_id),
                    trace: None,
                };
            }
            active
        };
        if let Some(status) = &mut connector.status
            && unassigned(status)
        {
            let status = status.clone();
            out.push(Action::Write(StoreChange::SetStatus {
                name: Arc::clone(name),
                task: None,
                status,
            }));
        }
        for (number, task) in (0..).zip(&mut connector.tasks) {
            if unassigned(&mut task.status) {
                let status = task.status.clone();
                out.push(Action::Write(StoreChange::SetStatus {
                    name: Arc::clone(name),
                    task: Some(number),
                    status,
                }));
            }
        }
    }
    let names: BTreeSet<Arc<str>> = state
        .runs
        .keys()
        .map(|id| Arc::clone(&id.connector))
        .collect();
    for name in names {
        tasks::reconcile(state, &name, out);
    }
}

/// Sets a connector's own status and stores it if it changed.
fn set_status(
    state: &mut HerderState,
    name: &Arc<str>,
    part: RunState,
    trace: Option<String>,
    out: &mut Vec<Action>,
) {
    let status = RunStatus {
        state: part,
        worker_id: Arc::clone(&state.worker_id),
        trace,
    };
    let Some(connector) = state.connectors.get_mut(name) else {
        return;
    };
    if connector.status.as_ref() != Some(&status) {
        connector.status = Some(status.clone());
        out.push(Action::Write(StoreChange::SetStatus {
            name: Arc::clone(name),
            task: None,
            status,
        }));
    }
}

/// Returns the back-off after that many consecutive failures.
fn retry_wait(failures: u32) -> Millis {
    millis(BACKOFF.after(failures))
}

fn millis(wait: Duration) -> Millis {
    Millis::try_from(wait.as_millis()).unwrap_or(Millis::MAX)
}

/// Returns the trace of a failure: the error, and what happens next.
///
/// The first line is `Class: message`, as Kafka Connect's traces begin: tools look for the first
/// colon, and skip lines that end in a bracket.
fn trace(error: &Error, failures: u32, retry_ms: Option<Millis>) -> String {
    let class = exception_class(error, None);
    match retry_ms {
        Some(wait) => {
            let s = wait.div_ceil(1000);
            format!(
                "{class}: {error}\nFailed {failures} times in a row. It is restarted automatically after {s} s."
            )
        }
        None => format!(
            "{class}: {error}\nIt stays failed until it is restarted or its config is changed."
        ),
    }
}
