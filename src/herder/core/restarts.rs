//! Restarts that are answered once what restarts is up again, or has failed, or takes too long: Kafka Connect answers when
//! the old task has ended and the new one was started.

use std::sync::Arc;

use super::{Action, HerderState, Millis, Ticket};
use crate::model::RunState;

/// How long a restart is waited for. Old tasks have `task.shutdown.graceful.timeout.ms` (5 s) to end.
const ANSWERED_WITHIN_MS: Millis = 10_000;

/// A restart that somebody waits for.
#[derive(Debug)]
pub(super) struct PendingRestart {
    ticket: Ticket,
    name: Arc<str>,
    /// Whether the connector itself restarts.
    connector: bool,
    /// Tasks that restart, as the incarnations that they become.
    tasks: Vec<(usize, u64)>,
    until: Millis,
}

impl PendingRestart {
    /// One that begins now.
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

    /// When it is waited for no longer.
    pub(super) fn until(&self) -> Millis {
        self.until
    }

    /// Whether something of it is still to come. What was replaced meanwhile is not.
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

/// Answers those that are done, and all when the worker closes.
pub(super) fn settle(state: &mut HerderState, now: Millis, out: &mut Vec<Action>) {
    for restart in std::mem::take(&mut state.restarts) {
        if !state.closing && now < restart.until && restart.goes_on(state) {
            state.restarts.push(restart);
        } else {
            out.push(Action::Answer(restart.ticket, Ok(())));
        }
    }
}
