//! Connects to the log, with a snapshot of the tables that are not read yet.

use std::sync::Arc;

use connector_api::Result;

use super::position::SlotPosition;
use super::server;
use super::snapshot::{SlotSnapshot, SlotTableRequest};
use super::stream::{SlotProgress, SlotStream};
use super::table::without_generated;
use crate::driver::{ReplicationStream, Session, export_snapshot};
use crate::ident::TableId;
use crate::source::config::SourceConfig;
use crate::source::plan::query::ReadPosition;
use crate::source::plan::table;
use crate::source::tables::connection;

/// A table that is not read yet.
pub(super) struct PendingTable {
    /// Index of the table.
    pub index: usize,
    pub id: TableId,
    /// Where its rows begin and end.
    pub from: ReadPosition,
}

/// A connection to the log.
pub(super) struct OpenedLog {
    pub stream: SlotStream,
    pub snapshot: Option<SlotSnapshot>,
    /// Tables that do not exist any more.
    pub gone: Vec<usize>,
}

/// Connects. A snapshot is of a later position than that of the stream: of each table that is not
/// read yet, the changes in between are in the snapshot.
pub(super) async fn open(
    config: Arc<SourceConfig>,
    position: SlotPosition,
    pending: Vec<PendingTable>,
) -> Result<OpenedLog> {
    let mut session = connection::open(&config, config.connect).await?;
    server::check_slot(&mut *session, &config.slot.slot, position).await?;
    let (mut snapshot, mut gone) = (None, Vec::new());
    if pending.is_empty() {
        session.close().await;
    } else {
        let taken = take_snapshot(&config, pending, session).await?;
        (snapshot, gone) = (Some(taken.0), taken.1);
    }
    let stream = ReplicationStream::open(
        &config.target,
        config.connect,
        &config.slot.slot,
        &config.slot.publication,
        position.done,
    );
    let stream = stream.await?;
    Ok(OpenedLog {
        stream: SlotStream {
            stream,
            progress: SlotProgress::new(position),
        },
        snapshot,
        gone,
    })
}

/// Takes a snapshot of a table that is read again; `None` if it does not exist any more.
pub(super) async fn open_again(
    config: Arc<SourceConfig>,
    table: PendingTable,
) -> Result<Option<SlotSnapshot>> {
    let session = connection::open(&config, config.connect).await?;
    let (snapshot, gone) = take_snapshot(&config, vec![table], session).await?;
    Ok(gone.is_empty().then_some(snapshot))
}

/// Begins to read tables as of a position that the server reports. Returns those that do not exist any
/// more, too.
async fn take_snapshot(
    config: &SourceConfig,
    pending: Vec<PendingTable>,
    mut session: Box<dyn Session>,
) -> Result<(SlotSnapshot, Vec<usize>)> {
    let mut gone = Vec::new();
    let number = session.connection_id().map_or(0, |id| id.id);
    let name = format!("{}_{number}", config.slot.slot);
    let exported = export_snapshot(&config.target, config.connect, &name).await?;
    session
        .run("SET idle_in_transaction_session_timeout = 0")
        .await?;
    session
        .run("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .await?;
    let import = format!(
        "SET TRANSACTION SNAPSHOT '{}'",
        exported.name.replace('\'', "")
    );
    session.run(&import).await?;
    let at = exported.position;
    drop(exported);
    let mut requests = Vec::new();
    for table in pending {
        let Some(meta) = session.table(&table.id).await? else {
            gone.push(table.index);
            continue;
        };
        let meta = without_generated(&meta);
        requests.push(SlotTableRequest {
            table: table.index,
            plan: table::plan(&meta, config, session.dialect())?,
            meta: Arc::new(meta),
            from: table.from,
        });
    }
    Ok((SlotSnapshot::begin(at, requests, session), gone))
}
