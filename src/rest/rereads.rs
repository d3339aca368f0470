//! `/v1/connectors/{c}/rereads`: tables that a running source reads again. Kafka Connect has nothing
//! similar.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use connector_api::{OffsetValue, RereadProgress, RereadState, TaskRequest};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::RestState;
use super::body::JsonBody;
use super::error::{ApiError, ApiResult, RereadFault};
use super::path::Path;
use crate::herder::{ConnectorView, Direction};
use crate::model::{Reread, RunState, StartReread, TargetState};
use crate::worker::TaskId;

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(list, start))
        .routes(routes!(cancel))
}

/// How long a task may take to accept a request.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Maximum number of key values that are read from a request; no key has more columns.
const VALUES_MAX: usize = 64;

/// Returns what is being read again by tasks on this worker, and what has been since they were
/// started.
#[utoipa::path(get, path = "/v1/connectors/{connector}/rereads", tag = "offsets", responses((status = 200, body = Vec<Reread>)))]
async fn list(
    State(app): State<RestState>,
    Path(name): Path<String>,
) -> ApiResult<Json<Vec<Reread>>> {
    let view = app.herder.get(&name).await?;
    let of_task = |task: &crate::herder::TaskView| {
        let rereads = task.progress.iter().flat_map(|progress| &progress.rereads);
        rereads.map(|it| shown(task.id, it)).collect::<Vec<_>>()
    };
    let mut listed: Vec<Reread> = Vec::new();
    for reread in view.tasks.iter().flat_map(of_task) {
        // several tasks that still read ranges of a table know of it
        if !listed.iter().any(|other| other.table == reread.table) {
            listed.push(reread);
        }
    }
    Ok(Json(listed))
}

/// Reads a table, or a range of its primary key, again: all these rows become records again,
/// while the tables are read as before. The answer comes once the request is stored, so a crash of
/// the worker does not lose it.
#[utoipa::path(post, path = "/v1/connectors/{connector}/rereads", tag = "offsets", request_body = StartReread,
    responses((status = 202, body = Reread), (status = 400, description = "no such table, or a range that does not fit its key"),
        (status = 409, description = "the connector does not run, or reads the table again already")))]
async fn start(
    State(app): State<RestState>,
    Path(name): Path<String>,
    JsonBody(wanted): JsonBody<StartReread>,
) -> ApiResult<(StatusCode, Json<Reread>)> {
    let view = app.herder.get(&name).await?;
    let (task, table) = find(&view, &wanted.table)?;
    let wanted = connector_api::Reread {
        table,
        from: key("from", &wanted.from)?,
        to: key("to", &wanted.to)?,
    };
    ask(&app, &task, TaskRequest::Reread(wanted.clone())).await?;
    let begun = RereadProgress {
        wanted,
        reached: Vec::new(),
        rows: 0,
        share: None,
        state: RereadState::Running,
    };
    Ok((StatusCode::ACCEPTED, Json(shown(task.task, &begun))))
}

/// Ends reading a table again; records that have been written stay.
#[utoipa::path(delete, path = "/v1/connectors/{connector}/rereads/{table}", tag = "offsets",
    params(("connector" = String, Path), ("table" = String, Path)),
    responses((status = 204), (status = 400, description = "the table is not being read again")))]
async fn cancel(
    State(app): State<RestState>,
    Path((name, table)): Path<(String, String)>,
) -> ApiResult<StatusCode> {
    let view = app.herder.get(&name).await?;
    let (task, table) = find(&view, &table)?;
    ask(&app, &task, TaskRequest::CancelReread(table)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn ask(app: &RestState, task: &TaskId, request: TaskRequest) -> ApiResult<()> {
    match tokio::time::timeout(TIME_LIMIT, app.worker.request(task, request)).await {
        Ok(done) => done.map_err(|error| ApiError::refused_request(&error)),
        Err(_) => Err(ApiError::timed_out(TIME_LIMIT.as_secs())),
    }
}

/// Returns the task that reads a table, and the table's full name.
fn find(view: &ConnectorView, table: &str) -> ApiResult<(TaskId, String)> {
    let refused = |fault| ApiError::no_reread(&view.name, fault);
    if view.direction != Direction::Source {
        return Err(refused(RereadFault::NoSource));
    }
    if view.target != TargetState::Started {
        return Err(refused(RereadFault::NotStarted(view.target)));
    }
    let mut tables: Vec<(u32, &str)> = Vec::new();
    for task in &view.tasks {
        // The table may be one of a task that does not run, or not here.
        match (task.status.state, &task.progress) {
            (RunState::Running, Some(progress)) => {
                tables.extend(progress.tables.iter().map(|of| (task.id, &*of.table)));
            }
            (RunState::Running, None) => {
                let worker = task.status.worker_id.to_string();
                return Err(refused(RereadFault::Elsewhere(task.id, worker)));
            }
            (state, _) => return Err(refused(RereadFault::TaskState(task.id, state))),
        }
    }
    let is_last_part = |full: &str| full.rsplit('.').next() == Some(table);
    let exact = tables.iter().find(|(_, full)| *full == table);
    let mut named: Vec<_> = match exact {
        Some(found) => vec![*found],
        None => tables
            .iter()
            .copied()
            .filter(|(_, full)| is_last_part(full))
            .collect(),
    };
    named.dedup_by(|a, b| a.1 == b.1);
    match named.as_slice() {
        [(task, full)] => {
            let id = TaskId {
                connector: view.name.clone(),
                task: *task,
            };
            Ok((id, (*full).to_owned()))
        }
        found => {
            let listed = if found.is_empty() { &tables } else { found };
            let names = listed.iter().map(|(_, full)| (*full).to_owned()).collect();
            let is_ambiguous = !found.is_empty();
            Err(refused(RereadFault::Table {
                asked: table.to_owned(),
                names,
                is_ambiguous,
            }))
        }
    }
}

/// Reads a key that bounds a range.
fn key(what: &'static str, values: &[Value]) -> ApiResult<Vec<OffsetValue>> {
    let value = |value: &Value| match value {
        Value::String(text) => Some(OffsetValue::Text(text.clone())),
        // Numbers that are no whole ones of 64 bits keep their digits as texts.
        Value::Number(n) => Some(match n.as_i64() {
            Some(n) => OffsetValue::Long(n),
            None => OffsetValue::Text(n.to_string()),
        }),
        _ => None,
    };
    let values: Option<Vec<_>> = values.iter().map(value).collect();
    values
        .filter(|values| values.len() <= VALUES_MAX)
        .ok_or_else(|| ApiError::bad_key(what))
}

fn shown(task: u32, of: &RereadProgress) -> Reread {
    let key = |values: &[OffsetValue]| values.iter().map(super::offsets::json).collect();
    let (state, error) = match &of.state {
        RereadState::Running => ("running", None),
        RereadState::Done => ("done", None),
        RereadState::Cancelled => ("cancelled", None),
        RereadState::Failed(why) => ("failed", Some(why.clone())),
    };
    Reread {
        table: of.wanted.table.clone(),
        task,
        state: state.to_owned(),
        from: key(&of.wanted.from),
        to: key(&of.wanted.to),
        reached: key(&of.reached),
        rows: of.rows,
        percent: of.share.map(|share| (share * 1000.0).round() / 10.0),
        error,
    }
}
