//! The one HTTP client: of the command line and of converters with a schema registry. Proxies come
//! from the environment, GET follows redirects, and time and size have limits. It knows nothing of
//! what is sent.

#[cfg(any(test, feature = "avro", feature = "json-schema", feature = "protobuf"))]
mod runtime;
mod tls;

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tokio_rustls::rustls;

pub(crate) use reqwest::{Method, StatusCode};
#[cfg(any(test, feature = "avro", feature = "json-schema", feature = "protobuf"))]
pub(crate) use runtime::wait_for;

/// Maximum number of redirects that one request follows.
const MAX_REDIRECTS: usize = 5;
/// How long a connection is kept for the next request: less than servers keep theirs, so that no
/// request is sent into one that is just being closed.
const KEPT_IDLE: Duration = Duration::from_secs(4);

/// How a server is reached.
pub(crate) struct HttpSettings<'a> {
    /// `http://HOST:PORT` or `https://HOST:PORT`, perhaps with the prefix of all paths; no user.
    pub(crate) address: &'a str,
    /// Value of the `Authorization` header. It is not sent on to where a redirect leads.
    pub(crate) authorization: Option<&'a str>,
    /// PEM file with the authorities that are trusted, in the place of the system's.
    pub(crate) authorities: Option<&'a Path>,
    /// Timeout for connecting, TLS handshake included.
    pub(crate) connect_limit: Duration,
    /// Timeout for a request as a whole.
    pub(crate) limit: Duration,
    /// Maximum size of a response, in bytes.
    pub(crate) max_answer: usize,
}

/// A client of one server. Used on one runtime, which keeps its connections.
pub(crate) struct HttpClient {
    address: String,
    authorization: Option<HeaderValue>,
    /// For GET: follows redirects.
    reading: Client,
    /// For all other methods, which are not repeated elsewhere.
    writing: Client,
    connect_limit: Duration,
    limit: Duration,
    max_answer: usize,
}

pub(crate) struct HttpRequest<'a> {
    pub(crate) method: &'a Method,
    /// Path and query, behind the client's address.
    pub(crate) path: &'a str,
    pub(crate) accept: &'static str,
    /// Body and its media type.
    pub(crate) body: Option<(&'static str, Vec<u8>)>,
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum HttpError {
    /// No response in time.
    Late(Duration),
    /// Anything else, in words for people.
    Other(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(limit) => write!(f, "no answer within {} ms", limit.as_millis()),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl HttpClient {
    /// Sends nothing yet.
    /// Errors: what is wrong with the address or the authorities.
    pub(crate) fn open(settings: &HttpSettings<'_>) -> Result<Self, String> {
        let url = Url::parse(settings.address).map_err(|error| error.to_string())?;
        let tls = if url.scheme() == "https" {
            tls::trusting(settings.authorities)?
        } else {
            tls::for_redirects()?
        };
        let client = |redirects: Policy| {
            let mut builder = Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(redirects)
                .referer(false)
                .connect_timeout(settings.connect_limit)
                .pool_idle_timeout(KEPT_IDLE);
            // As Go's clients do: nobody means a proxy to reach this machine itself.
            if is_loopback(&url) {
                builder = builder.no_proxy();
            }
            builder.build().map_err(cause)
        };
        let authorization = match settings.authorization.map(HeaderValue::from_str) {
            Some(Ok(mut value)) => {
                value.set_sensitive(true);
                Some(value)
            }
            Some(Err(_)) => return Err("the credentials have control characters".to_owned()),
            None => None,
        };
        Ok(Self {
            address: settings.address.to_owned(),
            authorization,
            reading: client(redirects())?,
            writing: client(Policy::none())?,
            connect_limit: settings.connect_limit,
            limit: settings.limit,
            max_answer: settings.max_answer,
        })
    }

    /// Sends a request and reads the whole response, whatever its status is.
    pub(crate) async fn send(
        &self,
        request: HttpRequest<'_>,
    ) -> Result<(StatusCode, Vec<u8>), HttpError> {
        tokio::time::timeout(self.limit, self.exchange(request))
            .await
            .unwrap_or(Err(HttpError::Late(self.limit)))
    }

    async fn exchange(&self, request: HttpRequest<'_>) -> Result<(StatusCode, Vec<u8>), HttpError> {
        let client = if request.method == Method::GET {
            &self.reading
        } else {
            &self.writing
        };
        let mut builder = client
            .request(
                request.method.clone(),
                format!("{}{}", self.address, request.path),
            )
            .header(ACCEPT, request.accept);
        if let Some(authorization) = &self.authorization {
            builder = builder.header(AUTHORIZATION, authorization.clone());
        }
        if let Some((media_type, body)) = request.body {
            builder = builder.header(CONTENT_TYPE, media_type).body(body);
        }
        let response = builder.send().await.map_err(|error| self.failed(error))?;
        let status = response.status();
        Ok((status, self.body(response).await?))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        let broken = |error| HttpError::Other(format!("the answer was cut off: {}", cause(error)));
        while let Some(part) = response.chunk().await.map_err(broken)? {
            if part.len() > self.max_answer - body.len() {
                return Err(HttpError::Other(format!(
                    "the answer is longer than {} bytes",
                    self.max_answer
                )));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    fn failed(&self, error: reqwest::Error) -> HttpError {
        if error.is_timeout() && error.is_connect() {
            let limit = self.connect_limit.as_secs();
            return HttpError::Other(format!("no connection within {limit} s"));
        }
        HttpError::Other(cause(error))
    }
}

/// Follows a few redirects, but none that leaves TLS. reqwest takes `Authorization` off the
/// request where a redirect leads to another scheme, host or port.
fn redirects() -> Policy {
    Policy::custom(|attempt| {
        let from = attempt.previous().last();
        if from.is_some_and(|from| from.scheme() == "https") && attempt.url().scheme() != "https" {
            attempt.error("it redirects from https to http")
        } else if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error(format!("it redirects more than {MAX_REDIRECTS} times"))
        } else {
            attempt.follow()
        }
    })
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The innermost cause, which is the one that helps; those around it name layers of the client,
/// and URLs.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut innermost: &(dyn std::error::Error + 'static) = &error;
    loop {
        // An I/O error's source is that of the error inside it: the inner one would be passed over.
        let inside = innermost
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .map(|inside| inside as &(dyn std::error::Error + 'static));
        match inside.or_else(|| innermost.source()) {
            Some(source) => innermost = source,
            None => break,
        }
    }
    match innermost.downcast_ref::<rustls::Error>() {
        Some(error) => format!("the TLS handshake failed: {error}"),
        None => innermost.to_string(),
    }
}

#[cfg(test)]
mod tests;
