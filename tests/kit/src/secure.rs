//! The broker's listeners with SASL and TLS: who may come in, and by what.
//!
//! OAUTHBEARER takes Kafka's unsigned tokens, so that a test can be the tokens' issuer.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Addresses and credentials.
pub struct Secure {
    sasl: u16,
    tls: u16,
    certificate: PathBuf,
}

impl Secure {
    /// The user that PLAIN and SCRAM know.
    pub const USER: &'static str = "ann";
    /// Her password.
    pub const PASSWORD: &'static str = "s3cret word";

    /// Makes key and certificate in `folder`.
    pub(crate) fn new(folder: &Path, sasl: u16, tls: u16) -> Self {
        certificate(folder);
        let read = |name: &str| {
            std::fs::read_to_string(folder.join(name)).expect("read key and certificate")
        };
        std::fs::write(
            folder.join("server.pem"),
            read("key.pem") + &read("cert.pem"),
        )
        .expect("write server.pem");
        Self {
            sasl,
            tls,
            certificate: folder.join("cert.pem"),
        }
    }

    /// Address of the listener with SASL and no TLS: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER.
    pub fn sasl(&self) -> String {
        format!("127.0.0.1:{}", self.sasl)
    }

    /// Address of the listener with TLS.
    pub fn tls(&self) -> String {
        format!("127.0.0.1:{}", self.tls)
    }

    /// The certificate (PEM) that a client of [`Secure::tls`] has to trust.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Arguments of the storage tool that make the users of SCRAM.
    pub(crate) fn scram_users() -> [String; 2] {
        ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|mechanism| {
            format!(
                "{mechanism}=[name={},password={}]",
                Self::USER,
                Self::PASSWORD
            )
        })
    }
}

/// The broker's settings of both listeners.
pub(crate) fn properties(folder: &Path) -> String {
    let (user, password) = (Secure::USER, Secure::PASSWORD);
    let modules = "org.apache.kafka.common.security";
    format!(
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required user_{user}=\"{password}\";
listener.name.sasl.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.sasl.oauthbearer.sasl.jaas.config={modules}.oauthbearer.OAuthBearerLoginModule required;
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.location={folder}/server.pem
",
        folder = folder.display()
    )
}

/// Makes `key.pem` and `cert.pem` in that folder: a certificate for localhost and 127.0.0.1 that signs itself.
pub fn certificate(folder: &Path) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args([
            "-addext",
            "subjectAltName=IP:127.0.0.1,DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ])
        .current_dir(folder)
        .output()
        .expect("run openssl: scripts/setup installs it");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}
