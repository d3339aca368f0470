//! The one loop: commands and events go into [`core::step`], the actions that come out are performed here.
//!
//! Nothing slow is awaited: plans, stops and offsets are jobs of their own that come back as [`Done`], and so is what the
//! metadata store is asked for (`keeping`); a caller is answered after its change is durable.

mod commands;
mod pending;
mod store_writer;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use connector_api::{Config, Error, Result, TaskPlan};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::answer::send;
use super::clock::sleep_until;
use super::core::{self, Action, HerderEvent, Millis, Ticket};
use super::kafka::{self, ClusterId};
use super::status_log::log_status;
use super::{Direction, HerderCommand, HerderRefusal, ReplySender, planning};
use crate::registry::{ConnectorPlugin, Registry};
use crate::store::Store;
use crate::worker::{StartTask, TaskEvent, TaskId, Worker};
use store_writer::StoreWriter;

/// Events taken in one go before statuses are stored.
const EVENTS_AT_ONCE: usize = 256;

/// What the loop works with.
pub struct LoopParts {
    /// Where configs and statuses are kept.
    pub store: Store,
    /// What runs tasks.
    pub worker: Worker,
    /// What becomes of them: the other end of the worker's channel.
    pub events: mpsc::Receiver<TaskEvent>,
    /// What can be run.
    pub registry: Registry,
    /// `host:port` of this worker.
    pub worker_id: Arc<str>,
    /// Whether used topics are kept (`topic.tracking.enable`).
    pub track_topics: bool,
    /// Most tasks that a connector may have (`rowferry.tasks.max`).
    pub tasks_max: usize,
    /// Most tasks that run at once (`rowferry.worker.tasks.max`).
    pub worker_tasks_max: usize,
    /// `task.shutdown.graceful.timeout.ms`.
    pub graceful: Duration,
}

/// The loop.
pub struct HerderLoop {
    parts: LoopParts,
    commands: mpsc::Receiver<HerderCommand>,
    state: core::HerderState,
    started: Instant,
    jobs: JoinSet<FinishedJob>,
    plans: HashMap<Arc<str>, AbortHandle>,
    waiting: BTreeMap<Ticket, commands::WaitingCaller>,
    last_ticket: Ticket,
    /// A ticket that was answered before anybody waited with it.
    early: Option<Ticket>,
    keeping: StoreWriter,
    cluster: ClusterId,
}

/// A job that has ended.
enum FinishedJob {
    Planned {
        name: Arc<str>,
        plan: u64,
        result: Result<TaskPlan>,
    },
    Stopped(Vec<TaskId>),
    OffsetsChanged {
        name: Arc<str>,
        result: Result<bool, HerderRefusal>,
        reply: ReplySender<bool>,
    },
    Answered,
}

impl HerderLoop {
    /// A loop that takes `commands`; loads what is stored.
    /// Errors: as [`Store::load`].
    pub async fn load(parts: LoopParts, commands: mpsc::Receiver<HerderCommand>) -> Result<Self> {
        let stored = parts.store.load().await?;
        let state = core::HerderState::new(
            Arc::clone(&parts.worker_id),
            parts.track_topics,
            parts.tasks_max,
        );
        let (known, cluster) = ClusterId::unknown();
        let mut jobs = JoinSet::new();
        let reaching = kafka::reach(parts.worker.clone(), known);
        jobs.spawn(async move {
            reaching.await;
            FinishedJob::Answered
        });
        let mut this = Self {
            parts,
            commands,
            state,
            started: Instant::now(),
            jobs,
            plans: HashMap::new(),
            waiting: BTreeMap::new(),
            last_ticket: 0,
            early: None,
            keeping: StoreWriter::new(),
            cluster,
        };
        if !stored.is_empty() {
            info!(connectors = stored.len(), "taking up stored connectors");
        }
        let stored = stored
            .into_iter()
            .map(|s| (this.direction(&s.config), s))
            .map(|(d, s)| (s, d))
            .collect();
        this.step(HerderEvent::Loaded(stored));
        Ok(this)
    }

    /// Runs until `closing`, then stops every task: flush, commit, close, within the graceful time.
    pub async fn run(mut self, closing: CancellationToken) {
        loop {
            self.tick();
            self.keep();
            let due = self
                .state
                .next_due()
                .map(|at| self.started + Duration::from_millis(at));
            let due = due.into_iter().chain(self.keeping.next_due()).min();
            tokio::select! {
                biased;
                () = closing.cancelled() => break,
                Some(event) = self.parts.events.recv() => self.task_events(event),
                Some(done) = self.jobs.join_next() => self.done(done),
                Some(ended) = self.keeping.ended() => self.kept(ended),
                Some(command) = self.commands.recv() => self.command(command),
                () = sleep_until(due) => {}
            }
        }
        self.close().await;
    }

    async fn close(mut self) {
        // A second on top for those that are cut off at the limit.
        let deadline = Instant::now() + self.parts.graceful + Duration::from_secs(1);
        self.commands.close();
        self.step(HerderEvent::Close);
        while !self.state.is_idle() {
            tokio::select! {
                biased;
                Some(event) = self.parts.events.recv() => self.task_events(event),
                Some(done) = self.jobs.join_next() => self.done(done),
                () = tokio::time::sleep_until(deadline) => {
                    warn!("some tasks did not end in time and are cut off");
                    break;
                }
            }
        }
        self.jobs.shutdown().await;
        self.keep_last().await;
        info!("all tasks have ended");
    }

    fn now(&self) -> Millis {
        Millis::try_from(self.started.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    fn tick(&mut self) {
        if self.state.next_due().is_some_and(|at| at <= self.now()) {
            self.step(HerderEvent::Tick);
        }
    }

    /// Takes an event into account and performs what it calls for.
    fn step(&mut self, event: HerderEvent) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.now();
            for action in core::step(&mut self.state, event, now) {
                events.extend(self.perform(action));
            }
        }
    }

    fn perform(&mut self, action: Action) -> Option<HerderEvent> {
        match action {
            Action::Write(write) => {
                log_status(&write);
                self.keeping.pending.add(write);
            }
            Action::Plan {
                name,
                plan,
                config,
                max_tasks,
            } => self.plan(name, plan, config, max_tasks),
            Action::Start {
                id,
                tasks,
                connector_config,
                task_config,
                paused,
            } => {
                let Some(connector) = self.connector(&connector_config).cloned() else {
                    return Some(HerderEvent::TaskFailed(
                        id,
                        Error::config("its connector.class is not known to this worker"),
                    ));
                };
                let most = self.parts.worker_tasks_max;
                if self.parts.worker.running_count() >= most {
                    let why = "lower tasks.max of connectors, or raise it where the machine has room for more";
                    let text = format!(
                        "{most} tasks run already, as many as rowferry.worker.tasks.max allows: {why}"
                    );
                    return Some(HerderEvent::TaskFailed(id, Error::retry(text)));
                }
                debug!(connector = %id.connector, task = id.task, "starting task");
                self.parts.worker.start(StartTask {
                    id,
                    tasks,
                    connector,
                    connector_config,
                    task_config,
                    paused,
                });
            }
            Action::Stop(ids) => {
                let (worker, within) = (self.parts.worker.clone(), self.parts.graceful);
                self.jobs.spawn(async move {
                    worker.stop(&ids, within).await;
                    FinishedJob::Stopped(ids)
                });
            }
            Action::SetPaused(id, paused) => self.parts.worker.set_paused(&id, paused),
            Action::Answer(ticket, outcome) => self.answer(ticket, outcome),
        }
        None
    }

    fn plan(&mut self, name: Arc<str>, plan: u64, config: Config, max_tasks: usize) {
        let Some(ConnectorPlugin::Source(source)) = self.connector(&config).cloned() else {
            return;
        };
        let (job_name, worker) = (Arc::clone(&name), self.parts.worker.clone());
        let job = self.jobs.spawn(async move {
            let result = planning::plan(&worker, &*source, &job_name, &config, max_tasks).await;
            FinishedJob::Planned {
                name: job_name,
                plan,
                result,
            }
        });
        if let Some(overtaken) = self.plans.insert(name, job) {
            overtaken.abort();
        }
    }

    /// Events in the order they were sent, many before statuses are stored.
    fn task_events(&mut self, first: TaskEvent) {
        self.task_event(first);
        for _ in 0..EVENTS_AT_ONCE {
            let Ok(event) = self.parts.events.try_recv() else {
                return;
            };
            self.task_event(event);
        }
    }

    fn task_event(&mut self, event: TaskEvent) {
        self.step(match event {
            TaskEvent::Running(id) => HerderEvent::TaskRunning(id),
            TaskEvent::Paused(id) => HerderEvent::TaskPaused(id),
            TaskEvent::Failed(id, error) => {
                debug!(connector = %id.connector, task = id.task, ?error, "task has failed");
                HerderEvent::TaskFailed(id, error)
            }
            TaskEvent::Topic(id, topic) => HerderEvent::TaskTopic(id, topic),
            // The end of a stop is told by the job that asked for it.
            TaskEvent::Stopped(_) => return,
        });
    }

    fn done(&mut self, done: Result<FinishedJob, JoinError>) {
        match done {
            Ok(FinishedJob::Planned { name, plan, result }) => {
                if let Err(error) = &result {
                    debug!(connector = %name, ?error, "planning has failed");
                }
                self.step(HerderEvent::Planned { name, plan, result });
            }
            Ok(FinishedJob::Stopped(ids)) => {
                // What these tasks told before they ended must count before their successors start.
                while let Ok(event) = self.parts.events.try_recv() {
                    self.task_event(event);
                }
                self.step(HerderEvent::Gone(ids));
            }
            Ok(FinishedJob::OffsetsChanged {
                name,
                result,
                reply,
            }) => {
                self.step(HerderEvent::OffsetsChanged { name });
                send(reply, result);
            }
            Ok(FinishedJob::Answered) => {}
            Err(error) if error.is_cancelled() => {}
            Err(error) => error!(%error, "a job of the herder has panicked: this is a bug"),
        }
    }

    fn connector(&self, config: &Config) -> Option<&ConnectorPlugin> {
        self.parts
            .registry
            .connector(config.get("connector.class")?.trim())
    }

    fn direction(&self, config: &Config) -> Direction {
        match self.connector(config) {
            Some(ConnectorPlugin::Source(_)) => Direction::Source,
            Some(ConnectorPlugin::Sink(_)) => Direction::Sink,
            None => Direction::Unknown,
        }
    }
}
