//! Statuses, task configs and topics that are not stored yet: the latest value of each. So an
//! outage of the store costs no more memory than there is state, and once the store works again it
//! holds what the memory holds. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::{StoreChange, StoreSnapshot};

/// A thing with a single value. The order is that of writing: task configs first, because they
/// delete the statuses of tasks past their number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PendingKey {
    Tasks,
    Status(Option<u32>),
    Topic(Arc<str>),
}

/// Pending changes by connector and thing.
#[derive(Debug, Default)]
pub(super) struct PendingWrites(BTreeMap<(Arc<str>, PendingKey), StoreChange>);

impl PendingWrites {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the changes in the order to write them.
    pub(super) fn writes(&self) -> Vec<StoreChange> {
        self.0.values().cloned().collect()
    }

    /// Adds a change; it replaces an earlier one of the same thing.
    pub(super) fn add(&mut self, write: StoreChange) {
        let thing = match &write {
            StoreChange::SetTasks { name, tasks, .. } => {
                let count = tasks.len();
                self.0.retain(|(of, thing), _| {
                    let is_surplus =
                        |task: &u32| usize::try_from(*task).is_ok_and(|task| task >= count);
                    *of != *name
                        || !matches!(thing, PendingKey::Status(Some(task)) if is_surplus(task))
                });
                PendingKey::Tasks
            }
            StoreChange::SetStatus { task, .. } | StoreChange::Release { task, .. } => {
                PendingKey::Status(*task)
            }
            StoreChange::AddTopic { topic, .. } => PendingKey::Topic(Arc::clone(topic)),
            // These are commands, which are stored before they take effect.
            StoreChange::Create { .. }
            | StoreChange::Replace { .. }
            | StoreChange::SetTarget { .. }
            | StoreChange::Delete { .. }
            | StoreChange::ResetTopics { .. }
            | StoreChange::Restart { .. }
            | StoreChange::Drain { .. }
            | StoreChange::MoveTask { .. } => return,
        };
        self.0.insert((Arc::clone(write.name()), thing), write);
    }

    /// Takes out what a shared store gets next: plans and topics, which depend on what was read, and
    /// if there are none, statuses.
    pub(super) fn take_next(&mut self) -> Self {
        let is_status =
            |(_, thing): &(Arc<str>, PendingKey)| matches!(thing, PendingKey::Status(_));
        let (statuses, others) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(key, _)| is_status(key));
        let (next, later) = if BTreeMap::is_empty(&others) {
            (statuses, others)
        } else {
            (others, statuses)
        };
        self.0 = later;
        Self(next)
    }

    /// True if there are only statuses.
    pub(super) fn is_statuses_only(&self) -> bool {
        self.0
            .keys()
            .all(|(_, thing)| matches!(thing, PendingKey::Status(_)))
    }

    /// True if there are tasks of a plan.
    pub(super) fn has_plans(&self) -> bool {
        self.0.keys().any(|(_, thing)| *thing == PendingKey::Tasks)
    }

    /// Drops the tasks of plans that are superseded, and what is about connectors that do not exist
    /// any more. `is_current` is asked about a connector, and the revision of a plan.
    pub(super) fn retain_current(&mut self, is_current: impl Fn(&str, Option<u64>) -> bool) {
        self.0.retain(|_, write| match write {
            StoreChange::SetTasks { name, revision, .. } => is_current(name, Some(*revision)),
            StoreChange::Release { .. } => true,
            other => is_current(other.name(), None),
        });
    }

    /// Adds topics that are not stored yet to what was read from the store.
    pub(super) fn add_topics(&self, snapshot: &mut StoreSnapshot) {
        for write in self.0.values() {
            if let StoreChange::AddTopic { name, topic } = write
                && let Some(stored) = snapshot
                    .connectors
                    .iter_mut()
                    .find(|stored| stored.name == *name)
            {
                stored.topics.insert(Arc::clone(topic));
            }
        }
    }

    /// Puts back changes that could not be stored, except those that a newer change has replaced.
    pub(super) fn put_back(&mut self, older: Self) {
        let newer = std::mem::replace(self, older);
        for write in newer.0.into_values() {
            self.add(write);
        }
    }

    /// Drops changes that a stored command has made obsolete.
    pub(super) fn overtaken_by(&mut self, write: &StoreChange) {
        let name = write.name();
        self.0.retain(|(of, thing), _| {
            *of != *name
                || match write {
                    StoreChange::Create { .. } | StoreChange::Delete { .. } => false,
                    StoreChange::Replace { .. } => *thing != PendingKey::Tasks,
                    StoreChange::ResetTopics { .. } => !matches!(thing, PendingKey::Topic(_)),
                    _ => true,
                }
        });
    }
}

#[cfg(test)]
mod tests {
    use connector_api::Config;

    use super::*;
    use crate::herder::{RunState, RunStatus, TargetState};

    fn name(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    fn status(connector: &str, task: Option<u32>, state: RunState) -> StoreChange {
        StoreChange::SetStatus {
            name: name(connector),
            task,
            status: RunStatus {
                state,
                worker_id: name("w:1"),
                trace: None,
            },
        }
    }

    fn tasks(connector: &str, count: usize) -> StoreChange {
        StoreChange::SetTasks {
            name: name(connector),
            revision: 0,
            replaced: Vec::new(),
            tasks: vec![Config::new().into(); count],
        }
    }

    fn topic(connector: &str) -> StoreChange {
        StoreChange::AddTopic {
            name: name(connector),
            topic: name("t"),
        }
    }

    fn pending(writes: &[StoreChange]) -> PendingWrites {
        let mut pending = PendingWrites::default();
        writes.iter().cloned().for_each(|write| pending.add(write));
        pending
    }

    #[test]
    fn the_last_word_counts_and_tasks_come_before_their_statuses() {
        let all = pending(&[
            status("c", Some(0), RunState::Running),
            status("c", Some(2), RunState::Running),
            tasks("c", 2),
            status("c", Some(0), RunState::Failed),
            topic("c"),
            topic("c"),
        ]);
        assert_eq!(
            all.writes(),
            [
                tasks("c", 2),
                status("c", Some(0), RunState::Failed),
                topic("c")
            ]
        );
    }

    #[test]
    fn what_could_not_be_stored_does_not_overwrite_what_came_later() {
        let older = pending(&[
            tasks("c", 3),
            status("c", Some(2), RunState::Running),
            status("c", None, RunState::Running),
        ]);
        let mut now = pending(&[tasks("c", 1), status("c", None, RunState::Failed)]);
        now.put_back(older);
        assert_eq!(
            now.writes(),
            [tasks("c", 1), status("c", None, RunState::Failed)]
        );
    }

    #[test]
    fn a_stored_command_overtakes_what_it_makes_untrue_and_nothing_else() {
        let all = [
            tasks("c", 1),
            status("c", Some(0), RunState::Running),
            topic("c"),
            topic("d"),
        ];
        let left = |write: StoreChange| {
            let mut pending = pending(&all);
            pending.overtaken_by(&write);
            pending.writes()
        };
        let c = || name("c");
        assert_eq!(left(StoreChange::Delete { name: c() }), all[3..]);
        assert_eq!(
            left(StoreChange::Replace {
                name: c(),
                config: Config::new()
            }),
            all[1..]
        );
        assert_eq!(
            left(StoreChange::ResetTopics { name: c() }),
            [all[0].clone(), all[1].clone(), all[3].clone()]
        );
        assert_eq!(
            left(StoreChange::SetTarget {
                name: c(),
                target: TargetState::Paused
            }),
            all
        );
    }
}
