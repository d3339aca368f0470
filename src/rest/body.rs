//! Reads a JSON body. Errors name the problem and its position.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::budget::{BODY_MAX_BYTES, BodyFault, BudgetShare};
use super::error::{ApiError, ApiResult};
use super::http::content_type;

/// serde_json's own nesting limit, which also applies to a body that is read twice.
const MAX_DEPTH: usize = 128;
/// How many more bytes of a refused body are read and discarded, and for how long. A client that is
/// still sending would not see the answer otherwise.
const LINGER_BYTES: usize = 16 * 1024 * 1024;
const LINGER: Duration = Duration::from_secs(2);

/// The body of a request, deserialized.
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> ApiResult<Self> {
        let typed = content_type(request.headers()).is_some();
        let waits = request.headers().contains_key(header::EXPECT);
        let share = request.extensions().get::<BudgetShare>().cloned();
        let bytes = whole(request.into_body(), share.as_ref(), waits).await?;
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        if text.trim_ascii().is_empty() {
            return Err(ApiError::no_body());
        }
        if !typed {
            return Err(ApiError::http(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let large = match &share {
            Some(share) => share
                .turn(bytes.len())
                .await
                .map_err(ApiError::body_fault)?,
            None => false,
        };
        if !large {
            return parsed(&bytes);
        }
        // Parsing megabytes of JSON takes long and must not block the threads that serve other
        // requests.
        tokio::task::spawn_blocking(move || parsed(&bytes))
            .await
            .unwrap_or_else(|_| Err(ApiError::internal()))
    }
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<JsonBody<T>> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    read(text).map(JsonBody).map_err(ApiError::bad_body)
}

/// Parses a JSON text. If a member is repeated, the last one counts, as with Jackson in Kafka
/// Connect.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    let first = serde_json::from_slice(bytes);
    match &first {
        // serde refuses repeated members of a struct; only the rare bodies that have some are read
        // twice.
        Err(error) if error.to_string().starts_with("duplicate field") => {
            let mut unique = String::with_capacity(bytes.len());
            match serde_json::from_slice(bytes).and_then(|raw| write_unique(raw, &mut unique, 0)) {
                Ok(()) => serde_json::from_str(&unique),
                Err(_) => first,
            }
        }
        _ => first,
    }
}

/// Appends a JSON text in which no object has a member twice. Numbers keep their digits.
fn write_unique(raw: &RawValue, out: &mut String, depth: usize) -> serde_json::Result<()> {
    if depth > MAX_DEPTH {
        return Err(serde::de::Error::custom("nested too deeply"));
    }
    match raw.get().as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get())?;
            out.push('{');
            for (at, (name, value)) in members.into_iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                out.push_str(&serde_json::to_string(&name)?);
                out.push(':');
                write_unique(value, out, depth + 1)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get())?;
            out.push('[');
            for (at, item) in items.into_iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                write_unique(item, out, depth + 1)?;
            }
            out.push(']');
        }
        _ => out.push_str(raw.get()),
    }
    Ok(())
}

/// Reads a whole body. `waits`: the client sends it only after a `100 Continue`.
async fn whole(mut body: Body, share: Option<&BudgetShare>, waits: bool) -> ApiResult<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let refused = match frame {
            Ok(frame) => {
                if let Some(data) = frame.data_ref() {
                    bytes.extend_from_slice(data);
                }
                if bytes.len() <= BODY_MAX_BYTES {
                    continue;
                }
                ApiError::body_fault(BodyFault::TooLarge)
            }
            Err(error) => match fault(error) {
                Some(BodyFault::TooSlow) => return Err(ApiError::body_fault(BodyFault::TooSlow)),
                Some(fault) => ApiError::body_fault(fault),
                None => {
                    return Err(ApiError::bad_body("it is incomplete, or not valid HTTP"));
                }
            },
        };
        drop(bytes);
        if let Some(share) = share {
            share.release();
        }
        if !waits {
            linger(body).await;
        }
        return Err(refused);
    }
    Ok(bytes)
}

fn fault(error: axum::Error) -> Option<BodyFault> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(fault) = error.downcast_ref::<BodyFault>() {
            return Some(*fault);
        }
        cause = error.source();
    }
    None
}

/// Reads and discards some more of a body.
async fn linger(mut body: Body) {
    let mut left = LINGER_BYTES;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, |data| data.len())) else {
                return;
            };
            left = rest;
        }
    };
    // If the client sends for longer, its connection is closed.
    let _ended = tokio::time::timeout(LINGER, reading).await;
}

/// Reads and discards a body that is not needed, so that the connection can be used further.
pub(super) async fn discard(body: Body) -> ApiResult<()> {
    if body.is_end_stream() {
        return Ok(());
    }
    whole(body, None, false).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::model::CreateConnector;

    #[test]
    fn the_last_of_repeated_members_counts_at_every_level() {
        let text = br#"{"name":"a","config":{"x":1.50,"x":"2"},"name":"b","config":{"y":1.50,"\u0079":1e3}}"#;
        let read: CreateConnector = read(text).unwrap();
        assert_eq!(read.name.as_deref(), Some("b"));
        let pairs: Vec<_> = read.config.unwrap().0.into_iter().collect();
        assert_eq!(pairs, [("y".to_owned(), Some("1e3".to_owned()))]);
    }

    #[test]
    fn a_repeated_member_beside_bottomless_nesting_is_refused() {
        let text = format!(r#"{{"name":"a","name":{}"#, "[".repeat(100_000));
        assert!(read::<CreateConnector>(text.as_bytes()).is_err());
        let text = format!(
            r#"{{"name":"a","name":{}{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert!(read::<CreateConnector>(text.as_bytes()).is_err());
    }
}
