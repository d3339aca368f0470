//! The one declaration of configuration keys, from which parsing, validation, forms, documentation and help all come.
//!
//! A plug-in declares `const KEYS: &[Key]` and fills its own struct through [`Config::read`]. A test compares the keys
//! that are read with the declared ones ([`unlike`]).
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

/// What every plug-in tells about itself.
pub trait Plugin: Send + Sync {
    /// The full class name it is shown under.
    fn class(&self) -> &'static str;
    /// Other full class names it answers to (the peers' names of the same thing).
    fn other_classes(&self) -> &'static [&'static str] {
        &[]
    }
    /// Its version.
    fn version(&self) -> &'static str;
    /// Its keys.
    fn keys(&self) -> &'static [ConfigKey];
    /// Its keys where it is asked for as `class`, one of [`Plugin::other_classes`]: with that one's defaults.
    fn keys_as(&self, _class: &str) -> &'static [ConfigKey] {
        self.keys()
    }
    /// Checks across keys, after each key was checked by itself. Pure: no I/O.
    fn check(&self, _config: &Config, _report: &mut ConfigReport) {}
}

/// A configuration: names and values as text, as they came over REST.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config(BTreeMap<String, String>);

impl Config {
    /// No keys at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// The raw value of a key.
    pub fn get(&self, name: &str) -> Option<&str> {
        asked::note(name);
        self.0.get(name).map(String::as_str)
    }

    /// The class that the configuration names (`connector.class`); which names there are is the runtime's to know.
    pub fn class(&self) -> &str {
        self.0
            .get("connector.class")
            .map_or("", |class| class.trim())
    }

    /// Sets a key.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Removes a key.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// All keys, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys that begin with `prefix`, with the prefix cut off (`producer.override.`).
    #[must_use]
    pub fn with_prefix(&self, prefix: &str) -> Self {
        // Sorted by name, they stand together: many prefixes of a large configuration do not read it whole each time.
        let from = self
            .0
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.map_while(|(k, v)| Some((k.strip_prefix(prefix)?.to_owned(), v.to_owned())))
            .collect()
    }

    /// Reads a typed value through a [`ConfigReader`] over `keys`. All errors at once: `Err` holds every problem found.
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
