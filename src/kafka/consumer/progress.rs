//! How far a member of a consumer group has come: where its partitions started, and up to where
//! their records are written. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use connector_api::{TopicOffset, TopicPartition};

/// The latest offset of each partition.
pub(crate) type LatestOffsets = BTreeMap<TopicPartition, i64>;

/// Converts to a list.
pub(crate) fn list(latest: &LatestOffsets) -> Vec<TopicOffset> {
    latest
        .iter()
        .map(|(at, offset)| topic_offset(at, *offset))
        .collect()
}

fn topic_offset(at: &TopicPartition, offset: i64) -> TopicOffset {
    TopicOffset {
        topic: Arc::clone(&at.topic),
        partition: at.partition,
        offset,
    }
}

/// The offsets of the assigned partitions.
#[derive(Debug, Default)]
pub(super) struct GroupProgress {
    assigned: BTreeSet<TopicPartition>,
    /// Start offsets of partitions of which nothing has been committed since. Kafka Connect commits
    /// these too, once there is something to commit: the lag of a partition without records is then
    /// 0, not unknown.
    started: LatestOffsets,
    written: LatestOffsets,
    /// True if something was written since the last commit.
    uncommitted: bool,
}

impl GroupProgress {
    /// Notes an assignment. `started` holds the start offsets that are known.
    pub(super) fn assign(&mut self, partitions: Vec<TopicPartition>, started: LatestOffsets) {
        self.assigned.extend(partitions);
        self.started.extend(started);
    }

    /// Returns the number of assigned partitions.
    pub(super) fn assigned_count(&self) -> usize {
        self.assigned.len()
    }

    /// Notes that everything before these offsets is written. Partitions that are not assigned any
    /// more are ignored: their offsets are their next owner's to commit.
    pub(super) fn written(&mut self, next: &LatestOffsets) {
        for (at, offset) in next {
            if let Some(known) = self.written.get_mut(at) {
                *known = *offset;
            } else if self.assigned.contains(at) {
                self.written.insert(at.clone(), *offset);
            }
        }
        self.uncommitted = true;
    }

    /// Returns what to commit, if something was written since the last call.
    pub(super) fn take_uncommitted(&mut self) -> Option<Vec<TopicOffset>> {
        if !std::mem::take(&mut self.uncommitted) {
            return None;
        }
        let mut offsets = list(&self.written);
        self.add_started(&mut offsets, |_| true);
        Some(offsets)
    }

    /// Notes that these partitions are revoked, and returns what to commit of them.
    pub(super) fn revoke(&mut self, partitions: &[TopicPartition]) -> Vec<TopicOffset> {
        let written = partitions
            .iter()
            .filter_map(|at| self.written.remove_entry(at))
            .collect();
        let mut offsets = list(&written);
        self.add_started(&mut offsets, |at| partitions.contains(at));
        for at in partitions {
            self.assigned.remove(at);
            self.started.remove(at);
        }
        offsets
    }

    /// Adds the start offsets of partitions without a commit to the offsets of others, and forgets
    /// them: they are committed now.
    fn add_started(
        &mut self,
        offsets: &mut Vec<TopicOffset>,
        is_meant: impl Fn(&TopicPartition) -> bool,
    ) {
        self.started.retain(|at, _| {
            !offsets
                .iter()
                .any(|o| o.partition == at.partition && o.topic == at.topic)
        });
        if offsets.is_empty() {
            return;
        }
        self.started.retain(|at, offset| {
            let is_taken = is_meant(at);
            if is_taken {
                offsets.push(topic_offset(at, *offset));
            }
            !is_taken
        });
    }

    /// Returns where a partition started, while nothing has been committed of it.
    pub(super) fn started_at(&self, at: &TopicPartition) -> Option<i64> {
        self.started.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32) -> TopicPartition {
        TopicPartition {
            topic: "t".into(),
            partition,
        }
    }

    fn offsets(pairs: &[(i32, i64)]) -> LatestOffsets {
        pairs.iter().map(|(p, offset)| (at(*p), *offset)).collect()
    }

    fn assigned() -> GroupProgress {
        let mut progress = GroupProgress::default();
        progress.assign(vec![at(0), at(1)], offsets(&[(0, 5), (1, 7)]));
        progress
    }

    #[test]
    fn a_start_offset_is_committed_once_and_only_with_others() {
        let mut progress = assigned();
        assert_eq!(progress.take_uncommitted(), None);
        progress.written(&offsets(&[(0, 6)]));
        let both = list(&offsets(&[(0, 6), (1, 7)]));
        assert_eq!(progress.take_uncommitted(), Some(both));
        assert_eq!(progress.take_uncommitted(), None);
        progress.written(&offsets(&[(0, 8)]));
        assert_eq!(progress.take_uncommitted(), Some(list(&offsets(&[(0, 8)]))));
    }

    #[test]
    fn a_revoked_partition_is_committed_alone_and_what_is_written_later_is_ignored() {
        let mut progress = assigned();
        progress.written(&offsets(&[(0, 6), (1, 9)]));
        assert_eq!(progress.revoke(&[at(1)]), list(&offsets(&[(1, 9)])));
        progress.written(&offsets(&[(1, 10)]));
        assert_eq!(progress.take_uncommitted(), Some(list(&offsets(&[(0, 6)]))));
        assert_eq!(progress.revoke(&[at(1)]), []);
    }

    #[test]
    fn a_revoked_partition_without_records_is_not_committed() {
        let mut progress = assigned();
        assert_eq!(progress.revoke(&[at(0), at(1)]), []);
        assert_eq!(progress.started_at(&at(0)), None);
    }
}
