//! Heartbeats of a task that is in a long call.
//!
//! The runtime treats a task whose call does not return within `task.progress.timeout.ms` as
//! stalled and restarts it. A connector whose call may legitimately take longer, such as a
//! statement that the server executes for an hour, calls [`Heartbeat::beat`] each time it has
//! verified that the call is still making progress. No handle needs to be passed around:
//! [`Heartbeat::current`] is the heartbeat of the task whose code is running.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::locks::TakeLock;

thread_local! {
    static CURRENT: RefCell<Option<Heartbeat>> = const { RefCell::new(None) };
}

/// The heartbeat of one task. Cheap to clone: clones share one counter.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat(Arc<HeartbeatState>);

#[derive(Debug, Default)]
struct HeartbeatState {
    beats: AtomicU64,
    description: Mutex<Option<String>>,
    /// In milliseconds; zero is without a limit.
    limit: AtomicU64,
}

impl Heartbeat {
    /// Returns the heartbeat of the task whose code is running, or one that nobody observes outside
    /// of a task. Spawned work does not inherit it; pass it on: `let heartbeat =
    /// Heartbeat::current(); spawn(heartbeat.within(work))`.
    pub fn current() -> Self {
        CURRENT
            .with(|current| current.borrow().clone())
            .unwrap_or_default()
    }

    /// Wraps `future` so that this heartbeat is the [current](Heartbeat::current) one while it
    /// runs.
    pub fn within<F: Future>(&self, future: F) -> HeartbeatScope<F> {
        HeartbeatScope {
            pulse: self.clone(),
            future: Box::pin(future),
        }
    }

    /// Records that the call has been verified to be still in progress.
    pub fn beat(&self) {
        self.0.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Beats, and sets a description of the current activity for people, such as "the server still
    /// executes the statement". `None` clears it.
    pub fn describe(&self, what: Option<String>) {
        self.beat();
        *self.lock_description() = what;
    }

    /// Sets a description like [`Heartbeat::describe`], but does not beat: the call waits for
    /// somebody else.
    pub fn explain(&self, what: String) {
        *self.lock_description() = Some(what);
    }

    /// Sets how long the observer waits for a beat before it considers the task stalled; zero is
    /// for ever.
    pub fn set_limit(&self, limit: Duration) {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.0.limit.store(millis, Ordering::Relaxed);
    }

    /// Returns the limit that [`Heartbeat::set_limit`] set. A long call beats more often than that.
    pub fn limit(&self) -> Option<Duration> {
        let millis = self.0.limit.load(Ordering::Relaxed);
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    /// Returns the number of beats so far.
    pub fn beats(&self) -> u64 {
        self.0.beats.load(Ordering::Relaxed)
    }

    /// Returns the description that [`Heartbeat::describe`] set last.
    pub fn description(&self) -> Option<String> {
        self.lock_description().clone()
    }

    fn lock_description(&self) -> MutexGuard<'_, Option<String>> {
        self.0.description.take_lock()
    }
}

/// The future that [`Heartbeat::within`] returns.
pub struct HeartbeatScope<F> {
    pulse: Heartbeat,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for HeartbeatScope<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _current = CurrentGuard::set(self.pulse.clone());
        self.future.as_mut().poll(context)
    }
}

/// Restores the previous heartbeat when dropped, also during a panic.
struct CurrentGuard(Option<Heartbeat>);

impl CurrentGuard {
    fn set(pulse: Heartbeat) -> Self {
        Self(CURRENT.with(|current| current.replace(Some(pulse))))
    }
}

impl Drop for CurrentGuard {
    fn drop(&mut self) {
        CURRENT.with(|current| current.replace(self.0.take()));
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::Heartbeat;

    #[test]
    fn a_call_lets_the_pulse_of_its_own_task_beat() {
        let (task, other) = (Heartbeat::default(), Heartbeat::default());
        let call = async {
            Heartbeat::current().beat();
            other
                .within(async { Heartbeat::current().describe(Some("at work".to_owned())) })
                .await;
            Heartbeat::current().beat();
        };
        let mut call = pin!(task.within(call));
        assert_eq!(
            call.as_mut().poll(&mut Context::from_waker(Waker::noop())),
            Poll::Ready(())
        );
        Heartbeat::current().beat();
        assert_eq!(
            (task.beats(), other.beats(), other.description().as_deref()),
            (2, 1, Some("at work"))
        );
    }
}
