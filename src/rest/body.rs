//! Reads a JSON body, with errors that say what is wrong and where.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use super::error::{ApiError, ApiResult};
use super::http::content_type;

/// No body may be larger.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The body of a request as `T`.
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> ApiResult<Self> {
        let typed = content_type(request.headers()).is_some();
        let bytes = to_bytes(request.into_body(), MAX_BYTES)
            .await
            .map_err(|_| ApiError::http(StatusCode::PAYLOAD_TOO_LARGE))?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        if bytes.trim_ascii().is_empty() {
            return Err(ApiError::no_body());
        }
        if !typed {
            return Err(ApiError::http(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        serde_json::from_slice(bytes).map(Self).map_err(ApiError::bad_body)
    }
}

/// Reads and forgets a body that nobody asked for, so that the connection can go on.
pub(super) async fn discard(body: Body) -> ApiResult<()> {
    to_bytes(body, MAX_BYTES).await.map(drop).map_err(|_| ApiError::http(StatusCode::PAYLOAD_TOO_LARGE))
}
