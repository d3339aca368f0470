//! How a worker joins the group of workers: names and settings of its Kafka client.

use std::sync::Arc;
use std::time::Duration;

use connector_api::Error;
use tokio::sync::mpsc;

use super::{Worker, WorkerOptions, client_settings};
use crate::kafka::admin::TopicSpec;
use crate::kafka::slots::{SlotEvent, SlotGroup, SlotGroupOptions};
use crate::kafka::{ClientRole, ClientSettings};
use crate::settings::SharedSettings;

/// What librdkafka needs in addition, after tasks were cut off.
const MARGIN: Duration = Duration::from_secs(2);

/// Returns the topic whose partitions are the slots of a group of workers.
fn topic(group_id: &str) -> String {
    format!("rowferry-slots-{group_id}")
}

/// Returns the group in Kafka. It is not `group.id` itself, which workers of Kafka Connect may use:
/// their protocol is another one.
fn group(group_id: &str) -> String {
    format!("rowferry-{group_id}")
}

fn consumer(
    options: &WorkerOptions,
    settings: &SharedSettings,
    client_id: &str,
) -> Result<ClientSettings, Error> {
    let mut client = ClientSettings::of(ClientRole::Consumer, &options.config, None)?;
    let ms = |time: Duration| time.as_millis().to_string();
    client.set("group.id", &group(&options.group_id));
    client.set("client.id", client_id);
    client.set("partition.assignment.strategy", "cooperative-sticky");
    client.set("session.timeout.ms", &ms(settings.session_timeout));
    client.set("heartbeat.interval.ms", &ms(settings.heartbeat));
    client.set(
        "max.poll.interval.ms",
        &ms(settings.rebalance_timeout.max(settings.session_timeout)),
    );
    client.set("auto.offset.reset", "earliest");
    client.remove("group.instance.id");
    if let Some(instance) = &settings.group_instance {
        client.set("group.instance.id", instance);
    }
    Ok(client)
}

impl Worker {
    /// Joins the group of workers, which has that many slots; they arrive at `events`. Errors:
    /// `Config`, `Retry`.
    pub(crate) fn join_group(
        &self,
        settings: &SharedSettings,
        slots: u16,
        (client_id, graceful): (&str, Duration),
        events: mpsc::Sender<SlotEvent>,
    ) -> Result<SlotGroup, Error> {
        let options = &self.shared.options;
        let topic = TopicSpec {
            topic: topic(&options.group_id),
            partitions: i32::from(slots),
            replication_factor: options.replication_factor,
            config: vec![("cleanup.policy".to_owned(), "delete".to_owned())],
        };
        let group = SlotGroupOptions {
            consumer: consumer(options, settings, client_id)?,
            admin: client_settings::admin(options, None)?,
            instance: settings.group_instance.clone(),
            topic,
            given_up_within: graceful + MARGIN,
            metrics: Arc::default(),
            runtime: self.shared.runtime.clone(),
        };
        SlotGroup::join(group, events)
    }
}
