//! One running task: its target, its progress reports, and its supervision.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use connector_api::locks::TakeLock;
use connector_api::shown::on_one_line;
use connector_api::{Config, Error, Plugin, ProgressReport, RereadState, Result, TaskRequest};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::thread::{on_a_thread, panicked};
use super::watch::{
    STALL_PREFIX, TaskWatch, WaitsFor, limit, limit_of, publish_waits, wait_for_stall,
};
use super::{StartTask, TaskEvent, TaskId, WorkerShared, sink, source};
use crate::keys;
use crate::metrics::{Activity, TaskFigures, TaskMetrics};
use crate::registry::{ConnectorPlugin, version};
use crate::secrets::Redactor;
use crate::unused::without_effect;
use crate::waiting::WaitReason;

/// How long a starting task waits for a broker before it reports Kafka as unreachable.
const REACH_LIMIT: Duration = Duration::from_secs(5);

/// What a task is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskTarget {
    Run,
    /// Stay open but idle.
    Pause,
    Stop,
}

/// A request to a source, with the channel for its answer: it has been accepted and stored.
pub(super) struct RequestToSource {
    pub request: TaskRequest,
    pub reply: oneshot::Sender<Result<()>>,
}

/// Maximum number of requests that wait for a task.
const REQUESTS_MAX: usize = 4;

/// The worker's handle to a running task.
pub(super) struct TaskHandle {
    id: TaskId,
    shared: Arc<WorkerShared>,
    watch: Arc<TaskWatch>,
    wanted: watch::Sender<TaskTarget>,
    progress: Arc<Mutex<ProgressReport>>,
    redactor: Arc<OnceLock<Redactor>>,
    unused: Arc<OnceLock<Vec<String>>>,
    cut: Arc<AtomicBool>,
    requests: mpsc::Sender<RequestToSource>,
    join: JoinHandle<()>,
}

/// The context of a running task, as the task itself sees it.
pub(super) struct TaskContext {
    pub start: StartTask,
    pub shared: Arc<WorkerShared>,
    /// Set when the task is cut off: it may make nothing durable any more.
    pub cut: Arc<AtomicBool>,
    /// Records what the task's threads wait for.
    pub watch: Arc<TaskWatch>,
    wanted: watch::Receiver<TaskTarget>,
    progress: Arc<Mutex<ProgressReport>>,
    /// Hides the config's secrets in texts; empty until the config is resolved.
    redactor: Arc<OnceLock<Redactor>>,
    /// Warnings about config keys that have no effect.
    unused: Arc<OnceLock<Vec<String>>>,
    events: mpsc::Sender<TaskEvent>,
    /// What users ask a source for; taken by the loop that polls it.
    pub requests: Option<mpsc::Receiver<RequestToSource>>,
    reported_paused: Option<bool>,
    /// Where the task publishes its figures.
    pub metrics: Arc<TaskMetrics>,
}

impl TaskHandle {
    /// Starts the task on the current runtime.
    pub(super) fn start(
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
        let metrics = shared.metrics.of_task(&id.connector, id.task);
        metrics.update(TaskFigures::started);
        let (redactor, unused) = (Arc::new(OnceLock::new()), Arc::new(OnceLock::new()));
        let (requests, requested) = mpsc::channel(REQUESTS_MAX);
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
            requests: Some(requested),
            reported_paused: None,
            metrics,
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
            requests,
            join,
        }
    }

    /// Asks a source for something. The answer arrives once it is stored; without one, the task has
    /// ended or started again. Errors: `Retry` if too many requests wait.
    pub(super) fn request(&self, request: TaskRequest) -> Result<oneshot::Receiver<Result<()>>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.try_send(RequestToSource { request, reply });
        sent.map_err(|_| Error::retry("the task does not accept requests now: try again"))?;
        Ok(answer)
    }

    /// Hides the config's secrets in an error.
    pub(super) fn shown(&self, error: Error) -> Error {
        match self.redactor.get() {
            Some(redactor) => redactor.error(error),
            None => error,
        }
    }

    /// Sets the target. A task that was asked to stop stays so.
    pub(super) fn want(&self, wanted: TaskTarget) {
        self.wanted.send_if_modified(|now| {
            let change = *now != TaskTarget::Stop && *now != wanted;
            if change {
                *now = wanted;
            }
            change
        });
    }

    /// Returns progress and warnings, with secrets hidden.
    pub(super) fn progress(&self) -> ProgressReport {
        let mut progress = self.progress.take_lock().clone();
        progress
            .warnings
            .extend(self.unused.get().into_iter().flatten().cloned());
        if let Some(redactor) = self.redactor.get() {
            progress
                .warnings
                .iter_mut()
                .for_each(|warning| *warning = in_one_line(&redactor.hide(warning)));
            progress
                .tables
                .iter_mut()
                .for_each(|of| of.table = redactor.hide(&of.table).into_owned());
            for reread in &mut progress.rereads {
                if let RereadState::Failed(text) = &mut reread.state {
                    *text = in_one_line(&redactor.hide(text));
                }
                reread.wanted.table = redactor.hide(&reread.wanted.table).into_owned();
            }
        }
        progress
    }

    /// Returns what the task waits for, with secrets hidden.
    pub(super) fn waits(&self) -> WaitsFor {
        let mut waits = self.watch.waits();
        if let (Some(detail), Some(redactor)) = (&mut waits.detail, self.redactor.get()) {
            *detail = in_one_line(&redactor.hide(detail));
        }
        waits
    }

    /// Returns the milliseconds in which each of its threads was busy.
    pub(super) fn busy(&self) -> [u64; 2] {
        self.watch.busy()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.join.is_finished()
    }

    /// Asks the task to stop, waits for its end, and cuts it off after `within`. Returns true if it
    /// ended on its own.
    pub(super) async fn end(mut self, within: Duration) -> bool {
        self.want(TaskTarget::Stop);
        let ended = tokio::time::timeout(within, &mut self.join).await.is_ok();
        // Set before the abort: a thread that hangs must find it set when it wakes up.
        self.cut.store(true, Ordering::Relaxed);
        if !ended {
            self.join.abort();
            let _aborted = (&mut self.join).await;
            // What still hangs after the abort is counted, so that restarts cannot pile up threads.
            self.shared.stalled.leave(&self.id, &self.watch);
        }
        self.shared.stalled.forget(&self.id);
        ended
    }
}

/// Runs the task and reports how it ended. A panic and a stall are reported as errors too.
async fn supervise(running: TaskContext, events: mpsc::Sender<TaskEvent>) {
    let (id, cut, watch) = (
        running.id().clone(),
        Arc::clone(&running.cut),
        Arc::clone(&running.watch),
    );
    let (shared, progress) = (Arc::clone(&running.shared), Arc::clone(&running.progress));
    let (redactor, metrics) = (Arc::clone(&running.redactor), Arc::clone(&running.metrics));
    let limit = limit_of(&shared.options.config, &running.start.connector_config);
    watch.heartbeat.set_limit(limit);
    let mut inner = AbortOnDropHandle::new(tokio::spawn(work(running)));
    let outcome = tokio::select! {
        // Biased: a task that has ended is not also reported as stalled.
        biased;
        outcome = &mut inner => {
            match &outcome {
                Ok(Err(error)) => shared.stalled.failed(&id, &watch, error),
                Ok(Ok(())) | Err(_) => shared.stalled.forget(&id),
            }
            outcome
        }
        error = wait_for_stall(&id, &watch, limit, &progress, &shared.stalled) => {
            cut.store(true, Ordering::Relaxed);
            shared.stalled.leave(&id, &watch);
            Ok(Err(error))
        }
        never = publish_waits(&watch, &metrics) => match never {},
    };
    drop(inner);
    // Set before the event is sent: from then on a successor may start, and nothing of this task
    // may become durable.
    cut.store(true, Ordering::Relaxed);
    metrics.update(|task, now| task.enter(Activity::Down, now));
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
    if let TaskEvent::Failed(_, error) = &event {
        metrics.error(error.kind());
        if !watch.is_open() {
            shared.metrics.task_started(false);
        }
    }
    let _receiver_gone = events.send(event).await;
}

async fn work(mut running: TaskContext) -> Result<()> {
    let _alive = running.watch.enter();
    running.watch.front.enter(WaitReason::Opening);
    running.shared.stalled.check_left_behind(running.id())?;
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

/// Checks that the connector has the version its config asks for; the config may have been stored
/// by another version of this program. Errors: `Config`.
pub fn right_version(plugin: &dyn Plugin, config: &Config) -> Result<()> {
    version::ensure(
        plugin,
        keys::CONNECTOR_VERSION,
        config.get(keys::CONNECTOR_VERSION),
    )
}

impl TaskContext {
    /// Resolves the references in the task's configs. The resolved values stay within the task.
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
            &self.shared.options.config,
            &self.start.connector,
            &self.start.connector_config,
        );
        let _first = self.unused.set(texts);
        Ok(())
    }

    /// Returns the redactor that hides this config's secrets in texts.
    pub(super) fn redactor(&self) -> Redactor {
        self.redactor.get().cloned().unwrap_or_default()
    }

    pub(super) fn id(&self) -> &TaskId {
        &self.start.id
    }

    pub(super) fn wanted(&self) -> TaskTarget {
        *self.wanted.borrow()
    }

    /// Returns a function that reports whether the task is to stop, for use on another thread.
    pub(super) fn is_to_stop(&self) -> impl Fn() -> bool + Send + use<> {
        let wanted = self.wanted.clone();
        move || *wanted.borrow() == TaskTarget::Stop
    }

    /// Waits until the target changes. Cancel safe.
    pub(super) async fn changed(&mut self) {
        if self.wanted.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Sleeps, but returns early if the target changes.
    pub(super) async fn sleep(&mut self, time: Duration) {
        let _noted = self.watch.front.note(WaitReason::Retry);
        tokio::select! {
            () = self.changed() => {}
            () = tokio::time::sleep(time) => {}
        }
    }

    /// Waits for Kafka's first answer to this worker: librdkafka's clients retry silently, so a
    /// task would hang without a visible reason. Returns false if the task is to stop. Errors:
    /// `Retry`.
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

    /// Returns the outcome of `work`, or `None` if the task is asked to stop first.
    pub(super) async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
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

    /// Waits while the task is paused. Returns false if it is to stop.
    pub(super) async fn may_work(&mut self) -> bool {
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
    pub(super) async fn report_paused(&mut self, paused: bool) {
        if self.reported_paused != Some(paused) {
            self.reported_paused = Some(paused);
            if !self.watch.opened() {
                self.shared.metrics.task_started(true);
            }
            let activity = match paused {
                true => Activity::Paused,
                false => Activity::Running,
            };
            self.metrics.update(|task, now| task.enter(activity, now));
            let id = self.id().clone();
            self.send_event(if paused {
                TaskEvent::Paused(id)
            } else {
                TaskEvent::Running(id)
            })
            .await;
        }
    }

    /// True if the task's last report was that it runs.
    pub(super) fn has_run(&self) -> bool {
        self.reported_paused == Some(false)
    }

    pub(super) async fn send_event(&self, event: TaskEvent) {
        let _receiver_gone = self.events.send(event).await;
    }

    /// Returns the sender of events, for use on another thread.
    pub(super) fn events(&self) -> mpsc::Sender<TaskEvent> {
        self.events.clone()
    }

    /// Records progress. Keeps the warnings about a retry and about a stall.
    pub(super) fn note(&self, mut progress: ProgressReport) {
        let mut now = self.progress.take_lock();
        let stays = |warning: &String| {
            warning.starts_with(RETRY_PREFIX) || warning.starts_with(STALL_PREFIX)
        };
        progress
            .warnings
            .extend(now.warnings.drain(..).filter(stays));
        *now = progress;
    }

    /// Shows a retry warning until it is [cleared](TaskContext::clear_retry_warning).
    pub(super) fn warn(&self, error: &Error) {
        let id = self.id();
        tracing::warn!(connector = %id.connector, task = id.task, %error, "trying again");
        self.metrics.error(error.kind());
        self.metrics.record_error(|errors| errors.retries += 1);
        let mut progress = self.progress.take_lock();
        progress
            .warnings
            .retain(|warning| !warning.starts_with(RETRY_PREFIX));
        progress.warnings.push(format!("{RETRY_PREFIX}{error}"));
    }

    pub(super) fn clear_retry_warning(&self) {
        let mut progress = self.progress.take_lock();
        progress
            .warnings
            .retain(|warning| !warning.starts_with(RETRY_PREFIX));
    }
}

const RETRY_PREFIX: &str = "waiting: ";

/// Returns the text of an error in one line: what its lines say follows after a space.
fn in_one_line(text: &str) -> String {
    on_one_line(&text.replace('\n', " ")).into_owned()
}
