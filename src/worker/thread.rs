//! Threads of tasks: each is counted, records what it waits for, and returns a panic as an error.

use std::sync::Arc;

use connector_api::{Error, Result};
use tokio_util::sync::CancellationToken;

use super::TaskId;
use super::task::TaskContext;
use super::watch::TaskWatch;
use crate::observe::panics;
use crate::waiting::{WaitPlace, WaitReason, work_for};

/// Runs a task on a thread of its own, so that a connector call that never returns blocks nothing
/// else. If this future is dropped, the task ends at its next await point.
pub(super) async fn on_a_thread(
    kind: &str,
    mut running: TaskContext,
    work: impl AsyncFnOnce(&mut TaskContext) -> Result<()> + Send + 'static,
) -> Result<()> {
    let (runtime, cut_off) = (running.shared.runtime.clone(), CancellationToken::new());
    let _when_dropped = cut_off.clone().drop_guard();
    let name = format!("{kind}-{}", running.id().connector);
    let watch = Arc::clone(&running.watch);
    let span = task_span(running.id());
    let thread = TaskThread::spawn(&watch, &watch.front, &name, move || {
        let _entered = span.entered();
        let heartbeat = running.watch.heartbeat.clone();
        let work = cut_off.run_until_cancelled(heartbeat.within(work(&mut running)));
        runtime
            .block_on(work)
            .unwrap_or_else(|| Err(Error::retry("the task was cut off")))
    });
    thread?.join().await
}

/// Returns the span that the threads of a task run in, so that their log lines name it. It has the
/// level of errors, because a span that the filter drops would name nothing.
pub(super) fn task_span(id: &TaskId) -> tracing::Span {
    tracing::error_span!("task", connector = %id.connector, task = id.task)
}

pub(super) fn panicked(error: tokio::task::JoinError) -> Error {
    match error.try_into_panic() {
        Ok(panic) => panic_error(&*panic),
        Err(_) => Error::retry("the task was cut off"),
    }
}

fn panic_error(panic: &(dyn std::any::Any + Send)) -> Error {
    Error::fatal(format!(
        "a bug: the task panicked: {}; the log names the place in the code",
        panics::text(panic)
    ))
}

/// A thread of a task. A panic is returned as an error.
pub(super) struct TaskThread<T>(tokio::sync::oneshot::Receiver<Result<T>>);

impl<T: Send + 'static> TaskThread<T> {
    /// Starts the thread, which records at `place` what it waits for. Errors: `Retry` if no thread
    /// can be started.
    pub(super) fn spawn(
        watch: &Arc<TaskWatch>,
        place: &Arc<WaitPlace>,
        name: &str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<Self> {
        let (done, result) = tokio::sync::oneshot::channel();
        let (alive, place) = (watch.enter(), Arc::clone(place));
        let body = move || {
            let (_alive, _at_work) = (alive, work_for(&place));
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let _nobody_waits =
                done.send(outcome.unwrap_or_else(|panic| Err(panic_error(&*panic))));
        };
        let thread = std::thread::Builder::new()
            .name(name.chars().take(15).collect())
            .spawn(body);
        thread.map_err(|e| Error::retry(format!("no thread for {name}")).caused_by(e))?;
        Ok(Self(result))
    }

    /// Waits for the thread's result.
    pub(super) async fn join(self) -> Result<T> {
        self.0
            .await
            .unwrap_or_else(|_| Err(Error::fatal("a thread of the task disappeared")))
    }
}

/// Runs blocking work on tokio's blocking threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
        .await
        .unwrap_or_else(|error| Err(panicked(error)))
}

/// Like [`blocking`], and records meanwhile that the task waits for `what`.
pub(super) async fn blocking_of<T: Send + 'static>(
    watch: &Arc<TaskWatch>,
    what: WaitReason,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let _noted = watch.front.note(what);
    let (alive, place) = (watch.enter(), Arc::clone(&watch.front));
    blocking(move || {
        let (_alive, _at_work) = (alive, work_for(&place));
        work()
    })
    .await
}
