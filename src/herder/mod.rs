//! Who runs what. [`Herder`] is the handle that REST calls: one async fn per verb, each a command to the one loop.
//!
//! The handle knows no HTTP; what it refuses comes back as a [`HerderRefusal`], whose texts `rest/error.rs` holds.

mod answer;
pub mod bounds;
mod clock;
pub mod core;
mod kafka;
mod offsets;
mod planning;
mod run;
mod status_log;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use connector_api::{Config, ProgressReport, SourcePosition, TopicOffset};
use tokio::sync::{mpsc, oneshot};

pub use run::{HerderLoop, LoopParts};

use crate::model::{RunState, RunStatus, TargetState};
use crate::store::StoredVersion;
use crate::worker::{StalledTask, WaitsFor};

/// Which way a connector moves data; unknown when its class is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are Kafka's own names")]
pub enum Direction {
    Source,
    Sink,
    Unknown,
}

impl Direction {
    /// Its name in REST answers, such as `source`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Sink => "sink",
            Self::Unknown => "unknown",
        }
    }
}

/// One task.
#[derive(Clone, Debug)]
pub struct TaskView {
    /// Its number.
    pub id: u32,
    /// Its config.
    pub config: Config,
    /// Its state.
    pub status: RunStatus,
    /// How far it has come, while it runs here.
    pub progress: Option<ProgressReport>,
    /// What it waits for, while it runs here.
    pub waits: Option<WaitsFor>,
}

/// One connector, whole.
#[derive(Clone, Debug)]
pub struct ConnectorView {
    /// Its name.
    pub name: Arc<str>,
    /// Its config, as given.
    pub config: Config,
    /// Its direction.
    pub direction: Direction,
    /// What the user wants it to be.
    pub target: TargetState,
    /// Its own state; `None` until it was started for the first time.
    pub status: Option<RunStatus>,
    /// Its tasks by number.
    pub tasks: Vec<TaskView>,
}

/// Stored offsets of a connector.
#[derive(Clone, Debug)]
pub enum OffsetListing {
    /// Of a source.
    Source(Vec<SourcePosition>),
    /// Of a sink: next offset of each partition.
    Sink(Vec<TopicOffset>),
}

/// How to change offsets.
#[derive(Clone, Debug)]
pub enum OffsetChange {
    /// These partitions of a source; no offset forgets.
    Source(Vec<SourcePosition>),
    /// These partitions of a sink; no offset forgets.
    Sink(Vec<(connector_api::TopicPartition, Option<i64>)>),
    /// Forget all.
    Reset,
}

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HerderRefusal {
    /// No connector of that name.
    UnknownConnector(String),
    /// No such task: connector, number.
    UnknownTask(String, u32),
    /// A connector of that name exists.
    AlreadyExists(String),
    /// The call needs the connector to be stopped, with no task left.
    NotStopped(String),
    /// The connector did not start: name, why.
    StartFailed(String, String),
    /// The connector could not go on from these offsets: why.
    BadOffsets(String),
    /// Kafka or the database is out of reach or refuses: what, where, how to mend.
    Unavailable(String),
    /// The metadata store fails: what, where, how to mend; whether for want of room; when to ask again,
    /// where that helps.
    StoreFails {
        why: String,
        full: bool,
        retry_after: Option<Duration>,
    },
    /// The config is another one than the caller thinks.
    ConfigChanged(String),
    /// The worker is shutting down.
    ShuttingDown,
}

/// Worker facts for `GET /`.
#[derive(Clone, Debug, Default)]
pub struct WorkerInfo {
    /// Kafka cluster id; `None` until Kafka has been reached for the first time.
    pub kafka_cluster_id: Option<String>,
}

/// How the worker is, for `GET /health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerHealth {
    /// Kafka has not been reached yet: why, once that is known.
    Starting(Option<String>),
    /// All is well.
    Healthy,
    /// The metadata store does not work: why.
    WithoutStore(String),
    /// Kafka has been reached before and does not answer: why.
    WithoutKafka(String),
}

/// Answer channel of a command.
pub type ReplySender<T> = oneshot::Sender<Result<T, HerderRefusal>>;

/// What the loop is asked: a verb, and the way to refuse it without knowing which one it is.
pub struct HerderCommand {
    /// What to do; it holds the channel of its own answer.
    pub verb: HerderVerb,
    /// Reaches the same caller as the verb's answer does, before it.
    pub refuse: oneshot::Sender<HerderRefusal>,
}

/// What can be asked, a row for each verb.
#[allow(
    missing_docs,
    reason = "each is the verb of the same name on the handle"
)]
pub enum HerderVerb {
    List {
        reply: ReplySender<Vec<ConnectorView>>,
    },
    Get {
        name: String,
        reply: ReplySender<ConnectorView>,
    },
    Create {
        name: String,
        config: Config,
        target: TargetState,
        reply: ReplySender<ConnectorView>,
    },
    PutConfig {
        name: String,
        config: Config,
        expected: Option<Config>,
        reply: ReplySender<(ConnectorView, bool)>,
    },
    Delete {
        name: String,
        reply: ReplySender<()>,
    },
    SetTarget {
        name: String,
        target: TargetState,
        reply: ReplySender<()>,
    },
    Restart {
        name: String,
        include_tasks: bool,
        only_failed: bool,
        reply: ReplySender<ConnectorView>,
    },
    RestartTask {
        name: String,
        task: u32,
        reply: ReplySender<()>,
    },
    Offsets {
        name: String,
        reply: ReplySender<OffsetListing>,
    },
    ChangeOffsets {
        name: String,
        change: OffsetChange,
        reply: ReplySender<bool>,
    },
    Topics {
        name: String,
        reply: ReplySender<Vec<String>>,
    },
    ResetTopics {
        name: String,
        reply: ReplySender<()>,
    },
    History {
        name: String,
        reply: ReplySender<Vec<StoredVersion>>,
    },
    Info {
        reply: ReplySender<WorkerInfo>,
    },
    Health {
        reply: ReplySender<(WorkerHealth, Vec<StalledTask>)>,
    },
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Herder {
    commands: mpsc::Sender<HerderCommand>,
}

impl Herder {
    /// A handle on the loop that receives from the other end of `commands`.
    pub fn new(commands: mpsc::Sender<HerderCommand>) -> Self {
        Self { commands }
    }

    async fn call<T>(
        &self,
        verb: impl FnOnce(ReplySender<T>) -> HerderVerb,
    ) -> Result<T, HerderRefusal> {
        let (reply, answer) = oneshot::channel();
        let (refuse, mut refused) = oneshot::channel();
        let verb = verb(reply);
        self.commands
            .send(HerderCommand { verb, refuse })
            .await
            .map_err(|_| HerderRefusal::ShuttingDown)?;
        let answered = tokio::select! {
            // A verb that is refused is dropped, or answered again when its outcome is known: the refusal counts.
            biased;
            Ok(refusal) = &mut refused => return Err(refusal),
            answered = answer => answered,
        };
        // No answer: the loop has ended, or a refusal has come between the two looks.
        answered.unwrap_or_else(|_| Err(refused.try_recv().unwrap_or(HerderRefusal::ShuttingDown)))
    }

    /// All connectors by name.
    pub async fn list(&self) -> Result<Vec<ConnectorView>, HerderRefusal> {
        self.call(|reply| HerderVerb::List { reply }).await
    }

    /// One connector.
    pub async fn get(&self, name: &str) -> Result<ConnectorView, HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::Get { name, reply }).await
    }

    /// Stores a new connector and starts it as `target` says. The config has been validated.
    pub async fn create(
        &self,
        name: &str,
        config: Config,
        target: TargetState,
    ) -> Result<ConnectorView, HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::Create {
            name,
            config,
            target,
            reply,
        })
        .await
    }

    /// Stores a connector's config, new or not (`true`: new), and restarts it. The config has been validated.
    pub async fn put_config(
        &self,
        name: &str,
        config: Config,
    ) -> Result<(ConnectorView, bool), HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::PutConfig {
            name,
            config,
            expected: None,
            reply,
        })
        .await
    }

    /// The same for a connector whose config is still `expected`; else [`HerderRefusal::ConfigChanged`].
    pub async fn replace_config(
        &self,
        name: &str,
        expected: Config,
        config: Config,
    ) -> Result<ConnectorView, HerderRefusal> {
        let name = name.to_owned();
        let expected = Some(expected);
        Ok(self
            .call(|reply| HerderVerb::PutConfig {
                name,
                config,
                expected,
                reply,
            })
            .await?
            .0)
    }

    /// Every config that a connector has had, oldest first; a deleted one's as well.
    pub async fn history(&self, name: &str) -> Result<Vec<StoredVersion>, HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::History { name, reply }).await
    }

    /// Stops and forgets a connector; its offsets stay.
    pub async fn delete(&self, name: &str) -> Result<(), HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::Delete { name, reply }).await
    }

    /// Pause, resume, stop.
    pub async fn set_target(&self, name: &str, target: TargetState) -> Result<(), HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::SetTarget {
            name,
            target,
            reply,
        })
        .await
    }

    /// Restarts the connector and (KIP-745) its tasks; the view shows what is being restarted as RESTARTING.
    pub async fn restart(
        &self,
        name: &str,
        include_tasks: bool,
        only_failed: bool,
    ) -> Result<ConnectorView, HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::Restart {
            name,
            include_tasks,
            only_failed,
            reply,
        })
        .await
    }

    /// Restarts one task.
    pub async fn restart_task(&self, name: &str, task: u32) -> Result<(), HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::RestartTask { name, task, reply })
            .await
    }

    /// Stored offsets.
    pub async fn offsets(&self, name: &str) -> Result<OffsetListing, HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::Offsets { name, reply }).await
    }

    /// Changes stored offsets of a stopped connector; `true` when the connector itself keeps them too.
    pub async fn change_offsets(
        &self,
        name: &str,
        change: OffsetChange,
    ) -> Result<bool, HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::ChangeOffsets {
            name,
            change,
            reply,
        })
        .await
    }

    /// Topics the connector has used since the last reset (KIP-558); empty for unknown ones.
    pub async fn topics(&self, name: &str) -> Result<Vec<String>, HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::Topics { name, reply }).await
    }

    /// Forgets the topics used.
    pub async fn reset_topics(&self, name: &str) -> Result<(), HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::ResetTopics { name, reply })
            .await
    }

    /// Worker facts.
    pub async fn info(&self) -> Result<WorkerInfo, HerderRefusal> {
        self.call(|reply| HerderVerb::Info { reply }).await
    }

    /// How the worker is, and which of its tasks stand still.
    pub async fn health(&self) -> Result<(WorkerHealth, Vec<StalledTask>), HerderRefusal> {
        self.call(|reply| HerderVerb::Health { reply }).await
    }
}
