//! Tests of the state machine: single cases, and random sequences of events checked against
//! invariants.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connector_api::{Config, Error, TaskPlan};
use tokio::sync::oneshot;

use super::*;
use crate::herder::{HerderRefusal, HerderVerb};

/// A simulated worker that performs actions when the test says so.
struct World {
    state: HerderState,
    now: Millis,
    /// Running tasks: whether each is paused, and whether it was asked to stop.
    alive: BTreeMap<TaskId, (bool, bool)>,
    plans: Vec<(Arc<str>, u64)>,
    stops: Vec<Vec<TaskId>>,
    answers: BTreeMap<Ticket, Result<(), String>>,
    writes: Vec<StoreChange>,
}

impl World {
    fn new() -> Self {
        Self {
            state: HerderState::new(Arc::from("w:1"), true, 100),
            now: 0,
            alive: BTreeMap::new(),
            plans: Vec::new(),
            stops: Vec::new(),
            answers: BTreeMap::new(),
            writes: Vec::new(),
        }
    }

    /// Sends one event, then the ticks that are due, as the loop does.
    fn send(&mut self, event: HerderEvent) {
        self.step(event);
        while self.state.next_due().is_some_and(|at| at <= self.now) {
            self.step(HerderEvent::Tick);
        }
    }

    fn step(&mut self, event: HerderEvent) {
        for action in step(&mut self.state, event, self.now) {
            match action {
                Action::Write(write) => self.writes.push(write),
                Action::Plan { name, plan, .. } => self.plans.push((name, plan)),
                Action::Start { id, paused, .. } => {
                    let before = self.alive.insert(id.clone(), (paused, false));
                    assert!(before.is_none(), "{id:?} was started twice");
                }
                Action::Stop(ids) => {
                    for id in &ids {
                        if let Some((_, stopping)) = self.alive.get_mut(id) {
                            assert!(
                                !std::mem::replace(stopping, true),
                                "{id:?} was stopped twice"
                            );
                        }
                    }
                    self.stops.push(ids);
                }
                Action::SetPaused(id, paused) => {
                    if let Some(run) = self.alive.get_mut(&id) {
                        run.0 = paused;
                    }
                }
                Action::Answer(ticket, outcome) => {
                    assert!(
                        self.answers.insert(ticket, outcome).is_none(),
                        "ticket {ticket} was answered twice"
                    );
                }
            }
        }
        for id in self.alive.keys() {
            assert!(
                self.state.runs.contains_key(id),
                "{id:?} runs and nobody knows"
            );
        }
    }

    fn finish_plan(&mut self, at: usize, result: Result<TaskPlan, Error>) {
        let (name, plan) = self.plans.swap_remove(at);
        self.send(HerderEvent::Planned { name, plan, result });
    }

    fn finish_stop(&mut self, at: usize) {
        let ids = self.stops.swap_remove(at);
        self.alive.retain(|id, _| !ids.contains(id));
        self.send(HerderEvent::Gone(ids));
    }

    fn fail(&mut self, id: &TaskId, error: Error) {
        self.alive.remove(id);
        self.send(HerderEvent::TaskFailed(id.clone(), error));
    }

    /// Reports the state of each task.
    fn report(&mut self) {
        for (id, (paused, stopping)) in self.alive.clone() {
            if !stopping {
                self.send(if paused {
                    HerderEvent::TaskPaused(id)
                } else {
                    HerderEvent::TaskRunning(id)
                });
            }
        }
    }

    /// Lets everything settle: plans succeed, stops end, back-offs elapse.
    fn settle(&mut self, tasks: usize) {
        for _ in 0..1_000 {
            if !self.plans.is_empty() {
                self.finish_plan(0, Ok(plan(tasks)));
            } else if !self.stops.is_empty() {
                self.finish_stop(0);
            } else if let Some(at) = self.state.next_due() {
                self.now = self.now.max(at);
                self.send(HerderEvent::Tick);
            } else {
                return self.report();
            }
        }
        panic!("it never comes to rest");
    }

    fn create(&mut self, name: &str, direction: Direction, target: TargetState) {
        let config = Config::from([("tasks.max", "2")]);
        self.send(HerderEvent::Create {
            name: name.into(),
            config,
            direction,
            target,
        });
    }

    /// Formats a connector as `connector: task task …`: each with its state, and `!` if it has a
    /// trace.
    fn show(&self, name: &str) -> String {
        let Some(view) = view(&self.state, name) else {
            return "-".to_owned();
        };
        let part = |s: &RunStatus| {
            format!(
                "{}{}",
                s.state.name(),
                if s.trace.is_some() { "!" } else { "" }
            )
        };
        let tasks: Vec<_> = view.tasks.iter().map(|t| part(&t.status)).collect();
        format!(
            "{}: {}",
            view.status.as_ref().map_or("none".to_owned(), part),
            tasks.join(" ")
        )
        .trim_end()
        .to_owned()
    }
}

fn plan(tasks: usize) -> TaskPlan {
    let task = |n: usize| Config::from([("n", n.to_string().as_str())]);
    TaskPlan {
        tasks: (0..tasks).map(task).collect(),
        again_after: None,
    }
}

fn id(name: &str, task: u32) -> TaskId {
    TaskId {
        connector: name.into(),
        task,
    }
}

/// Returns a source with two running tasks.
fn running() -> World {
    let mut world = World::new();
    world.create("s", Direction::Source, TargetState::Started);
    assert_eq!(world.show("s"), "UNASSIGNED:");
    world.settle(2);
    assert_eq!(world.show("s"), "RUNNING: RUNNING RUNNING");
    world
}

fn target(world: &mut World, target: TargetState) {
    world.send(HerderEvent::SetTarget {
        name: "s".into(),
        target,
    });
}

#[test]
fn pause_and_resume_keep_the_tasks() {
    let mut world = running();
    target(&mut world, TargetState::Paused);
    world.report();
    assert_eq!(world.show("s"), "PAUSED: PAUSED PAUSED");
    target(&mut world, TargetState::Started);
    world.settle(2);
    assert_eq!(world.show("s"), "RUNNING: RUNNING RUNNING");
    assert!(world.stops.is_empty());
}

#[test]
fn a_stopped_connector_says_so_once_its_tasks_are_gone() {
    let mut world = running();
    target(&mut world, TargetState::Stopped);
    assert_eq!(world.show("s"), "RUNNING:");
    world.finish_stop(0);
    assert_eq!(world.show("s"), "STOPPED:");
    target(&mut world, TargetState::Paused);
    assert_eq!(world.show("s"), "PAUSED:");
    target(&mut world, TargetState::Started);
    world.settle(2);
    assert_eq!(world.show("s"), "RUNNING: RUNNING RUNNING");
}

#[test]
fn created_paused_or_stopped_nothing_is_planned() {
    for (target, want) in [
        (TargetState::Paused, "PAUSED:"),
        (TargetState::Stopped, "STOPPED:"),
    ] {
        let mut world = World::new();
        world.create("s", Direction::Source, target);
        assert!(world.plans.is_empty() && world.alive.is_empty());
        assert_eq!(world.show("s"), want);
    }
}

#[test]
fn a_sink_has_tasks_at_once() {
    let mut world = World::new();
    world.create("k", Direction::Sink, TargetState::Started);
    assert_eq!(world.alive.len(), 2);
    assert_eq!(
        view(&world.state, "k").unwrap().tasks[1]
            .config
            .get("task.id"),
        Some("1")
    );
    world.report();
    assert_eq!(world.show("k"), "RUNNING: RUNNING RUNNING");
}

#[test]
fn transient_failures_are_tried_again_ever_later_and_others_never() {
    let mut world = running();
    let mut waits = Vec::new();
    for _ in 0..11 {
        world.fail(&id("s", 0), Error::retry("no database"));
        assert_eq!(world.show("s"), "RUNNING: FAILED! RUNNING");
        let due = world.state.next_due().unwrap();
        waits.push(due - world.now);
        world.now = due;
        world.send(HerderEvent::Tick);
        assert!(world.alive.contains_key(&id("s", 0)));
    }
    assert_eq!(
        waits,
        [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map(|s| s * 1000)
    );
    world.report();
    world.now += millis(BACKOFF.max);
    world.fail(&id("s", 0), Error::retry("no database"));
    assert_eq!(
        world.state.next_due(),
        Some(world.now + millis(BACKOFF.first)),
        "long up, it starts over"
    );
    world.settle(2);
    world.fail(&id("s", 1), Error::config("no such column"));
    assert_eq!(world.state.next_due(), None);
    assert_eq!(world.show("s"), "RUNNING: RUNNING FAILED!");
    target(&mut world, TargetState::Paused);
    world.report();
    assert_eq!(world.show("s"), "PAUSED: PAUSED FAILED!");
}

#[test]
fn a_plan_that_fails_names_why_and_is_tried_again_if_transient() {
    let mut world = World::new();
    world.create("s", Direction::Source, TargetState::Started);
    world.finish_plan(0, Err(Error::retry("cannot reach db:3306")));
    let trace = view(&world.state, "s")
        .unwrap()
        .status
        .unwrap()
        .trace
        .unwrap();
    assert!(
        trace.starts_with("org.apache.kafka.connect.errors.RetriableException: cannot reach db:3306\nFailed 1 times"),
        "{trace}"
    );
    world.now = world.state.next_due().unwrap();
    world.send(HerderEvent::Tick);
    world.finish_plan(0, Err(Error::denied("access denied")));
    assert_eq!(
        (world.show("s").as_str(), world.state.next_due()),
        ("FAILED!:", None)
    );
    world.send(HerderEvent::Replace {
        name: "s".into(),
        config: Config::new(),
        direction: Direction::Source,
    });
    assert_eq!(world.show("s"), "RESTARTING:");
    world.settle(1);
    assert_eq!(world.show("s"), "RUNNING: RUNNING");
}

#[test]
fn more_tasks_than_tasks_max_are_refused() {
    let mut world = World::new();
    world.create("s", Direction::Source, TargetState::Started);
    world.finish_plan(0, Ok(plan(3)));
    let trace = view(&world.state, "s")
        .unwrap()
        .status
        .unwrap()
        .trace
        .unwrap();
    assert!(trace.starts_with("org.apache.kafka.common.config.ConfigException: The connector s has generated 3 tasks, which is greater than 2"), "{trace}");
}

#[test]
fn only_changed_tasks_restart_and_only_after_all_of_them_have_ended() {
    let mut world = running();
    let again = TaskPlan {
        tasks: plan(2).tasks,
        again_after: Some(Duration::from_secs(60)),
    };
    world.send(HerderEvent::Restart {
        name: "s".into(),
        include_tasks: false,
        only_failed: false,
        ticket: None,
    });
    world.finish_plan(0, Ok(again));
    assert!(world.stops.is_empty(), "an equal plan disturbs nothing");
    world.now += 60_000;
    world.send(HerderEvent::Tick);
    let mut other = plan(2);
    other.tasks[1].set("tables", "moved");
    world.finish_plan(0, Ok(other));
    assert_eq!(world.stops, [vec![id("s", 1)]]);
    world.finish_stop(0);
    world.report();
    assert_eq!(world.show("s"), "RUNNING: RUNNING RUNNING");
    let mut config = Config::from([("tasks.max", "2"), ("transforms", "t")]);
    world.send(HerderEvent::Replace {
        name: "s".into(),
        config: config.clone(),
        direction: Direction::Source,
    });
    world.finish_plan(0, Ok(plan(2)));
    assert_eq!(
        world.stops,
        [vec![id("s", 0), id("s", 1)]],
        "another connector config is another task"
    );
    assert_eq!(
        world
            .alive
            .values()
            .filter(|(_, stopping)| *stopping)
            .count(),
        2
    );
    world.settle(2);
    config.set("tasks.max", "1");
    world.send(HerderEvent::Replace {
        name: "s".into(),
        config,
        direction: Direction::Source,
    });
    world.settle(1);
    assert_eq!(world.show("s"), "RUNNING: RUNNING");
}

#[test]
fn restart_follows_the_matrix_of_kip_745() {
    for (include_tasks, only_failed, want) in [
        (false, false, "RESTARTING: FAILED! RUNNING"),
        (false, true, "RUNNING: FAILED! RUNNING"),
        (true, false, "RESTARTING: RESTARTING RESTARTING"),
        (true, true, "RUNNING: RESTARTING RUNNING"),
    ] {
        let mut world = running();
        world.fail(&id("s", 0), Error::config("broken"));
        let restart = HerderEvent::Restart {
            name: "s".into(),
            include_tasks,
            only_failed,
            ticket: Some(7),
        };
        world.step(restart);
        assert_eq!(world.show("s"), want);
        let at_once = !include_tasks && only_failed;
        assert_eq!(
            world.answers.contains_key(&7),
            at_once,
            "{include_tasks} {only_failed}"
        );
        world.send(HerderEvent::Tick);
        world.settle(2);
        assert_eq!(world.answers.get(&7), Some(&Ok(())));
        let tasks = if include_tasks { "RUNNING" } else { "FAILED!" };
        assert_eq!(world.show("s"), format!("RUNNING: {tasks} RUNNING"));
    }
}

#[test]
fn a_restart_that_fails_returns_the_reason() {
    let mut world = running();
    world.send(HerderEvent::Restart {
        name: "s".into(),
        include_tasks: false,
        only_failed: false,
        ticket: Some(1),
    });
    assert!(world.answers.is_empty());
    world.finish_plan(0, Err(Error::denied("access denied")));
    assert_eq!(world.answers[&1], Err("access denied".to_owned()));
}

#[test]
fn a_restart_of_a_task_is_answered_when_it_is_up_again_has_failed_or_takes_too_long() {
    let restart = |ticket| HerderEvent::RestartTask {
        name: "s".into(),
        task: 1,
        ticket: Some(ticket),
    };
    let mut world = running();
    world.send(restart(1));
    assert!(world.answers.is_empty(), "the old one still ends");
    world.finish_stop(0);
    assert!(world.answers.is_empty(), "the new one is opened");
    world.report();
    assert_eq!(world.answers.get(&1), Some(&Ok(())));

    world.send(restart(2));
    world.finish_stop(0);
    world.fail(&id("s", 1), Error::config("broken"));
    assert!(world.answers.contains_key(&2));

    world.send(restart(3));
    world.now = world.state.next_due().unwrap();
    world.send(HerderEvent::Tick);
    assert_eq!(world.show("s"), "RUNNING: RUNNING RESTARTING");
    assert!(world.answers.contains_key(&3));

    world.send(restart(4));
    world.send(HerderEvent::Delete { name: "s".into() });
    assert!(
        world.answers.contains_key(&4),
        "nothing is left to wait for"
    );
}

#[test]
fn a_connector_made_again_waits_for_the_tasks_of_the_former() {
    let mut world = running();
    world.send(HerderEvent::Delete { name: "s".into() });
    world.create("s", Direction::Sink, TargetState::Started);
    assert_eq!(world.alive.len(), 2);
    world.finish_stop(0);
    assert_eq!(world.alive.len(), 2);
    world.report();
    assert_eq!(world.show("s"), "RUNNING: RUNNING RUNNING");
}

#[test]
fn offsets_change_only_of_what_is_stopped_and_nothing_starts_meanwhile() {
    let refusal = |state: &HerderState| {
        let reply = oneshot::channel().0;
        let change = crate::herder::OffsetChange::Reset;
        admit(
            state,
            &HerderVerb::ChangeOffsets {
                name: "s".to_owned(),
                change,
                reply,
            },
        )
        .err()
    };
    let mut world = running();
    assert_eq!(
        refusal(&world.state),
        Some(HerderRefusal::NotStopped("s".to_owned()))
    );
    target(&mut world, TargetState::Stopped);
    assert_eq!(
        refusal(&world.state),
        Some(HerderRefusal::NotStopped("s".to_owned())),
        "its tasks are not gone yet"
    );
    world.finish_stop(0);
    assert_eq!(refusal(&world.state), None);
    world.send(HerderEvent::OffsetsChanging { name: "s".into() });
    target(&mut world, TargetState::Started);
    world.settle(2);
    assert!(world.alive.is_empty());
    world.send(HerderEvent::OffsetsChanged { name: "s".into() });
    assert_eq!(world.alive.len(), 2);
}

#[test]
fn closing_stops_everything_and_leaves_it_unassigned() {
    let mut world = running();
    world.fail(&id("s", 1), Error::config("broken"));
    world.send(HerderEvent::Close);
    assert_eq!(world.show("s"), "UNASSIGNED: UNASSIGNED FAILED!");
    assert!(!world.state.is_idle());
    world.finish_stop(0);
    assert!(world.state.is_idle() && world.state.next_due().is_none());
}

#[test]
fn what_was_stored_is_taken_up_with_its_tasks() {
    let config = Config::from([("tasks.max", "2")]);
    let stored = StoredConnector {
        tasks: plan(2).tasks.into_iter().map(Into::into).collect(),
        ..StoredConnector::new("s", config, TargetState::Started)
    };
    let mut world = World::new();
    world.send(HerderEvent::Loaded(vec![(stored, Direction::Source)]));
    world.report();
    assert_eq!(
        world.show("s"),
        "UNASSIGNED: RUNNING RUNNING",
        "tasks run before the plan has come back"
    );
    world.settle(2);
    assert_eq!(world.show("s"), "RUNNING: RUNNING RUNNING");
    assert!(world.stops.is_empty());
}

/// The kit's generator, for positions in lists.
struct Random(testkit::Random);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.0.below(n as u64)).unwrap()
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

fn random_event(world: &mut World, random: &mut Random) {
    match random.below(14) {
        kind @ 0..=6 => random_verb(world, random, kind),
        kind => random_outcome(world, random, kind),
    }
}

fn random_target(random: &mut Random) -> TargetState {
    random.pick(&[
        TargetState::Started,
        TargetState::Started,
        TargetState::Paused,
        TargetState::Stopped,
    ])
}

fn random_config(random: &mut Random) -> Config {
    Config::from([("tasks.max", random.pick(&["1", "2", "3"]))])
}

fn random_error(random: &mut Random) -> Error {
    random.pick(&[Error::retry, Error::config])("it broke")
}

fn random_verb(world: &mut World, random: &mut Random, kind: usize) {
    let name: Arc<str> = random.pick(&["a", "b", "c"]).into();
    let known = view(&world.state, &name).map(|view| view.direction);
    let event = match (kind, known) {
        (0 | 1, None) => HerderEvent::Create {
            name,
            config: random_config(random),
            direction: random.pick(&[Direction::Source, Direction::Source, Direction::Sink]),
            target: random_target(random),
        },
        (1, Some(direction)) => HerderEvent::Replace {
            name,
            config: random_config(random),
            direction,
        },
        (2, Some(_)) if random.below(3) == 0 => HerderEvent::Delete { name },
        (3 | 4, _) => HerderEvent::SetTarget {
            name,
            target: random_target(random),
        },
        (5, _) => HerderEvent::Restart {
            name,
            include_tasks: random.below(2) == 0,
            only_failed: random.below(2) == 0,
            ticket: None,
        },
        (6, _) => HerderEvent::RestartTask {
            name,
            task: u32::try_from(random.below(3)).unwrap(),
            ticket: None,
        },
        _ => return,
    };
    world.send(event);
}

/// What tasks and jobs report, and time that passes.
fn random_outcome(world: &mut World, random: &mut Random, kind: usize) {
    match kind {
        7 | 8 if !world.plans.is_empty() => {
            let at = random.below(world.plans.len());
            let tasks = random.below(4);
            let result = if random.below(4) == 0 {
                Err(random_error(random))
            } else {
                Ok(plan(tasks))
            };
            world.finish_plan(at, result);
        }
        9 | 10 if !world.stops.is_empty() => {
            let at = random.below(world.stops.len());
            world.finish_stop(at);
        }
        11 if !world.alive.is_empty() => {
            let ids: Vec<TaskId> = world.alive.keys().cloned().collect();
            let (id, error) = (random.pick(&ids), random_error(random));
            world.fail(&id, error);
        }
        12 => {
            world.now += u64::try_from(random.below(20_000)).unwrap();
            world.send(HerderEvent::Tick);
        }
        13 if !world.alive.is_empty() => world.report(),
        _ => {}
    }
}

/// Checks what must hold once everything has settled.
fn verify(world: &World) {
    let mut expected = BTreeMap::new();
    for (name, connector) in &world.state.connectors {
        for (number, task) in (0..).zip(&connector.tasks) {
            if !task.down && connector.target != TargetState::Stopped {
                let paused = connector.target == TargetState::Paused;
                expected.insert(
                    TaskId {
                        connector: Arc::clone(name),
                        task: number,
                    },
                    (paused, false),
                );
                let want = if paused {
                    RunState::Paused
                } else {
                    RunState::Running
                };
                assert_eq!(task.status.state, want, "{name}-{number}");
            }
        }
        let state = connector.status.as_ref().unwrap().state;
        let failed = state == RunState::Failed;
        match connector.target {
            TargetState::Stopped => assert_eq!(
                (state, connector.tasks.len()),
                (RunState::Stopped, 0),
                "{name}"
            ),
            TargetState::Paused => assert!(failed || state == RunState::Paused, "{name} {state:?}"),
            TargetState::Started => {
                assert!(failed || state == RunState::Running, "{name} {state:?}");
            }
        }
    }
    assert_eq!(world.alive, expected);
    assert_eq!(
        world.state.runs.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
}

/// Checks that the writes, applied to a store, give exactly the state shown to callers.
fn verify_store(world: &World) {
    for (name, connector) in &world.state.connectors {
        let mut status = None;
        for write in world.writes.iter().filter(|w| w.name() == name) {
            if let StoreChange::SetStatus {
                task: None,
                status: stored,
                ..
            } = write
            {
                status = Some(stored);
            }
        }
        assert_eq!(status, connector.status.as_ref(), "{name}");
    }
}

#[test]
fn whatever_happens_no_task_runs_twice_and_none_is_left_over() {
    for seed in 1..=400 {
        println!("seed {seed}");
        let mut random = Random(testkit::Random::from_seed(seed));
        let mut world = World::new();
        for _ in 0..300 {
            random_event(&mut world, &mut random);
        }
        world.settle(1);
        verify(&world);
        verify_store(&world);
        world.send(HerderEvent::Close);
        while !world.stops.is_empty() {
            world.finish_stop(0);
        }
        assert!(world.alive.is_empty() && world.state.is_idle());
    }
}
