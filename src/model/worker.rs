//! Bodies about the worker itself, messages and errors.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::connector::scalar;

/// `GET /`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServerInfo {
    /// The Kafka Connect API level that is spoken; clients compare it.
    pub version: String,
    /// Source revision.
    pub commit: String,
    /// Id of the Kafka cluster; empty while unknown.
    pub kafka_cluster_id: String,
    /// This program's own version.
    pub rowferry_version: String,
}

/// `GET /health`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `healthy`, `degraded` (tasks are stalled), `starting` or `unhealthy`.
    pub status: String,
    /// What that means.
    pub message: String,
    /// Tasks that have work and do not move.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standing_still: Vec<StandingStill>,
    /// What an operator should know although the worker is healthy, such as a listener without authentication.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A task that has work and does not move, or was cut off for that and does not work again yet.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StandingStill {
    /// Its connector.
    pub connector: String,
    /// Its number.
    pub task: u32,
    /// What it waits for, as in its progress.
    pub waiting_for: String,
    /// Since when: date and time in UTC.
    pub since: String,
    /// The same as a sentence, with what follows.
    pub message: String,
}

/// `GET /livez` and `GET /readyz`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Live {
    /// `alive`, `ready`, `starting`, `stopping` or `hangs`.
    pub status: String,
}

/// An answer that is a sentence.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// The sentence.
    pub message: String,
}

/// Every answer from 400 on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The HTTP status.
    pub error_code: u16,
    /// What failed, where, and how to fix it.
    pub message: String,
}

/// One of `GET /admin/loggers`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoggerLevel {
    /// `OFF`, `FATAL`, `ERROR`, `WARN`, `INFO`, `DEBUG`, `TRACE` or `ALL`.
    pub level: String,
    /// When it was changed, in milliseconds since 1970-01-01 UTC; null since the start.
    pub last_modified: Option<i64>,
}

/// `PUT /admin/loggers/{logger}`. Other members are ignored.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object with \"level\"")]
pub struct NewLevel {
    /// `OFF`, `FATAL`, `ERROR`, `WARN`, `INFO`, `DEBUG`, `TRACE` or `ALL`, in any case.
    #[schema(required, nullable = false)]
    #[serde(default, deserialize_with = "scalar")]
    pub level: Option<String>,
}

/// `GET /v1/workers`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GroupWorkers {
    /// The workers by id.
    pub workers: Vec<GroupWorker>,
}

/// One of `GET /v1/workers`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GroupWorker {
    /// `host:port`, as `worker_id` of statuses.
    pub id: String,
    /// URL of its REST API.
    pub url: String,
    /// Its version of Rowferry.
    pub version: String,
    /// `ready`; `draining` while its tasks move to others, and `drained` when it has none and has left
    /// the group; `unseen` if it has not written to the store for some time.
    pub state: String,
    /// Number of connectors that it plans.
    pub connectors: usize,
    /// Number of tasks that it has to run.
    pub tasks: usize,
    /// Number of slots that it owns; 0 with a single worker.
    pub slots: usize,
    /// When it was started, in milliseconds since 1970-01-01 UTC.
    pub started_ms: i64,
    /// When it last wrote to the store, in milliseconds since 1970-01-01 UTC by the clock of the store.
    pub seen_ms: i64,
    /// How long ago that was, in milliseconds.
    #[serde(default)]
    pub unseen_ms: i64,
    /// How busy it is: the number of busy processors, as a share of all; null until it was measured.
    #[serde(default)]
    pub load: Option<f64>,
    /// True of the worker that answers.
    pub answers: bool,
}
