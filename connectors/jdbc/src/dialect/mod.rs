//! SQL dialects: text, types and limits. Pure, no I/O; `driver` sends what is written here.

pub mod column_type;
pub mod logical_type;
pub mod mysql;
pub mod postgres;
pub mod read;
pub mod source_type;
pub mod sqlite;
pub mod writing;

use connector_api::ErrorKind;

use crate::calendar::DAY;
use crate::catalog::ColumnMeta;
use crate::dialect::read::{ReadColumn, ReadOptions, ValueDecoding};
use crate::ident::TableId;
use crate::url::DatabaseKind;

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
pub const MARK: &str = "{mark}";

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
    /// The privilege that a user needs for it.
    pub grant: &'static str,
}

/// The SQL of one kind of database.
pub trait Dialect: Send + Sync {
    /// Name of the database, for messages.
    fn name(&self) -> &'static str;

    /// Limits of the server.
    fn limits(&self) -> ServerLimits;

    /// The character that quotes identifiers.
    fn quote_char(&self) -> char;

    /// Appends the placeholder of a parameter; parameters are numbered from 1.
    fn placeholder(&self, number: usize, out: &mut String);

    /// Appends a placeholder whose text parameter is compared as a value of that SQL type.
    fn typed_placeholder(&self, number: usize, sql_type: &str, out: &mut String);

    /// SQL that returns a number other than 0 if the server compares names of tables without regard
    /// to case; `None` if no server of this kind does so for all names.
    fn any_case(&self) -> Option<&'static str> {
        None
    }

    /// Prefix of a function's name that makes it the system's, whatever the search path contains.
    fn system(&self) -> &'static str {
        ""
    }

    /// SQL that returns the server's clock: in UTC, and in the zone in which the server writes
    /// date-times without zone.
    fn clock(&self) -> &'static str;

    /// Minimum distance between two values of a date-time column, in microseconds: rows written
    /// within one step may have the same timestamp.
    fn stamp_step(&self, meta: &ColumnMeta) -> i64 {
        stamp_step(meta, FINEST)
    }

    /// An expression that converts a date-time in UTC (a placeholder) to the zone in which the
    /// server writes date-times; `None` if that is UTC.
    fn local_time(&self) -> Option<&'static str> {
        None
    }

    /// Statements to send when a reading session begins.
    fn reading_setup(&self) -> &'static [&'static str];

    /// The statement that sets a session's transaction isolation level; `None` if there is only
    /// one.
    fn isolation(&self, level: &str) -> Option<String> {
        Some(format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}"))
    }

    /// A statement after which the next one sees uncommitted rows too; `None` if none can.
    fn read_uncommitted(&self) -> Option<&'static str>;

    /// How to find out when the oldest open transaction began; `None` if no transaction can be
    /// overtaken.
    fn oldest_transaction(&self) -> Option<OldestTransaction>;

    /// SQL that returns the usual distance between two ids assigned by the server; `None` if it is
    /// 1.
    fn id_step(&self) -> Option<&'static str> {
        None
    }

    /// True if the server's snapshots show which transactions have ended (PostgreSQL's
    /// `pg_current_snapshot`).
    fn has_snapshots(&self) -> bool;

    /// Returns how a column is read into records.
    fn read_column(&self, meta: &ColumnMeta, options: &ReadOptions) -> ReadColumn;

    /// An expression for a date-time column in the form in which it is compared with a bound
    /// timestamp.
    fn stamp(&self, column: &str) -> String {
        column.to_owned()
    }

    /// True if a column read this way may hold points in time although its type does not say so.
    fn may_hold_times(&self, _meta: &ColumnMeta, _read: &ValueDecoding) -> bool {
        false
    }

    /// SQL that tests whether a column's value is a point in time, for databases in which any
    /// column may hold any value.
    fn is_time(&self, _column: &str) -> Option<String> {
        None
    }

    /// True if a column of that type, bound as a parameter, can distinguish and order rows.
    fn orders(&self, meta: &ColumnMeta) -> bool;

    /// Classifies a server's error. `code` is its own number (`1213`), empty if there is only the
    /// SQLSTATE.
    fn classify(&self, code: &str, sqlstate: &str) -> ErrorKind;

    /// Appends a quoted identifier.
    fn quote(&self, identifier: &str, out: &mut String) {
        let q = self.quote_char();
        out.push(q);
        for c in identifier.chars() {
            if c == q {
                out.push(q);
            }
            out.push(c);
        }
        out.push(q);
    }

    /// True if a name means another one when it is not quoted.
    fn folds(&self, _name: &str) -> bool {
        false
    }

    /// Returns the table's full name, each part quoted.
    fn table(&self, id: &TableId) -> String {
        let mut out = String::new();
        for (n, part) in id.parts().enumerate() {
            if n > 0 {
                out.push('.');
            }
            self.quote(part, &mut out);
        }
        out
    }

    /// Returns the quoted identifier.
    fn quoted(&self, identifier: &str) -> String {
        let mut out = String::with_capacity(identifier.len() + 2);
        self.quote(identifier, &mut out);
        out
    }
}

/// Maximum digits of a fractional second.
const FINEST: u32 = 6;

/// Implements [`Dialect::stamp_step`]; `digits` are those of a date-time declared without any.
fn stamp_step(meta: &ColumnMeta, digits: u32) -> i64 {
    if meta.data_type == "date" {
        return DAY;
    }
    10_i64.pow(FINEST.saturating_sub(meta.fraction.unwrap_or(digits)))
}

/// Returns the dialect of a database.
pub fn of(database: DatabaseKind) -> &'static dyn Dialect {
    match database {
        DatabaseKind::MySql => &mysql::MySqlDialect,
        DatabaseKind::Postgres => &postgres::PostgresDialect,
        DatabaseKind::Sqlite => &sqlite::SqliteDialect,
    }
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::calendar::{DAY, SECOND};
    use crate::catalog::ColumnMeta;
    use crate::url::DatabaseKind;

    #[test]
    fn stamps_are_as_far_apart_as_their_digits_say() {
        let (mysql, postgres) = (DatabaseKind::MySql, DatabaseKind::Postgres);
        for (database, data_type, fraction, want) in [
            (mysql, "datetime", Some(0), SECOND),
            (mysql, "datetime", None, SECOND),
            (mysql, "timestamp", Some(3), 1000),
            (mysql, "datetime", Some(6), 1),
            (mysql, "date", None, DAY),
            (postgres, "timestamp", None, 1),
            (postgres, "timestamptz", Some(0), SECOND),
            (DatabaseKind::Sqlite, "date", None, 1),
        ] {
            let meta = ColumnMeta {
                data_type: data_type.into(),
                fraction,
                ..ColumnMeta::default()
            };
            assert_eq!(
                of(database).stamp_step(&meta),
                want,
                "{database:?} {data_type} {fraction:?}"
            );
        }
    }
}
