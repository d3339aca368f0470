//! The one place that decides what follows from an error: retry, skip the record, or fail the task.
//! [`Policy`] is pure; [`Retry`] keeps the clock.
//!
//! Names and waits follow Kafka Connect's `RetryWithToleranceOperator` (KIP-298): 300 ms, doubled
//! each time.

use std::time::{Duration, Instant};

use connector_api::{Backoff, Config, Error, ErrorKind};

/// Where an error occurred, with Kafka Connect's names (`errors.Stage`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorStage {
    /// Polling the source.
    Poll,
    /// A transform or predicate.
    Transformation,
    KeyConverter,
    ValueConverter,
    /// Converting header values.
    HeaderConverter,
    /// Writing to Kafka.
    Produce,
    /// Writing to the sink.
    Put,
}

impl ErrorStage {
    /// Returns the name used in dead-letter headers and logs.
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

/// What follows from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Retry after this time.
    Retry(Duration),
    /// Skip the record (and send it to the dead-letter topic, if the connector has one).
    Skip,
    /// Fail the task.
    Fail,
}

/// The `errors.*` keys of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// `errors.tolerance=all`.
    pub tolerate: bool,
    /// `errors.log.enable`.
    pub log: bool,
    /// How long a transient error is retried; `None` means for ever.
    patience: Option<Duration>,
    /// Wait between two attempts.
    backoff: Backoff,
}

const FIRST_WAIT: Duration = Duration::from_millis(300);
/// Minimum time that a lost database or broker is retried before the task is FAILED.
const LEAST_PATIENCE: Duration = Duration::from_secs(60);
/// Default of `errors.retry.delay.max.ms`.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// An attempt that lasted this long had recovered from the error before it.
const LASTING: Duration = Duration::from_secs(60);

impl Policy {
    /// Reads the `errors.*` keys. Errors: `Config`.
    pub(super) fn read(config: &Config) -> Result<Self, Error> {
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
        let max = number(config, "errors.retry.delay.max.ms")?.map_or(LONGEST_WAIT, |ms| {
            Duration::from_millis(ms.max(1).unsigned_abs())
        });
        let log = config
            .get("errors.log.enable")
            .is_some_and(|v| v.trim().eq_ignore_ascii_case("true"));
        Ok(Self {
            tolerate,
            log,
            patience,
            backoff: Backoff {
                first: FIRST_WAIT,
                max,
            },
        })
    }

    /// True if a record with this error is skipped instead of failing the task.
    pub(super) fn skips(&self, error: &Error, stage: ErrorStage) -> bool {
        self.judge(error.kind(), stage, 1, Duration::MAX) == Verdict::Skip
    }

    /// Returns what follows from an error of that kind, given the number of failed attempts and how
    /// long they have lasted.
    fn judge(
        &self,
        kind: ErrorKind,
        stage: ErrorStage,
        attempts: u32,
        lasted: Duration,
    ) -> Verdict {
        match kind {
            ErrorKind::Retry if self.patience.is_none_or(|patience| lasted < patience) => {
                Verdict::Retry(self.backoff.after(attempts))
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
}

/// Counts the consecutive failures of one retried operation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    attempts: u32,
    /// Start of the retry time: the first failure, or the start of the first attempt.
    since: Option<Instant>,
}

/// How long [`Retry::fail`] keeps retrying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryLimit {
    /// As long as the connector's `errors.retry.timeout` says.
    Policy,
    /// For ever: a Kafka client waits for its brokers however long they are away.
    Unlimited,
}

impl RetryLimit {
    /// Returns no limit for failures of Kafka itself, and the policy's limit for others.
    pub(super) fn for_kafka(is_kafka: bool) -> Self {
        if is_kafka {
            Self::Unlimited
        } else {
            Self::Policy
        }
    }
}

impl Retry {
    /// Starts the retry time now rather than at the first failure.
    pub(super) fn started() -> Self {
        Self {
            attempts: 0,
            since: Some(Instant::now()),
        }
    }

    /// Counts a failure and returns what follows from it.
    pub(super) fn fail(
        &mut self,
        policy: &Policy,
        kind: ErrorKind,
        stage: ErrorStage,
        limit: RetryLimit,
    ) -> Verdict {
        self.attempts = self.attempts.saturating_add(1);
        let since = *self.since.get_or_insert_with(Instant::now);
        let lasted = match limit {
            RetryLimit::Policy => since.elapsed(),
            RetryLimit::Unlimited => Duration::ZERO,
        };
        policy.judge(kind, stage, self.attempts, lasted)
    }

    /// True if the last attempt failed.
    pub(super) fn is_failing(&self) -> bool {
        self.attempts > 0
    }

    /// Notes a success. Returns true if the attempt before had failed.
    pub(super) fn reset(&mut self) -> bool {
        std::mem::take(self).is_failing()
    }

    /// Resets the count if the attempt that has just failed lasted longer than a minute: its
    /// failure is a new one.
    pub(super) fn reset_if_lasted(&mut self, began: Instant) {
        if began.elapsed() > LASTING {
            self.reset();
        }
    }
}

/// Returns the exception class by which Kafka Connect's tools know an error: the error's own, else
/// one derived from its kind and stage. Of the errors of a sink, only Kafka Connect's own checks
/// are a `DataException`.
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

/// Reads a whole number; `None` if the key is absent. Errors: `Config`.
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
        use Verdict::{Fail, Retry, Skip};
        let (strict, tolerant) = (policy(&[]), policy(&[("errors.tolerance", "all")]));
        let soon = Duration::from_secs(1);
        for (kind, stage, strictly, tolerantly) in [
            (ErrorKind::Record, ErrorStage::ValueConverter, Fail, Skip),
            (ErrorKind::Record, ErrorStage::Put, Fail, Skip),
            (ErrorKind::Record, ErrorStage::Poll, Fail, Fail),
            (ErrorKind::Config, ErrorStage::Put, Fail, Fail),
            (ErrorKind::Denied, ErrorStage::Poll, Fail, Fail),
            (ErrorKind::Fenced, ErrorStage::Put, Fail, Fail),
            (ErrorKind::Fatal, ErrorStage::Transformation, Fail, Fail),
            (
                ErrorKind::Retry,
                ErrorStage::Put,
                Retry(FIRST_WAIT),
                Retry(FIRST_WAIT),
            ),
        ] {
            let verdicts = [strict, tolerant].map(|policy| policy.judge(kind, stage, 1, soon));
            assert_eq!(verdicts, [strictly, tolerantly], "{kind:?} {stage:?}");
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

    #[test]
    fn failures_in_a_row_wait_longer_and_a_success_starts_over() {
        let policy = policy(&[]);
        let mut retry = Retry::default();
        let fail = |retry: &mut Retry| {
            retry.fail(
                &policy,
                ErrorKind::Retry,
                ErrorStage::Poll,
                RetryLimit::Policy,
            )
        };
        assert!(!retry.is_failing() && !retry.reset());
        assert_eq!(fail(&mut retry), Verdict::Retry(FIRST_WAIT));
        assert_eq!(fail(&mut retry), Verdict::Retry(FIRST_WAIT * 2));
        retry.reset_if_lasted(Instant::now());
        assert!(retry.is_failing());
        assert!(retry.reset());
        assert_eq!(fail(&mut retry), Verdict::Retry(FIRST_WAIT));
    }

    #[test]
    fn patience_ends_except_for_kafka() {
        let policy = policy(&[]);
        let Some(long_ago) = Instant::now().checked_sub(LEAST_PATIENCE) else {
            return;
        };
        for (limit, want) in [
            (RetryLimit::for_kafka(false), Verdict::Fail),
            (RetryLimit::for_kafka(true), Verdict::Retry(FIRST_WAIT)),
        ] {
            let mut retry = Retry {
                attempts: 0,
                since: Some(long_ago),
            };
            let verdict = retry.fail(&policy, ErrorKind::Retry, ErrorStage::Put, limit);
            assert_eq!(verdict, want, "{limit:?}");
        }
    }
}
