//! What a URL's parameters ask of TLS, in the spellings of every driver: MySQL Connector/J, MariaDB Connector/J, pgJDBC,
//! libpq and the clients of MySQL. Pure.
//!
//! Names count without letter case, `-` and `_`. What was asked for is done or refused, never left out: the strongest of
//! what several parameters ask counts, and what contradicts itself, or cannot be done here, is an error that names what
//! can be written in its place. docs/databases.md has the table.

use connector_api::{Error, Result};

use super::UrlScheme;

/// How far a connection is to be trusted. Later ones are stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsMode {
    /// In the clear.
    Off,
    /// Encrypted if the server offers it, in the clear otherwise.
    IfOffered,
    /// Encrypted, with whomever.
    Encrypted,
    /// With a server whose certificate an authority signed.
    VerifyCa,
    /// With a server whose certificate is for the host's name, too.
    VerifyFull,
}

/// What is asked for. Files are PEM files, or PEM text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// How far.
    pub mode: TlsMode,
    /// The authorities that count in the place of the system's.
    pub authority: Option<String>,
    /// The client's certificate.
    pub certificate: Option<String>,
    /// The client's private key.
    pub key: Option<String>,
    /// By which key MySQL's logins without TLS encrypt the password.
    pub server_key: ServerKey,
}

/// A server's RSA key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerKey {
    /// None: whoever answers could read the password with a key of its own.
    Refused,
    /// The one that the server sends.
    Sent,
    /// The one in this PEM file.
    File(String),
}

/// A name, and what to write in its place; they matter wherever TLS does.
type RefusedName = (&'static str, &'static str);

const TRUST_STORE: &str = "Java key stores are not read here: write the authority's certificate as PEM (keytool -exportcert \
                           -rfc -keystore STORE -alias NAME -file ca.pem; of PKCS12: openssl pkcs12 -in STORE -nokeys -out \
                           ca.pem) and name it by serverSslCert=ca.pem (sslrootcert for PostgreSQL)";
const KEY_STORE: &str = "Java key stores are not read here: write certificate and key as PEM (of JKS first keytool \
                         -importkeystore -srckeystore STORE -destkeystore STORE.p12 -deststoretype pkcs12; then openssl \
                         pkcs12 -in STORE.p12 -nokeys -out cert.pem and openssl pkcs12 -in STORE.p12 -nocerts -nodes -out \
                         key.pem) and name them by sslCert=cert.pem and sslKey=key.pem";
const PLAIN_KEY: &str = "keys are read without a password: write the key as openssl pkey -in KEY -out key.pem does, and name \
                         it by sslKey=key.pem";
const NO_REVOCATION: &str =
    "revoked certificates are not told from others here; leave it out if that will do";
const NO_CODE: &str = "Java classes are not run here; leave it out, and say by sslmode and sslrootcert what is to be verified";

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
        "folders of authorities are not read here; name one PEM file that holds them all by sslCa",
    ),
    (
        "requirepeer",
        "there are no local sockets here; leave it out, and use sslmode=verify-full",
    ),
];

/// Other names that are read here, or say no more than what is done anyway: passwords and types of key stores, whose
/// files are refused, and limits of waiting.
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

const CIPHERS: &str = "cipher suites are not chosen here (those of TLS 1.2 and 1.3 without known weakness are taken); leave \
                       it out";

/// Settings of which one value cannot be kept, and the others leave the choice.
const CHOICES: [(&str, &str, &[&str]); 3] = [
    ("channelbinding", "require", &["", "disable", "prefer"]),
    ("gssencmode", "require", &["", "disable", "allow", "prefer"]),
    ("sslnegotiation", "direct", &["", "postgres"]),
];

/// Names of one file, the drivers' and the clients'.
const AUTHORITY: &[&str] = &["serversslcert", "sslrootcert", "sslca", "sslrootca"];
const CERTIFICATE: &[&str] = &["sslcert", "sslclientcert", "clientsslcert"];
const KEY: &[&str] = &["sslkey", "sslclientkey", "clientsslkey"];
const SERVER_KEY: &[&str] = &[
    "serverrsapublickeyfile",
    "serverpublickeypath",
    "serverpublickey",
];

impl TlsOptions {
    /// What the parameters of a URL of that scheme ask for. Errors: `Config`.
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
            // an authority is named for a server to be verified, a certificate to be shown
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
            asked.in_the_clear()?;
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
                "a client's certificate needs its key and the other way round: sslCert and sslKey",
            ));
        }
        // libpq's word for the system's own
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
    /// MariaDB's: encrypted, and nothing verified even where an authority is named.
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
    /// The value of a parameter by its plain name. Errors: `Config` for two that differ.
    fn get(&self, name: &str) -> Result<Option<&'a str>> {
        given(self.params, name)
    }

    /// Refuses what is about TLS and understood by nobody: that it was left out would not be seen.
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
                "{name} is about TLS and not known here; leave it out, and say by sslMode (sslmode) what is to be done: \
                 disabled, preferred, required, verify-ca or verify-full, with the authority's PEM file in serverSslCert \
                 (sslrootcert)"
            ))),
            None => Ok(()),
        }
    }

    /// A truth value; a name without value is true, as drivers have it.
    fn flag(&self, name: &str) -> Result<Option<bool>> {
        let Some(value) = self.get(name)? else {
            return Ok(None);
        };
        match value.to_ascii_lowercase().as_str() {
            "" | "true" | "yes" | "on" | "1" => Ok(Some(true)),
            "false" | "no" | "off" | "0" => Ok(Some(false)),
            _ => Err(bad(format!(
                "{name}={value} is not understood; write true or false"
            ))),
        }
    }

    fn is(&self, name: &str) -> Result<bool> {
        Ok(self.flag(name)? == Some(true))
    }

    /// A PEM file under any of these names.
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
                    "{name}: there is no class path here; name a PEM file"
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
                // libpq tries a plain connection first; one with TLS, where there is TLS, is no less
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
                        _ => format!(
                            "sslMode {word} is unknown; use DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY"
                        ),
                    }));
                }
            },
        ))
    }

    /// `useSSL` of MySQL's and MariaDB's drivers, `ssl` of PostgreSQL's.
    fn on(&self) -> Result<Option<bool>> {
        match (self.flag("usessl")?, self.flag("ssl")?) {
            (Some(a), Some(b)) if a != b => {
                Err(bad("useSSL and ssl contradict each other; keep one"))
            }
            (a, b) => Ok(a.or(b)),
        }
    }

    /// Whether certificates are said not to matter.
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
            (Some(mode), Some(true)) if self.scheme == UrlScheme::MariaDb => mode.max(by_flag),
            (Some(mode), Some(true)) => mode.max(TlsMode::Encrypted),
            (Some(mode), _) => mode,
            (None, Some(true)) => by_flag,
            (None, Some(false)) => TlsMode::Off,
            (None, None) => TlsMode::IfOffered,
        };
        if mode == TlsMode::Off && beside != TlsMode::Off {
            return Err(contradiction(
                "what turns TLS off and requireSSL or verifyServerCertificate",
            ));
        }
        Ok(mode.max(beside))
    }

    /// What `useSSL=true` or `ssl=true` means without `sslMode`. MySQL's driver would go on in the clear with a server
    /// that has no TLS.
    fn by_flag(&self) -> Result<TlsMode> {
        let names_matter = !self.is("disablesslhostnameverification")?;
        Ok(match self.scheme {
            _ if self.trusts()? => TlsMode::Encrypted,
            UrlScheme::MySql => TlsMode::Encrypted,
            UrlScheme::MariaDb if names_matter => TlsMode::VerifyFull,
            UrlScheme::MariaDb => TlsMode::VerifyCa,
            UrlScheme::Postgres | UrlScheme::Sqlite => TlsMode::VerifyFull,
        })
    }

    /// As MySQL's and MariaDB's drivers: the server's own key is not taken unless that is allowed.
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

    /// Settings that a connection in the clear cannot keep.
    fn in_the_clear(&self) -> Result<()> {
        self.channel_binding()
    }

    fn channel_binding(&self) -> Result<()> {
        for (name, refused, others) in CHOICES {
            let given = self.get(name)?.unwrap_or_default().to_ascii_lowercase();
            if given == refused {
                return Err(bad(format!(
                    "{name}={refused} cannot be done here; leave it out, and use sslmode=verify-full"
                )));
            }
            if !others.contains(&given.as_str()) {
                return Err(bad(format!(
                    "{name}={given} is not understood; leave it out, and use sslmode=verify-full"
                )));
            }
        }
        Ok(())
    }

    /// Whether something is asked for that cannot be done here. Errors: `Config`.
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
                    "{name}: TLS 1.2 and 1.3 are taken, whichever the server has; a server can be told to take 1.3 alone"
                )));
            }
        }
        Ok(())
    }
}

/// The value of a parameter by its plain name. Errors: `Config` for two that differ.
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

/// A name without letter case, `-`, `_` and dots, and as the drivers have it: without the words that stand before it in
/// the X protocol's and libpq's environment's names, and with SSL for TLS.
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

/// Whether a plain name is read here.
fn is_known(name: &str) -> bool {
    let files = [AUTHORITY, CERTIFICATE, KEY]
        .iter()
        .any(|names| names.contains(&name));
    files || KNOWN.contains(&name) || REFUSED.iter().any(|(refused, _)| *refused == name)
}

/// Whether a parameter's name is about TLS, whoever reads it.
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
