//! `/v1/connectors/{c}/lag`: how far a connector is behind. Kafka Connect has nothing similar.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::RestState;
use super::error::ApiResult;
use super::metrics::facts;
use super::path::Path;
use crate::metrics::Snapshot;
use crate::model::{ConnectorLag, PartLag};

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(lag))
}

/// Returns how far a connector is behind: a source by the rows of its tables, a sink by the records
/// of its partitions. Null is what is not known: of a task that does not run, of a table whose rows
/// the database does not estimate.
#[utoipa::path(get, path = "/v1/connectors/{connector}/lag", tag = "connectors", responses((status = 200, body = ConnectorLag)))]
async fn lag(
    State(app): State<RestState>,
    Path(name): Path<String>,
) -> ApiResult<Json<ConnectorLag>> {
    let view = app.herder.get(&name).await?;
    let facts = facts(&view, app.validator.registry());
    let kind = facts.direction.to_owned();
    let is_complete = facts.tasks.iter().all(|task| task.is_running()) && !facts.tasks.is_empty();
    let parts = parts(&app.metrics.metrics.snapshot(vec![facts]));
    // What some part does not know, the whole does not know.
    let is_complete = is_complete && !parts.is_empty();
    let rows: Option<u64> = parts.iter().map(|part| part.rows).sum();
    let seconds: Option<Vec<f64>> = parts.iter().map(|part| part.seconds).collect();
    let oldest = seconds.and_then(|all| all.into_iter().reduce(f64::max));
    Ok(Json(ConnectorLag {
        name: view.name.to_string(),
        kind,
        rows: rows.filter(|_| is_complete),
        seconds: oldest.filter(|_| is_complete),
        parts,
    }))
}

fn parts(snapshot: &Snapshot) -> Vec<PartLag> {
    let part = |of: crate::metrics::LagOf| PartLag {
        task: of.task,
        table: of.table.map(|table| table.to_string()),
        topic: of.partition.as_ref().map(|at| at.topic.to_string()),
        partition: of.partition.map(|at| at.partition),
        position: of.position,
        end: of.end,
        rows: of.rows,
        seconds: of.seconds,
    };
    snapshot
        .lags()
        .into_iter()
        .map(|(_, of)| part(of))
        .collect()
}
