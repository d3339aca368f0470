//! The TLS options of a URL's parameters, in the spellings of every driver: MySQL Connector/J,
//! MariaDB Connector/J, pgJDBC, libpq and MySQL's clients. Pure.
//!
//! Names are compared without letter case, `-` and `_`. Every option is either applied or refused,
//! never silently ignored: if several parameters set the mode, the strongest counts, and a
//! contradiction or an unsupported option is an error that says what to write instead.
//! docs/databases.md has the table.

use connector_api::{Error, Result};

use super::UrlScheme;
use super::params::{not_true_or_false, truth};

/// How a connection is secured. Later modes are stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsMode {
    /// Not encrypted.
    Off,
    /// Encrypted if the server offers it, otherwise not.
    IfOffered,
    /// Encrypted, without verifying the server.
    Encrypted,
    /// The server's certificate must be signed by a trusted authority.
    VerifyCa,
    /// The certificate must also match the host's name.
    VerifyFull,
}

/// The options asked for. Files are PEM files, or PEM text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    pub mode: TlsMode,
    /// The authorities to trust instead of the system's.
    pub authority: Option<String>,
    pub certificate: Option<String>,
    pub key: Option<String>,
    /// The key with which MySQL's logins without TLS encrypt the password.
    pub server_key: ServerKey,
}

/// A server's RSA key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerKey {
    /// None: an impostor could have the password encrypted with a key of its own.
    Refused,
    /// The key that the server sends.
    Sent,
    /// The key in this PEM file.
    File(String),
}

/// A parameter's name, and what to write instead; refused whenever TLS is used.
type RefusedName = (&'static str, &'static str);

const TRUST_STORE: &str = "Java key stores are not supported: write the authority's certificate as PEM (keytool \
     -exportcert -rfc -keystore STORE -alias NAME -file ca.pem; for PKCS12: openssl pkcs12 -in \
     STORE -nokeys -out ca.pem) and name it with serverSslCert=ca.pem (sslrootcert for PostgreSQL)";
const KEY_STORE: &str = "Java key stores are not supported: write certificate and key as PEM (for JKS first keytool \
     -importkeystore -srckeystore STORE -destkeystore STORE.p12 -deststoretype pkcs12; then \
     openssl pkcs12 -in STORE.p12 -nokeys -out cert.pem and openssl pkcs12 -in STORE.p12 -nocerts \
     -nodes -out key.pem) and name them with sslCert=cert.pem and sslKey=key.pem";
const PLAIN_KEY: &str = "encrypted keys are not supported: decrypt the key with openssl pkey -in KEY -out key.pem, and \
     name it with sslKey=key.pem";
const NO_REVOCATION: &str =
    "revoked certificates are not detected here; remove it if that suffices";
const NO_CODE: &str = "Java classes are not supported; remove it, and use sslmode and sslrootcert to choose what is \
     verified";

const REFUSED: &[RefusedName] = &[
    ("trustcertificatekeystoreurl", TRUST_STORE),
    ("truststore", TRUST_STORE),
    ("ssltruststore", TRUST_STORE),
    ("clientcertificatekeystoreurl", KEY_STORE),
    ("keystore", KEY_STORE),
    ("sslkeystore", KEY_STORE),
    ("sslpassword", PLAIN_KEY),
    ("sslpasswordcallback", PLAIN_KEY),
    ("keypassword", PLAIN_KEY),
    ("sslcrl", NO_REVOCATION),
    ("sslcrldir", NO_REVOCATION),
    ("sslhostnameverifier", NO_CODE),
    ("enabledsslciphersuites", CIPHERS),
    ("sslciphersuites", CIPHERS),
    ("sslcipher", CIPHERS),
    ("sslciphers", CIPHERS),
    ("sslcrlfile", NO_REVOCATION),
    (
        "sslcapath",
        "folders of authorities are not supported; name one PEM file with all authorities in sslCa",
    ),
    (
        "requirepeer",
        "local sockets are not supported; remove it, and use sslmode=verify-full",
    ),
];

/// Other names that are accepted here or change nothing: passwords and types of key stores, whose
/// files are refused, and timeouts.
const KNOWN: &[&str] = &[
    "allowpublickeyretrieval",
    "channelbinding",
    "clientcertificatekeystorepassword",
    "clientcertificatekeystoretype",
    "disablesslhostnameverification",
    "enabledsslprotocolsuites",
    "enabledtlsprotocols",
    "fallbacktosystemkeystore",
    "fallbacktosystemtruststore",
    "gssencmode",
    "keystorepassword",
    "keystoretype",
    "requireauth",
    "requiressl",
    "restrictedauth",
    "serverpublickey",
    "serverrsapublickeyfile",
    "ssl",
    "sslcertmode",
    "sslcompression",
    "sslfactory",
    "sslmaxprotocolversion",
    "sslminprotocolversion",
    "sslmode",
    "sslnegotiation",
    "sslresponsetimeout",
    "sslsni",
    "tlsversion",
    "tlsversions",
    "trustcertificatekeystorepassword",
    "trustcertificatekeystoretype",
    "trustservercertificate",
    "truststorepassword",
    "truststoretype",
    "usessl",
    "verifyservercertificate",
];

const CIPHERS: &str = "cipher suites cannot be chosen here (those of TLS 1.2 and 1.3 without known weaknesses are \
     used); remove it";

/// Settings with one value that is not supported; the others leave the choice to the client.
const CHOICES: [(&str, &str, &[&str]); 3] = [
    ("channelbinding", "require", &["", "disable", "prefer"]),
    ("gssencmode", "require", &["", "disable", "allow", "prefer"]),
    ("sslnegotiation", "direct", &["", "postgres"]),
];

/// Names of the same file in the drivers and the clients.
const AUTHORITY: &[&str] = &["serversslcert", "sslrootcert", "sslca", "sslrootca"];
const CERTIFICATE: &[&str] = &["sslcert", "sslclientcert", "clientsslcert"];
const KEY: &[&str] = &["sslkey", "sslclientkey", "clientsslkey"];
const SERVER_KEY: &[&str] = &[
    "serverrsapublickeyfile",
    "serverpublickeypath",
    "serverpublickey",
];

impl TlsOptions {
    /// Reads the options from the parameters of a URL of that scheme.
    /// Errors: `Config`.
    pub(super) fn read(scheme: UrlScheme, params: &[(String, String)]) -> Result<Self> {
        let asked = RequestedTls { scheme, params };
        asked.refuse_unknown()?;
        let (word, trusts, server_key) = (asked.word()?, asked.trusts()?, asked.server_key()?);
        let (authority, certificate, key) = (
            asked.file(AUTHORITY)?,
            asked.file(CERTIFICATE)?,
            asked.file(KEY)?,
        );
        let mut mode = asked.mode(word)?;
        let chosen = word.is_some() || asked.on()?.is_some();
        if mode == TlsMode::Encrypted || !chosen {
            // an authority implies that the server is verified, a client certificate that TLS is
            // used
            let least = match (
                authority.is_some() && !trusts && word != Some(SslModeWord::Trust),
                certificate.is_some(),
            ) {
                (true, _) => TlsMode::VerifyCa,
                (false, true) => TlsMode::Encrypted,
                (false, false) => mode,
            };
            mode = mode.max(least);
        }
        if mode == TlsMode::Off {
            asked.check_unencrypted()?;
            return Ok(Self {
                mode,
                authority: None,
                certificate: None,
                key: None,
                server_key,
            });
        }
        asked.refuse()?;
        if certificate.is_some() != key.is_some() {
            return Err(bad(
                "a client certificate and its key must be set together: sslCert and sslKey",
            ));
        }
        // libpq's word for the system's authorities
        let authority = authority.filter(|file| file != "system");
        Ok(Self {
            mode,
            authority,
            certificate,
            key,
            server_key,
        })
    }
}

/// A value of `sslMode` or `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SslModeWord {
    Mode(TlsMode),
    /// MariaDB's: encrypted, and nothing is verified even if an authority is named.
    Trust,
}

impl SslModeWord {
    fn mode(self) -> TlsMode {
        match self {
            Self::Mode(mode) => mode,
            Self::Trust => TlsMode::Encrypted,
        }
    }
}

struct RequestedTls<'a> {
    scheme: UrlScheme,
    params: &'a [(String, String)],
}

impl<'a> RequestedTls<'a> {
    /// Returns the value of a parameter by its plain name.
    /// Errors: `Config` if it is given twice with different values.
    fn get(&self, name: &str) -> Result<Option<&'a str>> {
        given(self.params, name)
    }

    /// Refuses unknown parameters about TLS, because nobody would notice that they are ignored.
    fn refuse_unknown(&self) -> Result<()> {
        let idle = |value: &str| {
            ["", "false", "no", "off", "0"].contains(&value.trim().to_ascii_lowercase().as_str())
        };
        let unknown = |name: &str| is_about_tls(name) && !is_known(&plain(name));
        match self
            .params
            .iter()
            .find(|(name, value)| unknown(name) && !idle(value))
        {
            Some((name, _)) => Err(bad(format!(
                "{name} is about TLS but unknown here; remove it, and set sslMode (sslmode): \
                 disabled, preferred, required, verify-ca or verify-full, with the authority's PEM \
                 file in serverSslCert (sslrootcert)"
            ))),
            None => Ok(()),
        }
    }

    /// Parses a truth value; a name without value is true, as in the drivers.
    fn flag(&self, name: &str) -> Result<Option<bool>> {
        let Some(value) = self.get(name)? else {
            return Ok(None);
        };
        match truth(value) {
            Some(flag) => Ok(Some(flag)),
            None => Err(not_true_or_false(name, value)),
        }
    }

    fn is(&self, name: &str) -> Result<bool> {
        Ok(self.flag(name)? == Some(true))
    }

    /// Returns the PEM file under any of these names.
    fn file(&self, names: &[&str]) -> Result<Option<String>> {
        for name in names {
            let Some(value) = self.get(name)?.filter(|value| !value.is_empty()) else {
                continue;
            };
            if value.contains("-----BEGIN") {
                return Ok(Some(value.to_owned()));
            }
            let path = value
                .strip_prefix("file://")
                .or_else(|| value.strip_prefix("file:"))
                .unwrap_or(value);
            let ending = path
                .rsplit_once('.')
                .map_or("", |(_, ending)| ending)
                .to_ascii_lowercase();
            if value.starts_with("classpath:") {
                return Err(bad(format!(
                    "{name}: class paths are not supported; name a PEM file"
                )));
            }
            if ["jks", "p12", "pfx", "jceks", "keystore"].contains(&ending.as_str()) {
                let how = if names == AUTHORITY {
                    TRUST_STORE
                } else {
                    KEY_STORE
                };
                return Err(bad(format!("{name}: {how}")));
            }
            if ["der", "pk8"].contains(&ending.as_str()) {
                return Err(bad(format!(
                    "{name}: a PEM file is needed (openssl x509 -inform DER -in CERT -out cert.pem, openssl pkcs8 -inform \
                     DER -nocrypt -in KEY -out key.pem)"
                )));
            }
            return Ok(Some(path.to_owned()));
        }
        Ok(None)
    }

    fn word(&self) -> Result<Option<SslModeWord>> {
        let Some(word) = self.get("sslmode")? else {
            return Ok(None);
        };
        Ok(Some(
            match word.to_ascii_lowercase().replace('_', "-").as_str() {
                "disable" | "disabled" => SslModeWord::Mode(TlsMode::Off),
                // libpq tries without TLS first; using TLS if it is available is at least as secure
                "allow" | "prefer" | "preferred" => SslModeWord::Mode(TlsMode::IfOffered),
                "require" | "required" => SslModeWord::Mode(TlsMode::Encrypted),
                "trust" => SslModeWord::Trust,
                "verify-ca" => SslModeWord::Mode(TlsMode::VerifyCa),
                "verify-full" | "verify-identity" => SslModeWord::Mode(TlsMode::VerifyFull),
                _ => {
                    return Err(bad(match self.scheme {
                        UrlScheme::Postgres => format!(
                            "sslmode {word} is unknown; use disable, allow, prefer, require, verify-ca or verify-full"
                        ),
                        UrlScheme::MySql | UrlScheme::MariaDb | UrlScheme::Sqlite => format!(
                            "sslMode {word} is unknown; use DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY"
                        ),
                    }));
                }
            },
        ))
    }

    /// Returns `useSSL` of MySQL's and MariaDB's drivers, or `ssl` of PostgreSQL's.
    fn on(&self) -> Result<Option<bool>> {
        match (self.flag("usessl")?, self.flag("ssl")?) {
            (Some(a), Some(b)) if a != b => {
                Err(bad("useSSL and ssl contradict each other; keep one"))
            }
            (a, b) => Ok(a.or(b)),
        }
    }

    /// True if the parameters turn verification of certificates off.
    fn trusts(&self) -> Result<bool> {
        let factory = self.get("sslfactory")?.unwrap_or_default();
        Ok(self.is("trustservercertificate")? || factory.ends_with("NonValidatingFactory"))
    }

    fn mode(&self, word: Option<SslModeWord>) -> Result<TlsMode> {
        let on = self.on()?;
        let verifies = self.is("verifyservercertificate")?;
        let beside = match (verifies, self.is("requiressl")?) {
            (true, _) => TlsMode::VerifyCa,
            (false, true) => TlsMode::Encrypted,
            (false, false) => TlsMode::Off,
        };
        let by_flag = self.by_flag()?;
        let mode = match (word.map(SslModeWord::mode), on) {
            (Some(TlsMode::Off), Some(true)) => {
                return Err(contradiction("sslMode and useSSL (or ssl)"));
            }
            (Some(mode), Some(true)) => match self.scheme {
                UrlScheme::MariaDb => mode.max(by_flag),
                UrlScheme::MySql | UrlScheme::Postgres | UrlScheme::Sqlite => {
                    mode.max(TlsMode::Encrypted)
                }
            },
            (Some(mode), _) => mode,
            (None, Some(true)) => by_flag,
            (None, Some(false)) => TlsMode::Off,
            (None, None) => TlsMode::IfOffered,
        };
        if mode == TlsMode::Off && beside != TlsMode::Off {
            return Err(contradiction(
                "a setting that disables TLS and requireSSL or verifyServerCertificate",
            ));
        }
        Ok(mode.max(beside))
    }

    /// Returns the meaning of `useSSL=true` or `ssl=true` without `sslMode`. MySQL's driver would
    /// continue without encryption if the server has no TLS.
    fn by_flag(&self) -> Result<TlsMode> {
        let names_matter = !self.is("disablesslhostnameverification")?;
        if self.trusts()? {
            return Ok(TlsMode::Encrypted);
        }
        Ok(match self.scheme {
            UrlScheme::MySql => TlsMode::Encrypted,
            UrlScheme::MariaDb if names_matter => TlsMode::VerifyFull,
            UrlScheme::MariaDb => TlsMode::VerifyCa,
            UrlScheme::Postgres | UrlScheme::Sqlite => TlsMode::VerifyFull,
        })
    }

    /// Like MySQL's and MariaDB's drivers: the key that the server sends is used only if that is
    /// allowed.
    fn server_key(&self) -> Result<ServerKey> {
        for name in SERVER_KEY {
            if let Some(file) = self.get(name)?.filter(|file| !file.is_empty()) {
                return Ok(ServerKey::File(
                    file.strip_prefix("file:").unwrap_or(file).to_owned(),
                ));
            }
        }
        Ok(if self.is("allowpublickeyretrieval")? {
            ServerKey::Sent
        } else {
            ServerKey::Refused
        })
    }

    fn given(&self, name: &str) -> Result<bool> {
        Ok(self.get(name)?.is_some_and(|value| !value.is_empty()))
    }

    /// Refuses settings that an unencrypted connection cannot honour.
    fn check_unencrypted(&self) -> Result<()> {
        self.channel_binding()
    }

    fn channel_binding(&self) -> Result<()> {
        for (name, refused, others) in CHOICES {
            let given = self.get(name)?.unwrap_or_default().to_ascii_lowercase();
            if given == refused {
                return Err(bad(format!(
                    "{name}={refused} is not supported; remove it, and use sslmode=verify-full"
                )));
            }
            if !others.contains(&given.as_str()) {
                return Err(bad(format!(
                    "{name}={given} is invalid; remove it, and use sslmode=verify-full"
                )));
            }
        }
        Ok(())
    }

    /// Refuses settings that are not supported. Errors: `Config`.
    fn refuse(&self) -> Result<()> {
        for (name, how) in REFUSED {
            if self.given(name)? {
                return Err(bad(format!("{name}: {how}")));
            }
        }
        self.channel_binding()?;
        if let Some(class) = self.get("sslfactory")?.filter(|class| !class.is_empty()) {
            let known = [
                "NonValidatingFactory",
                "LibPQFactory",
                "DefaultJavaSSLFactory",
            ];
            if !known
                .iter()
                .any(|known| class.rsplit('.').next() == Some(known))
            {
                return Err(bad(format!("sslfactory={class}: {NO_CODE}")));
            }
        }
        for name in [
            "tlsversions",
            "tlsversion",
            "enabledtlsprotocols",
            "enabledsslprotocolsuites",
            "sslminprotocolversion",
        ] {
            let versions = self.get(name)?.unwrap_or_default().replace('_', ".");
            let allows = |version: &str| {
                versions
                    .split([',', ' '])
                    .any(|v| v.trim().eq_ignore_ascii_case(version))
            };
            if allows("TLSv1.3") && !allows("TLSv1.2") {
                return Err(bad(format!(
                    "{name}: TLS 1.2 and 1.3 are accepted, depending on the server; configure the \
                     server to accept only 1.3"
                )));
            }
        }
        Ok(())
    }
}

/// Returns the value of a parameter by its plain name.
/// Errors: `Config` if it is given twice with different values.
pub(super) fn given<'a>(params: &'a [(String, String)], name: &str) -> Result<Option<&'a str>> {
    let mut found = params
        .iter()
        .filter(|(written, _)| plain(written) == name)
        .map(|(_, value)| value.trim());
    let Some(first) = found.next() else {
        return Ok(None);
    };
    match found.all(|other| other.eq_ignore_ascii_case(first)) {
        true => Ok(Some(first)),
        false => Err(bad(format!(
            "{name} is given twice, with different values; keep one"
        ))),
    }
}

/// Normalises a name: without letter case, `-`, `_` and dots, without the prefixes of the X
/// protocol and of libpq's environment variables, and with SSL in place of TLS.
pub(super) fn plain(name: &str) -> String {
    let name: String = name
        .chars()
        .filter(|c| !matches!(c, '-' | '_' | '.'))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let bare = ["xdevapi", "pg"]
        .iter()
        .find_map(|word| name.strip_prefix(word))
        .unwrap_or(&name);
    let as_ssl = bare.replacen("tls", "ssl", 1);
    match (KNOWN.contains(&bare), is_known(&as_ssl)) {
        (false, true) => as_ssl,
        _ if is_known(bare) => bare.to_owned(),
        _ => name,
    }
}

/// True if a plain name is read here.
fn is_known(name: &str) -> bool {
    let files = [AUTHORITY, CERTIFICATE, KEY]
        .iter()
        .any(|names| names.contains(&name));
    files || KNOWN.contains(&name) || REFUSED.iter().any(|(refused, _)| *refused == name)
}

/// True if a parameter's name is about TLS, in any driver.
pub(super) fn is_about_tls(name: &str) -> bool {
    let name = plain(name);
    is_known(&name) || ["ssl", "tls"].iter().any(|word| name.contains(word))
}

fn contradiction(what: &str) -> Error {
    bad(format!("{what} contradict each other; keep one"))
}

fn bad(why: impl std::fmt::Display) -> Error {
    Error::config(format!("connection.url: {why}"))
}

#[cfg(test)]
mod tests;
