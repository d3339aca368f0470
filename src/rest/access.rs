//! Middleware in front of the API: requests from other sites' pages, credentials, roles, extra
//! headers, CORS. The routes do not depend on it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use connector_api::shown::without_passwords;
use connector_api::{Error, Result};
use serde_json::Value;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::auth::{Authenticator, Credentials, Role, UserAccount};
use super::error::ApiError;
use super::origin::OriginRules;
use super::serve::PeerAddress;
use crate::secrets::SecretKeys;

/// Who may use the API, and which headers are added to its answers.
#[derive(Clone, Default)]
pub(crate) struct RestAccess {
    auth: Option<Arc<Authenticator>>,
    rules: Arc<OriginRules>,
    cors: Option<CorsLayer>,
    headers: Arc<Vec<ExtraHeader>>,
    secrets: SecretKeys,
}

/// A header of `response.http.headers.config`.
#[derive(Clone, Debug, PartialEq)]
struct ExtraHeader {
    name: HeaderName,
    value: HeaderValue,
    /// Replace existing headers instead of adding another one.
    replace: bool,
}

impl RestAccess {
    /// `auth` checks credentials; `headers` is `response.http.headers.config`, `methods` is
    /// `access.control.allow.methods`. Errors: `Config`.
    pub(crate) fn new(
        auth: Option<Authenticator>,
        rules: OriginRules,
        methods: &str,
        headers: &str,
    ) -> Result<Self> {
        let cors = if rules.allow_origin.trim().is_empty() {
            None
        } else {
            Some(cors(&rules.allow_origin, methods)?)
        };
        let headers = Arc::new(extra_headers(headers)?);
        Ok(Self {
            auth: auth.map(Arc::new),
            rules: Arc::new(rules),
            cors,
            headers,
            secrets: SecretKeys::default(),
        })
    }

    /// Sets the keys whose values are secret.
    #[must_use]
    pub(crate) fn with_secrets(self, secrets: SecretKeys) -> Self {
        Self { secrets, ..self }
    }

    /// Wraps `router` in these checks.
    pub(super) fn before(self, router: Router) -> Router {
        let cors = self.cors.clone();
        let router = router.layer(from_fn_with_state(self, check));
        match cors {
            Some(cors) => router.layer(cors),
            None => router,
        }
    }
}

async fn check(State(access): State<RestAccess>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match access.rules.refuse(&parts) {
        Some(foreign) => ApiError::foreign(foreign).into_response(),
        None => admit(&access, Request::from_parts(parts, body), next).await,
    };
    for extra in access.headers.iter() {
        if extra.replace {
            response
                .headers_mut()
                .insert(extra.name.clone(), extra.value.clone());
        } else {
            response
                .headers_mut()
                .append(extra.name.clone(), extra.value.clone());
        }
    }
    response
}

async fn admit(access: &RestAccess, request: Request, next: Next) -> Response {
    let Some(auth) = &access.auth else {
        return next.run(request).await;
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let Some(needed) = Role::needed(&method, &path) else {
        return next.run(request).await;
    };
    let from = request
        .extensions()
        .get::<PeerAddress>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    let UserAccount { name, role } = match auth.account(request.headers(), from).await {
        Credentials::Known(account) => account,
        Credentials::TooMany(after) => return ApiError::too_many_guesses(after).into_response(),
        Credentials::Nothing | Credentials::Wrong => {
            let mut refused = ApiError::unauthenticated().into_response();
            let ask = HeaderValue::from_static("Basic realm=\"rowferry\", charset=\"UTF-8\"");
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
            return refused;
        }
    };
    if role < needed {
        tracing::warn!(user = name, role = role.name(), %method, path, "refused");
        return ApiError::forbidden(role.name(), needed.name()).into_response();
    }
    let response = next.run(request).await;
    if needed > Role::Viewer {
        tracing::info!(user = name, %method, path, status = response.status().as_u16(), "changed over REST");
    }
    if role == Role::Admin {
        response
    } else {
        without_secrets(response, &access.secrets).await
    }
}

/// Masks the secrets in an answer; only administrators see them.
async fn without_secrets(response: Response, secrets: &SecretKeys) -> Response {
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|t| t.as_bytes().starts_with(b"application/json"));
    if !is_json {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return ApiError::http(StatusCode::INTERNAL_SERVER_ERROR).into_response();
    };
    let Ok(mut value) = serde_json::from_slice::<Value>(&bytes) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    mask(&mut value, secrets);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(value.to_string()))
}

fn mask(value: &mut Value, secrets: &SecretKeys) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(text) => *text = secrets.masked(key, text).into_owned(),
                    other => mask(other, secrets),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, secrets)),
        Value::String(text) => *text = without_passwords(text).into_owned(),
        _ => {}
    }
}

fn cors(origins: &str, methods: &str) -> Result<CorsLayer> {
    let bad = |what: &str| {
        Error::config(format!(
            "access.control.allow.{what} cannot be sent as a header"
        ))
    };
    let listed = |text: &str| {
        text.split(',')
            .map(|item| item.trim().to_owned())
            .filter(|s| !s.is_empty())
            .collect::<Vec<_>>()
    };
    let origin = match listed(origins) {
        any if any.iter().any(|o| o == "*") => AllowOrigin::any(),
        some => {
            let values: Result<Vec<_>, _> = some.iter().map(|o| HeaderValue::from_str(o)).collect();
            AllowOrigin::list(values.map_err(|_| bad("origin"))?)
        }
    };
    let methods = if methods.trim().is_empty() {
        "GET,POST,HEAD"
    } else {
        methods
    };
    let methods: Result<Vec<Method>, _> = listed(methods)
        .iter()
        .map(|m| Method::from_bytes(m.as_bytes()))
        .collect();
    let headers = [header::CONTENT_TYPE, header::ACCEPT, header::AUTHORIZATION];
    Ok(CorsLayer::new()
        .allow_origin(origin)
        .allow_methods(methods.map_err(|_| bad("methods"))?)
        .allow_headers(headers))
}

/// Parses `add|set NAME:VALUE`, separated by commas; an item that contains commas is enclosed in
/// double quotes. Source: KIP-577.
fn extra_headers(text: &str) -> Result<Vec<ExtraHeader>> {
    let bad = |item: &str| {
        Error::config(format!(
            "response.http.headers.config: {item} is not understood; write: add|set NAME:VALUE"
        ))
    };
    let mut extra = Vec::new();
    for item in items(text) {
        let (action, rest) = item.split_once(' ').ok_or_else(|| bad(&item))?;
        let (name, value) = rest.split_once(':').ok_or_else(|| bad(&item))?;
        let replace = match action.to_ascii_lowercase().as_str() {
            "set" => true,
            "add" => false,
            _ => return Err(bad(&item)),
        };
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad(&item))?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| bad(&item))?;
        extra.push(ExtraHeader {
            name,
            value,
            replace,
        });
    }
    Ok(extra)
}

fn items(text: &str) -> Vec<String> {
    let (mut items, mut item, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => items.push(std::mem::take(&mut item)),
            c => item.push(c),
        }
    }
    items.push(item);
    items
        .into_iter()
        .map(|item| item.trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode, header};
    use axum::routing::{get, put};
    use axum::{Json, Router};
    use serde_json::json;
    use tower::ServiceExt;

    use super::{Authenticator, OriginRules, RestAccess, Role, extra_headers};
    use crate::rest::auth::token_line;

    #[test]
    fn extra_headers_are_read_as_kafka_writes_them() {
        let extra = extra_headers("add Cache-Control: no-cache, \"set X-A: b, c\"").unwrap();
        let shown: Vec<_> = extra
            .iter()
            .map(|e| format!("{} {:?} {}", e.name, e.value, e.replace))
            .collect();
        assert_eq!(
            shown,
            ["cache-control \"no-cache\" false", "x-a \"b, c\" true"]
        );
        for bad in ["nonsense", "put a:b", "set a b", "set a\u{0}:b"] {
            extra_headers(bad).unwrap_err();
        }
    }

    #[tokio::test]
    async fn credentials_roles_and_secrets() {
        let path = std::env::temp_dir().join(format!("rowferry-access-{}", std::process::id()));
        let lines = [
            ("v", Role::Viewer),
            ("o", Role::Operator),
            ("a", Role::Admin),
        ];
        let lines: Vec<_> = lines
            .iter()
            .map(|(name, role)| token_line(name, *role, name).unwrap())
            .collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        let secret = async || Json(json!({"config": {"connection.password": "CANARY", "b": "2"}}));
        let router = Router::new()
            .route("/connectors/x", get(secret).delete(async || "gone"))
            .route("/connectors/x/pause", put(async || "paused"))
            .route("/health", get(async || "up"));
        let access = RestAccess::new(
            Some(Authenticator::open(&path).unwrap()),
            OriginRules::default(),
            "",
            "set X-F:1",
        )
        .unwrap();
        std::fs::remove_file(path).unwrap();
        let router = access.before(router);
        for (token, method, path, status) in [
            (None, "GET", "/health", StatusCode::OK),
            (None, "GET", "/connectors/x", StatusCode::UNAUTHORIZED),
            (Some("x"), "GET", "/connectors/x", StatusCode::UNAUTHORIZED),
            (Some("v"), "GET", "/connectors/x", StatusCode::OK),
            (
                Some("v"),
                "PUT",
                "/connectors/x/pause",
                StatusCode::FORBIDDEN,
            ),
            (Some("o"), "PUT", "/connectors/x/pause", StatusCode::OK),
            (Some("o"), "DELETE", "/connectors/x", StatusCode::FORBIDDEN),
            (Some("a"), "DELETE", "/connectors/x", StatusCode::OK),
            (Some("a"), "GET", "/connectors/x", StatusCode::OK),
        ] {
            let mut request = Request::builder()
                .method(method)
                .uri(path)
                .header(header::HOST, "w");
            if let Some(token) = token {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = router
                .clone()
                .oneshot(request.body(Body::empty()).unwrap())
                .await
                .unwrap();
            assert_eq!(response.status(), status, "{token:?} {method} {path}");
            assert_eq!(response.headers()["x-f"], "1");
            let body = axum::body::to_bytes(response.into_body(), usize::MAX)
                .await
                .unwrap();
            let shows = String::from_utf8_lossy(&body).contains("CANARY");
            assert_eq!(
                shows,
                token == Some("a") && method == "GET",
                "{token:?} {method} {path}"
            );
        }
    }
}
