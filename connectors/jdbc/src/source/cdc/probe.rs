//! What validation says about `mode=cdc` before anything starts.

use connector_api::{ConfigReport, ErrorKind, Value};

use super::slot::slot_problems;
use super::{server, traits, xa};
use crate::driver::{BinlogStart, BinlogStream, ConnectOptions, Session};
use crate::source::config::SourceConfig;
use crate::source::tables::select::{self, TableListing};
use crate::url::DatabaseKind;

/// Number of tables that are looked at.
const TABLES: usize = 100;

/// A log that is kept for less than this, in seconds, may be gone before it was read.
const KEPT_FOR: i64 = 24 * 3600;

/// Reports what keeps the log from being read, and what is missing in it, with what corrects it.
pub(in crate::source) async fn probe(
    session: &mut dyn Session,
    config: &SourceConfig,
    options: ConnectOptions,
    listed: Option<&TableListing>,
    report: &mut ConfigReport,
) {
    let chosen = listed.map(|listed| select::choose(config, listed, session.dialect()));
    match config.target.database_kind() {
        DatabaseKind::MySql | DatabaseKind::Sqlite => {}
        DatabaseKind::Postgres => {
            let chosen = chosen.and_then(Result::ok).unwrap_or_default();
            let chosen = chosen.get(..TABLES).unwrap_or(&chosen);
            let problems = slot_problems(session, config, chosen).await;
            for problem in problems.unwrap_or_default() {
                report.error("mode", problem);
            }
            return;
        }
    }
    let problems = server::problems(session).await.unwrap_or_default();
    let is_logged = problems.is_empty();
    for problem in problems {
        report.error("mode", problem);
    }
    if !is_logged {
        return;
    }
    if let Some(denied) = denied(config, options).await {
        report.error("connection.user", denied);
    }
    if let Some(warning) = retention(session).await {
        report.warn("mode", warning);
    }
    for warning in server::warnings(session).await {
        report.warn("mode", warning);
    }
    let prepared = xa::prepared(session).await.unwrap_or_default();
    if let Some(warning) = server::prepared_warning(prepared.len()) {
        report.warn("mode", warning);
    }
    let Some(Ok(chosen)) = chosen else { return };
    let chosen: Vec<_> = chosen.into_iter().take(TABLES).collect();
    for id in traits::cascading(session, &chosen).await {
        report.warn("table.whitelist", traits::cascade_warning(&id));
    }
}

/// Returns the error of an account that the server does not send its log to. Asked of the server,
/// as privileges may come from roles; as a reader without a number it disturbs no other.
async fn denied(config: &SourceConfig, options: ConnectOptions) -> Option<String> {
    let start = BinlogStart::File {
        file: String::new(),
        position: 4,
    };
    let asked = async {
        let mut stream = BinlogStream::open(&config.target, options, 0, &start).await?;
        stream.next().await
    };
    let error = asked.await.err()?;
    (error.kind() == ErrorKind::Denied).then(|| error.to_string())
}

/// Warns of a log that is soon deleted.
async fn retention(session: &mut dyn Session) -> Option<String> {
    let rows = session
        .query("SELECT @@global.binlog_expire_logs_seconds", &[])
        .await
        .ok()?;
    let seconds = rows.first()?.first().and_then(Value::as_i64)?;
    (seconds > 0 && seconds < KEPT_FOR).then(|| {
        format!(
            "the server deletes its log after {seconds} s (binlog_expire_logs_seconds): a connector \
             that is stopped for longer has to read its tables again. Run SET GLOBAL \
             binlog_expire_logs_seconds=604800"
        )
    })
}
