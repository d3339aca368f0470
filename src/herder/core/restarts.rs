//! Restarts that are answered once the restarted parts are up, have failed, or take too long. Kafka
//! Connect answers when the old task has ended and the new one was started.

use std::sync::Arc;

use super::{Action, HerderState, Millis, Ticket};
use crate::model::{RunState, TargetState};

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
    /// The parts may be restarted by other workers, so that only their statuses tell.
    elsewhere: bool,
    /// The answer says why the connector failed.
    plain: bool,
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
            elsewhere: false,
            plain: false,
        }
    }

    /// Creates a restart that the owners of these parts perform.
    pub(super) fn elsewhere(
        ticket: Ticket,
        name: &Arc<str>,
        connector: bool,
        tasks: &[u32],
        plain: bool,
        now: Millis,
    ) -> Self {
        let place = |task: &u32| Some((usize::try_from(*task).ok()?, 0));
        let tasks = tasks.iter().filter_map(place).collect();
        Self {
            elsewhere: true,
            plain,
            ..Self::new(ticket, name, connector, tasks, now)
        }
    }

    /// Returns the outcome: why the connector failed, if the answer says so.
    fn outcome(&self, state: &HerderState) -> Result<(), String> {
        let connector = state.connectors.get(&self.name).filter(|_| self.plain);
        match connector.and_then(|c| c.status.as_ref()) {
            Some(status) if status.state == RunState::Failed => {
                let trace = status.trace.as_deref().unwrap_or_default();
                let first = trace.lines().next().unwrap_or_default();
                let why = first.split_once(": ").map_or(first, |(_, why)| why);
                Err(why.to_owned())
            }
            _ => Ok(()),
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
        let starts = self.elsewhere && connector.target == TargetState::Started;
        let restarting = |part: Option<RunState>| match part {
            Some(RunState::Restarting) => true,
            Some(RunState::Unassigned) => starts,
            _ => false,
        };
        self.connector && restarting(connector.status.as_ref().map(|status| status.state))
            || self.tasks.iter().any(|(number, incarnation)| {
                let task = connector
                    .tasks
                    .get(*number)
                    .filter(|task| self.elsewhere || task.incarnation == *incarnation);
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
            let outcome = restart.outcome(state);
            out.push(Action::Answer(restart.ticket, outcome));
        }
    }
}
