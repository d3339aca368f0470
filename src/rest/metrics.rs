//! `/metrics`: the figures of this worker for Prometheus.

use std::io::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiResult;
use super::{RestState, view};
use crate::herder::{ConnectorView, TaskView};
use crate::metrics::{ConnectorFacts, Format, Spelling, TableFacts, TaskFacts, WorkerMetrics};
use crate::model::RunState;
use crate::registry::Registry;

/// Shorter texts are not compressed.
const COMPRESSED_FROM: usize = 1024;

/// What `/metrics` shows.
#[derive(Clone)]
pub(crate) struct MetricsSource {
    /// The figures of the worker and its tasks.
    pub metrics: WorkerMetrics,
    /// `metrics.spellings`.
    pub spellings: Arc<[Spelling]>,
}

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Returns the figures of this worker as OpenMetrics, if `Accept` names it, or in Prometheus's text
/// format. Kafka Connect has nothing similar.
#[utoipa::path(get, path = "/metrics", tag = "worker", responses((status = 200, content((String = "text/plain"), (String = "application/openmetrics-text")))))]
async fn metrics(State(app): State<RestState>, headers: HeaderMap) -> ApiResult<Response> {
    let views = app.herder.list().await?;
    let registry = app.validator.registry();
    let connectors = views.iter().map(|it| facts(it, registry)).collect();
    let snapshot = app.metrics.metrics.snapshot(connectors);
    let format = Format::accepted(&all(&headers, header::ACCEPT));
    let text = snapshot.write(&app.metrics.spellings, format);
    let content_type = HeaderValue::from_static(format.content_type());
    let vary = HeaderValue::from_static("accept, accept-encoding");
    let mut answer = if text.len() >= COMPRESSED_FROM && takes_gzip(&headers) {
        let encoding = HeaderValue::from_static("gzip");
        ([(header::CONTENT_ENCODING, encoding)], gzip(&text)).into_response()
    } else {
        text.into_response()
    };
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    answer.headers_mut().insert(header::VARY, vary);
    Ok(answer)
}

/// Returns all values of a header, as one list.
fn all(headers: &HeaderMap, name: HeaderName) -> String {
    let values = headers.get_all(name).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.collect::<Vec<_>>().join(",")
}

/// True if the client accepts gzip (RFC 9110, 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    all(headers, header::ACCEPT_ENCODING)
        .split(',')
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_gzip = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let is_refused = parts.any(|part| {
                part.strip_prefix("q=")
                    .and_then(|weight| weight.trim().parse::<f32>().ok())
                    .is_some_and(|weight| weight <= 0.0)
            });
            is_gzip && !is_refused
        })
}

/// Compresses; writing to memory does not fail.
fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let _in_memory = encoder.write_all(text.as_bytes());
    encoder.finish().unwrap_or_default()
}

pub(super) fn facts(connector: &ConnectorView, registry: &Registry) -> ConnectorFacts {
    let state = connector.status.as_ref().map(|status| status.state);
    let class = connector.config.get("connector.class").unwrap_or_default();
    ConnectorFacts {
        name: Arc::clone(&connector.name),
        direction: connector.direction.name(),
        class: class.trim().into(),
        version: view::version(connector, registry)
            .unwrap_or_default()
            .into(),
        database: database(connector),
        state: state.unwrap_or(RunState::Unassigned),
        tasks: connector.tasks.iter().map(task_facts).collect(),
    }
}

/// Returns what Debezium's dashboards call a source by: the kind of its database, and its topic
/// prefix.
fn database(connector: &ConnectorView) -> Option<(&'static str, Arc<str>)> {
    let prefix = connector.config.get("topic.prefix")?;
    let url = connector.config.get("connection.url").unwrap_or_default();
    let scheme = url.trim_start().trim_start_matches("jdbc:");
    let kind = match scheme.split(':').next().unwrap_or_default() {
        "mysql" | "mariadb" => "mysql",
        "postgres" | "postgresql" => "postgres",
        "sqlite" => "sqlite",
        _ => "jdbc",
    };
    Some((kind, prefix.trim().into()))
}

fn task_facts(task: &TaskView) -> TaskFacts {
    let tables = task.progress.iter().flat_map(|progress| &progress.tables);
    let table = |it: &connector_api::TableProgress| TableFacts {
        table: it.table.as_str().into(),
        read: it.rows,
        estimated: it.rows_estimated,
        left: it.rows_left,
        behind: it.complete_at.map(|at| at.elapsed().as_secs_f64()),
        gaps: it.gaps,
    };
    TaskFacts {
        task: task.id,
        state: task.status.state,
        tables: tables.map(table).collect(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::takes_gzip;

    #[test]
    fn gzip_is_used_only_if_the_client_accepts_it() {
        for (accepted, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("x-gzip", false),
        ] {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_static(accepted);
            headers.insert(header::ACCEPT_ENCODING, value);
            assert_eq!(takes_gzip(&headers), expected, "{accepted}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
