//! What a worker asks the others over HTTP: to read the store now, and whether they still reach it.
//! Nothing depends on an answer for correctness.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use tokio::time::Instant;
use tracing::warn;

use super::{FinishedJob, HerderLoop};
use crate::http::{HttpClient, HttpRequest, HttpSettings, Method, StatusCode};

/// How long another worker may take to answer.
const LIMIT: Duration = Duration::from_secs(1);
/// Maximum size of an answer, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// Maximum number of workers that are asked.
const PEERS_MAX: usize = 100;

/// The other workers of the group, by the URLs of their REST APIs.
#[derive(Default)]
pub(super) struct Peers(BTreeMap<String, Arc<HttpClient>>);

impl Peers {
    /// Replaces the workers by those with these URLs.
    pub(super) fn set(&mut self, urls: impl Iterator<Item = String>) {
        let mut old = std::mem::take(&mut self.0);
        for url in urls.take(PEERS_MAX) {
            let client = old.remove(&url).or_else(|| open(&url));
            if let Some(client) = client {
                self.0.insert(url, client);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes the others read the store: a worker reads it before it answers anything.
    pub(super) fn nudge(&self) -> impl Future<Output = ()> + use<> {
        let asked = self.ask("/readyz");
        async move { drop(asked.await) }
    }

    /// Returns true if another worker reaches the store and Kafka.
    pub(super) fn any_is_healthy(&self) -> impl Future<Output = bool> + use<> {
        let asked = self.ask("/health");
        async move { asked.await.into_iter().any(|healthy| healthy) }
    }

    /// Asks all others. Returns whether each has answered with 200.
    fn ask(&self, path: &'static str) -> impl Future<Output = Vec<bool>> + use<> {
        let clients: Vec<Arc<HttpClient>> = self.0.values().cloned().collect();
        async move {
            join_all(clients.iter().map(|client| async move {
                let request = HttpRequest {
                    method: &Method::GET,
                    path,
                    accept: "application/json",
                    body: None,
                };
                let answer = client.send(request).await;
                answer.is_ok_and(|(status, _)| status == StatusCode::OK)
            }))
            .await
        }
    }
}

impl HerderLoop {
    /// Makes the other workers read the store at once instead of at their next look. One that cannot
    /// be reached from here reads it a little later.
    pub(super) fn nudge(&mut self) {
        let Some(work) = &mut self.group else { return };
        if work.nudging.is_some() {
            work.nudging = Some(true);
        } else if !work.peers.is_empty() {
            work.nudging = Some(false);
            let nudge = work.peers.nudge();
            self.jobs.spawn(async move {
                nudge.await;
                FinishedJob::Nudged
            });
        }
    }

    pub(super) fn nudged(&mut self) {
        let again = self.group.as_mut().and_then(|work| work.nudging.take());
        if again == Some(true) {
            self.nudge();
        }
    }

    /// Asks the other workers whether they reach the store, if this one does not for too long.
    pub(super) fn ask_others(&mut self) {
        let Some(work) = &mut self.group else { return };
        let since = *work.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() < work.patience || work.is_asking || work.is_away {
            return;
        }
        work.is_asking = true;
        let healthy = work.peers.any_is_healthy();
        self.jobs
            .spawn(async move { FinishedJob::OthersAsked(healthy.await) });
    }

    /// Leaves the group if another worker reaches the store and this one does not.
    pub(super) fn others_asked(&mut self, is_healthy: bool) {
        let (Some(work), Some(parts)) = (&mut self.group, &self.parts.group) else {
            return;
        };
        work.is_asking = false;
        if !is_healthy || work.failing_since.is_none() || work.is_away {
            return;
        }
        warn!(
            "this worker does not reach the metadata store and another worker does: it leaves the \
             group, so that others run its tasks, until it reaches the store again"
        );
        work.is_away = true;
        parts.group.stay_away(true);
    }
}

fn open(url: &str) -> Option<Arc<HttpClient>> {
    let client = HttpClient::open(&HttpSettings {
        address: url,
        authorization: None,
        authorities: None,
        connect_limit: LIMIT,
        limit: LIMIT,
        max_answer: MAX_ANSWER,
    });
    client.ok().map(Arc::new)
}
