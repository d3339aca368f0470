//! How far a sink is behind the end of each partition it reads, in records and in seconds. Pure: the
//! time is passed in.

use std::collections::{BTreeMap, VecDeque};

use connector_api::TopicPartition;

use super::window::seconds;

/// Maximum number of remembered ends of one partition. Beyond that, every second one is forgotten,
/// so that the time of a long lag is less exact.
const ENDS_MAX: usize = 128;

/// What a consumer reports about a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionReport {
    /// The offset after the last committed record.
    pub end: i64,
    /// The next offset to fetch, beyond transaction markers.
    pub fetched: i64,
    /// Number of records that are fetched and not handed on yet.
    pub waiting: u64,
}

/// How far a sink is in one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartitionLag {
    /// Everything before this offset is written.
    written: i64,
    /// Everything before this offset is with the task, written or not.
    read: i64,
    report: Option<PartitionReport>,
    /// When the end moved and to where, oldest first, from the first one that is beyond what is
    /// written.
    ends: VecDeque<(u64, i64)>,
}

impl PartitionLag {
    fn written(&mut self, next: i64) {
        self.written = self.written.max(next);
        self.forget();
    }

    fn read(&mut self, next: i64) {
        self.read = self.read.max(next);
    }

    fn report(&mut self, now_ms: u64, report: PartitionReport) {
        self.report = Some(report);
        if self.ends.back().is_none_or(|(_, end)| *end < report.end) {
            self.ends.push_back((now_ms, report.end));
        }
        if self.ends.len() > ENDS_MAX {
            let ends = std::mem::take(&mut self.ends);
            self.ends = ends.into_iter().step_by(2).collect();
        }
        self.forget();
    }

    /// Forgets the ends that are reached; the last end is kept, or it would count as a new one.
    fn forget(&mut self) {
        let position = self.position();
        while self.ends.len() > 1 && self.ends.front().is_some_and(|(_, end)| *end <= position) {
            self.ends.pop_front();
        }
    }

    /// Returns the offset that the sink has reached. Markers of transactions after the last record
    /// are no records: once everything fetched is written, the position is behind them.
    pub(crate) fn position(&self) -> i64 {
        match self.report {
            Some(report) if report.waiting == 0 && self.read <= self.written => {
                self.written.max(report.fetched)
            }
            _ => self.written,
        }
    }

    /// Returns the end of the partition, once it is known.
    pub(crate) fn end(&self) -> Option<i64> {
        self.report.map(|report| report.end)
    }

    /// Returns the number of records that are not written yet, with the markers of transactions
    /// among them.
    pub(crate) fn rows(&self) -> Option<u64> {
        let behind = self.end()?.saturating_sub(self.position());
        Some(u64::try_from(behind).unwrap_or(0))
    }

    /// Returns for how long the oldest record that is not written has been in the partition, as far
    /// as this worker has seen: 0 if there is none.
    pub(crate) fn seconds(&self, now_ms: u64) -> Option<f64> {
        if self.rows()? == 0 {
            return Some(0.0);
        }
        let position = self.position();
        let since = self.ends.iter().find(|(_, end)| *end > position);
        Some(since.map_or(0.0, |(at, _)| seconds(now_ms.saturating_sub(*at))))
    }
}

/// The partitions that a task reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct SinkLag(BTreeMap<TopicPartition, PartitionLag>);

impl SinkLag {
    /// Notes that partitions were assigned, with the offsets that they start at where known.
    pub(crate) fn assign(&mut self, started: impl IntoIterator<Item = (TopicPartition, i64)>) {
        for (partition, start) in started {
            self.0.entry(partition).or_default().written(start);
        }
    }

    /// Notes that partitions were revoked.
    pub(crate) fn revoke(&mut self, partitions: &[TopicPartition]) {
        self.0
            .retain(|partition, _| !partitions.contains(partition));
    }

    /// Notes that everything before these offsets is with the task.
    pub(crate) fn read<'a>(
        &mut self,
        next: impl IntoIterator<Item = (&'a TopicPartition, &'a i64)>,
    ) {
        for (partition, offset) in next {
            if let Some(lag) = self.0.get_mut(partition) {
                lag.read(*offset);
            }
        }
    }

    /// Notes that everything before these offsets is written.
    pub(crate) fn written<'a>(
        &mut self,
        next: impl IntoIterator<Item = (&'a TopicPartition, &'a i64)>,
    ) {
        for (partition, offset) in next {
            if let Some(lag) = self.0.get_mut(partition) {
                lag.written(*offset);
            }
        }
    }

    /// Takes in what the consumer reports; partitions that are not assigned are ignored.
    pub(crate) fn report(&mut self, now_ms: u64, reports: &[(TopicPartition, PartitionReport)]) {
        for (partition, report) in reports {
            if let Some(lag) = self.0.get_mut(partition) {
                lag.report(now_ms, *report);
            }
        }
    }

    /// Forgets all partitions.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns each partition with its lag.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &PartitionLag)> {
        self.0.iter()
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

    fn report(end: i64, fetched: i64, waiting: u64) -> PartitionReport {
        PartitionReport {
            end,
            fetched,
            waiting,
        }
    }

    #[test]
    fn records_are_behind_until_they_are_written_and_markers_after_them_are_not() {
        let mut lag = PartitionLag::default();
        assert_eq!((lag.rows(), lag.seconds(0)), (None, None), "not known yet");
        lag.written(10);
        lag.read(15);
        lag.report(1_000, report(21, 21, 5));
        assert_eq!(lag.rows(), Some(11));
        assert_eq!(lag.seconds(3_000), Some(2.0));
        lag.read(20);
        lag.report(2_000, report(21, 21, 0));
        assert_eq!(lag.rows(), Some(11), "read, but not written");
        lag.written(20);
        assert_eq!(lag.rows(), Some(0), "offset 20 is the marker of the commit");
        assert_eq!(lag.seconds(9_000), Some(0.0));
    }

    #[test]
    fn an_idle_partition_that_gets_a_record_is_behind_since_then() {
        let mut lag = PartitionLag::default();
        lag.written(5);
        lag.report(0, report(5, 5, 0));
        lag.report(600_000, report(7, 5, 0));
        assert_eq!(lag.seconds(601_000), Some(1.0));
        lag.report(602_000, report(9, 5, 0));
        assert_eq!(lag.seconds(603_000), Some(3.0), "the oldest counts");
        lag.written(7);
        assert_eq!(lag.seconds(603_000), Some(1.0), "the first end is reached");
    }

    #[test]
    fn a_long_lag_takes_bounded_memory_and_keeps_its_age() {
        let mut lag = PartitionLag::default();
        for second in 0..10_000 {
            lag.report(
                second * 1000,
                report(i64::try_from(second).unwrap() + 1, 0, 0),
            );
        }
        assert!(lag.ends.len() <= ENDS_MAX);
        assert_eq!(lag.seconds(10_000_000), Some(10_000.0));
    }

    #[test]
    fn only_assigned_partitions_count() {
        let mut sink = SinkLag::default();
        sink.assign([(at(0), 3)]);
        sink.report(0, &[(at(0), report(4, 3, 0)), (at(1), report(9, 0, 0))]);
        let rows: Vec<_> = sink
            .iter()
            .map(|(p, lag)| (p.partition, lag.rows()))
            .collect();
        assert_eq!(rows, [(0, Some(1))]);
        sink.revoke(&[at(0)]);
        assert_eq!(sink.iter().count(), 0);
    }
}
