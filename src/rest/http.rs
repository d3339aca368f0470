//! Rules for all routes: media types, `OPTIONS`, wrong methods, the deadline, panics.

use std::any::Any;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use crate::observe::panics;

/// How long a call may take, as in Kafka Connect.
const DEADLINE: Duration = Duration::from_secs(90);

/// Refuses other media types than JSON, in both directions. Only runs if a route and method were
/// found.
pub(super) async fn negotiate(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let reads_only = matches!(*request.method(), Method::GET | Method::HEAD) && !has_body(headers);
    if !reads_only && content_type(headers).is_some_and(|ty| !is_json(ty)) {
        return ApiError::http(StatusCode::UNSUPPORTED_MEDIA_TYPE).into_response();
    }
    if !accepts_json(headers) {
        return ApiError::http(StatusCode::NOT_ACCEPTABLE).into_response();
    }
    next.run(request).await
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get(header::CONTENT_LENGTH)
            .is_some_and(|length| length != "0")
}

/// Returns the Content-Type, if there is one.
pub(super) fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::CONTENT_TYPE)
        .map(|ty| ty.to_str().unwrap_or_default())
}

fn is_json(media_type: &str) -> bool {
    media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("application/json")
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .filter(|range| !range.trim().is_empty())
        .peekable();
    ranges.peek().is_none()
        || ranges.filter(|range| !is_refused(range)).any(|range| {
            let kind = range.split(';').next().unwrap_or_default().trim();
            kind == "*/*" || kind.eq_ignore_ascii_case("application/*") || is_json(kind)
        })
}

/// True if a media range has the weight 0 (RFC 9110, 12.4.2).
fn is_refused(range: &str) -> bool {
    let weight = |part: &str| {
        part.trim()
            .to_ascii_lowercase()
            .strip_prefix("q=")
            .and_then(|q| q.parse::<f32>().ok())
    };
    range.split(';').skip(1).find_map(weight) == Some(0.0)
}

/// Removes matrix parameters (RFC 3986, 3.3: `/connectors;v=1/c`) from the path, as JAX-RS does in
/// Kafka Connect. An escaped semicolon (`%3B`) belongs to its segment.
pub(super) async fn ignore_matrix_parameters(mut request: Request, next: Next) -> Response {
    let uri = request.uri();
    if uri.path().contains(';') {
        let segments = uri
            .path()
            .split('/')
            .map(|segment| segment.split(';').next().unwrap_or_default());
        let mut path = segments.collect::<Vec<_>>().join("/");
        if let Some(query) = uri.query() {
            path = format!("{path}?{query}");
        }
        let mut parts = uri.clone().into_parts();
        if let Ok(without) = path.parse() {
            parts.path_and_query = Some(without);
        }
        if let Ok(without) = Uri::from_parts(parts) {
            *request.uri_mut() = without;
        }
    }
    next.run(request).await
}

/// Converts the router's "no such method" into an answer to `OPTIONS`, or into the error body.
pub(super) async fn method_answers(request: Request, next: Next) -> Response {
    let options = request.method() == Method::OPTIONS;
    let response = next.run(request).await;
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let allow = response
        .headers()
        .get(header::ALLOW)
        .and_then(|allow| allow.to_str().ok())
        .unwrap_or_default();
    let allow = format!("{allow},OPTIONS");
    let mut answer = if options {
        (StatusCode::OK, allow.clone()).into_response()
    } else {
        ApiError::http(StatusCode::METHOD_NOT_ALLOWED).into_response()
    };
    if let Ok(allow) = HeaderValue::from_str(&allow) {
        answer.headers_mut().insert(header::ALLOW, allow);
    }
    answer
}

/// Ends a call that takes too long, so that no client waits without limit.
pub(super) async fn deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::timed_out(DEADLINE.as_secs()).into_response(),
    }
}

/// The answer when a handler panicked.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the layer asks for"
)]
pub(super) fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!(panic = panics::text(&*cause), "a request handler panicked");
    ApiError::internal().into_response()
}
