//! TLS of the HTTP client: which authorities are trusted. rustls, with ring as everywhere here.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::settings::file;

/// Maximum size of a file of authorities, in bytes; those of systems have some hundred kilobytes.
const MAX_AUTHORITIES: u64 = 16 << 20;

/// The system's authorities, for servers reached over plain HTTP: they may redirect to https, and
/// most never do. Loaded once and shared.
static FOR_REDIRECTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| Arc::new(system().0));

/// TLS that trusts the authorities in a PEM file, or the system's (`SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name others).
/// Errors: what is wrong with them.
pub(super) fn trusting(authorities: Option<&Path>) -> Result<ClientConfig, String> {
    let roots = match authorities {
        Some(path) => from_file(path)?,
        None => match system() {
            (roots, why) if roots.is_empty() => {
                return Err(format!(
                    "the system has no authorities that could be trusted{why}: name some in a PEM file"
                ));
            }
            (roots, _) => roots,
        },
    };
    config(Arc::new(roots))
}

/// TLS for a server reached over plain HTTP, should it redirect to https.
pub(super) fn for_redirects() -> Result<ClientConfig, String> {
    config(Arc::clone(&FOR_REDIRECTS))
}

fn config(roots: Arc<RootCertStore>) -> Result<ClientConfig, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// The system's authorities, as many as can be used, and why others cannot.
fn system() -> (RootCertStore, String) {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let why = found.errors.first();
    (
        roots,
        why.map(|error| format!(" ({error})")).unwrap_or_default(),
    )
}

fn from_file(path: &Path) -> Result<RootCertStore, String> {
    let unusable = |why: &dyn std::fmt::Display| {
        format!(
            "the certificates in {} cannot be used: {why}; it must be a PEM file, Java's keystores are not read",
            path.display()
        )
    };
    if !path.is_file() {
        return Err(unusable(&"it is not a file"));
    }
    let text = file::bytes(path, MAX_AUTHORITIES).map_err(|error| unusable(&error))?;
    let mut roots = RootCertStore::empty();
    let mut refused = None;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        // Systems' own files hold some that rustls does not take.
        if let Err(error) = roots.add(certificate) {
            refused.get_or_insert(error);
        }
    }
    match refused {
        _ if !roots.is_empty() => Ok(roots),
        Some(error) => Err(unusable(&error)),
        None => Err(unusable(&"it contains none")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::trusting;

    #[test]
    fn files_without_certificates_are_refused_with_the_reason() {
        for (path, why) in [
            ("/nowhere/ca.pem", "it is not a file"),
            ("/dev/null", "it is not a file"),
            (
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
                "it contains none",
            ),
        ] {
            let error = trusting(Some(Path::new(path))).unwrap_err();
            assert!(error.contains(path) && error.contains(why), "{error}");
        }
    }
}
