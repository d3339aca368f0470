//! `/`, `/health`, `/livez` and `/readyz`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::RestState;
use super::error::ApiResult;
use crate::herder;
use crate::model::{Health, Live, ServerInfo, StandingStill};
use crate::worker::StalledTask;

/// The version of Kafka Connect's API. Clients such as kcctl compare it to choose calls.
const API_VERSION: &str = "4.1.1";

/// How long `/health` waits for the herder, as in Kafka Connect.
const HEALTH_DEADLINE: Duration = Duration::from_secs(10);
/// `/health` reports a main runtime that starts no work for this long.
const STALLED_AFTER: Duration = Duration::from_secs(5);
/// A main runtime that starts no work for this long does not recover.
const HANGS: Duration = Duration::from_secs(60);

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(server_info))
        .routes(routes!(health))
        .routes(routes!(livez))
        .routes(routes!(readyz))
}

/// Returns the version of the API, and the Kafka cluster.
#[utoipa::path(get, path = "/", tag = "worker", responses((status = 200, body = ServerInfo)))]
async fn server_info(State(app): State<RestState>) -> ApiResult<Json<ServerInfo>> {
    let info = app.herder.info().await?;
    Ok(Json(ServerInfo {
        version: API_VERSION.to_owned(),
        commit: option_env!("ROWFERRY_COMMIT")
            .unwrap_or("unknown")
            .to_owned(),
        kafka_cluster_id: info.kafka_cluster_id.unwrap_or_default(),
        rowferry_version: env!("CARGO_PKG_VERSION").to_owned(),
    }))
}

/// Shows that this process answers: 200, or 500 once its main runtime has started no work for a
/// minute. It depends on nothing else: for a probe that restarts a hanging process, while `/health`
/// is for one that takes a worker out of service.
#[utoipa::path(get, path = "/livez", tag = "worker", responses((status = 200, body = Live), (status = 500, body = Live)))]
async fn livez(State(app): State<RestState>) -> (StatusCode, Json<Live>) {
    let (status, word) = match app.main.stalled_for(HANGS) {
        None => (StatusCode::OK, "alive"),
        Some(_) => (StatusCode::INTERNAL_SERVER_ERROR, "hangs"),
    };
    (
        status,
        Json(Live {
            status: word.to_owned(),
        }),
    )
}

/// Shows whether this worker should get requests: 503 while it starts, that is, until Kafka has been
/// reached once and, if it is one of several, it has got its share of the work; and while it shuts down; 500 if its main runtime has started no work for 5 s.
/// Unlike `/health`, it stays 200 when Kafka or the store fails later: the worker still answers, and
/// says what is wrong.
#[utoipa::path(get, path = "/readyz", tag = "worker", responses((status = 200, body = Live), (status = 500, body = Live), (status = 503, body = Live)))]
async fn readyz(State(app): State<RestState>) -> (StatusCode, Json<Live>) {
    let asked = tokio::time::timeout(HEALTH_DEADLINE, app.herder.info());
    let (status, word) = tokio::select! {
        biased;
        _ = app.main.late(STALLED_AFTER) => (StatusCode::INTERNAL_SERVER_ERROR, "hangs"),
        asked = asked => match asked {
            Ok(Ok(info)) if info.kafka_cluster_id.is_some() && !info.is_joining => (StatusCode::OK, "ready"),
            Ok(Ok(_)) => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
            Ok(Err(_)) => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "hangs"),
        },
    };
    (
        status,
        Json(Live {
            status: word.to_owned(),
        }),
    )
}

/// Shows whether the worker accepts requests (KIP-1017).
#[utoipa::path(get, path = "/health", tag = "worker", responses((status = 200, body = Health), (status = 500, body = Health), (status = 503, body = Health)))]
async fn health(State(app): State<RestState>) -> Response {
    let asked = tokio::time::timeout(HEALTH_DEADLINE, app.herder.health());
    let asked = tokio::select! {
        biased;
        waits = app.main.late(STALLED_AFTER) => return stuck(&app, waits),
        asked = asked => asked,
    };
    let (health, still) = match asked {
        Ok(Ok((health, still))) => (Ok(Ok(health)), still),
        Ok(Err(refusal)) => (Ok(Err(refusal)), Vec::new()),
        Err(late) => (Err(late), Vec::new()),
    };
    let (status, word, message) = verdict(health, &still);
    let standing_still = still.into_iter().map(standing_still).collect();
    let warnings = app.warnings.to_vec();
    (
        status,
        Json(Health {
            status: word.to_owned(),
            message,
            standing_still,
            warnings,
        }),
    )
        .into_response()
}

/// Returns status code, word and message for the worker's health; `Err(Elapsed)` if the herder does
/// not report it in time.
fn verdict(
    health: Result<
        Result<herder::WorkerHealth, herder::HerderRefusal>,
        tokio::time::error::Elapsed,
    >,
    still: &[StalledTask],
) -> (StatusCode, &'static str, String) {
    match health {
        Ok(Ok(herder::WorkerHealth::Starting(why))) => {
            let why = why.unwrap_or_else(|| {
                "check bootstrap.servers and that the brokers are up".to_owned()
            });
            let text =
                format!("Worker is still starting up. Kafka has not been reached yet: {why}");
            (StatusCode::SERVICE_UNAVAILABLE, "starting", text)
        }
        // Still 200: the worker handles stalled tasks itself, and a restart of the worker would
        // stop the other tasks, too.
        Ok(Ok(herder::WorkerHealth::Healthy)) if !still.is_empty() => {
            let tasks: Vec<_> = still
                .iter()
                .map(|s| format!("{} of {}", s.id.task, s.id.connector))
                .collect();
            let text = format!(
                "Worker handles requests, but tasks are stalled: {}.",
                tasks.join(", ")
            );
            (StatusCode::OK, "degraded", text)
        }
        Ok(Ok(herder::WorkerHealth::Healthy)) => {
            let text = "Worker has completed startup and is ready to handle requests.";
            (StatusCode::OK, "healthy", text.to_owned())
        }
        Ok(Ok(herder::WorkerHealth::WithoutStore(why))) => unable(&format!(
            " Changes cannot be stored, running tasks continue: {why}"
        )),
        Ok(Ok(herder::WorkerHealth::WithoutKafka(why))) => {
            unable(&format!(" Kafka does not answer: {why}"))
        }
        Ok(Err(_)) => {
            let text = "Worker is shutting down and accepts no more requests.";
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "unhealthy",
                text.to_owned(),
            )
        }
        Err(_) => unable(""),
    }
}

fn unable(why: &str) -> (StatusCode, &'static str, String) {
    let text =
        "Worker was unable to handle this request and may be unable to handle other requests.";
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "unhealthy",
        format!("{text}{why}"),
    )
}

/// The answer if the main runtime is blocked.
fn stuck(app: &RestState, waits: Duration) -> Response {
    let (status, word, message) = unable(&format!(
        " Its main runtime has started no work for {} s: all its threads are busy or blocked; \
         restart the worker if this continues.",
        waits.as_secs()
    ));
    let warnings = app.warnings.to_vec();
    (
        status,
        Json(Health {
            status: word.to_owned(),
            message,
            standing_still: Vec::new(),
            warnings,
        }),
    )
        .into_response()
}

fn standing_still(StalledTask { id, waits, text }: StalledTask) -> StandingStill {
    StandingStill {
        connector: id.connector.to_string(),
        task: id.task,
        waiting_for: waits.what.to_owned(),
        since: waits.since,
        message: text,
    }
}
