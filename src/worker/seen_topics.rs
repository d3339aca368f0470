//! Tracks which topics a task has reported to the herder (KIP-558).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts resets of the topic lists; shared by all tasks of a worker.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicReset(Arc<AtomicU64>);

impl TopicReset {
    /// Makes every task report its topics again.
    pub(super) fn reset(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The topics that one task has reported.
#[derive(Debug)]
pub(super) struct SeenTopics {
    topics: HashSet<Arc<str>>,
    reset: TopicReset,
    seen: u64,
}

impl SeenTopics {
    /// Starts with no topic reported.
    pub(super) fn new(reset: TopicReset) -> Self {
        let seen = reset.0.load(Ordering::Relaxed);
        Self {
            topics: HashSet::new(),
            reset,
            seen,
        }
    }

    /// Returns true if this topic has to be reported, and marks it as reported.
    pub(super) fn is_new(&mut self, topic: &Arc<str>) -> bool {
        let now = self.reset.0.load(Ordering::Relaxed);
        if now != self.seen {
            self.seen = now;
            self.topics.clear();
        }
        !self.topics.contains(topic) && self.topics.insert(Arc::clone(topic))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{SeenTopics, TopicReset};

    #[test]
    fn a_topic_is_reported_once_and_again_after_a_reset() {
        let reset = TopicReset::default();
        let mut seen = SeenTopics::new(reset.clone());
        let topic: Arc<str> = Arc::from("t");
        assert_eq!([seen.is_new(&topic), seen.is_new(&topic)], [true, false]);
        reset.reset();
        assert_eq!([seen.is_new(&topic), seen.is_new(&topic)], [true, false]);
    }
}
