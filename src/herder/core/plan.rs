//! Starting a connector: asking it for its tasks and taking over the answer.

use std::sync::Arc;

use connector_api::{Config, Error, Kind, Plan};

use super::{Action, Connector, Millis, State, Task, backoff, set_status, tasks, trace};
use crate::herder::{Direction, State as PartState, Status, Target};
use crate::store::Write;

/// Starts a connector that is due: a source plans in the background, a sink's plan needs no look at anything.
pub(super) fn begin(state: &mut State, name: &Arc<str>, now: Millis, out: &mut Vec<Action>) {
    let number = state.next_number();
    let Some(connector) = state.connectors.get_mut(name) else { return };
    connector.due = None;
    if connector.target != Target::Started {
        settle(connector, &Ok(()), out);
    }
    match connector.target {
        Target::Started => {}
        Target::Paused => return set_status(state, name, PartState::Paused, None, out),
        // STOPPED only once its tasks are gone.
        Target::Stopped => return tasks::reconcile(state, name, out),
    }
    connector.planning = Some(number);
    match connector.direction {
        Direction::Source => {
            let config = connector.config.clone();
            let max_tasks = tasks_max(&config);
            out.push(Action::Plan { name: Arc::clone(name), plan: number, config, max_tasks });
            if connector.status.is_none() {
                set_status(state, name, PartState::Unassigned, None, out);
            }
        }
        Direction::Sink => {
            let plan = sink_plan(&connector.config);
            planned(state, name, number, Ok(plan), now, out);
        }
        Direction::Unknown => {
            let class = connector.config.get("connector.class").unwrap_or_default();
            let error = Error::config(format!(
                "no connector of this worker is named {class}: correct connector.class, or use a rowferry that has it"
            ));
            planned(state, name, number, Err(error), now, out);
        }
    }
}

/// `tasks.max` as given, at least 1.
pub fn tasks_max(config: &Config) -> usize {
    config.get("tasks.max").and_then(|text| text.trim().parse().ok()).unwrap_or(1).max(1)
}

/// A sink's tasks are copies of its config that differ by their number; the consumer group shares the partitions out.
fn sink_plan(config: &Config) -> Plan {
    let task = |number: usize| {
        let mut task = config.clone();
        task.set("task.id", number.to_string());
        task
    };
    Plan { tasks: (0..tasks_max(config)).map(task).collect(), again_after: None }
}

/// Takes over the answer of a plan; one that was overtaken by another plan or a new target counts no more.
pub(super) fn planned(
    state: &mut State,
    name: &Arc<str>,
    number: u64,
    result: Result<Plan, Error>,
    now: Millis,
    out: &mut Vec<Action>,
) {
    let Some(connector) = state.connectors.get_mut(name).filter(|c| c.planning == Some(number)) else { return };
    connector.planning = None;
    match result.and_then(|plan| within_max(name, &connector.config, plan)) {
        Ok(plan) => {
            connector.failures = 0;
            connector.due = plan.again_after.map(|wait| now.saturating_add(millis(wait)));
            settle(connector, &Ok(()), out);
            set_status(state, name, PartState::Running, None, out);
            take_over(state, name, plan.tasks, out);
            tasks::reconcile(state, name, out);
        }
        Err(error) => {
            connector.failures = connector.failures.saturating_add(1);
            let wait = (error.kind() == Kind::Retry).then(|| backoff(connector.failures));
            connector.due = wait.map(|wait| now.saturating_add(wait));
            let trace = trace(&error, connector.failures, wait);
            settle(connector, &Err(error.to_string()), out);
            set_status(state, name, PartState::Failed, Some(trace), out);
        }
    }
}

/// Tells those that wait for the restart how it went.
pub(super) fn settle(connector: &mut Connector, outcome: &Result<(), String>, out: &mut Vec<Action>) {
    for ticket in connector.waiting.drain(..) {
        out.push(Action::Answer(ticket, outcome.clone()));
    }
}

/// Refuses more tasks than `tasks.max`, unless `tasks.max.enforce` is false. Source: KIP-1004.
pub(crate) fn within_max(name: &str, config: &Config, plan: Plan) -> Result<Plan, Error> {
    let (count, max) = (plan.tasks.len(), tasks_max(config));
    let enforced = !config.get("tasks.max.enforce").is_some_and(|text| text.trim().eq_ignore_ascii_case("false"));
    if count <= max || !enforced {
        return Ok(plan);
    }
    Err(Error::config(format!(
        "The connector {name} has generated {count} tasks, which is greater than {max}, the maximum number of tasks it \
         is configured to create. Raise tasks.max, or set tasks.max.enforce to false."
    )))
}

/// Makes the planned tasks the wanted ones. A task whose config and whose connector's config are what they were goes
/// on undisturbed; every other one becomes a new incarnation.
fn take_over(state: &mut State, name: &Arc<str>, configs: Vec<Config>, out: &mut Vec<Action>) {
    let worker_id = Arc::clone(&state.worker_id);
    let mut next = state.last_number;
    let Some(connector) = state.connectors.get_mut(name) else { return };
    let version = connector.version;
    let mut changed = configs.len() != connector.tasks.len();
    let mut old = std::mem::take(&mut connector.tasks).into_iter();
    for config in configs {
        let task = match old.next() {
            Some(task) if task.version == version && task.config == config => task,
            before => {
                changed = true;
                next += 1;
                let unassigned =
                    || Status { state: PartState::Unassigned, worker_id: Arc::clone(&worker_id), trace: None };
                let status = before.map(|task| task.status).unwrap_or_else(unassigned);
                Task::new(config, version, next, status)
            }
        };
        connector.tasks.push(task);
    }
    if changed {
        let tasks = connector.tasks.iter().map(|task| task.config.clone()).collect();
        out.push(Action::Write(Write::SetTasks { name: Arc::clone(name), tasks }));
    }
    state.last_number = next;
}

fn millis(duration: std::time::Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
