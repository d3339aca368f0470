//! `/v1/connectors/{c}/lag`: how far a connector is behind. Kafka Connect has nothing similar.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use connector_api::Error;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::RestState;
use super::error::ApiResult;
use super::metrics::facts;
use super::path::Path;
use crate::metrics::Snapshot;
use crate::model::{ConnectorLag, PairLag, PartLag};
use crate::worker::sink_places::PartitionPlace;

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(lag))
}

/// How long the brokers may take to answer.
const LIMIT: Duration = Duration::from_secs(25);
/// Requests that ask the brokers at the same time: each opens Kafka clients. Others wait.
static ASKING: Semaphore = Semaphore::const_new(4);

/// Returns how far a connector is behind: a source by the rows of its tables, a sink by the records
/// of its partitions. The brokers are asked about partitions that no task reads, because the sink is
/// paused, stopped or failed. Null is what is not known: of a source that does not run, of a table
/// whose rows the database does not estimate.
#[utoipa::path(get, path = "/v1/connectors/{connector}/lag", tag = "connectors", responses((status = 200, body = ConnectorLag)))]
async fn lag(
    State(app): State<RestState>,
    Path(name): Path<String>,
) -> ApiResult<Json<ConnectorLag>> {
    let view = app.herder.get(&name).await?;
    let facts = facts(&view, app.validator.registry());
    let kind = facts.direction.to_owned();
    let all_run = facts.tasks.iter().all(|task| task.is_running()) && !facts.tasks.is_empty();
    let mut parts = parts(&app.metrics.metrics.snapshot(vec![facts]));
    let (mut is_complete, mut unknown) = (all_run, None);
    if kind == "sink" && !all_run {
        let asking = async {
            let _turn = ASKING.acquire().await;
            app.worker.sink_places(&name, &view.config).await
        };
        let asked = tokio::time::timeout(LIMIT, asking).await;
        let late = || Err(Error::retry("the brokers did not answer in time"));
        match asked.unwrap_or_else(|_| late()) {
            Ok(places) => {
                is_complete = !places.more;
                add_unread(&mut parts, places.partitions);
            }
            Err(error) => unknown = Some(error.to_string()),
        }
    }
    // What some part does not know, the whole does not know.
    let is_complete = is_complete && !parts.is_empty();
    let rows: Option<u64> = parts.iter().map(|part| part.rows).sum();
    let seconds: Option<Vec<f64>> = parts.iter().map(|part| part.seconds).collect();
    let oldest = seconds.and_then(|all| all.into_iter().reduce(f64::max));
    let seconds = oldest.filter(|_| is_complete);
    let sources = if kind == "sink" {
        pairs(&app, &parts, seconds).await?
    } else {
        Vec::new()
    };
    Ok(Json(ConnectorLag {
        name: view.name.to_string(),
        kind,
        rows: rows.filter(|_| is_complete),
        seconds,
        sources,
        unknown,
        parts,
    }))
}

/// Returns the sources that write the topics of a sink, with the lag of both together.
async fn pairs(app: &RestState, sink: &[PartLag], behind: Option<f64>) -> ApiResult<Vec<PairLag>> {
    let mut pairs = Vec::new();
    for view in app.herder.list().await? {
        let facts = facts(&view, app.validator.registry());
        if facts.direction != "source" {
            continue;
        }
        let topics = app.herder.topics(&view.name).await?;
        let is_read = |topic: &String| sink.iter().any(|part| part.topic.as_ref() == Some(topic));
        if !topics.iter().any(is_read) {
            continue;
        }
        let all_run = !facts.tasks.is_empty() && facts.tasks.iter().all(|task| task.is_running());
        let tables = parts(&app.metrics.metrics.snapshot(vec![facts]));
        let ages: Option<Vec<f64>> = tables.iter().map(|part| part.seconds).collect();
        let age = ages.and_then(|all| all.into_iter().reduce(f64::max));
        let age = age.filter(|_| all_run);
        pairs.push(PairLag {
            connector: view.name.to_string(),
            seconds: age.zip(behind).map(|(age, behind)| age + behind),
        });
    }
    Ok(pairs)
}

/// Adds the partitions that no task reads.
fn add_unread(parts: &mut Vec<PartLag>, places: Vec<PartitionPlace>) {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    for place in places {
        let is_same = |part: &PartLag| {
            part.topic.as_deref() == Some(&*place.at.topic)
                && part.partition == Some(place.at.partition)
        };
        if parts.iter().any(is_same) {
            continue;
        }
        let rows = u64::try_from(place.end.saturating_sub(place.start)).unwrap_or(0);
        let age = place.oldest_ms.map(|oldest| age(now_ms, oldest));
        parts.push(PartLag {
            task: None,
            table: None,
            topic: Some(place.at.topic.to_string()),
            partition: Some(place.at.partition),
            position: Some(place.start),
            end: Some(place.end),
            rows: Some(rows),
            seconds: if rows == 0 { Some(0.0) } else { age },
        });
    }
}

/// Returns the seconds between two times; 0 if the clock of the record is ahead.
#[expect(
    clippy::cast_precision_loss,
    reason = "no record is 2^53 milliseconds old"
)]
fn age(now_ms: i64, then_ms: i64) -> f64 {
    now_ms.saturating_sub(then_ms).max(0) as f64 / 1000.0
}

fn parts(snapshot: &Snapshot) -> Vec<PartLag> {
    let part = |of: crate::metrics::LagOf| PartLag {
        task: Some(of.task),
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
