//! The result of validating a configuration: all problems, each on its key.

use crate::{Error, ErrorKind};

/// One problem with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Key that the problem is reported on.
    pub key: String,
    /// Complete text of the problem.
    pub message: String,
}

/// All problems and warnings, in the order found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigReport {
    /// Problems that prevent the configuration from being used.
    pub errors: Vec<ConfigProblem>,
    /// Warnings that do not prevent the configuration from being used.
    pub warnings: Vec<ConfigProblem>,
    /// Values found for a key (tables, columns), to be offered in forms.
    pub recommended: Vec<(String, Vec<String>)>,
    /// Keys hidden in forms because other keys make them irrelevant.
    pub hidden: Vec<String>,
}

impl ConfigReport {
    /// Adds an error; `message` is the complete text.
    pub fn error(&mut self, key: &str, message: impl Into<String>) {
        self.errors.push(ConfigProblem {
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// Adds `Invalid value V for configuration K: reason`.
    pub fn invalid(&mut self, key: &str, value: &str, reason: &str) {
        self.error(
            key,
            format!("Invalid value {value} for configuration {key}: {reason}"),
        );
    }

    /// Adds a warning; `message` is the complete text.
    pub fn warn(&mut self, key: &str, message: impl Into<String>) {
        self.warnings.push(ConfigProblem {
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// Sets the values that a form offers for a key, in place of the declared ones.
    pub fn recommend(&mut self, key: &str, values: Vec<String>) {
        self.recommended.push((key.to_owned(), values));
    }

    /// Hides a key in forms.
    pub fn hide(&mut self, key: &str) {
        self.hidden.push(key.to_owned());
    }

    /// True if there are no errors; warnings do not count.
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }

    /// Appends the contents of another report.
    pub fn merge(&mut self, other: Self) {
        self.errors.extend(other.errors);
        self.warnings.extend(other.warnings);
        self.recommended.extend(other.recommended);
        self.hidden.extend(other.hidden);
    }
}

impl From<ConfigReport> for Error {
    /// Joins all errors into one `Config` error, one per line.
    fn from(report: ConfigReport) -> Self {
        Self::of_lines(
            ErrorKind::Config,
            report.errors.into_iter().map(|problem| problem.message),
        )
    }
}
