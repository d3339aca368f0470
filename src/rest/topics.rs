//! `/connectors/{c}/topics` (KIP-558): topics a connector has used.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};

use super::App;
use super::body::discard;
use super::error::ApiResult;
use crate::model::ActiveTopics;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/connectors/{connector}/topics", get(read))
        .route("/connectors/{connector}/topics/reset", put(reset))
}

async fn read(State(app): State<App>, Path(name): Path<String>) -> ApiResult<Json<BTreeMap<String, ActiveTopics>>> {
    let topics = app.herder.topics(&name).await?;
    Ok(Json(BTreeMap::from([(name, ActiveTopics { topics })])))
}

async fn reset(State(app): State<App>, Path(name): Path<String>, body: Body) -> ApiResult<StatusCode> {
    discard(body).await?;
    app.herder.reset_topics(&name).await?;
    Ok(StatusCode::ACCEPTED)
}
