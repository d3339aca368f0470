//! Typed access to a [`Config`] through its declared keys.

use super::asked::note;
use super::{Config, ConfigKey, ConfigReport, ParsedValue};

/// Reads the keys of one table. A value that cannot be parsed is reported and read as its type's
/// empty value, so that all problems are found in one pass.
pub struct ConfigReader<'a> {
    config: &'a Config,
    keys: &'static [ConfigKey],
    report: ConfigReport,
}

impl<'a> ConfigReader<'a> {
    pub(super) fn new(config: &'a Config, keys: &'static [ConfigKey]) -> Self {
        Self {
            config,
            keys,
            report: ConfigReport::default(),
        }
    }

    pub(super) fn finish(self) -> ConfigReport {
        self.report
    }

    /// Returns the configuration itself, for open-ended groups of keys (`connection.*`).
    pub fn config(&self) -> &'a Config {
        self.config
    }

    /// Returns the report, to add problems that involve several keys.
    pub fn report(&mut self) -> &mut ConfigReport {
        &mut self.report
    }

    /// True if the user has set the key under any of its spellings.
    pub fn is_set(&mut self, name: &'static str) -> bool {
        self.raw(name).1.is_some()
    }

    fn raw(&mut self, name: &'static str) -> (Option<&'static ConfigKey>, Option<&'a str>) {
        note(name);
        let Some(key) = self.keys.iter().find(|k| k.name == name) else {
            self.report.error(
                name,
                format!("{name} is read but not declared: this is a bug"),
            );
            return (None, None);
        };
        let spellings = std::iter::once(&key.name).chain(key.aliases);
        let raw = spellings
            .filter_map(|name| self.config.0.get(*name))
            .map(String::as_str)
            .next();
        (Some(key), raw)
    }

    fn parsed(&mut self, name: &'static str) -> ParsedValue {
        let (Some(key), raw) = self.raw(name) else {
            return ParsedValue::Null;
        };
        match key.parse(raw) {
            Ok(parsed) => parsed,
            Err(message) => {
                self.report.error(key.name, message);
                ParsedValue::Null
            }
        }
    }

    /// Reads a BOOLEAN; false if null or invalid.
    pub fn bool(&mut self, name: &'static str) -> bool {
        matches!(self.parsed(name), ParsedValue::Bool(true))
    }

    /// Reads an INT, SHORT or LONG; 0 if null or invalid.
    pub fn long(&mut self, name: &'static str) -> i64 {
        self.long_opt(name).unwrap_or_default()
    }

    /// Reads an INT, SHORT or LONG that may be null.
    pub fn long_opt(&mut self, name: &'static str) -> Option<i64> {
        match self.parsed(name) {
            ParsedValue::Int(n) => Some(n),
            _ => None,
        }
    }

    /// Reads an INT, SHORT or LONG that is a count or a duration; never negative.
    pub fn unsigned(&mut self, name: &'static str) -> u64 {
        self.long(name).max(0).unsigned_abs()
    }

    /// Reads a DOUBLE.
    pub fn double(&mut self, name: &'static str) -> f64 {
        match self.parsed(name) {
            ParsedValue::Double(n) => n,
            _ => 0.0,
        }
    }

    /// Reads a STRING, CLASS or PASSWORD; empty if null or invalid.
    pub fn text(&mut self, name: &'static str) -> String {
        self.text_opt(name).unwrap_or_default()
    }

    /// Reads a STRING, CLASS or PASSWORD that may be null.
    pub fn text_opt(&mut self, name: &'static str) -> Option<String> {
        match self.parsed(name) {
            ParsedValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Reads a LIST.
    pub fn list(&mut self, name: &'static str) -> Vec<String> {
        match self.parsed(name) {
            ParsedValue::List(items) => items,
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigKey, ConfigType, DefaultValue, KeyValidator, keys_asked};

    const KEYS: &[ConfigKey] = &[
        ConfigKey::new("a", ConfigType::Int, DefaultValue::Text("5"), "G", "")
            .check(KeyValidator::AtLeast(1)),
        ConfigKey::new(
            "b",
            ConfigType::Boolean,
            DefaultValue::Text("false"),
            "G",
            "",
        )
        .aliases(&["bee"]),
        ConfigKey::new("c", ConfigType::String, DefaultValue::Required, "G", ""),
        ConfigKey::new("d", ConfigType::List, DefaultValue::Text(""), "G", ""),
        ConfigKey::new("e", ConfigType::String, DefaultValue::Text("x"), "G", "")
            .check(KeyValidator::OneOf(&["x", "y"])),
    ];

    #[test]
    fn every_problem_is_reported_at_once_with_kafkas_texts() {
        let config = Config::from([("a", "0"), ("bee", "perhaps"), ("e", "z")]);
        let report = config.read(KEYS, |r| {
            (
                r.long("a"),
                r.bool("b"),
                r.text("c"),
                r.list("d"),
                r.text("e"),
            )
        });
        let texts: Vec<_> = report
            .unwrap_err()
            .errors
            .into_iter()
            .map(|p| p.message)
            .collect();
        assert_eq!(
            texts,
            [
                "Invalid value 0 for configuration a: Value must be at least 1",
                "Invalid value perhaps for configuration b: Expected value to be either true or false",
                "Missing required configuration \"c\" which has no default value.",
                "Invalid value z for configuration e: String must be one of: x, y",
            ]
        );
    }

    #[test]
    fn a_key_that_is_not_declared_cannot_be_read() {
        let report = Config::from([("c", "t"), ("f", "1")])
            .read(KEYS, |r| (r.text("c"), r.long("f")))
            .unwrap_err();
        assert_eq!(
            report
                .errors
                .iter()
                .map(|problem| problem.key.as_str())
                .collect::<Vec<_>>(),
            ["f"]
        );
    }

    #[test]
    fn keys_that_are_asked_for_are_known_while_somebody_wants_to_know() {
        let config = Config::from([("c", "t"), ("p.x", "1")]);
        let asked = keys_asked(|| {
            drop(config.read(KEYS, |r| (r.is_set("b"), r.text("c"))));
            drop(config.with_prefix("p.").get("x").map(str::to_owned));
        });
        assert_eq!(
            asked.iter().map(String::as_str).collect::<Vec<_>>(),
            ["b", "c", "x"]
        );
        assert!(config.get("c").is_some() && keys_asked(|| {}).is_empty());
    }

    #[test]
    fn values_are_trimmed_lists_split_and_aliases_found() {
        let config = Config::from([("a", " 7 "), ("bee", "TRUE"), ("c", "t"), ("d", "x, y ,z")]);
        let read = config.read(KEYS, |r| {
            (
                r.long("a"),
                r.bool("b"),
                r.list("d"),
                r.text("c"),
                r.text("e"),
            )
        });
        assert_eq!(
            read.unwrap(),
            (
                7,
                true,
                vec!["x".into(), "y".into(), "z".into()],
                "t".into(),
                "x".into()
            )
        );
    }
}
