//! Logs changes of state.

use tracing::{error, info};

use super::{RunState, RunStatus};
use crate::store::StoreChange;

/// Logs the state of a connector or task that is about to be stored.
pub(super) fn log_status(write: &StoreChange) {
    let StoreChange::SetStatus {
        name,
        task,
        status: RunStatus { state, trace, .. },
    } = write
    else {
        return;
    };
    let (connector, task, state) = (&**name, task.map(i64::from), *state);
    let why = trace.as_deref().unwrap_or_default();
    match (state, task) {
        (RunState::Failed, Some(task)) => error!(connector, task, error = why, "task has failed"),
        (RunState::Failed, None) => error!(connector, error = why, "connector has failed"),
        (_, Some(task)) => info!(connector, task, "task is {}", state.name()),
        (_, None) => info!(connector, "connector is {}", state.name()),
    }
}
