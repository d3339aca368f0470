//! Settings of a task's Kafka clients, and the names they use: client ids, groups and transactional
//! ids.

use connector_api::{Config, Result};

use super::{TaskId, WorkerOptions};
use crate::kafka::{ClientRole, ClientSettings};

/// True if sources create the topics they write to. Otherwise the brokers may create them,
/// depending on their settings.
pub(super) fn may_create_topics(options: &WorkerOptions) -> bool {
    !options
        .config
        .get("topic.creation.enable")
        .is_some_and(|text| text.trim().eq_ignore_ascii_case("false"))
}

/// Returns the consumer group of a sink connector: `connect-<name>`, unless its config overrides
/// it.
pub(super) fn group(connector: &str, config: &Config) -> String {
    config
        .get("consumer.override.group.id")
        .map_or_else(|| format!("connect-{connector}"), |g| g.trim().to_owned())
}

/// Returns the transactional id of a source task; the same as Kafka Connect's (KIP-618).
pub(super) fn transactional_id(options: &WorkerOptions, id: &TaskId) -> String {
    format!("{}-{}-{}", options.group_id, id.connector, id.task)
}

/// Returns the offsets topic of a source connector.
pub(super) fn offsets_topic(options: &WorkerOptions, config: &Config) -> String {
    let own = config
        .get("offsets.storage.topic")
        .map(str::trim)
        .filter(|topic| !topic.is_empty());
    own.unwrap_or(&options.offset_topic).to_owned()
}

/// Returns the settings of a source task's producer.
pub(super) fn producer(
    options: &WorkerOptions,
    id: &TaskId,
    config: &Config,
    transactional: bool,
) -> Result<ClientSettings> {
    let mut settings = ClientSettings::of(ClientRole::Producer, &options.config, Some(config))?;
    settings.set_default(
        "client.id",
        &format!("connector-producer-{}-{}", id.connector, id.task),
    );
    settings.set("enable.idempotence", "true");
    if transactional {
        settings.set("transactional.id", &transactional_id(options, id));
        settings.set_default("transaction.timeout.ms", "30000");
        // librdkafka requires records to time out before their transaction does.
        let within = settings
            .number("transaction.timeout.ms", 30_000)
            .saturating_sub(5000)
            .max(1000);
        if settings.number("delivery.timeout.ms", u64::MAX) > within {
            settings.set("delivery.timeout.ms", &within.to_string());
        }
    } else {
        settings.remove("transaction.timeout.ms");
    }
    Ok(settings)
}

/// Returns the settings of a producer that never begins a transaction. No task of Rowferry or Kafka
/// Connect uses its transactional id, so it fences none of them.
pub(super) fn warm_up(options: &WorkerOptions) -> Result<ClientSettings> {
    let mut settings = ClientSettings::of(ClientRole::Producer, &options.config, None)?;
    settings.set("client.id", "rowferry-warm-up");
    settings.set("enable.idempotence", "true");
    settings.set(
        "transactional.id",
        &format!("{}-rowferry-warm-up", options.group_id),
    );
    Ok(settings)
}

/// Returns the settings of the producer of a task's dead letters.
pub(super) fn dlq_producer(
    options: &WorkerOptions,
    id: &TaskId,
    config: &Config,
) -> Result<ClientSettings> {
    let mut settings = producer(options, id, config, false)?;
    settings.set(
        "client.id",
        &format!("connector-dlq-producer-{}-{}", id.connector, id.task),
    );
    Ok(settings)
}

/// Returns the settings of a sink task's consumer.
pub(super) fn consumer(
    options: &WorkerOptions,
    id: &TaskId,
    config: &Config,
) -> Result<ClientSettings> {
    let mut settings = ClientSettings::of(ClientRole::Consumer, &options.config, Some(config))?;
    settings.set_default(
        "client.id",
        &format!("connector-consumer-{}-{}", id.connector, id.task),
    );
    settings.set("group.id", &group(&id.connector, config));
    if options.dev_broker.is_some() {
        // The development broker does not wake a waiting fetch when a record arrives.
        settings.set_default("fetch.wait.max.ms", "20");
    }
    Ok(settings)
}

/// Returns the settings of a consumer for the offsets topic. It joins no group, but librdkafka
/// assigns partitions only if a group is named.
pub(super) fn reader(options: &WorkerOptions) -> Result<ClientSettings> {
    let mut settings = ClientSettings::of(ClientRole::Consumer, &options.config, None)?;
    settings.set("group.id", &options.group_id);
    Ok(settings)
}

/// Returns the settings of an admin client of a connector, or of the worker itself.
pub(super) fn admin(options: &WorkerOptions, connector: Option<&Config>) -> Result<ClientSettings> {
    ClientSettings::of(ClientRole::Admin, &options.config, connector)
}

#[cfg(test)]
mod tests {
    use super::super::config_reads;
    use super::*;

    #[test]
    fn records_time_out_before_their_transaction_and_ids_are_connects() {
        let options = config_reads::options(Config::new());
        let id = TaskId {
            connector: "c".into(),
            task: 2,
        };
        let config = Config::from([
            ("producer.override.transaction.timeout.ms", "9000"),
            ("producer.override.delivery.timeout.ms", "120000"),
        ]);
        let settings = producer(&options, &id, &config, true).unwrap();
        assert_eq!(settings.get("delivery.timeout.ms"), Some("4000"));
        assert_eq!(settings.get("transactional.id"), Some("g-c-2"));
        assert_eq!(
            producer(&options, &id, &config, false)
                .unwrap()
                .get("transactional.id"),
            None
        );
        assert_eq!(
            consumer(&options, &id, &Config::new())
                .unwrap()
                .get("group.id"),
            Some("connect-c")
        );
        assert_eq!(
            group(
                "c",
                &Config::from([("consumer.override.group.id", " other ")])
            ),
            "other"
        );
    }
}
