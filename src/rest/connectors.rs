//! `/connectors` and `/connectors/{c}`: list, create, read, delete, status.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::JsonBody;
use super::error::{ApiError, ApiResult};
use super::path::Path;
use super::query::QueryParams;
use super::{RestState, view};
use crate::herder::HerderRefusal;
use crate::model::TargetState;
use crate::model::{ConnectorInfo, ConnectorStatus, CreateConnector, Expanded, path_segment};

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, delete))
        .routes(routes!(status))
}

/// Returns names, or with `expand=status` and `expand=info` an object per connector.
#[utoipa::path(get, path = "/connectors", tag = "connectors", params(("expand" = Option<Vec<String>>, Query, description = "`status`, `info` or both: an object per connector instead of names")), responses((status = 200, description = "names, or with `expand` an object by name", body = serde_json::Value)))]
async fn list(State(app): State<RestState>, params: QueryParams) -> ApiResult<Response> {
    let views = app.herder.list().await?;
    let wants = |what: &str| {
        params
            .0
            .iter()
            .any(|(name, value)| name == "expand" && value == what)
    };
    if !params.0.iter().any(|(name, _)| name == "expand") {
        let names: Vec<_> = views.iter().map(|v| v.name.to_string()).collect();
        return Ok(Json(names).into_response());
    }
    let (with_status, with_info) = (wants("status"), wants("info"));
    let expanded: BTreeMap<_, _> = views
        .iter()
        .map(|v| {
            let status = with_status.then(|| view::status(v, app.validator.registry()));
            (
                v.name.to_string(),
                Expanded {
                    status,
                    info: with_info.then(|| view::info(v)),
                },
            )
        })
        .collect();
    Ok(Json(expanded).into_response())
}

/// Creates a connector. Its config is validated first, and all errors are reported together.
#[utoipa::path(post, path = "/connectors", tag = "connectors", request_body = CreateConnector, responses((status = 201, body = ConnectorInfo, headers(("Location" = String)))))]
async fn create(
    State(app): State<RestState>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<CreateConnector>,
) -> ApiResult<Response> {
    // Java's `String.trim` removes all characters up to the space.
    let name = request.name.unwrap_or_default();
    let name = name.trim_matches(|c| c <= ' ');
    let target = initial_target(request.initial_state.as_deref())?;
    let raw = request.config.ok_or_else(ApiError::no_config)?;
    let config = super::config::checked(&app, name, raw).await?;
    let created = app.herder.create(name, config, target).await?;
    Ok(created_answer(&headers, &view::info(&created)))
}

fn initial_target(given: Option<&str>) -> ApiResult<TargetState> {
    match given {
        None => Ok(TargetState::Started),
        Some(state) if state.eq_ignore_ascii_case("RUNNING") => Ok(TargetState::Started),
        Some(state) if state.eq_ignore_ascii_case("PAUSED") => Ok(TargetState::Paused),
        Some(state) if state.eq_ignore_ascii_case("STOPPED") => Ok(TargetState::Stopped),
        Some(state) => Err(ApiError::bad_initial_state(state)),
    }
}

/// Returns 201 with the new connector and its `Location`.
pub(super) fn created_answer(headers: &HeaderMap, info: &ConnectorInfo) -> Response {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let base = host
        .map(|host| format!("http://{host}"))
        .unwrap_or_default();
    let mut answer = (StatusCode::CREATED, Json(info)).into_response();
    if let Ok(location) =
        HeaderValue::from_str(&format!("{base}/connectors/{}", path_segment(&info.name)))
    {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

/// Returns one connector.
#[utoipa::path(get, path = "/connectors/{connector}", tag = "connectors", responses((status = 200, body = ConnectorInfo)))]
async fn read(
    State(app): State<RestState>,
    Path(name): Path<String>,
) -> ApiResult<Json<ConnectorInfo>> {
    Ok(Json(view::info(&app.herder.get(&name).await?)))
}

/// Stops and deletes a connector; its offsets are kept.
#[utoipa::path(delete, path = "/connectors/{connector}", tag = "connectors", responses((status = 204)))]
async fn delete(State(app): State<RestState>, Path(name): Path<String>) -> ApiResult<StatusCode> {
    app.herder.delete(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the states of a connector and of its tasks.
#[utoipa::path(get, path = "/connectors/{connector}/status", tag = "connectors", responses((status = 200, body = ConnectorStatus)))]
async fn status(
    State(app): State<RestState>,
    Path(name): Path<String>,
) -> ApiResult<Json<ConnectorStatus>> {
    match app.herder.get(&name).await {
        Ok(found) => Ok(Json(view::status(&found, app.validator.registry()))),
        Err(HerderRefusal::UnknownConnector(name)) => Err(ApiError::no_status(&name)),
        Err(other) => Err(other.into()),
    }
}
