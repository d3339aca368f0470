//! The error type of connectors. The code that detects an error classifies it as one of six kinds.
//!
//! Only the runtime's policy table decides what follows (retry, skip, dead letter, fail).

use std::borrow::Cow;
use std::fmt;

use crate::shown::{in_lines, on_one_line};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

type BoxedSource = Box<dyn std::error::Error + Send + Sync>;

/// The kind of an error, from which the runtime decides how to react.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Transient: a lost connection, a deadlock, a timeout, a restarting server. The same call may
    /// succeed later.
    Retry,
    /// This record cannot be processed (bad bytes, a value that the column refuses). Others may
    /// succeed.
    Record,
    /// The user must change the configuration or the database first.
    Config,
    /// Credentials or privileges were refused.
    Denied,
    /// Another owner has taken over this task; it must stop without any further write.
    Fenced,
    /// A bug or a broken invariant (an offset that no longer exists, a server response that makes
    /// no sense).
    Fatal,
}

/// An error with its [`ErrorKind`].
///
/// The message says what failed, where, and how to fix it. It never contains row values or secrets:
/// driver texts that may contain them belong in `source`, which is logged at debug level only.
pub struct Error {
    kind: ErrorKind,
    class: Option<&'static str>,
    message: Cow<'static, str>,
    /// True if line ends in the message separate problems. Otherwise they come from quoted outside
    /// text, and are escaped when shown.
    has_lines: bool,
    source: Option<BoxedSource>,
}

impl Error {
    /// Creates an error of kind `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            class: None,
            message: message.into(),
            has_lines: false,
            source: None,
        }
    }

    /// Creates a transient error, see [`ErrorKind::Retry`].
    pub fn retry(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Retry, message)
    }

    /// Creates an error about one record, see [`ErrorKind::Record`].
    pub fn record(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Record, message)
    }

    /// Creates an error that requires a change of configuration, see [`ErrorKind::Config`].
    pub fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Creates an error about missing credentials or privileges, see [`ErrorKind::Denied`].
    pub fn denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }

    /// Creates an error for a task that another owner has taken over, see [`ErrorKind::Fenced`].
    pub fn fenced(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Fenced, message)
    }

    /// Creates an error about a bug or a broken invariant, see [`ErrorKind::Fatal`].
    pub fn fatal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Fatal, message)
    }

    /// Attaches the cause, which is logged at debug level only.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<BoxedSource>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets the Java exception class shown in statuses and dead letters, where it does not follow
    /// from the kind.
    #[must_use]
    pub fn of_class(mut self, class: impl Into<Option<&'static str>>) -> Self {
        self.class = class.into();
        self
    }

    /// Replaces the message, which is one line, and keeps everything else.
    #[must_use]
    pub fn of_message(self, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            has_lines: false,
            ..self
        }
    }

    /// Prepends `prefix` and a colon to the message.
    #[must_use]
    pub fn context(mut self, prefix: impl fmt::Display) -> Self {
        self.message = Cow::Owned(format!("{prefix}: {}", self.message));
        self
    }

    /// Creates an error with one line per problem. Line ends within a problem are escaped.
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

    /// Appends a line to the message.
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

    /// Changes the kind, and keeps everything else but the Java exception class, which follows
    /// from the new kind.
    #[must_use]
    pub fn of_kind(self, kind: ErrorKind) -> Self {
        Self {
            kind,
            class: None,
            ..self
        }
    }

    /// Returns the error as it may be shown outside of its task, see [`Error::shown_message`].
    #[must_use]
    pub fn shown(mut self, hide: impl FnOnce(&str) -> String) -> Self {
        self.message = Cow::Owned(self.shown_message(hide));
        self
    }

    /// Returns the message as it may be shown outside of its task: `hide` is applied to it, and
    /// [deceptive characters](crate::shown::is_deceptive) are escaped.
    pub fn shown_message(&self, hide: impl FnOnce(&str) -> String) -> String {
        let hidden = hide(&self.message);
        if self.has_lines {
            in_lines(&hidden).into_owned()
        } else {
            on_one_line(&hidden).into_owned()
        }
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the Java exception class set by [`Error::of_class`].
    pub fn class(&self) -> Option<&'static str> {
        self.class
    }

    /// Returns the message, without the cause.
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
