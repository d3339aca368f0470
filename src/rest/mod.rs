//! Kafka Connect's REST API over the herder's handle: one file per resource.
//!
//! It knows how requests and answers look, never how a connector is run; `error.rs` holds every text a client may see.

mod access;
mod activity;
pub mod auth;
mod body;
mod budget;
mod config;
mod connector_locks;
mod connectors;
mod error;
mod gate;
mod history;
mod http;
mod lifecycle;
mod loggers;
mod main_runtime;
mod offsets;
mod openapi;
mod origin;
mod path;
mod plugins;
mod query;
mod root;
mod serve;
mod tasks;
mod throttle;
mod tls;
mod topics;
mod trials;
mod view;

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
use crate::herder::validate::Validator;
use crate::settings::TopicTracking;
use error::ApiError;

pub use access::RestAccess;
pub use connector_locks::ConnectorLocks;
pub use gate::ConnectionLimits;
pub use loggers::{LogControl, LogLevels};
pub use main_runtime::MainRuntime;
pub use origin::OriginRules;
pub use serve::SharedServer;
pub use tls::{CertificateFiles, ServerTls};

/// What handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct RestState {
    /// Who runs connectors.
    pub herder: Herder,
    /// Says what is wrong with a config, and knows all plug-ins.
    pub validator: Validator,
    /// Log levels, changed while the worker runs.
    pub levels: LogLevels,
    /// Whose config is being patched.
    pub turns: ConnectorLocks,
    /// What is kept of used topics, and whether that may be forgotten.
    pub topic_tracking: TopicTracking,
    /// Whether `/admin` is served.
    pub admin: bool,
    /// What a person should know who looks at the worker's health.
    pub warnings: std::sync::Arc<[String]>,
    /// Where all else runs.
    pub main: MainRuntime,
}

/// Kafka Connect's routes and our own.
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
        .merge(trials::routes())
        .route_layer(from_fn(http::negotiate))
}

/// The whole API as one service.
pub fn router(app: RestState) -> Router {
    let (routes, document) = openapi::describe(api(app.admin));
    let inner = routes
        .merge(openapi::routes(&document))
        .fallback(async || ApiError::http(StatusCode::NOT_FOUND))
        .with_state(app);
    // Outside of the router, so that they see the final path and the `Allow` that it computes.
    let outer = ServiceBuilder::new()
        .layer(CatchPanicLayer::custom(http::panicked))
        .layer(from_fn(http::deadline))
        .layer(from_fn(http::method_answers))
        .layer(NormalizePathLayer::trim_trailing_slash())
        .service(inner);
    Router::new().fallback_service(outer)
}

/// How the API is reached on one listener.
#[derive(Clone, Default)]
pub struct ListenerConfig {
    /// Who may reach it.
    pub access: RestAccess,
    /// With this, it speaks HTTPS.
    pub tls: Option<ServerTls>,
}

/// Serves the API until `shutdown` ends; requests under way are finished. Runs apart from the main runtime, which answers all
/// requests but `/health` and `/livez`. The listener is registered with the runtime that this runs on.
pub async fn serve(
    listener: std::net::TcpListener,
    app: RestState,
    door: ListenerConfig,
    reception: SharedServer,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    // First of all, so that roles are asked for the path that is served.
    let main = app.main.clone();
    let router = door
        .access
        .before(router(app))
        .layer(from_fn(http::ignore_matrix_parameters));
    match TcpListener::from_std(listener) {
        Ok(listener) => serve::serve(listener, door.tls, (router, main), reception, shutdown).await,
        Err(error) => tracing::error!(%error, "a listener cannot be served"),
    }
}

#[cfg(test)]
mod tests;
