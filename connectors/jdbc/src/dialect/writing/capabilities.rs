//! What a server can do when it is written to, and the statements for it: plain data, one constant
//! for each kind of server. Pure.

use std::borrow::Cow;

use super::dml::StatementColumns;
use crate::catalog::ColumnMeta;
use crate::ident::TableId;

/// What a server can do besides the statements that every database has. `None` and `false`: it
/// cannot.
#[derive(Clone, Copy, Debug)]
pub struct WriteCapabilities {
    /// Every value is bound as text and cast to its column's type: for servers that fix the types
    /// of a statement's parameters when it is prepared, where a null would determine the type for
    /// later values.
    pub binds_text: bool,
    pub values: ValueRules,
    /// A statement may contain the character U+0000. On other servers it would end the statement,
    /// or make a message that the server cannot parse.
    pub accepts_nul: bool,
    /// Tables may have a storage engine that cannot roll back.
    pub has_engines_without_rollback: bool,
    /// Queries that read no row of `{table}`, but lock its definition until the transaction ends, the
    /// best one first. None if rows can always be rolled back.
    pub pin_table: &'static [&'static str],
    /// A column can be changed to allow NULL.
    pub drops_not_null: bool,
    /// How the names of columns are folded before they are compared; `None`: they differ if their
    /// letter case does.
    pub folds_column_names: Option<fn(&str) -> String>,
    /// `ALTER TABLE` adds several columns at once.
    pub adds_columns_together: bool,
    /// A query whose second column is the definition of `{table}`, if the statement that changes
    /// its columns depends on that.
    pub table_definition: Option<&'static str>,
    /// Writes the statement with which [`Session::copy`](crate::driver::Session::copy) inserts
    /// rows, from the names of the table and of the columns.
    pub copy: Option<fn(table: &str, columns: &str) -> String>,
    /// An upsert names the columns of one unique index, and must name exactly those. Otherwise it
    /// updates the row that the new one collides with on any of them.
    pub names_conflict_index: bool,
    /// How many rows are updated by one statement.
    pub bulk_update: Option<BulkUpdate>,
    /// How to notice that a table has changed. Databases silently convert values to other types
    /// then, and upserts may silently use other indexes.
    pub table_state: TableStateSql,
    /// Text that an error contains if a guarded upsert may have met a collision.
    pub guard_error: Option<&'static str>,
    /// Text that an error contains if a table is missing, whose name it quotes. `None`: the error
    /// shows without it whether a trigger needs it.
    pub missing_table_error: Option<&'static str>,
    /// Text that an error contains if the value of a spatial column is refused without naming the
    /// column.
    pub spatial_error: Option<&'static str>,
    /// How to make the server parse a user's statement without executing it.
    pub statement_probe: Option<StatementProbe>,
    /// How to check deferred constraints before COMMIT.
    pub deferred_constraints: Option<DeferredConstraints>,
}

/// Which values a server accepts, besides what the types of columns show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueRules {
    /// Columns may be arrays.
    pub has_arrays: bool,
    /// Columns of numbers take NaN and infinity.
    pub special_numbers: bool,
    /// Columns of dates and timestamps take infinity.
    pub infinite_times: bool,
    /// A number is compared with texts as a number: 0 would match every text that begins with no
    /// digit.
    pub compares_text_as_number: bool,
    /// A column of text takes bytes as its characters. Otherwise it would store how the bytes are
    /// written as SQL.
    pub takes_bytes_as_text: bool,
    /// A value that does not fit the type of its column is an error.
    pub checks_types: bool,
}

/// Updates the rows of many keys in one statement.
#[derive(Clone, Copy, Debug)]
pub struct BulkUpdate {
    /// True if the statement can update or match rows by a column of that type.
    pub accepts: fn(&ColumnMeta) -> bool,
    /// Writes the statement for that many keys; no two of them may identify the same row.
    /// Parameters are bound as for an insert: row by row, all columns. Every column must be
    /// accepted.
    pub sql: fn(&TableId, StatementColumns<'_>, usize) -> String,
}

/// Queries a text that changes whenever the definition of a table does.
#[derive(Clone, Copy, Debug)]
pub struct TableStateSql {
    /// The query; `{table}` is the table's name.
    pub sql: &'static str,
    /// The column of the text, from 0.
    pub column: usize,
    /// Removes what changes with the rows.
    pub lasting: fn(&str) -> Cow<'_, str>,
    /// The text of a view changes with its columns, too.
    pub covers_views: bool,
}

/// Statements that make a server parse a statement and report the types of its parameters.
#[derive(Clone, Copy, Debug)]
pub struct StatementProbe {
    /// Writes what makes the server parse a statement.
    pub prepare: fn(sql: &str) -> String,
    /// Returns one row for each parameter in order: the name of its type as CAST takes it, and as
    /// columns have it. `None`: types do not matter.
    pub types: Option<&'static str>,
    /// Discards the parsed statement.
    pub deallocate: &'static str,
}

/// Statements for constraints that are checked at COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeferredConstraints {
    /// Checks them now, and at each statement from now on.
    pub check: &'static str,
    /// Defers them to COMMIT again.
    pub defer: &'static str,
}
