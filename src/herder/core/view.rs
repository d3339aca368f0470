//! Views of the state for callers.

use std::sync::Arc;

use super::{ConnectorEntry, HerderState};
use crate::herder::{ConnectorView, TaskView};

/// Returns one connector with its tasks; the loop fills in progress.
pub(crate) fn view(state: &HerderState, name: &str) -> Option<ConnectorView> {
    state
        .connectors
        .get_key_value(name)
        .map(|(name, connector)| of(name, connector))
}

/// Returns all connectors by name.
pub(crate) fn views(state: &HerderState) -> Vec<ConnectorView> {
    state
        .connectors
        .iter()
        .map(|(name, connector)| of(name, connector))
        .collect()
}

impl HerderState {
    /// Returns the topics a connector has used; empty for an unknown connector.
    pub(crate) fn topics(&self, name: &str) -> Vec<String> {
        let connector = self.connectors.get(name);
        connector
            .map(|c| c.topics.iter().map(|t| t.to_string()).collect())
            .unwrap_or_default()
    }
}

fn of(name: &Arc<str>, connector: &ConnectorEntry) -> ConnectorView {
    let task = |(id, task): (u32, &super::Task)| TaskView {
        id,
        config: task.config.clone(),
        status: task.status.clone(),
        progress: None,
        waits: None,
    };
    ConnectorView {
        name: Arc::clone(name),
        config: connector.config.clone(),
        direction: connector.direction,
        target: connector.target,
        status: connector.status.clone(),
        tasks: (0..).zip(&connector.tasks).map(task).collect(),
    }
}
