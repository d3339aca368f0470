//! One running task: what is asked of it, how it tells of itself, and its supervision.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use connector_api::shown::on_one_line;
use connector_api::{Config, Error, Plugin, ProgressReport, Result};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::thread::{on_a_thread, panicked};
use super::watch::{STANDS_STILL, TaskWatch, WaitsFor, limit, limit_of, wait_for_stall};
use super::{StartTask, TaskEvent, TaskId, WorkerShared, sink, source};
use crate::keys;
use crate::registry::{ConnectorPlugin, version};
use crate::secrets::Redactor;
use crate::unused::without_effect;
use crate::waiting::WaitReason;

/// A broker that has not answered a starting task within this time is taken for unreachable.
const REACH_LIMIT: Duration = Duration::from_secs(5);

/// What a task is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskTarget {
    /// Work.
    Run,
    /// Stay open, do nothing.
    Pause,
    /// End.
    Stop,
}

/// The worker's end of a task.
pub struct TaskHandle {
    id: TaskId,
    shared: Arc<WorkerShared>,
    watch: Arc<TaskWatch>,
    wanted: watch::Sender<TaskTarget>,
    progress: Arc<Mutex<ProgressReport>>,
    redactor: Arc<OnceLock<Redactor>>,
    unused: Arc<OnceLock<Vec<String>>>,
    cut: Arc<AtomicBool>,
    join: JoinHandle<()>,
}

/// The task's own end.
pub struct TaskContext {
    /// What was asked for.
    pub start: StartTask,
    /// What it shares with the others.
    pub shared: Arc<WorkerShared>,
    /// Nothing more may become durable.
    pub cut: Arc<AtomicBool>,
    /// Where it notes what it waits for.
    pub watch: Arc<TaskWatch>,
    wanted: watch::Receiver<TaskTarget>,
    progress: Arc<Mutex<ProgressReport>>,
    /// Takes the secrets of its config out of what it tells; empty until that has been resolved.
    redactor: Arc<OnceLock<Redactor>>,
    /// What its config holds that has no effect.
    unused: Arc<OnceLock<Vec<String>>>,
    events: mpsc::Sender<TaskEvent>,
    told: Option<bool>,
}

impl TaskHandle {
    /// Starts the task on the current runtime.
    pub fn start(
        start: StartTask,
        shared: Arc<WorkerShared>,
        events: mpsc::Sender<TaskEvent>,
    ) -> Self {
        let (wanted, receiver) = watch::channel(if start.paused {
            TaskTarget::Pause
        } else {
            TaskTarget::Run
        });
        let (progress, cut, watch) = (
            Arc::default(),
            Arc::new(AtomicBool::new(false)),
            Arc::<TaskWatch>::default(),
        );
        let (id, task_shared) = (start.id.clone(), Arc::clone(&shared));
        let (redactor, unused) = (Arc::new(OnceLock::new()), Arc::new(OnceLock::new()));
        let running = TaskContext {
            start,
            shared: task_shared,
            cut: Arc::clone(&cut),
            watch: Arc::clone(&watch),
            wanted: receiver,
            progress: Arc::clone(&progress),
            redactor: Arc::clone(&redactor),
            unused: Arc::clone(&unused),
            events: events.clone(),
            told: None,
        };
        let join = tokio::spawn(supervise(running, events));
        Self {
            id,
            shared,
            watch,
            wanted,
            progress,
            redactor,
            unused,
            cut,
            join,
        }
    }

    /// Asks for something else; a task that stops stays so.
    pub fn want(&self, wanted: TaskTarget) {
        self.wanted.send_if_modified(|now| {
            let change = *now != TaskTarget::Stop && *now != wanted;
            if change {
                *now = wanted;
            }
            change
        });
    }

    /// How far it has come.
    pub fn progress(&self) -> ProgressReport {
        let mut progress = self
            .progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        progress
            .warnings
            .extend(self.unused.get().into_iter().flatten().cloned());
        if let Some(redactor) = self.redactor.get() {
            progress
                .warnings
                .iter_mut()
                .for_each(|warning| *warning = on_one_line(&redactor.hide(warning)).into_owned());
            progress
                .tables
                .iter_mut()
                .for_each(|of| of.table = redactor.hide(&of.table).into_owned());
        }
        progress
    }

    /// What it waits for.
    pub fn waits(&self) -> WaitsFor {
        let mut waits = self.watch.waits();
        if let (Some(detail), Some(redactor)) = (&mut waits.detail, self.redactor.get()) {
            *detail = on_one_line(&redactor.hide(detail)).into_owned();
        }
        waits
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.join.is_finished()
    }

    /// Waits for its end, and cuts it off after `within`. Returns whether it ended by itself.
    pub async fn end(mut self, within: Duration) -> bool {
        self.want(TaskTarget::Stop);
        let ended = tokio::time::timeout(within, &mut self.join).await.is_ok();
        self.cut.store(true, Ordering::Relaxed);
        if !ended {
            self.join.abort();
            let _aborted = (&mut self.join).await;
            self.shared.still.leave(&self.id, &self.watch);
        }
        self.shared.still.forget(&self.id);
        ended
    }
}

/// Runs the task and tells how it ended; a panic is an error like others, and so is standing still.
async fn supervise(running: TaskContext, events: mpsc::Sender<TaskEvent>) {
    let (id, cut, watch) = (
        running.id().clone(),
        Arc::clone(&running.cut),
        Arc::clone(&running.watch),
    );
    let (shared, progress) = (Arc::clone(&running.shared), Arc::clone(&running.progress));
    let redactor = Arc::clone(&running.redactor);
    let limit = limit_of(&shared.options.config, &running.start.connector_config);
    let mut inner = AbortOnDropHandle::new(tokio::spawn(work(running)));
    let outcome = tokio::select! {
        biased;
        outcome = &mut inner => {
            match &outcome {
                Ok(Err(error)) => shared.still.failed(&id, &watch, error),
                Ok(Ok(())) | Err(_) => shared.still.forget(&id),
            }
            outcome
        }
        error = wait_for_stall(&id, &watch, limit, &progress, &shared.still) => {
            cut.store(true, Ordering::Relaxed);
            shared.still.leave(&id, &watch);
            Ok(Err(error))
        }
    };
    drop(inner);
    cut.store(true, Ordering::Relaxed);
    let shown = |error| redactor.get().cloned().unwrap_or_default().error(error);
    let event = match outcome {
        Ok(Ok(())) => TaskEvent::Stopped(id),
        Ok(Err(error)) => {
            let error = shown(error);
            tracing::error!(connector = %id.connector, task = id.task, %error, kind = ?error.kind(), "task failed");
            TaskEvent::Failed(id, error)
        }
        Err(error) => TaskEvent::Failed(id, shown(panicked(error))),
    };
    let _receiver_gone = events.send(event).await;
}

async fn work(mut running: TaskContext) -> Result<()> {
    let _alive = running.watch.enter();
    running.watch.front.enter(WaitReason::Opening);
    running.shared.still.check_left_behind(running.id())?;
    running.resolve().await?;
    limit(&running.start.connector_config)?;
    right_version(
        running.start.connector.plugin(),
        &running.start.connector_config,
    )?;
    if !running.reach_kafka().await? {
        return Ok(());
    }
    match running.start.connector.clone() {
        ConnectorPlugin::Source(source) => {
            on_a_thread("src", running, async move |r| {
                source::run(r, &*source).await
            })
            .await
        }
        ConnectorPlugin::Sink(sink) => {
            on_a_thread("put", running, async move |r| sink::run(r, &*sink).await).await
        }
    }
}

/// Whether a connector has the version that its config asks for: a stored config may be of another program's time.
/// Errors: `Config`.
pub fn right_version(plugin: &dyn Plugin, config: &Config) -> Result<()> {
    version::ensure(
        plugin,
        keys::CONNECTOR_VERSION,
        config.get(keys::CONNECTOR_VERSION),
    )
}

impl TaskContext {
    /// Puts what they stand for in the place of the references in its configs, which nobody else sees.
    async fn resolve(&mut self) -> Result<()> {
        let (config, redactor) = self
            .shared
            .resolve_config(&self.start.connector_config)
            .await?;
        self.start.connector_config = config;
        self.start.task_config = self.shared.resolve_config(&self.start.task_config).await?.0;
        let _first = self.redactor.set(redactor);
        let texts = without_effect(
            &self.shared.registry,
            &self.start.connector,
            &self.start.connector_config,
        );
        let _first = self.unused.set(texts);
        Ok(())
    }

    /// What takes the secrets of its config out of texts.
    pub fn redactor(&self) -> Redactor {
        self.redactor.get().cloned().unwrap_or_default()
    }

    /// Its id.
    pub fn id(&self) -> &TaskId {
        &self.start.id
    }

    /// What is asked of it now.
    pub fn wanted(&self) -> TaskTarget {
        *self.wanted.borrow()
    }

    /// Whether it is to stop, for a thread of its own.
    pub fn is_to_stop(&self) -> impl Fn() -> bool + Send + use<> {
        let wanted = self.wanted.clone();
        move || *wanted.borrow() == TaskTarget::Stop
    }

    /// Waits until something else is asked. Cancel safe.
    pub async fn changed(&mut self) {
        if self.wanted.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits, unless something else is asked before.
    pub async fn sleep(&mut self, time: Duration) {
        let _noted = self.watch.front.note(WaitReason::Retry);
        tokio::select! {
            () = self.changed() => {}
            () = tokio::time::sleep(time) => {}
        }
    }

    /// Waits for Kafka's first answer to this worker: clients of librdkafka try on in silence, and nobody would see why
    /// nothing happens. `false`: the task is to stop. Errors: `Retry`.
    async fn reach_kafka(&mut self) -> Result<bool> {
        let (shared, _noted) = (
            Arc::clone(&self.shared),
            self.watch.front.note(WaitReason::Kafka),
        );
        let reached = self
            .unless_stopped(tokio::time::timeout(REACH_LIMIT, shared.reach_kafka()))
            .await;
        match reached {
            None => Ok(false),
            Some(answer) => answer
                .unwrap_or_else(|_| Err(shared.unreachable_error()))
                .map(|_| true),
        }
    }

    /// The outcome of `work`, or nothing when the task is to stop before.
    pub async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                () = self.changed() => {
                    if self.wanted() == TaskTarget::Stop {
                        return None;
                    }
                }
            }
        }
    }

    /// Waits while it is paused. `false`: it is to stop.
    pub async fn may_work(&mut self) -> bool {
        loop {
            match self.wanted() {
                TaskTarget::Run => return true,
                TaskTarget::Stop => return false,
                TaskTarget::Pause => {
                    self.report_paused(true).await;
                    let _noted = self.watch.front.note(WaitReason::Resume);
                    self.changed().await;
                }
            }
        }
    }

    /// Notifies the herder that the task runs or is paused, if that has changed.
    pub async fn report_paused(&mut self, paused: bool) {
        if self.told != Some(paused) {
            self.told = Some(paused);
            self.watch.opened();
            let id = self.id().clone();
            self.send_event(if paused {
                TaskEvent::Paused(id)
            } else {
                TaskEvent::Running(id)
            })
            .await;
        }
    }

    /// Whether it has been running.
    pub fn has_run(&self) -> bool {
        self.told == Some(false)
    }

    /// Notifies the herder.
    pub async fn send_event(&self, event: TaskEvent) {
        let _receiver_gone = self.events.send(event).await;
    }

    /// Notifies the herder from a thread.
    pub fn events(&self) -> mpsc::Sender<TaskEvent> {
        self.events.clone()
    }

    /// Notes how far it has come. What it is waiting for stays, and that it stands still.
    pub fn note(&self, mut progress: ProgressReport) {
        let mut now = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let stays =
            |warning: &String| warning.starts_with(WAITING) || warning.starts_with(STANDS_STILL);
        progress
            .warnings
            .extend(now.warnings.drain(..).filter(stays));
        *now = progress;
    }

    /// Shows what it is waiting for, until it has [cleared](TaskContext::clear_retry_warning).
    pub fn warn(&self, error: &Error) {
        let id = self.id();
        tracing::warn!(connector = %id.connector, task = id.task, %error, "trying again");
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress
            .warnings
            .retain(|warning| !warning.starts_with(WAITING));
        progress.warnings.push(format!("{WAITING}{error}"));
    }

    /// Clears the retry warning.
    pub fn clear_retry_warning(&self) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress
            .warnings
            .retain(|warning| !warning.starts_with(WAITING));
    }
}

const WAITING: &str = "waiting: ";
