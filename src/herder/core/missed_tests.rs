//! What one of several workers makes of changes that it sees late, or several of them at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use connector_api::{Config, TaskPlan};

use super::*;
use crate::store::StoredTask;

const ME: &str = "me:1";

/// A worker of a group with the slots 0 to 3, of which it owns some.
struct Worker {
    state: HerderState,
    own: BTreeSet<u16>,
}

impl Worker {
    /// A worker that owns these slots and runs the task of [`stored`], if that lies in them.
    fn with_running_task(own: &[u16]) -> Self {
        let mut state = HerderState::new(ME.into(), true, 10);
        state.share(4);
        let own: BTreeSet<u16> = own.iter().copied().collect();
        let mut worker = Self {
            state,
            own: own.clone(),
        };
        worker.shared(SharedEvent::SlotsGained(own));
        let actions = worker.read(vec![stored()]);
        assert_eq!(started(&actions), 1, "{actions:?}");
        worker.step(HerderEvent::TaskRunning(task()));
        worker
    }

    fn step(&mut self, event: HerderEvent) -> Vec<Action> {
        step(&mut self.state, event, 0)
    }

    fn shared(&mut self, event: SharedEvent) -> Vec<Action> {
        self.step(HerderEvent::Shared(event))
    }

    /// The worker reads the store, which holds this.
    fn read(&mut self, connectors: Vec<StoredConnector>) -> Vec<Action> {
        let owner = |slot| {
            if self.own.contains(&slot) {
                ME
            } else {
                "other:1"
            }
        };
        let slots: BTreeMap<u16, Arc<str>> =
            (0..4).map(|slot| (slot, owner(slot).into())).collect();
        let connectors = connectors.into_iter().map(|one| (one, Direction::Source));
        self.shared(SharedEvent::Revised {
            connectors: connectors.collect(),
            slots,
            workers: BTreeMap::new(),
        })
    }

    /// Plans what is due, with one task.
    fn plan(&mut self) -> Vec<Action> {
        let mut actions = self.step(HerderEvent::Tick);
        for at in 0..actions.len() {
            if let Action::Plan { name, plan, .. } = &actions[at] {
                let (name, plan) = (Arc::clone(name), *plan);
                let result = Ok(TaskPlan {
                    tasks: vec![Config::new()],
                    again_after: None,
                });
                actions.extend(self.step(HerderEvent::Planned { name, plan, result }));
            }
        }
        actions
    }
}

fn task() -> TaskId {
    TaskId {
        connector: "c".into(),
        task: 0,
    }
}

fn status(state: RunState) -> RunStatus {
    RunStatus {
        state,
        worker_id: ME.into(),
        trace: None,
    }
}

/// A connector in slot 0 with a task in slot 1, both planned.
fn stored() -> StoredConnector {
    let mut task = StoredTask::from(Config::new());
    task.slot = 1;
    StoredConnector {
        created_ms: 7,
        revision: 7,
        planned: Some(7),
        tasks: vec![task],
        ..StoredConnector::new("c", Config::new(), TargetState::Started)
    }
}

fn started(actions: &[Action]) -> usize {
    let starts = actions.iter().filter(|a| matches!(a, Action::Start { .. }));
    starts.count()
}

fn stops(actions: &[Action]) -> bool {
    actions.iter().any(|a| matches!(a, Action::Stop(_)))
}

/// The states of this part that are to be stored.
fn shown(actions: &[Action], part: Option<u32>) -> Vec<RunState> {
    let state = |action: &Action| match action {
        Action::Write(StoreChange::SetStatus { task, status, .. }) if *task == part => {
            Some(status.state)
        }
        _ => None,
    };
    actions.iter().filter_map(state).collect()
}

#[test]
fn a_task_ends_if_its_connector_was_stopped_and_resumed_since_the_last_look() {
    let mut worker = Worker::with_running_task(&[0, 1]);
    let resumed = StoredConnector {
        revision: 8,
        planned: None,
        tasks: Vec::new(),
        ..stored()
    };
    assert!(stops(&worker.read(vec![resumed])));
    assert_eq!(started(&worker.step(HerderEvent::Gone(vec![task()]))), 0);
    let planned = worker.plan();
    let is_plan = |a: &Action| matches!(a, Action::Write(StoreChange::SetTasks { revision: 8, tasks, .. }) if tasks.len() == 1);
    assert!(planned.iter().any(is_plan), "{planned:?}");
}

#[test]
fn a_task_starts_again_if_its_connector_was_stopped_resumed_and_planned_since_the_last_look() {
    let mut worker = Worker::with_running_task(&[1]);
    let mut planned = StoredConnector {
        revision: 8,
        planned: Some(8),
        ..stored()
    };
    // The stop has shown it so.
    planned.task_statuses = BTreeMap::from([(0, status(RunState::Restarting))]);
    assert!(stops(&worker.read(vec![planned])));
    assert_eq!(started(&worker.step(HerderEvent::Gone(vec![task()]))), 1);
    let running = worker.step(HerderEvent::TaskRunning(task()));
    assert_eq!(shown(&running, Some(0)), [RunState::Running]);
}

#[test]
fn a_task_ends_if_a_plan_that_was_not_read_has_replaced_it() {
    let mut worker = Worker::with_running_task(&[1]);
    let replaced = |planned| StoredConnector {
        revision: 9,
        planned: Some(planned),
        tasks: Vec::new(),
        ..stored()
    };
    let actions = worker.read(vec![replaced(7)]);
    assert!(!stops(&actions), "it continues until the next plan");
    assert!(stops(&worker.read(vec![replaced(8)])));
}

#[test]
fn a_connector_that_was_deleted_and_created_since_the_last_look_is_another_one() {
    let mut worker = Worker::with_running_task(&[0, 1]);
    let running = [RunState::Unassigned, RunState::Running];
    assert_eq!(shown(&worker.plan(), None), running);
    // Revision and plan are those of the former one, as far as a worker can see.
    let again = StoredConnector {
        created_ms: 8,
        ..stored()
    };
    assert!(stops(&worker.read(vec![again])));
    assert_eq!(shown(&worker.plan(), None), running);
    assert_eq!(started(&worker.step(HerderEvent::Gone(vec![task()]))), 1);
}

#[test]
fn a_slot_that_a_running_task_has_left_is_given_up_at_once() {
    let mut worker = Worker::with_running_task(&[1, 2]);
    let mut moved = stored();
    moved.tasks[0].slot = 2;
    assert!(!stops(&worker.read(vec![moved])), "it stays on its worker");
    worker.shared(SharedEvent::SlotsLeft(BTreeSet::from([1])));
    assert!(!worker.state.runs_in(&BTreeSet::from([1])));
    assert!(worker.state.runs_in(&BTreeSet::from([2])));
}

#[test]
fn a_task_that_comes_back_is_shown_as_running_although_its_end_was_not_stored_yet() {
    let mut worker = Worker::with_running_task(&[1]);
    worker.shared(SharedEvent::SlotsLeft(BTreeSet::from([1])));
    worker.step(HerderEvent::Gone(vec![task()]));
    // The store still shows what it was notified before the end.
    let mut before = stored();
    before.task_statuses = BTreeMap::from([(0, status(RunState::Running))]);
    worker.read(vec![before]);
    let gained = worker.shared(SharedEvent::SlotsGained(BTreeSet::from([1])));
    assert_eq!(started(&gained), 1);
    let running = worker.step(HerderEvent::TaskRunning(task()));
    assert_eq!(shown(&running, Some(0)), [RunState::Running]);
}
