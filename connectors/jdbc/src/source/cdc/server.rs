//! The server: its settings, and snapshots whose position in the log is known.

use connector_api::{Error, Result, Value};

use super::position::LogPosition;
use crate::binlog::gtid::GtidSet;
use crate::driver::Session;

/// How often the position of a snapshot is read until it is the same three times in a row: two
/// sessions that read these variables at once see each other's values.
const READS: u32 = 200;

/// Settings that concern the log.
const SETTINGS: &str = "SELECT @@global.log_bin, @@global.binlog_format, \
     @@global.binlog_row_image, @@server_id";

/// What a setting must be: its name, its value, the statement that sets it.
const NEEDED: [(&str, &str, &str); 3] = [
    (
        "log_bin",
        "ON",
        "set log_bin in the server's configuration and restart it",
    ),
    (
        "binlog_format",
        "ROW",
        "run SET GLOBAL binlog_format=ROW, and restart the sessions that write",
    ),
    (
        "binlog_row_image",
        "FULL",
        "run SET GLOBAL binlog_row_image=FULL, and restart the sessions that write",
    ),
];

/// Returns what keeps the server's log from being read, each with what fixes it.
pub(in crate::source) async fn problems(session: &mut dyn Session) -> Result<Vec<String>> {
    if !session.server_version().contains("MariaDB") {
        return Ok(vec![format!(
            "mode=cdc reads the log of MariaDB, and the server is {}: choose another mode",
            session.server_version()
        )]);
    }
    let rows = session.query(SETTINGS, &[]).await?;
    let row = rows.first().map(Vec::as_slice).unwrap_or_default();
    let found = NEEDED
        .iter()
        .zip(row)
        .filter_map(|((name, needed, fix), value)| {
            let value = shown(value);
            (!value.eq_ignore_ascii_case(needed)).then(|| {
                format!("mode=cdc needs {name}={needed}, and the server has {value}: {fix}")
            })
        });
    Ok(found.collect())
}

fn shown(value: &Value) -> String {
    match value {
        Value::I64(1) => "ON".to_owned(),
        Value::I64(_) => "OFF".to_owned(),
        Value::Text(text) => text.to_string(),
        _ => String::new(),
    }
}

/// Checks the settings. Returns the server's number.
/// Errors: `Config` with everything that is wrong.
pub(super) async fn check(session: &mut dyn Session) -> Result<i64> {
    let problems = problems(session).await?;
    if !problems.is_empty() {
        return Err(Error::config(problems.join("; ")));
    }
    let rows = session.query("SELECT @@server_id", &[]).await?;
    Ok(rows
        .first()
        .and_then(|row| row.first()?.as_i64())
        .unwrap_or_default())
}

/// Returns warnings: the log does not name columns.
pub(super) async fn warnings(session: &mut dyn Session) -> Vec<String> {
    let mut out = Vec::new();
    // servers before 10.5 do not have the variable
    let metadata = session.query("SELECT @@global.binlog_row_metadata", &[]);
    let metadata = metadata.await.unwrap_or_default();
    if let Some(value) = metadata.first().and_then(|row| row.first()).map(shown)
        && value != "FULL"
    {
        out.push(format!(
            "binlog_row_metadata is {value}: the log does not name columns, so a table that is \
             altered while the connector is stopped or behind may not be recognised. Run SET \
             GLOBAL binlog_row_metadata=FULL"
        ));
    }
    out
}

/// The warning of so many transactions that are prepared before the connector begins.
pub(super) fn prepared_warning(count: usize) -> Option<String> {
    (count > 0).then(|| {
        format!(
            "{count} XA transactions were prepared before the connector began: if one of them is \
             committed later and changes a captured table, the task fails. Commit them or roll them \
             back before (XA RECOVER lists them)"
        )
    })
}

/// Begins a transaction that sees what was committed before exactly one position of the log, and
/// returns that position. Needs no lock, and no privilege but SELECT.
pub(super) async fn begin_snapshot(session: &mut dyn Session) -> Result<LogPosition> {
    session
        .run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    session
        .run("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        .await?;
    let mut last = None;
    let mut equal = 0;
    for _ in 0..READS {
        let read = snapshot_position(session).await?;
        equal = if last.as_ref() == Some(&read) {
            equal + 1
        } else {
            1
        };
        if equal == 3 {
            return Ok(read);
        }
        last = Some(read);
    }
    Err(Error::retry(
        "the position of a snapshot could not be read: other sessions read the server's status all \
         the time",
    ))
}

async fn snapshot_position(session: &mut dyn Session) -> Result<LogPosition> {
    let rows = session
        .query("SHOW STATUS LIKE 'binlog_snapshot_%'", &[])
        .await?;
    let value = |name: &str| {
        let row = rows.iter().find(
            |row| matches!(row.first(), Some(Value::Text(text)) if text.eq_ignore_ascii_case(name)),
        );
        match row.and_then(|row| row.get(1)) {
            Some(Value::Text(text)) => Some(text.to_string()),
            _ => None,
        }
    };
    let position = value("binlog_snapshot_position").and_then(|text| text.parse().ok());
    match (value("binlog_snapshot_file"), position) {
        (Some(file), Some(position)) if !file.is_empty() => Ok(LogPosition { file, position }),
        _ => Err(Error::config(
            "the server does not tell the position of a snapshot (binlog_snapshot_file)",
        )),
    }
}

/// Returns the transactions that are complete at a position of the log.
pub(super) async fn gtids_at(session: &mut dyn Session, at: &LogPosition) -> Result<GtidSet> {
    // a file's name comes from the server itself
    let file = at.file.replace(['\'', '\\'], "");
    let sql = format!("SELECT BINLOG_GTID_POS('{file}', {})", at.position);
    let rows = session.query_once(&sql).await?;
    let text = match rows.first().and_then(|row| row.first()) {
        Some(Value::Text(text)) => text.to_string(),
        _ => String::new(),
    };
    Ok(GtidSet::parse(&text).unwrap_or_default())
}

/// Returns a domain of `gtids` that the server knows nothing of: it would be read from its
/// beginning, silently.
pub(super) async fn unknown_domain(
    session: &mut dyn Session,
    gtids: &GtidSet,
) -> Result<Option<u32>> {
    let rows = session
        .query("SELECT @@global.gtid_binlog_state", &[])
        .await?;
    let state = match rows.first().and_then(|row| row.first()) {
        Some(Value::Text(text)) => GtidSet::parse(text).unwrap_or_default(),
        _ => GtidSet::default(),
    };
    let known: Vec<_> = state.domains().collect();
    Ok(gtids.domains().find(|domain| !known.contains(domain)))
}
