//! Limits concurrent validation: few computations, on threads of their own, and a limited number of
//! configs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum number of configs being validated at once, most of which wait for a database. Further
/// ones are refused.
const CONFIGS: usize = 64;
/// Maximum number of computations at once, so that the machine can do other work.
const COMPUTATIONS: usize = 2;
/// A computation that has not started within this time is given up.
const WAIT_LIMIT: Duration = Duration::from_secs(15);

/// The slots for configs and computations; all clones share them.
#[derive(Clone)]
pub(super) struct ValidationSlots {
    configs: Arc<Semaphore>,
    computations: Arc<Semaphore>,
}

impl Default for ValidationSlots {
    fn default() -> Self {
        Self {
            configs: Arc::new(Semaphore::new(CONFIGS)),
            computations: Arc::new(Semaphore::new(COMPUTATIONS)),
        }
    }
}

impl ValidationSlots {
    /// Takes a slot for one config; `None` if all are taken.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.configs).try_acquire_owned().ok()
    }

    /// Runs a computation on a blocking thread. Returns `None` if no computation slot becomes free
    /// in time. A computation whose caller hangs up keeps its slot until it ends. Panics if `work`
    /// does.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let turn =
            tokio::time::timeout(WAIT_LIMIT, Arc::clone(&self.computations).acquire_owned()).await;
        let turn = turn.ok()?.ok()?;
        let computed = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        match computed.await {
            Ok(done) => Some(done),
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => None,
            },
        }
    }
}
