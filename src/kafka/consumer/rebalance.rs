//! Rebalances as events: librdkafka reports one within a poll, and the poll returns it to its
//! caller, on the same thread. The group waits until it is answered: with
//! [`Consumer::assign`](super::Consumer::assign) or [`Consumer::revoke`](super::Consumer::revoke).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use connector_api::TopicPartition;
use connector_api::locks::TakeLock;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;

use super::super::contact::BrokerContact;
use super::super::context;
use super::progress::LatestOffsets;
use crate::metrics::{ClientPurpose, TaskMetrics};

/// The librdkafka consumer, shared with calls that may be left behind.
pub(super) type NativeConsumer = BaseConsumer<MemberContext>;

/// A change of the assigned partitions. No record is read before it is answered.
pub(crate) enum Rebalance {
    /// These partitions were assigned.
    Assigned(Vec<TopicPartition>, AssignReply),
    /// These partitions are revoked. They stay this member's own until the reply, unless the group
    /// has given them to another one already.
    Revoked(Vec<TopicPartition>, RevokeReply),
}

/// Answers an assignment. If it is dropped, no partition is assigned.
#[must_use = "the group waits for the answer"]
pub(crate) struct AssignReply(OpenRebalance);

/// Answers a revocation. If it is dropped, the partitions are given up without a commit.
#[must_use = "the group waits for the answer"]
pub(crate) struct RevokeReply(OpenRebalance);

impl AssignReply {
    pub(super) fn take(self) -> TopicPartitionList {
        self.0.take()
    }
}

impl RevokeReply {
    pub(super) fn take(self) -> TopicPartitionList {
        self.0.take()
    }
}

/// A rebalance without an answer.
struct OpenRebalance {
    consumer: Arc<NativeConsumer>,
    change: Change,
    /// `None` once it is answered.
    partitions: Option<TopicPartitionList>,
}

impl OpenRebalance {
    fn take(mut self) -> TopicPartitionList {
        self.partitions.take().unwrap_or_default()
    }
}

impl Drop for OpenRebalance {
    fn drop(&mut self) {
        if let Some(partitions) = self.partitions.take() {
            decline(&self.consumer, self.change, &partitions);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Assign,
    Revoke,
}

/// Rebalances that no poll has returned yet. `None` once the consumer is being closed: nobody polls
/// for them any more, so they are declined at once.
type Collected = Mutex<Option<VecDeque<(Change, TopicPartitionList)>>>;

/// Receives what librdkafka reports about a member of a group.
pub(super) struct MemberContext {
    /// Contact to brokers according to librdkafka's statistics.
    pub(super) contact: BrokerContact,
    rebalances: Collected,
    metrics: Arc<TaskMetrics>,
}

impl MemberContext {
    /// Creates the context of a member that publishes its figures at `metrics`.
    pub(super) fn new(metrics: Arc<TaskMetrics>) -> Self {
        let client = metrics.client(ClientPurpose::Consumer);
        Self {
            contact: BrokerContact::new(Some(client)),
            rebalances: Mutex::new(Some(VecDeque::new())),
            metrics,
        }
    }

    /// Notes that partitions were assigned, with their start offsets where known, and how many
    /// there are now.
    pub(super) fn assigned(&self, started: &LatestOffsets, all: usize) {
        let started = started.iter().map(|(at, offset)| (at.clone(), *offset));
        self.metrics.update(|task, _| {
            task.lag.assign(started);
            task.partitions = all as u64;
        });
    }

    /// Notes that partitions were revoked, and how many are left.
    pub(super) fn revoked(&self, partitions: &[TopicPartition], left: usize) {
        self.metrics.update(|task, _| {
            task.lag.revoke(partitions);
            task.partitions = left as u64;
        });
    }

    /// Notes that everything before these offsets is written.
    pub(super) fn written(&self, next: &LatestOffsets) {
        self.metrics.update(|task, _| task.lag.written(next));
    }

    /// Declines all rebalances from now on.
    pub(super) fn decline_all(&self, consumer: &NativeConsumer) {
        let collected = self.rebalances.take_lock().take();
        for (change, partitions) in collected.into_iter().flatten() {
            decline(consumer, change, &partitions);
        }
    }

    /// Returns the next rebalance that a poll has collected.
    pub(super) fn next_rebalance(&self, consumer: &Arc<NativeConsumer>) -> Option<Rebalance> {
        let (change, list) = self.rebalances.take_lock().as_mut()?.pop_front()?;
        let partitions = partitions_of(&list);
        let open = OpenRebalance {
            consumer: Arc::clone(consumer),
            change,
            partitions: Some(list),
        };
        Some(match change {
            Change::Assign => Rebalance::Assigned(partitions, AssignReply(open)),
            Change::Revoke => Rebalance::Revoked(partitions, RevokeReply(open)),
        })
    }
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.contact.note_error(&error);
        tracing::debug!(error = %error, "consumer: {reason}");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(statistics) = self.contact.take_statistics(statistics) {
            let reports = statistics.partitions();
            self.metrics
                .update(|task, now| task.lag.report(now, &reports));
        }
    }
}

impl ConsumerContext for MemberContext {
    /// Collects the rebalance. librdkafka waits for the assignment to be changed, not for the return
    /// of this function.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let change = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Change::Assign,
            _ => Change::Revoke,
        };
        self.metrics.update(|task, _| task.rebalances += 1);
        // Without partitions there is nothing to decide.
        if list.count() > 0
            && let Some(collected) = &mut *self.rebalances.take_lock()
        {
            collected.push_back((change, list.clone()));
            return;
        }
        decline(consumer, change, list);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(Code::NoOffset)) => {}
            Err(error) => tracing::warn!(error = %error, "group offsets were not committed"),
        }
    }
}

/// Answers a rebalance without taking any partition, or without committing anything.
fn decline(consumer: &NativeConsumer, change: Change, partitions: &TopicPartitionList) {
    let answered = match change {
        Change::Assign => assign(consumer, &TopicPartitionList::new()),
        Change::Revoke => unassign(consumer, partitions),
    };
    if let Err(error) = answered {
        tracing::debug!(%error, "a rebalance was not answered");
    }
}

/// Adds these partitions to the assignment.
pub(super) fn assign(
    consumer: &NativeConsumer,
    partitions: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
        _ => consumer.assign(partitions),
    }
}

/// Removes these partitions from the assignment; with the eager protocol, all of them.
pub(super) fn unassign(
    consumer: &NativeConsumer,
    partitions: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
        _ => consumer.unassign(),
    }
}

pub(super) fn partitions_of(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let at = |e: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| TopicPartition {
        topic: e.topic().into(),
        partition: e.partition(),
    };
    list.elements().iter().map(at).collect()
}
