//! Takes partitions over and gives them up: where each one starts, and what is committed last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Error, Result, TopicOffset, TopicPartition};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::super::admin::{PATIENCE, offset_list};
use super::super::background_drop::within;
use super::super::dev::DevMember;
use super::super::error;
use super::Consumer;
use super::progress::LatestOffsets;
use super::rebalance::{self, AssignReply, NativeConsumer, RevokeReply, partitions_of};

/// How long the last commit of revoked partitions may take.
const COMMIT_WITHIN: Duration = Duration::from_secs(3);
/// How long it may take at least, when the time to leave the group is over.
const COMMIT_WITHIN_AT_LEAST: Duration = Duration::from_millis(500);

impl Consumer {
    /// Answers an assignment. `stored` holds the offsets that the caller has stored; its error makes
    /// this member take no partition. Errors: that one, `Config` without any offset to start at, and
    /// those of Kafka.
    pub(crate) fn assign(
        &mut self,
        reply: AssignReply,
        stored: Result<Vec<TopicOffset>>,
    ) -> Result<()> {
        let inner = Arc::clone(self.inner()?);
        let mut list = reply.take();
        let started = stored.and_then(|stored| self.set_start_offsets(&inner, stored, &mut list));
        let (started, assigned) = match started {
            Ok(started) => (Ok(started), list),
            // The rebalance has to be answered all the same: the group waits for it.
            Err(error) => (Err(error), TopicPartitionList::new()),
        };
        let done = rebalance::assign(&inner, &assigned)
            .and_then(|()| self.pause_or_resume(&inner, &assigned));
        let started = started?;
        let context = inner.context();
        self.progress
            .assign(partitions_of(&assigned), started.clone());
        context.assigned(&started, self.progress.assigned_count());
        done.map_err(|e| error::of("taking over partitions", e))
    }

    /// Answers a revocation: commits what is [written](Consumer::written) of the partitions, then
    /// gives them up.
    pub(crate) fn revoke(&mut self, reply: RevokeReply) -> Result<()> {
        let inner = Arc::clone(self.inner()?);
        let list = reply.take();
        let revoked = partitions_of(&list);
        let written = self.progress.revoke(&revoked);
        let left = self.progress.assigned_count();
        inner.context().revoked(&revoked, left);
        // A lost assignment belongs to another member already: commit nothing then.
        if !written.is_empty() && !inner.assignment_lost() {
            // Commit before unassigning: afterwards another member may own the partitions.
            let left = |by: Instant| by.saturating_duration_since(Instant::now());
            let limit = self.leaves_by().map_or(COMMIT_WITHIN, left);
            commit_last(
                &inner,
                &written,
                limit.clamp(COMMIT_WITHIN_AT_LEAST, COMMIT_WITHIN),
            );
        }
        rebalance::unassign(&inner, &list).map_err(|e| error::of("giving up partitions", e))
    }

    /// Sets the start offset of every partition of `list`. Returns those that are known.
    fn set_start_offsets(
        &self,
        inner: &NativeConsumer,
        mut stored: Vec<TopicOffset>,
        list: &mut TopicPartitionList,
    ) -> Result<LatestOffsets> {
        if let Some(dev) = &self.dev {
            dev.retain_known(&mut stored);
        }
        let failed = |e| error::of("reading the group's offsets", e);
        let committed = inner
            .committed_offsets(list.clone(), PATIENCE)
            .map_err(failed)?;
        let mut started = LatestOffsets::new();
        let mut unknown = TopicPartitionList::new();
        for at in partitions_of(list) {
            let stored = stored
                .iter()
                .find(|s| s.topic == at.topic && s.partition == at.partition);
            let committed = committed
                .find_partition(&at.topic, at.partition)
                .map(|element| element.offset());
            let offset = match (stored, committed) {
                (Some(stored), _) => Offset::Offset(stored.offset),
                (None, Some(Offset::Offset(offset))) => Offset::Offset(offset),
                _ => self.reset_to(inner, &at)?,
            };
            list.set_partition_offset(&at.topic, at.partition, offset)
                .map_err(failed)?;
            if let Offset::Offset(offset) = offset {
                started.insert(at, offset);
            } else {
                unknown
                    .add_partition_offset(&at.topic, at.partition, offset)
                    .map_err(failed)?;
            }
        }
        if let Some(dev) = &self.dev {
            dev.written(&super::list(&started));
        }
        started.extend(resolve_offsets(inner, unknown, list));
        Ok(started)
    }

    /// Returns where a partition without any offset starts.
    fn reset_to(&self, consumer: &NativeConsumer, at: &TopicPartition) -> Result<Offset> {
        let Some(reset) = self.reset else {
            let text = "there is no stored offset and auto.offset.reset is none; set an offset (PATCH /connectors/NAME/offsets) or choose earliest or latest";
            return Err(Error::config(format!(
                "topic {}, partition {}: {text}",
                at.topic, at.partition
            )));
        };
        if self.dev.is_none() {
            return Ok(reset);
        }
        let what = |e| error::of(format_args!("reading offsets of topic {}", at.topic), e);
        let held = consumer
            .fetch_watermarks(&at.topic, at.partition, PATIENCE)
            .map_err(what)?;
        DevMember::reset_to(reset, at, held)
    }
}

/// Commits offsets of partitions that are being revoked: librdkafka itself waits for the answer
/// without a limit.
fn commit_last(consumer: &Arc<NativeConsumer>, offsets: &[TopicOffset], limit: Duration) {
    let consumer = Arc::clone(consumer);
    let committed = offset_list(offsets).map(|offsets| {
        within(
            limit,
            || true,
            move || consumer.commit(&offsets, CommitMode::Sync),
        )
    });
    match committed {
        Ok(Some(Ok(()))) => {}
        Ok(Some(Err(error))) | Err(error) => {
            tracing::warn!(%error, "group offsets were not committed while partitions were given up");
        }
        Ok(None) => tracing::warn!(
            "group offsets were not committed in time while partitions were given up"
        ),
    }
}

/// Resolves `earliest` and `latest` to the current offsets; offsets that cannot be
/// resolved are omitted. A partition that starts at its end is pinned to that offset in `list` too.
fn resolve_offsets(
    consumer: &NativeConsumer,
    unknown: TopicPartitionList,
    list: &mut TopicPartitionList,
) -> Vec<(TopicPartition, i64)> {
    if unknown.count() == 0 {
        return Vec::new();
    }
    // Brokers accept the logical offsets (-1, -2) in place of timestamps.
    let resolved = match consumer.offsets_for_times(unknown.clone(), PATIENCE) {
        Ok(resolved) => resolved,
        Err(error) => {
            tracing::debug!(%error, "the start offsets are not known");
            return Vec::new();
        }
    };
    let mut out = Vec::new();
    for element in resolved.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let Offset::Offset(offset) = element.offset() else {
            continue;
        };
        let wanted = unknown
            .find_partition(topic, partition)
            .map(|element| element.offset());
        if wanted == Some(Offset::End)
            && list
                .set_partition_offset(topic, partition, Offset::Offset(offset))
                .is_err()
        {
            continue;
        }
        out.push((
            TopicPartition {
                topic: topic.into(),
                partition,
            },
            offset,
        ));
    }
    out
}
