//! `/connectors/{c}/tasks`: configs, states, restart of one.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::discard;
use super::error::{ApiError, ApiResult};
use super::path::Path;
use super::{RestState, view};
use crate::herder::HerderRefusal;
use crate::model::{ConnectorProgress, TaskInfo, TaskStatus};

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(status))
        .routes(routes!(restart))
        .routes(routes!(progress))
}

/// Parses the task number of a path; an invalid one is 404.
fn number(text: &str) -> ApiResult<i64> {
    text.parse::<i32>()
        .map(i64::from)
        .map_err(|_| ApiError::http(StatusCode::NOT_FOUND))
}

/// Returns the tasks of a connector and their configs.
#[utoipa::path(get, path = "/connectors/{connector}/tasks", tag = "tasks", responses((status = 200, body = Vec<TaskInfo>)))]
async fn list(
    State(app): State<RestState>,
    Path(name): Path<String>,
) -> ApiResult<Json<Vec<TaskInfo>>> {
    Ok(Json(view::tasks(&app.herder.get(&name).await?)))
}

/// Returns the state of one task.
#[utoipa::path(get, path = "/connectors/{connector}/tasks/{task}/status", tag = "tasks", params(("connector" = String, Path), ("task" = i32, Path)), responses((status = 200, body = TaskStatus)))]
async fn status(
    State(app): State<RestState>,
    Path((name, task)): Path<(String, String)>,
) -> ApiResult<Json<TaskStatus>> {
    let task = number(&task)?;
    let view = match app.herder.get(&name).await {
        Err(HerderRefusal::UnknownConnector(name)) => {
            return Err(ApiError::no_task_status(&name, task));
        }
        other => other?,
    };
    let found = view::status(&view, app.validator.registry())
        .tasks
        .into_iter()
        .find(|t| i64::from(t.id) == task);
    found
        .map(Json)
        .ok_or_else(|| ApiError::no_task_status(&name, task))
}

/// Returns the progress of a connector's tasks, with warnings. Kafka Connect has nothing similar.
#[utoipa::path(get, path = "/v1/connectors/{connector}/progress", tag = "tasks", responses((status = 200, body = ConnectorProgress)))]
async fn progress(
    State(app): State<RestState>,
    Path(name): Path<String>,
) -> ApiResult<Json<ConnectorProgress>> {
    Ok(Json(view::progress(&app.herder.get(&name).await?)))
}

/// Restarts one task.
#[utoipa::path(post, path = "/connectors/{connector}/tasks/{task}/restart", tag = "tasks", params(("connector" = String, Path), ("task" = i32, Path)), responses((status = 204)))]
async fn restart(
    State(app): State<RestState>,
    Path((name, task)): Path<(String, String)>,
    body: Body,
) -> ApiResult<StatusCode> {
    discard(body).await?;
    let task = number(&task)?;
    let Ok(id) = u32::try_from(task) else {
        app.herder
            .get(&name)
            .await
            .map_err(ApiError::cannot_restart)?;
        return Err(ApiError::unknown_task(&name, task));
    };
    app.herder
        .restart_task(&name, id)
        .await
        .map_err(ApiError::cannot_restart)?;
    Ok(StatusCode::NO_CONTENT)
}
