//! The single loop: it feeds commands and events into [`core::step`] and performs the resulting
//! actions.
//!
//! The loop awaits nothing slow: plans, stops and offset changes are jobs that return a
//! [`FinishedJob`], and so are requests to the metadata store (`store_writer`). A caller is
//! answered only after its change is durable.

mod balance;
mod commands;
mod peers;
mod pending;
mod shared;
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
use super::core::{self, Action, BalanceClock, HerderEvent, Millis, Ticket};
use super::kafka::{self, ClusterId};
use super::status_log::log_status;
use super::{Direction, HerderCommand, HerderRefusal, ReplySender, RunState, planning};
use crate::kafka::slots::SlotEvent;
use crate::registry::{ConnectorPlugin, Registry};
use crate::store::{Store, StoreChange};
use crate::worker::{StartTask, TaskEvent, TaskId, Worker};
pub(crate) use shared::GroupParts;
use shared::GroupWork;
use store_writer::StoreWriter;

/// Maximum number of events handled before statuses are stored.
const EVENTS_AT_ONCE: usize = 256;

/// The parts that the loop is built from.
pub(crate) struct LoopParts {
    /// Stores configs and statuses.
    pub store: Store,
    /// Runs tasks.
    pub worker: Worker,
    /// Receives the worker's task events.
    pub events: mpsc::Receiver<TaskEvent>,
    /// The available plug-ins.
    pub registry: Registry,
    /// `host:port` of this worker.
    pub worker_id: Arc<str>,
    /// URL of this worker's REST API.
    pub url: String,
    /// True if used topics are tracked (`topic.tracking.enable`).
    pub track_topics: bool,
    /// Maximum number of tasks per connector (`rowferry.tasks.max`).
    pub tasks_max: usize,
    /// Maximum number of tasks running at once (`rowferry.worker.tasks.max`).
    pub worker_tasks_max: usize,
    /// `task.shutdown.graceful.timeout.ms`.
    pub graceful: Duration,
    /// The group of workers, if this is one of several.
    pub group: Option<GroupParts>,
}

/// The loop that owns the herder's state.
pub(crate) struct HerderLoop {
    parts: LoopParts,
    commands: mpsc::Receiver<HerderCommand>,
    state: core::HerderState,
    started: Instant,
    jobs: JoinSet<FinishedJob>,
    plans: HashMap<Arc<str>, AbortHandle>,
    waiting: BTreeMap<Ticket, commands::WaitingCaller>,
    last_ticket: Ticket,
    /// A ticket that was answered before its caller was registered.
    early: Option<Ticket>,
    store_writer: StoreWriter,
    cluster: ClusterId,
    /// The work of one of several workers.
    group: Option<GroupWork>,
    /// Why this worker ends without a signal.
    failed: Option<Error>,
}

/// The result of a job.
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
    /// The other workers were made to read the store.
    Nudged,
    /// Whether another worker reaches the store.
    OthersAsked(bool),
    Answered,
}

impl HerderLoop {
    /// Creates the loop and loads the stored connectors. Errors: as [`Store::load`].
    pub(crate) async fn load(
        parts: LoopParts,
        commands: mpsc::Receiver<HerderCommand>,
    ) -> Result<Self> {
        let stored = match &parts.group {
            // One of several reads the store once it runs.
            Some(_) => Vec::new(),
            None => parts.store.load().await?,
        };
        let mut state = core::HerderState::new(
            Arc::clone(&parts.worker_id),
            parts.track_topics,
            parts.tasks_max,
        );
        let group = parts.group.as_ref().map(|group| {
            state.share(group.slot_count);
            let millis = |time: Duration| Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX);
            let clock = BalanceClock::new(group.balance, millis(group.balance_interval));
            state.balance(clock, millis(group.return_within));
            GroupWork::new(group)
        });
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
            store_writer: StoreWriter::new(),
            cluster,
            group,
            failed: None,
        };
        if !stored.is_empty() {
            info!(connectors = stored.len(), "starting stored connectors");
        }
        let stored = stored
            .into_iter()
            .map(|s| (this.direction(&s.config), s))
            .map(|(d, s)| (s, d))
            .collect();
        this.step(HerderEvent::Loaded(stored));
        Ok(this)
    }

    /// Runs until `closing` is cancelled, then stops every task (flush, commit, close) within the
    /// graceful time.
    /// Errors: why this worker cannot be one of several.
    pub(crate) async fn run(mut self, closing: CancellationToken) -> Result<()> {
        while self.failed.is_none() {
            self.tick();
            self.start_next_job();
            self.finish_handovers();
            let due = self
                .state
                .next_due()
                .map(|at| self.started + Duration::from_millis(at));
            let due = due.into_iter().chain(self.next_store_work()).min();
            tokio::select! {
                // Biased: closing comes first, and what has already happened is applied before the
                // next command is admitted.
                biased;
                () = closing.cancelled() => break,
                Some(event) = next_slot_event(&mut self.parts.group) => self.slot_event(event),
                Some(event) = self.parts.events.recv() => self.task_events(event),
                Some(done) = self.jobs.join_next() => self.done(done),
                Some(ended) = self.store_writer.ended() => self.job_ended(ended),
                Some(command) = self.commands.recv() => self.command(command),
                () = sleep_until(due) => {}
            }
        }
        let failed = self.failed.take();
        self.close().await;
        failed.map_or(Ok(()), Err)
    }

    /// Returns when the store is needed next, unless something else happens first.
    fn next_store_work(&self) -> Option<Instant> {
        let next = self.store_writer.next_due()?;
        let group = self.group.as_ref().map(GroupWork::next_due);
        Some(match group {
            Some(due) if !self.store_writer.is_failing() => due,
            _ => next,
        })
    }

    async fn close(mut self) {
        // One more second for tasks that are cut off at the limit.
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
        self.save_last().await;
        self.leave_group().await;
        self.parts.store.close().await;
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

    /// Feeds an event to the core and performs the resulting actions.
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
                self.count_start(&write);
                self.store_writer.pending.add(write);
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
                    let why = "lower tasks.max of connectors, or raise it if the machine has room for \
                         more";
                    let text = format!(
                        "{most} tasks are running, the maximum of rowferry.worker.tasks.max: {why}"
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

    /// Counts a connector that has been started or could not be.
    fn count_start(&self, write: &StoreChange) {
        let StoreChange::SetStatus {
            task: None, status, ..
        } = write
        else {
            return;
        };
        match status.state {
            RunState::Running => self.parts.worker.metrics().connector_started(true),
            RunState::Failed => self.parts.worker.metrics().connector_started(false),
            _ => {}
        }
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

    /// Handles events in the order they were sent, up to [`EVENTS_AT_ONCE`] before statuses are
    /// stored.
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
            // The job that requested the stop reports its end.
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
                // Events that these tasks sent before they ended must be handled before their
                // successors start.
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
            Ok(FinishedJob::Nudged) => self.nudged(),
            Ok(FinishedJob::OthersAsked(healthy)) => self.others_asked(healthy),
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

/// Waits for the next change of this worker's slots.
async fn next_slot_event(group: &mut Option<GroupParts>) -> Option<SlotEvent> {
    match group {
        Some(group) => group.slots.recv().await,
        None => None,
    }
}
