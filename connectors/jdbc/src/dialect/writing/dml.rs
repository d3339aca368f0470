//! Statements that change rows: what the databases share; each adds its own upsert. Pure.

use super::WriteDialect;
use crate::dialect::Dialect;
use crate::ident::TableId;

/// How one database writes values and upserts.
pub trait DmlDialect: Send + Sync {
    /// Appends what turns an INSERT of those columns into an upsert.
    fn on_conflict(&self, columns: StatementColumns<'_>, action: UpsertAction, out: &mut String);

    /// Appends the placeholder of a value that is cast to that type; empty: no cast. Parameters are
    /// numbered from 1.
    fn value(&self, number: usize, cast: &str, out: &mut String);
}

/// A column of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementColumn<'a> {
    pub name: &'a str,
    /// Result of [`ColumnDialect::cast`](super::ColumnDialect::cast).
    pub cast: &'a str,
    /// See [`ColumnMeta::always_numbered`](crate::catalog::ColumnMeta::always_numbered).
    pub always_numbered: bool,
    /// See [`ColumnMeta::own_equality`](crate::catalog::ColumnMeta::own_equality).
    pub own_equality: Option<&'a str>,
}

impl StatementColumn<'_> {
    /// Appends the operator that compares the column.
    pub fn equals(&self, out: &mut String) {
        match self.own_equality {
            None => out.push('='),
            Some(operator) => {
                out.push_str(" OPERATOR(");
                out.push_str(operator);
                out.push_str(") ");
            }
        }
    }
}

/// The columns of a statement.
#[derive(Clone, Copy, Debug)]
pub struct StatementColumns<'a> {
    pub keys: &'a [StatementColumn<'a>],
    /// All columns in the order in which their values are bound.
    pub all: &'a [StatementColumn<'a>],
}

/// How existing rows are updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpsertAction {
    /// The primary key is the only unique index.
    Plain,
    /// There are other unique indexes: a row that collides with another key on one of them must
    /// fail instead of changing the row it collides with.
    Guarded,
}

/// What a list of columns with their values is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListPurpose {
    /// To set them.
    Set,
    /// To match rows by them.
    Match,
}

impl WriteDialect {
    /// Inserts `rows` rows; with `upsert`, existing rows are updated.
    pub fn insert(
        &self,
        table: &TableId,
        columns: StatementColumns<'_>,
        rows: usize,
        upsert: Option<UpsertAction>,
    ) -> String {
        let mut out = String::with_capacity(64 + columns.all.len() * (16 + 4 * rows));
        out.push_str("INSERT INTO ");
        out.push_str(&self.dialect.table(table));
        out.push('(');
        names(self.dialect, columns.all, &mut out);
        out.push(')');
        // Only PostgreSQL has such columns; the copied rows keep their ids.
        if columns.all.iter().any(|c| c.always_numbered) {
            out.push_str(" OVERRIDING SYSTEM VALUE");
        }
        out.push_str(" VALUES");
        value_rows(self.dml, columns.all, rows, &mut out);
        if let Some(upsert) = upsert {
            self.dml.on_conflict(columns, upsert, &mut out);
        }
        out
    }

    /// The statement with which [`Session::copy`](crate::driver::Session::copy) inserts rows.
    /// `None` if there is none.
    pub fn copy(&self, table: &TableId, columns: &[StatementColumn<'_>]) -> Option<String> {
        let copy = self.capabilities.copy?;
        let mut list = String::new();
        names(self.dialect, columns, &mut list);
        Some(copy(&self.dialect.table(table), &list))
    }

    /// Updates the row of one key: parameters of the values first, then of the key. A column that
    /// the server always numbers takes no value in an UPDATE and has no parameter.
    pub fn update(&self, table: &TableId, columns: StatementColumns<'_>) -> String {
        let mut out = format!("UPDATE {} SET ", self.dialect.table(table));
        let mut number = 0;
        let is_set = |c: &&StatementColumn<'_>| !columns.keys.contains(c) && !c.always_numbered;
        let values: Vec<_> = columns.all.iter().filter(is_set).copied().collect();
        if values.is_empty() && columns.keys.iter().any(|c| c.always_numbered) {
            // The row cannot be updated; the SELECT returns it if it exists.
            out = format!("SELECT 1 FROM {} WHERE ", self.dialect.table(table));
            let twice = [columns.keys, columns.keys].concat();
            self.equalities(&twice, ListPurpose::Match, &mut number, &mut out);
            return out;
        }
        // Only key columns: touch the row without changing it.
        let set = if values.is_empty() {
            columns.keys
        } else {
            &values
        };
        self.equalities(set, ListPurpose::Set, &mut number, &mut out);
        out.push_str(" WHERE ");
        self.equalities(columns.keys, ListPurpose::Match, &mut number, &mut out);
        out
    }

    /// Updates the rows of `rows` keys in one statement where the server can, see
    /// [`BulkUpdate`](super::BulkUpdate).
    pub fn update_many(
        &self,
        table: &TableId,
        columns: StatementColumns<'_>,
        rows: usize,
    ) -> String {
        match self.capabilities.bulk_update {
            Some(bulk) => (bulk.sql)(table, columns, rows),
            None => self.update(table, columns),
        }
    }

    /// Deletes the rows of `rows` keys.
    pub fn delete(&self, table: &TableId, keys: &[StatementColumn<'_>], rows: usize) -> String {
        let mut out = format!("DELETE FROM {} WHERE ", self.dialect.table(table));
        let mut number = 0;
        if let [key] = keys
            && key.own_equality.is_none()
        {
            self.dialect.quote(key.name, &mut out);
            out.push_str(" IN (");
            let casts = std::iter::repeat_n(key.cast, rows);
            values(self.dml, casts, &mut number, &mut out);
            out.push(')');
            return out;
        }
        for row in 0..rows {
            out.push_str(if row == 0 { "(" } else { " OR (" });
            self.equalities(keys, ListPurpose::Match, &mut number, &mut out);
            out.push(')');
        }
        out
    }

    /// Appends `a=?` for each column.
    fn equalities(
        &self,
        columns: &[StatementColumn<'_>],
        purpose: ListPurpose,
        number: &mut usize,
        out: &mut String,
    ) {
        for (n, column) in columns.iter().enumerate() {
            if n > 0 {
                out.push_str(match purpose {
                    ListPurpose::Set => ",",
                    ListPurpose::Match => " AND ",
                });
            }
            self.dialect.quote(column.name, out);
            match purpose {
                ListPurpose::Set => out.push('='),
                ListPurpose::Match => column.equals(out),
            }
            *number += 1;
            self.dml.value(*number, column.cast, out);
        }
    }
}

/// Appends quoted names, separated by commas.
fn names(dialect: &dyn Dialect, columns: &[StatementColumn<'_>], out: &mut String) {
    for (n, column) in columns.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        dialect.quote(column.name, out);
    }
}

/// Appends placeholders with these casts, numbered from `number` on.
fn values<'a>(
    dml: &dyn DmlDialect,
    casts: impl Iterator<Item = &'a str>,
    number: &mut usize,
    out: &mut String,
) {
    for (n, cast) in casts.enumerate() {
        if n > 0 {
            out.push(',');
        }
        *number += 1;
        dml.value(*number, cast, out);
    }
}

/// Appends the placeholders of `rows` rows, each in parentheses.
pub(in crate::dialect) fn value_rows(
    dml: &dyn DmlDialect,
    columns: &[StatementColumn<'_>],
    rows: usize,
    out: &mut String,
) {
    let mut number = 0;
    for row in 0..rows {
        out.push_str(if row == 0 { "(" } else { ",(" });
        values(dml, columns.iter().map(|c| c.cast), &mut number, out);
        out.push(')');
    }
}

/// Appends the conflict clause of a server that knows conflicts on the key alone: the text `before`
/// the key's columns, and `proposed`, the server's name for the row to be inserted.
pub(in crate::dialect) fn on_key_conflict(
    dialect: &dyn Dialect,
    columns: StatementColumns<'_>,
    (before, proposed): (&str, &str),
    out: &mut String,
) {
    out.push_str(before);
    names(dialect, columns.keys, out);
    let values = columns
        .all
        .iter()
        .filter(|c| !columns.keys.contains(c) && !c.always_numbered);
    let values = values.map(|c| dialect.quoted(c.name));
    let set: Vec<_> = values.map(|c| format!("{c}={proposed}.{c}")).collect();
    if set.is_empty() {
        out.push_str(") DO NOTHING");
        return;
    }
    out.push_str(") DO UPDATE SET ");
    out.push_str(&set.join(","));
}
