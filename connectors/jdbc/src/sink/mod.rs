//! The JDBC sink: records become rows.
//!
//! Pure parts: `config` and `keys` (settings), `naming` (topic -> table), `adapt` (what is no row -> rows), `fields` and
//! `shape` (schemas -> columns), `evolve` and `widen` (what DDL a shape needs), `group` (operations -> statements), `bind` and `time` (values -> parameters). With I/O: `target`
//! (tables and the plans of their shapes), `ledger` (offsets), `write` (statements), `task` (one batch, one transaction).

mod adapt;
mod bind;
mod config;
mod evolve;
mod fields;
mod group;
mod keys;
mod ledger;
mod naming;
mod shape;
mod target;
mod task;
mod time;
mod widen;
mod write;

use std::time::Duration;

use connector_api::{Config, Error, Key, Plugin, Report, Result, Sink, SinkTask, TopicPartition, async_trait};

use self::config::SinkConfig;
use self::ledger::Ledger;
use self::task::{JdbcSinkTask, Link};
use crate::driver::{self, Access, ConnectOptions};
use crate::url::Target;

/// How long a probe may try to connect.
const PROBE_WITHIN: Duration = Duration::from_secs(5);

/// The sink connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct JdbcSink;

impl Plugin for JdbcSink {
    fn class(&self) -> &'static str {
        "io.confluent.connect.jdbc.JdbcSinkConnector"
    }

    fn other_classes(&self) -> &'static [&'static str] {
        &[
            "io.aiven.connect.jdbc.JdbcSinkConnector",
            "io.debezium.connector.jdbc.JdbcSinkConnector",
            "com.redpanda.kafka.connect.jdbc.JdbcSinkConnector",
        ]
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn keys(&self) -> &'static [Key] {
        keys::KEYS
    }

    fn check(&self, config: &Config, report: &mut Report) {
        config::check(config, report);
    }
}

#[async_trait]
impl Sink for JdbcSink {
    async fn open(&self, task: &Config, tolerate: bool) -> Result<Box<dyn SinkTask>> {
        let place = Target::from_config(task)?;
        let task = JdbcSinkTask::open(SinkConfig::read(task)?, place, tolerate).await?;
        Ok(Box::new(task))
    }

    /// Answers no, as Kafka Connect's JDBC sinks do: there is nothing that a user would have to change besides.
    async fn alter_offsets(&self, config: &Config, offsets: &[(TopicPartition, Option<i64>)]) -> Result<bool> {
        let sink = SinkConfig::read(config)?;
        if !sink.exactly_once {
            return Ok(false);
        }
        let mut link = Link::open(&Target::from_config(config)?, sink.connect_options()).await?;
        let (partitions, next): (Vec<_>, Vec<_>) = offsets.iter().map(|(p, o)| (p.clone(), o.unwrap_or(-1))).unzip();
        let mut ledger = Ledger::new(&sink.name, "altered by request");
        let outcome = ledger.claim(&mut *link.session, &*link.writing, &partitions, Some(&next)).await;
        link.session.close().await;
        outcome.map(|_| false)
    }

    /// See [`Self::alter_offsets`].
    async fn reset_offsets(&self, config: &Config) -> Result<bool> {
        let sink = SinkConfig::read(config)?;
        if !sink.exactly_once {
            return Ok(false);
        }
        let mut link = Link::open(&Target::from_config(config)?, sink.connect_options()).await?;
        let outcome = Ledger::new(&sink.name, "").reset(&mut *link.session, &*link.writing).await;
        link.session.close().await;
        outcome.map(|()| false)
    }

    async fn probe(&self, config: &Config, report: &mut Report) {
        if config::given(config, "connection.url").is_none() {
            return;
        }
        let options =
            ConnectOptions { attempts: 1, backoff: Duration::ZERO, timeout: PROBE_WITHIN, access: Access::Create };
        let connected = async {
            let place = Target::from_config(config)?;
            // looking makes no file; the connector will
            if !driver::would_create(&place)? {
                driver::connect(&place, options).await?.close().await;
            }
            Ok(())
        };
        if let Err(error) = connected.await {
            report.error("connection.url", could_not_connect(&error));
        }
    }
}

/// The text that clients look for when a database is out of reach.
fn could_not_connect(error: &Error) -> String {
    format!("Could not connect to database. {error}")
}
