//! `/connectors/{c}/config`: read, replace, patch.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use connector_api::Config;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::JsonBody;
use super::error::{ApiError, ApiResult};
use super::path::Path;
use super::{App, connectors, view};
use crate::herder::Refusal;
use crate::model::{ConnectorInfo, RawConfig};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read, replace, patch))
}

/// A connector's config, as it was given.
#[utoipa::path(get, path = "/connectors/{connector}/config", tag = "connectors", responses((status = 200, body = BTreeMap<String, String>)))]
async fn read(State(app): State<App>, Path(name): Path<String>) -> ApiResult<Json<BTreeMap<String, String>>> {
    Ok(Json(view::pairs(&app.herder.get(&name).await?.config)))
}

/// Replaces a config, or creates the connector.
#[utoipa::path(put, path = "/connectors/{connector}/config", tag = "connectors", request_body = RawConfig, responses((status = 200, description = "replaced", body = ConnectorInfo), (status = 201, description = "created", body = ConnectorInfo)))]
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

/// How often a patch starts over when something else than a patch changes the same config meanwhile.
const PATCH_TRIES: usize = 20;

/// KIP-477: given keys are set, null removes a key; the result is validated as a whole. Two patches at once both count.
#[utoipa::path(patch, path = "/connectors/{connector}/config", tag = "connectors", request_body = RawConfig, responses((status = 200, body = ConnectorInfo)))]
async fn patch(
    State(app): State<App>,
    Path(name): Path<String>,
    JsonBody(changes): JsonBody<RawConfig>,
) -> ApiResult<Json<ConnectorInfo>> {
    let _turn = app.turns.of(&name).await;
    let mut tries = 0;
    loop {
        tries += 1;
        let stored = app.herder.get(&name).await?.config;
        let config = valid(&app, &merged(&stored, &changes, &name)?).await?;
        match app.herder.replace_config(&name, stored, config).await {
            Err(Refusal::ConfigChanged(_)) if tries < PATCH_TRIES => {}
            outcome => return Ok(Json(view::info(&outcome?))),
        }
    }
}

fn merged(stored: &Config, changes: &RawConfig, name: &str) -> ApiResult<RawConfig> {
    let mut merged = RawConfig(stored.iter().map(|(k, v)| (k.to_owned(), Some(v.to_owned()))).collect());
    for (key, value) in &changes.0 {
        match value {
            None => drop(merged.0.remove(key)),
            value => drop(merged.0.insert(key.clone(), value.clone())),
        }
    }
    match merged.0.get("name") {
        Some(Some(other)) if other != name => Err(ApiError::name_mismatch(other, name)),
        _ => Ok(merged),
    }
}

/// The config with its name filled in, once it has been found valid.
pub(super) async fn checked(app: &App, name: &str, mut raw: RawConfig) -> ApiResult<Config> {
    let in_config = raw.0.entry("name".to_owned()).or_default().get_or_insert_with(|| name.to_owned());
    if in_config != name {
        return Err(ApiError::name_mismatch(in_config, name));
    }
    valid(app, &raw).await
}

async fn valid(app: &App, raw: &RawConfig) -> ApiResult<Config> {
    let infos = app.validator.validate(&raw.0).await.map_err(|unknown| ApiError::unknown_class(unknown, &raw.0))?;
    if infos.error_count > 0 {
        return Err(ApiError::invalid_config(&infos));
    }
    let connector = raw.0.get("name").and_then(Option::as_deref).unwrap_or_default();
    for warning in &infos.warnings {
        tracing::warn!(connector, key = warning.key, "{}", warning.message);
    }
    Ok(raw.given())
}
