//! The target state and the current state of connectors and tasks, with Kafka Connect's names.

use std::sync::Arc;

/// The state that the user wants a connector to be in (Kafka's `TargetState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// Running.
    Started,
    /// Tasks exist but idle.
    Paused,
    /// No tasks exist.
    Stopped,
}

impl TargetState {
    /// Returns its name, such as `STARTED`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
        }
    }

    /// Returns the target state with that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Started, Self::Paused, Self::Stopped]
            .into_iter()
            .find(|target| target.name() == name)
    }
}

/// The current state of a connector or task (Kafka's `AbstractStatus.State`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are Kafka's own names")]
pub enum RunState {
    Unassigned,
    Running,
    Paused,
    Stopped,
    Failed,
    Restarting,
}

impl RunState {
    /// Returns its name in REST answers, such as `RUNNING`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unassigned => "UNASSIGNED",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
            Self::Failed => "FAILED",
            Self::Restarting => "RESTARTING",
        }
    }

    /// Returns the state with that name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [
            Self::Unassigned,
            Self::Running,
            Self::Paused,
            Self::Stopped,
            Self::Failed,
            Self::Restarting,
        ];
        all.into_iter().find(|state| state.name() == name)
    }
}

/// State of one part (connector or task) on its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunStatus {
    /// State.
    pub state: RunState,
    /// `host:port` of the worker that runs it.
    pub worker_id: Arc<str>,
    /// Why it failed, and how to fix it.
    pub trace: Option<String>,
}
