//! A sink task as a member of its group at the development broker. Records that the broker has
//! dropped were never read by anybody: starting at the first one that it still holds would skip
//! them.

use std::sync::Arc;

use connector_api::{Error, Result, TopicOffset, TopicPartition};
use rdkafka::Offset;

use super::{DevBroker, DevRecords};
use crate::kafka::ClientSettings;
use crate::kafka::consumer::Subscription;

/// One member of a group. It counts as a reader until it is dropped.
pub struct DevMember {
    records: Arc<DevRecords>,
    group: Arc<str>,
}

impl DevMember {
    /// Notes that a member of the settings' group starts to read.
    pub fn join(broker: &DevBroker, settings: &ClientSettings, what: &Subscription) -> Self {
        let records = Arc::clone(&broker.records);
        let group = Arc::from(settings.get("group.id").unwrap_or_default());
        records.backlog.join(&group, what);
        Self { records, group }
    }

    /// Notes that the group has written everything before these offsets.
    pub fn written(&self, next: &[TopicOffset]) {
        self.records.backlog.read(&self.group, next);
    }

    /// Drops offsets stored before this broker started. The broker starts empty with its process,
    /// so those offsets belong to an earlier broker.
    pub fn retain_known(&self, stored: &mut Vec<TopicOffset>) {
        stored.retain(|s| {
            let at = TopicPartition {
                topic: Arc::clone(&s.topic),
                partition: s.partition,
            };
            self.records.backlog.knows(&self.group, &at)
        });
    }

    /// Returns where to start a partition that holds `first` to `end`. Errors: `Fatal` if records
    /// that were to be read first are gone.
    pub fn reset_to(
        reset: Offset,
        at: &TopicPartition,
        (first, end): (i64, i64),
    ) -> Result<Offset> {
        match reset {
            Offset::Beginning if first > 0 => Err(Error::fatal(format!(
                "topic {}, partition {}: the development broker keeps only the last megabytes, and \
                 the first {first} records have already been deleted; start this sink before its \
                 source, or reset the source's offsets so that it sends them again",
                at.topic, at.partition
            ))),
            Offset::Beginning => Ok(Offset::Offset(first)),
            _ => Ok(Offset::Offset(end)),
        }
    }
}

impl Drop for DevMember {
    fn drop(&mut self) {
        self.records.backlog.leave(&self.group);
    }
}
