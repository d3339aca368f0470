//! HTTPS: the worker's certificate, and the handshake of a connection.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use connector_api::locks::TakeSharedLock;
use connector_api::{Error, Result};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::settings::file;

/// A client that does not complete the handshake within this time is disconnected.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// The worker's certificate, as last read from its files. All clones share it.
#[derive(Clone)]
pub(crate) struct ServerTls {
    files: Arc<CertificateFiles>,
    acceptor: Arc<RwLock<TlsAcceptor>>,
}

/// The PEM files with certificate and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    /// The worker's certificate, followed by its intermediate certificates.
    pub certificates: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities of client certificates; if set, clients must present one.
    pub client_authorities: Option<PathBuf>,
}

impl ServerTls {
    /// Reads the files. Errors: `Config`, with the file's name.
    pub(crate) fn open(files: CertificateFiles) -> Result<Self> {
        let acceptor = Arc::new(RwLock::new(files.read()?));
        Ok(Self {
            files: Arc::new(files),
            acceptor,
        })
    }

    /// Reads the files again; existing connections continue. Errors: as [`ServerTls::open`], and
    /// the old certificate stays in use.
    pub(crate) fn reload(&self) -> Result<()> {
        let fresh = self.files.read()?;
        *self.acceptor.take_write() = fresh;
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.take_read().clone()
    }

    /// Performs the handshake; `None` if it does not complete in time.
    pub(super) async fn shake_hands(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Option<TlsStream<TcpStream>> {
        match tokio::time::timeout(HANDSHAKE_LIMIT, self.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        }
        None
    }
}

impl CertificateFiles {
    fn read(&self) -> Result<TlsAcceptor> {
        let chain = certificates(&self.certificates)?;
        let key = file::bytes(&self.key, file::MAX_BYTES)
            .map_err(|e| unreadable("private key", &self.key, e))?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|e| unreadable("private key", &self.key, e))?;
        let provider = Arc::new(default_provider());
        let verifier = match &self.client_authorities {
            None => Arc::new(NoClientAuth) as _,
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots
                        .add(certificate)
                        .map_err(|e| unreadable("certificate", path, e))?;
                }
                let built = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::clone(&provider),
                )
                .build();
                built.map_err(|e| unreadable("certificate", path, e))?
            }
        };
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| unreadable("certificate", &self.certificates, e))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|e| unreadable("certificate", &self.certificates, e))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Reads the certificates of a PEM file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = file::bytes(path, file::MAX_BYTES)
        .map_err(|error| unreadable("certificate", path, error))?;
    match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
        Ok(found) if found.is_empty() => Err(unreadable("certificate", path, "it contains none")),
        Ok(found) => Ok(found),
        Err(error) => Err(unreadable("certificate", path, error)),
    }
}

fn unreadable(what: &str, path: &Path, why: impl std::fmt::Display) -> Error {
    let shown = path.display();
    Error::config(format!(
        "the {what} in {shown} cannot be used: {why}; it must be a PEM file, Java's keystores are \
         not supported"
    ))
}
