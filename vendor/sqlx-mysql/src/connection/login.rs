//! Rowferry's addition: logins that cannot come to be however often they are tried, as errors that say so.

use crate::error::Error;

/// How the text of such an error begins.
const LOGIN: &str = "login: ";

/// The version of the protocol that MySQL has spoken since 3.21.
const PROTOCOL: u8 = 10;

/// Bytes of a name that a server sends, in an error.
const LONGEST_NAME: usize = 64;

/// The error of an account whose plug-in is not known here.
pub(crate) fn unknown_plugin(name: &str) -> Error {
    let name = &name[..name.floor_char_boundary(LONGEST_NAME)];
    Error::Protocol(format!(
        "{LOGIN}the server asks this account to log in by the authentication plugin '{name}', which is not supported; let \
         connection.user be an account with mysql_native_password, caching_sha2_password or sha256_password (ALTER USER)"
    ))
}

/// Whether a greeting's version of the protocol is spoken here. Errors: `Protocol`.
pub(crate) fn admit_protocol(version: u8) -> Result<(), Error> {
    if version == PROTOCOL {
        return Ok(());
    }
    Err(Error::Protocol(format!(
        "{LOGIN}what answers speaks version {version} of MySQL's protocol, or another protocol altogether; only version \
         {PROTOCOL} is supported: check host and port in connection.url"
    )))
}
