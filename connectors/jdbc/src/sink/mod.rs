//! The JDBC sink: records become rows.
//!
//! Pure parts: `config` and `keys` (settings), `naming` (topic -> table), `adapt` (what is no row -> rows), `fields` and
//! `shape` (schemas -> columns), `evolve` and `widen` (what DDL a shape needs), `group` and `key_bytes` (operations ->
//! statements), `bind`, `kind`, `copy` and `time` (values -> parameters or text), `fit` (what a server would take for something else), `foreign` (what is no row at all). With I/O: `target` (tables and the plans of
//! their shapes), `link` (the connection), `ledger` (offsets), `write` (rows), `deferred` (rows that are refused at
//! the end), `size` (what a server takes), `statement` (SQL of the user's own), `task` (one batch, one transaction), `probe` (what validation finds out).

mod adapt;
mod bind;
mod config;
mod copy;
mod deferred;
mod evolve;
mod fields;
mod fit;
mod foreign;
mod group;
mod key_bytes;
mod keys;
mod kind;
mod ledger;
mod link;
mod naming;
mod probe;
mod shape;
mod size;
mod statement;
mod target;
mod task;
mod time;
mod widen;
mod write;

use connector_api::{
    Config, ConfigKey, ConfigReport, Plugin, Result, SinkConnector, SinkTask, TopicPartition,
    async_trait,
};

use self::config::SinkConfig;
pub(crate) use self::keys::KEYS;
use self::ledger::SinkOffsets;
use self::link::WriteConnection;
use self::task::JdbcSinkTask;
use crate::class_defaults;
use crate::url::ConnectionTarget;

/// The sink connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct JdbcSink;

impl Plugin for JdbcSink {
    fn class(&self) -> &'static str {
        "io.confluent.connect.jdbc.JdbcSinkConnector"
    }

    fn other_classes(&self) -> &'static [&'static str] {
        &[
            class_defaults::AIVEN_SINK,
            class_defaults::DEBEZIUM_SINK,
            class_defaults::REDPANDA_SINK,
        ]
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn keys(&self) -> &'static [ConfigKey] {
        KEYS
    }

    fn keys_as(&self, class: &str) -> &'static [ConfigKey] {
        class_defaults::sink_keys(class)
    }

    fn check(&self, config: &Config, report: &mut ConfigReport) {
        config::check(config, report);
    }
}

#[async_trait]
impl SinkConnector for JdbcSink {
    async fn open(&self, task: &Config, tolerate: bool) -> Result<Box<dyn SinkTask>> {
        let place = ConnectionTarget::of_sink(task)?;
        let task = JdbcSinkTask::open(SinkConfig::read(task)?, place, tolerate).await?;
        Ok(Box::new(task))
    }

    /// Answers no, as Kafka Connect's JDBC sinks do: there is nothing that a user would have to change besides.
    async fn alter_offsets(
        &self,
        config: &Config,
        offsets: &[(TopicPartition, Option<i64>)],
    ) -> Result<bool> {
        let sink = SinkConfig::read(config)?;
        if !sink.exactly_once {
            return Ok(false);
        }
        let mut link =
            WriteConnection::open(&ConnectionTarget::of_sink(config)?, sink.connect_options())
                .await?;
        let (partitions, next): (Vec<_>, Vec<_>) = offsets
            .iter()
            .map(|(p, o)| (p.clone(), o.unwrap_or(-1)))
            .unzip();
        let mut ledger = SinkOffsets::new(&sink.cluster, &sink.name, "altered by request");
        let outcome = ledger
            .claim(&mut *link.session, &*link.writing, &partitions, Some(&next))
            .await;
        link.session.close().await;
        outcome.map(|_| false)
    }

    /// See [`Self::alter_offsets`].
    async fn reset_offsets(&self, config: &Config) -> Result<bool> {
        let sink = SinkConfig::read(config)?;
        if !sink.exactly_once {
            return Ok(false);
        }
        let mut link =
            WriteConnection::open(&ConnectionTarget::of_sink(config)?, sink.connect_options())
                .await?;
        let outcome = SinkOffsets::new(&sink.cluster, &sink.name, "")
            .reset(&mut *link.session, &*link.writing)
            .await;
        link.session.close().await;
        outcome.map(|()| false)
    }

    async fn probe(&self, config: &Config, report: &mut ConfigReport) {
        probe::probe(config, report).await;
    }
}
