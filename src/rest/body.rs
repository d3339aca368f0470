//! Reads a JSON body, with errors that say what is wrong and where.

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::error::{ApiError, ApiResult};
use super::http::content_type;

/// No body may be larger.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// serde_json's own limit of nesting, which a body that is read twice keeps.
const MAX_DEPTH: usize = 128;

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
        read(bytes).map(Self).map_err(ApiError::bad_body)
    }
}

/// Reads a JSON text. Of a member that is repeated the last one counts, as with Jackson in Kafka Connect.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    let first = serde_json::from_slice(bytes);
    match &first {
        // serde refuses repeated members of a struct; only the rare body that has some is read twice.
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

/// Reads and forgets a body that nobody asked for, so that the connection can go on.
pub(super) async fn discard(body: Body) -> ApiResult<()> {
    to_bytes(body, MAX_BYTES).await.map(drop).map_err(|_| ApiError::http(StatusCode::PAYLOAD_TOO_LARGE))
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
        let text = format!(r#"{{"name":"a","name":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(read::<CreateConnector>(text.as_bytes()).is_err());
    }
}
