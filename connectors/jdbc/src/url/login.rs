//! The login methods that a URL allows a server to ask for: libpq's and pgJDBC's `require_auth`.
//! Pure.
//!
//! Without it every supported method is allowed, including the password in clear text, as in those
//! drivers. It applies whatever the URL says about TLS.

use connector_api::{Error, Result};

use super::{DatabaseKind, UrlScheme, tls};

/// A supported way to log in to PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginKind {
    /// The server asks for nothing (`trust`, or only a client certificate).
    None,
    /// The password in clear text.
    Password,
    Md5,
    /// A proof by SCRAM-SHA-256.
    Scram,
}

/// libpq's names; unsupported methods may be listed, too.
const NAMES: [(&str, Option<LoginKind>); 7] = [
    ("none", Some(LoginKind::None)),
    ("password", Some(LoginKind::Password)),
    ("md5", Some(LoginKind::Md5)),
    ("scram-sha-256", Some(LoginKind::Scram)),
    ("gss", None),
    ("sspi", None),
    ("oauth", None),
];

/// Returns the methods that the parameters allow.
/// Errors: `Config`.
pub(super) fn methods(scheme: UrlScheme, params: &[(String, String)]) -> Result<Vec<LoginKind>> {
    let given =
        |name| tls::given(params, name).map(|value| value.filter(|value| !value.is_empty()));
    if given("restrictedauth")?.is_some() {
        return Err(bad(
            "restrictedAuth: the authentication plug-ins cannot be restricted here; remove it",
        ));
    }
    let supported = || NAMES.iter().filter_map(|(_, login)| *login);
    let Some(text) = given("requireauth")? else {
        return Ok(supported().collect());
    };
    match scheme.database() {
        DatabaseKind::Postgres => {}
        DatabaseKind::MySql | DatabaseKind::Sqlite => {
            return Err(bad("require_auth is a parameter of PostgreSQL; remove it"));
        }
    }
    let words = || text.split(',').map(str::trim);
    let negated = words().filter(|word| word.starts_with('!')).count();
    if negated != 0 && negated != words().count() {
        return Err(bad(
            "require_auth lists methods with and without !; write either the allowed methods or, \
             each with !, the forbidden ones",
        ));
    }
    let mut named = Vec::new();
    for word in words() {
        let name = word.strip_prefix('!').unwrap_or(word).to_ascii_lowercase();
        let known = NAMES.iter().find(|(known, _)| *known == name);
        let (_, login) = known.ok_or_else(|| {
            let names = NAMES.map(|(name, _)| name).join(", ");
            bad(format!(
                "require_auth: {word} is unknown; write some of {names}, separated by commas"
            ))
        })?;
        named.extend(*login);
    }
    let allowed: Vec<LoginKind> = supported()
        .filter(|login| named.contains(login) != (negated != 0))
        .collect();
    match allowed.is_empty() {
        true => Err(bad(format!(
            "require_auth={text} leaves no supported method; allow none, password, md5 or \
             scram-sha-256"
        ))),
        false => Ok(allowed),
    }
}

fn bad(why: impl std::fmt::Display) -> Error {
    Error::config(format!("connection.url: {why}"))
}

#[cfg(test)]
mod tests {
    use super::LoginKind::{Md5, None, Password, Scram};
    use crate::url::ConnectionTarget;

    #[test]
    fn a_login_method_that_require_auth_does_not_name_is_not_allowed_whatever_the_url_says_of_tls()
    {
        for tls in ["", "&sslmode=disable", "&sslmode=require"] {
            for (value, want) in [
                ("", vec![None, Password, Md5, Scram]),
                ("scram-sha-256", vec![Scram]),
                ("SCRAM-SHA-256, gss", vec![Scram]),
                ("none,md5", vec![None, Md5]),
                ("!password,!md5", vec![None, Scram]),
                ("!none", vec![Password, Md5, Scram]),
            ] {
                for name in ["require_auth", "requireAuth", "PGREQUIREAUTH"] {
                    let url = format!("jdbc:postgresql://h/d?{name}={value}{tls}");
                    assert_eq!(
                        ConnectionTarget::parse(&url).unwrap().logins().unwrap(),
                        want,
                        "{url}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_list_of_login_methods_that_cannot_be_kept_is_refused_whatever_the_url_says_of_tls() {
        for tls in ["", "&sslmode=disable"] {
            for (url, want) in [
                ("jdbc:postgresql://h/d?requireAuth=scram", "is unknown"),
                (
                    "jdbc:postgresql://h/d?requireAuth=md5,!none",
                    "with and without !",
                ),
                (
                    "jdbc:postgresql://h/d?requireAuth=gss",
                    "leaves no supported method",
                ),
                (
                    "jdbc:postgresql://h/d?requireAuth=!none,!md5,!password,!scram-sha-256",
                    "leaves no supported method",
                ),
                (
                    "jdbc:postgresql://h/d?requireAuth=md5&require_auth=none",
                    "twice",
                ),
                (
                    "jdbc:mysql://h/d?requireAuth=md5",
                    "is a parameter of PostgreSQL",
                ),
                (
                    "jdbc:mariadb://h/d?restrictedAuth=client_ed25519",
                    "remove it",
                ),
            ] {
                let url = format!("{url}{tls}");
                let config = connector_api::Config::from([("connection.url", url.as_str())]);
                let error = ConnectionTarget::from_config(&config).expect_err(&url);
                assert!(error.message().contains(want), "{url}: {error}");
            }
        }
    }
}
