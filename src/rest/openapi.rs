//! The OpenAPI document, generated from the routes and their types, and the page that shows it.
//!
//! The page and its script are embedded in the program and load nothing from elsewhere.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::body::Bytes;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;

use super::RestState;
use crate::model::ErrorBody;

#[derive(OpenApi)]
#[openapi(
    info(title = "Rowferry", description = "Kafka Connect's REST API, provided by Rowferry."),
    components(schemas(ErrorBody)),
    tags(
        (name = "worker", description = "This worker."),
        (name = "connectors", description = "Connectors, their configs and states."),
        (name = "tasks", description = "Tasks of a connector."),
        (name = "topics", description = "Topics that a connector has used."),
        (name = "offsets", description = "How far a connector has read or written."),
        (name = "dead letters", description = "Records that could not be processed."),
        (name = "plug-ins", description = "Available plug-ins, and validation of configs."),
        (name = "log levels", description = "Log levels of the running worker."),
    )
)]
struct OpenApiDocument;

/// Returns the routes and the document about them.
pub(super) fn describe(
    routes: OpenApiRouter<RestState>,
) -> (Router<RestState>, utoipa::openapi::OpenApi) {
    let (routes, described) = routes.split_for_parts();
    let mut document = OpenApiDocument::openapi();
    document.merge(described);
    for (path, item) in &mut document.paths.paths {
        let verbs = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("delete", &mut item.delete),
            ("patch", &mut item.patch),
        ];
        for (verb, operation) in verbs {
            if let Some(operation) = operation {
                complete(operation, verb, path);
            }
        }
    }
    (routes, document)
}

/// Adds what all operations have in common: an id, texts for each status, and one body for all
/// errors.
fn complete(operation: &mut Operation, verb: &str, path: &str) {
    let words = path
        .split(['/', '-'])
        .map(|word| word.trim_matches(['{', '}']))
        .filter(|word| !word.is_empty());
    operation.operation_id = Some(
        std::iter::once(verb)
            .chain(words)
            .collect::<Vec<_>>()
            .join("_"),
    );
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            let status = status
                .parse()
                .ok()
                .and_then(|code| StatusCode::from_u16(code).ok());
            response.description = status
                .and_then(|s| s.canonical_reason())
                .unwrap_or("answer")
                .to_owned();
        }
    }
    let body = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("ErrorBody")))
        .build();
    let refused = ResponseBuilder::new()
        .description("Refused")
        .content("application/json", body)
        .build();
    operation
        .responses
        .responses
        .insert("default".to_owned(), refused.into());
}

/// The routes `/openapi.json` and `/docs`.
pub(super) fn routes(document: &utoipa::openapi::OpenApi) -> Router<RestState> {
    let json = Bytes::from(document.to_pretty_json().unwrap_or_default());
    let file = |content_type: &'static str, text: &'static str| {
        get(async move || {
            let policy = "default-src 'self'; frame-ancestors 'none'";
            let headers = [
                (header::CONTENT_TYPE, content_type),
                (header::CONTENT_SECURITY_POLICY, policy),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, text).into_response()
        })
    };
    Router::new()
        .route(
            "/openapi.json",
            get(async move || ([(header::CONTENT_TYPE, "application/json")], json)),
        )
        .route(
            "/docs",
            file("text/html; charset=utf-8", include_str!("docs/index.html")),
        )
        .route(
            "/docs/docs.js",
            file(
                "text/javascript; charset=utf-8",
                include_str!("docs/docs.js"),
            ),
        )
        .route(
            "/docs/docs.css",
            file("text/css; charset=utf-8", include_str!("docs/docs.css")),
        )
}
