//! Signs of life of a task whose call takes long.
//!
//! The runtime takes a call that does not come back for a task that stands still (`task.progress.timeout.ms`), and lets
//! the task begin anew. A connector whose call may rightly take longer, a statement that a server works on for an hour,
//! lets the pulse beat as often as it has made sure that this is so. There is nothing to hand over: [`Pulse::current`]
//! is the one of the task whose code runs.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

thread_local! {
    static CURRENT: RefCell<Option<Heartbeat>> = const { RefCell::new(None) };
}

/// The pulse of one task. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat(Arc<HeartbeatState>);

#[derive(Debug, Default)]
struct HeartbeatState {
    beats: AtomicU64,
    told: Mutex<Option<String>>,
}

impl Heartbeat {
    /// The pulse of the task whose code runs; elsewhere one that nobody feels. Take it along into what you spawn:
    /// `let pulse = Pulse::current(); spawn(pulse.within(work))`.
    pub fn current() -> Self {
        CURRENT
            .with(|current| current.borrow().clone())
            .unwrap_or_default()
    }

    /// Makes it the [current](Heartbeat::current) one wherever that future runs.
    pub fn within<F: Future>(&self, future: F) -> HeartbeatScope<F> {
        HeartbeatScope {
            pulse: self.clone(),
            future: Box::pin(future),
        }
    }

    /// It has been made sure that the call is still under way.
    pub fn beat(&self) {
        self.0.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// A beat with what is going on, for people: "the server still executes the statement". `None`: that is over.
    pub fn tell(&self, what: Option<String>) {
        self.beat();
        *self.told() = what;
    }

    /// How often it has beaten.
    pub fn beats(&self) -> u64 {
        self.0.beats.load(Ordering::Relaxed)
    }

    /// What was told last.
    pub fn last_told(&self) -> Option<String> {
        self.told().clone()
    }

    fn told(&self) -> MutexGuard<'_, Option<String>> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Pulse::within`].
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

/// Puts back what was current before, also after a panic.
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
                .within(async { Heartbeat::current().tell(Some("at work".to_owned())) })
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
            (task.beats(), other.beats(), other.last_told().as_deref()),
            (2, 1, Some("at work"))
        );
    }
}
