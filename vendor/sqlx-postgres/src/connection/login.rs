//! Rowferry's addition: which ways to log in a client allows, and logins that cannot come to be however often they are
//! tried, as errors that say so.

use crate::error::Error;

/// How the text of such an error begins.
const LOGIN: &str = "login: ";

/// Bytes of names that a server sends, in an error.
const LONGEST_NAMES: usize = 64;

/// A way to log in that is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginMethod {
    /// The server asks for nothing.
    None,
    /// The password as it is.
    Password,
    /// The password's MD5 hash.
    Md5,
    /// A proof by SCRAM-SHA-256, which the server answers with one of its own.
    ScramSha256,
}

impl LoginMethod {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Password, Self::Md5, Self::ScramSha256];

    /// Its name in libpq's `require_auth`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Password => "password",
            Self::Md5 => "md5",
            Self::ScramSha256 => "scram-sha-256",
        }
    }
}

/// The ways to log in that a client allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginMethods(Vec<LoginMethod>);

impl Default for LoginMethods {
    fn default() -> Self {
        Self::of(LoginMethod::ALL)
    }
}

impl LoginMethods {
    /// These.
    pub fn of(methods: impl IntoIterator<Item = LoginMethod>) -> Self {
        Self(methods.into_iter().collect())
    }

    /// Whether a server may let the client log in that way. Errors: `Protocol`.
    pub(crate) fn admit(&self, method: LoginMethod) -> Result<(), Error> {
        if self.0.contains(&method) {
            return Ok(());
        }
        let asked = match method {
            LoginMethod::None => "lets clients in without a login".to_owned(),
            method => format!("asks for a login by {}", method.name()),
        };
        let allowed = self.0.iter().map(|method| method.name()).collect::<Vec<_>>();
        Err(Error::Protocol(format!(
            "{LOGIN}the server {asked}, and require_auth in connection.url allows {} only; change it, or pg_hba.conf and the \
             user's password",
            allowed.join(", ")
        )))
    }
}

/// The error of a request for a login that is not known here, by its number.
pub(crate) fn unknown(number: u32) -> Error {
    unsupported(match number {
        2 => "Kerberos V5",
        6 => "SCM credentials",
        7 | 8 => "GSSAPI",
        9 => "SSPI",
        _ => return unsupported(&format!("the method with number {number}")),
    })
}

/// The error of SASL mechanisms none of which is known here.
pub(crate) fn unknown_sasl(mechanisms: &[String]) -> Error {
    let names = mechanisms.join(", ");
    unsupported(&format!("SASL ({})", &names[..names.floor_char_boundary(LONGEST_NAMES)]))
}

fn unsupported(name: &str) -> Error {
    Error::Protocol(format!(
        "{LOGIN}the server asks for a login by {name}, which is not supported; let pg_hba.conf ask connection.user for \
         scram-sha-256, md5, password or cert"
    ))
}

/// The error of a server that cannot prove that it knows the password's hash.
pub(crate) fn unproven() -> Error {
    Error::Protocol(format!(
        "{LOGIN}what answers does not prove that it knows this account; it may not be the database that it is taken for: \
         check host and port in connection.url, and use sslmode=verify-full"
    ))
}
