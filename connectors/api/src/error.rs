//! The one error type of connectors: six kinds, named where the error is born.
//!
//! What happens then (retry, skip, dead letter, fail) is decided in the runtime's policy table only.

use std::borrow::Cow;
use std::fmt;

use crate::shown::{in_lines, on_one_line};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

type BoxedSource = Box<dyn std::error::Error + Send + Sync>;

/// What kind of trouble it is; decides what the runtime does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Transient: a lost connection, a deadlock, a timeout, a server restarting. The same call may succeed later.
    Retry,
    /// This one record cannot be processed (bad bytes, a value the column refuses). Others may.
    Record,
    /// The user must change the configuration or the database before it can work.
    Config,
    /// Credentials or privileges are refused.
    Denied,
    /// Another owner has taken over this task; this one must stop without writing anything more.
    Fenced,
    /// A bug or a broken invariant (an offset that no longer exists, a server answer that makes no sense).
    Fatal,
}

/// An error with its [`ErrorKind`].
///
/// The message says what, where and how to mend it. It never holds row values or secrets: texts of drivers that may
/// hold them belong into `source`, which goes to the log at debug level only.
pub struct Error {
    kind: ErrorKind,
    class: Option<&'static str>,
    message: Cow<'static, str>,
    /// The message has a line for each problem; elsewhere a line end came with words from outside.
    has_lines: bool,
    source: Option<BoxedSource>,
}

impl Error {
    /// An error of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            class: None,
            message: message.into(),
            has_lines: false,
            source: None,
        }
    }

    /// A transient error, see [`ErrorKind::Retry`].
    pub fn retry(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Retry, message)
    }

    /// An error of one record, see [`ErrorKind::Record`].
    pub fn record(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Record, message)
    }

    /// An error that only a change of configuration mends, see [`ErrorKind::Config`].
    pub fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Missing credentials or privileges, see [`ErrorKind::Denied`].
    pub fn denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }

    /// Another owner took over, see [`ErrorKind::Fenced`].
    pub fn fenced(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Fenced, message)
    }

    /// A bug or a broken invariant, see [`ErrorKind::Fatal`].
    pub fn fatal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Fatal, message)
    }

    /// The same error with its cause attached.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<BoxedSource>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error with the name of the Java exception that stands for it in statuses and dead letters, where that does
    /// not follow from its kind.
    #[must_use]
    pub fn of_class(mut self, class: impl Into<Option<&'static str>>) -> Self {
        self.class = class.into();
        self
    }

    /// The same error with `prefix` and a colon before its message.
    #[must_use]
    pub fn context(mut self, prefix: impl fmt::Display) -> Self {
        self.message = Cow::Owned(format!("{prefix}: {}", self.message));
        self
    }

    /// An error with a line for each problem, in which no problem's own words make lines.
    pub fn of_lines(kind: ErrorKind, problems: impl IntoIterator<Item = String>) -> Self {
        let lines: Vec<_> = problems
            .into_iter()
            .map(|problem| on_one_line(&problem).into_owned())
            .collect();
        Self {
            has_lines: true,
            ..Self::new(kind, lines.join("\n"))
        }
    }

    /// The same error with another line below its message.
    #[must_use]
    pub fn and_line(mut self, line: &str) -> Self {
        let message = if self.has_lines {
            in_lines(&self.message)
        } else {
            on_one_line(&self.message)
        };
        self.message = Cow::Owned(format!("{message}\n{}", on_one_line(line)));
        self.has_lines = true;
        self
    }

    /// The same error as it may be shown outside of its task: its message as `hide` leaves it, and with [deceptive
    /// characters](crate::shown::is_deceptive) as escapes.
    #[must_use]
    pub fn shown(mut self, hide: impl FnOnce(&str) -> String) -> Self {
        let hidden = hide(&self.message);
        let text = if self.has_lines {
            in_lines(&hidden)
        } else {
            on_one_line(&hidden)
        };
        self.message = Cow::Owned(text.into_owned());
        self
    }

    /// Its kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// See [`Error::of_class`].
    pub fn class(&self) -> Option<&'static str> {
        self.class
    }

    /// Its message, without the cause.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("class", &self.class)
            .field("message", &self.message)
            .field("source", &self.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| &**s as _)
    }
}
