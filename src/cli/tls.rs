//! TLS of the client: which authorities are trusted, and the name that the worker's certificate must have.

use std::path::Path;
use std::sync::Arc;

use connector_api::{Error, Result};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::settings::file;

/// Bytes of a file of authorities; those of systems have some hundred kilobytes.
const MAX_AUTHORITIES: u64 = 16 << 20;
/// Where systems keep the authorities that they trust, besides `SSL_CERT_FILE`.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// How one worker is reached over TLS.
pub struct ClientTls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl ClientTls {
    /// For the worker at `host:port`, trusting the authorities of a PEM file, or the system's.
    /// Errors: `Config` for a host that is none, or a file that cannot be used.
    pub fn open(authorities: Option<&Path>, authority: &str) -> Result<Self> {
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name = ServerName::try_from(host).map_err(|_| {
            Error::config(format!(
                "--server: {authority} is no name that a certificate can have"
            ))
        })?;
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::fatal("TLS cannot be set up").caused_by(error))?
            .with_root_certificates(trusted(authorities)?)
            .with_no_client_auth();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name,
        })
    }

    /// Errors: as rustls gives them, such as a certificate of an authority that is not trusted.
    pub async fn shake_hands(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

fn trusted(given: Option<&Path>) -> Result<RootCertStore> {
    let named = std::env::var_os("SSL_CERT_FILE");
    let system = || {
        named
            .as_deref()
            .map(Path::new)
            .into_iter()
            .chain(SYSTEM.map(Path::new))
            .find(|path| path.is_file())
    };
    let path = given.or_else(system);
    let path = path.ok_or_else(|| {
        Error::config("no authorities are known that could be trusted: --cacert names them")
    })?;
    let unusable = |why: &dyn std::fmt::Display| {
        Error::config(format!(
            "the certificates in {} cannot be used: {why}; it has to be a PEM file",
            path.display()
        ))
    };
    let text = file::bytes(path, MAX_AUTHORITIES).map_err(|error| unusable(&error))?;
    let read = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let mut roots = RootCertStore::empty();
    // Systems' files hold some that rustls does not take; one that is given has to be right.
    let (added, _) = roots.add_parsable_certificates(read.map_err(|error| unusable(&error))?);
    if added == 0 {
        Err(unusable(&"it holds none"))
    } else {
        Ok(roots)
    }
}
