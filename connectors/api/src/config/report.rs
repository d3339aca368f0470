//! What is wrong with a configuration: every problem at once, each on its key.

use crate::{Error, ErrorKind};

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The key it stands on.
    pub key: String,
    /// The whole text.
    pub message: String,
}

/// All problems and warnings found, in the order found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigReport {
    /// What keeps the configuration from being used.
    pub errors: Vec<ConfigProblem>,
    /// What a person should know all the same.
    pub warnings: Vec<ConfigProblem>,
    /// Values found for a key (tables, columns), for forms.
    pub recommended: Vec<(String, Vec<String>)>,
    /// Keys that a form leaves out, because other keys make them meaningless.
    pub hidden: Vec<String>,
}

impl ConfigReport {
    /// Adds an error with its whole text.
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

    /// Adds a warning.
    pub fn warn(&mut self, key: &str, message: impl Into<String>) {
        self.warnings.push(ConfigProblem {
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// Names the values that a form offers for a key, in place of those in its declaration.
    pub fn recommend(&mut self, key: &str, values: Vec<String>) {
        self.recommended.push((key.to_owned(), values));
    }

    /// Leaves a key out of forms.
    pub fn hide(&mut self, key: &str) {
        self.hidden.push(key.to_owned());
    }

    /// Whether there are no errors.
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }

    /// Adds everything another report holds.
    pub fn merge(&mut self, other: Self) {
        self.errors.extend(other.errors);
        self.warnings.extend(other.warnings);
        self.recommended.extend(other.recommended);
        self.hidden.extend(other.hidden);
    }
}

impl From<ConfigReport> for Error {
    /// All errors in one `Config` error, a line each.
    fn from(report: ConfigReport) -> Self {
        Self::of_lines(
            ErrorKind::Config,
            report.errors.into_iter().map(|problem| problem.message),
        )
    }
}
