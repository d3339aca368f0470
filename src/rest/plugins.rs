//! `/connector-plugins`: available plug-ins, their keys, and validation.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::JsonBody;
use super::error::{ApiError, ApiResult};
use super::path::Path;
use super::query::{QueryParams, flag, given};
use super::{RestState, config};
use crate::model::{ConfigInfos, ConfigKeyInfo, PluginInfo, RawConfig};
use crate::registry::PluginKind;
use crate::registry::version::VersionReq;

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(keys))
        .routes(routes!(validate))
}

/// Returns all class names that can be used, including those of other vendors' connectors.
#[utoipa::path(get, path = "/connector-plugins", tag = "plug-ins", params(("connectorsOnly" = Option<bool>, Query, description =
    "`false` lists transforms, predicates and converters too")), responses((status = 200, body = Vec<PluginInfo>)))]
async fn list(State(app): State<RestState>, params: QueryParams) -> Json<Vec<PluginInfo>> {
    let connectors = [PluginKind::Sink, PluginKind::Source];
    let others: &[PluginKind] = if flag(&params, "connectorsOnly", true) {
        &[]
    } else {
        &PluginKind::OF_CONNECTORS
    };
    let mut infos = Vec::new();
    for kind in connectors.iter().chain(others) {
        for plugin in app.validator.registry().plugins(*kind) {
            for class in std::iter::once(&plugin.class()).chain(plugin.other_classes()) {
                infos.push(PluginInfo {
                    class: (*class).to_owned(),
                    kind: kind.name().to_owned(),
                    version: plugin.version().to_owned(),
                });
            }
        }
    }
    Json(infos)
}

/// Returns the keys of a plug-in of any kind; `version` is a version or a range, as in a config
/// (KIP-891).
#[utoipa::path(get, path = "/connector-plugins/{plugin}/config", tag = "plug-ins", params(("plugin" = String, Path), ("version" = Option<String>, Query, description =
    "the required version, such as `0.1.0` or `[0.1,1.0)`")), responses((status = 200, body = Vec<ConfigKeyInfo>)))]
async fn keys(
    State(app): State<RestState>,
    Path(plugin): Path<String>,
    params: QueryParams,
) -> ApiResult<Json<Vec<ConfigKeyInfo>>> {
    let asked = given(&params, "version");
    let wanted = asked.map(VersionReq::read).transpose();
    let wanted = wanted
        .map_err(|_| ApiError::bad_version(asked.unwrap_or_default()))?
        .flatten();
    let keys = app
        .validator
        .plugin_keys(&plugin, wanted.as_ref())
        .ok_or_else(|| ApiError::unknown_plugin(&plugin))?;
    keys.map(Json).map_err(ApiError::other_version)
}

/// Validates a config, including checks in its database; creates nothing.
#[utoipa::path(put, path = "/connector-plugins/{plugin}/config/validate", tag = "plug-ins", request_body = RawConfig, responses((status = 200, description = "also when it has errors", body = ConfigInfos)))]
async fn validate(
    State(app): State<RestState>,
    Path(plugin): Path<String>,
    JsonBody(mut raw): JsonBody<RawConfig>,
) -> ApiResult<Json<ConfigInfos>> {
    if let Some(name) = raw.0.get("name").cloned().flatten() {
        config::restore(&app, &name, &mut raw).await?;
    }
    let registry = app.validator.registry();
    let class_of = |name: &str| {
        registry
            .connector(name)
            .map(|connector| connector.plugin().class())
    };
    if let Some(class) = raw.0.get("connector.class").and_then(Option::as_deref)
        && class != plugin
        && (class_of(class).is_none() || class_of(class) != class_of(&plugin))
    {
        return Err(ApiError::type_mismatch(class, &plugin));
    }
    Ok(Json(config::validated(&app, &raw).await?))
}
