//! How much is validated at once: few computations, on threads of their own, and a limited number of configs in all.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Configs that are being validated at once, most of them waiting for a database; more are turned away.
const CONFIGS: usize = 64;
/// Computations at once: the machine has other work.
const COMPUTATIONS: usize = 2;
/// A computation that has not begun within this time is given up.
const WAIT_LIMIT: Duration = Duration::from_secs(15);

/// Places and turns. Cheap to clone; all clones share them.
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
    /// A place for one config; `None` when all are taken.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.configs).try_acquire_owned().ok()
    }

    /// Computes on a thread where it may take its time; `None` when too much is being computed. A computation whose
    /// caller is gone keeps its turn until it ends. Panics as `work` does.
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
                // The runtime ends.
                Err(_) => None,
            },
        }
    }
}
