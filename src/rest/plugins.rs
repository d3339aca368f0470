//! `/connector-plugins`: what can be named in a config, its keys, and validation.

use axum::extract::{Path, State};
use axum::routing::{get, put};
use axum::{Json, Router};

use super::App;
use super::body::JsonBody;
use super::error::{ApiError, ApiResult};
use super::query::{Params, flag};
use crate::model::{ConfigInfos, ConfigKeyInfo, PluginInfo, RawConfig};
use crate::registry::PluginKind;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/connector-plugins", get(list))
        .route("/connector-plugins/{plugin}/config", get(keys))
        .route("/connector-plugins/{plugin}/config/validate", put(validate))
}

/// Every class name that may be used, those of other vendors' connectors too.
async fn list(State(app): State<App>, params: Params) -> Json<Vec<PluginInfo>> {
    let connectors = [PluginKind::Sink, PluginKind::Source];
    let others =
        [PluginKind::Transformation, PluginKind::Predicate, PluginKind::Converter, PluginKind::HeaderConverter];
    let others: &[PluginKind] = if flag(&params, "connectorsOnly", true) { &[] } else { &others };
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

async fn keys(State(app): State<App>, Path(plugin): Path<String>) -> ApiResult<Json<Vec<ConfigKeyInfo>>> {
    app.validator.plugin_keys(&plugin).map(Json).ok_or_else(|| ApiError::unknown_plugin(&plugin))
}

async fn validate(
    State(app): State<App>,
    Path(plugin): Path<String>,
    JsonBody(raw): JsonBody<RawConfig>,
) -> ApiResult<Json<ConfigInfos>> {
    let registry = app.validator.registry();
    let class_of = |name: &str| registry.connector(name).map(|connector| connector.plugin().class());
    if let Some(class) = raw.0.get("connector.class").and_then(Option::as_deref)
        && class != plugin
        && (class_of(class).is_none() || class_of(class) != class_of(&plugin))
    {
        return Err(ApiError::type_mismatch(class, &plugin));
    }
    let infos = app.validator.validate(&raw.0).await.map_err(|unknown| ApiError::unknown_class(unknown, &raw.0))?;
    Ok(Json(infos))
}
