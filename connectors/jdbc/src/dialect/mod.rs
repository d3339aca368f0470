//! SQL dialects: text, types and limits. Pure, no I/O; `driver` sends what is written here.

mod advice;
mod capabilities;
pub(crate) mod column_type;
mod decode;
pub(crate) mod logical_type;
pub(crate) mod mysql;
pub(crate) mod postgres;
pub(crate) mod read;
pub(crate) mod source_type;
pub(crate) mod sql_lexer;
pub(crate) mod sqlite;
pub(crate) mod writing;

use std::ops::RangeInclusive;

use connector_api::ErrorKind;

pub(crate) use self::capabilities::{
    Capabilities, MARK, OldestTransaction, ServerLimits, SqlSyntax,
};

use crate::calendar::DAY;
use crate::catalog::ColumnMeta;
use crate::dialect::read::{ReadColumn, ReadOptions, ValueDecoding};
use crate::ident::TableId;
use crate::url::DatabaseKind;

/// The SQL of one kind of database.
pub trait Dialect: Send + Sync {
    /// What servers of that kind have, and the statements for it.
    fn capabilities(&self) -> &'static Capabilities;

    /// Appends the placeholder of a parameter; parameters are numbered from 1.
    fn placeholder(&self, number: usize, out: &mut String);

    /// Appends a placeholder whose text parameter is compared as a value of that SQL type.
    fn typed_placeholder(&self, number: usize, sql_type: &str, out: &mut String);

    /// Minimum distance between two values of a date-time column, in microseconds: rows written
    /// within one step may have the same timestamp.
    fn timestamp_step(&self, meta: &ColumnMeta) -> i64 {
        timestamp_step(meta, FINEST)
    }

    /// Returns how a column is read into records.
    fn read_column(&self, meta: &ColumnMeta, options: &ReadOptions) -> ReadColumn;

    /// An expression for a date-time column in the form in which it is compared with a bound
    /// timestamp.
    fn comparable_timestamp(&self, column: &str) -> String {
        column.to_owned()
    }

    /// True if a column read this way may hold points in time although its type does not say so.
    fn may_hold_times(&self, _meta: &ColumnMeta, _read: &ValueDecoding) -> bool {
        false
    }

    /// SQL that tests a column's values, for databases in which any column may hold any value.
    fn time_tests(&self, _column: &str) -> Option<TimeTests> {
        None
    }

    /// Returns the integers that a column of that SQL type can be compared with.
    fn comparable_integers(&self, _sql_type: &str) -> RangeInclusive<i64> {
        i64::MIN..=i64::MAX
    }

    /// True if a column of that type, bound as a parameter, can distinguish and order rows.
    fn orders(&self, meta: &ColumnMeta) -> bool;

    /// Classifies a server's error. `code` is its own number (`1213`), empty if there is only the
    /// SQLSTATE.
    fn classify(&self, code: &str, sqlstate: &str) -> ErrorKind;

    /// Returns what helps against a server's error, to be appended to its text; empty if the text
    /// says enough. The codes are as in [`Self::classify`]; `text` is for errors without a code of
    /// their own.
    fn advice(&self, code: &str, sqlstate: &str, text: &str) -> &'static str;

    /// True if a name means another one when it is not quoted.
    fn folds(&self, _name: &str) -> bool {
        false
    }

    /// Appends a quoted identifier.
    fn quote(&self, identifier: &str, out: &mut String) {
        let q = self.capabilities().quote_char;
        out.push(q);
        for c in identifier.chars() {
            if c == q {
                out.push(q);
            }
            out.push(c);
        }
        out.push(q);
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

/// SQL that tests a value.
pub struct TimeTests {
    /// It is a point in time.
    pub is_time: String,
    /// It is read as milliseconds since 1970, and more likely counts seconds.
    pub counts_seconds: String,
}

/// Maximum digits of a fractional second.
const FINEST: u32 = 6;

/// Implements [`Dialect::timestamp_step`]; `digits` are those of a date-time declared without any.
fn timestamp_step(meta: &ColumnMeta, digits: u32) -> i64 {
    if meta.data_type == "date" {
        return DAY;
    }
    10_i64.pow(FINEST.saturating_sub(meta.fraction.unwrap_or(digits)))
}

/// Returns the dialect of a database.
pub(crate) fn of(database: DatabaseKind) -> &'static dyn Dialect {
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
    fn timestamps_are_as_far_apart_as_their_digits_say() {
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
                of(database).timestamp_step(&meta),
                want,
                "{database:?} {data_type} {fraction:?}"
            );
        }
    }
}
