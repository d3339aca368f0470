//! `/connectors/{c}/{pause,resume,stop,restart}`.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use axum::{Json, Router};

use super::body::discard;
use super::error::{ApiError, ApiResult};
use super::query::{Params, flag};
use super::{App, view};
use crate::herder::Target;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/connectors/{connector}/pause", put(pause))
        .route("/connectors/{connector}/resume", put(resume))
        .route("/connectors/{connector}/stop", put(stop))
        .route("/connectors/{connector}/restart", post(restart))
}

async fn set(app: &App, name: &str, target: Target, body: Body, done: StatusCode) -> ApiResult<StatusCode> {
    discard(body).await?;
    app.herder.set_target(name, target).await.map_err(ApiError::cannot_change_state)?;
    Ok(done)
}

async fn pause(State(app): State<App>, Path(name): Path<String>, body: Body) -> ApiResult<StatusCode> {
    set(&app, &name, Target::Paused, body, StatusCode::ACCEPTED).await
}

async fn resume(State(app): State<App>, Path(name): Path<String>, body: Body) -> ApiResult<StatusCode> {
    set(&app, &name, Target::Started, body, StatusCode::ACCEPTED).await
}

async fn stop(State(app): State<App>, Path(name): Path<String>, body: Body) -> ApiResult<StatusCode> {
    set(&app, &name, Target::Stopped, body, StatusCode::NO_CONTENT).await
}

/// KIP-745: 204 for the connector alone, 202 with its status where parts are chosen.
async fn restart(State(app): State<App>, Path(name): Path<String>, params: Params, body: Body) -> ApiResult<Response> {
    discard(body).await?;
    let (tasks, failed) = (flag(&params, "includeTasks", false), flag(&params, "onlyFailed", false));
    let restarting = app.herder.restart(&name, tasks, failed).await.map_err(ApiError::cannot_restart)?;
    if !tasks && !failed {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok((StatusCode::ACCEPTED, Json(view::status(&restarting, app.validator.registry()))).into_response())
}
