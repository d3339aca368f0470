//! Whether the runtime that runs the herder, the tasks and most requests gets on. Connections, `/health` and `/livez` have a
//! runtime of their own, so that they answer and say so when it does not.

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

/// How often it is given something to do.
const EVERY: Duration = Duration::from_secs(1);

/// The runtime of everything but connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MainRuntime {
    handle: Handle,
    /// Since when it has not begun what it was given.
    waits: Arc<Mutex<Option<Instant>>>,
}

impl MainRuntime {
    /// The runtime that this is called on. Nobody watches it before [`MainRuntime::watch`] runs.
    pub fn current() -> Self {
        Self {
            handle: Handle::current(),
            waits: Arc::default(),
        }
    }

    /// Watches it from another runtime, for ever.
    pub async fn watch(self) {
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

    /// For how long it has not begun what it was given, if that is longer than a limit.
    pub(super) fn stands_still(&self, limit: Duration) -> Option<Duration> {
        let since = *self.waits.take_lock();
        since
            .map(|since| since.elapsed())
            .filter(|waits| *waits > limit)
    }

    /// Waits until it has not begun what it was given for longer than a limit; for how long.
    pub(super) async fn late(&self, limit: Duration) -> Duration {
        loop {
            if let Some(waits) = self.stands_still(limit) {
                return waits;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Has it answer a request; that ends when nobody waits for the answer any more.
    pub(super) async fn answer(&self, router: Router, request: Request<Body>) -> Response {
        let mut answering = JoinSet::new();
        let work = async move {
            // A test holds up the thread here, as a handler with a fault could.
            match fail_point::reach("rest.request") {
                Ok(()) => router.oneshot(request).await,
                Err(_) => Ok(ApiError::internal().into_response()),
            }
        };
        answering.spawn_on(work, &self.handle);
        match answering.join_next().await {
            Some(Ok(Ok(answer))) => answer,
            // The runtime has ended, or a fault outside of what catches them.
            _ => ApiError::internal().into_response(),
        }
    }
}
