//! Which key names suggest a secret, and which of the worker's own keys are secret.

use connector_api::config::ConfigType;

use super::KEYS;

/// True if the name of an undeclared key suggests that its value must not be shown.
pub fn sounds_secret(name: &str) -> bool {
    const PARTS: &[&str] = &[
        "password",
        "passwd",
        "secret",
        "jaas",
        "token",
        "credential",
        "passphrase",
        "key.pem",
        "keystore.key",
        "private.key",
        "privatekey",
        "api.key",
        "apikey",
        "access.key",
        "accesskey",
        "user.info",
        "authorization",
        "auth.header",
        "authheader",
        "api-key",
        "api_key",
        "keystore.certificate",
    ];
    let lower = name.to_ascii_lowercase();
    PARTS.iter().any(|part| lower.contains(part))
        || lower.ends_with(".pass")
        || lower.ends_with(".pwd")
}

/// True if the value of this worker key must not be shown.
pub fn is_secret(name: &str) -> bool {
    sounds_secret(name)
        || KEYS
            .iter()
            .any(|key| key.name == name && key.ty == ConfigType::Password)
}

#[cfg(test)]
mod tests {
    use super::{is_secret, sounds_secret};

    #[test]
    fn secret_keys_are_known_by_their_names() {
        for name in [
            "connection.password",
            "producer.sasl.jaas.config",
            "a.SECRET",
            "my.api.key",
            "ftp.pass",
        ] {
            assert!(sounds_secret(name), "{name}");
        }
        assert!(
            !sounds_secret("connection.url")
                && !sounds_secret("group.id")
                && !sounds_secret("compass")
        );
        assert!(is_secret("rowferry.store.url") && !sounds_secret("rowferry.store.url"));
    }
}
