//! Kafka Connect's REST API on top of the herder's handle: one file per resource.
//!
//! This module handles the format of requests and answers, but not how connectors are run;
//! `error.rs` has all error texts.

mod access;
mod activity;
pub(crate) mod auth;
mod body;
mod budget;
mod config;
mod connector_locks;
mod connectors;
mod dead_letters;
mod error;
mod gate;
mod history;
mod http;
mod lag;
mod lifecycle;
mod loggers;
mod logs;
mod main_runtime;
mod metrics;
mod offsets;
mod openapi;
mod origin;
mod path;
mod plans;
mod plugins;
mod query;
mod records;
mod rereads;
mod root;
mod serve;
mod tasks;
mod throttle;
mod tls;
mod topics;
mod trials;
mod view;
mod workers;

use std::future::Future;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::normalize_path::NormalizePathLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::herder::Herder;
use crate::herder::plan::Planner;
use crate::herder::validate::Validator;
use crate::settings::TopicTracking;
use crate::worker::Worker;
use error::ApiError;

pub(crate) use access::RestAccess;
pub(crate) use connector_locks::ConnectorLocks;
pub(crate) use gate::ConnectionLimits;
pub(crate) use loggers::{LogControl, LogLevels};
pub(crate) use logs::ConnectorLogs;
pub(crate) use main_runtime::MainRuntime;
pub(crate) use metrics::MetricsSource;
pub(crate) use origin::OriginRules;
pub(crate) use serve::SharedServer;
pub(crate) use tls::{CertificateFiles, ServerTls};

/// The state shared by all handlers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RestState {
    /// Runs the connectors.
    pub herder: Herder,
    /// Validates configs, and knows all plug-ins.
    pub validator: Validator,
    /// Log levels, which can be changed at runtime.
    pub levels: LogLevels,
    /// Locks of the connectors whose config is being patched.
    pub turns: ConnectorLocks,
    /// Whether used topics are recorded, and whether they may be reset.
    pub topic_tracking: TopicTracking,
    /// Whether `/admin` is served.
    pub admin: bool,
    /// Warnings that `/health` shows to operators.
    pub warnings: std::sync::Arc<[String]>,
    /// The runtime of everything else.
    pub main: MainRuntime,
    /// Makes plans.
    pub planner: Planner,
    /// What `/metrics` shows.
    pub metrics: MetricsSource,
    /// The log by connector.
    pub logs: ConnectorLogs,
    /// Reads topics.
    pub worker: Worker,
}

/// Kafka Connect's routes and Rowferry's own.
fn api(admin: bool) -> OpenApiRouter<RestState> {
    let loggers = if admin {
        loggers::routes()
    } else {
        OpenApiRouter::new()
    };
    OpenApiRouter::new()
        .merge(root::routes())
        .merge(connectors::routes())
        .merge(config::routes())
        .merge(lifecycle::routes())
        .merge(tasks::routes())
        .merge(topics::routes())
        .merge(offsets::routes())
        .merge(plugins::routes())
        .merge(loggers)
        .merge(history::routes())
        .merge(lag::routes())
        .merge(records::routes())
        .merge(rereads::routes())
        .merge(logs::routes())
        .merge(dead_letters::routes())
        .merge(trials::routes())
        .merge(plans::routes())
        .merge(workers::routes())
        .route_layer(from_fn(http::negotiate))
        // Not JSON: it negotiates its own formats.
        .merge(metrics::routes())
}

/// Returns the whole API as one service.
pub(crate) fn router(app: RestState) -> Router {
    let (routes, document) = openapi::describe(api(app.admin));
    service(routes.merge(openapi::routes(&document)), app)
}

/// Returns a service of `/metrics` alone.
fn metrics_router(app: RestState) -> Router {
    let (routes, _document) = metrics::routes().split_for_parts();
    service(routes, app)
}

/// Adds the rules for all routes.
fn service(routes: Router<RestState>, app: RestState) -> Router {
    let inner = routes
        .fallback(async || ApiError::http(StatusCode::NOT_FOUND))
        .with_state(app);
    // These layers wrap the router, so that they see the final path and the `Allow` header that it
    // computes.
    let outer = ServiceBuilder::new()
        .layer(CatchPanicLayer::custom(http::panicked))
        .layer(from_fn(http::deadline))
        .layer(from_fn(http::method_answers))
        .layer(NormalizePathLayer::trim_trailing_slash())
        .service(inner);
    Router::new().fallback_service(outer)
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Served {
    #[default]
    Api,
    /// `/metrics` alone.
    Metrics,
}

/// Access to the API on one listener.
#[derive(Clone, Default)]
pub(crate) struct ListenerConfig {
    /// Who may use it.
    pub access: RestAccess,
    /// If set, the listener uses HTTPS.
    pub tls: Option<ServerTls>,
    pub served: Served,
}

/// Serves the API until `shutdown` ends; requests in progress are completed. Runs apart from the
/// main runtime, which processes all requests except the probes. The listener is
/// registered with the runtime that this runs on.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    app: RestState,
    door: ListenerConfig,
    reception: SharedServer,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    // Must be the first layer, so that roles are checked for the path that is served.
    let main = app.main.clone();
    let routes = match door.served {
        Served::Api => router(app),
        Served::Metrics => metrics_router(app),
    };
    let router = door
        .access
        .before(routes)
        .layer(from_fn(http::ignore_matrix_parameters));
    match TcpListener::from_std(listener) {
        Ok(listener) => serve::serve(listener, door.tls, (router, main), reception, shutdown).await,
        Err(error) => tracing::error!(%error, "a listener cannot be served"),
    }
}

#[cfg(test)]
mod tests;
