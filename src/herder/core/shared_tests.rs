//! Several simulated workers with a simulated store and group: random changes, crashes, frozen workers
//! and rebalances, after each of which the rules of several workers must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use connector_api::{Config, TaskPlan};

use super::*;
use crate::settings::BalanceMode;
use crate::store::{StoredStatus, StoredWorker, WorkerBusy};

const SLOTS: u16 = 8;
const STEPS: usize = 100_000;
const STORE_POLL_MS: Millis = 500;
/// Quarters of a second until everything has to be at rest: drained tasks move one a second, others
/// once the slots have stayed where they are for ten.
const SETTLED_IN: usize = 360;
/// How long a worker may take to read the store and to end a task.
const DOUBLED_WITHIN_MS: Millis = 15_000;

fn at(task: u32) -> usize {
    usize::try_from(task).unwrap()
}

/// The store, as its statements work.
#[derive(Default)]
struct FakeStore {
    connectors: BTreeMap<Arc<str>, StoredConnector>,
    /// Tasks of deleted connectors that may still run.
    orphans: BTreeMap<(Arc<str>, u32), RunStatus>,
    slots: BTreeMap<u16, Arc<str>>,
    /// The workers that have registered, and whether each is drained.
    workers: BTreeMap<Arc<str>, bool>,
    changes: u64,
    statuses: u64,
}

/// How busy a task is: the same on each worker.
fn work(name: &str, task: u32) -> f64 {
    let turn = usize::from(*name.as_bytes().last().unwrap()) + at(task);
    [0.8, 0.1, 0.0, 0.3][turn % 4]
}

impl FakeStore {
    /// The workers as they have registered, with what they have measured.
    fn registered(&self) -> Vec<StoredWorker> {
        let tasks = |worker: &Arc<str>| {
            let all = self.connectors.values().flat_map(|connector| {
                let tasks = (0..).zip(&connector.tasks);
                tasks.map(|(number, task)| (&connector.name, number, task.slot))
            });
            let own = all.filter(|(.., slot)| self.owner(*slot) == Some(&**worker));
            own.map(|(name, task, _)| (name.to_string(), task, work(name, task)))
                .collect()
        };
        let worker = |(id, draining): (&Arc<str>, &bool)| StoredWorker {
            id: id.to_string(),
            url: String::new(),
            version: String::new(),
            started_ms: 0,
            seen_ms: 0,
            unseen_ms: 0,
            draining: *draining,
            busy: Some(WorkerBusy {
                processors: 1.0,
                tasks: tasks(id),
            }),
        };
        self.workers.iter().map(worker).collect()
    }

    fn owner(&self, slot: u16) -> Option<&str> {
        self.slots.get(&(slot % SLOTS)).map(|owner| &**owner)
    }

    /// Stores what a worker writes; statuses only of what it owns.
    fn write(&mut self, worker: &str, change: &StoreChange) {
        let name = change.name();
        match change {
            StoreChange::SetTasks {
                revision,
                replaced,
                tasks,
                ..
            } => {
                let Some(connector) = self.connectors.get_mut(name) else {
                    return;
                };
                if connector.revision != *revision || connector.target == TargetState::Stopped {
                    return;
                }
                connector.planned = Some(*revision);
                connector.tasks.clone_from(tasks);
                let count = tasks.len();
                self.end_tasks(name, |task| replaced.contains(&task), count);
                self.changes += 1;
            }
            StoreChange::SetStatus { task, status, .. } => {
                let slot = self.slot(name, *task);
                if slot.and_then(|slot| self.owner(slot)) != Some(worker) {
                    return;
                }
                assert_eq!(
                    &*status.worker_id, worker,
                    "a worker shows the status of another one"
                );
                let connector = self.connectors.get_mut(name).unwrap();
                match task {
                    Some(task) => drop(connector.task_statuses.insert(*task, status.clone())),
                    None => connector.status = Some(status.clone()),
                }
                self.statuses += 1;
            }
            StoreChange::Release {
                task, worker_id, ..
            } => self.release(name, *task, worker_id),
            StoreChange::MoveTask { task, from, to, .. } => {
                let Some(connector) = self.connectors.get_mut(name) else {
                    return;
                };
                let slot = match task {
                    None => Some(&mut connector.slot),
                    Some(task) => connector
                        .tasks
                        .get_mut(at(*task))
                        .map(|task| &mut task.slot),
                };
                if let Some(slot) = slot.filter(|slot| **slot == *from) {
                    *slot = *to;
                }
                self.changes += 1;
            }
            StoreChange::Drain { draining, .. } => {
                *self.workers.get_mut(name).unwrap() = *draining;
                self.changes += 1;
            }
            _ => {}
        }
    }

    fn release(&mut self, name: &Arc<str>, task: Option<u32>, worker_id: &Arc<str>) {
        if let Some(task) = task {
            let orphan = (Arc::clone(name), task);
            if self.orphans.get(&orphan).map(|status| &status.worker_id) == Some(worker_id) {
                self.orphans.remove(&orphan);
            }
        }
        let Some(connector) = self.connectors.get_mut(name) else {
            return;
        };
        let status = match task {
            Some(task) => connector.task_statuses.get_mut(&task),
            None => connector.status.as_mut(),
        };
        if let Some(status) = status.filter(|status| {
            status.worker_id == *worker_id
                && matches!(
                    status.state,
                    RunState::Running | RunState::Paused | RunState::Restarting
                )
        }) {
            status.state = RunState::Unassigned;
            self.statuses += 1;
        }
    }

    /// Shows tasks that are replaced or no longer wanted as restarting, until their worker ends them.
    fn end_tasks(&mut self, name: &str, replaced: impl Fn(u32) -> bool, count: usize) {
        let connector = self.connectors.get_mut(name).unwrap();
        connector.task_statuses.retain(|task, status| {
            at(*task) < count || !matches!(status.state, RunState::Failed | RunState::Unassigned)
        });
        for (task, status) in &mut connector.task_statuses {
            let active = matches!(status.state, RunState::Running | RunState::Paused);
            if at(*task) >= count || (active && replaced(*task)) {
                status.state = RunState::Restarting;
            }
        }
        self.statuses += 1;
    }

    fn slot(&self, name: &str, task: Option<u32>) -> Option<u16> {
        let connector = self.connectors.get(name)?;
        match task {
            None => Some(connector.slot),
            Some(task) => Some(connector.tasks.get(at(task))?.slot),
        }
    }
}

/// A worker: its state, and what it does meanwhile.
struct FakeWorker {
    id: Arc<str>,
    state: HerderState,
    running: BTreeSet<TaskId>,
    stops: Vec<Vec<TaskId>>,
    plans: Vec<(Arc<str>, u64)>,
    writes: Vec<StoreChange>,
    /// Slots that the group has given to it, and those it has claimed.
    given: BTreeSet<u16>,
    /// Slots that it still has to give up.
    leaving: BTreeSet<u16>,
    /// It was drained, and has left the group.
    away: bool,
    frozen: bool,
    /// It was frozen, and still ends what it ran.
    wakes: bool,
    seen: (Option<u64>, Option<u64>),
    next_news: Millis,
}

impl FakeWorker {
    fn new(id: Arc<str>, (mode, return_within): (BalanceMode, Millis)) -> Self {
        let mut state = HerderState::new(Arc::clone(&id), true, 100);
        state.share(SLOTS);
        state.balance(BalanceClock::new(mode, 1000), return_within);
        Self {
            id,
            state,
            running: BTreeSet::new(),
            stops: Vec::new(),
            plans: Vec::new(),
            writes: Vec::new(),
            given: BTreeSet::new(),
            leaving: BTreeSet::new(),
            away: false,
            frozen: false,
            wakes: false,
            seen: (None, None),
            next_news: 0,
        }
    }

    fn step(&mut self, event: HerderEvent, now: Millis) {
        for action in step(&mut self.state, event, now) {
            match action {
                Action::Write(change) => self.writes.push(change),
                Action::Plan { name, plan, .. } => self.plans.push((name, plan)),
                Action::Start { id, .. } => {
                    assert!(self.running.insert(id.clone()), "{id:?} was started twice");
                }
                Action::Stop(ids) => self.stops.push(ids),
                Action::SetPaused(..) | Action::Answer(..) => {}
            }
        }
    }

    fn tick(&mut self, now: Millis) {
        for _ in 0..100 {
            if self.state.next_due().is_none_or(|at| at > now) {
                return;
            }
            self.step(HerderEvent::Tick, now);
        }
        panic!("a worker does not come to rest");
    }
}

struct Cluster {
    store: FakeStore,
    workers: Vec<FakeWorker>,
    now: Millis,
    random: testkit::Random,
    created: u64,
    starts: usize,
    settings: (BalanceMode, Millis),
    moves: usize,
    /// Tasks that two workers run, and since when.
    doubled: BTreeMap<TaskId, Millis>,
}

impl Cluster {
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.random.below(n as u64)).unwrap()
    }

    fn name(&mut self) -> Arc<str> {
        format!("c{}", self.below(4)).into()
    }

    /// A caller's change, stored by any worker.
    fn change(&mut self) {
        let (name, what, count) = (self.name(), self.below(9), self.below(4));
        let slot = u16::try_from(self.below(usize::from(SLOTS))).unwrap();
        self.created += 1;
        let config = Config::from([
            ("tasks.max", count.max(1).to_string().as_str()),
            ("v", self.created.to_string().as_str()),
        ]);
        let store = &mut self.store;
        match (what, store.connectors.get_mut(&name)) {
            (0..=2, None) => {
                let mut new = StoredConnector {
                    slot,
                    created_ms: i64::try_from(self.created).unwrap(),
                    revision: self.created,
                    ..StoredConnector::new(Arc::clone(&name), config, TargetState::Started)
                };
                let orphans = std::mem::take(&mut store.orphans);
                for ((of, task), status) in orphans {
                    if of == name {
                        new.task_statuses.insert(task, status);
                    } else {
                        store.orphans.insert((of, task), status);
                    }
                }
                store.connectors.insert(name, new);
            }
            (0, Some(_)) => {
                store.end_tasks(&name, |_| false, 0);
                let gone = store.connectors.remove(&name).unwrap();
                for (task, status) in gone.task_statuses {
                    store.orphans.insert((Arc::clone(&name), task), status);
                }
            }
            (1 | 2, Some(connector)) => {
                connector.config = config;
                connector.revision += 1;
                connector.tasks.clear();
            }
            (3..=5, Some(connector)) => {
                connector.target = [
                    TargetState::Started,
                    TargetState::Paused,
                    TargetState::Stopped,
                ][what - 3];
                if connector.target == TargetState::Stopped {
                    connector.tasks.clear();
                    connector.planned = None;
                    connector.revision += 1;
                    store.end_tasks(&name, |_| false, 0);
                }
            }
            (6, Some(connector)) => connector.restarts += 1,
            (7, Some(connector)) => {
                if let Some(task) = connector.tasks.get_mut(count) {
                    task.restarts += 1;
                    if let Some(status) = connector
                        .task_statuses
                        .get_mut(&u32::try_from(count).unwrap())
                    {
                        status.state = RunState::Restarting;
                    }
                }
            }
            (8, Some(connector)) => {
                if let Some(task) = connector.tasks.get_mut(count) {
                    task.slot = slot;
                }
            }
            _ => return,
        }
        store.changes += 1;
        store.statuses += 1;
    }

    /// Lets the group give the slots of workers that are gone to others, and share them out.
    fn rebalance(&mut self) {
        let live: Vec<usize> = (0..self.workers.len())
            .filter(|at| !self.workers[*at].frozen && !self.workers[*at].away)
            .collect();
        if live.is_empty() {
            return;
        }
        for slot in 0..SLOTS {
            let to = live[usize::from(slot) % live.len()];
            let from = (0..self.workers.len()).find(|at| self.workers[*at].given.contains(&slot));
            match from {
                Some(from) if from == to => {}
                // A frozen worker is not asked: it has lost them.
                Some(from) if self.workers[from].frozen => {
                    self.workers[from].given.remove(&slot);
                    self.workers[from].leaving.insert(slot);
                    self.give(to, slot);
                }
                Some(from) => {
                    let now = self.now;
                    let worker = &mut self.workers[from];
                    worker.given.remove(&slot);
                    worker.leaving.insert(slot);
                    worker.step(
                        HerderEvent::Shared(SharedEvent::SlotsLeft(BTreeSet::from([slot]))),
                        now,
                    );
                }
                None => {
                    let held = self
                        .workers
                        .iter()
                        .any(|worker| !worker.frozen && worker.leaving.contains(&slot));
                    if !held {
                        self.give(to, slot);
                    }
                }
            }
        }
    }

    /// A worker gets a slot: it claims it, reads the store, and starts what lies in it.
    fn give(&mut self, to: usize, slot: u16) {
        let now = self.now;
        let id = Arc::clone(&self.workers[to].id);
        self.workers[to].given.insert(slot);
        self.store.slots.insert(slot, id);
        self.store.changes += 1;
        self.news(to, true);
        self.workers[to].step(
            HerderEvent::Shared(SharedEvent::SlotsGained(BTreeSet::from([slot]))),
            now,
        );
    }

    fn news(&mut self, at: usize, all: bool) {
        let now = self.now;
        let worker = &mut self.workers[at];
        worker.next_news = now + STORE_POLL_MS;
        let held = (Some(self.store.changes), Some(self.store.statuses));
        if all || worker.seen.0 != held.0 {
            let connectors = self.store.connectors.values().cloned();
            let connectors = connectors.map(|stored| (stored, Direction::Source));
            let event = HerderEvent::Shared(SharedEvent::Revised {
                connectors: connectors.collect(),
                slots: self.store.slots.clone(),
                workers: self.store.workers.clone(),
            });
            worker.state.measured(Loads::of(&self.store.registered()));
            worker.step(event, now);
        } else if worker.seen.1 != held.1 {
            let mut all = Vec::new();
            for (name, connector) in &self.store.connectors {
                let own = connector.status.clone().map(|status| (None, status));
                let tasks = connector.task_statuses.iter();
                let tasks = tasks.map(|(task, status)| (Some(*task), status.clone()));
                all.extend(
                    own.into_iter()
                        .chain(tasks)
                        .map(|(task, status)| StoredStatus {
                            name: Arc::clone(name),
                            task,
                            status,
                        }),
                );
            }
            worker.step(HerderEvent::Shared(SharedEvent::StatusesRead(all)), now);
        }
        worker.seen = held;
        let draining = worker.state.is_draining(&worker.id);
        worker.away = draining && (worker.away || is_drained(&worker.state));
    }

    /// What a worker does between two events, in the order in which its loop does it.
    fn work(&mut self, at: usize) {
        let now = self.now;
        if self.workers[at].frozen {
            return;
        }
        let stops = std::mem::take(&mut self.workers[at].stops);
        for ids in stops {
            self.workers[at].running.retain(|id| !ids.contains(id));
            self.workers[at].step(HerderEvent::Gone(ids), now);
        }
        self.workers[at].wakes = false;
        self.workers[at].tick(now);
        for (name, plan) in std::mem::take(&mut self.workers[at].plans) {
            let config = self.store.connectors.get(&name).map(|c| c.config.clone());
            let count = config
                .and_then(|config| config.get("tasks.max")?.parse().ok())
                .unwrap_or(1);
            let result = Ok(TaskPlan {
                tasks: (0..count)
                    .map(|n: usize| Config::from([("n", n.to_string().as_str())]))
                    .collect(),
                again_after: None,
            });
            self.workers[at].step(HerderEvent::Planned { name, plan, result }, now);
        }
        for id in self.workers[at].running.clone() {
            self.workers[at].step(HerderEvent::TaskRunning(id), now);
        }
        let id = Arc::clone(&self.workers[at].id);
        if self.workers[at].seen.0 != Some(self.store.changes) {
            // A worker that has not read the last change writes nothing.
            self.news(at, true);
        }
        let writes = std::mem::take(&mut self.workers[at].writes);
        let plans = writes
            .iter()
            .any(|write| matches!(write, StoreChange::SetTasks { .. }));
        for write in writes {
            self.store.write(&id, &write);
        }
        if let Some((change, _)) = next_move(&mut self.workers[at].state, now) {
            self.store.write(&id, &change);
            self.moves += 1;
        }
        if plans || self.workers[at].next_news <= now {
            self.news(at, plans);
        }
        let worker = &mut self.workers[at];
        let state = &worker.state;
        worker
            .leaving
            .retain(|slot| state.runs_in(&BTreeSet::from([*slot])));
    }

    /// A worker is killed, and another one starts in its place.
    fn kill(&mut self, at: usize) {
        self.starts += 1;
        // It comes back, or another one takes its place.
        let id = if self.below(2) == 0 {
            Arc::clone(&self.workers[at].id)
        } else {
            format!("w{at}:{}", self.starts).into()
        };
        let former = std::mem::replace(&mut self.workers[at], FakeWorker::new(id, self.settings));
        // Those that ended before are forgotten.
        let live: BTreeSet<&Arc<str>> = self.workers.iter().map(|worker| &worker.id).collect();
        let owners: BTreeSet<&Arc<str>> = self.store.slots.values().collect();
        let forgets_it = self.random.below(4) == 0;
        self.store.workers.retain(|id, _| {
            let is_last = *id == former.id && !forgets_it;
            live.contains(id) || owners.contains(id) || is_last
        });
        self.register(at);
    }

    fn register(&mut self, at: usize) {
        let id = Arc::clone(&self.workers[at].id);
        self.store.workers.insert(id, false);
        self.store.changes += 1;
    }

    /// A caller drains a worker, or ends that.
    fn drain(&mut self, at: usize) {
        let of = self.below(self.workers.len());
        if self.workers[at].frozen {
            return;
        }
        self.news(at, true);
        let id = Arc::clone(&self.workers[of].id);
        let draining = self.below(2) == 0;
        let admitted = super::workers::admit_drain(&self.workers[at].state, &id, draining);
        for write in admitted.unwrap_or_default() {
            self.store.write("a caller", &write);
        }
    }

    fn wake(&mut self, at: usize) {
        let now = self.now;
        let worker = &mut self.workers[at];
        if std::mem::replace(&mut worker.frozen, false) {
            // The first event is that it has lost everything.
            let lost = &worker.leaving | &worker.given;
            worker.given.clear();
            worker.wakes = true;
            worker.step(HerderEvent::Shared(SharedEvent::SlotsLeft(lost)), now);
        }
    }

    /// Two workers that take part in the group run the same task only until the former one has read
    /// the store. (The latter one fences it.)
    fn check(&mut self) {
        let takes_part = |worker: &&FakeWorker| !worker.frozen && !worker.wakes;
        let mut count = BTreeMap::new();
        for worker in self.workers.iter().filter(takes_part) {
            for id in &worker.running {
                *count.entry(id.clone()).or_insert(0) += 1;
            }
        }
        let now = self.now;
        self.doubled
            .retain(|id, _| count.get(id).is_some_and(|workers| *workers > 1));
        for (id, workers) in count {
            if workers > 1 {
                let since = *self.doubled.entry(id.clone()).or_insert(now);
                assert!(now - since < DOUBLED_WITHIN_MS, "{id:?} still runs twice");
            }
        }
    }

    /// Lets everything come to rest.
    fn settle(&mut self) {
        for at in 0..self.workers.len() {
            self.wake(at);
        }
        // What is paused need not be planned.
        for connector in self.store.connectors.values_mut() {
            if connector.target == TargetState::Paused {
                connector.target = TargetState::Started;
            }
        }
        // Somebody has to take over what the others give away.
        let first = Arc::clone(&self.workers[0].id);
        self.store.workers.insert(first, false);
        self.store.changes += 1;
        let mut last = 0;
        for round in 0..SETTLED_IN {
            self.now += 250;
            self.rebalance();
            for at in 0..self.workers.len() {
                self.work(at);
            }
            if round + 40 == SETTLED_IN {
                last = self.moves;
            }
        }
        assert_eq!(self.moves, last, "tasks still move");
    }

    /// Every task runs once, on the worker that owns it, and every worker shows that.
    fn check_at_rest(&self) {
        let mut runs = BTreeMap::new();
        for worker in &self.workers {
            for id in &worker.running {
                assert!(runs.insert(id.clone(), Arc::clone(&worker.id)).is_none());
            }
        }
        let mut expected = BTreeMap::new();
        for (name, connector) in &self.store.connectors {
            let stopped = connector.target == TargetState::Stopped;
            assert_eq!(connector.tasks.is_empty(), stopped, "{connector:?}");
            for (number, task) in (0..).zip(&connector.tasks) {
                let id = TaskId {
                    connector: Arc::clone(name),
                    task: number,
                };
                let owner = self.store.owner(task.slot).unwrap();
                expected.insert(id, Arc::from(owner));
            }
        }
        assert_eq!(runs, expected, "what runs, and what should");
        for (id, worker) in &expected {
            let draining = self.store.workers.get(worker);
            assert_eq!(draining, Some(&false), "{id:?} on {worker}");
        }
        for worker in &self.workers {
            for (id, owner) in &expected {
                let connector = &worker.state.connectors[&id.connector];
                let status = &connector.tasks[at(id.task)].status;
                assert_eq!(
                    (status.state, &status.worker_id),
                    (RunState::Running, owner),
                    "{id:?} as {} shows it",
                    worker.id
                );
            }
        }
    }
}

#[test]
fn several_workers_run_every_task_once_whatever_happens_to_them() {
    let random = testkit::Random::new();
    let mut cluster = Cluster {
        store: FakeStore::default(),
        workers: Vec::new(),
        now: 0,
        random,
        created: 0,
        starts: 0,
        settings: (BalanceMode::Work, 0),
        moves: 0,
        doubled: BTreeMap::new(),
    };
    let mode = cluster.below(4) != 0;
    cluster.settings.0 = if mode {
        BalanceMode::Work
    } else {
        BalanceMode::Count
    };
    cluster.settings.1 = [0, 5_000][cluster.below(2)];
    println!("settings: {:?}", cluster.settings);
    for at in 0..4 {
        let worker = FakeWorker::new(format!("w{at}:0").into(), cluster.settings);
        cluster.workers.push(worker);
        cluster.register(at);
    }
    for step in 0..STEPS {
        cluster.now += cluster.random.below(200);
        let at = cluster.below(cluster.workers.len());
        match cluster.below(40) {
            0..=3 => cluster.change(),
            4 => cluster.kill(at),
            5 => cluster.workers[at].frozen = true,
            6 => cluster.wake(at),
            7..=12 => cluster.rebalance(),
            13 => cluster.drain(at),
            _ => cluster.work(at),
        }
        cluster.check();
        if step % 1000 == 999 {
            cluster.settle();
            cluster.check_at_rest();
        }
    }
}
