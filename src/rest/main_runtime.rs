//! Monitors the runtime of the herder, the tasks and most requests. Connections and
//! the probes have a separate runtime, so that they can report when it is blocked.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use connector_api::fail_point;
use connector_api::locks::TakeLock;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::error::ApiError;

/// How often the main runtime gets a test job.
const EVERY: Duration = Duration::from_secs(1);

/// The main runtime, which runs everything but connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct MainRuntime {
    handle: Handle,
    /// Since when the runtime has not started the test job.
    waits: Arc<Mutex<Option<Instant>>>,
}

impl MainRuntime {
    /// Returns the current runtime. It is not monitored until [`MainRuntime::watch`] runs.
    pub(crate) fn current() -> Self {
        Self {
            handle: Handle::current(),
            waits: Arc::default(),
        }
    }

    /// Monitors the runtime from another one, without end.
    pub(crate) async fn watch(self) {
        loop {
            self.note(Some(Instant::now()));
            if self.handle.spawn(async {}).await.is_ok() {
                self.note(None);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    fn note(&self, since: Option<Instant>) {
        *self.waits.take_lock() = since;
    }

    /// Returns how long the runtime has not started the test job, if that is longer than a limit.
    pub(super) fn stalled_for(&self, limit: Duration) -> Option<Duration> {
        let since = *self.waits.take_lock();
        since
            .map(|since| since.elapsed())
            .filter(|waits| *waits > limit)
    }

    /// Waits until the runtime has not started the test job for longer than a limit; returns for
    /// how long.
    pub(super) async fn late(&self, limit: Duration) -> Duration {
        loop {
            if let Some(waits) = self.stalled_for(limit) {
                return waits;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Processes a request on the main runtime; stops when the answer is not needed any more.
    pub(super) async fn answer(&self, router: Router, request: Request<Body>) -> Response {
        let mut answering = JoinSet::new();
        let work = async move {
            // A test blocks the thread here, as a faulty handler could.
            match fail_point::reach("rest.request") {
                Ok(()) => router.oneshot(request).await,
                Err(_) => Ok(ApiError::internal().into_response()),
            }
        };
        answering.spawn_on(work, &self.handle);
        match answering.join_next().await {
            Some(Ok(Ok(answer))) => answer,
            // The runtime has ended, or a panic occurred outside of the code that catches panics.
            _ => ApiError::internal().into_response(),
        }
    }
}
