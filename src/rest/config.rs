//! `/connectors/{c}/config`: read, replace, patch.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use connector_api::Config;
use connector_api::shown::MASK;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::JsonBody;
use super::error::{ApiError, ApiResult};
use super::path::Path;
use super::{RestState, connectors, view};
use crate::herder::HerderRefusal;
use crate::model::{ConfigInfos, ConnectorInfo, RawConfig};
use crate::secrets::HIDDEN;

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(read, replace, patch))
}

/// Returns a connector's config as it was set.
#[utoipa::path(get, path = "/connectors/{connector}/config", tag = "connectors", responses((status = 200, body = BTreeMap<String, String>)))]
async fn read(
    State(app): State<RestState>,
    Path(name): Path<String>,
) -> ApiResult<Json<BTreeMap<String, String>>> {
    Ok(Json(view::pairs(&app.herder.get(&name).await?.config)))
}

/// Replaces a config, or creates the connector.
#[utoipa::path(put, path = "/connectors/{connector}/config", tag = "connectors", request_body = RawConfig, responses((status = 200, description = "replaced", body = ConnectorInfo), (status = 201, description = "created", body = ConnectorInfo)))]
async fn replace(
    State(app): State<RestState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    JsonBody(raw): JsonBody<RawConfig>,
) -> ApiResult<Response> {
    let mut tries = 0;
    let (view, created) = loop {
        tries += 1;
        let mut given = raw.clone();
        let restored_from = restore(&app, &name, &mut given).await?;
        let config = checked(&app, &name, given).await?;
        let outcome = match restored_from {
            None => app.herder.put_config(&name, config).await,
            Some(stored) => app
                .herder
                .replace_config(&name, stored, config)
                .await
                .map(|view| (view, false)),
        };
        match outcome {
            Err(HerderRefusal::ConfigChanged(_)) if tries < PATCH_TRIES => {}
            outcome => break outcome?,
        }
    };
    let info = view::info(&view);
    Ok(if created {
        connectors::created_answer(&headers, &info)
    } else {
        Json(info).into_response()
    })
}

/// Replaces masks by the stored secrets that they represent. Returns the config that the secrets
/// come from, if there were any.
pub(super) async fn restore(
    app: &RestState,
    name: &str,
    raw: &mut RawConfig,
) -> ApiResult<Option<Config>> {
    let looks_masked = |value: &Option<String>| {
        value
            .as_ref()
            .is_some_and(|v| v.contains(MASK) || v.contains(HIDDEN))
    };
    if !raw.0.values().any(looks_masked) {
        return Ok(None);
    }
    let stored = match app.herder.get(name).await {
        Err(HerderRefusal::UnknownConnector(_)) => return Ok(None),
        found => found?.config,
    };
    let mut any = false;
    for (key, value) in &mut raw.0 {
        let given = value.as_deref().unwrap_or_default();
        if let Some(kept) = app.validator.secrets().restored(key, given, &stored) {
            *value = Some(kept);
            any = true;
        }
    }
    Ok(any.then_some(stored))
}

/// How often a patch is repeated if another request changes the same config in the meantime.
const PATCH_TRIES: usize = 20;

/// KIP-477: sets the given keys, and removes keys that are null; the result is validated as a
/// whole. Two concurrent patches both take effect.
#[utoipa::path(patch, path = "/connectors/{connector}/config", tag = "connectors", request_body = RawConfig, responses((status = 200, body = ConnectorInfo)))]
async fn patch(
    State(app): State<RestState>,
    Path(name): Path<String>,
    JsonBody(changes): JsonBody<RawConfig>,
) -> ApiResult<Json<ConnectorInfo>> {
    let _turn = app.turns.of(&name).await;
    let mut tries = 0;
    loop {
        tries += 1;
        let stored = app.herder.get(&name).await?.config;
        let config = valid(&app, &merged(&app, &stored, &changes, &name)?).await?;
        match app.herder.replace_config(&name, stored, config).await {
            Err(HerderRefusal::ConfigChanged(_)) if tries < PATCH_TRIES => {}
            outcome => return Ok(Json(view::info(&outcome?))),
        }
    }
}

fn merged(
    app: &RestState,
    stored: &Config,
    changes: &RawConfig,
    name: &str,
) -> ApiResult<RawConfig> {
    let mut merged = RawConfig(
        stored
            .iter()
            .map(|(k, v)| (k.to_owned(), Some(v.to_owned())))
            .collect(),
    );
    for (key, value) in &changes.0 {
        match value {
            None => drop(merged.0.remove(key)),
            Some(given) => {
                let kept = app.validator.secrets().restored(key, given, stored);
                merged
                    .0
                    .insert(key.clone(), Some(kept.unwrap_or_else(|| given.clone())));
            }
        }
    }
    match merged.0.get("name") {
        Some(Some(other)) if other != name => Err(ApiError::name_mismatch(other, name)),
        _ => Ok(merged),
    }
}

/// Validates a config and returns it with its name.
pub(super) async fn checked(app: &RestState, name: &str, mut raw: RawConfig) -> ApiResult<Config> {
    let in_config = raw
        .0
        .entry("name".to_owned())
        .or_default()
        .get_or_insert_with(|| name.to_owned());
    if in_config != name {
        return Err(ApiError::name_mismatch(in_config, name));
    }
    valid(app, &raw).await
}

/// Returns the result of validating a config.
pub(super) async fn validated(app: &RestState, raw: &RawConfig) -> ApiResult<ConfigInfos> {
    let infos = app.validator.validate(&raw.0).await;
    infos.map_err(|unknown| ApiError::unknown_class(unknown, &raw.0, app.validator.secrets()))
}

async fn valid(app: &RestState, raw: &RawConfig) -> ApiResult<Config> {
    let infos = validated(app, raw).await?;
    if infos.error_count > 0 {
        return Err(ApiError::invalid_config(&infos));
    }
    let connector = raw
        .0
        .get("name")
        .and_then(Option::as_deref)
        .unwrap_or_default();
    for warning in &infos.warnings {
        tracing::warn!(connector, key = warning.key, "{}", warning.message);
    }
    Ok(raw.given())
}
