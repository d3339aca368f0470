//! Restarts that are answered once the restarted parts are up, have failed, or take too long. Kafka
//! Connect answers when the old task has ended and the new one was started.

use std::sync::Arc;

use super::{Action, HerderState, Millis, Ticket};
use crate::model::RunState;

/// How long a caller waits for a restart. Old tasks have `task.shutdown.graceful.timeout.ms` (5 s)
/// to end.
const ANSWERED_WITHIN_MS: Millis = 10_000;

/// A restart that a caller waits for.
#[derive(Debug)]
pub(super) struct PendingRestart {
    ticket: Ticket,
    name: Arc<str>,
    /// True if the connector itself restarts.
    connector: bool,
    /// The restarting tasks with their new incarnations.
    tasks: Vec<(usize, u64)>,
    until: Millis,
}

impl PendingRestart {
    /// Creates a restart that begins now.
    pub(super) fn new(
        ticket: Ticket,
        name: &Arc<str>,
        connector: bool,
        tasks: Vec<(usize, u64)>,
        now: Millis,
    ) -> Self {
        let until = now.saturating_add(ANSWERED_WITHIN_MS);
        Self {
            ticket,
            name: Arc::clone(name),
            connector,
            tasks,
            until,
        }
    }

    /// Returns when the caller is answered at the latest.
    pub(super) fn until(&self) -> Millis {
        self.until
    }

    /// True if a part is still restarting. Parts replaced meanwhile do not count.
    fn goes_on(&self, state: &HerderState) -> bool {
        let Some(connector) = state.connectors.get(&self.name) else {
            return false;
        };
        let restarting = |part: Option<RunState>| part == Some(RunState::Restarting);
        self.connector && restarting(connector.status.as_ref().map(|status| status.state))
            || self.tasks.iter().any(|(number, incarnation)| {
                let task = connector
                    .tasks
                    .get(*number)
                    .filter(|task| task.incarnation == *incarnation);
                restarting(task.map(|task| task.status.state))
            })
    }
}

/// Answers the finished restarts, or all of them when the worker closes.
pub(super) fn answer_finished(state: &mut HerderState, now: Millis, out: &mut Vec<Action>) {
    for restart in std::mem::take(&mut state.restarts) {
        if !state.closing && now < restart.until && restart.goes_on(state) {
            state.restarts.push(restart);
        } else {
            out.push(Action::Answer(restart.ticket, Ok(())));
        }
    }
}
