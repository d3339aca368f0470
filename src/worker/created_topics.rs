//! Notifies this worker's sinks of topics that its sources create. librdkafka looks for missing topics
//! only at every metadata refresh; a sink that waits for a topic need not wait for the next one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use connector_api::locks::TakeLock;
use regex::Regex;

use crate::kafka::consumer::Subscription;

/// How many topics are kept for sinks that are busy. A sink that missed some looks its topics up
/// once for all of them.
const KEPT: usize = 64;
/// A sink that starts within this time after a topic was created may still get metadata without it.
const RECENT: Duration = Duration::from_secs(2);
/// When the topics are looked up after one was created: not every broker knows it at once.
const LOOK_UP_AFTER: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(400),
];

/// The topics that sources of this worker have created lately. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct CreatedTopics(Arc<Mutex<CreatedList>>);

#[derive(Debug, Default)]
struct CreatedList {
    /// Number of all topics created until now.
    count: u64,
    /// The last ones, and when they were created.
    last: VecDeque<(Instant, Box<str>)>,
}

impl CreatedList {
    /// Returns those that were created after the first `seen` ones, and whether some of them are
    /// not kept any more.
    fn after(&self, seen: u64) -> (impl Iterator<Item = &(Instant, Box<str>)>, bool) {
        let new = usize::try_from(self.count - seen).unwrap_or(usize::MAX);
        let skipped = self.last.len().saturating_sub(new);
        (self.last.iter().skip(skipped), new > self.last.len())
    }
}

impl CreatedTopics {
    /// Notifies all sinks.
    pub(super) fn announce(&self, topic: &str) {
        let mut list = self.0.take_lock();
        list.count += 1;
        list.last.push_back((Instant::now(), topic.into()));
        if list.last.len() > KEPT {
            list.last.pop_front();
        }
    }

    /// Returns what a sink with this subscription needs to know of topics that were created just
    /// now, and of those created later.
    pub(super) fn watch(&self, what: &Subscription) -> TopicWatch {
        let wanted = match what {
            Subscription::Topics(topics) => Wanted::Topics(topics.clone()),
            Subscription::Pattern(pattern) => {
                Wanted::Pattern(Regex::new(&format!("^(?:{pattern})$")).ok())
            }
        };
        let list = self.0.take_lock();
        let recent = list
            .last
            .iter()
            .rev()
            .take_while(|(at, _)| at.elapsed() < RECENT);
        let recent = u64::try_from(recent.count()).unwrap_or_default();
        TopicWatch {
            created: self.clone(),
            seen: list.count - recent,
            wanted,
            found: None,
            looked_up: 0,
        }
    }
}

#[derive(Debug)]
enum Wanted {
    Topics(Vec<String>),
    /// `None` for a pattern that only librdkafka can read: any topic may match it.
    Pattern(Option<Regex>),
}

impl Wanted {
    fn contains(&self, topic: &str) -> bool {
        match self {
            Self::Topics(topics) => topics.iter().any(|wanted| wanted == topic),
            Self::Pattern(pattern) => pattern.as_ref().is_none_or(|p| p.is_match(topic)),
        }
    }
}

/// Decides when a sink's consumer looks its topics up.
#[derive(Debug)]
pub(super) struct TopicWatch {
    created: CreatedTopics,
    /// Number of created topics that were compared with the subscription.
    seen: u64,
    wanted: Wanted,
    /// When a wanted topic was found among the created ones.
    found: Option<Instant>,
    /// Number of look-ups since.
    looked_up: usize,
}

impl TopicWatch {
    /// True if the topics are to be looked up now.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        if self.is_wanted_created() {
            (self.found, self.looked_up) = (Some(now), 0);
        }
        let (Some(found), Some(after)) = (self.found, LOOK_UP_AFTER.get(self.looked_up)) else {
            return false;
        };
        let is_due = now.saturating_duration_since(found) >= *after;
        self.looked_up += usize::from(is_due);
        is_due
    }

    /// Ends the look-ups: the group has assigned partitions.
    pub(super) fn stop(&mut self) {
        self.found = None;
    }

    /// True if a wanted topic was created since the last call, or may have been.
    fn is_wanted_created(&mut self) -> bool {
        let list = self.created.0.take_lock();
        let (mut new, missed) = list.after(self.seen);
        self.seen = list.count;
        missed || new.any(|(_, topic)| self.wanted.contains(topic))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{CreatedTopics, KEPT};
    use crate::kafka::consumer::Subscription;

    #[test]
    fn topics_are_looked_up_a_few_times_after_a_wanted_one_was_created() {
        for what in [
            Subscription::Topics(vec!["other".to_owned(), "shop.a".to_owned()]),
            Subscription::Pattern(r"shop\..".to_owned()),
        ] {
            let topics = CreatedTopics::default();
            let mut watch = topics.watch(&what);
            let now = Instant::now();
            let mut after = |ms| watch.is_due(now + Duration::from_millis(ms));
            assert!(!after(0), "{what:?}");
            topics.announce("shop.ab");
            assert!(!after(0), "another topic, {what:?}");
            topics.announce("shop.a");
            let due = [1, 2, 101, 102, 401, 402, 5000].map(after);
            assert_eq!(
                due,
                [true, false, true, false, true, false, false],
                "{what:?}"
            );
        }
    }

    #[test]
    fn a_topic_created_just_before_the_sink_started_is_looked_up() {
        let topics = CreatedTopics::default();
        topics.announce("a");
        topics.announce("b");
        let due = |wanted: &str| {
            let mut watch = topics.watch(&Subscription::Topics(vec![wanted.to_owned()]));
            watch.is_due(Instant::now())
        };
        assert_eq!(["a", "b", "c"].map(due), [true, true, false]);
    }

    #[test]
    fn an_assignment_ends_the_look_ups() {
        let topics = CreatedTopics::default();
        let what = Subscription::Topics(vec!["a".to_owned()]);
        let mut watch = topics.watch(&what);
        let now = Instant::now();
        topics.announce("a");
        assert!(watch.is_due(now));
        watch.stop();
        assert!(!watch.is_due(now + Duration::from_secs(1)));
        topics.announce("a");
        assert!(watch.is_due(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_sink_that_missed_topics_looks_once_for_all() {
        let topics = CreatedTopics::default();
        let what = Subscription::Topics(vec!["a".to_owned()]);
        let mut watch = topics.watch(&what);
        (0..=KEPT).for_each(|n| topics.announce(&format!("t{n}")));
        assert!(watch.is_due(Instant::now()));
    }
}
