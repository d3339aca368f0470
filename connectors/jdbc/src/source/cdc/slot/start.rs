//! What a task does before it reads the slot, and after: it looks up its tables, makes the publication,
//! says how the slot is, and drops it.

use std::collections::BTreeSet;
use std::time::Duration;

use connector_api::{Error, Result, StoredOffsets};

use super::server::{self, SlotState};
use super::table::{SlotTable, plain, without_generated};
use crate::driver::Session;
use crate::source::cdc::start;
use crate::source::config::{CdcSettings, SourceConfig};
use crate::source::tables::connection;

/// How often dropping a slot is tried, and how long apart: the server needs a moment to notice that
/// nobody reads it any more.
const DROP_TRIES: u32 = 20;
const DROP_AGAIN: Duration = Duration::from_millis(200);

/// What the user is to know of the slot: the server is about to remove log that it needs.
pub(super) fn slot_warning(config: &SourceConfig, state: &SlotState) -> Option<String> {
    let is_kept = matches!(&*state.wal_status, "reserved" | "extended" | "");
    (!is_kept).then(|| {
        format!(
            "the replication slot {} (publication {}) is {} bytes behind and has wal_status={}: the \
             server removes log that it needs, see max_slot_wal_keep_size",
            config.slot.slot, config.slot.publication, state.lag, state.wal_status
        )
    })
}

pub(super) async fn drop_slot(config: &SourceConfig) -> Result<()> {
    let mut session = connection::open(config, config.connect).await?;
    let mut outcome = Ok(());
    for _ in 0..DROP_TRIES {
        outcome = server::drop_slot(&mut *session, &config.slot.slot).await;
        if outcome.is_ok() || session.is_lost() {
            break;
        }
        tokio::time::sleep(DROP_AGAIN).await;
    }
    session.close().await;
    outcome
}

/// Looks up the tables and what is stored of them.
pub(super) async fn open_tables(
    config: &SourceConfig,
    settings: CdcSettings,
    stored: &dyn StoredOffsets,
    session: &mut dyn Session,
    warnings: &mut BTreeSet<String>,
) -> Result<Vec<SlotTable>> {
    let mut tables = Vec::new();
    for id in &config.tables {
        let Some(meta) = session.table(id).await? else {
            warnings.insert(format!("table {id} does not exist (any more)"));
            continue;
        };
        if let Some(problem) = server::identity_problem(session, &meta.id).await? {
            return Err(Error::config(problem));
        }
        let own = without_generated(&meta);
        let is_cut = own.columns.len() < meta.columns.len();
        let dialect = session.dialect();
        let mut table = start::stored_table(plain(own), config, settings, stored, dialect).await?;
        if is_cut {
            table.warnings.insert(format!(
                "table {}: generated columns are not in the log, and left out",
                meta.id
            ));
        }
        tables.push(SlotTable::new(table));
    }
    if tables.is_empty() {
        return Err(Error::config("none of the task's tables exists"));
    }
    Ok(tables)
}

/// Makes or changes the publication.
/// Errors: `Config` for a table whose changes were not published since they were read last.
pub(super) async fn publish(
    config: &SourceConfig,
    tables: &[SlotTable],
    is_known: bool,
    session: &mut dyn Session,
) -> Result<()> {
    let ids: Vec<_> = tables
        .iter()
        .map(|table| table.captured.meta.id.clone())
        .collect();
    let had = server::publish(session, &config.slot, &ids).await?;
    let missed = tables.iter().map(|table| &table.captured).find(|table| {
        // what was just looked up for the first time is not stored yet
        let is_stored = !table.changed && !table.is_before();
        is_known && is_stored && !had.contains(&server::pair(&table.meta.id))
    });
    match missed {
        Some(table) => Err(Error::config(format!(
            "table {} was not in the publication {}, so its changes since then are missing: stop the \
             connector, delete its offsets (DELETE /connectors/NAME/offsets) and resume it",
            table.meta.id, config.slot.publication
        ))),
        None => Ok(()),
    }
}
