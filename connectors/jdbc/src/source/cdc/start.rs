//! Where a task begins: in the log, and in each table.

use std::sync::Arc;

use connector_api::{Error, Result, SourceOffset, StoredOffsets, Value};

use super::definition;
use super::position::{
    LogPosition, StreamProgress, TableFront, TableProgressStored, stream_partition, table_partition,
};
use super::server;
use super::table::CapturedTable;
use crate::catalog::TableMeta;
use crate::dialect::Dialect;
use crate::dialect::read::ValueDecoding;
use crate::driver::{Session, SqlParam};
use crate::ident::TableId;
use crate::source::config::{CdcSettings, SourceConfig};
use crate::source::plan::offset::{self, SourceProgress};

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
    let Some(meta) = session.table(id).await? else {
        return Ok(None);
    };
    if meta.is_view {
        return Err(Error::config(format!(
            "{} is a view, whose rows are in no log: exclude it from the connector",
            meta.id
        )));
    }
    let versioned = is_versioned(session, &meta.id).await?;
    if versioned {
        return Err(Error::config(format!(
            "table {} is system-versioned, which mode=cdc cannot read yet: exclude it from the \
             connector",
            meta.id
        )));
    }
    let cascades = cascades(session, &meta.id).await;
    let mut table = stored_table(meta, config, settings, stored, session.dialect()).await?;
    if cascades {
        table.warnings.insert(format!(
            "table {} has a foreign key with ON DELETE or ON UPDATE CASCADE or SET NULL: rows that \
             it deletes or changes are not in the server's log, and not reported",
            table.meta.id
        ));
    }
    Ok(Some(table))
}

/// True if a foreign key of the table deletes or changes rows.
async fn cascades(session: &mut dyn Session, id: &TableId) -> bool {
    let sql = format!("SHOW CREATE TABLE {}", session.dialect().table(id));
    let rows = session.query_once(&sql).await.unwrap_or_default();
    let Some(Value::Text(text)) = rows.first().and_then(|row| row.get(1)) else {
        return false;
    };
    let acts = |line: &str| {
        ["CASCADE", "SET NULL", "SET DEFAULT"].iter().any(|act| {
            line.contains(&format!("ON DELETE {act}")) || line.contains(&format!("ON UPDATE {act}"))
        })
    };
    text.lines()
        .any(|line| line.contains("FOREIGN KEY") && acts(line))
}

/// A table as it was when its rows were emitted, or as it is now.
async fn stored_table(
    meta: TableMeta,
    config: &SourceConfig,
    settings: CdcSettings,
    stored: &dyn StoredOffsets,
    dialect: &dyn Dialect,
) -> Result<CapturedTable> {
    let partition = table_partition(&config.topic_prefix, &meta.id);
    let found = stored.read(&[partition]).await?.pop().flatten();
    let Some(found) = found else {
        let mut table = CapturedTable::new(Arc::new(meta), TableFront::Before, config, dialect)?;
        table.changed = true;
        table.front = if settings.snapshot {
            polled_before(&table, config, stored).await?
        } else {
            TableFront::Done
        };
        return Ok(table);
    };
    let TableProgressStored { front, columns } = TableProgressStored::read(&found)?;
    // rows in the log may be of the definition that was stored with the position
    let known = columns.and_then(|columns| definition::read(&meta.id, &columns));
    let known = match known {
        Some(known) if front != TableFront::Before => TableMeta {
            rows_estimated: meta.rows_estimated,
            ..known
        },
        _ => meta,
    };
    CapturedTable::new(Arc::new(known), front, config, dialect)
}

async fn is_versioned(session: &mut dyn Session, id: &TableId) -> Result<bool> {
    let sql = "SELECT 1 FROM information_schema.tables WHERE table_schema = ? AND table_name = ? \
               AND table_type = 'SYSTEM VERSIONED'";
    let params = [
        SqlParam::text(id.catalog.as_deref()),
        SqlParam::text(Some(&id.table)),
    ];
    Ok(!session.query(sql, &params).await?.is_empty())
}

/// Which rows `mode=incrementing` has emitted before the connector's mode was changed.
async fn polled_before(
    table: &CapturedTable,
    config: &SourceConfig,
    stored: &dyn StoredOffsets,
) -> Result<TableFront> {
    let column = match table.plan.order.as_slice() {
        [column] => table.plan.layout.columns.get(*column),
        _ => None,
    };
    let Some(key) = column else {
        return Ok(TableFront::Before);
    };
    let id = &table.meta.id;
    let is_same = config
        .id_column
        .as_deref()
        .is_none_or(|name| *name == *key.name);
    let is_integer = matches!(key.read, ValueDecoding::Int(_));
    let partitions = [offset::table(id, config.qualify), offset::bare_table(id)];
    let found = stored.read(&partitions).await?.into_iter().flatten().next();
    let (Some(found), true) = (found, is_same && is_integer) else {
        return Ok(TableFront::Before);
    };
    let polled = SourceProgress::read(&found)?;
    if polled.timestamp.is_some() || polled.snapshot.is_some() {
        return Ok(TableFront::Before);
    }
    // ids that were missing may have appeared since
    let gap = polled.gaps.ranges().next().map(|(first, _)| first - 1);
    Ok(gap.or(polled.id).map_or(TableFront::Before, |reached| {
        TableFront::UpTo(vec![Value::I64(reached)])
    }))
}
