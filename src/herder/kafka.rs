//! The loop's view of Kafka: the cluster's id once it has been reached, and whether it still
//! answers.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::WorkerHealth;
use crate::worker::Worker;

/// How long after its start a worker lets `GET /` wait for the cluster id.
const CLUSTER_ID_LIMIT: Duration = Duration::from_secs(2);
/// How often Kafka is retried until it is first reached.
const RETRY: Duration = Duration::from_secs(3);

/// The cluster's id, or why it is not known, if that is.
pub(super) type ClusterIdResult = Result<String, Option<String>>;

/// The cluster's id, once known; cheap to clone.
#[derive(Clone)]
pub(super) struct ClusterId {
    id: watch::Receiver<ClusterIdResult>,
    started: Instant,
}

impl ClusterId {
    /// Starts with nothing known; the sender is for [`reach`].
    pub(super) fn unknown() -> (watch::Sender<ClusterIdResult>, Self) {
        let (known, id) = watch::channel(Err(None));
        (
            known,
            Self {
                id,
                started: Instant::now(),
            },
        )
    }

    /// Returns the id. A worker that has just started waits a moment for Kafka's answer.
    pub(super) async fn id(mut self) -> Option<String> {
        let until = self.started + CLUSTER_ID_LIMIT;
        drop(tokio::time::timeout_at(until, self.id.wait_for(Result::is_ok)).await);
        self.id.borrow().clone().ok()
    }

    /// Returns the state of the worker's connection to Kafka.
    pub(super) async fn health(self, worker: Worker) -> WorkerHealth {
        let known = self.id.clone();
        if self.id().await.is_none() {
            return WorkerHealth::Starting(known.borrow().clone().err().flatten());
        }
        worker.kafka_answers().await.map_or_else(
            |error| WorkerHealth::WithoutKafka(error.to_string()),
            |()| WorkerHealth::Healthy,
        )
    }
}

/// Asks Kafka for its cluster id until it answers, then prepares it for sources.
pub(super) async fn reach(worker: Worker, known: watch::Sender<ClusterIdResult>) {
    let mut is_logged = false;
    loop {
        match worker.cluster_id().await {
            Ok(id) => {
                info!(kafka_cluster_id = id, "connected to Kafka");
                let _before = known.send_replace(Ok(id));
                break;
            }
            Err(error) => {
                if !std::mem::replace(&mut is_logged, true) {
                    warn!(%error, "Kafka does not answer; the connection is retried");
                }
                let _before = known.send_replace(Err(Some(error.to_string())));
            }
        }
        tokio::time::sleep(RETRY).await;
    }
    if let Err(error) = worker.warm_up().await {
        debug!(%error,
            "the internal topics for sources could not be prepared; the first source will report \
             the error");
    }
}
