//! Configuration keys, declared once. Parsing, validation, forms, documentation and help are all
//! derived from that table.
//!
//! A plug-in declares `const KEYS: &[ConfigKey]` and fills its own struct through [`Config::read`].
//! A test compares the keys read with the declared ones ([`unlike`]).
//! Texts and rules follow Kafka's `org.apache.kafka.common.config.ConfigDef`.

mod asked;
mod key;
mod near;
mod reader;
mod report;

use std::collections::BTreeMap;
use std::ops::Bound;

pub use asked::{keys_asked, unlike};
pub use key::{
    ConfigKey, ConfigType, DefaultValue, Importance, KeyValidator, ParsedValue, Width, regexes,
};
pub use near::near;
pub use reader::ConfigReader;
pub use report::{ConfigProblem, ConfigReport};

/// What every plug-in declares about itself.
pub trait Plugin: Send + Sync {
    /// Returns the full class name that the plug-in is listed under.
    fn class(&self) -> &'static str;
    /// Returns other full class names that select this plug-in (those of comparable connectors).
    fn other_classes(&self) -> &'static [&'static str] {
        &[]
    }
    /// Returns the version of the plug-in.
    fn version(&self) -> &'static str;
    /// Returns the declared keys.
    fn keys(&self) -> &'static [ConfigKey];
    /// Returns the keys with the defaults that apply when it is selected as `class`, one of
    /// [`Plugin::other_classes`].
    fn keys_as(&self, _class: &str) -> &'static [ConfigKey] {
        self.keys()
    }
    /// Checks constraints between keys, after each key was checked individually. Pure: no I/O.
    fn check(&self, _config: &Config, _report: &mut ConfigReport) {}
}

/// A configuration: names and values as text, as received over REST.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config(BTreeMap<String, String>);

impl Config {
    /// Creates an empty configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the raw value of a key.
    pub fn get(&self, name: &str) -> Option<&str> {
        asked::note(name);
        self.0.get(name).map(String::as_str)
    }

    /// Returns the class that the configuration names (`connector.class`). Only the runtime knows
    /// which classes exist.
    pub fn class(&self) -> &str {
        self.0
            .get("connector.class")
            .map_or("", |class| class.trim())
    }

    /// Sets a key, replacing its current value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Removes a key and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Iterates over all keys, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// True if no key is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the keys that start with `prefix`, without the prefix (`producer.override.`).
    #[must_use]
    pub fn with_prefix(&self, prefix: &str) -> Self {
        // Keys with one prefix are adjacent in sorted order, so that reading many prefixes of a
        // large configuration does not scan all of it each time.
        let from = self
            .0
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.map_while(|(k, v)| Some((k.strip_prefix(prefix)?.to_owned(), v.to_owned())))
            .collect()
    }

    /// Reads typed values through a [`ConfigReader`] over `keys`.
    /// Errors: a report of every problem found, not only the first.
    pub fn read<T>(
        &self,
        keys: &'static [ConfigKey],
        fill: impl FnOnce(&mut ConfigReader<'_>) -> T,
    ) -> Result<T, ConfigReport> {
        let mut reader = ConfigReader::new(self, keys);
        let value = fill(&mut reader);
        let report = reader.finish();
        if report.is_ok() {
            Ok(value)
        } else {
            Err(report)
        }
    }
}

impl FromIterator<(String, String)> for Config {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Config {
    fn from(pairs: [(&str, &str); N]) -> Self {
        pairs
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    }
}
