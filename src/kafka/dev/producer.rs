//! A producer of the development broker: it waits for sinks before unread records would be pushed
//! out, and remembers what compacted topics hold.

use std::sync::Arc;

use rdkafka::message::{BorrowedMessage, Message};

use super::{DevBroker, DevRecords};
use crate::kafka::ClientSettings;
use crate::kafka::producer::OutgoingRecord;
use crate::waiting;

/// What a producer of the development broker does besides.
pub struct DevProducer(Arc<DevRecords>);

impl DevProducer {
    /// Changes the settings of a producer that is about to be opened.
    pub fn open(broker: &DevBroker, settings: &mut ClientSettings) -> Self {
        settings.set("delivery.report.only.error", "false");
        Self(Arc::clone(&broker.records))
    }

    /// Waits until the broker can hold the record without dropping records that this worker's sinks
    /// have not read yet, while `go_on` returns true. `go_on` must serve acknowledgements, without
    /// which nothing counts as read.
    pub fn wait_for_sinks(&self, record: &OutgoingRecord<'_>, go_on: impl Fn() -> bool) {
        // What a compacted topic holds is remembered, whatever the broker drops.
        if self.0.is_compacted(record.topic) {
            return;
        }
        let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        self.0.backlog.send(record.topic, bytes, || {
            // A sink may be paused for any length of time: waiting for it is no stall.
            waiting::moved();
            go_on()
        });
    }

    /// Notes that a record is durable.
    pub fn delivered(&self, message: &BorrowedMessage<'_>) {
        if self.0.is_compacted(message.topic()) {
            if let Some(key) = message.key() {
                self.0.remember(message.topic(), key, message.payload());
            }
            return;
        }
        let bytes = message.key_len() + message.payload_len();
        self.0.backlog.record(
            message.topic(),
            message.partition(),
            message.offset(),
            bytes,
        );
    }
}
