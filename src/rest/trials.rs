//! `/v1/transforms/try` and `/v1/converters/try`: try transforms and converters with given data.
//! Nothing is stored or sent.

use axum::Json;
use axum::extract::State;
use connector_api::{Error, Result};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::RestState;
use super::body::JsonBody;
use super::error::{ApiError, ApiResult};
use crate::model::{TriedConverter, TriedRecord, TryConverter, TryTransforms};
use crate::worker::trial;

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(transforms))
        .routes(routes!(converter))
}

/// Sends records through a chain of transforms and returns each step.
#[utoipa::path(post, path = "/v1/transforms/try", tag = "plug-ins", request_body = TryTransforms,
    responses((status = 200, body = Vec<TriedRecord>), (status = 400, description = "a wrong config or record")))]
async fn transforms(
    State(app): State<RestState>,
    JsonBody(given): JsonBody<TryTransforms>,
) -> ApiResult<Json<Vec<TriedRecord>>> {
    tried(move || trial::transforms(app.validator.registry(), &given)).await
}

/// Reads bytes with a converter, returns the value, and writes it again.
#[utoipa::path(post, path = "/v1/converters/try", tag = "plug-ins", request_body = TryConverter,
    responses((status = 200, body = TriedConverter), (status = 400, description = "a wrong config, or bytes that the converter refuses")))]
async fn converter(
    State(app): State<RestState>,
    JsonBody(given): JsonBody<TryConverter>,
) -> ApiResult<Json<TriedConverter>> {
    tried(move || trial::converter(app.validator.registry(), &given)).await
}

/// Runs a trial on a blocking thread, because it may query a schema registry.
async fn tried<T: Send + 'static>(
    run: impl FnOnce() -> Result<T> + Send + 'static,
) -> ApiResult<Json<T>> {
    let outcome = tokio::task::spawn_blocking(run).await;
    let outcome = outcome.unwrap_or_else(|_| Err(Error::fatal("the trial failed")));
    outcome
        .map(Json)
        .map_err(|error| ApiError::bad_trial(&error))
}
