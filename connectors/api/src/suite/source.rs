//! Requirements of the runtime on sources.

#![expect(clippy::indexing_slicing, reason = "a test that cannot go on panics")]

use std::ops::Range;
use std::sync::Mutex;

use async_trait::async_trait;

use super::dropped_after;
use crate::{
    Config, Record, Result, SourceBatch, SourceConnector, SourceOffset, SourcePartition,
    SourcePosition, SourceTask, StoredOffsets,
};

/// Maximum number of polls without records before a test fails: the missing rows were lost.
const EMPTY_POLLS: usize = 5_000;
/// Number of rows that the fixture is asked to write.
const ROWS: u64 = 100;

/// A source and the system that it reads, in which rows are numbered.
#[async_trait]
pub trait SourceFixture: Send {
    /// Returns the source under test.
    fn source(&self) -> &dyn SourceConnector;

    /// Returns its config. Batches must be small, so that [`ROWS`] rows take several.
    fn config(&self) -> Config;

    /// Adds these rows to the system and commits them.
    async fn write(&mut self, rows: Range<u64>);

    /// Returns the number of the row that a record was made from.
    fn row(&self, record: &Record) -> u64;

    /// Waits briefly after a batch without records.
    async fn pause(&mut self);
}

/// Stands in for the offsets topic; the last stored position of a partition wins.
#[derive(Default)]
pub struct TestStoredOffsets(Mutex<Vec<SourcePosition>>);

impl TestStoredOffsets {
    /// Stores the positions of a batch.
    ///
    /// # Panics
    /// If two of them belong to the same partition.
    pub fn store(&self, batch: &SourceBatch) {
        let mut stored = self.0.lock().expect("no thread panicked with it");
        for (nth, position) in batch.positions.iter().enumerate() {
            let twice = batch.positions[..nth]
                .iter()
                .any(|other| other.partition.same_as(&position.partition));
            assert!(
                !twice,
                "a batch has two positions of {:?}",
                position.partition
            );
            stored.retain(|other| !other.partition.same_as(&position.partition));
            stored.extend(position.offset.is_some().then(|| position.clone()));
        }
    }
}

#[async_trait]
impl StoredOffsets for TestStoredOffsets {
    async fn read(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>> {
        let stored = self.0.lock().expect("no thread panicked with it");
        let of = |partition: &SourcePartition| {
            stored
                .iter()
                .find(|other| other.partition.same_as(partition))
        };
        Ok(partitions
            .iter()
            .map(|partition| of(partition).and_then(|position| position.offset.clone()))
            .collect())
    }

    async fn all(&self) -> Result<Vec<SourcePosition>> {
        Ok(self.0.lock().expect("no thread panicked with it").clone())
    }
}

async fn open(fixture: &dyn SourceFixture, stored: &TestStoredOffsets) -> Box<dyn SourceTask> {
    let (source, config) = (fixture.source(), fixture.config());
    let plan = source.plan_on(&config, 1, stored).await.expect("a plan");
    assert_eq!(plan.tasks.len(), 1, "tasks.max is 1");
    source.open(&plan.tasks[0], stored).await.expect("a task")
}

/// Polls until a batch has records; returns their row numbers and the batch.
async fn next(
    fixture: &mut dyn SourceFixture,
    task: &mut dyn SourceTask,
) -> (Vec<u64>, SourceBatch) {
    for _ in 0..EMPTY_POLLS {
        let batch = task.poll().await.expect("a batch");
        if !batch.records.is_empty() {
            return (
                batch
                    .records
                    .iter()
                    .map(|record| fixture.row(record))
                    .collect(),
                batch,
            );
        }
        fixture.pause().await;
    }
    panic!("{EMPTY_POLLS} polls returned no record, but rows are missing");
}

fn assert_rows(seen: &[u64], wanted: Range<u64>, promise: &str) {
    assert_eq!(seen, wanted.collect::<Vec<_>>(), "{promise}");
}

/// Runs all contract tests of a source. The fixture's system must be empty.
pub async fn check_source(fixture: &mut dyn SourceFixture) {
    a_dropped_poll_loses_nothing(fixture, 0).await;
    reading_goes_on_behind_what_was_stored(fixture, ROWS).await;
    a_batch_that_was_not_stored_comes_again(fixture, 2 * ROWS).await;
}

/// Returns the positions after the rows that exist already.
async fn behind(fixture: &mut dyn SourceFixture, rows: u64) -> TestStoredOffsets {
    let stored = TestStoredOffsets::default();
    let mut task = open(fixture, &stored).await;
    let mut seen = 0;
    while seen < rows {
        let (rows, batch) = next(fixture, &mut *task).await;
        seen += rows.len() as u64;
        stored.store(&batch);
    }
    task.close().await;
    stored
}

/// A poll that is dropped at any wait has emitted nothing: the next one returns the same rows.
/// Rows before `first` exist already.
pub async fn a_dropped_poll_loses_nothing(fixture: &mut dyn SourceFixture, first: u64) {
    let stored = behind(fixture, first).await;
    fixture.write(first..first + ROWS).await;
    let mut task = open(fixture, &stored).await;
    let (mut seen, mut pending) = (Vec::new(), 0);
    for _ in 0..EMPTY_POLLS {
        match dropped_after(pending % 50, task.poll()).await {
            Some(batch) => {
                let batch = batch.expect("a batch");
                if batch.records.is_empty() {
                    fixture.pause().await;
                }
                seen.extend(batch.records.iter().map(|record| fixture.row(record)));
                pending = 0;
            }
            None => pending += 1,
        }
        if seen.len() as u64 >= ROWS {
            break;
        }
    }
    assert_rows(
        &seen,
        first..first + ROWS,
        "a poll that was dropped lost or duplicated rows",
    );
    task.close().await;
}

/// Whenever a task ends, the next one resumes after the positions of the last stored batch.
/// Rows before `first` exist already.
pub async fn reading_goes_on_behind_what_was_stored(fixture: &mut dyn SourceFixture, first: u64) {
    let stored = behind(fixture, first).await;
    let (half, end) = (first + ROWS / 2, first + ROWS);
    let mut seen = Vec::new();
    for (rows, wanted) in [(first..half, half), (half..end, end)] {
        fixture.write(rows).await;
        while (seen.len() as u64) < wanted - first {
            let mut task = open(fixture, &stored).await;
            let (rows, batch) = next(fixture, &mut *task).await;
            seen.extend(rows);
            stored.store(&batch);
            task.committed(&batch.positions).await.expect("committed");
            task.close().await;
        }
    }
    assert_rows(
        &seen,
        first..end,
        "a task that was opened again lost or duplicated rows",
    );
}

/// Rows whose positions were never stored are read again. Rows before `first` exist already.
pub async fn a_batch_that_was_not_stored_comes_again(fixture: &mut dyn SourceFixture, first: u64) {
    let stored = behind(fixture, first).await;
    fixture.write(first..first + ROWS).await;
    let mut task = open(fixture, &stored).await;
    let (lost, _) = next(fixture, &mut *task).await;
    task.close().await;
    let mut task = open(fixture, &stored).await;
    let mut seen = Vec::new();
    while (seen.len() as u64) < ROWS {
        let (rows, batch) = next(fixture, &mut *task).await;
        seen.extend(rows);
        stored.store(&batch);
    }
    task.close().await;
    assert!(
        seen.starts_with(&lost),
        "a batch that was not stored was not emitted again: {lost:?}, {seen:?}"
    );
    assert_rows(
        &seen,
        first..first + ROWS,
        "rows were lost or duplicated after a batch that was not stored",
    );
}
