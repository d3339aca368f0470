//! The figures of one task, which outlive its restarts: counters never fall while the process lives.
//! Pure: the time is passed in, and nothing here runs per record.

use std::collections::BTreeMap;
use std::sync::Arc;

use connector_api::ErrorKind;

use super::histogram::Histogram;
use super::lag::SinkLag;
use super::window::{Window, as_f64, seconds};

/// Records and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub records: u64,
    pub bytes: u64,
}

impl Amount {
    /// Adds another amount.
    pub(crate) fn add(&mut self, more: Self) {
        self.records += more.records;
        self.bytes += more.bytes;
    }
}

/// What a batch or transaction holds of each topic: few topics, in the order of their first record.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicAmounts {
    topics: Vec<(Arc<str>, Amount)>,
    last: usize,
}

impl TopicAmounts {
    /// Counts a record. Consecutive records mostly have the same topic, which is found at once.
    pub(crate) fn count(&mut self, topic: &Arc<str>, bytes: usize) {
        let is_it = |known: &Arc<str>| Arc::ptr_eq(known, topic) || *known == *topic;
        if self.topics.get(self.last).is_none_or(|(t, _)| !is_it(t)) {
            self.last = match self.topics.iter().position(|(known, _)| is_it(known)) {
                Some(place) => place,
                None => {
                    self.topics.push((Arc::clone(topic), Amount::default()));
                    self.topics.len() - 1
                }
            };
        }
        if let Some((_, amount)) = self.topics.get_mut(self.last) {
            amount.records += 1;
            amount.bytes += bytes as u64;
        }
    }

    /// Returns the number of records.
    pub(crate) fn records(&self) -> u64 {
        self.topics.iter().map(|(_, amount)| amount.records).sum()
    }

    /// Returns each topic with its amount.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Arc<str>, Amount)> {
        self.topics.iter()
    }
}

/// Totals by topic, for at most a number of topics; the rest is counted together as `other`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicTotals(BTreeMap<Arc<str>, Amount>);

/// The label of all topics beyond the maximum.
const OTHER: &str = "other";

impl TopicTotals {
    fn add(&mut self, more: &TopicAmounts, most: usize) {
        for (topic, amount) in more.iter() {
            if let Some(known) = self.0.get_mut(topic) {
                known.add(*amount);
            } else if self.0.len() < most {
                self.0.insert(Arc::clone(topic), *amount);
            } else {
                self.0.entry(OTHER.into()).or_default().add(*amount);
            }
        }
    }

    /// Returns each topic with its total.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Amount)> {
        self.0.iter()
    }

    /// Returns the number of records of all topics.
    pub(crate) fn records(&self) -> u64 {
        self.0.values().map(|amount| amount.records).sum()
    }
}

/// What a task does, as far as its ratios are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It is not open, or has ended.
    #[default]
    Down,
    Running,
    Paused,
}

/// How long a task has been running and paused since its last start.
#[derive(Clone, Copy, Debug, Default)]
struct ActivityTimes {
    started_ms: u64,
    since_ms: u64,
    now: Activity,
    running_ms: u64,
    paused_ms: u64,
}

impl ActivityTimes {
    fn enter(&mut self, next: Activity, now_ms: u64) {
        let (running, paused) = self.until(now_ms);
        *self = Self {
            started_ms: self.started_ms,
            since_ms: now_ms,
            now: next,
            running_ms: running,
            paused_ms: paused,
        };
    }

    fn until(&self, now_ms: u64) -> (u64, u64) {
        let more = now_ms.saturating_sub(self.since_ms);
        match self.now {
            Activity::Down => (self.running_ms, self.paused_ms),
            Activity::Running => (self.running_ms + more, self.paused_ms),
            Activity::Paused => (self.running_ms, self.paused_ms + more),
        }
    }
}

/// What a thread of a task may wait for, as a metric shows it.
pub(crate) const WAITS: [&str; 6] = [
    "source",
    "database",
    "kafka",
    "converter",
    "dead_letters",
    "retry",
];

/// Errors of records, with the meaning that they have in Kafka Connect (KIP-298).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecordErrors {
    /// Operations that failed, whatever followed.
    pub failures: u64,
    /// Failures that were not tolerated and failed the task.
    pub errors: u64,
    pub skipped: u64,
    pub retries: u64,
    /// Failures that were logged because of `errors.log.enable`.
    pub logged: u64,
    pub dead_letters: u64,
    pub dead_letter_failures: u64,
    /// Milliseconds since 1970-01-01 UTC; 0 for never.
    pub last_ms: u64,
}

/// Commits of one side.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Commits {
    pub times: Histogram,
    pub recent_ms: Window,
    /// 1 for a commit that succeeded, 0 for one that failed.
    pub success: Window,
    pub done: u64,
    pub done_rate: Window,
    pub failed: u64,
    pub failed_rate: Window,
}

impl Commits {
    /// Notes a commit that took this long.
    pub(crate) fn note(&mut self, now_ms: u64, took: std::time::Duration, succeeded: bool) {
        self.success.add(now_ms, f64::from(u8::from(succeeded)));
        if succeeded {
            self.times.add(took.as_secs_f64());
            self.recent_ms.add(now_ms, took.as_secs_f64() * 1000.0);
            self.done += 1;
            self.done_rate.add(now_ms, 1.0);
        } else {
            self.failed += 1;
            self.failed_rate.add(now_ms, 1.0);
        }
    }
}

/// All figures of one task.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskFigures {
    pub starts: u64,
    times: ActivityTimes,
    /// Records that a source has polled, before transforms, or that a sink has read from Kafka.
    pub read: TopicTotals,
    /// Records that a source has committed to Kafka, or that a sink has written.
    pub written: TopicTotals,
    pub read_rate: Window,
    pub written_rate: Window,
    /// When records were last read.
    pub last_read_ms: Option<u64>,
    /// Records that are read and not yet written.
    pub active: u64,
    pub active_recent: Window,
    /// Duration of a poll that returned records, or of a batch that a sink wrote, without commit.
    pub batch_ms: Window,
    pub batch_seconds: Histogram,
    pub batch_records: Window,
    /// Records of each Kafka transaction of a source.
    pub transaction_records: Window,
    /// Kafka transactions of a source.
    pub kafka_commits: Commits,
    /// Commits to the database of a sink.
    pub database_commits: Commits,
    pub record_errors: RecordErrors,
    /// Errors by kind, in the order of [`KINDS`].
    pub errors: [u64; KINDS.len()],
    pub partitions: u64,
    /// How far a sink is behind the ends of its partitions.
    pub lag: SinkLag,
    pub rebalances: u64,
    /// Milliseconds within a second that a thread waited, in the order of [`WAITS`].
    pub waits: [Window; WAITS.len()],
}

/// The kinds of errors, with their names.
pub(crate) const KINDS: [(ErrorKind, &str); 6] = [
    (ErrorKind::Retry, "retry"),
    (ErrorKind::Record, "record"),
    (ErrorKind::Config, "config"),
    (ErrorKind::Denied, "denied"),
    (ErrorKind::Fenced, "fenced"),
    (ErrorKind::Fatal, "fatal"),
];

impl TaskFigures {
    /// Notes a start of the task.
    pub(crate) fn started(&mut self, now_ms: u64) {
        self.starts += 1;
        self.times = ActivityTimes {
            started_ms: now_ms,
            since_ms: now_ms,
            ..ActivityTimes::default()
        };
        self.attempt_started();
    }

    /// Notes that the task opens its clients and its connector again: what was under way is read
    /// again.
    pub(crate) fn attempt_started(&mut self) {
        self.active = 0;
        self.partitions = 0;
        self.lag.clear();
    }

    /// Notes what the task does from now on.
    pub(crate) fn enter(&mut self, activity: Activity, now_ms: u64) {
        if activity == Activity::Down {
            // Nobody observes the ends any more.
            self.partitions = 0;
            self.lag.clear();
        }
        self.times.enter(activity, now_ms);
    }

    /// True if the task works, so that it observes its partitions; a paused consumer does not.
    pub(crate) fn is_running(&self) -> bool {
        self.times.now == Activity::Running
    }

    /// Returns the shares of the time since the last start in which the task was running and paused.
    pub(crate) fn activity_ratios(&self, now_ms: u64) -> (f64, f64) {
        let lasted = now_ms.saturating_sub(self.times.started_ms);
        if self.starts == 0 || lasted == 0 {
            return (0.0, 0.0);
        }
        let (running, paused) = self.times.until(now_ms);
        (
            seconds(running) / seconds(lasted),
            seconds(paused) / seconds(lasted),
        )
    }

    /// Notes records that were read.
    pub(crate) fn read(&mut self, now_ms: u64, topics: &TopicAmounts, most: usize) {
        let records = topics.records();
        self.read.add(topics, most);
        self.read_rate.add(now_ms, as_f64(records));
        self.last_read_ms = Some(now_ms);
        self.active += records;
        self.active_recent.add(now_ms, as_f64(self.active));
    }

    /// Notes records that were written, and that this number of records that were read is done with.
    pub(crate) fn written(&mut self, now_ms: u64, topics: &TopicAmounts, read: u64, most: usize) {
        self.written.add(topics, most);
        self.written_rate.add(now_ms, as_f64(topics.records()));
        self.done_with(now_ms, read);
    }

    /// Notes that this number of records that were read needs no more work.
    pub(crate) fn done_with(&mut self, now_ms: u64, read: u64) {
        self.active = self.active.saturating_sub(read);
        self.active_recent.add(now_ms, as_f64(self.active));
    }

    /// Notes a poll of a source that returned records, or a batch that a sink wrote.
    pub(crate) fn batch(&mut self, now_ms: u64, records: u64, took: std::time::Duration) {
        self.batch_ms.add(now_ms, took.as_secs_f64() * 1000.0);
        self.batch_seconds.add(took.as_secs_f64());
        self.batch_records.add(now_ms, as_f64(records));
    }

    /// Notes an error of any kind.
    pub(crate) fn error(&mut self, kind: ErrorKind) {
        if let Some(place) = KINDS.iter().position(|(known, _)| *known == kind)
            && let Some(count) = self.errors.get_mut(place)
        {
            *count += 1;
        }
    }

    /// Returns the number of errors of a kind.
    pub(crate) fn errors_of(&self, kind: ErrorKind) -> u64 {
        let place = KINDS.iter().position(|(known, _)| *known == kind);
        place.and_then(|p| self.errors.get(p)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use connector_api::ErrorKind;

    use super::{Activity, Amount, TaskFigures, TopicAmounts};

    fn amounts(records: &[(&str, usize)]) -> TopicAmounts {
        let mut amounts = TopicAmounts::default();
        for (topic, bytes) in records {
            amounts.count(&Arc::from(*topic), *bytes);
        }
        amounts
    }

    #[test]
    fn records_are_counted_by_topic_and_topics_beyond_the_maximum_together() {
        let mut task = TaskFigures::default();
        task.read(
            0,
            &amounts(&[("a", 1), ("b", 2), ("a", 3), ("c", 4), ("d", 5)]),
            2,
        );
        let read: Vec<_> = task.read.iter().map(|(t, a)| (t.to_string(), *a)).collect();
        let amount = |records, bytes| Amount { records, bytes };
        assert_eq!(
            read,
            [
                ("a".to_owned(), amount(2, 4)),
                ("b".to_owned(), amount(1, 2)),
                ("other".to_owned(), amount(2, 9)),
            ]
        );
        assert_eq!((task.read.records(), task.active), (5, 5));
        task.written(0, &amounts(&[("a", 1)]), 4, 2);
        assert_eq!((task.written.records(), task.active), (1, 1));
    }

    #[test]
    fn counters_survive_a_restart_and_what_was_under_way_does_not() {
        let mut task = TaskFigures::default();
        task.started(0);
        task.read(0, &amounts(&[("a", 1)]), 9);
        task.error(ErrorKind::Fenced);
        task.started(10);
        assert_eq!((task.read.records(), task.starts), (1, 2));
        assert_eq!(task.errors_of(ErrorKind::Fenced), 1);
        assert_eq!(task.active, 0);
    }

    #[test]
    fn ratios_are_shares_of_the_time_since_the_last_start() {
        let mut task = TaskFigures::default();
        assert_eq!(task.activity_ratios(5), (0.0, 0.0));
        task.started(1_000);
        task.enter(Activity::Running, 2_000);
        task.enter(Activity::Paused, 4_000);
        assert_eq!(task.activity_ratios(5_000), (0.5, 0.25));
        task.enter(Activity::Down, 5_000);
        assert_eq!(task.activity_ratios(9_000), (0.25, 0.125));
        task.started(10_000);
        assert_eq!(task.activity_ratios(11_000), (0.0, 0.0));
    }

    #[test]
    fn a_failed_commit_counts_as_a_failure_and_has_no_time() {
        let mut task = TaskFigures::default();
        task.kafka_commits.note(0, Duration::from_millis(20), true);
        task.kafka_commits.note(0, Duration::from_secs(9), false);
        let commits = task.kafka_commits;
        assert_eq!((commits.done, commits.failed), (1, 1));
        assert_eq!(commits.success.average(0), Some(0.5));
        assert_eq!(commits.recent_ms.max(0), Some(20.0));
    }
}
