//! Requests from threads that are not async: one small runtime for all of them.

use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use connector_api::locks::TakeLock;
use connector_api::{Error, Result};
use tokio::runtime::{Builder, Handle, Runtime};

/// Maximum number of threads that resolve names at the same time; the system's resolver may take
/// long over each.
const RESOLVERS: usize = 8;

/// Started with the first request, and there until the process ends.
static SHARED: Mutex<Option<Runtime>> = Mutex::new(None);

/// Runs `work` on the shared runtime and blocks this thread until it is done, for `limit` at most.
///
/// The caller may be on a thread of another runtime, where `block_on` would panic; `work` never
/// waits for the caller's runtime, so the two cannot wait for each other. `work` must not block.
/// Errors: `Retry` if the runtime cannot be started or the limit is reached.
pub(crate) fn wait_for<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T> {
    let (done, outcome) = mpsc::sync_channel(1);
    let task = shared()?.spawn(async move {
        // Nobody receives it if the caller has reached its limit.
        let _late = done.send(work.await);
    });
    outcome.recv_timeout(limit).map_err(|why| match why {
        RecvTimeoutError::Timeout => {
            task.abort();
            Error::retry(format!("no outcome within {} s", limit.as_secs()))
        }
        RecvTimeoutError::Disconnected => Error::fatal("an HTTP request has ended without outcome"),
    })
}

fn shared() -> Result<Handle> {
    let mut shared = SHARED.take_lock();
    if let Some(runtime) = shared.as_ref() {
        return Ok(runtime.handle().clone());
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(RESOLVERS)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(|error| Error::retry("no thread can be started").caused_by(error))?;
    let handle = runtime.handle().clone();
    *shared = Some(runtime);
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use connector_api::ErrorKind;

    use super::wait_for;

    #[tokio::test]
    async fn a_thread_of_another_runtime_may_wait() {
        let sum = wait_for(Duration::from_secs(60), async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            1 + 1
        });
        assert_eq!(sum.unwrap(), 2);
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let error = wait_for(Duration::from_millis(10), std::future::pending::<()>()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retry);
    }
}
