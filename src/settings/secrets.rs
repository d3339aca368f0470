//! What of a config may be shown: to people and programs that may not see passwords, and in texts.

use std::borrow::Cow;
use std::sync::LazyLock;

use connector_api::config::Type;
use regex::Regex;

use super::KEYS;

/// In the place of a secret.
const MASK: &str = "****";

/// Whether the value of this key, of the worker or of a connector, must never be shown.
pub fn is_secret(name: &str) -> bool {
    const PARTS: &[&str] =
        &["password", "secret", "jaas", "token", "credential", "passphrase", "key.pem", "keystore.key"];
    let lower = name.to_ascii_lowercase();
    PARTS.iter().any(|part| lower.contains(part)) || KEYS.iter().any(|k| k.name == name && k.ty == Type::Password)
}

/// A value without the passwords that it may hold: `//user:password@host`, and `password=…` among parameters.
pub fn without_passwords(value: &str) -> Cow<'_, str> {
    /// User and password end at the last `@` before the path.
    static USER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("(//[^/?#:@]*:)[^/?#]*@").ok());
    static PARAMETER: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)([a-z_.]*(?:password|passwd|secret)[a-z_.]*=)[^&;,\s)]*").ok());
    let replaced = |pattern: &Option<Regex>, text: &str, with: &str| {
        pattern.as_ref().map_or_else(|| text.to_owned(), |pattern| pattern.replace_all(text, with).into_owned())
    };
    let suspicious = value.contains('@') || value.contains('=');
    if !suspicious {
        return value.into();
    }
    let text = replaced(&USER, value, &format!("${{1}}{MASK}@"));
    replaced(&PARAMETER, &text, &format!("${{1}}{MASK}")).into()
}

#[cfg(test)]
mod tests {
    use super::{is_secret, without_passwords};

    #[test]
    fn passwords_in_urls_are_replaced_and_nothing_else() {
        for (value, shown) in [
            ("jdbc:mysql://u:p@ss:w@h:1/d?x=1", "jdbc:mysql://u:****@h:1/d?x=1"),
            ("jdbc:mysql://h/d?user=u&password=p%20w&x=1", "jdbc:mysql://h/d?user=u&password=****&x=1"),
            ("jdbc:postgresql://h/d?sslpassword=x&PASSWORD=y", "jdbc:postgresql://h/d?sslpassword=****&PASSWORD=****"),
            ("http://me:secret@a:1,http://b:2", "http://me:****@a:1,http://b:2"),
            ("SELECT * FROM t WHERE a = 'x@y'", "SELECT * FROM t WHERE a = 'x@y'"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("plain", "plain"),
        ] {
            assert_eq!(without_passwords(value), shown);
        }
    }

    #[test]
    fn secret_keys_are_known_by_their_names() {
        assert!(is_secret("connection.password") && is_secret("producer.sasl.jaas.config") && is_secret("a.SECRET"));
        assert!(!is_secret("connection.url") && !is_secret("group.id"));
    }
}
