//! `/v1/connectors/{c}/logs`: the last log lines of a connector on this worker, and a level of its
//! own for a time. Kafka Connect has nothing similar.

use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::RestState;
use super::body::JsonBody;
use super::error::{ApiError, ApiResult};
use super::path::Path;
use super::query::{QueryParams, first, given};
use crate::model::{ConnectorLevel, ConnectorLines, LogLine};
use crate::observe::connector_log::{ConnectorLog, KeptLine, LEVELS_MAX, LINES_MAX};

/// Longest time of a level, in seconds.
const SECONDS_MAX: u64 = 86_400;
/// Number of lines unless the request names one.
const LINES: usize = 100;

/// Sets the level of a connector for a time; false if too many connectors have one.
pub(crate) type SetConnectorLevel =
    std::sync::Arc<dyn Fn(&str, LevelFilter, Duration) -> bool + Send + Sync>;

/// The log by connector. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ConnectorLogs {
    pub lines: ConnectorLog,
    pub set_level: SetConnectorLevel,
}

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(read))
        .routes(routes!(set_level))
}

/// Returns the last log lines of a connector on this worker, at most 500 are kept. Equal lines are
/// counted. `after` is the `next` of an earlier answer, `level` the least important one shown.
#[utoipa::path(get, path = "/v1/connectors/{connector}/logs", tag = "log levels",
    params(("after" = Option<u64>, Query), ("limit" = Option<u32>, Query), ("level" = Option<String>, Query)),
    responses((status = 200, body = ConnectorLines)))]
async fn read(
    State(app): State<RestState>,
    Path(name): Path<String>,
    params: QueryParams,
) -> ApiResult<Json<ConnectorLines>> {
    app.herder.get(&name).await?;
    let limit = match given(&params, "limit") {
        None => LINES,
        Some(text) => (text.parse().ok())
            .filter(|limit| (1..=LINES_MAX).contains(limit))
            .ok_or_else(|| ApiError::bad_limit(text, LINES_MAX))?,
    };
    let after: u64 = match given(&params, "after") {
        None => 0,
        Some(text) => (text.parse()).map_err(|_| ApiError::bad_after(text))?,
    };
    let level = first(&params, "level").unwrap_or("TRACE");
    let level = Level::from_str(level).map_err(|_| ApiError::unknown_level(level))?;
    let lines = app.logs.lines.lines(&name, after, limit, level);
    Ok(Json(ConnectorLines {
        next: lines.last().map_or(after, |line| line.number),
        lines: lines.into_iter().map(shown).collect(),
    }))
}

fn shown(line: KeptLine) -> LogLine {
    LogLine {
        timestamp: line.last_ms,
        first: line.first_ms,
        count: line.count,
        level: line.level.to_string(),
        task: line.task,
        logger: line.target.replace("::", "."),
        text: line.text,
    }
}

/// Sets the log level of a connector on this worker for a time. It can only show more than the
/// levels of `/admin/loggers` do.
#[utoipa::path(put, path = "/v1/connectors/{connector}/logs/level", tag = "log levels", request_body = ConnectorLevel,
    responses((status = 204)))]
async fn set_level(
    State(app): State<RestState>,
    Path(name): Path<String>,
    JsonBody(wanted): JsonBody<ConnectorLevel>,
) -> ApiResult<StatusCode> {
    app.herder.get(&name).await?;
    let level = wanted.level.as_str();
    let level = LevelFilter::from_str(level).map_err(|_| ApiError::unknown_level(level))?;
    if !(1..=SECONDS_MAX).contains(&wanted.seconds) {
        return Err(ApiError::bad_seconds(wanted.seconds, SECONDS_MAX));
    }
    if !(app.logs.set_level)(&name, level, Duration::from_secs(wanted.seconds)) {
        return Err(ApiError::too_many_connector_levels(LEVELS_MAX));
    }
    Ok(StatusCode::NO_CONTENT)
}
