//! The one table of what happens on an error: wait and try again, leave the record out, or fail the task. Pure.
//!
//! Names and waits follow Kafka Connect's `RetryWithToleranceOperator` (KIP-298): 300 ms, doubled each time.

use std::time::Duration;

use connector_api::{Config, Error, ErrorKind};

/// Where in a record's way an error came up; Kafka Connect's names (`errors.Stage`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorStage {
    /// Asking the source for rows.
    Poll,
    /// A transform or predicate.
    Transformation,
    /// Keys to or from bytes.
    KeyConverter,
    /// Values to or from bytes.
    ValueConverter,
    /// Header values to or from bytes.
    HeaderConverter,
    /// Writing to Kafka.
    Produce,
    /// Writing to the sink.
    Put,
}

impl ErrorStage {
    /// Its name in dead-letter headers and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Poll => "TASK_POLL",
            Self::Transformation => "TRANSFORMATION",
            Self::KeyConverter => "KEY_CONVERTER",
            Self::ValueConverter => "VALUE_CONVERTER",
            Self::HeaderConverter => "HEADER_CONVERTER",
            Self::Produce => "KAFKA_PRODUCE",
            Self::Put => "TASK_PUT",
        }
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try the same again after this time.
    Retry(Duration),
    /// Leave the record out (and send it to the dead-letter topic, if there is one).
    Skip,
    /// The task ends.
    Fail,
}

/// The `errors.*` keys of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `errors.tolerance=all`.
    pub tolerate: bool,
    /// `errors.log.enable`.
    pub log: bool,
    /// How long trouble that may pass is waited out; `None`: for ever.
    patience: Option<Duration>,
    /// The longest wait between two tries.
    longest: Duration,
}

const FIRST_WAIT: Duration = Duration::from_millis(300);
/// A lost database or broker is waited for at least this long before the task shows it as FAILED.
const LEAST_PATIENCE: Duration = Duration::from_secs(60);
/// The longest wait between two tries where `errors.retry.delay.max.ms` does not set one.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

impl Policy {
    /// Reads the keys. Errors: `Config`.
    pub fn read(config: &Config) -> Result<Self, Error> {
        let tolerate = match config.get("errors.tolerance").map(str::trim) {
            None | Some("none") => false,
            Some("all") => true,
            Some(other) => {
                return Err(Error::config(format!(
                    "errors.tolerance is '{other}'; it must be none or all"
                )));
            }
        };
        let patience = match number(config, "errors.retry.timeout")? {
            Some(ms) if ms < 0 => None,
            ms => Some(Duration::from_millis(ms.unwrap_or(0).unsigned_abs()).max(LEAST_PATIENCE)),
        };
        let longest = number(config, "errors.retry.delay.max.ms")?.map_or(LONGEST_WAIT, |ms| {
            Duration::from_millis(ms.max(1).unsigned_abs())
        });
        let log = config
            .get("errors.log.enable")
            .is_some_and(|v| v.trim().eq_ignore_ascii_case("true"));
        Ok(Self {
            tolerate,
            log,
            patience,
            longest,
        })
    }

    /// What to do about an error of that kind; `tries` have failed so far, the first of them `since` ago.
    pub fn judge(
        &self,
        kind: ErrorKind,
        stage: ErrorStage,
        tries: u32,
        since: Duration,
    ) -> Verdict {
        match kind {
            ErrorKind::Retry if self.patience.is_none_or(|patience| since < patience) => {
                Verdict::Retry(self.wait(tries))
            }
            ErrorKind::Record if self.tolerate && stage != ErrorStage::Poll => Verdict::Skip,
            ErrorKind::Retry
            | ErrorKind::Record
            | ErrorKind::Config
            | ErrorKind::Denied
            | ErrorKind::Fenced
            | ErrorKind::Fatal => Verdict::Fail,
        }
    }

    fn wait(&self, tries: u32) -> Duration {
        FIRST_WAIT
            .saturating_mul(1 << tries.saturating_sub(1).min(16))
            .min(self.longest)
    }
}

/// The exception class that Kafka Connect's tools know an error by: its own, else what follows from its kind and from
/// where it came up, if that is known. Of what a sink refuses, only Kafka Connect's own checks are a `DataException`.
pub fn exception_class(error: &Error, stage: Option<ErrorStage>) -> &'static str {
    error.class().unwrap_or(match error.kind() {
        ErrorKind::Retry => "org.apache.kafka.connect.errors.RetriableException",
        ErrorKind::Record if stage != Some(ErrorStage::Put) => {
            "org.apache.kafka.connect.errors.DataException"
        }
        ErrorKind::Config => "org.apache.kafka.common.config.ConfigException",
        ErrorKind::Record | ErrorKind::Denied | ErrorKind::Fenced | ErrorKind::Fatal => {
            "org.apache.kafka.connect.errors.ConnectException"
        }
    })
}

/// A whole number, if the key is given. Errors: `Config`.
pub(super) fn number(config: &Config, key: &str) -> Result<Option<i64>, Error> {
    let parse = |text: &str| {
        text.trim().parse().map_err(|_| {
            Error::config(format!(
                "Invalid value {text} for configuration {key}: Not a number"
            ))
        })
    };
    config.get(key).map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(pairs: &[(&str, &str)]) -> Policy {
        Policy::read(
            &pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        )
        .unwrap()
    }

    #[test]
    fn the_table() {
        let (strict, tolerant) = (policy(&[]), policy(&[("errors.tolerance", "all")]));
        let soon = Duration::from_secs(1);
        for (kind, stage, strictly, tolerantly) in [
            (
                ErrorKind::Record,
                ErrorStage::ValueConverter,
                Verdict::Fail,
                Verdict::Skip,
            ),
            (
                ErrorKind::Record,
                ErrorStage::Put,
                Verdict::Fail,
                Verdict::Skip,
            ),
            (
                ErrorKind::Record,
                ErrorStage::Poll,
                Verdict::Fail,
                Verdict::Fail,
            ),
            (
                ErrorKind::Config,
                ErrorStage::Put,
                Verdict::Fail,
                Verdict::Fail,
            ),
            (
                ErrorKind::Denied,
                ErrorStage::Poll,
                Verdict::Fail,
                Verdict::Fail,
            ),
            (
                ErrorKind::Fenced,
                ErrorStage::Put,
                Verdict::Fail,
                Verdict::Fail,
            ),
            (
                ErrorKind::Fatal,
                ErrorStage::Transformation,
                Verdict::Fail,
                Verdict::Fail,
            ),
            (
                ErrorKind::Retry,
                ErrorStage::Put,
                Verdict::Retry(FIRST_WAIT),
                Verdict::Retry(FIRST_WAIT),
            ),
        ] {
            assert_eq!(
                strict.judge(kind, stage, 1, soon),
                strictly,
                "{kind:?} {stage:?}"
            );
            assert_eq!(
                tolerant.judge(kind, stage, 1, soon),
                tolerantly,
                "{kind:?} {stage:?}"
            );
        }
    }

    #[test]
    fn an_errors_class_is_its_own_or_follows_from_kind_and_stage() {
        let record = || Error::record("bad");
        for (error, stage, want) in [
            (
                record().of_class("java.sql.SQLException"),
                Some(ErrorStage::Put),
                "java.sql.SQLException",
            ),
            (record().of_class("a.B").context("topic t"), None, "a.B"),
            (
                record(),
                Some(ErrorStage::Put),
                "org.apache.kafka.connect.errors.ConnectException",
            ),
            (
                record(),
                Some(ErrorStage::ValueConverter),
                "org.apache.kafka.connect.errors.DataException",
            ),
            (
                record(),
                None,
                "org.apache.kafka.connect.errors.DataException",
            ),
            (
                Error::retry("later"),
                None,
                "org.apache.kafka.connect.errors.RetriableException",
            ),
            (
                Error::config("no"),
                None,
                "org.apache.kafka.common.config.ConfigException",
            ),
        ] {
            assert_eq!(exception_class(&error, stage), want, "{error:?} {stage:?}");
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let policy = policy(&[
            ("errors.retry.delay.max.ms", "1000"),
            ("errors.retry.timeout", "120000"),
        ]);
        let waits: Vec<_> = (1..=4)
            .map(|tries| {
                match policy.judge(ErrorKind::Retry, ErrorStage::Poll, tries, Duration::ZERO) {
                    Verdict::Retry(wait) => wait.as_millis(),
                    _ => 0,
                }
            })
            .collect();
        assert_eq!(waits, [300, 600, 1000, 1000]);
        assert_eq!(
            policy.judge(
                ErrorKind::Retry,
                ErrorStage::Poll,
                40,
                Duration::from_secs(121)
            ),
            Verdict::Fail
        );
    }

    #[test]
    fn minus_one_waits_for_ever() {
        let policy = policy(&[("errors.retry.timeout", "-1")]);
        assert!(matches!(
            policy.judge(
                ErrorKind::Retry,
                ErrorStage::Put,
                9999,
                Duration::from_secs(1 << 30)
            ),
            Verdict::Retry(_)
        ));
    }
}
