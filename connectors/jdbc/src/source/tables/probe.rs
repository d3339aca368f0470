//! Queries the database before anything is read: which tables exist, and which privileges are
//! missing.

#![expect(clippy::indexing_slicing, reason = "the plan lists its own columns")]

use std::collections::HashSet;

use connector_api::{ConfigReport, ErrorKind, Result, Value};

use super::select::{self, TableListing};
use crate::dialect::Dialect;
use crate::driver::Session;
use crate::privileges::{AccountPrivileges, Privilege};
use crate::source::config::{SourceConfig, SourceMode, query_text};
use crate::source::plan::mode_columns::{
    ColumnProblem, ModeColumns, judge_values, query_misfit, table_problem, timestamp_key,
};
use crate::source::plan::table::{self, TablePlan};
use crate::url::DatabaseKind;

/// Maximum number of tables that are examined.
const TABLES: usize = 200;

/// Adapts the config to the server: names of tables are compared as the server compares them.
pub(crate) async fn understood(
    session: &mut dyn Session,
    config: SourceConfig,
) -> Result<SourceConfig> {
    let Some(sql) = session.dialect().capabilities().case_insensitive_names else {
        return Ok(config);
    };
    let found = session.query(sql, &[]).await?;
    let any_case = found
        .first()
        .and_then(|row| row.first()?.as_i64())
        .is_some_and(|n| n != 0);
    Ok(if any_case {
        config.in_any_case()
    } else {
        config
    })
}

/// Lists the tables that the connector's table lists may name.
pub(crate) async fn listed(
    session: &mut dyn Session,
    config: &SourceConfig,
) -> Result<TableListing> {
    let own = session.tables(&select::listing(config)).await?;
    let mut others = Vec::new();
    for filter in select::other_listings(config) {
        others.extend(session.tables(&filter).await?);
    }
    // A server that ignores letter case lists the tables of `Shop` under `shop` as well.
    others.retain(|table| !own.contains(table));
    Ok(TableListing { own, others })
}

/// Reports illegal names of tables, and warns of names that match no table.
pub(crate) fn names(
    dialect: &dyn Dialect,
    config: &SourceConfig,
    listed: &TableListing,
    report: &mut ConfigReport,
) {
    if config.query.is_some() {
        return;
    }
    match select::out_of_reach(config, listed, dialect) {
        Some(text) => report.error("table.whitelist", text),
        None => select::unmatched(config, listed, dialect)
            .into_iter()
            .for_each(|(key, text)| report.warn(key, text)),
    }
    let chosen = select::choose(config, listed, dialect).unwrap_or_default();
    for text in chosen
        .iter()
        .filter_map(|id| select::topic_problem(config, id))
        .take(TABLES)
    {
        report.warn("topic.prefix", text);
    }
}

/// Reports a query that the database refuses, under its key.
///
/// On MariaDB and MySQL only as a warning: Kafka Connect's driver there does not ask the server
/// before the query runs, so Kafka Connect accepts such a connector.
pub(crate) async fn query(
    session: &mut dyn Session,
    config: &SourceConfig,
    report: &mut ConfigReport,
) {
    let Some(query) = &config.query else { return };
    let Err(error) = session.describe(query).await else {
        return;
    };
    let key = if config.query_is_masked {
        "query.masked"
    } else {
        "query"
    };
    let text = format!("The configured query is not valid, or its tables cannot be read: {error}");
    match config.target.database_kind() {
        DatabaseKind::MySql => report.warn(key, text),
        DatabaseKind::Postgres | DatabaseKind::Sqlite => report.error(key, text),
    }
}

/// Reports columns that the mode cannot compare. An error if the table is named in the white list,
/// or all tables have one; otherwise a warning, as the table may be of no concern to the author of
/// the pattern. Also a warning if Kafka Connect accepts the connector and its task fails.
pub(crate) async fn modes(
    session: &mut dyn Session,
    config: &SourceConfig,
    listed: &TableListing,
    report: &mut ConfigReport,
) -> Result<()> {
    let names_no_time = config.timestamp_columns.is_empty() && config.timestamp_mapping.is_empty();
    // the check of the keys reports that the name is missing
    if config.mode == SourceMode::Bulk || (config.mode.has_timestamp() && names_no_time) {
        return Ok(());
    }
    if let Some(query) = &config.query {
        if let Some(problem) = query_problem(session, query, config, report).await {
            report.error(problem.key, problem.text);
        }
        return Ok(());
    }
    let dialect = session.dialect();
    let Ok(chosen) = select::choose(config, listed, dialect) else {
        return Ok(());
    };
    let (looked_at, mut found) = (chosen.len().min(TABLES), Vec::new());
    for id in chosen.into_iter().take(TABLES) {
        let Some(meta) = session.table(&id).await? else {
            continue;
        };
        let problem = table_problem(&meta, config, dialect, &dialect.table(&meta.id));
        found.extend(match (problem, table::plan(&meta, config, dialect)) {
            (None, Ok(plan)) => misfit_by_values(session, plan, config, report).await,
            (problem, _) => problem,
        });
    }
    let refused = is_refused(config, found.len(), looked_at);
    for ColumnProblem {
        key,
        text,
        fails_at_start,
    } in found
    {
        if fails_at_start {
            report.warn(
                key,
                format!("{text} (the table is not read until that changes)"),
            );
        } else if refused {
            report.error(key, text);
        } else {
            report.warn(key, text);
        }
    }
    Ok(())
}

/// Returns why the mode cannot compare the columns of a query's result.
async fn query_problem(
    session: &mut dyn Session,
    query: &str,
    config: &SourceConfig,
    report: &mut ConfigReport,
) -> Option<ColumnProblem> {
    let dialect = session.dialect();
    // what the check of the keys refuses needs no second error
    let filters = &config.filter;
    let names_tables = !filters.whitelist.is_empty()
        || !filters.blacklist.is_empty()
        || !filters.include.is_empty();
    if names_tables || query_text::problem(query, config.target.database_kind()).is_some() {
        return None;
    }
    let columns = session.describe(query).await.ok()?;
    let compared = match ModeColumns::of_query(&columns, config) {
        Ok(compared) => compared,
        Err(problem) => return Some(problem),
    };
    match (
        query_misfit(&compared, config, dialect),
        table::plan_query(query, &columns, config, dialect),
    ) {
        (None, Ok(plan)) => misfit_by_values(session, plan, config, report).await,
        (misfit, _) => misfit,
    }
}

/// Checks the values of columns whose types do not say whether they hold times, and reports
/// warnings.
async fn misfit_by_values(
    session: &mut dyn Session,
    plan: TablePlan,
    config: &SourceConfig,
    report: &mut ConfigReport,
) -> Option<ColumnProblem> {
    let key = timestamp_key(config);
    let known = plan.warnings.len();
    match values(session, plan).await {
        Ok(plan) => {
            let found = plan.warnings.into_iter().skip(known);
            found.for_each(|text| report.warn(key, text));
            None
        }
        Err(error) if error.kind() == ErrorKind::Config => {
            Some(ColumnProblem::misfit(key, error.message().to_owned()))
        }
        Err(_) => None,
    }
}

/// Checks the values of the plan's timestamp columns, if their types do not say whether they hold
/// times, and adds warnings to the plan. A column without values is left to be checked later.
/// Errors: `Config` when the values are not times.
pub(crate) async fn values(session: &mut dyn Session, mut plan: TablePlan) -> Result<TablePlan> {
    let Some(sql) = &plan.values_sql else {
        return Ok(plan);
    };
    let counts = session.query_once(sql).await?;
    let counts: Vec<_> = counts
        .first()
        .into_iter()
        .flatten()
        .map(Value::as_i64)
        .collect();
    let names: Vec<_> = plan
        .layout
        .timestamps
        .iter()
        .map(|i| &*plan.layout.columns[*i].name)
        .collect();
    let judged = judge_values(&names, &counts)?;
    if judged.decided {
        plan.values_sql = None;
    }
    for warning in judged.warnings {
        if !plan.warnings.contains(&warning) {
            plan.warnings.push(warning);
        }
    }
    Ok(plan)
}

/// Reports tables whose deleted rows could not be captured.
pub(crate) async fn deletions(
    session: &mut dyn Session,
    config: &SourceConfig,
    listed: &TableListing,
    report: &mut ConfigReport,
) -> Result<()> {
    if config.query.is_some() || (config.delete_capture.is_none() && config.delete_marker.is_none())
    {
        return Ok(());
    }
    let Ok(chosen) = select::choose(config, listed, session.dialect()) else {
        return Ok(());
    };
    let without = SourceConfig {
        delete_capture: None,
        delete_marker: None,
        ..config.clone()
    };
    let with = |capture: bool| SourceConfig {
        delete_capture: config.delete_capture.filter(|_| capture),
        delete_marker: config.delete_marker.clone().filter(|_| !capture),
        ..config.clone()
    };
    let (looked_at, mut found) = (chosen.len().min(TABLES), Vec::new());
    for id in chosen.into_iter().take(TABLES) {
        let Some(meta) = session.table(&id).await? else {
            continue;
        };
        // What the mode cannot do with the table is reported elsewhere.
        if table::plan(&meta, &without, session.dialect()).is_err() {
            continue;
        }
        for (key, capture) in [("delete.capture", true), ("delete.marker.column", false)] {
            if let Err(error) = table::plan(&meta, &with(capture), session.dialect()) {
                found.push((id.clone(), key, error.to_string()));
            }
        }
    }
    let tables: HashSet<_> = found.iter().map(|(id, ..)| id.to_string()).collect();
    let refused = is_refused(config, tables.len(), looked_at);
    for (_, key, text) in found {
        if refused {
            report.error(key, text);
        } else {
            report.warn(key, text);
        }
    }
    Ok(())
}

/// True if problems with some tables are errors of the connector: a white list names them, or there
/// are no others. Otherwise the other tables are read, and these are warnings.
fn is_refused(config: &SourceConfig, troubled: usize, all: usize) -> bool {
    !config.filter.whitelist.is_empty() || troubled >= all
}

/// Reports tables that cannot be read, and missing privileges without which open transactions are
/// not visible.
pub(crate) async fn privileges(
    session: &mut dyn Session,
    config: &SourceConfig,
    listed: &TableListing,
    report: &mut ConfigReport,
) -> Result<()> {
    let database = config.target.database_kind();
    let Some(account) = AccountPrivileges::of(session, database).await? else {
        return Ok(());
    };
    if config.query.is_none()
        && let Ok(chosen) = select::choose(config, listed, session.dialect())
    {
        let needs: Vec<_> = chosen
            .into_iter()
            .take(TABLES)
            .map(|id| (id, Privilege::Select))
            .collect();
        let missing = account.missing(session, &needs).await?;
        let refused = is_refused(config, missing.len(), needs.len());
        for text in missing {
            if refused {
                report.error("connection.user", text);
            } else {
                report.warn("connection.user", text);
            }
        }
    }
    // Without it, timestamps are trusted only after a grace period (`by_timestamp`).
    if config.gap_tracking
        && config.mode.has_timestamp()
        && let Some(text) = account.blind(session).await?
    {
        report.warn("connection.user", text);
    }
    Ok(())
}
