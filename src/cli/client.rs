//! A client of a worker's REST API: JSON both ways.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector_api::shown::on_one_line;
use connector_api::{Error, ErrorKind, Result};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::bar::Bar;
use super::context::{self, WorkerContext};
use super::shell::context_names;
use crate::http::{HttpClient, HttpError, HttpRequest, HttpSettings, Method, StatusCode};
use crate::model::{ErrorBody, Health};

/// Kafka Connect's own calls have 90 s; a worker that does not answer for longer is considered
/// hung.
const TIME_LIMIT: Duration = Duration::from_secs(100);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Address of a worker with default settings on this machine.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8083";
const JSON: &str = "application/json";
/// Maximum size of an answer, in bytes.
const MAX_ANSWER: usize = 256 << 20;

/// Address and credentials of a worker.
#[derive(clap::Args, Debug)]
pub(super) struct WorkerAddress {
    /// Address of the worker; default: that of the context, or http://127.0.0.1:8083
    #[arg(long, env = "ROWFERRY_SERVER", value_name = "URL", global = true)]
    server: Option<String>,
    /// Context to use instead of the current one (rowferry config)
    #[arg(long, env = "ROWFERRY_CONTEXT", value_name = "NAME", global = true, add = context_names())]
    context: Option<String>,
    /// PEM file with the authorities for the certificate of an https worker; default: the system's
    #[arg(long, env = "ROWFERRY_CACERT", value_name = "FILE", global = true)]
    cacert: Option<PathBuf>,
    /// Bearer token, if the worker requires one
    #[arg(
        long,
        env = "ROWFERRY_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        global = true
    )]
    token: Option<String>,
    /// User and password, if the worker requires them
    #[arg(
        long,
        env = "ROWFERRY_USER",
        value_name = "USER:PASSWORD",
        hide_env_values = true,
        global = true
    )]
    user: Option<String>,
}

/// A client of one worker.
pub(super) struct RestClient {
    /// `http` or `https`.
    scheme: &'static str,
    /// `host:port`.
    authority: String,
    http: HttpClient,
}

/// An answer with a status below 400.
pub(super) struct RestAnswer(Vec<u8>);

impl RestAnswer {
    /// Returns the body. Errors: `Fatal` if it is not what Kafka Connect would send.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let bad = |error: serde_json::Error| {
            Error::fatal("the answer does not come from Kafka Connect's API: is this a worker?")
                .caused_by(error)
        };
        serde_json::from_slice(&self.0).map_err(bad)
    }
}

impl WorkerAddress {
    /// Returns what the words of a command line say, read without the rest of the command.
    pub(super) fn of_words(words: &[String]) -> Self {
        let given = |option: &str, variable: &str| {
            let with_equals = format!("{option}=");
            let mut found = None;
            for (at, word) in words.iter().enumerate() {
                if word == option {
                    found = words.get(at + 1).cloned();
                } else if let Some(value) = word.strip_prefix(&with_equals) {
                    found = Some(value.to_owned());
                }
            }
            found.or_else(|| std::env::var(variable).ok())
        };
        Self {
            server: given("--server", "ROWFERRY_SERVER"),
            context: given("--context", "ROWFERRY_CONTEXT"),
            cacert: given("--cacert", "ROWFERRY_CACERT").map(PathBuf::from),
            token: given("--token", "ROWFERRY_TOKEN"),
            user: given("--user", "ROWFERRY_USER"),
        }
    }

    /// Returns the header with the credentials: those of the command line, or of the context.
    fn authorization(&self, context: &WorkerContext) -> Option<String> {
        let of_context = (context.username.as_ref()).map(|name| {
            let password = context.password.as_deref().unwrap_or_default();
            format!("{name}:{password}")
        });
        let basic = |user: &String| format!("Basic {}", STANDARD.encode(user));
        let bearer = |token: &String| format!("Bearer {token}");
        match (&self.token, &self.user) {
            (Some(token), _) => Some(bearer(token)),
            (None, Some(user)) => Some(basic(user)),
            (None, None) => {
                let token = context.token.as_ref().map(bearer);
                token.or(of_context.as_ref().map(basic))
            }
        }
    }

    /// Errors: `Config` for an invalid address or an unknown context.
    pub(super) fn client(&self) -> Result<RestClient> {
        // An address on the command line needs no context, unless one is named.
        let context = match (&self.server, &self.context) {
            (Some(_), None) => None,
            (_, name) => context::of_command(name.as_deref())?,
        };
        let context = context.unwrap_or_default();
        let address = self.server.as_deref().or(context.cluster.as_deref());
        let address = address.unwrap_or(DEFAULT_SERVER);
        let bad = |why: &str| {
            Error::config(format!(
                "--server {address} {why}: write http://HOST:PORT or https://HOST:PORT"
            ))
        };
        let (secure, authority) = match address.split_once("://") {
            Some(("http", authority)) => (false, authority),
            Some(("https", authority)) => (true, authority),
            Some(_) => return Err(bad("does not use http")),
            None => (false, address),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.is_empty() || authority.contains('/') {
            return Err(bad("is not the address of a worker"));
        }
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port {
            authority.to_owned()
        } else {
            format!("{authority}:8083")
        };
        let authorization = self.authorization(&context);
        let scheme = if secure { "https" } else { "http" };
        let http = HttpClient::open(&HttpSettings {
            address: &format!("{scheme}://{authority}"),
            authorization: authorization.as_deref(),
            authorities: self.cacert.as_deref().or(context.cacert.as_deref()),
            connect_limit: CONNECT_LIMIT,
            limit: TIME_LIMIT,
            max_answer: MAX_ANSWER,
        })
        .map_err(|why| {
            Error::config(format!(
                "--server {address} with --cacert cannot be used: {why}"
            ))
        })?;
        Ok(RestClient {
            scheme,
            authority,
            http,
        })
    }
}

impl RestClient {
    /// Sends a request.
    /// Errors: `Retry` if the worker is unreachable, `Denied` for 401 and 403, `Record` for any
    /// other refusal.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<RestAnswer> {
        let (status, bytes) = self.ask(method, path, body).await?;
        match (accepted(status, bytes), connector_of(path)) {
            (Err(error), Some(name)) if status == StatusCode::NOT_FOUND => {
                Err(self.near(&name, error).await)
            }
            (done, _) => done,
        }
    }

    /// Adds to the error about an unknown connector the names that exist, or the one that is meant.
    async fn near(&self, name: &str, error: Error) -> Error {
        let asked = self.ask(Method::GET, "/connectors", None).await;
        let all = asked.and_then(|(status, bytes)| accepted(status, bytes)?.json::<Vec<String>>());
        let Ok(all) = all else { return error };
        if all.iter().any(|known| known == name) {
            return error;
        }
        let distance = |known: &String| strsim::damerau_levenshtein(known, name);
        match all.iter().min_by_key(|known| distance(known)) {
            None => error.and_line("There are no connectors."),
            Some(known) if distance(known) <= 2 => {
                error.and_line(&format!("Did you mean {}?", on_one_line(known)))
            }
            Some(_) => {
                let shown: Vec<_> = all.iter().take(20).map(|it| on_one_line(it)).collect();
                let more = if all.len() > shown.len() { ", …" } else { "" };
                error.and_line(&format!("There are: {}{more}", shown.join(", ")))
            }
        }
    }

    /// Gets something that may not exist (404). Errors: as [`Client::send`].
    pub(super) async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        match self.ask(Method::GET, path, None).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, bytes) => accepted(status, bytes)?.json().map(Some),
        }
    }

    /// Returns the worker's address.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let request = HttpRequest {
            method: &method,
            path,
            accept: JSON,
            body: body.map(|body| (JSON, body.to_string().into_bytes())),
        };
        let _waits = Bar::open(format!("waiting for {}", self.url()));
        let asked = self.http.send(request).await;
        asked.map_err(|error| match error {
            HttpError::Late(limit) => Error::retry(format!(
                "the worker at {} did not answer within {} s",
                self.authority,
                limit.as_secs()
            )),
            HttpError::Other(why) => Error::retry(format!(
                "the worker at {} cannot be reached: {}; is it running? --server names another",
                self.authority,
                on_one_line(&why)
            )),
        })
    }

    /// Gets something that must exist.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.send(Method::GET, path, None).await?.json()
    }

    /// Returns the worker's health, good or bad. Errors: `Retry` if the worker does not report it
    /// in time, `Fatal` if the answer is not a health report.
    pub(super) async fn health(&self, within: Duration) -> Result<Health> {
        let asked = tokio::time::timeout(within, self.ask(Method::GET, "/health", None)).await;
        let late = || {
            Error::retry(format!(
                "the worker at {} did not report its health in time",
                self.authority
            ))
        };
        let (_, bytes) = asked.map_err(|_| late())??;
        RestAnswer(bytes).json()
    }
}

/// Returns the name of the connector that a path is about.
fn connector_of(path: &str) -> Option<String> {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    let name = path.strip_prefix("/connectors/")?;
    let name = name.split(['/', '?']).next()?;
    Some(percent_decode_str(name).decode_utf8_lossy().into_owned())
}

/// Returns an answer below 400, or the error.
fn accepted(status: StatusCode, bytes: Vec<u8>) -> Result<RestAnswer> {
    if status.is_success() {
        return Ok(RestAnswer(bytes));
    }
    let said = serde_json::from_slice::<ErrorBody>(&bytes).map(|body| body.message);
    let message = said.unwrap_or_else(|_| match status.is_redirection() {
        true => format!("the worker answered {status}: --server has to name where that leads"),
        false => format!("the worker answered {status}"),
    });
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Denied,
        _ => ErrorKind::Record,
    };
    // the text comes from outside: it is printed with all lines after the first indented
    Err(Error::of_lines(kind, message.lines().map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::{WorkerAddress, connector_of};

    fn authority(server: &str) -> Option<String> {
        let server = WorkerAddress {
            server: Some(server.to_owned()),
            context: None,
            cacert: None,
            token: None,
            user: None,
        };
        server.client().ok().map(|client| client.authority)
    }

    #[test]
    fn a_path_names_its_connector() {
        let of = |path: &str| connector_of(path).unwrap_or_default();
        assert_eq!(of("/connectors/a%20b/status"), "a b");
        assert_eq!(of("/v1/connectors/x/dlq?from=begin"), "x");
        assert_eq!(of("/connector-plugins/x/config"), "");
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
