//! SQL dialects: text, types and limits. Pure, no I/O; `driver` sends what is written here.

pub mod column_type;
pub mod fixed;
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

/// What a server takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Bound parameters of one statement.
    pub params: usize,
    /// Length of an identifier, in the server's own unit (characters or bytes).
    pub identifier: usize,
    /// Bytes of one statement with its parameters, where nothing else is known.
    pub packet: usize,
    /// Bytes of one statement with its parameters that are never taken, where the server does not tell.
    pub largest: usize,
}

/// Stands in a statement for a text that is new each time.
pub const MARK: &str = "{mark}";

/// Statements that tell when the oldest open transaction began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldestTransaction {
    /// Gives microseconds since the oldest statement that may write began (NULL: there is none); empty where `sql` tells
    /// that as well. Sent first.
    pub running: &'static str,
    /// Sent before `sql`.
    pub before: &'static str,
    /// Gives one row: anything, microseconds since it began (NULL: there is none), whether the answer can be relied on;
    /// where stamps are older than transactions may be, the least and the greatest number of those that are open (else
    /// NULL).
    pub sql: &'static str,
    /// Whether [`MARK`] stands in it for a text that is new each time, by which it knows a fresh answer. Without, an
    /// answer that cannot be relied on stays so.
    pub marked: bool,
    /// Sent after.
    pub after: &'static str,
    /// What a user must be granted for it.
    pub grant: &'static str,
}

/// One database's SQL.
pub trait Dialect: Send + Sync {
    /// Its name in texts.
    fn name(&self) -> &'static str;

    /// What the server takes at most.
    fn limits(&self) -> ServerLimits;

    /// The character around identifiers.
    fn quote_char(&self) -> char;

    /// Appends the placeholder of the parameter numbered from 1.
    fn placeholder(&self, number: usize, out: &mut String);

    /// Appends a placeholder whose text parameter is compared as a value of that SQL type.
    fn typed_placeholder(&self, number: usize, sql_type: &str, out: &mut String);

    /// SQL that tells with a number other than 0 that the server compares names of tables without regard to case; `None`
    /// where none does so for all of them.
    fn any_case(&self) -> Option<&'static str> {
        None
    }

    /// What stands before a function's name, so that it is the system's, whatever else the search path finds.
    fn system(&self) -> &'static str {
        ""
    }

    /// SQL that gives the server's clock: in UTC, and in the zone that the server writes date-times without zone in.
    fn clock(&self) -> &'static str;

    /// How far apart two values of a date-time column are at least, in microseconds: what comes within one step may have
    /// one stamp.
    fn stamp_step(&self, meta: &ColumnMeta) -> i64 {
        stamp_step(meta, FINEST)
    }

    /// The date-time of the clock's second zone at an instant, as an expression with a placeholder for its date-time in
    /// UTC; `None` where both are the same.
    fn local_time(&self) -> Option<&'static str> {
        None
    }

    /// Statements to send when a reading session begins.
    fn reading_setup(&self) -> &'static [&'static str];

    /// The statement that sets a session's transaction isolation level; `None` where there is but one.
    fn isolation(&self, level: &str) -> Option<String> {
        Some(format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}"))
    }

    /// The statement before one that shall see uncommitted rows too; `None` where no statement can.
    fn read_uncommitted(&self) -> Option<&'static str>;

    /// How to learn when the oldest open transaction began; `None` where no transaction can be overtaken.
    fn oldest_transaction(&self) -> Option<OldestTransaction>;

    /// SQL that gives the usual distance of two ids that the server numbers; `None` where it is 1.
    fn id_step(&self) -> Option<&'static str> {
        None
    }

    /// Whether a snapshot of the server tells which transactions have ended (PostgreSQL's `pg_current_snapshot`).
    fn has_snapshots(&self) -> bool;

    /// How a column is read into records.
    fn read_column(&self, meta: &ColumnMeta, options: &ReadOptions) -> ReadColumn;

    /// A date-time column in the form in which it is compared with a bound stamp.
    fn stamp(&self, column: &str) -> String {
        column.to_owned()
    }

    /// Whether a column that is read so may hold points in time, though its type does not say so.
    fn may_hold_times(&self, _meta: &ColumnMeta, _read: &ValueDecoding) -> bool {
        false
    }

    /// SQL that tells whether a column's value is a point in time, where any value may stand in any column.
    fn is_time(&self, _column: &str) -> Option<String> {
        None
    }

    /// Whether rows can be told apart and put in order by a column of that kind, bound as a parameter.
    fn orders(&self, meta: &ColumnMeta) -> bool;

    /// What kind of trouble a server's error is: `code` is its own number (`1213`), empty where there is only the
    /// SQLSTATE.
    fn classify(&self, code: &str, sqlstate: &str) -> ErrorKind;

    /// Appends an identifier in quotes.
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

    /// Whether a name means another one where it stands without quotes.
    fn folds(&self, _name: &str) -> bool {
        false
    }

    /// The table's full name, each part in quotes.
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

    /// The identifier in quotes.
    fn quoted(&self, identifier: &str) -> String {
        let mut out = String::with_capacity(identifier.len() + 2);
        self.quote(identifier, &mut out);
        out
    }
}

/// Most digits of a fractional second.
const FINEST: u32 = 6;

/// See [`Dialect::stamp_step`]; `digits` are those of a date-time that is declared without any.
fn stamp_step(meta: &ColumnMeta, digits: u32) -> i64 {
    if meta.data_type == "date" {
        return DAY;
    }
    10_i64.pow(FINEST.saturating_sub(meta.fraction.unwrap_or(digits)))
}

/// The dialect of a database.
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
