//! What a database tells about its tables and columns.

use crate::ident::TableId;

/// One column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnMeta {
    /// Its name.
    pub name: String,
    /// Type name in lower case without length (`decimal`).
    pub data_type: String,
    /// The whole type text as the server gives it (`decimal(10,2) unsigned`).
    pub column_type: String,
    /// Of a type that does not belong to the system: its name with its schema, as SQL text. The search path of the session
    /// that writes need not hold that schema.
    pub own_type: Option<String>,
    /// The equality operator of such a type, with its schema: where the search path lacks that, `=` compares the values
    /// of citext as text.
    pub own_equality: Option<String>,
    /// Of text: its collation takes values for equal that differ.
    pub loose_collation: bool,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Its place in the primary key, from 0.
    pub key_position: Option<usize>,
    /// Whether the server numbers it by itself (AUTO_INCREMENT, identity, serial).
    pub auto_increment: bool,
    /// Whether it numbers rows against the values given, unless a statement says otherwise (GENERATED ALWAYS AS IDENTITY).
    pub always_numbered: bool,
    /// Whether the server computes it (GENERATED ALWAYS AS).
    pub generated: bool,
    /// Left out of `SELECT *` (MariaDB's INVISIBLE).
    pub invisible: bool,
    /// Default as the server's text.
    pub default: Option<String>,
    /// Greatest length in characters, for text; in bytes, for binary strings.
    pub length: Option<u64>,
    /// Digits in all, for numbers.
    pub precision: Option<i32>,
    /// Digits after the point, for decimals.
    pub scale: Option<i32>,
    /// Digits of the fractional second, for date-times.
    pub fraction: Option<u32>,
    /// Character set, for text.
    pub charset: Option<String>,
}

/// The unique indexes of a table, as [`TableMeta`] has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniqueKeys<'a> {
    /// Columns of the primary key.
    pub primary: &'a [String],
    /// Columns of the others.
    pub unique: &'a [Vec<String>],
    /// Whether one is over the beginnings of columns or over expressions.
    pub in_part: bool,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMeta {
    /// Its full name, as the server spells it.
    pub id: TableId,
    /// Its columns in order.
    pub columns: Vec<ColumnMeta>,
    /// Columns of the primary key in key order; empty if there is none.
    pub primary_key: Vec<String>,
    /// Columns of each unique index other than the primary key.
    pub unique: Vec<Vec<String>>,
    /// Whether a unique index, the primary key included, is over the beginnings of columns or over expressions.
    pub unique_in_part: bool,
    /// Whether it is a view.
    pub is_view: bool,
    /// Rows as the server's statistics estimate them.
    pub rows_estimated: Option<u64>,
    /// Its storage engine (MariaDB, MySQL), where that is one that takes no change back: MyISAM, Aria, MEMORY, …
    pub no_rollback: Option<String>,
    /// COPY does not do there what INSERT does: PostgreSQL's views, rules and row-level security.
    pub only_insert: bool,
}

impl TableMeta {
    /// Whether records are decided about by this table as by the other: all but what statistics tell.
    pub fn decides_as(&self, other: &Self) -> bool {
        let Self {
            id,
            columns,
            no_rollback,
            is_view,
            only_insert,
            ..
        } = self;
        (id, columns, self.keys()) == (&other.id, &other.columns, other.keys())
            && (no_rollback, is_view, only_insert)
                == (&other.no_rollback, &other.is_view, &other.only_insert)
    }

    /// What tells its rows apart.
    pub fn keys(&self) -> UniqueKeys<'_> {
        UniqueKeys {
            primary: &self.primary_key,
            unique: &self.unique,
            in_part: self.unique_in_part,
        }
    }

    /// The column of exactly that name, else the only one that differs in letter case alone.
    pub fn column(&self, name: &str) -> Option<&ColumnMeta> {
        self.columns.iter().find(|c| c.name == name).or_else(|| {
            let mut alike = self
                .columns
                .iter()
                .filter(|c| c.name.to_lowercase() == name.to_lowercase());
            alike.next().filter(|_| alike.next().is_none())
        })
    }
}

/// A table in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    /// Its full name.
    pub id: TableId,
    /// JDBC's type name: `TABLE`, `VIEW`, `SYSTEM TABLE`, `PARTITIONED TABLE`, …
    pub table_type: String,
}

/// Which tables a listing shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFilter {
    /// Exactly this catalog (MariaDB's and MySQL's database); `None`: the connection's own.
    pub catalog: Option<String>,
    /// All catalogs, whatever `catalog` says.
    pub all_catalogs: bool,
    /// LIKE pattern of schemas; `None`: all but the system's.
    pub schema: Option<String>,
    /// JDBC's type names; empty: `TABLE`.
    pub types: Vec<String>,
}
