//! Predicates of `org.apache.kafka.connect.transforms.predicates`: `HasHeaderKey`,
//! `RecordIsTombstone` and `TopicNameMatches`; and the transform `Filter`, which drops the records
//! that its predicate matches.

use connector_api::config::{
    Config, ConfigKey, ConfigReport, ConfigType, DefaultValue, Importance, KeyValidator,
};
use connector_api::pattern::Pattern;
use connector_api::{Predicate, Record, Result, TopicOffset, Transform};

use super::part::key;
use super::route::{check_regex, matches_whole, whole};

/// Drops every record that it is applied to; used with a predicate.
pub(crate) struct Filter;

impl Transform for Filter {
    fn apply(&mut self, _record: Record, _at: Option<&TopicOffset>) -> Result<Option<Record>> {
        Ok(None)
    }
}

/// The keys of [`HasHeaderKey`].
pub(crate) const HAS_HEADER_KEYS: &[ConfigKey] = &[key(
    "name",
    ConfigType::String,
    DefaultValue::Required,
    Importance::Medium,
    "The header's name.",
)
.check(KeyValidator::NonEmpty)];

/// Matches records with at least one header of the given name.
pub(crate) struct HasHeaderKey {
    name: String,
}

impl HasHeaderKey {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigReport> {
        config.read(HAS_HEADER_KEYS, |keys| Self {
            name: keys.text("name"),
        })
    }
}

impl Predicate for HasHeaderKey {
    fn test(&mut self, record: &Record) -> Result<bool> {
        Ok(record
            .headers
            .iter()
            .any(|header| *header.key == *self.name))
    }
}

/// Matches records with a null value.
pub(crate) struct RecordIsTombstone;

impl Predicate for RecordIsTombstone {
    fn test(&mut self, record: &Record) -> Result<bool> {
        Ok(record.value.value.is_null())
    }
}

/// The keys of [`TopicNameMatches`].
pub(crate) const TOPIC_KEYS: &[ConfigKey] = &[key(
    "pattern",
    ConfigType::String,
    DefaultValue::Required,
    Importance::Medium,
    "Regular expression that must match the whole name of the topic.",
)
.check(KeyValidator::By(check_pattern))];

fn check_pattern(text: &str) -> Result<(), String> {
    if text.is_empty() {
        Err("String must be non-empty".to_owned())
    } else {
        check_regex(text)
    }
}

/// Matches records whose whole topic name matches a regular expression.
pub(crate) struct TopicNameMatches {
    pattern: Pattern,
}

impl TopicNameMatches {
    /// Reads the settings.
    /// Errors: every invalid key.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigReport> {
        let pattern = config.read(TOPIC_KEYS, |keys| keys.text("pattern"))?;
        Ok(Self {
            pattern: whole("pattern", &pattern)?,
        })
    }
}

impl Predicate for TopicNameMatches {
    fn test(&mut self, record: &Record) -> Result<bool> {
        matches_whole(&self.pattern, &record.topic)
    }
}
