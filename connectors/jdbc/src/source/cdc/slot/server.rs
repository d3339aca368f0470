//! The server: its settings, the publication and the slot.

use std::collections::BTreeSet;

use connector_api::{Error, Result, Value};

use super::position::SlotPosition;
use crate::driver::{Session, SqlParam, parse_position, position_text};
use crate::ident::TableId;
use crate::source::config::{PublicationMaking, SlotSettings, SourceConfig};

/// The oldest version that is supported.
const OLDEST: i64 = 140_000;

const SETTINGS: &str = "SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int8, \
     pg_catalog.current_setting('wal_level'), \
     pg_catalog.current_setting('max_replication_slots')::pg_catalog.int8, \
     (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots), \
     (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), \
     (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots WHERE slot_name = $1), \
     current_user::pg_catalog.text, pg_catalog.pg_is_in_recovery()";

const IDENTITY: &str = "SELECT c.relreplident::pg_catalog.text, \
     EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary), \
     EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary \
         AND i.indisreplident), \
     c.relpersistence::pg_catalog.text, c.relkind::pg_catalog.text \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = $1 AND c.relname = $2";

/// How a slot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlotState {
    plugin: String,
    is_own_database: bool,
    /// Changes before this position are not sent any more.
    pub confirmed: u64,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: String,
    /// Bytes of the log that the server keeps for the slot.
    pub lag: i64,
    is_active: bool,
}

/// Returns what keeps the changes of those tables from being read, each with what fixes it.
pub(in crate::source::cdc) async fn problems(
    session: &mut dyn Session,
    config: &SourceConfig,
    tables: &[TableId],
) -> Result<Vec<String>> {
    let mut found = of_settings(session, &config.slot.slot).await?;
    for id in tables {
        found.extend(identity_problem(session, id).await?);
    }
    Ok(found)
}

/// Checks the settings.
/// Errors: `Config` with everything that is wrong.
pub(super) async fn check(session: &mut dyn Session, slot: &SlotSettings) -> Result<()> {
    let problems = of_settings(session, &slot.slot).await?;
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::config(problems.join("; ")))
}

async fn of_settings(session: &mut dyn Session, slot: &str) -> Result<Vec<String>> {
    let rows = session
        .query(SETTINGS, &[SqlParam::text(Some(slot))])
        .await?;
    let row = rows.into_iter().next().unwrap_or_default();
    let number = |index: usize| row.get(index).and_then(Value::as_i64).unwrap_or_default();
    let text = |index: usize| row.get(index).and_then(Value::as_str).unwrap_or_default();
    let mut found = Vec::new();
    if number(0) < OLDEST {
        found.push("mode=cdc needs PostgreSQL 14 or newer: choose another mode".to_owned());
    }
    if row.get(7) == Some(&Value::Bool(true)) {
        found.push(
            "mode=cdc reads the log of a primary, and the server is a standby: set connection.url \
             to the primary"
                .to_owned(),
        );
    }
    if text(1) != "logical" {
        found.push(format!(
            "mode=cdc needs wal_level=logical, and the server has {}: run ALTER SYSTEM SET \
             wal_level = logical and restart the server (on managed servers, set \
             rds.logical_replication or the like)",
            text(1)
        ));
    }
    let (slots, used, own) = (number(2), number(3), number(5));
    // one for the connector, and one for the time of a snapshot
    let needed = if own > 0 { 1 } else { 2 };
    if slots - used < needed {
        found.push(format!(
            "mode=cdc needs {needed} free replication slots, and {used} of {slots} are used: drop \
             one that nobody reads (SELECT pg_drop_replication_slot('name'), see \
             pg_replication_slots), or run ALTER SYSTEM SET max_replication_slots = {} and restart \
             the server",
            used + needed + 4
        ));
    }
    if row.get(4) != Some(&Value::Bool(true)) {
        found.push(format!(
            "mode=cdc needs the attribute REPLICATION: run ALTER ROLE {} REPLICATION as a superuser",
            session.dialect().quoted(text(6))
        ));
    }
    Ok(found)
}

/// A table whose updated or deleted rows the log would not identify: as soon as it is published, the
/// server refuses UPDATE and DELETE.
pub(super) async fn identity_problem(
    session: &mut dyn Session,
    id: &TableId,
) -> Result<Option<String>> {
    let params = [
        SqlParam::text(id.schema.as_deref()),
        SqlParam::text(Some(&id.table)),
    ];
    let rows = session.query(IDENTITY, &params).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let is = |index: usize| row.get(index) == Some(&Value::Bool(true));
    let text = |index: usize| row.get(index).and_then(Value::as_str).unwrap_or_default();
    if matches!(text(4), "v" | "m" | "f") || text(3) != "p" {
        return Ok(Some(format!(
            "{id} is a view, or a foreign, unlogged or temporary table, whose rows are in no log: \
             exclude it from the connector"
        )));
    }
    let fits = match text(0) {
        "f" => true,
        "d" => is(1),
        "i" => is(2),
        _ => false,
    };
    Ok((!fits).then(|| {
        format!(
            "table {id} has no replica identity by which the log would name its updated and deleted \
             rows: run ALTER TABLE {} REPLICA IDENTITY {}",
            session.dialect().table(id),
            if is(1) { "DEFAULT" } else { "FULL" }
        )
    }))
}

/// Makes the publication, or changes it, so that it has those tables. Returns the tables that it had
/// before.
pub(super) async fn publish(
    session: &mut dyn Session,
    settings: &SlotSettings,
    tables: &[TableId],
) -> Result<BTreeSet<(String, String)>> {
    let dialect = session.dialect();
    let name = dialect.quoted(&settings.publication);
    let all: Vec<_> = tables.iter().map(|id| dialect.table(id)).collect();
    let all = all.join(", ");
    let sql = "SELECT pubinsert AND pubupdate AND pubdelete, puballtables \
               FROM pg_catalog.pg_publication WHERE pubname = $1";
    let param = [SqlParam::text(Some(&settings.publication))];
    let rows = session.query(sql, &param).await?;
    let Some(row) = rows.first() else {
        make_publication(session, settings, &name, &all).await?;
        return Ok(BTreeSet::new());
    };
    if row.first() != Some(&Value::Bool(true)) {
        return Err(Error::config(format!(
            "publication {} leaves out inserts, updates or deletes: run ALTER PUBLICATION {name} \
             SET (publish = 'insert, update, delete, truncate')",
            settings.publication
        )));
    }
    let sql = "SELECT schemaname::pg_catalog.text, tablename::pg_catalog.text \
               FROM pg_catalog.pg_publication_tables WHERE pubname = $1";
    let rows = session.query(sql, &param).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let had: BTreeSet<_> = rows
        .iter()
        .filter_map(|row| Some((text(row.first()?), text(row.get(1)?))))
        .collect();
    let wanted: BTreeSet<_> = tables.iter().map(pair).collect();
    let is_all = row.get(1) == Some(&Value::Bool(true));
    if is_all || had == wanted {
        return Ok(had);
    }
    let sql = format!("ALTER PUBLICATION {name} SET TABLE {all}");
    if settings.making == PublicationMaking::Filtered {
        session
            .run(&sql)
            .await
            .map_err(|error| needs(&sql, &error))?;
    } else if let Some((schema, table)) = wanted.difference(&had).next() {
        return Err(Error::config(format!(
            "publication {} does not have the table {schema}.{table}: run {sql}",
            settings.publication
        )));
    }
    Ok(had)
}

/// Makes the publication that does not exist.
async fn make_publication(
    session: &mut dyn Session,
    settings: &SlotSettings,
    name: &str,
    tables: &str,
) -> Result<()> {
    let of = match settings.making {
        PublicationMaking::AllTables => "ALL TABLES".to_owned(),
        PublicationMaking::Filtered | PublicationMaking::Disabled => format!("TABLE {tables}"),
    };
    let sql =
        format!("CREATE PUBLICATION {name} FOR {of} WITH (publish_via_partition_root = true)");
    if settings.making == PublicationMaking::Disabled {
        return Err(Error::config(format!(
            "publication {} does not exist, and publication.autocreate.mode=disabled: run {sql}",
            settings.publication
        )));
    }
    let made = session.run(&sql).await;
    made.map(drop).map_err(|error| needs(&sql, &error))
}

/// A table's schema and name.
pub(super) fn pair(id: &TableId) -> (String, String) {
    (id.schema.clone().unwrap_or_default(), id.table.clone())
}

/// Says what a refused statement needs.
fn needs(sql: &str, error: &Error) -> Error {
    let text = format!(
        "the publication cannot be made: {error}. The account must own the tables and have CREATE on \
         the database; or run this as an account that may, and set \
         publication.autocreate.mode=disabled: {sql}"
    );
    Error::new(error.kind(), text)
}

/// How the slot is; `None` if it does not exist.
pub(super) async fn slot(session: &mut dyn Session, name: &str) -> Result<Option<SlotState>> {
    let sql = "SELECT plugin::pg_catalog.text, database = pg_catalog.current_database(), \
         confirmed_flush_lsn::pg_catalog.text, wal_status, active, \
         pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), \
         coalesce(confirmed_flush_lsn, restart_lsn))::pg_catalog.int8 \
         FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";
    let rows = session.query(sql, &[SqlParam::text(Some(name))]).await?;
    Ok(rows.first().map(|row| {
        let text = |index: usize| row.get(index).and_then(Value::as_str).unwrap_or_default();
        SlotState {
            plugin: text(0).to_owned(),
            is_own_database: row.get(1) == Some(&Value::Bool(true)),
            confirmed: parse_position(text(2)).unwrap_or_default(),
            wal_status: text(3).to_owned(),
            is_active: row.get(4) == Some(&Value::Bool(true)),
            lag: row.get(5).and_then(Value::as_i64).unwrap_or_default(),
        }
    }))
}

/// Makes the slot if there is none. Returns where the log begins that it keeps. Without a stored
/// position, a slot that has lost its log is made again.
pub(super) async fn first_position(session: &mut dyn Session, name: &str) -> Result<SlotPosition> {
    let found = slot(session, name).await?;
    if let Some(state) = &found {
        usable(name, state)?;
        if state.wal_status != "lost" {
            return Ok(SlotPosition {
                done: state.confirmed,
                partial: None,
            });
        }
        drop_slot(session, name).await?;
    }
    let sql = "SELECT lsn::pg_catalog.text \
               FROM pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')";
    let rows = session.query(sql, &[SqlParam::text(Some(name))]).await?;
    let text = rows.first().and_then(|row| row.first()?.as_str());
    let done = text.and_then(parse_position);
    let done = done.ok_or_else(|| Error::fatal("the server does not tell where a slot begins"))?;
    tracing::info!(
        slot = name,
        at = position_text(done),
        "made a replication slot"
    );
    Ok(SlotPosition {
        done,
        partial: None,
    })
}

/// Checks that the slot has the log from a stored position on.
/// Errors: `Config` if changes would be missing.
pub(super) async fn check_slot(
    session: &mut dyn Session,
    name: &str,
    position: SlotPosition,
) -> Result<SlotState> {
    let lost = |what: &str| {
        Error::config(format!(
            "{what}, so changes since the stored position {} may be missing. Read the tables again: \
             stop the connector, delete its offsets (DELETE /connectors/NAME/offsets) and resume it",
            position_text(position.done)
        ))
    };
    let Some(state) = slot(session, name).await? else {
        return Err(lost(&format!(
            "the replication slot {name} does not exist any more"
        )));
    };
    usable(name, &state)?;
    if state.wal_status == "lost" {
        return Err(lost(&format!(
            "the server has removed log that the replication slot {name} needs (wal_status=lost: \
             see max_slot_wal_keep_size)"
        )));
    }
    if state.confirmed > position.done {
        return Err(lost(&format!(
            "the replication slot {name} begins at {}: it was made again, or another reader has \
             moved it on",
            position_text(state.confirmed)
        )));
    }
    Ok(state)
}

fn usable(name: &str, state: &SlotState) -> Result<()> {
    if state.plugin == "pgoutput" && state.is_own_database {
        return Ok(());
    }
    Err(Error::config(format!(
        "the replication slot {name} is one of another database, or of another plugin than pgoutput: \
         set slot.name to another name"
    )))
}

/// Drops the slot, if it exists.
pub(super) async fn drop_slot(session: &mut dyn Session, name: &str) -> Result<()> {
    let sql = "SELECT pg_catalog.pg_drop_replication_slot(slot_name)::pg_catalog.text \
               FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";
    session.query(sql, &[SqlParam::text(Some(name))]).await?;
    Ok(())
}
