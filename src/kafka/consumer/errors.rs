//! Errors that name the position of a consumer: what it was to read is gone or cannot be read.

use std::time::Duration;

use connector_api::{Error, TopicPartition};
use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionListElem;

use super::Consumer;
use super::rebalance::NativeConsumer;

/// Maximum number of positions that an error names.
const PLACES: usize = 5;
/// `BATCH_MAX` of `native/inflation.c`.
const INFLATED_MAX_MB: usize = 64;

/// How long each question about an offset that is gone may take.
const ASKED_WITHIN: Duration = Duration::from_secs(3);

impl Consumer {
    /// Returns the error for an offset out of range; names the partitions whose position their
    /// topic does not hold.
    pub(super) fn offset_gone_error(&self, inner: &NativeConsumer, cause: &KafkaError) -> Error {
        let choice = "records were deleted, or the topic was created again; nothing was skipped. Stop the \
             connector, then choose where to continue: set offsets (PATCH \
             /connectors/NAME/offsets), or reset them (DELETE /connectors/NAME/offsets) to read \
             from the beginning";
        let position = inner.position().unwrap_or_default();
        let committed = inner.committed(ASKED_WITHIN).unwrap_or_default();
        let mut outside = Vec::new();
        for element in position.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            let next = self.next_offset(&element).or_else(|| {
                // The start offset may be committed already.
                let committed = committed.find_partition(topic, partition)?;
                known(committed.offset())
            });
            let range = inner.fetch_watermarks(topic, partition, ASKED_WITHIN);
            if let (Some(next), Ok((first, end))) = (next, range)
                && (next < first || next > end)
            {
                outside.push(format!(
                    "topic {topic}, partition {partition} holds {first} to {end}, not {next}"
                ));
            }
        }
        let place = if outside.is_empty() {
            cause.to_string()
        } else {
            outside.join("; ")
        };
        Error::fatal(format!(
            "the offset to read from does not exist any more: {place}. {choice}"
        ))
    }

    /// Returns the error for a batch that cannot be inflated, or must not be
    /// (`native/inflation.c`). Lists all positions, because librdkafka's event has topic and offset
    /// in its text only.
    pub(super) fn bad_batch_error(&self, inner: &NativeConsumer) -> Error {
        let position = inner.position().unwrap_or_default();
        let mut places = Vec::new();
        for element in position.elements() {
            if let Some(offset) = self.next_offset(&element) {
                let (topic, partition) = (element.topic(), element.partition());
                places.push(format!(
                    "topic {topic}, partition {partition}, offset {offset}"
                ));
            }
        }
        let more = if places.len() > PLACES {
            ", or another partition"
        } else {
            ""
        };
        places.truncate(PLACES);
        let places = places.join(", or ");
        Error::fatal(format!(
            "a batch of compressed records cannot be read: it is corrupt, or it has more than \
             {INFLATED_MAX_MB} MB when decompressed; the read position is {places}{more}. Skip it \
             (PATCH /connectors/NAME/offsets), or configure its producer to write smaller batches"
        ))
    }

    /// Returns the next offset to read: the position, or the start offset if nothing was read yet.
    fn next_offset(&self, element: &TopicPartitionListElem<'_>) -> Option<i64> {
        known(element.offset()).or_else(|| {
            self.progress.started_at(&TopicPartition {
                topic: element.topic().into(),
                partition: element.partition(),
            })
        })
    }
}

fn known(offset: Offset) -> Option<i64> {
    match offset {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}
