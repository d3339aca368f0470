//! The users' verbs, one after the other: what each writes before it takes effect, or why it is
//! refused, and then its effect. Admission comes before anything is stored, so that a refusal
//! changes nothing, and a store failure leaves the state unchanged.

use std::sync::Arc;

use connector_api::Config;

use super::restarts::PendingRestart;
use super::{Action, ConnectorEntry, HerderState, Millis, Task, Ticket, plan, set_status, tasks};
use crate::herder::{Direction, HerderRefusal, HerderVerb, RunState, RunStatus, TargetState};
use crate::store::{StoreChange, StoredConnector, StoredTask};
use crate::worker::TaskId;

/// The writes of a verb, or its refusal.
type Admission = Result<Vec<StoreChange>, HerderRefusal>;

/// Returns what a verb writes before it takes effect; empty for a verb that only reads. Errors: why
/// the verb is refused.
pub(crate) fn admit(state: &HerderState, verb: &HerderVerb) -> Admission {
    if state.closing {
        return Err(HerderRefusal::ShuttingDown);
    }
    match verb {
        HerderVerb::List { .. }
        | HerderVerb::Info { .. }
        | HerderVerb::Health { .. }
        | HerderVerb::Topics { .. }
        | HerderVerb::Workers { .. }
        | HerderVerb::History { .. } => Ok(Vec::new()),
        HerderVerb::Get { name, .. }
        | HerderVerb::Restart { name, .. }
        | HerderVerb::Offsets { name, .. } => known(state, name).map(|_| Vec::new()),
        HerderVerb::Create {
            name,
            config,
            target,
            ..
        } => match known(state, name) {
            Ok(_) => Err(HerderRefusal::AlreadyExists(name.clone())),
            Err(_) => Ok(vec![created(state, name, config, *target)]),
        },
        HerderVerb::PutConfig {
            name,
            config,
            expected,
            ..
        } => admit_put_config(state, name, config, expected.as_ref()),
        HerderVerb::Delete { name, .. } => {
            known(state, name).map(|(name, _)| vec![StoreChange::Delete { name }])
        }
        HerderVerb::SetTarget { name, target, .. } => admit_set_target(state, name, *target),
        HerderVerb::RestartTask { name, task, .. } => admit_restart_task(state, name, *task),
        HerderVerb::ChangeOffsets { name, .. } => admit_change_offsets(state, name),
        HerderVerb::Drain {
            worker, draining, ..
        } => super::workers::admit_drain(state, worker, *draining),
        HerderVerb::ResetTopics { name, .. } => Ok(known(state, name)
            .map(|(name, _)| vec![StoreChange::ResetTopics { name }])
            .unwrap_or_default()),
    }
}

fn known<'a>(
    state: &'a HerderState,
    name: &str,
) -> Result<(Arc<str>, &'a ConnectorEntry), HerderRefusal> {
    match state.connectors.get_key_value(name) {
        Some((name, connector)) => Ok((Arc::clone(name), connector)),
        None => Err(HerderRefusal::UnknownConnector(name.to_owned())),
    }
}

impl ConnectorEntry {
    pub(super) fn new(config: Config, direction: Direction, target: TargetState) -> Self {
        Self {
            config,
            version: 0,
            direction,
            target,
            status: None,
            tasks: Vec::new(),
            topics: std::collections::BTreeSet::new(),
            due: None,
            planning: None,
            failures: 0,
            waiting: Vec::new(),
            slot: 0,
            restarts: 0,
            created_ms: 0,
            waits_until: None,
            ending: std::collections::BTreeMap::new(),
        }
    }
}

/// Takes over the stored connectors. Started ones resume with the tasks they had, and are planned
/// again meanwhile.
pub(super) fn loaded(
    state: &mut HerderState,
    stored: Vec<(StoredConnector, Direction)>,
    now: Millis,
    out: &mut Vec<Action>,
) {
    for (stored, direction) in stored {
        let name = stored.name;
        let mut connector = ConnectorEntry::new(stored.config, direction, stored.target);
        connector.topics = stored.topics;
        connector.slot = stored.slot;
        connector.version = stored.revision;
        connector.restarts = stored.restarts;
        // More tasks than the worker allows now: none runs, and planning reports the error.
        let tasks = if stored.tasks.len() > state.tasks_max {
            Vec::new()
        } else {
            stored.tasks
        };
        for StoredTask {
            config,
            slot,
            restarts,
        } in tasks
        {
            let unassigned = RunStatus {
                state: RunState::Unassigned,
                worker_id: Arc::clone(&state.worker_id),
                trace: None,
            };
            state.last_number += 1;
            connector.tasks.push(Task {
                slot,
                restarts,
                ..Task::new(config, connector.version, state.last_number, unassigned)
            });
        }
        connector.due = Some(now);
        state.connectors.insert(Arc::clone(&name), connector);
        set_status(state, &name, RunState::Unassigned, None, out);
        tasks::reconcile(state, &name, out);
    }
}

/// Returns what the creation of a connector writes.
fn created(state: &HerderState, name: &str, config: &Config, target: TargetState) -> StoreChange {
    StoreChange::Create {
        slot: state.free_slot(&state.connector_slots()),
        name: name.into(),
        config: config.clone(),
        target,
    }
}

pub(super) fn create(
    state: &mut HerderState,
    name: &Arc<str>,
    config: Config,
    direction: Direction,
    target: TargetState,
    now: Millis,
    out: &mut Vec<Action>,
) {
    let connector = ConnectorEntry {
        due: Some(now),
        ..ConnectorEntry::new(config, direction, target)
    };
    state.connectors.insert(Arc::clone(name), connector);
    tasks::reconcile(state, name, out);
}

fn admit_put_config(
    state: &HerderState,
    name: &str,
    config: &Config,
    expected: Option<&Config>,
) -> Admission {
    match (known(state, name), expected) {
        (Ok((name, connector)), Some(expected)) if connector.config != *expected => {
            Err(HerderRefusal::ConfigChanged(name.to_string()))
        }
        (Ok((_, connector)), _) if connector.config == *config => Ok(Vec::new()),
        (Ok((name, _)), _) => Ok(vec![StoreChange::Replace {
            name,
            config: config.clone(),
        }]),
        (Err(unknown), Some(_)) => Err(unknown),
        (Err(_), None) => Ok(vec![created(state, name, config, TargetState::Started)]),
    }
}

/// Replaces the config: the connector is planned again, and its tasks continue until the new plan
/// replaces them.
pub(super) fn replace(
    state: &mut HerderState,
    name: &Arc<str>,
    config: Config,
    direction: Direction,
    now: Millis,
    out: &mut Vec<Action>,
) {
    let Some(connector) = state.connectors.get_mut(name) else {
        return;
    };
    if connector.config != config {
        connector.config = config;
        connector.version += 1;
    }
    connector.direction = direction;
    connector.failures = 0;
    connector.due = Some(now);
    let was_failed = connector
        .status
        .as_ref()
        .is_some_and(|status| status.state == RunState::Failed);
    if was_failed {
        set_status(state, name, RunState::Restarting, None, out);
    }
}

pub(super) fn reset_topics(state: &mut HerderState, name: &Arc<str>) {
    if let Some(connector) = state.connectors.get_mut(name) {
        connector.topics.clear();
    }
}

pub(super) fn delete(state: &mut HerderState, name: &Arc<str>, out: &mut Vec<Action>) {
    if let Some(mut connector) = state.connectors.remove(name) {
        plan::answer_waiting(&mut connector, &Ok(()), out);
    }
    tasks::reconcile(state, name, out);
}

fn admit_set_target(state: &HerderState, name: &str, target: TargetState) -> Admission {
    let (name, connector) = known(state, name)?;
    if connector.target == target {
        return Ok(Vec::new());
    }
    Ok(vec![StoreChange::SetTarget { name, target }])
}

pub(super) fn set_target(
    state: &mut HerderState,
    name: &Arc<str>,
    target: TargetState,
    now: Millis,
    out: &mut Vec<Action>,
) {
    let Some(connector) = state
        .connectors
        .get_mut(name)
        .filter(|c| c.target != target)
    else {
        return;
    };
    let before = std::mem::replace(&mut connector.target, target);
    connector.due = None;
    connector.planning = None;
    plan::answer_waiting(connector, &Ok(()), out);
    let failed = connector
        .status
        .as_ref()
        .is_some_and(|status| status.state == RunState::Failed);
    match target {
        TargetState::Started => resume(state, name, before, now, out),
        TargetState::Paused if failed && before == TargetState::Started => {}
        TargetState::Paused => set_status(state, name, RunState::Paused, None, out),
        TargetState::Stopped => {
            // With several workers, the tasks were removed from the store together with the change.
            if !std::mem::take(&mut connector.tasks).is_empty() && !state.scope.is_shared() {
                out.push(Action::Write(StoreChange::SetTasks {
                    name: Arc::clone(name),
                    revision: connector.version,
                    replaced: Vec::new(),
                    tasks: Vec::new(),
                }));
            }
        }
    }
    tasks::reconcile(state, name, out);
}

/// Resumes the tasks of the current config at once, and plans again to find what has changed
/// meanwhile.
fn resume(
    state: &mut HerderState,
    name: &Arc<str>,
    before: TargetState,
    now: Millis,
    out: &mut Vec<Action>,
) {
    let Some(connector) = state.connectors.get_mut(name) else {
        return;
    };
    connector.due = Some(now);
    let version = connector.version;
    if connector.tasks.iter().any(|task| task.version != version) {
        connector.tasks.clear();
    }
    let failed = connector
        .status
        .as_ref()
        .is_some_and(|status| status.state == RunState::Failed);
    match before {
        TargetState::Paused if failed => {}
        TargetState::Paused if !connector.tasks.is_empty() => {
            set_status(state, name, RunState::Running, None, out);
        }
        _ => set_status(state, name, RunState::Unassigned, None, out),
    }
}

/// True if a restart restarts the connector itself (KIP-745).
pub(crate) fn restarts_connector(state: &HerderState, name: &str, only_failed: bool) -> bool {
    state
        .connectors
        .get(name)
        .is_some_and(|connector| is_chosen(only_failed, connector_state(connector)))
}

/// True if a restart restarts a part in this state.
fn is_chosen(only_failed: bool, state: Option<RunState>) -> bool {
    !only_failed || state == Some(RunState::Failed)
}

fn connector_state(connector: &ConnectorEntry) -> Option<RunState> {
    connector.status.as_ref().map(|status| status.state)
}

/// Restarts a connector as KIP-745 says: `include_tasks` and `only_failed` choose which of
/// connector and tasks restart. A plain restart is answered with the outcome of the connector's
/// start.
pub(super) fn restart(
    state: &mut HerderState,
    name: &Arc<str>,
    (include_tasks, only_failed): (bool, bool),
    ticket: Option<Ticket>,
    now: Millis,
    out: &mut Vec<Action>,
) {
    let worker_id = Arc::clone(&state.worker_id);
    let mut number = state.last_number;
    let Some(connector) = state.connectors.get_mut(name) else {
        return;
    };
    let plain = !include_tasks && !only_failed;
    let mut restarted = Vec::new();
    if include_tasks {
        for (place, (at, task)) in (0..).zip(&mut connector.tasks).enumerate() {
            if is_chosen(only_failed, Some(task.status.state)) {
                number += 1;
                restarted.push((place, number));
                task.renew(number);
                task.failures = 0;
                let id = TaskId {
                    connector: Arc::clone(name),
                    task: at,
                };
                let status = RunStatus {
                    state: RunState::Restarting,
                    worker_id: Arc::clone(&worker_id),
                    trace: None,
                };
                tasks::show(task, &id, status, out);
            }
        }
    }
    state.last_number = number;
    let itself = is_chosen(only_failed, connector_state(connector));
    if itself {
        connector.waiting.extend(ticket.filter(|_| plain));
        connector.failures = 0;
        connector.due = Some(now);
        set_status(state, name, RunState::Restarting, None, out);
    }
    let waits = ticket
        .filter(|_| !plain)
        .map(|ticket| PendingRestart::new(ticket, name, itself, restarted, now));
    state.restarts.extend(waits);
    tasks::reconcile(state, name, out);
}

fn admit_restart_task(state: &HerderState, name: &str, task: u32) -> Admission {
    let (_, connector) = known(state, name)?;
    let exists = usize::try_from(task).is_ok_and(|at| at < connector.tasks.len());
    if exists {
        Ok(Vec::new())
    } else {
        Err(HerderRefusal::UnknownTask(name.to_owned(), task))
    }
}

pub(super) fn restart_task(
    state: &mut HerderState,
    name: &Arc<str>,
    number: u32,
    ticket: Option<Ticket>,
    now: Millis,
    out: &mut Vec<Action>,
) {
    let incarnation = state.next_number();
    let worker_id = Arc::clone(&state.worker_id);
    // Answer at once if the task does not exist.
    let at = usize::try_from(number).unwrap_or(usize::MAX);
    state.restarts.extend(
        ticket.map(|ticket| PendingRestart::new(ticket, name, false, vec![(at, incarnation)], now)),
    );
    let Some(connector) = state.connectors.get_mut(name) else {
        return;
    };
    let Some(task) = connector.tasks.get_mut(at) else {
        return;
    };
    task.renew(incarnation);
    task.failures = 0;
    let id = TaskId {
        connector: Arc::clone(name),
        task: number,
    };
    tasks::show(
        task,
        &id,
        RunStatus {
            state: RunState::Restarting,
            worker_id,
            trace: None,
        },
        out,
    );
    tasks::reconcile(state, name, out);
}

fn admit_change_offsets(state: &HerderState, name: &str) -> Admission {
    let (name, connector) = known(state, name)?;
    let runs = state.runs.keys().any(|id| id.connector == name);
    if connector.target != TargetState::Stopped || runs {
        return Err(HerderRefusal::NotStopped(name.to_string()));
    }
    if state.changing_offsets.contains(&name) {
        let why = format!(
            "another change of the offsets of {name} is in progress: try again when it has ended"
        );
        return Err(HerderRefusal::Unavailable(why));
    }
    Ok(Vec::new())
}
