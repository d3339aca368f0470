//! The JDBC sink: writes records as rows.
//!
//! Each room imports only those before it: `config` (settings and what their texts mean), `mapping`
//! (record -> row, pure), `write` (tables, statements, the connection), `statement` (SQL that the
//! user wrote), `offsets` (stored with the rows), `task` (one batch, one transaction). `probe` is
//! validation's look at the database, `preview` what a task would change in it.

mod config;
mod mapping;
mod offsets;
mod preview;
mod probe;
mod statement;
mod task;
mod write;

use connector_api::{
    Config, ConfigKey, ConfigReport, Plugin, PreviewLimits, Result, SinkConnector, SinkPreview,
    SinkRecord, SinkTask, TopicPartition, async_trait,
};

use self::config::SinkConfig;
pub(crate) use self::config::keys::KEYS;
use self::offsets::SinkOffsets;
use self::task::JdbcSinkTask;
use self::write::connection::WriteConnection;
use crate::class_defaults;
use crate::url::ConnectionTarget;

/// The JDBC sink connector: writes the records of topics to tables.
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
        config::check::check(config, report);
    }
}

#[async_trait]
impl SinkConnector for JdbcSink {
    async fn open(&self, task: &Config, tolerate: bool) -> Result<Box<dyn SinkTask>> {
        let connect_to = ConnectionTarget::of_sink(task)?;
        let task = JdbcSinkTask::open(SinkConfig::read(task)?, connect_to, tolerate).await?;
        Ok(Box::new(task))
    }

    /// Returns false, as Kafka Connect's JDBC sinks do: the user has nothing to change elsewhere.
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
        let mut offsets_table = SinkOffsets::new(&sink.cluster, &sink.name, "altered by request");
        let outcome = offsets_table
            .claim(&mut *link.session, link.writing, &partitions, Some(&next))
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
            .reset(&mut *link.session, link.writing)
            .await;
        link.session.close().await;
        outcome.map(|()| false)
    }

    async fn probe(&self, config: &Config, report: &mut ConfigReport) {
        probe::probe(config, report).await;
    }
    async fn preview(
        &self,
        config: &Config,
        records: &[SinkRecord],
        limits: PreviewLimits,
        preview: &mut SinkPreview,
    ) -> Result<bool> {
        preview::preview(config, records, limits, preview).await?;
        Ok(true)
    }
}
