//! What servers of one kind have, and the statements for it: plain data, one constant for each kind
//! of database. Pure.

use std::time::Duration;

/// Limits of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Maximum bound parameters of one statement.
    pub params: usize,
    /// Maximum length of an identifier, in the server's own unit (characters or bytes).
    pub identifier: usize,
    /// Maximum bytes of a statement with its parameters, if nothing else is known.
    pub packet: usize,
    /// Bytes of a statement with its parameters that a server never accepts, if it does not report
    /// its limit.
    pub largest: usize,
}

/// Placeholder in a statement for a text that is new each time.
pub(crate) const MARK: &str = "{mark}";

/// Statements that return when the oldest open transaction began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldestTransaction {
    /// Returns microseconds since the oldest statement that may write began (NULL: there is none);
    /// empty if `sql` covers that as well. Sent first.
    pub running: &'static str,
    /// Sent before `sql`.
    pub before: &'static str,
    /// Returns one row: anything, microseconds since the oldest transaction began (NULL: there is
    /// none), and whether the answer is reliable. If timestamps may be older than their
    /// transactions, also the least and the greatest number of the open ones (otherwise NULL).
    pub sql: &'static str,
    /// True if `sql` contains [`MARK`] for a text that is new each time, by which it recognizes a
    /// fresh answer. Without it, an unreliable answer stays unreliable.
    pub marked: bool,
    /// Sent after `sql`.
    pub after: &'static str,
    /// Returns one row of one text: for each prepared transaction that `sql` does not list, its
    /// number and the microseconds since it was prepared, as in `731 52000,734 100`. Empty if `sql`
    /// lists them all.
    pub prepared: &'static str,
    /// By how many microseconds the begin of a transaction may be listed later than the timestamps
    /// that it has written.
    pub listed_late: i64,
    /// Minimum time between two queries to one server.
    pub every: Duration,
    /// The same while others query it as well.
    pub every_beside_others: Duration,
    /// The privilege that a user needs for it.
    pub grant: &'static str,
}

/// What servers of one kind have. `None`, `false` and empty texts: they do not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Name of the database, for messages.
    pub name: &'static str,
    pub limits: ServerLimits,
    /// The character that quotes identifiers.
    pub quote_char: char,
    /// Prefix of a function's name that makes it the system's, whatever the search path contains.
    pub system_prefix: &'static str,
    /// SQL that returns a number other than 0 if the server compares names of tables without regard
    /// to case.
    pub case_insensitive_names: Option<&'static str>,
    /// SQL that returns the server's clock: in UTC, and in the zone in which the server writes
    /// date-times without zone.
    pub clock: &'static str,
    /// An expression that converts a date-time in UTC (a placeholder) to the zone in which the
    /// server writes date-times; `None` if that is UTC.
    pub local_time: Option<&'static str>,
    /// Statements to send when a reading session begins.
    pub reading_setup: &'static [&'static str],
    /// Statements after which a session cannot write any more, whatever the statements of a user do.
    pub read_only_session: &'static [&'static str],
    /// The statement after which an open transaction cannot write; `None` if
    /// [`read_only_session`](Self::read_only_session) suffices.
    pub read_only_transaction: Option<&'static str>,
    /// The statement that sets a session's transaction isolation level to `{level}`; `None` if
    /// there is only one level.
    pub isolation: Option<&'static str>,
    /// A statement after which the next one sees uncommitted rows too.
    pub read_uncommitted: Option<&'static str>,
    /// How to find out when the oldest open transaction began; `None` if no transaction can be
    /// overtaken.
    pub oldest_transaction: Option<OldestTransaction>,
    /// SQL that returns the usual distance between two ids assigned by the server; `None` if it is
    /// 1.
    pub id_step: Option<&'static str>,
    /// A connection reads one database of the server, and names of others are out of its reach.
    pub connects_to_one_database: bool,
    /// A listing of tables can be asked for each database of the server.
    pub lists_other_databases: bool,
    /// Names that are not quoted are folded to lower case.
    pub folds_names: bool,
    /// Names longer than [`ServerLimits::identifier`] bytes are cut without an error.
    pub truncates_names: bool,
    pub syntax: SqlSyntax,
    /// The server's snapshots show which transactions have ended (PostgreSQL's
    /// `pg_current_snapshot`).
    pub has_snapshots: bool,
}

/// Where comments, strings and names begin and end, in addition to standard SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlSyntax {
    /// `#` begins a comment.
    pub hash_comments: bool,
    /// `--` begins a comment only before a blank or control character: `--1` is a number.
    pub dashes_need_blank: bool,
    /// `/* /* */ */` is one comment.
    pub nested_comments: bool,
    /// The server executes the content of `/*! … */` and `/*M! … */`.
    pub executable_comments: bool,
    /// A backslash in a string is an escape.
    pub backslash_escapes: bool,
    /// `E'…'` is a string in which a backslash is an escape.
    pub escape_strings: bool,
    /// `$tag$ … $tag$` is a string, and `$1` a parameter.
    pub dollar_quotes: bool,
    /// Names may be quoted by backticks.
    pub backtick_names: bool,
    /// Names may be quoted by brackets.
    pub bracket_names: bool,
    /// `?` is a parameter.
    pub question_parameters: bool,
    /// `$name`, `@name`, `:name` and `#name` are parameters. As in Tcl, a name may end with anything
    /// in parentheses, quotes and semicolons included: `$a(';)`.
    pub tcl_variables: bool,
    /// A colon may be followed by something else than a name, as in `a[1:2]`.
    pub lone_colons: bool,
}
