//! Definitions of tables and columns, as the database's catalog reports them.

use crate::ident::TableId;

/// Definition of a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnMeta {
    pub name: String,
    /// Type name in lower case, without length (`decimal`).
    pub data_type: String,
    /// Full type as the server reports it (`decimal(10,2) unsigned`).
    pub column_type: String,
    /// For a user-defined type: its schema-qualified name as SQL text. The search path of the
    /// session that writes need not contain that schema.
    pub own_type: Option<String>,
    /// For a user-defined type: its schema-qualified equality operator. If the search path lacks
    /// the schema, `=` compares the values of citext as text.
    pub own_equality: Option<String>,
    /// For text: the collation treats different values as equal.
    pub loose_collation: bool,
    /// True if NULL is allowed.
    pub nullable: bool,
    /// Position in the primary key, from 0.
    pub key_position: Option<usize>,
    /// True if the server assigns values itself (AUTO_INCREMENT, identity, serial).
    pub auto_increment: bool,
    /// True if the server assigns values even if one is given, unless a statement overrides it
    /// (GENERATED ALWAYS AS IDENTITY).
    pub always_numbered: bool,
    /// True if the server computes the column (GENERATED ALWAYS AS).
    pub generated: bool,
    /// Not part of `SELECT *` (MariaDB's INVISIBLE).
    pub invisible: bool,
    /// Default value as the server's text.
    pub default: Option<String>,
    /// Maximum length: in characters for text, in bytes for binary strings.
    pub length: Option<u64>,
    /// Total digits, for numbers.
    pub precision: Option<i32>,
    /// Digits after the decimal point, for decimals.
    pub scale: Option<i32>,
    /// Digits of the fractional second, for date-times.
    pub fraction: Option<u32>,
    /// Character set, for text.
    pub charset: Option<String>,
    /// The server checks that texts are JSON: what MariaDB makes of type JSON.
    pub checked_json: bool,
}

/// The unique indexes of a table, see [`TableMeta`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniqueKeys<'a> {
    /// Columns of the primary key.
    pub primary: &'a [String],
    /// Columns of each other unique index.
    pub unique: &'a [Vec<String>],
    /// True if a unique index covers prefixes of columns, or expressions.
    pub in_part: bool,
}

/// Definition of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMeta {
    /// Full name, as the server spells it.
    pub id: TableId,
    pub columns: Vec<ColumnMeta>,
    /// Columns of the primary key in key order; empty without one.
    pub primary_key: Vec<String>,
    /// Columns of each unique index other than the primary key.
    pub unique: Vec<Vec<String>>,
    /// True if a unique index, the primary key included, covers prefixes of columns, or
    /// expressions.
    pub unique_in_part: bool,
    /// Columns of the unique indexes, the primary key included, by which no statement can find the
    /// row that it conflicts with: PostgreSQL's DEFERRABLE constraints.
    pub deferrable: Vec<Vec<String>>,
    pub is_view: bool,
    /// Number of rows, as estimated by the server's statistics.
    pub rows_estimated: Option<u64>,
    /// The storage engine (MariaDB, MySQL) if it cannot roll back: MyISAM, Aria, MEMORY, …
    pub no_rollback: Option<String>,
    /// True if COPY would not do what INSERT does: PostgreSQL's views, rules and row-level
    /// security.
    pub only_insert: bool,
    /// True if the table has, or may have, triggers of its users. PostgreSQL runs those for UPDATE
    /// statements also if an upsert has only inserted.
    pub has_triggers: bool,
}

impl TableMeta {
    /// A table without columns that does not exist yet.
    pub fn planned(id: TableId) -> Self {
        Self {
            id,
            columns: Vec::new(),
            primary_key: Vec::new(),
            unique: Vec::new(),
            unique_in_part: false,
            deferrable: Vec::new(),
            is_view: false,
            rows_estimated: None,
            no_rollback: None,
            only_insert: true,
            has_triggers: true,
        }
    }

    /// A table of these columns without unique indexes. Those with a place in the primary key make
    /// it, in the order of the columns.
    #[cfg(test)]
    pub fn of_columns(id: TableId, columns: Vec<ColumnMeta>) -> Self {
        let of_key = columns
            .iter()
            .filter(|column| column.key_position.is_some());
        Self {
            primary_key: of_key.map(|column| column.name.clone()).collect(),
            columns,
            ..Self::planned(id)
        }
    }

    /// True if `other` leads to the same decisions about records: everything is equal except
    /// statistics.
    pub fn decides_as(&self, other: &Self) -> bool {
        let Self {
            id,
            columns,
            no_rollback,
            deferrable,
            is_view,
            only_insert,
            has_triggers,
            ..
        } = self;
        (id, columns, self.keys()) == (&other.id, &other.columns, other.keys())
            && (no_rollback, is_view, only_insert)
                == (&other.no_rollback, &other.is_view, &other.only_insert)
            && *deferrable == other.deferrable
            && *has_triggers == other.has_triggers
    }

    /// Returns the unique indexes.
    pub fn keys(&self) -> UniqueKeys<'_> {
        UniqueKeys {
            primary: &self.primary_key,
            unique: &self.unique,
            in_part: self.unique_in_part,
        }
    }

    /// Returns the column of exactly that name, otherwise the only one that differs in letter case
    /// alone.
    pub fn column(&self, name: &str) -> Option<&ColumnMeta> {
        find_column(&self.columns, name)
    }
}

/// Returns the column of exactly that name, otherwise the only one that differs in letter case
/// alone.
pub(crate) fn find_column<'a>(columns: &'a [ColumnMeta], name: &str) -> Option<&'a ColumnMeta> {
    columns.iter().find(|c| c.name == name).or_else(|| {
        let mut alike = columns
            .iter()
            .filter(|c| c.name.to_lowercase() == name.to_lowercase());
        alike.next().filter(|_| alike.next().is_none())
    })
}

/// A table in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    pub id: TableId,
    /// JDBC's type name: `TABLE`, `VIEW`, `SYSTEM TABLE`, `PARTITIONED TABLE`, …
    pub table_type: String,
}

/// Which tables to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFilter {
    /// Exactly this catalog (MariaDB's and MySQL's database); `None`: the connection's own.
    pub catalog: Option<String>,
    /// All catalogs, regardless of `catalog`.
    pub all_catalogs: bool,
    /// LIKE pattern of schemas; `None`: all except the system's.
    pub schema: Option<String>,
    /// JDBC's type names; empty: `TABLE`.
    pub types: Vec<String>,
}

impl TableFilter {
    /// True if tables of that type are to be listed.
    pub fn accepts(&self, table: &TableName) -> bool {
        match self.types.as_slice() {
            [] => table.table_type == "TABLE",
            types => types
                .iter()
                .any(|ty| ty.eq_ignore_ascii_case(&table.table_type)),
        }
    }
}

/// Notes in the columns of a table which position they have in its primary key.
pub(crate) fn set_key_positions(columns: &mut [ColumnMeta], primary_key: &[String]) {
    for (position, key) in primary_key.iter().enumerate() {
        if let Some(column) = columns.iter_mut().find(|c| c.name == *key) {
            column.key_position = Some(position);
        }
    }
}
