//! Decides who runs what. [`Herder`] is the handle that REST calls: one async fn per verb, each a
//! command to the single loop.
//!
//! The handle knows no HTTP. A refusal is returned as a [`HerderRefusal`]; `rest/error.rs` holds
//! the texts.

mod answer;
pub(crate) mod bounds;
mod clock;
pub(crate) mod core;
mod kafka;
mod offsets;
pub(crate) mod plan;
mod planning;
mod run;
mod status_log;
pub(crate) mod validate;

use std::sync::Arc;
use std::time::Duration;

use connector_api::{Config, ProgressReport, SourcePosition, TopicOffset};
use tokio::sync::{mpsc, oneshot};

pub(crate) use run::{GroupParts, HerderLoop, LoopParts};

use crate::model::{RunState, RunStatus, TargetState};
use crate::store::{StoredVersion, StoredWorker};
use crate::worker::{StalledTask, WaitsFor};

/// Direction in which a connector moves data; unknown if its class is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Source,
    Sink,
    Unknown,
}

impl Direction {
    /// Returns the name used in REST answers, such as `source`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Sink => "sink",
            Self::Unknown => "unknown",
        }
    }
}

/// One task, as callers see it.
#[derive(Clone, Debug)]
pub(crate) struct TaskView {
    /// Number within the connector, from 0.
    pub id: u32,
    /// The task's config.
    pub config: Config,
    /// State, worker and trace of the task.
    pub status: RunStatus,
    /// How far the task has come, while it runs here.
    pub progress: Option<ProgressReport>,
    /// What the task waits for, while it runs here.
    pub waits: Option<WaitsFor>,
}

/// One connector with its tasks, as callers see it.
#[derive(Clone, Debug)]
pub(crate) struct ConnectorView {
    /// Unique name.
    pub name: Arc<str>,
    /// Config as given, references unresolved.
    pub config: Config,
    /// Source, sink, or unknown.
    pub direction: Direction,
    /// The state that the user asked for.
    pub target: TargetState,
    /// State of the connector itself; `None` until it is first started.
    pub status: Option<RunStatus>,
    /// Tasks in the order of their numbers.
    pub tasks: Vec<TaskView>,
}

/// The stored offsets of a connector.
#[derive(Clone, Debug)]
pub(crate) enum OffsetListing {
    Source(Vec<SourcePosition>),
    /// Next offset of each partition that a sink reads.
    Sink(Vec<TopicOffset>),
}

/// A change of stored offsets.
#[derive(Clone, Debug)]
pub(crate) enum OffsetChange {
    /// Sets these partitions of a source; one without an offset is deleted.
    Source(Vec<SourcePosition>),
    /// Sets these partitions of a sink; one without an offset is deleted.
    Sink(Vec<(connector_api::TopicPartition, Option<i64>)>),
    /// Deletes all offsets.
    Reset,
}

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HerderRefusal {
    /// No connector has that name.
    UnknownConnector(String),
    /// No such task: connector, number.
    UnknownTask(String, u32),
    /// A connector of that name exists.
    AlreadyExists(String),
    /// The call needs the connector to be stopped, with no task left.
    NotStopped(String),
    /// The connector did not start: name, reason.
    StartFailed(String, String),
    /// The connector cannot continue from these offsets: reason.
    BadOffsets(String),
    /// Kafka or the database is unreachable or refuses: what, where, remedy.
    Unavailable(String),
    /// The metadata store fails: what, where, and the remedy; whether its disk is full; and when to
    /// retry, if that helps.
    StoreFails {
        why: String,
        full: bool,
        retry_after: Option<Duration>,
    },
    /// The stored config is not the one that the caller expects.
    ConfigChanged(String),
    /// No worker of the group has this id.
    UnknownWorker(String),
    /// The worker cannot be drained: reason, and what to do.
    CannotDrain(String),
    ShuttingDown,
}

/// One worker of the group, as callers see it.
#[derive(Clone, Debug)]
pub(crate) struct WorkerView {
    /// What it has registered.
    pub worker: StoredWorker,
    /// True if it is the one that was asked.
    pub is_asked: bool,
    /// What it has.
    pub share: core::WorkerShare,
    /// How busy it is, if that was measured: 1 if all its processors are.
    pub load: Option<f64>,
}

/// Worker facts for `GET /`.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkerInfo {
    /// Kafka cluster id; `None` until Kafka has first been reached.
    pub kafka_cluster_id: Option<String>,
    /// One of several workers that has just started and has no slots yet.
    pub is_joining: bool,
}

/// State of the worker, for `GET /health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WorkerHealth {
    /// Kafka has not been reached yet; the reason, once known.
    Starting(Option<String>),
    /// Kafka and the store work.
    Healthy,
    /// The metadata store does not work: reason.
    WithoutStore(String),
    /// Kafka was reached before and does not answer now: reason.
    WithoutKafka(String),
}

/// Answer channel of a command.
pub(crate) type ReplySender<T> = oneshot::Sender<Result<T, HerderRefusal>>;

/// A command to the loop: a verb, and a way to refuse it without knowing which verb it is.
pub(crate) struct HerderCommand {
    /// The verb, with the channel for its answer.
    pub verb: HerderVerb,
    /// Refuses the command. The caller checks it before the verb's answer.
    pub refuse: oneshot::Sender<HerderRefusal>,
}

/// The verbs that the loop accepts.
pub(crate) enum HerderVerb {
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
    Workers {
        reply: ReplySender<Vec<WorkerView>>,
    },
    Drain {
        worker: String,
        draining: bool,
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

/// Handle to the herder's loop; cheap to clone.
#[derive(Clone)]
pub(crate) struct Herder {
    commands: mpsc::Sender<HerderCommand>,
}

impl Herder {
    /// Creates a handle to the loop that receives from the other end of `commands`.
    pub(crate) fn new(commands: mpsc::Sender<HerderCommand>) -> Self {
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
            // The order matters: a refused verb is dropped, or, after a commit in doubt, answered
            // again once its outcome is known. The caller must see the refusal.
            biased;
            Ok(refusal) = &mut refused => return Err(refusal),
            answered = answer => answered,
        };
        // No answer: the loop has ended, or the refusal arrived between the two checks.
        answered.unwrap_or_else(|_| Err(refused.try_recv().unwrap_or(HerderRefusal::ShuttingDown)))
    }

    /// Returns all connectors by name.
    pub(crate) async fn list(&self) -> Result<Vec<ConnectorView>, HerderRefusal> {
        self.call(|reply| HerderVerb::List { reply }).await
    }

    /// Returns one connector.
    pub(crate) async fn get(&self, name: &str) -> Result<ConnectorView, HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::Get { name, reply }).await
    }

    /// Stores a new connector and starts it in the state `target`. The config must have been
    /// validated.
    pub(crate) async fn create(
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

    /// Stores a connector's config and restarts the connector. Returns true if it is new. The
    /// config must have been validated.
    pub(crate) async fn put_config(
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

    /// Like [`Herder::put_config`], but only if the stored config is still `expected`. Errors:
    /// [`HerderRefusal::ConfigChanged`] otherwise.
    pub(crate) async fn replace_config(
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

    /// Returns every config that a connector has had, oldest first, including those of a deleted
    /// connector.
    pub(crate) async fn history(&self, name: &str) -> Result<Vec<StoredVersion>, HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::History { name, reply }).await
    }

    /// Stops and deletes a connector; its offsets remain.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::Delete { name, reply }).await
    }

    /// Sets the target state: pause, resume or stop.
    pub(crate) async fn set_target(
        &self,
        name: &str,
        target: TargetState,
    ) -> Result<(), HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::SetTarget {
            name,
            target,
            reply,
        })
        .await
    }

    /// Restarts the connector and (KIP-745) its tasks. The returned view shows whatever restarts as
    /// RESTARTING.
    pub(crate) async fn restart(
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
    pub(crate) async fn restart_task(&self, name: &str, task: u32) -> Result<(), HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::RestartTask { name, task, reply })
            .await
    }

    /// Returns the stored offsets of a connector.
    pub(crate) async fn offsets(&self, name: &str) -> Result<OffsetListing, HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::Offsets { name, reply }).await
    }

    /// Changes the stored offsets of a stopped connector. Returns true if the connector keeps
    /// offsets too and has changed them.
    pub(crate) async fn change_offsets(
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

    /// Returns the topics that the connector has used since the last reset (KIP-558); empty for an
    /// unknown connector.
    pub(crate) async fn topics(&self, name: &str) -> Result<Vec<String>, HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::Topics { name, reply }).await
    }

    /// Forgets the topics that the connector has used.
    pub(crate) async fn reset_topics(&self, name: &str) -> Result<(), HerderRefusal> {
        let name = name.to_owned();
        self.call(|reply| HerderVerb::ResetTopics { name, reply })
            .await
    }

    /// Returns the workers of the group.
    pub(crate) async fn workers(&self) -> Result<Vec<WorkerView>, HerderRefusal> {
        self.call(|reply| HerderVerb::Workers { reply }).await
    }

    /// Makes a worker give its tasks away and take no new ones, or ends that.
    pub(crate) async fn drain(&self, worker: &str, draining: bool) -> Result<(), HerderRefusal> {
        let worker = worker.to_owned();
        self.call(|reply| HerderVerb::Drain {
            worker,
            draining,
            reply,
        })
        .await
    }

    /// Returns worker facts for `GET /`.
    pub(crate) async fn info(&self) -> Result<WorkerInfo, HerderRefusal> {
        self.call(|reply| HerderVerb::Info { reply }).await
    }

    /// Returns the state of the worker, and its stalled tasks.
    pub(crate) async fn health(&self) -> Result<(WorkerHealth, Vec<StalledTask>), HerderRefusal> {
        self.call(|reply| HerderVerb::Health { reply }).await
    }
}
