//! Where a task begins: in the log, and in each table.

use std::sync::Arc;

use connector_api::{Error, Result, SourceOffset, StoredOffsets};

use super::definition;
use super::polled;
use super::position::{
    LogPosition, StreamProgress, TableFront, TableProgressStored, stream_partition, table_partition,
};
use super::server;
use super::table::CapturedTable;
use super::traits::{self, TableDefinition};
use super::xa;
use crate::catalog::TableMeta;
use crate::dialect::Dialect;
use crate::driver::Session;
use crate::ident::TableId;
use crate::source::config::{CdcSettings, SourceConfig};

/// Returns where the log begins: where the stored position says, or now.
pub(super) async fn log(
    config: &SourceConfig,
    stored: &dyn StoredOffsets,
    session: &mut dyn Session,
    host: i64,
) -> Result<StreamProgress> {
    let partition = stream_partition(&config.topic_prefix);
    match stored.read(&[partition]).await?.pop().flatten() {
        Some(found) => resumed(session, &found, host).await,
        None => first(session, host).await,
    }
}

/// Where the log begins without a stored position: now.
async fn first(session: &mut dyn Session, host: i64) -> Result<StreamProgress> {
    let position = server::begin_snapshot(session).await?;
    session.run("ROLLBACK").await?;
    Ok(StreamProgress {
        gtids: server::gtids_at(session, &position).await?,
        position: Some(position),
        // behind the position: what ends in between is in every snapshot
        xa: xa::prepared(session).await?,
        host: Some(host),
        ..StreamProgress::default()
    })
}

/// The stored position, as far as it is one of this server.
async fn resumed(
    session: &mut dyn Session,
    stored: &SourceOffset,
    host: i64,
) -> Result<StreamProgress> {
    let mut progress = StreamProgress::read(stored)?;
    if let Some(domain) = server::unknown_domain(session, &progress.gtids).await? {
        return Err(Error::config(format!(
            "the stored position {} has transactions of domain {domain}, of which this server has \
             none: it is not the server, nor a replica of it, whose log was read",
            progress.gtids
        )));
    }
    if progress.host != Some(host) {
        // files and positions are another server's
        let files: Option<LogPosition> = progress.position.take();
        if progress.gtids.is_empty() {
            return Err(Error::config(format!(
                "the stored position {files:?} is of the server with server_id {:?}, and this one \
                 has {host}",
                progress.host
            )));
        }
        progress.host = Some(host);
    }
    Ok(progress)
}

/// Looks up a table and what is stored of it; `None` if it does not exist.
pub(super) async fn table(
    id: &TableId,
    config: &SourceConfig,
    settings: CdcSettings,
    stored: &dyn StoredOffsets,
    session: &mut dyn Session,
) -> Result<Option<CapturedTable>> {
    let Some(found) = traits::look_up(session, id).await? else {
        return Ok(None);
    };
    if found.meta.is_view {
        return Err(Error::config(format!(
            "{} is a view, whose rows are in no log: exclude it from the connector",
            found.meta.id
        )));
    }
    if found.is_versioned_by_transactions() {
        return Err(Error::config(format!(
            "table {} is system-versioned by transactions, and the server logs statements in place \
             of the rows that they change there: declare the columns of the period as TIMESTAMP(6), \
             or exclude the table from the connector",
            found.meta.id
        )));
    }
    let cascades = found.cascades;
    let mut table = stored_table(found, config, settings, stored, session.dialect()).await?;
    if cascades {
        let text = traits::cascade_warning(&table.meta.id);
        table.warnings.insert(text);
    }
    Ok(Some(table))
}

/// A table as it was when its rows were emitted, or as it is now.
pub(super) async fn stored_table(
    now: TableDefinition,
    config: &SourceConfig,
    settings: CdcSettings,
    stored: &dyn StoredOffsets,
    dialect: &dyn Dialect,
) -> Result<CapturedTable> {
    let TableDefinition { meta, row_end, .. } = now;
    let partition = table_partition(&config.topic_prefix, &meta.id);
    let found = stored.read(&[partition]).await?.pop().flatten();
    let Some(found) = found else {
        let polled = match settings.snapshot {
            true => polled::polled(&meta, config, stored).await?,
            false => None,
        };
        let (meta, front) = (Arc::new(meta), TableFront::Done);
        let mut table = CapturedTable::new(meta, row_end, front, config, dialect)?;
        table.changed = true;
        if settings.snapshot {
            let front = polled.as_ref().map(|polled| polled.front(&table.plan));
            table.front = front.unwrap_or_default();
            table.polled = polled.map(Arc::new);
        }
        return Ok(table);
    };
    let stored = TableProgressStored::read(&found)?;
    let front = stored.front;
    // rows in the log may be of the definition that was stored with the position
    let known = stored
        .columns
        .and_then(|columns| definition::read(&meta.id, &columns));
    let (known, row_end) = match known {
        Some((known, row_end)) if front != TableFront::Before || stored.polled.is_some() => {
            let rows_estimated = meta.rows_estimated;
            (
                TableMeta {
                    rows_estimated,
                    ..known
                },
                row_end,
            )
        }
        _ => (meta, row_end),
    };
    let mut table = CapturedTable::new(Arc::new(known), row_end, front, config, dialect)?;
    table.polled = stored.polled.map(Arc::new);
    Ok(table)
}
