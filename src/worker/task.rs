//! One running task: what is asked of it, how it tells of itself, and its supervision.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connector_api::{Config, Error, Plugin, Progress, Result};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::{Shared, StartTask, TaskEvent, TaskId, sink, source};
use crate::keys;
use crate::observe::panics;
use crate::registry::{Connector, version};

/// A broker that has not answered a starting task within this time is taken for unreachable.
const REACH_LIMIT: Duration = Duration::from_secs(5);

/// What a task is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Work.
    Run,
    /// Stay open, do nothing.
    Pause,
    /// End.
    Stop,
}

/// The worker's end of a task.
pub struct Handle {
    wanted: watch::Sender<Wanted>,
    progress: Arc<Mutex<Progress>>,
    cut: Arc<AtomicBool>,
    join: JoinHandle<()>,
}

/// The task's own end.
pub struct Running {
    /// What was asked for.
    pub start: StartTask,
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// Nothing more may become durable.
    pub cut: Arc<AtomicBool>,
    wanted: watch::Receiver<Wanted>,
    progress: Arc<Mutex<Progress>>,
    events: mpsc::Sender<TaskEvent>,
    told: Option<bool>,
}

impl Handle {
    /// Starts the task on the current runtime.
    pub fn start(start: StartTask, shared: Arc<Shared>, events: mpsc::Sender<TaskEvent>) -> Self {
        let (wanted, receiver) = watch::channel(if start.paused { Wanted::Pause } else { Wanted::Run });
        let (progress, cut) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let running = Running {
            start,
            shared,
            cut: Arc::clone(&cut),
            wanted: receiver,
            progress: Arc::clone(&progress),
            events: events.clone(),
            told: None,
        };
        let join = tokio::spawn(supervise(running, events));
        Self { wanted, progress, cut, join }
    }

    /// Asks for something else; a task that stops stays so.
    pub fn want(&self, wanted: Wanted) {
        self.wanted.send_if_modified(|now| {
            let change = *now != Wanted::Stop && *now != wanted;
            if change {
                *now = wanted;
            }
            change
        });
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.join.is_finished()
    }

    /// Waits for its end, and cuts it off after `within`. Returns whether it ended by itself.
    pub async fn end(mut self, within: Duration) -> bool {
        self.want(Wanted::Stop);
        let ended = tokio::time::timeout(within, &mut self.join).await.is_ok();
        self.cut.store(true, Ordering::Relaxed);
        if !ended {
            self.join.abort();
            let _aborted = (&mut self.join).await;
        }
        ended
    }
}

/// Runs the task and tells how it ended; a panic is an error like others.
async fn supervise(running: Running, events: mpsc::Sender<TaskEvent>) {
    let id = running.start.id.clone();
    let cut = Arc::clone(&running.cut);
    let inner = AbortOnDrop(tokio::spawn(async move {
        let mut running = running;
        running.resolve().await?;
        right_version(running.start.connector.plugin(), &running.start.connector_config)?;
        if !running.reach_kafka().await? {
            return Ok(());
        }
        match running.start.connector.clone() {
            Connector::Source(source) => source::run(running, source).await,
            Connector::Sink(sink) => sink::run(&mut running, &*sink).await,
        }
    }));
    let outcome = inner.await;
    cut.store(true, Ordering::Relaxed);
    let event = match outcome {
        Ok(Ok(())) => TaskEvent::Stopped(id),
        Ok(Err(error)) => {
            tracing::error!(connector = %id.connector, task = id.task, %error, kind = ?error.kind(), "task failed");
            TaskEvent::Failed(id, error)
        }
        Err(error) => TaskEvent::Failed(id, panicked(error)),
    };
    let _receiver_gone = events.send(event).await;
}

/// Whether a connector has the version that its config asks for: a stored config may be of another program's time.
/// Errors: `Config`.
pub fn right_version(plugin: &dyn Plugin, config: &Config) -> Result<()> {
    version::ensure(plugin, keys::CONNECTOR_VERSION, config.get(keys::CONNECTOR_VERSION))
}

/// A task whose handle is dropped must not live on.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx)
    }
}

fn panicked(error: tokio::task::JoinError) -> Error {
    match error.try_into_panic() {
        Ok(panic) => panic_error(&*panic),
        Err(_) => Error::retry("the task was cut off"),
    }
}

fn panic_error(panic: &(dyn std::any::Any + Send)) -> Error {
    Error::fatal(format!("a bug: the task panicked: {}; the log names the place in the code", panics::text(panic)))
}

/// A thread of a task. Its panic comes back as an error.
pub struct Worker<T>(tokio::sync::oneshot::Receiver<Result<T>>);

impl<T: Send + 'static> Worker<T> {
    /// Starts it.
    pub fn spawn(name: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<Self> {
        let (done, result) = tokio::sync::oneshot::channel();
        let body = move || {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let _nobody_waits = done.send(outcome.unwrap_or_else(|panic| Err(panic_error(&*panic))));
        };
        let thread = std::thread::Builder::new().name(name.chars().take(15).collect()).spawn(body);
        thread.map_err(|e| Error::retry(format!("no thread for {name}")).caused_by(e))?;
        Ok(Self(result))
    }

    /// Waits for its end.
    pub async fn join(self) -> Result<T> {
        self.0.await.unwrap_or_else(|_| Err(Error::fatal("a thread of the task vanished")))
    }
}

/// Runs blocking work off the runtime's threads.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(panicked(error)))
}

impl Running {
    /// Puts what they stand for in the place of the references in its configs, which nobody else sees.
    async fn resolve(&mut self) -> Result<()> {
        self.start.connector_config = self.shared.resolved(&self.start.connector_config).await?;
        self.start.task_config = self.shared.resolved(&self.start.task_config).await?;
        Ok(())
    }

    /// Its id.
    pub fn id(&self) -> &TaskId {
        &self.start.id
    }

    /// What is asked of it now.
    pub fn wanted(&self) -> Wanted {
        *self.wanted.borrow()
    }

    /// Whether it is to stop, for a thread of its own.
    pub fn is_to_stop(&self) -> impl Fn() -> bool + Send + use<> {
        let wanted = self.wanted.clone();
        move || *wanted.borrow() == Wanted::Stop
    }

    /// Waits until something else is asked. Cancel safe.
    pub async fn changed(&mut self) {
        if self.wanted.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits, unless something else is asked before.
    pub async fn sleep(&mut self, time: Duration) {
        tokio::select! {
            () = self.changed() => {}
            () = tokio::time::sleep(time) => {}
        }
    }

    /// Waits for Kafka's first answer to this worker: clients of librdkafka try on in silence, and nobody would see why
    /// nothing happens. `false`: the task is to stop. Errors: `Retry`.
    async fn reach_kafka(&mut self) -> Result<bool> {
        let shared = Arc::clone(&self.shared);
        let reached = self.unless_stopped(tokio::time::timeout(REACH_LIMIT, shared.reach_kafka())).await;
        match reached {
            None => Ok(false),
            Some(answer) => answer.unwrap_or_else(|_| Err(shared.out_of_reach())).map(|_| true),
        }
    }

    /// The outcome of `work`, or nothing when the task is to stop before.
    pub async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                () = self.changed() => {
                    if self.wanted() == Wanted::Stop {
                        return None;
                    }
                }
            }
        }
    }

    /// Waits while it is paused, telling so. `false`: it is to stop.
    pub async fn may_work(&mut self) -> bool {
        loop {
            match self.wanted() {
                Wanted::Run => return true,
                Wanted::Stop => return false,
                Wanted::Pause => {
                    self.tell_paused(true).await;
                    self.changed().await;
                }
            }
        }
    }

    /// Tells that it runs or is paused, where that is news.
    pub async fn tell_paused(&mut self, paused: bool) {
        if self.told != Some(paused) {
            self.told = Some(paused);
            let id = self.id().clone();
            self.tell(if paused { TaskEvent::Paused(id) } else { TaskEvent::Running(id) }).await;
        }
    }

    /// Whether it has been running.
    pub fn has_run(&self) -> bool {
        self.told == Some(false)
    }

    /// Tells something.
    pub async fn tell(&self, event: TaskEvent) {
        let _receiver_gone = self.events.send(event).await;
    }

    /// A way to tell from a thread.
    pub fn events(&self) -> mpsc::Sender<TaskEvent> {
        self.events.clone()
    }

    /// Notes how far it has come. What it is waiting for stays.
    pub fn note(&self, mut progress: Progress) {
        let mut now = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.warnings.extend(now.warnings.drain(..).filter(|warning| warning.starts_with(WAITING)));
        *now = progress;
    }

    /// Shows what it is waiting for, until it has [recovered](Running::recovered).
    pub fn warn(&self, error: &Error) {
        let id = self.id();
        tracing::warn!(connector = %id.connector, task = id.task, %error, "trying again");
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.warnings.retain(|warning| !warning.starts_with(WAITING));
        progress.warnings.push(format!("{WAITING}{error}"));
    }

    /// Trouble is over.
    pub fn recovered(&self) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.warnings.retain(|warning| !warning.starts_with(WAITING));
    }
}

const WAITING: &str = "waiting: ";
