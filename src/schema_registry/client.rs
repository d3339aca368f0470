//! Requests to the schema registry, with failover to the next address.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector_api::{Config, ConfigReport, Error, Result};

use super::KEYS;
use super::address::RegistryAddress;
use crate::http::{self, HttpClient, HttpRequest, HttpSettings, Method, StatusCode};

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
const ACCEPTED: &str = "application/vnd.schemaregistry.v1+json, application/json";
/// Maximum size of a response, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// Timeout for connecting; after it, an address counts as unreachable.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How much longer than all its requests together a look-up may take: it is over by then, unless the
/// process gets no time to run.
const SLACK: Duration = Duration::from_secs(5);

pub(super) struct RegistryClient {
    /// In the order in which they are tried. Shared with requests under way.
    servers: Arc<[RegistryServer]>,
    limit: Duration,
}

struct RegistryServer {
    /// The address without user and password.
    shown: String,
    client: HttpClient,
}

/// The parts of a request.
struct RegistryCall {
    method: Method,
    path: String,
    body: Option<String>,
}

impl RegistryClient {
    pub(super) fn open(config: &Config) -> Result<Self, ConfigReport> {
        let mut report = ConfigReport::default();
        let (urls, source, user, token, roots, limit) = config.read(KEYS, |keys| {
            (
                keys.list("schema.registry.url"),
                keys.text("basic.auth.credentials.source"),
                keys.text("basic.auth.user.info"),
                keys.text("bearer.auth.token"),
                keys.text("schema.registry.ssl.truststore.location"),
                keys.unsigned("schema.registry.request.timeout.ms"),
            )
        })?;
        let addresses: Result<Vec<_>, String> =
            urls.iter().map(|url| RegistryAddress::parse(url)).collect();
        let addresses = addresses.unwrap_or_else(|why| {
            report.error("schema.registry.url", wrong_url(&why));
            Vec::new()
        });
        if source == "USER_INFO" && !user.contains(':') {
            let text = "basic.auth.credentials.source is USER_INFO, but basic.auth.user.info is not user:password";
            report.error("basic.auth.user.info", text.to_owned());
        }
        let user = (source == "USER_INFO").then_some(user);
        let authorization = authorization(token, user, &addresses);
        let limit = Duration::from_millis(limit);
        let mut servers = Vec::with_capacity(addresses.len());
        for address in &addresses {
            let shown = address.shown();
            let client = HttpClient::open(&HttpSettings {
                address: &shown,
                authorization: authorization.as_deref(),
                authorities: (!roots.is_empty()).then(|| Path::new(&roots)),
                connect_limit: CONNECT_LIMIT,
                limit,
                max_answer: MAX_ANSWER,
            });
            match client {
                Ok(client) => servers.push(RegistryServer { shown, client }),
                Err(why) if address.https => {
                    report.error("schema.registry.ssl.truststore.location", why);
                }
                Err(why) => report.error("schema.registry.url", wrong_url(&why)),
            }
        }
        if !report.is_ok() {
            return Err(report);
        }
        Ok(Self {
            servers: servers.into(),
            limit,
        })
    }

    /// Returns the addresses for texts, without users and passwords.
    pub(super) fn shown(&self) -> String {
        let shown: Vec<_> = self.servers.iter().map(|server| &*server.shown).collect();
        shown.join(", ")
    }

    /// Sends a request to the first address that can be reached, and blocks this thread until the
    /// response is there.
    /// Errors: `Retry` when no address can be reached.
    pub(super) fn send(
        &self,
        method: Method,
        path: String,
        body: Option<String>,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let servers = Arc::clone(&self.servers);
        let call = RegistryCall { method, path, body };
        let tries = u32::try_from(servers.len()).unwrap_or(u32::MAX);
        let limit = self.limit.saturating_mul(tries).saturating_add(SLACK);
        http::wait_for(limit, async move { send_to_any(&servers, &call).await })?
    }
}

async fn send_to_any(
    servers: &[RegistryServer],
    call: &RegistryCall,
) -> Result<(StatusCode, Vec<u8>)> {
    let mut failed = Vec::new();
    for server in servers {
        let is_last = failed.len() + 1 == servers.len();
        let request = HttpRequest {
            method: &call.method,
            path: &call.path,
            accept: ACCEPTED,
            body: call
                .body
                .as_ref()
                .map(|body| (MEDIA_TYPE, body.clone().into_bytes())),
        };
        let why = match server.client.send(request).await {
            Ok((status, _)) if status.is_server_error() && !is_last => format!("HTTP {status}"),
            Ok(answer) => return Ok(answer),
            Err(why) => why.to_string(),
        };
        failed.push(format!("{}: {why}", server.shown));
    }
    Err(Error::retry(format!(
        "the schema registry cannot be reached: {}",
        failed.join("; ")
    )))
}

/// Value of the `Authorization` header: the token, or the user of its key, or that of a URL.
fn authorization(
    token: String,
    user: Option<String>,
    addresses: &[RegistryAddress],
) -> Option<String> {
    if !token.is_empty() {
        return Some(format!("Bearer {token}"));
    }
    let in_urls = || addresses.iter().find_map(|address| address.user.clone());
    let user = user.or_else(in_urls)?;
    Some(format!("Basic {}", STANDARD.encode(user)))
}

fn wrong_url(why: &str) -> String {
    format!("Invalid value for configuration schema.registry.url: {why}")
}

#[cfg(test)]
mod tests {
    use connector_api::Config;

    use super::{RegistryAddress, RegistryClient, authorization};

    #[test]
    fn credentials_come_from_the_url_or_from_their_key() {
        let addresses =
            ["http://a:b@x", "http://y"].map(|url| RegistryAddress::parse(url).unwrap());
        let given = |token: &str, user: Option<&str>| {
            authorization(token.to_owned(), user.map(str::to_owned), &addresses)
        };
        assert_eq!(given("", None).as_deref(), Some("Basic YTpi"));
        assert_eq!(given("", Some("c:d")).as_deref(), Some("Basic Yzpk"));
        assert_eq!(given("t", None).as_deref(), Some("Bearer t"));
    }

    #[test]
    fn settings_that_cannot_be_used_are_refused_without_secrets() {
        let refused = |pairs: &[(&str, &str)]| {
            let mut config = Config::from([
                ("schema.registry.url", "http://a:b@x,https://y"),
                ("converter.type", "key"),
            ]);
            for (key, value) in pairs {
                config.set(*key, *value);
            }
            let report = RegistryClient::open(&config).map(drop).unwrap_err();
            report.errors[0].message.clone()
        };
        let error = refused(&[
            ("basic.auth.credentials.source", "USER_INFO"),
            ("basic.auth.user.info", "secret"),
        ]);
        assert!(
            error.contains("not user:password") && !error.contains("secret"),
            "{error}"
        );
        let error = refused(&[("schema.registry.ssl.truststore.location", "/nowhere")]);
        assert!(error.contains("/nowhere cannot be used"), "{error}");
    }
}
