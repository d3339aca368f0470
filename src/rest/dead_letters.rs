//! `/v1/connectors/{c}/dlq`: the dead letters of a connector. Kafka Connect has nothing similar.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use connector_api::Config;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::RestState;
use super::body::JsonBody;
use super::error::{ApiError, ApiResult};
use super::path::Path;
use super::query::{QueryParams, first};
use super::records::{page, resolved, within};
use crate::herder::{ConnectorView, Direction};
use crate::model::{DeadLetter, DeadLetterPage, LetterPosition, ReplayLetters, ReplayedLetter};
use crate::worker::{LettersOf, read_offsets};

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(list, delete))
        .routes(routes!(replay))
        .routes(routes!(show))
}

fn letters_of(view: &ConnectorView, config: Config) -> LettersOf {
    LettersOf {
        connector: view.name.clone(),
        config,
        is_source: view.direction == Direction::Source,
    }
}

/// Returns some dead letters, oldest first, without keys and values. `from` is `begin` (the
/// default), `last` or the `next` of an earlier answer.
#[utoipa::path(get, path = "/v1/connectors/{connector}/dlq", tag = "dead letters",
    params(("from" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    responses((status = 200, body = DeadLetterPage), (status = 400, description = "the connector has no dead-letter topic")))]
async fn list(
    State(app): State<RestState>,
    Path(name): Path<String>,
    params: QueryParams,
) -> ApiResult<Json<DeadLetterPage>> {
    let view = app.herder.get(&name).await?;
    let (start, limit) = page(&params, "begin")?;
    let (config, redactor) = resolved(&app, &view).await?;
    let letters = app
        .worker
        .dead_letters(letters_of(&view, config), start, limit);
    Ok(Json(within(letters, &redactor).await?))
}

/// Returns one dead letter with its key and value. Needs the role operator, because it holds a row.
#[utoipa::path(get, path = "/v1/connectors/{connector}/dlq/{partition}/{offset}", tag = "dead letters",
    params(("connector" = String, Path), ("partition" = i32, Path), ("offset" = i64, Path)),
    responses((status = 200, body = DeadLetter), (status = 404, description = "no such letter of this connector")))]
async fn show(
    State(app): State<RestState>,
    Path((name, partition, offset)): Path<(String, String, String)>,
) -> ApiResult<Json<DeadLetter>> {
    let view = app.herder.get(&name).await?;
    let no_letter = || ApiError::no_letter(&name, &partition, &offset);
    let (Ok(of_partition), Ok(of_offset)) = (partition.parse(), offset.parse()) else {
        return Err(no_letter());
    };
    let at = LetterPosition {
        partition: of_partition,
        offset: of_offset,
    };
    let (config, redactor) = resolved(&app, &view).await?;
    let letter = app.worker.dead_letter(letters_of(&view, config), at);
    within(letter, &redactor)
        .await?
        .map(Json)
        .ok_or_else(no_letter)
}

/// Writes letters to their topics again: those of a sink as they are to the topic that they were
/// read from, those of a source through its present transforms and converters. The letters are kept.
#[utoipa::path(post, path = "/v1/connectors/{connector}/dlq/replay", tag = "dead letters", request_body = ReplayLetters,
    responses((status = 200, body = Vec<ReplayedLetter>), (status = 400, description = "letters that cannot be replayed together")))]
async fn replay(
    State(app): State<RestState>,
    Path(name): Path<String>,
    JsonBody(wanted): JsonBody<ReplayLetters>,
) -> ApiResult<Json<Vec<ReplayedLetter>>> {
    let view = app.herder.get(&name).await?;
    let (config, redactor) = resolved(&app, &view).await?;
    let done = app.worker.replay_letters(letters_of(&view, config), wanted);
    let mut done = within(done, &redactor).await?;
    for letter in &mut done {
        letter.error = letter
            .error
            .take()
            .map(|text| redactor.hide(&text).into_owned());
    }
    Ok(Json(done))
}

/// Deletes the dead letters before the offsets of `before` (`0:15`), also those of other connectors
/// that share the topic.
#[utoipa::path(delete, path = "/v1/connectors/{connector}/dlq", tag = "dead letters",
    params(("before" = String, Query)), responses((status = 204)))]
async fn delete(
    State(app): State<RestState>,
    Path(name): Path<String>,
    params: QueryParams,
) -> ApiResult<StatusCode> {
    let view = app.herder.get(&name).await?;
    let before = first(&params, "before").unwrap_or_default();
    let before = read_offsets(before).ok_or_else(|| ApiError::bad_before(before))?;
    let (config, redactor) = resolved(&app, &view).await?;
    let deleted = app.worker.delete_letters(letters_of(&view, config), before);
    within(deleted, &redactor).await?;
    Ok(StatusCode::NO_CONTENT)
}
