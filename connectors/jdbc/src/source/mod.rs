//! The JDBC source: turns the tables of a database into records of topics.
//!
//! Its rooms in reading order; a room uses only those before it:
//!
//! 1. `config`: what the user asked for. `keys` declares the keys, `SourceConfig` holds the values
//!    read from them.
//! 2. `plan`: the plan of one table. `table::plan` decides columns, key and order,
//!    `query::statement` writes the SQL, `offset::SourceProgress` is the stored form of how far the
//!    table has been read.
//! 3. `visibility`: a row gets its id or timestamp before it is committed; `trait Visibility`
//!    decides, for each mode, which rows may be emitted now and which are asked for again.
//! 4. `tables`: `select` chooses the tables, `plan_tasks` distributes them over the tasks,
//!    `assignments` is what one task reads.
//! 5. `read`: `cursor::TableReader` reads one table page by page, `batch::PendingRows` turns the
//!    rows into records.
//! 6. `deletes`: `sweep::KeySweep` finds deleted rows.
//! 7. `scheduler`: lets the tables of one task take turns on up to three connections.
//! 8. `task`: the task that the worker polls; `table::TaskTable` is one of its tables.
//! 9. `cdc`: the task of `mode=cdc`, which reads the server's log.
//! 10. `preview`: what a task would read, without reading it.
//!
//! To follow a row, begin at `JdbcSourceTask::poll` in `task`, continue with `TableReader::turn` in
//! `read::cursor` and `Visibility::admit` in `visibility`, and with `PendingRows::take` in
//! `read::batch`. `tests/it/tidy/mod.rs` checks the order of the rooms.

mod cdc;
mod config;
mod deletes;
mod plan;
mod preview;
mod read;
mod scheduler;
mod tables;
mod task;
mod visibility;

use std::time::Duration;

use async_trait::async_trait;
use connector_api::{
    Config, ConfigKey, ConfigReport, Plugin, PreviewLimits, Result, SourceConnector,
    SourcePosition, SourcePreview, SourceTask, StoredOffsets, TaskPlan,
};
use tokio::time::timeout;

use self::cdc::{CdcTask, SlotTask};
use self::config::SourceConfig;
pub(crate) use self::config::keys::KEYS;
pub use self::config::schedule;
use self::deletes::known_keys::KnownKeys;
use self::plan::offset::{REREAD, SourceProgress};
use self::plan::reread::RereadPlace;
use self::tables::select::TableListing;
use self::tables::{connection, plan_tasks, probe};
use self::task::JdbcSourceTask;
use crate::class_defaults;
use crate::driver::{ConnectOptions, Session};
use crate::url::DatabaseKind;

/// How long validation waits for the database.
const PROBE_WITHIN: Duration = Duration::from_secs(10);

/// The JDBC source connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct JdbcSource;

impl Plugin for JdbcSource {
    fn class(&self) -> &'static str {
        "io.confluent.connect.jdbc.JdbcSourceConnector"
    }

    fn other_classes(&self) -> &'static [&'static str] {
        &[
            class_defaults::AIVEN_SOURCE,
            class_defaults::REDPANDA_SOURCE,
            "rowferry.jdbc.JdbcSourceConnector",
        ]
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn keys(&self) -> &'static [ConfigKey] {
        KEYS
    }

    fn keys_as(&self, class: &str) -> &'static [ConfigKey] {
        class_defaults::source_keys(class)
    }

    fn check(&self, config: &Config, report: &mut ConfigReport) {
        config::check::check(config, report);
    }
}

#[async_trait]
impl SourceConnector for JdbcSource {
    async fn plan(&self, config: &Config, max_tasks: usize) -> Result<TaskPlan> {
        plan_tasks::plan(config, max_tasks, None).await
    }

    async fn plan_on(
        &self,
        config: &Config,
        max_tasks: usize,
        stored: &dyn StoredOffsets,
    ) -> Result<TaskPlan> {
        plan_tasks::plan(config, max_tasks, Some(stored)).await
    }

    async fn open(&self, task: &Config, stored: &dyn StoredOffsets) -> Result<Box<dyn SourceTask>> {
        let config = SourceConfig::read(task)?;
        let Some(settings) = config.cdc else {
            return Ok(Box::new(JdbcSourceTask::open(config, stored).await?));
        };
        Ok(match config.target.database_kind() {
            DatabaseKind::Postgres => Box::new(SlotTask::open(config, settings, stored).await?),
            DatabaseKind::MySql | DatabaseKind::Sqlite => {
                Box::new(CdcTask::open(config, settings, stored).await?)
            }
        })
    }

    /// Validates the offsets and returns `Ok(false)`, as the default implementation of Kafka
    /// Connect's sources does.
    /// Errors: `Config` for an offset that cannot be read back.
    fn check_positions(&self, _config: &Config, positions: &[SourcePosition]) -> Result<bool> {
        let (log, positions): (Vec<_>, Vec<_>) = positions
            .iter()
            .partition(|p| cdc::owns_position(&p.partition));
        log.into_iter().try_for_each(cdc::check_position)?;
        let ours = |p: &&SourcePosition| {
            ["table", "query"]
                .iter()
                .any(|name| p.partition.get(name).is_some())
        };
        let (known, read): (Vec<_>, Vec<_>) = positions
            .into_iter()
            .filter(ours)
            .partition(|p| KnownKeys::owns(&p.partition));
        known.into_iter().try_for_each(KnownKeys::check)?;
        let (again, read): (Vec<_>, Vec<_>) = read
            .into_iter()
            .partition(|p| p.partition.get(REREAD).is_some());
        again
            .into_iter()
            .filter_map(|p| p.offset.as_ref())
            .try_for_each(|o| RereadPlace::read(o).map(drop))?;
        read.into_iter()
            .filter_map(|p| p.offset.as_ref())
            .try_for_each(|o| SourceProgress::read(o).map(drop))?;
        Ok(false)
    }

    async fn probe(&self, config: &Config, report: &mut ConfigReport) {
        let read = match SourceConfig::problems_or_read(config) {
            Ok(read) => read,
            Err(problems) => {
                // The other keys have been checked on their own. A missing URL is reported only
                // once a mode is set: until then the form has only been opened.
                let asked = ["connection.url", "mode"]
                    .iter()
                    .any(|key| config.get(key).is_some());
                let on_url = problems
                    .errors
                    .into_iter()
                    .filter(|p| asked && p.key == "connection.url");
                return report.errors.extend(on_url);
            }
        };
        let once = ConnectOptions {
            attempts: 1,
            timeout: PROBE_WITHIN,
            ..read.connect
        };
        let probe = async {
            let mut session = connection::open(&read, once).await?;
            let read = probe::understood(&mut *session, read.clone()).await?;
            let listed = probe::listed(&mut *session, &read).await;
            ask(&mut *session, &read, once, &listed, report).await;
            session.close().await;
            listed
        };
        let found = timeout(PROBE_WITHIN, probe).await;
        match found {
            Ok(Ok(listed)) => {
                let names: Vec<_> = listed.own.into_iter().map(|t| t.id.table).collect();
                report.recommend("table.whitelist", names.clone());
                report.recommend("table.blacklist", names);
            }
            Ok(Err(error)) => report.error(
                "connection.url",
                format!("Could not connect to database. {error}"),
            ),
            Err(_) => report.error(
                "connection.url",
                format!(
                    "Could not connect to database. No answer from {} within 10 s",
                    read.target.place()
                ),
            ),
        }
    }

    async fn preview(
        &self,
        config: &Config,
        stored: &dyn StoredOffsets,
        limits: PreviewLimits,
        preview: &mut SourcePreview,
    ) -> Result<bool> {
        preview::preview(SourceConfig::read(config)?, stored, limits, preview).await?;
        Ok(true)
    }
}

/// Reports what a database that answers shows: settings, names, privileges, columns.
async fn ask(
    session: &mut dyn Session,
    read: &SourceConfig,
    once: ConnectOptions,
    listed: &Result<TableListing>,
    report: &mut ConfigReport,
) {
    if read.cdc.is_some() {
        cdc::probe(session, read, once, listed.as_ref().ok(), report).await;
    }
    let Ok(listed) = listed else { return };
    probe::names(session.dialect(), read, listed, report);
    probe::query(session, read, report).await;
    if let Err(error) = probe::privileges(session, read, listed, report).await {
        tracing::debug!(%error, "privileges cannot be read");
    }
    if let Err(error) = probe::modes(session, read, listed, report).await {
        tracing::debug!(%error, "the mode's columns cannot be looked up");
    }
    if let Err(error) = probe::deletions(session, read, listed, report).await {
        tracing::debug!(%error, "tables cannot be looked up");
    }
}
