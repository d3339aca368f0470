//! The polling thread of a source task: polls the connector and encodes what it returns, until the
//! task is asked to stop or the delivery thread has ended.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use connector_api::{Error, Result, SourceBatch, SourcePosition, SourceTask, fail_point};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tokio::sync::oneshot;

use super::TaskEvent;
use super::delivery::DeliveryEvent;
use super::encode::BatchEncoder;
use super::policy::{ErrorStage, Policy, Retry, RetryLimit, Verdict};
use super::source::SourceAttemptEnd;
use super::task::{RequestToSource, TaskContext, TaskTarget};
use super::thread::TaskThread;
use crate::waiting::WaitReason;

/// What polls and encodes.
pub(super) struct SourceLoop<'a> {
    pub(super) running: &'a mut TaskContext,
    pub(super) task: Box<dyn SourceTask>,
    pub(super) policy: Policy,
    pub(super) encoder: BatchEncoder,
    /// What the delivery thread reports.
    pub(super) deliveries: UnboundedReceiver<DeliveryEvent>,
    /// Failed polls in a row.
    pub(super) retry: Retry,
    /// True once a poll has returned records.
    pub(super) has_emitted: bool,
    /// When the poll in progress began; one that is interrupted is resumed.
    pub(super) poll_began: Option<Instant>,
    /// What users ask the source for.
    pub(super) requests: SourceRequests,
}

/// Whether the loop goes on, and how long to wait before the next poll. Ends when the delivery
/// thread has ended: its own result says why.
type NextPoll = ControlFlow<(), Option<Duration>>;

impl SourceLoop<'_> {
    /// Polls and encodes until the task is asked to stop or the delivery thread has ended.
    pub(super) async fn run(&mut self) -> Result<()> {
        loop {
            while let Ok(event) = self.deliveries.try_recv() {
                self.handle(event).await;
            }
            if !self.may_poll().await {
                return Ok(());
            }
            self.running.watch.front.enter(WaitReason::Source);
            self.poll_began.get_or_insert_with(Instant::now);
            let polled = tokio::select! {
                // The order matters.
                biased;
                // A new target first: a task that is to stop or pause starts nothing.
                () = self.running.changed() => continue,
                // The source learns of its commits under load too. Dropping the poll is safe: it
                // may wait long for rows, and the next poll resumes it.
                Some(event) = self.deliveries.recv() => {
                    self.handle(event).await;
                    continue;
                }
                Some(asked) = self.requests.next() => {
                    if self.answer(asked).await? {
                        continue;
                    }
                    return Ok(());
                }
                // Before the rest of a chunk is sent: records that are ready share the chunk.
                polled = poll_task(&mut *self.task) => polled,
                // No more records are ready: what is encoded must not wait for them.
                sent = self.encoder.send_rest(), if self.encoder.has_unsent() => {
                    if sent {
                        continue;
                    }
                    return Ok(());
                }
            };
            self.running.watch.front.moved();
            let next = match polled {
                Ok(batch) => self.take(batch).await?,
                Err(error) => self.handle_failure(error).await?,
            };
            let ControlFlow::Continue(wait) = next else {
                return Ok(());
            };
            if !self.retry.is_failing() {
                self.running.note(self.task.progress());
            }
            if let Some(wait) = wait
                && !self.wait(wait).await?
            {
                return Ok(());
            }
        }
    }

    /// Does what a user asks for. The answer follows once the positions that say so are durable.
    /// Returns false if the delivery thread has ended.
    async fn answer(&mut self, asked: RequestToSource) -> Result<bool> {
        let RequestToSource { request, reply } = asked;
        // Whoever asked may have given up while the task was busy.
        if reply.is_closed() {
            return Ok(true);
        }
        self.running.watch.front.enter(WaitReason::Source);
        let work = self.task.request(&request);
        let Some(accepted) = self.running.unless_stopped(work).await else {
            return Ok(true);
        };
        let positions = match accepted {
            Ok(positions) => positions,
            Err(error) => {
                let _asker_gone = reply.send(Err(error));
                return Ok(true);
            }
        };
        self.running.note(self.task.progress());
        self.requests.accepted(&positions, reply);
        let batch = SourceBatch {
            positions,
            ..SourceBatch::default()
        };
        self.encoder.take(batch).await
    }

    /// Waits while the task is paused. Hands over the whole batches encoded so far before the task
    /// pauses or stops. Returns false if the loop ends.
    async fn may_poll(&mut self) -> bool {
        if self.running.wanted() != TaskTarget::Run && !self.send_rest().await {
            return false;
        }
        if !self.running.may_work().await {
            return false;
        }
        self.running.report_paused(false).await;
        true
    }

    /// Sends what is encoded. Returns false if the task is to stop or the delivery thread has ended.
    async fn send_rest(&mut self) -> bool {
        let sending = self.encoder.send_rest();
        self.running.unless_stopped(sending).await == Some(true)
    }

    /// Encodes a batch.
    async fn take(&mut self, batch: SourceBatch) -> Result<NextPoll> {
        if self.retry.reset() {
            self.running.clear_retry_warning();
        }
        let took = self.poll_began.take().map(|began| began.elapsed());
        let (idle, records) = (batch.idle_for, batch.records.len() as u64);
        // A poll that found nothing is no batch.
        if let Some(took) = took.filter(|_| records > 0) {
            let metrics = &self.running.metrics;
            metrics.update(|task, now| task.batch(now, records, took));
        }
        self.has_emitted |= !batch.records.is_empty();
        if idle.is_some() && !self.has_emitted {
            // The stored position is up to date: nothing is left of what could not be delivered
            // before.
            self.running.clear_retry_warning();
        }
        // Never hand over part of a batch: without transactions, the part already sent would be
        // sent again.
        if self.encoder.take(batch).await? {
            Ok(ControlFlow::Continue(idle))
        } else {
            Ok(ControlFlow::Break(()))
        }
    }

    /// Decides what follows from a failed poll. Errors: it fails the task.
    async fn handle_failure(&mut self, error: Error) -> Result<NextPoll> {
        self.poll_began = None;
        let limit = RetryLimit::Policy;
        let verdict = self
            .retry
            .fail(&self.policy, error.kind(), ErrorStage::Poll, limit);
        match verdict {
            Verdict::Retry(wait) => {
                self.running.warn(&error);
                // What is encoded must not wait for the retry.
                if self.send_rest().await {
                    Ok(ControlFlow::Continue(Some(wait)))
                } else {
                    Ok(ControlFlow::Break(()))
                }
            }
            Verdict::Skip | Verdict::Fail => Err(error),
        }
    }

    /// Waits until it is time to poll again. Returns false if the delivery thread has ended.
    async fn wait(&mut self, time: Duration) -> Result<bool> {
        let until = tokio::time::Instant::now() + time;
        let polls = !self.retry.is_failing();
        let _noted = self.running.watch.front.note(if polls {
            WaitReason::Nothing
        } else {
            WaitReason::Retry
        });
        loop {
            tokio::select! {
                // Biased: a task that has to stop does not look at its deliveries before.
                biased;
                () = self.running.changed() => return Ok(true),
                event = self.deliveries.recv() => match event {
                    Some(event) => self.handle(event).await,
                    None => return Ok(false),
                },
                // What was asked for may be due at once.
                Some(asked) = self.requests.next(), if polls => return self.answer(asked).await,
                () = tokio::time::sleep_until(until) => return Ok(true),
            }
        }
    }

    /// Handles a report of the delivery thread. A durable commit clears the retry warning only if
    /// the last poll succeeded.
    async fn handle(&mut self, event: DeliveryEvent) {
        if let DeliveryEvent::Committed(positions, _) = &event {
            self.requests.committed(positions);
        }
        let polls = !self.retry.is_failing();
        handle_delivery(self.running, &mut *self.task, event, polls).await;
    }

    /// Ends the delivery thread, then the connector's task.
    pub(super) async fn end(
        self,
        writer: TaskThread<()>,
        polled: Result<()>,
    ) -> Result<(), SourceAttemptEnd> {
        let Self {
            running,
            mut task,
            mut encoder,
            mut deliveries,
            mut requests,
            ..
        } = self;
        encoder.send_rest().await;
        // Closes the channel, which ends the delivery thread: it commits what is complete.
        drop(encoder);
        running.watch.front.enter(WaitReason::Partner);
        let delivered = writer.join().await;
        // The source learns of its last commits before it is closed.
        deliveries.close();
        while let Some(event) = deliveries.recv().await {
            if let DeliveryEvent::Committed(positions, _) = &event {
                requests.committed(positions);
            }
            handle_delivery(running, &mut *task, event, true).await;
        }
        running.watch.front.enter(WaitReason::Source);
        close(task).await;
        running.requests = requests.into_receiver();
        delivered
            .map_err(SourceAttemptEnd::of_kafka)
            .and(polled.map_err(SourceAttemptEnd::from))
    }
}

/// The requests of users, and those that are accepted but not durable yet.
pub(super) struct SourceRequests {
    receiver: Option<Receiver<RequestToSource>>,
    waiting: Vec<(SourcePosition, oneshot::Sender<Result<()>>)>,
}

impl SourceRequests {
    pub(super) fn new(receiver: Option<Receiver<RequestToSource>>) -> Self {
        Self {
            receiver,
            waiting: Vec::new(),
        }
    }

    fn into_receiver(self) -> Option<Receiver<RequestToSource>> {
        self.receiver
    }

    /// Waits for the next request. Cancel safe.
    async fn next(&mut self) -> Option<RequestToSource> {
        match &mut self.receiver {
            Some(receiver) => receiver.recv().await,
            None => None,
        }
    }

    /// Notes a request that is accepted with these positions.
    fn accepted(&mut self, positions: &[SourcePosition], reply: oneshot::Sender<Result<()>>) {
        match positions.last() {
            Some(last) => self.waiting.push((last.clone(), reply)),
            None => drop(reply.send(Ok(()))),
        }
    }

    /// Answers the requests whose positions are durable: these positions, or later ones of the same
    /// partition.
    fn committed(&mut self, positions: &[SourcePosition]) {
        let is_durable = |(wanted, _): &mut (SourcePosition, _)| {
            positions.iter().any(|p| p.partition == wanted.partition)
        };
        for (_, reply) in self.waiting.extract_if(.., is_durable) {
            let _asker_gone = reply.send(Ok(()));
        }
    }
}

/// Reports a new topic to the herder, or a durable commit to the source. `polls`: the last poll
/// succeeded, so a durable commit clears the retry warning.
async fn handle_delivery(
    running: &TaskContext,
    task: &mut dyn SourceTask,
    event: DeliveryEvent,
    polls: bool,
) {
    let id = running.id();
    match event {
        DeliveryEvent::Topic(topic) => {
            running
                .send_event(TaskEvent::Topic(id.clone(), topic))
                .await;
        }
        DeliveryEvent::Committed(positions, records) => {
            tracing::debug!(connector = %id.connector, task = id.task, records, "committed");
            if polls {
                running.clear_retry_warning();
            }
            let _noted = running.watch.front.note(WaitReason::Source);
            let notified = async {
                fail_point::reach_async("source.committed").await?;
                task.committed(&positions).await
            };
            if let Err(error) = notified.await {
                tracing::warn!(%error,
                    "the source did not process the notification about committed positions");
            }
        }
    }
}

async fn poll_task(task: &mut dyn SourceTask) -> Result<SourceBatch> {
    fail_point::reach_async("source.poll").await?;
    task.poll().await
}

async fn close(task: Box<dyn SourceTask>) {
    let _only_waits = fail_point::reach_async("source.close").await;
    task.close().await;
}
