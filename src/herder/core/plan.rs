//! Starts connectors: asks each for its tasks and applies the answer.

use std::sync::Arc;

use connector_api::{Config, Error, ErrorKind, TaskPlan};

use super::{
    Action, ConnectorEntry, HerderState, Millis, Task, retry_wait, set_status, tasks, trace,
};
use crate::herder::bounds;
use crate::herder::{Direction, RunState, RunStatus, TargetState};
use crate::store::{StoreChange, StoredTask};

/// Starts a connector that is due. A source plans in the background; a sink's plan depends on its
/// config alone.
pub(super) fn begin(state: &mut HerderState, name: &Arc<str>, now: Millis, out: &mut Vec<Action>) {
    let (number, most) = (state.next_number(), state.tasks_max);
    let Some(connector) = state.connectors.get_mut(name) else {
        return;
    };
    connector.due = None;
    if connector.target != TargetState::Started {
        answer_waiting(connector, &Ok(()), out);
    }
    match connector.target {
        TargetState::Started => {}
        TargetState::Paused => return set_status(state, name, RunState::Paused, None, out),
        // A connector becomes STOPPED only once its tasks have ended.
        TargetState::Stopped => return tasks::reconcile(state, name, out),
    }
    connector.planning = Some(number);
    let max_tasks = match bounds::tasks(&connector.config, most) {
        Ok(max_tasks) => max_tasks,
        Err(why) => return planned(state, name, number, Err(Error::config(why)), now, out),
    };
    match connector.direction {
        Direction::Source => {
            let config = connector.config.clone();
            out.push(Action::Plan {
                name: Arc::clone(name),
                plan: number,
                config,
                max_tasks,
            });
            if connector.status.is_none() {
                set_status(state, name, RunState::Unassigned, None, out);
            }
        }
        Direction::Sink => {
            let plan = sink_plan(&connector.config, max_tasks);
            planned(state, name, number, Ok(plan), now, out);
        }
        Direction::Unknown => {
            let class = connector.config.get("connector.class").unwrap_or_default();
            let error = Error::config(format!(
                "this worker has no connector with the name {class}: correct connector.class, or \
                 use a rowferry that has it"
            ));
            planned(state, name, number, Err(error), now, out);
        }
    }
}

/// Plans a sink: its tasks are copies of its config that differ in their number. The consumer group
/// assigns the partitions.
fn sink_plan(config: &Config, tasks: usize) -> TaskPlan {
    let task = |number: usize| {
        let mut task = config.clone();
        task.set("task.id", number.to_string());
        task
    };
    TaskPlan {
        tasks: (0..tasks).map(task).collect(),
        again_after: None,
    }
}

/// Applies the answer of a plan. An answer superseded by another plan or a new target is ignored.
pub(super) fn planned(
    state: &mut HerderState,
    name: &Arc<str>,
    number: u64,
    result: Result<TaskPlan, Error>,
    now: Millis,
    out: &mut Vec<Action>,
) {
    let most = state.tasks_max;
    let Some(connector) = state
        .connectors
        .get_mut(name)
        .filter(|c| c.planning == Some(number))
    else {
        return;
    };
    connector.planning = None;
    match result
        .and_then(|plan| within_max(name, &connector.config, plan))
        .and_then(|plan| runnable(name, most, plan))
    {
        Ok(plan) => {
            connector.failures = 0;
            connector.due = plan
                .again_after
                .map(|wait| now.saturating_add(millis(wait)));
            answer_waiting(connector, &Ok(()), out);
            set_status(state, name, RunState::Running, None, out);
            take_over(state, name, plan.tasks, out);
            tasks::reconcile(state, name, out);
        }
        Err(error) => {
            connector.failures = connector.failures.saturating_add(1);
            let wait = (error.kind() == ErrorKind::Retry).then(|| retry_wait(connector.failures));
            connector.due = wait.map(|wait| now.saturating_add(wait));
            let trace = trace(&error, connector.failures, wait);
            answer_waiting(connector, &Err(error.to_string()), out);
            set_status(state, name, RunState::Failed, Some(trace), out);
        }
    }
}

/// Answers the callers that wait for the restart.
pub(super) fn answer_waiting(
    connector: &mut ConnectorEntry,
    outcome: &Result<(), String>,
    out: &mut Vec<Action>,
) {
    for ticket in connector.waiting.drain(..) {
        out.push(Action::Answer(ticket, outcome.clone()));
    }
}

/// Refuses more tasks than `tasks.max`, unless `tasks.max.enforce` is false. Source: KIP-1004.
pub(crate) fn within_max(name: &str, config: &Config, plan: TaskPlan) -> Result<TaskPlan, Error> {
    let (count, max) = (plan.tasks.len(), bounds::tasks_max(config));
    let enforced = !config
        .get("tasks.max.enforce")
        .is_some_and(|text| text.trim().eq_ignore_ascii_case("false"));
    if count <= max || !enforced {
        return Ok(plan);
    }
    Err(Error::config(format!(
        "The connector {name} has generated {count} tasks, which is greater than {max}, the maximum number of tasks it \
         is configured to create. Raise tasks.max, or set tasks.max.enforce to false."
    )))
}

/// Refuses more tasks than the worker allows per connector, whatever its config says.
fn runnable(name: &str, most: usize, plan: TaskPlan) -> Result<TaskPlan, Error> {
    let count = plan.tasks.len();
    if count <= most {
        return Ok(plan);
    }
    Err(Error::config(format!(
        "The connector {name} has generated {count} tasks, but rowferry.tasks.max of the worker \
         allows {most}. Raise it, or configure the connector to create fewer tasks."
    )))
}

/// Replaces the tasks by the planned ones. A task continues undisturbed if its config and its
/// connector's config are unchanged; every other one becomes a new incarnation. With several workers
/// the tasks are only stored: they change, here as elsewhere, once the store holds them.
fn take_over(
    state: &mut HerderState,
    name: &Arc<str>,
    configs: Vec<Config>,
    out: &mut Vec<Action>,
) {
    let slots = slots_of(state, name, configs.len());
    let (worker_id, is_shared) = (Arc::clone(&state.worker_id), state.scope.is_shared());
    let mut next = state.last_number;
    let Some(connector) = state.connectors.get_mut(name) else {
        return;
    };
    let version = connector.version;
    let is_kept = |task: &Task, config: &Config| task.version == version && task.config == *config;
    let mut replaced = Vec::new();
    let same_count = configs.len() == connector.tasks.len();
    let mut planned = Vec::with_capacity(configs.len());
    let mut tasks = Vec::with_capacity(configs.len());
    let mut old = connector.tasks.iter();
    for ((number, config), slot) in (0..).zip(configs).zip(slots) {
        let before = old.next();
        let restarts = before.map_or(0, |task| task.restarts);
        planned.push(StoredTask {
            config: config.clone(),
            slot,
            restarts,
        });
        if let Some(task) = before.filter(|task| is_kept(task, &config)) {
            tasks.push(task.clone());
            continue;
        }
        replaced.push(number);
        next += 1;
        let unassigned = || RunStatus {
            state: RunState::Unassigned,
            worker_id: Arc::clone(&worker_id),
            trace: None,
        };
        let status = before.map_or_else(unassigned, |task| task.status.clone());
        tasks.push(Task {
            slot,
            restarts,
            ..Task::new(config, version, next, status)
        });
    }
    if !is_shared {
        connector.tasks = tasks;
        state.last_number = next;
    }
    if !replaced.is_empty() || !same_count {
        out.push(Action::Write(StoreChange::SetTasks {
            name: Arc::clone(name),
            revision: version,
            replaced,
            tasks: planned,
        }));
    }
}

/// Returns the slots of a connector's tasks: those that they have, and free ones for new tasks.
fn slots_of(state: &HerderState, name: &str, count: usize) -> Vec<u16> {
    let tasks = state.connectors.get(name).map(|c| c.tasks.as_slice());
    let mut slots: Vec<u16> = tasks
        .unwrap_or_default()
        .iter()
        .map(|task| task.slot)
        .take(count)
        .collect();
    let kept = slots.len();
    while slots.len() < count {
        let slot = state.free_slot(slots.get(kept..).unwrap_or_default());
        slots.push(slot);
    }
    slots
}

fn millis(duration: std::time::Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connector_api::{Config, TaskPlan};

    use super::super::{Action, HerderEvent, HerderState, StoreChange, step};
    use crate::herder::{Direction, RunState, TargetState};
    use crate::store::StoredConnector;

    fn stored(tasks_max: &str, tasks: usize) -> StoredConnector {
        let config = Config::from([("tasks.max", tasks_max), ("connector.class", "C")]);
        StoredConnector {
            tasks: vec![Config::new().into(); tasks],
            ..StoredConnector::new("c", config, TargetState::Started)
        }
    }

    /// Returns the tasks that a worker allowing three tasks starts of a stored connector, and why
    /// the connector fails.
    fn loaded(
        stored: StoredConnector,
        direction: Direction,
        planned: usize,
    ) -> (usize, Option<String>) {
        let mut state = HerderState::new("w:1".into(), true, 3);
        let mut actions = step(
            &mut state,
            HerderEvent::Loaded(vec![(stored, direction)]),
            0,
        );
        actions.extend(step(&mut state, HerderEvent::Tick, 0));
        for at in 0..actions.len() {
            if let Action::Plan { name, plan, .. } = &actions[at] {
                let result = Ok(TaskPlan {
                    tasks: vec![Config::new(); planned],
                    again_after: None,
                });
                let event = HerderEvent::Planned {
                    name: Arc::clone(name),
                    plan: *plan,
                    result,
                };
                actions.extend(step(&mut state, event, 0));
            }
        }
        let failed = actions.iter().find_map(|action| match action {
            Action::Write(StoreChange::SetStatus {
                task: None, status, ..
            }) if status.state == RunState::Failed => status.trace.clone(),
            _ => None,
        });
        (
            actions
                .iter()
                .filter(|action| matches!(action, Action::Start { .. }))
                .count(),
            failed,
        )
    }

    #[test]
    fn a_stored_connector_that_asks_for_more_tasks_than_the_worker_allows_fails_and_starts_none() {
        for direction in [Direction::Sink, Direction::Source] {
            for (tasks_max, tasks) in [
                ("4", 0),
                ("2147483647", 0),
                ("4", 4),
                ("18446744073709551615", 1000),
            ] {
                let (started, failed) = loaded(stored(tasks_max, tasks), direction, 1);
                let trace = failed.unwrap_or_default();
                assert_eq!(started, 0, "{direction:?} {tasks_max}");
                assert!(
                    trace.contains("no more than 3") && trace.contains("rowferry.tasks.max"),
                    "{trace}"
                );
            }
        }
        assert_eq!(loaded(stored("3", 0), Direction::Sink, 0), (3, None));
        assert_eq!(loaded(stored("3", 3), Direction::Source, 3), (3, None));
    }

    #[test]
    fn a_plan_of_more_tasks_than_the_worker_allows_fails_whatever_the_config_says() {
        let mut free = stored("2", 0);
        free.config.set("tasks.max.enforce", "false");
        assert_eq!(loaded(free.clone(), Direction::Source, 3), (3, None));
        let (started, failed) = loaded(free, Direction::Source, 4);
        assert!(started == 0 && failed.unwrap().contains("rowferry.tasks.max"));
    }
}
