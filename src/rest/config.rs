//! `/connectors/{c}/config`: read and replace.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use connector_api::Config;

use super::body::JsonBody;
use super::error::{ApiError, ApiResult};
use super::{App, connectors, view};
use crate::model::RawConfig;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/connectors/{connector}/config", get(read).put(replace))
}

async fn read(State(app): State<App>, Path(name): Path<String>) -> ApiResult<Json<BTreeMap<String, String>>> {
    Ok(Json(view::pairs(&app.herder.get(&name).await?.config)))
}

async fn replace(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    JsonBody(raw): JsonBody<RawConfig>,
) -> ApiResult<Response> {
    let config = checked(&app, &name, raw).await?;
    let (view, created) = app.herder.put_config(&name, config).await?;
    let info = view::info(&view);
    Ok(if created { connectors::created_answer(&headers, &info) } else { Json(info).into_response() })
}

/// The config with its name filled in, once it has been found valid.
pub(super) async fn checked(app: &App, name: &str, mut raw: RawConfig) -> ApiResult<Config> {
    let _ = app;
    let in_config = raw.0.entry("name".to_owned()).or_default().get_or_insert_with(|| name.to_owned());
    if in_config != name {
        return Err(ApiError::name_mismatch(in_config, name));
    }
    Ok(raw.given())
}
