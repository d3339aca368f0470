//! `/v1/workers`: the workers of the group, and draining one before it is stopped. Kafka Connect has
//! nothing similar.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::RestState;
use super::body::discard;
use super::error::ApiResult;
use super::path::Path;
use crate::herder::WorkerView;
use crate::model::{GroupWorker, GroupWorkers};
use crate::store::UNSEEN_MS;

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(drain, undrain))
}

/// Returns the workers of the group with the numbers of their connectors and tasks; a worker that does
/// not share its store is the only one.
#[utoipa::path(get, path = "/v1/workers", tag = "worker", responses((status = 200, body = GroupWorkers)))]
async fn list(State(app): State<RestState>) -> ApiResult<Json<GroupWorkers>> {
    let mut workers = app.herder.workers().await?;
    workers.sort_by(|one, other| one.worker.id.cmp(&other.worker.id));
    Ok(Json(GroupWorkers {
        workers: workers.into_iter().map(shown).collect(),
    }))
}

/// Moves the tasks of a worker to the others, one by one. When it has none left, it leaves the group;
/// it still answers requests. This lasts until it is ended, or until the worker is started again.
#[utoipa::path(put, path = "/v1/workers/{worker}/drain", tag = "worker",
    responses((status = 202), (status = 404, description = "no worker has this id"),
        (status = 409, description = "no other worker could take its tasks over")))]
async fn drain(
    State(app): State<RestState>,
    Path(worker): Path<String>,
    body: Body,
) -> ApiResult<StatusCode> {
    discard(body).await?;
    app.herder.drain(&worker, true).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Lets a drained worker take tasks again.
#[utoipa::path(delete, path = "/v1/workers/{worker}/drain", tag = "worker",
    responses((status = 204), (status = 404, description = "no worker has this id"),
        (status = 409, description = "the worker does not share its work")))]
async fn undrain(
    State(app): State<RestState>,
    Path(worker): Path<String>,
) -> ApiResult<StatusCode> {
    app.herder.drain(&worker, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown(view: WorkerView) -> GroupWorker {
    let WorkerView {
        worker,
        is_asked,
        share,
        load,
    } = view;
    let state = if !is_asked && worker.unseen_ms >= UNSEEN_MS {
        "unseen"
    } else if !worker.draining {
        "ready"
    } else if share.slots == 0 {
        "drained"
    } else {
        "draining"
    };
    GroupWorker {
        id: worker.id,
        url: worker.url,
        version: worker.version,
        state: state.to_owned(),
        connectors: share.connectors,
        tasks: share.tasks,
        slots: share.slots,
        started_ms: worker.started_ms,
        seen_ms: worker.seen_ms,
        unseen_ms: worker.unseen_ms,
        load,
        answers: is_asked,
    }
}
