//! HTTP and TLS for the schema registry: one connection per request, with failover to the next
//! address.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector_api::{Config, ConfigReport, Error, Result};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::KEYS;
use crate::settings::file;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// Maximum size of a response, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// Timeout for connecting; after it, an address counts as unreachable.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct RegistryClient {
    addresses: Vec<RegistryAddress>,
    tls: Option<TlsConnector>,
    authorization: Option<String>,
    limit: Duration,
}

struct RegistryAddress {
    https: bool,
    host: String,
    port: u16,
    /// Prefix of every request path.
    path: String,
    /// `user:password` from the URL.
    user: Option<String>,
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
            report.error(
                "schema.registry.url",
                format!("Invalid value for configuration schema.registry.url: {why}"),
            );
            Vec::new()
        });
        let user = if source == "USER_INFO" {
            if !user.contains(':') {
                let text = "basic.auth.credentials.source is USER_INFO, but basic.auth.user.info is not user:password";
                report.error("basic.auth.user.info", text.to_owned());
            }
            Some(user)
        } else {
            addresses.iter().find_map(|address| address.user.clone())
        };
        let authorization = match (token.is_empty(), user) {
            (false, _) => Some(format!("Bearer {token}")),
            (true, Some(user)) => Some(format!("Basic {}", STANDARD.encode(user))),
            (true, None) => None,
        };
        let tls = if addresses.iter().any(|address| address.https) {
            connector(&roots)
                .map_err(|why| report.error("schema.registry.ssl.truststore.location", why))
                .ok()
        } else {
            None
        };
        if !report.is_ok() {
            return Err(report);
        }
        Ok(Self {
            addresses,
            tls,
            authorization,
            limit: Duration::from_millis(limit),
        })
    }

    /// Returns the addresses for texts, without users and passwords.
    pub(super) fn shown(&self) -> String {
        let shown: Vec<_> = self.addresses.iter().map(RegistryAddress::shown).collect();
        shown.join(", ")
    }

    /// Sends a request to the first address that can be reached.
    /// Errors: `Retry` when none can.
    pub(super) fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<String>,
    ) -> Result<(StatusCode, Bytes)> {
        let body = Bytes::from(body.unwrap_or_default());
        // A separate thread: the caller may be on an async runtime's thread, where `block_on` would
        // panic.
        std::thread::scope(|scope| {
            let asking = std::thread::Builder::new()
                .name("registry".to_owned())
                .spawn_scoped(scope, || {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build();
                    let runtime = runtime.map_err(|error| {
                        Error::retry(format!("no runtime can be started: {error}"))
                    })?;
                    runtime.block_on(self.send_any(method, path, &body))
                });
            let asking = asking
                .map_err(|error| Error::retry(format!("no thread can be started: {error}")))?;
            asking
                .join()
                .unwrap_or_else(|_| Err(Error::fatal("asking the schema registry has failed")))
        })
    }

    async fn send_any(
        &self,
        method: &Method,
        path: &str,
        body: &Bytes,
    ) -> Result<(StatusCode, Bytes)> {
        let mut failed = Vec::new();
        for address in &self.addresses {
            let exchange = self.exchange(address, method, path, body);
            let why = match tokio::time::timeout(self.limit, exchange).await {
                Ok(Ok((status, _)))
                    if status.is_server_error() && self.addresses.len() > failed.len() + 1 =>
                {
                    format!("HTTP {status}")
                }
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {} ms", self.limit.as_millis()),
            };
            failed.push(format!("{}: {why}", address.shown()));
        }
        Err(Error::retry(format!(
            "the schema registry cannot be reached: {}",
            failed.join("; ")
        )))
    }

    async fn exchange(
        &self,
        address: &RegistryAddress,
        method: &Method,
        path: &str,
        body: &Bytes,
    ) -> Result<(StatusCode, Bytes), String> {
        let connecting = TcpStream::connect((address.host.as_str(), address.port));
        let stream = match tokio::time::timeout(CONNECT_LIMIT, connecting).await {
            Ok(connected) => connected.map_err(|error| error.to_string())?,
            Err(_) => {
                return Err(format!(
                    "no connection within {} s",
                    CONNECT_LIMIT.as_secs()
                ));
            }
        };
        let request = self.request(address, method, path, body)?;
        if !address.https {
            return converse(stream, request).await;
        }
        let tls = self.tls.as_ref().ok_or("TLS is not set up")?;
        let name = ServerName::try_from(address.host.clone()).map_err(|error| error.to_string())?;
        let stream = tls
            .connect(name, stream)
            .await
            .map_err(|error| format!("TLS: {error}"))?;
        converse(stream, request).await
    }

    fn request(
        &self,
        address: &RegistryAddress,
        method: &Method,
        path: &str,
        body: &Bytes,
    ) -> Result<Request<Full<Bytes>>, String> {
        let host = format!("{}:{}", address.bracketed(), address.port);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", address.path));
        request = request
            .header(HOST, host)
            .header(ACCEPT, format!("{MEDIA_TYPE}, application/json"));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, MEDIA_TYPE);
        }
        request
            .body(Full::new(body.clone()))
            .map_err(|error| error.to_string())
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), String> {
    let shown = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(shown)?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(shown)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await
        .map_err(|error| error.to_string())?;
    driver.abort();
    Ok((status, body.to_bytes()))
}

impl RegistryAddress {
    /// Parses `http(s)://[user:password@]host[:port][/path]`.
    /// Errors: what is wrong, without the password.
    fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or("an address begins with http:// or https://")?;
        let https = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err("an address begins with http:// or https://".to_owned()),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(decoded(user)), host),
            None => (None, authority),
        };
        if path.contains('@') {
            return Err(
                "an @ stands behind the host: write / and @ in user and password as %2F and %40"
                    .to_owned(),
            );
        }
        // Text that is not a port number may be part of a password: do not quote it.
        let port_of = |text: &str| {
            text.parse::<u16>()
                .map_err(|_| "its port is no number up to 65535".to_owned())
        };
        let (host, port) = match (host.strip_prefix('['), host.rsplit_once(':')) {
            (Some(rest), _) => {
                let (host, port) = rest.split_once(']').ok_or("a [ is not closed")?;
                (host, port.strip_prefix(':').map(port_of).transpose()?)
            }
            (None, Some((host, port))) => (host, Some(port_of(port)?)),
            (None, None) => (host, None),
        };
        if host.is_empty() {
            return Err("an address has no host".to_owned());
        }
        let port = port.unwrap_or(if https { 443 } else { 80 });
        Ok(Self {
            https,
            host: host.to_owned(),
            port,
            path: path.trim_end_matches('/').to_owned(),
            user,
        })
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }

    fn shown(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}:{}{}", self.bracketed(), self.port, self.path)
    }
}

/// Percent-decodes a text.
fn decoded(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after
            .get(..2)
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        (rest, _) = match hex {
            Some(decoded) if byte == b'%' => (&after[2..], out.push(decoded)),
            _ => (after, out.push(byte)),
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Creates a TLS connector that trusts the authorities in a PEM file, or those of the system.
/// Errors: what is wrong with them.
fn connector(roots: &str) -> Result<TlsConnector, String> {
    let mut store = RootCertStore::empty();
    if roots.is_empty() {
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
    } else {
        let unreadable = |why: String| {
            format!(
                "the certificates in {roots} cannot be used: {why}; it has to be a PEM file, Java's keystores are not read"
            )
        };
        let path = Path::new(roots);
        if !path.is_file() {
            return Err(unreadable("it is no file".to_owned()));
        }
        let text =
            file::bytes(path, file::MAX_BYTES).map_err(|error| unreadable(error.to_string()))?;
        let read = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        for certificate in read.map_err(|error| unreadable(error.to_string()))? {
            store
                .add(certificate)
                .map_err(|error| unreadable(error.to_string()))?;
        }
        if store.is_empty() {
            return Err(unreadable("it holds none".to_owned()));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use connector_api::Config;

    use super::{RegistryAddress, RegistryClient};

    #[test]
    fn addresses_are_read_and_shown_without_the_password() {
        for (url, want) in [
            ("http://registry:8081", Ok("http://registry:8081")),
            ("https://me:p%40ss@registry/", Ok("https://registry:443")),
            (
                "http://[::1]:80/apis/ccompat/v7",
                Ok("http://[::1]:80/apis/ccompat/v7"),
            ),
            (
                "registry:8081",
                Err("an address begins with http:// or https://"),
            ),
            ("http://x:y", Err("its port is no number up to 65535")),
            ("http://", Err("an address has no host")),
        ] {
            let address = RegistryAddress::parse(url);
            let shown = address
                .as_ref()
                .map(RegistryAddress::shown)
                .map_err(String::as_str);
            assert_eq!(shown, want.map(str::to_owned), "{url}");
        }
        assert_eq!(
            RegistryAddress::parse("https://me:p%40ss@registry/")
                .unwrap()
                .user
                .as_deref(),
            Some("me:p@ss")
        );
    }

    #[test]
    fn credentials_come_from_the_url_or_from_their_key() {
        let client = |pairs: &[(&str, &str)]| {
            let mut config = Config::from([
                ("schema.registry.url", "http://a:b@x,http://y"),
                ("converter.type", "key"),
            ]);
            pairs
                .iter()
                .for_each(|(key, value)| config.set(*key, *value));
            RegistryClient::open(&config).map(|client| client.authorization)
        };
        assert_eq!(client(&[]).unwrap().as_deref(), Some("Basic YTpi"));
        let source = ("basic.auth.credentials.source", "USER_INFO");
        assert_eq!(
            client(&[source, ("basic.auth.user.info", "c:d")])
                .unwrap()
                .as_deref(),
            Some("Basic Yzpk")
        );
        assert_eq!(
            client(&[("bearer.auth.token", "t")]).unwrap().as_deref(),
            Some("Bearer t")
        );
        let error = client(&[source, ("basic.auth.user.info", "secret")]).unwrap_err();
        assert!(!error.errors[0].message.contains("secret"));
    }
}
