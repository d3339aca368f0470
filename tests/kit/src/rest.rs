//! A client of the REST API: JSON in, status and JSON out.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::wait_until;

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// The body as JSON; `Null` when it is empty or no JSON.
    pub body: Value,
    /// The body as it came.
    pub text: String,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

impl Answer {
    /// This answer if it has that status; panics otherwise.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "answer: {}", self.text);
        self
    }

    /// `message` of an error body.
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

/// Trusts nobody: tests speak to a worker over plain HTTP. Without a provider, no client can be built.
fn tls() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

/// A client of one worker.
#[derive(Clone, Debug)]
pub struct Rest {
    base: String,
    client: reqwest::Client,
    token: Option<String>,
}

impl Rest {
    /// Of the worker at `base`, such as `http://127.0.0.1:8083`.
    pub fn new(base: &str) -> Self {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls())
            .timeout(Duration::from_secs(60))
            .no_proxy();
        // No connection is kept: a worker that was killed and started again would not answer on it.
        let client = client.pool_max_idle_per_host(0);
        Self {
            base: base.to_owned(),
            client: client.build().expect("HTTP client"),
            token: None,
        }
    }

    /// The same with a bearer token.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The worker's address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request; the body is sent unchanged. `Err` when there was no answer.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Result<Answer, String> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("HTTP method");
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some((content_type, body)) = body {
            request = request.header("Content-Type", content_type).body(body);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| format!("{error:?}"))?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get("Retry-After")
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let text = response
            .text()
            .await
            .map_err(|error| format!("{error:?}"))?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer {
            status,
            body,
            text,
            retry_after,
        })
    }

    /// Sends a request that must be answered.
    pub async fn send(&self, method: &str, path: &str, body: Option<(&str, String)>) -> Answer {
        let answer = self.try_send(method, path, body).await;
        answer.unwrap_or_else(|error| panic!("no answer to {method} {path}: {error}"))
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None).await
    }

    /// POST of a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(("application/json", body.to_string())))
            .await
    }

    /// PUT of a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, Some(("application/json", body.to_string())))
            .await
    }

    /// PUT without a body, such as pause and resume.
    pub async fn put_empty(&self, path: &str) -> Answer {
        self.send("PUT", path, None).await
    }

    /// Creates a connector, which must be accepted (201).
    pub async fn create(&self, name: &str, config: &Value) -> Answer {
        self.post("/connectors", &json!({"name": name, "config": config}))
            .await
            .expect(201)
    }

    /// Deletes a connector, which must exist.
    pub async fn remove(&self, name: &str) {
        self.delete(&format!("/connectors/{name}"))
            .await
            .expect(204);
    }

    /// Waits until a connector has at least one task and it and all its tasks are in that state; its status.
    pub async fn wait_state(&self, name: &str, state: &str, within: Duration) -> Value {
        let path = format!("/connectors/{name}/status");
        let mut last = String::new();
        let found = wait_until_or(within, async || {
            let Ok(answer) = self.try_send("GET", &path, None).await else {
                return None;
            };
            let tasks = answer.body["tasks"].as_array().cloned().unwrap_or_default();
            let as_wanted = !tasks.is_empty() && tasks.iter().all(|task| task["state"] == state);
            last = answer.text;
            as_wanted.then_some(answer.body)
        });
        let found = found.await;
        found.unwrap_or_else(|| panic!("tasks of {name} are not {state} within {within:?}: {last}"))
    }
}

/// [`wait_until`] with `None` instead of a panic.
async fn wait_until_or<T>(
    within: Duration,
    mut check: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let end = std::time::Instant::now() + within;
    let every = Duration::from_secs(3600);
    wait_until("", every, async || match check().await {
        Some(value) => Some(Some(value)),
        None if std::time::Instant::now() > end => Some(None),
        None => None,
    })
    .await
}
