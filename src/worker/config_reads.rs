//! Performs every config read of a task without running it, for the test that compares the keys
//! read with the keys declared.

use std::time::Duration;

use connector_api::{Config, Result};

use super::codec::RecordCodec;
use super::policy::Policy;
use super::topics::TopicRules;
use super::{TaskId, WorkerOptions, client_settings, dlq, right_version, sink, source, watch};
use crate::registry::Registry;
use crate::secrets::SecretKeys;
use crate::settings::ConfigProviders;

/// Returns the options of a worker with these keys.
pub(crate) fn options(config: Config) -> WorkerOptions {
    WorkerOptions {
        config,
        group_id: "g".to_owned(),
        offset_topic: "connect-offsets".to_owned(),
        offset_partitions: 25,
        replication_factor: -1,
        flush_interval: Duration::from_secs(60),
        exactly_once_source: true,
        dev_broker: None,
        providers: ConfigProviders::default(),
        metrics_tables_max: 200,
        secrets: SecretKeys::default(),
    }
}

fn id() -> TaskId {
    TaskId {
        connector: "c".into(),
        task: 0,
    }
}

fn versions(config: &Config) -> Result<()> {
    Registry::built_in()
        .connectors()
        .iter()
        .try_for_each(|connector| right_version(connector.plugin(), config))
}

/// Reads what a source task reads of its connector's keys and of the worker's.
pub(crate) fn of_a_source(options: &WorkerOptions, config: &Config) -> Result<()> {
    Policy::read(config)?;
    TopicRules::read(config)?;
    source::boundary(config, options.flush_interval)?;
    versions(config)?;
    watch::limit_of(&options.config, config);
    let transactional = source::transactional(options, config)?;
    client_settings::producer(options, &id(), config, transactional)?;
    dlq::read_topic(config)?;
    client_settings::admin(options, Some(config))?;
    client_settings::offsets_topic(options, config);
    client_settings::may_create_topics(options);
    RecordCodec::open(&Registry::built_in(), &options.config, config).map(drop)
}

/// Reads what a sink task reads of its connector's keys and of the worker's.
pub(crate) fn of_a_sink(options: &WorkerOptions, config: &Config) -> Result<()> {
    Policy::read(config)?;
    sink::subscription(config)?;
    versions(config)?;
    watch::limit_of(&options.config, config);
    dlq::read_topic(config)?;
    client_settings::consumer(options, &id(), config)?;
    RecordCodec::open(&Registry::built_in(), &options.config, config).map(drop)
}
