//! A small HTTP client for a worker's REST API: one connection per request, JSON both ways.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector_api::shown::on_one_line;
use connector_api::{Error, ErrorKind, Result};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::tls::ClientTls;
use crate::model::{ErrorBody, Health};

/// Kafka Connect gives its own calls 90 s; a worker that says nothing for longer is taken for hung.
const TIME_LIMIT: Duration = Duration::from_secs(100);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const MAX_ANSWER: usize = 256 << 20;

/// How a worker is reached.
#[derive(clap::Args, Debug)]
pub struct WorkerAddress {
    /// Address of the worker
    #[arg(
        long,
        env = "ROWFERRY_SERVER",
        default_value = "http://127.0.0.1:8083",
        value_name = "URL",
        global = true
    )]
    server: String,
    /// PEM file with the authorities whose certificates an https worker may show; the system's otherwise
    #[arg(long, env = "ROWFERRY_CACERT", value_name = "FILE", global = true)]
    cacert: Option<PathBuf>,
    /// Bearer token, where the worker asks for one
    #[arg(
        long,
        env = "ROWFERRY_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        global = true
    )]
    token: Option<String>,
    /// User and password, where the worker asks for them
    #[arg(
        long,
        env = "ROWFERRY_USER",
        value_name = "USER:PASSWORD",
        hide_env_values = true,
        global = true
    )]
    user: Option<String>,
}

/// A worker.
pub struct RestClient {
    /// `host:port`.
    authority: String,
    authorization: Option<String>,
    /// For https.
    tls: Option<ClientTls>,
}

/// What the worker answered: below 400, or an error that says what.
pub struct RestAnswer(Bytes);

impl RestAnswer {
    /// The body. Errors: `Fatal` when it is not what Kafka Connect would send.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let bad = |error: serde_json::Error| {
            Error::fatal("the answer is not Kafka Connect's: is it a worker?").caused_by(error)
        };
        serde_json::from_slice(&self.0).map_err(bad)
    }
}

impl WorkerAddress {
    /// Errors: `Config` for an address that is none.
    pub fn client(&self) -> Result<RestClient> {
        let address = self.server.as_str();
        let bad = |why: &str| {
            Error::config(format!(
                "--server {address} {why}: write http://HOST:PORT or https://HOST:PORT"
            ))
        };
        let (secure, authority) = match address.split_once("://") {
            Some(("http", authority)) => (false, authority),
            Some(("https", authority)) => (true, authority),
            Some(_) => return Err(bad("is not reached over http")),
            None => (false, address),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.is_empty() || authority.contains('/') {
            return Err(bad("is no address of a worker"));
        }
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port {
            authority.to_owned()
        } else {
            format!("{authority}:8083")
        };
        let authorization = match (&self.token, &self.user) {
            (Some(token), _) => Some(format!("Bearer {token}")),
            (None, Some(user)) => Some(format!("Basic {}", STANDARD.encode(user))),
            (None, None) => None,
        };
        let tls = if secure {
            Some(ClientTls::open(self.cacert.as_deref(), &authority)?)
        } else {
            None
        };
        Ok(RestClient {
            authority,
            authorization,
            tls,
        })
    }
}

impl RestClient {
    /// Sends a request.
    /// Errors: `Retry` when the worker is out of reach, `Denied` for 401 and 403, `Record` for any other refusal.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<RestAnswer> {
        let (status, bytes) = self.ask(method, path, body).await?;
        accepted(status, bytes)
    }

    /// `GET` of something that may not be there (404). Errors: as [`Client::send`].
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        match self.ask(Method::GET, path, None).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, bytes) => accepted(status, bytes)?.json().map(Some),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes)> {
        let exchange = tokio::time::timeout(TIME_LIMIT, self.exchange(method, path, body));
        exchange.await.map_err(|_| {
            Error::retry(format!(
                "the worker at {} has not answered within {} s",
                self.authority,
                TIME_LIMIT.as_secs()
            ))
        })?
    }

    /// `GET` of something.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.send(Method::GET, path, None).await?.json()
    }

    /// The worker's health, good or bad. Errors: `Retry` when the worker does not tell it soon, `Fatal` when that is
    /// something else.
    pub async fn health(&self, within: Duration) -> Result<Health> {
        let asked = tokio::time::timeout(within, self.exchange(Method::GET, "/health", None)).await;
        let late = || {
            Error::retry(format!(
                "the worker at {} has not told its health in time",
                self.authority
            ))
        };
        let (_, bytes) = asked.map_err(|_| late())??;
        RestAnswer(bytes).json()
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes)> {
        let out_of_reach = |why: String| {
            let why = on_one_line(&why);
            let text = format!(
                "the worker at {} cannot be reached: {why}; is it running? --server names another",
                self.authority
            );
            Error::retry(text)
        };
        let connecting =
            tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(&self.authority)).await;
        let stream = match connecting {
            Ok(connected) => connected.map_err(|error| out_of_reach(error.to_string()))?,
            Err(_) => {
                return Err(out_of_reach(format!(
                    "no connection within {} s",
                    CONNECT_LIMIT.as_secs()
                )));
            }
        };
        let request = self.request(method, path, body)?;
        let done = match &self.tls {
            None => over(stream, request).await,
            Some(tls) => match tls.shake_hands(stream).await {
                Ok(stream) => over(stream, request).await,
                Err(error) => {
                    return Err(out_of_reach(format!(
                        "the TLS handshake has failed: {error}"
                    )));
                }
            },
        };
        done.map_err(|error| out_of_reach(error.to_string()))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(method).uri(path);
        request = request
            .header(HOST, &self.authority)
            .header(ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let bytes = body
            .map(|body| Bytes::from(body.to_string()))
            .unwrap_or_default();
        request
            .body(Full::new(bytes))
            .map_err(|error| Error::config(format!("{path} cannot be asked for: {error}")))
    }
}

/// An answer below 400, or why there is none.
fn accepted(status: StatusCode, bytes: Bytes) -> Result<RestAnswer> {
    if status.is_success() {
        return Ok(RestAnswer(bytes));
    }
    let said = serde_json::from_slice::<ErrorBody>(&bytes).map(|body| body.message);
    let message = said.unwrap_or_else(|_| format!("the worker answered {status}"));
    // words of whoever answers: they make no lines of their own
    let message = on_one_line(&message).into_owned();
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Denied,
        _ => ErrorKind::Record,
    };
    Err(Error::new(kind, message))
}

/// Sends a request over a connection and reads the answer.
async fn over<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    driver.abort();
    Ok((
        status,
        body.map_err(|error| {
            format!("its answer broke off, or is longer than {MAX_ANSWER} bytes: {error}")
        })?
        .to_bytes(),
    ))
}

#[cfg(test)]
mod tests {
    use super::WorkerAddress;

    fn authority(server: &str) -> Option<String> {
        let server = WorkerAddress {
            server: server.to_owned(),
            cacert: None,
            token: None,
            user: None,
        };
        server.client().ok().map(|client| client.authority)
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (given, want) in [
            ("http://127.0.0.1:8083", Some("127.0.0.1:8083")),
            ("http://connect:80/", Some("connect:80")),
            ("connect", Some("connect:8083")),
            ("[::1]:8083", Some("[::1]:8083")),
            ("ftp://x", None),
            ("http://", None),
            ("http://host/path", None),
        ] {
            assert_eq!(authority(given).as_deref(), want, "{given}");
        }
    }
}
