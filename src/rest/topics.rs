//! `/connectors/{c}/topics` (KIP-558): topics that a connector has used.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::RestState;
use super::body::discard;
use super::error::{ApiError, ApiResult};
use super::path::Path;
use crate::model::ActiveTopics;

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(read))
        .routes(routes!(reset))
}

/// Returns the topics that a connector has used since the last reset (KIP-558).
#[utoipa::path(get, path = "/connectors/{connector}/topics", tag = "topics", responses((status = 200, body = BTreeMap<String, ActiveTopics>)))]
async fn read(
    State(app): State<RestState>,
    Path(name): Path<String>,
) -> ApiResult<Json<BTreeMap<String, ActiveTopics>>> {
    if !app.topic_tracking.enabled {
        return Err(ApiError::no_topic_tracking());
    }
    let topics = app.herder.topics(&name).await?;
    Ok(Json(BTreeMap::from([(name, ActiveTopics { topics })])))
}

/// Resets the list of topics that a connector has used.
#[utoipa::path(put, path = "/connectors/{connector}/topics/reset", tag = "topics", responses((status = 202)))]
async fn reset(
    State(app): State<RestState>,
    Path(name): Path<String>,
    body: Body,
) -> ApiResult<StatusCode> {
    discard(body).await?;
    if !app.topic_tracking.enabled {
        return Err(ApiError::no_topic_tracking());
    }
    if !app.topic_tracking.allow_reset {
        return Err(ApiError::no_topic_reset());
    }
    app.herder.reset_topics(&name).await?;
    Ok(StatusCode::ACCEPTED)
}
