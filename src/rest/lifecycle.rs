//! `/connectors/{c}/{pause,resume,stop,restart}`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::discard;
use super::error::{ApiError, ApiResult};
use super::path::Path;
use super::query::{QueryParams, flag};
use super::{RestState, view};
use crate::model::ConnectorStatus;
use crate::model::TargetState;

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(stop))
        .routes(routes!(restart))
}

async fn set(
    app: &RestState,
    name: &str,
    target: TargetState,
    body: Body,
    done: StatusCode,
) -> ApiResult<StatusCode> {
    discard(body).await?;
    app.herder
        .set_target(name, target)
        .await
        .map_err(ApiError::cannot_change_state)?;
    Ok(done)
}

/// Pauses the tasks; they keep their connections.
#[utoipa::path(put, path = "/connectors/{connector}/pause", tag = "connectors", responses((status = 202)))]
async fn pause(
    State(app): State<RestState>,
    Path(name): Path<String>,
    body: Body,
) -> ApiResult<StatusCode> {
    set(&app, &name, TargetState::Paused, body, StatusCode::ACCEPTED).await
}

/// Resumes a paused or stopped connector.
#[utoipa::path(put, path = "/connectors/{connector}/resume", tag = "connectors", responses((status = 202)))]
async fn resume(
    State(app): State<RestState>,
    Path(name): Path<String>,
    body: Body,
) -> ApiResult<StatusCode> {
    set(
        &app,
        &name,
        TargetState::Started,
        body,
        StatusCode::ACCEPTED,
    )
    .await
}

/// Ends the tasks; the config is kept (KIP-875).
#[utoipa::path(put, path = "/connectors/{connector}/stop", tag = "connectors", responses((status = 204)))]
async fn stop(
    State(app): State<RestState>,
    Path(name): Path<String>,
    body: Body,
) -> ApiResult<StatusCode> {
    set(
        &app,
        &name,
        TargetState::Stopped,
        body,
        StatusCode::NO_CONTENT,
    )
    .await
}

/// KIP-745: 204 for the connector alone, 202 with its status if parts are selected.
#[utoipa::path(post, path = "/connectors/{connector}/restart", tag = "connectors", params(("includeTasks" = Option<bool>, Query, description =
    "tasks are restarted too"), ("onlyFailed" = Option<bool>, Query, description =
        "only failed ones")), responses((status = 204, description =
            "the connector alone was restarted"), (status = 202, description = "what is being restarted", body = ConnectorStatus)))]
async fn restart(
    State(app): State<RestState>,
    Path(name): Path<String>,
    params: QueryParams,
    body: Body,
) -> ApiResult<Response> {
    discard(body).await?;
    let (tasks, failed) = (
        flag(&params, "includeTasks", false),
        flag(&params, "onlyFailed", false),
    );
    let restarting = app
        .herder
        .restart(&name, tasks, failed)
        .await
        .map_err(ApiError::cannot_restart)?;
    if !tasks && !failed {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok((
        StatusCode::ACCEPTED,
        Json(view::status(&restarting, app.validator.registry())),
    )
        .into_response())
}
