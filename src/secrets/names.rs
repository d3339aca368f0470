//! Decides which keys of a config are secret, and masks configs.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use connector_api::config::{ConfigType, near};
use connector_api::shown::{MASK, hidden_in, without_passwords};
use connector_api::{Config, ConfigKey};

use super::{Redactor, SecretWords};
use crate::keys;
use crate::registry::{PluginKind, Registry};
use crate::settings::{self, ResolvedConfig, sounds_secret};

/// Replaces the whole value of a secret key.
pub const HIDDEN: &str = "[hidden]";

/// Masks that people may have copied from our responses, or from the command line, in place of a
/// value.
const MASKS: [&str; 3] = [HIDDEN, "********", MASK];

/// PASSWORD keys of Kafka's clients (`SslConfigs`, `SaslConfigs`).
const OF_CLIENTS: [&str; 10] = [
    "sasl.jaas.config",
    "sasl.password",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.password",
    "ssl.truststore.certificates",
    "ssl.truststore.password",
];

/// More dots than the name of any secret key has.
const MOST_DOTS: usize = 8;

/// Prefixes of a key's own name; a name chosen by the user follows the last two.
const PREFIXES: [&str; 12] = [
    "key.converter.",
    "value.converter.",
    "header.converter.",
    "producer.override.",
    "consumer.override.",
    "admin.override.",
    "producer.",
    "consumer.",
    "admin.",
    "listeners.https.",
    "transforms.",
    "predicates.",
];

/// The secret keys on a worker, and the secrets in its own settings. Cheap to clone.
#[derive(Clone, Default)]
pub struct SecretKeys {
    names: Arc<SecretNames>,
    worker: Arc<SecretWords>,
}

#[derive(Default)]
struct SecretNames {
    /// Maps each spelling of a declared secret to all its spellings, in the order in which they are
    /// read.
    secret: BTreeMap<&'static str, Vec<&'static str>>,
    /// Each spelling of a declared key that is not secret.
    open: BTreeSet<&'static str>,
}

impl SecretNames {
    fn declare(&mut self, key: &ConfigKey) {
        let spellings: Vec<_> = std::iter::once(key.name)
            .chain(key.aliases.iter().copied())
            .collect();
        for spelling in &spellings {
            if key.ty == ConfigType::Password {
                let known = self.secret.entry(spelling).or_default();
                known.extend(
                    spellings
                        .iter()
                        .filter(|name| !known.contains(name))
                        .copied()
                        .collect::<Vec<_>>(),
                );
            } else {
                self.open.insert(spelling);
            }
        }
    }

    /// Splits a declared secret's name into its prefix and all spellings of the rest.
    fn secret<'a>(&self, name: &'a str) -> Option<(&'a str, &[&'static str])> {
        own_names(name)
            .find_map(|(prefix, own)| Some((prefix, self.secret.get(own)?.as_slice())))
            // Any prefix counts for names of several words: secret in one place, secret in all.
            .or_else(|| {
                let ends = name
                    .match_indices('.')
                    .map(|(dot, _)| name.split_at(dot + 1));
                ends.filter(|(_, own)| own.contains('.'))
                    .find_map(|(prefix, own)| Some((prefix, self.secret.get(own)?.as_slice())))
            })
    }
}

/// Returns the name itself, and what remains of it after each [prefix](PREFIXES) that it has.
fn own_names(name: &str) -> impl Iterator<Item = (&str, &str)> {
    let behind = PREFIXES.iter().flat_map(move |prefix| {
        let rest = name.strip_prefix(prefix);
        let chosen = prefix.starts_with("transforms") || prefix.starts_with("predicates");
        let dots = rest
            .filter(|_| chosen)
            .into_iter()
            .flat_map(|rest| rest.match_indices('.'));
        let fixed = rest
            .filter(|_| !chosen)
            .map(|_| name.split_at(prefix.len()));
        fixed
            .into_iter()
            .chain(dots.map(|(dot, _)| name.split_at(prefix.len() + dot + 1)))
    });
    std::iter::once(("", name)).chain(behind)
}

impl SecretNames {
    /// True if an undeclared name looks like a misspelled secret one: `connection.passwrod` still
    /// holds a password.
    fn is_near_secret(&self, name: &str) -> bool {
        let last = name.rsplit('.').next().unwrap_or(name);
        // A name of many parts has many ends, and only the last few can be a secret's name.
        let near_declared = |(_, own): (&str, &str)| {
            own.matches('.').count() <= MOST_DOTS
                && near(own, self.secret.keys().copied()).is_some()
        };
        own_names(name).any(near_declared) || near(last, ["password", "passphrase"]).is_some()
    }
}

impl SecretKeys {
    /// Collects what the plug-ins of a registry, the worker and Kafka's clients declare.
    pub fn of(registry: &Registry) -> Self {
        let mut names = SecretNames::default();
        let tables = [
            keys::COMMON,
            keys::SOURCE,
            keys::SINK,
            keys::TRANSFORM,
            keys::PREDICATE,
            settings::KEYS,
        ];
        let plugins = PluginKind::ALL
            .into_iter()
            .flat_map(|kind| registry.plugins(kind));
        let declared = tables
            .into_iter()
            .flatten()
            .chain(plugins.flat_map(|plugin| plugin.keys()));
        declared.for_each(|key| names.declare(key));
        for name in OF_CLIENTS {
            names.secret.entry(name).or_insert_with(|| vec![name]);
        }
        Self {
            names: Arc::new(names),
            worker: Arc::default(),
        }
    }

    /// Adds the secrets in the worker's settings, so that they are hidden from every text, too.
    #[must_use]
    pub fn on_worker(self, written: &Config, resolved: &ResolvedConfig) -> Self {
        let worker = Arc::new(self.words(written, resolved));
        Self { worker, ..self }
    }

    /// True if the value of this key must not be shown: it is declared as PASSWORD under any prefix
    /// and spelling, or it is undeclared and its name suggests a secret.
    pub fn is_secret(&self, name: &str) -> bool {
        if self.names.secret(name).is_some() {
            return true;
        }
        // The most obvious names count as secret, even if they are declared otherwise.
        let plain = name.to_ascii_lowercase();
        if ["password", "passwd", "secret", "passphrase"]
            .iter()
            .any(|part| plain.contains(part))
        {
            return true;
        }
        let is_open = own_names(name).any(|(_, own)| self.names.open.contains(own));
        !is_open && (sounds_secret(name) || self.names.is_near_secret(name))
    }

    /// Returns a value as it may be shown to people who may not see secrets.
    pub fn masked<'a>(&self, key: &str, value: &'a str) -> Cow<'a, str> {
        if self.is_secret(key) {
            HIDDEN.into()
        } else {
            without_passwords(value)
        }
    }

    /// Returns the stored value that `given` is a mask of, found under the same key or another
    /// spelling of it; the rest of a URL may differ. `None` if `given` is not a mask but a new
    /// value.
    pub fn restored(&self, key: &str, given: &str, stored: &Config) -> Option<String> {
        let of = |name: &str| {
            stored
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        if self.is_secret(key) {
            if !MASKS.contains(&given.trim()) {
                return None;
            }
            let others = || {
                let (prefix, spellings) = self.names.secret(key)?;
                spellings
                    .iter()
                    .find_map(|spelling| of(&format!("{prefix}{spelling}")))
            };
            return of(key).or_else(others).map(str::to_owned);
        }
        let stored = of(key)?;
        let (masks, passwords) = (hidden_in(given), hidden_in(stored));
        if masks.len() != passwords.len()
            || !masks.iter().any(|range| given[range.clone()] == *MASK)
        {
            return None;
        }
        let (mut out, mut from) = (String::new(), 0);
        for (mask, password) in masks.into_iter().zip(passwords) {
            out.push_str(&given[from..mask.start]);
            let kept = &given[mask.clone()];
            out.push_str(if kept == MASK {
                &stored[password]
            } else {
                kept
            });
            from = mask.end;
        }
        out.push_str(&given[from..]);
        Some(out)
    }

    /// Collects the secrets in a config, each with its replacement in texts.
    fn words(&self, written: &Config, resolved: &ResolvedConfig) -> SecretWords {
        let mut words = SecretWords::default();
        for (reference, value) in resolved.given_out() {
            words.add(value, reference);
        }
        for (key, value) in resolved.config.iter() {
            let as_written = written
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value);
            let reference = as_written.filter(|written| *written != value);
            if let Some(reference) = reference {
                words.add(value, reference);
            }
            if self.is_secret(key) {
                words.add_secret(value, reference);
            }
            words.add_passwords_in(value);
        }
        words.forget(
            written
                .iter()
                .filter(|(key, _)| !self.is_secret(key))
                .map(|(_, value)| value),
        );
        words
    }

    /// Returns a redactor for the secrets in a connector's config and in the worker's settings.
    pub fn redactor(&self, written: &Config, resolved: &ResolvedConfig) -> Redactor {
        Redactor::new(self.words(written, resolved).and(&self.worker))
    }

    /// Returns a redactor for the secrets in the worker's own settings.
    pub fn of_worker(&self) -> Redactor {
        Redactor::new(SecretWords::default().and(&self.worker))
    }
}

impl fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use connector_api::Config;

    use super::SecretKeys;
    use crate::registry::Registry;

    fn secrets() -> SecretKeys {
        SecretKeys::of(&Registry::built_in())
    }

    #[test]
    fn a_slip_in_the_name_of_a_secret_key_shows_no_secret() {
        let secrets = secrets();
        for name in [
            "connection.passwrod",
            "conection.password",
            "connection.pasword",
            "connection_pass",
            "database.pasword",
            "producer.override.sasl.jass.config",
            "value.converter.basic.auth.user.inof",
            "my.passwrod",
        ] {
            assert!(secrets.is_secret(name), "{name}");
        }
        for name in [
            "connection.url",
            "connection.urll",
            "topic.prefixx",
            "tables",
            "passenger",
        ] {
            assert!(!secrets.is_secret(name), "{name}");
        }
    }

    #[test]
    fn keys_are_secret_by_declaration_under_every_prefix_and_spelling() {
        let secrets = secrets();
        for name in [
            "connection.password",
            "connection.pass",
            "database.password",
            "query.masked",
            "value.converter.basic.auth.user.info",
            "key.converter.schema.registry.basic.auth.user.info",
            "basic.auth.user.info",
            "value.converter.bearer.auth.token",
            "sasl.jaas.config",
            "producer.override.sasl.jaas.config",
            "consumer.override.ssl.keystore.certificate.chain",
            "admin.override.ssl.key.password",
            "listeners.https.ssl.keystore.key",
            "transforms.a.b.query.masked",
            "whatever.connection.pass",
            "rowferry.store.url",
            "some.SECRET.thing",
            "my.api.key",
        ] {
            assert!(secrets.is_secret(name), "{name}");
        }
        for name in [
            "connection.url",
            "connection.user",
            "group.id",
            "value.converter.basic.auth.credentials.source",
            "jdbc.credentials.provider.class",
            "pass.through",
            "name",
        ] {
            assert!(!secrets.is_secret(name), "{name}");
        }
    }

    #[test]
    fn a_mask_that_is_sent_back_keeps_the_stored_value() {
        let stored = Config::from([
            ("connection.pass", "p1"),
            ("value.converter.basic.auth.user.info", "u:p2"),
            ("connection.url", "jdbc:mysql://u:a/b@h/d?x=1&password=c"),
            ("topic.prefix", "t"),
        ]);
        let secrets = secrets();
        for (key, given, want) in [
            ("connection.pass", "[hidden]", Some("p1")),
            ("connection.password", "********", Some("p1")),
            ("connection.password", "****", Some("p1")),
            ("connection.password", "new", None),
            ("connection.password", "", None),
            (
                "value.converter.schema.registry.basic.auth.user.info",
                "[hidden]",
                Some("u:p2"),
            ),
            ("key.converter.basic.auth.user.info", "[hidden]", None),
            (
                "connection.url",
                "jdbc:mysql://u:****@h/d?x=1&password=****",
                Some("jdbc:mysql://u:a/b@h/d?x=1&password=c"),
            ),
            (
                "connection.url",
                "jdbc:mysql://u:****@h2/d?password=n",
                Some("jdbc:mysql://u:a/b@h2/d?password=n"),
            ),
            ("connection.url", "jdbc:mysql://u:new@h/d?password=n", None),
            ("connection.url", "jdbc:mysql://h/d", None),
            ("topic.prefix", "[hidden]", None),
        ] {
            assert_eq!(
                secrets.restored(key, given, &stored).as_deref(),
                want,
                "{key}={given}"
            );
        }
    }
}
