//! `/connector-plugins`: what can be named in a config.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use super::App;
use crate::model::PluginInfo;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/connector-plugins", get(list))
}

async fn list(State(app): State<App>) -> Json<Vec<PluginInfo>> {
    let connectors = app.registry.connectors();
    let of = |kind: &'static str| {
        connectors.iter().filter(move |c| c.type_name() == kind).map(move |c| PluginInfo {
            class: c.plugin().class().to_owned(),
            kind: kind.to_owned(),
            version: c.plugin().version().to_owned(),
        })
    };
    Json(of("sink").chain(of("source")).collect())
}
