//! `/connectors/{c}/tasks`: configs, states, restart of one.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::body::discard;
use super::error::{ApiError, ApiResult};
use super::{App, view};
use crate::herder::Refusal;
use crate::model::{TaskInfo, TaskStatus};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/connectors/{connector}/tasks", get(list))
        .route("/connectors/{connector}/tasks/{task}/status", get(status))
        .route("/connectors/{connector}/tasks/{task}/restart", post(restart))
}

/// A path with a task number that is none leads nowhere.
fn number(text: &str) -> ApiResult<i64> {
    text.parse::<i32>().map(i64::from).map_err(|_| ApiError::http(StatusCode::NOT_FOUND))
}

async fn list(State(app): State<App>, Path(name): Path<String>) -> ApiResult<Json<Vec<TaskInfo>>> {
    Ok(Json(view::tasks(&app.herder.get(&name).await?)))
}

async fn status(State(app): State<App>, Path((name, task)): Path<(String, String)>) -> ApiResult<Json<TaskStatus>> {
    let task = number(&task)?;
    let view = match app.herder.get(&name).await {
        Err(Refusal::UnknownConnector(name)) => return Err(ApiError::no_task_status(&name, task)),
        other => other?,
    };
    let found = view::status(&view, app.validator.registry()).tasks.into_iter().find(|t| i64::from(t.id) == task);
    found.map(Json).ok_or_else(|| ApiError::no_task_status(&name, task))
}

async fn restart(
    State(app): State<App>,
    Path((name, task)): Path<(String, String)>,
    body: Body,
) -> ApiResult<StatusCode> {
    discard(body).await?;
    let task = number(&task)?;
    let Ok(id) = u32::try_from(task) else {
        app.herder.get(&name).await.map_err(ApiError::cannot_restart)?;
        return Err(ApiError::unknown_task(&name, task));
    };
    app.herder.restart_task(&name, id).await.map_err(ApiError::cannot_restart)?;
    Ok(StatusCode::NO_CONTENT)
}
