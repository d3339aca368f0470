//! Requirements of the runtime on sinks that store offsets.

use std::ops::Range;

use async_trait::async_trait;

use super::both;
use crate::{
    Config, ErrorKind, Record, SinkConnector, SinkRecord, SinkTask, TopicOffset, TopicPartition,
};

/// A sink that stores offsets, and the system that it writes to. Records are numbered by their
/// offsets.
#[async_trait]
pub trait SinkFixture: Send {
    /// Returns the sink under test.
    fn sink(&self) -> &dyn SinkConnector;

    /// Returns a task config, with `task.cluster`. It must use inserts, so that a record written
    /// twice is detected.
    fn config(&self) -> Config;

    /// Returns a topic partition that no other call returns.
    fn topic(&mut self) -> TopicPartition;

    /// Creates the record with this number.
    fn record(&self, at: &TopicPartition, number: i64) -> Record;

    /// Returns the sorted numbers of all records of the topic in the system, with duplicates.
    async fn written(&mut self, at: &TopicPartition) -> Vec<i64>;

    /// Makes the next commit take effect and then fail with [`ErrorKind::Retry`], as if the
    /// response was lost; for example with a [fail point](crate::fail_point) after the commit.
    fn lose_the_answer_to_the_next_commit(&mut self);
}

async fn open(fixture: &dyn SinkFixture) -> Box<dyn SinkTask> {
    fixture
        .sink()
        .open(&fixture.config(), false)
        .await
        .expect("a task")
}

async fn assign(task: &mut dyn SinkTask, at: &TopicPartition) -> Option<i64> {
    let stored = task
        .assign(std::slice::from_ref(at))
        .await
        .expect("an assignment");
    let wrong = stored
        .iter()
        .find(|other| (&other.topic, other.partition) != (&at.topic, at.partition));
    assert!(
        wrong.is_none() && stored.len() <= 1,
        "an offset was returned for a partition that was not requested: {stored:?}"
    );
    stored.first().map(|stored| stored.offset)
}

async fn put(
    fixture: &dyn SinkFixture,
    task: &mut dyn SinkTask,
    at: &TopicPartition,
    numbers: Range<i64>,
) -> crate::Result<()> {
    let place = |offset| TopicOffset {
        topic: at.topic.clone(),
        partition: at.partition,
        offset,
    };
    let next = [place(numbers.end)];
    let record = |number| SinkRecord {
        record: fixture.record(at, number),
        at: place(number),
    };
    let report = task
        .put(&numbers.map(record).collect::<Vec<_>>(), &next)
        .await?;
    assert!(
        report.rejected.is_empty(),
        "good records were rejected: {:?}",
        report.rejected
    );
    Ok(())
}

async fn assert_written(
    fixture: &mut dyn SinkFixture,
    at: &TopicPartition,
    wanted: Range<i64>,
    promise: &str,
) {
    assert_eq!(
        fixture.written(at).await,
        wanted.collect::<Vec<_>>(),
        "{promise}"
    );
}

/// Runs all contract tests of a sink.
pub async fn check_sink(fixture: &mut dyn SinkFixture) {
    put_again_after_a_crash(fixture).await;
    rolled_back_records_are_not_there(fixture).await;
    a_batch_whose_commit_is_in_doubt_is_written_once(fixture).await;
    a_fenced_task_writes_nothing_more(fixture).await;
    offsets_come_back_when_a_partition_does(fixture).await;
    offsets_come_back_when_an_assignment_does(fixture).await;
}

/// A task that ends between put and commit leaves no records, and the next task receives them
/// again.
pub async fn put_again_after_a_crash(fixture: &mut dyn SinkFixture) {
    let at = fixture.topic();
    let mut task = open(fixture).await;
    assert_eq!(
        assign(&mut *task, &at).await,
        None,
        "an offset of a partition that was never written"
    );
    put(fixture, &mut *task, &at, 0..3).await.expect("a put");
    task.commit().await.expect("a commit");
    put(fixture, &mut *task, &at, 3..6).await.expect("a put");
    drop(task);
    let mut task = open(fixture).await;
    assert_eq!(
        assign(&mut *task, &at).await,
        Some(3),
        "the offset after the last commit"
    );
    put(fixture, &mut *task, &at, 3..6).await.expect("a put");
    task.commit().await.expect("a commit");
    task.close().await;
    assert_written(
        fixture,
        &at,
        0..6,
        "a crash between put and commit lost or duplicated records",
    )
    .await;
}

/// Rolling back removes the records and their offset.
pub async fn rolled_back_records_are_not_there(fixture: &mut dyn SinkFixture) {
    let at = fixture.topic();
    let mut task = open(fixture).await;
    assign(&mut *task, &at).await;
    put(fixture, &mut *task, &at, 0..3).await.expect("a put");
    task.rollback().await.expect("a rollback");
    assert_written(fixture, &at, 0..0, "records exist that were rolled back").await;
    put(fixture, &mut *task, &at, 0..2).await.expect("a put");
    task.commit().await.expect("a commit");
    task.close().await;
    let mut task = open(fixture).await;
    assert_eq!(
        assign(&mut *task, &at).await,
        Some(2),
        "the offset of the committed batch"
    );
    task.close().await;
    assert_written(fixture, &at, 0..2, "a rollback lost or duplicated records").await;
}

/// A commit succeeds but its response is lost: the runtime puts the same batch again, and it must
/// not be written twice.
pub async fn a_batch_whose_commit_is_in_doubt_is_written_once(fixture: &mut dyn SinkFixture) {
    let at = fixture.topic();
    let mut task = open(fixture).await;
    assign(&mut *task, &at).await;
    put(fixture, &mut *task, &at, 0..3).await.expect("a put");
    fixture.lose_the_answer_to_the_next_commit();
    let error = task
        .commit()
        .await
        .expect_err("a commit whose answer is lost");
    assert_eq!(
        error.kind(),
        ErrorKind::Retry,
        "a commit in doubt is retried: {error}"
    );
    for numbers in [0..3, 3..5] {
        put(fixture, &mut *task, &at, numbers).await.expect("a put");
        task.commit().await.expect("a commit");
    }
    task.close().await;
    assert_written(
        fixture,
        &at,
        0..5,
        "a batch that was put again after its commit was written twice",
    )
    .await;
}

/// Once another task has taken over a partition, the earlier task can no longer write to it.
pub async fn a_fenced_task_writes_nothing_more(fixture: &mut dyn SinkFixture) {
    let at = fixture.topic();
    let mut old = open(fixture).await;
    assign(&mut *old, &at).await;
    put(fixture, &mut *old, &at, 0..3).await.expect("a put");
    old.commit().await.expect("a commit");
    let mut new = open(fixture).await;
    assert_eq!(assign(&mut *new, &at).await, Some(3));
    let late = match put(fixture, &mut *old, &at, 3..6).await {
        Ok(()) => old.commit().await,
        refused => refused,
    };
    let error = late.expect_err("a task whose partition was taken over must not commit");
    assert_eq!(
        error.kind(),
        ErrorKind::Fenced,
        "the error of a task whose partition was taken over: {error}"
    );
    put(fixture, &mut *new, &at, 3..6).await.expect("a put");
    new.commit().await.expect("a commit");
    // A transaction open during the takeover is either committed before it or refused.
    put(fixture, &mut *new, &at, 6..9).await.expect("a put");
    let mut newest = open(fixture).await;
    let (next, committed) = both(assign(&mut *newest, &at), new.commit()).await;
    let next = next.expect("a stored offset");
    assert_eq!(
        next,
        if committed.is_ok() { 9 } else { 6 },
        "the new owner continues after the committed records"
    );
    put(fixture, &mut *newest, &at, next..12)
        .await
        .expect("a put");
    newest.commit().await.expect("a commit");
    assert_written(
        fixture,
        &at,
        0..12,
        "a task whose partition was taken over has written records",
    )
    .await;
    for task in [old, new, newest] {
        task.close().await;
    }
}

/// A partition that is assigned again without having been revoked, as after an assignment of which a
/// part has failed, resumes after the last commit.
pub async fn offsets_come_back_when_an_assignment_does(fixture: &mut dyn SinkFixture) {
    let (at, mut task) = (fixture.topic(), open(fixture).await);
    assign(&mut *task, &at).await;
    put(fixture, &mut *task, &at, 0..2).await.expect("a put");
    task.commit().await.expect("a commit");
    for _ in 0..2 {
        assert_eq!(
            assign(&mut *task, &at).await,
            Some(2),
            "the offset behind the last commit"
        );
    }
    put(fixture, &mut *task, &at, 2..4).await.expect("a put");
    task.commit().await.expect("a commit");
    task.close().await;
    assert_written(
        fixture,
        &at,
        0..4,
        "a partition that was assigned twice has lost or doubled records",
    )
    .await;
}

/// A partition that is revoked and assigned again resumes after the last commit.
pub async fn offsets_come_back_when_a_partition_does(fixture: &mut dyn SinkFixture) {
    let (one, other) = (fixture.topic(), fixture.topic());
    let mut task = open(fixture).await;
    assign(&mut *task, &one).await;
    assign(&mut *task, &other).await;
    put(fixture, &mut *task, &one, 0..2).await.expect("a put");
    task.commit().await.expect("a commit");
    task.revoke(std::slice::from_ref(&one))
        .await
        .expect("revoked");
    put(fixture, &mut *task, &other, 0..4)
        .await
        .expect("a partition that stays assigned is written further");
    task.commit().await.expect("a commit");
    assert_eq!(
        assign(&mut *task, &one).await,
        Some(2),
        "the offset after the last commit"
    );
    put(fixture, &mut *task, &one, 2..4).await.expect("a put");
    task.commit().await.expect("a commit");
    task.close().await;
    assert_written(
        fixture,
        &one,
        0..4,
        "a partition that was assigned again lost or duplicated records",
    )
    .await;
    assert_written(
        fixture,
        &other,
        0..4,
        "a partition that stayed assigned lost or duplicated records",
    )
    .await;
}
