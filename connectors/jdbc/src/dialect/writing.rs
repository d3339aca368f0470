//! The writing half of a dialect: DDL, and the statements that change rows. Pure text.
//!
//! What databases share stands here; each writes its own types, literals and upsert.

use std::fmt::Write as _;

use connector_api::{Schema, SchemaType, Value, logical};

use super::Dialect;
use super::column_type::TargetColumnType;
pub use super::fixed::{KeysSql, OffsetsSql};
use super::source_type::{ColumnDefault, SourceColumn, SourceType, carried};
use crate::catalog::ColumnMeta;
use crate::ident::TableId;
use crate::url::DatabaseKind;

/// A column to be made.
#[derive(Clone, Copy, Debug)]
pub struct ColumnSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// Schema of its values.
    pub schema: &'a Schema,
    /// Whether it is part of the primary key.
    pub key: bool,
    /// Whether it holds points in time whatever its schema says (`timestamp.fields.list`).
    pub instant: bool,
    /// The default as SQL's text, of date-times only; others come from the schema.
    pub default_time: Option<&'a str>,
}

/// A column of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementColumn<'a> {
    /// Its name.
    pub name: &'a str,
    /// What [`WriteDialect::cast`] says of it.
    pub cast: &'a str,
    /// See [`ColumnMeta::always_numbered`].
    pub always_numbered: bool,
    /// See [`ColumnMeta::own_equality`].
    pub own_equality: Option<&'a str>,
}

impl StatementColumn<'_> {
    /// Appends the operator that compares it.
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

/// When two text keys are of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextEquality {
    /// When their bytes are equal.
    Exact,
    /// Perhaps also when letter case, accents or blanks differ.
    Folded,
    /// Nobody knows but the database.
    Unknown,
}

/// Columns of a statement: those of the key, and all.
#[derive(Clone, Copy, Debug)]
pub struct StatementColumns<'a> {
    /// Key columns.
    pub keys: &'a [StatementColumn<'a>],
    /// All columns in the order their values are bound.
    pub all: &'a [StatementColumn<'a>],
}

/// How long values of a column can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnCapacity {
    /// That many characters.
    Characters(u64),
    /// That many bytes.
    Bytes(u64),
}

/// A column that is to hold more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnWidening {
    /// The column as it is.
    pub column: ColumnMeta,
    /// Its new type, if that changes.
    pub ty: Option<String>,
    /// Whether it is to allow NULL, which it does not.
    pub nullable: bool,
}

/// Statements by which a server reads a statement and tells the types of its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementProbe {
    /// Has it read.
    pub prepare: String,
    /// Gives one row for each parameter in order: the name of its type, as CAST takes it, and as columns have it. `None`: types do not matter.
    pub types: Option<&'static str>,
    /// Forgets it.
    pub forget: &'static str,
}

/// Statements about constraints that are checked when a transaction is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeferredConstraints {
    /// Has them checked now, and at each statement from now on.
    pub check: &'static str,
    /// Lets them wait for the commit again.
    pub wait: &'static str,
}

/// Appends the conflict clause of a server that knows conflicts on the key alone: its words before the key's columns,
/// and its name for the row that was to be inserted.
pub(super) fn on_key_conflict(
    writing: &dyn WriteDialect,
    columns: StatementColumns<'_>,
    (before, proposed): (&str, &str),
    out: &mut String,
) {
    out.push_str(before);
    writing.names(columns.keys, out);
    let values = columns
        .all
        .iter()
        .filter(|c| !columns.keys.contains(c) && !c.always_numbered);
    let values = values.map(|c| writing.dialect().quoted(c.name));
    let set: Vec<_> = values.map(|c| format!("{c}={proposed}.{c}")).collect();
    if set.is_empty() {
        out.push_str(") DO NOTHING");
        return;
    }
    out.push_str(") DO UPDATE SET ");
    out.push_str(&set.join(","));
}

/// How one database is written to.
pub trait WriteDialect: Send + Sync {
    /// The kind of database.
    fn database(&self) -> DatabaseKind;

    /// Quoting, placeholders and limits.
    fn dialect(&self) -> &'static dyn Dialect;

    /// Statements for a new session. Those that fail are for other versions of the server.
    fn session(&self) -> &'static [&'static str];

    /// A query for the session's current catalog and schema, and the most bytes of a statement; each may be NULL.
    fn surroundings(&self) -> &'static str;

    /// When text keys of a column are of one row; `None`: of one that the sink makes.
    fn text_equality(&self, column: Option<&ColumnMeta>) -> TextEquality;

    /// The type of a new column. `None`: there is none for values of that schema.
    fn column_type(&self, column: &ColumnSpec<'_>) -> Option<String>;

    /// The type that the source's column has here, where the records carry it. `None`: what follows from the schema.
    fn carried_type(&self, _carried: &SourceColumn, _key: bool) -> Option<String> {
        None
    }

    /// What a column holds, as far as that decides how values are bound.
    fn holds(&self, column: &ColumnMeta) -> TargetColumnType;

    /// What the items of a column of arrays hold.
    fn item_holds(&self, _column: &ColumnMeta) -> TargetColumnType {
        TargetColumnType::Other
    }

    /// How long values of a column can be; `None`: as long as any.
    fn room(&self, _column: &ColumnMeta) -> Option<ColumnCapacity> {
        None
    }

    /// A type that holds values of that length (as its [`ColumnCapacity`] counts), too.
    fn longer(&self, _column: &ColumnMeta, _length: u64) -> Option<String> {
        None
    }

    /// A type that holds the values of a schema, where the column's does not.
    fn wider(&self, _column: &ColumnMeta, _schema: &Schema) -> Option<String> {
        None
    }

    /// Whether a column can be made to allow NULL.
    fn can_loosen(&self) -> bool {
        false
    }

    /// A query whose second column is the table's definition, where [`WriteDialect::change_columns`] needs it.
    fn shown_by(&self, _table: &str) -> Option<String> {
        None
    }

    /// The statement that changes columns. `None`: they are not found in what was `shown`.
    fn change_columns(
        &self,
        _table: &str,
        _changes: &[ColumnWidening],
        _shown: &str,
    ) -> Option<String> {
        None
    }

    /// Appends a schema's default as a literal. `None` where it cannot be one.
    fn literal(&self, column: &ColumnSpec<'_>, value: &Value, out: &mut String) -> Option<()>;

    /// `ALTER TABLE` statements that add columns, whose definitions are given.
    fn add_columns(&self, table: &str, definitions: &[String]) -> Vec<String> {
        let adds: Vec<_> = definitions.iter().map(|d| format!("ADD {d}")).collect();
        vec![format!("ALTER TABLE {table}\n{}", adds.join(",\n"))]
    }

    /// Appends what makes an INSERT of those columns an upsert. `guard`: a row that collides with another key on a
    /// further unique index must fail, not change the row it collides with.
    fn on_conflict(&self, columns: StatementColumns<'_>, guard: bool, out: &mut String);

    /// Whether every value is bound as text, to be cast to its column's type: for servers that fix the types of a
    /// statement's parameters when it is prepared, so that a null there would decide for the values that follow.
    fn binds_text(&self) -> bool {
        false
    }

    /// The type that a column's values are cast to; empty: none.
    fn cast(&self, _column: &ColumnMeta) -> String {
        String::new()
    }

    /// Appends the placeholder of a value.
    fn value(&self, number: usize, _cast: &str, out: &mut String) {
        self.dialect().placeholder(number, out);
    }

    /// How many digits of a decimal a column keeps, where it is no column of decimals; `None`: all that fit its type.
    fn decimal_digits(&self, _column: &ColumnMeta) -> Option<usize> {
        None
    }

    /// How the unique indexes are asked for, where an upsert goes by other ones without an error when they have changed.
    fn keys_sql(&self) -> Option<KeysSql> {
        None
    }

    /// What the text of an error holds when a guarded upsert may have met a collision.
    fn guard_sign(&self) -> Option<&'static str> {
        None
    }

    /// What a parameter of a user's statement is cast to because of its value's schema, where its SQL text alone would
    /// be taken for something less exact.
    fn argument_cast(&self, _schema: &Schema) -> Option<String> {
        None
    }

    /// How the server is made to read a statement without running it. `None`: not possible.
    fn statement_probe(&self, _sql: &str) -> Option<StatementProbe> {
        None
    }

    /// How constraints are checked that wait for the commit. `None`: there are none, or they cannot be checked before.
    fn deferral(&self) -> Option<DeferredConstraints> {
        None
    }

    /// The offsets table.
    fn offsets_sql(&self) -> &'static OffsetsSql;

    /// Whether the default of a column can be written down: `DEFAULT` and the literal in this database's brackets.
    fn default_clause(&self, column: &ColumnSpec<'_>) -> Option<String> {
        let mut literal = String::new();
        self.literal(column, column.schema.default.as_ref()?, &mut literal)?;
        Some(format!("DEFAULT {literal}"))
    }

    /// Name, type, default and nullability of a column: a default makes it nullable, as Kafka Connect's sinks do.
    /// Errors: the text, when its schema has no type.
    fn column(&self, column: &ColumnSpec<'_>) -> Result<String, String> {
        let carried = carried(column.schema).filter(|_| !column.instant);
        let known = carried
            .as_ref()
            .and_then(|carried| Some((self.carried_type(carried, column.key)?, carried)));
        if let Some((ty, carried)) = known {
            return Ok(self.carried_column(column, &ty, carried));
        }
        let Some(ty) = self.column_type(column) else {
            return Err(format!(
                "{} ({}) type doesn't have a mapping to the SQL database column type (column {})",
                column.schema.name.as_deref().unwrap_or("null"),
                column.schema.ty.name(),
                column.name,
            ));
        };
        let nullability = match self.default_clause(column) {
            _ if column.key => "NOT NULL".to_owned(),
            Some(default) => default,
            None if column.schema.optional || column.schema.default.is_some() => "NULL".to_owned(),
            None => "NOT NULL".to_owned(),
        };
        Ok(format!(
            "{} {ty} {nullability}",
            self.dialect().quoted(column.name)
        ))
    }

    /// A column as the source has it: a default does not make it nullable.
    fn carried_column(&self, column: &ColumnSpec<'_>, ty: &str, carried: &SourceColumn) -> String {
        let null = if column.schema.optional && !column.key {
            "NULL"
        } else {
            "NOT NULL"
        };
        let mut out = format!("{} {ty} {null}", self.dialect().quoted(column.name));
        let mut literal = String::new();
        match &carried.default {
            Some(ColumnDefault::Now) if matches!(carried.kind, SourceType::DateTime(_)) => {
                let digits = ty.find('(').map_or("", |at| &ty[at..]);
                out.push_str(&format!(" DEFAULT CURRENT_TIMESTAMP{digits}"));
            }
            Some(ColumnDefault::Literal(text))
                if !matches!(
                    carried.kind,
                    SourceType::Text(_) | SourceType::Blob(_) | SourceType::Json
                ) =>
            {
                let spec = ColumnSpec {
                    default_time: None,
                    ..*column
                };
                if self
                    .literal(&spec, &Value::Text(text.as_str().into()), &mut literal)
                    .is_some()
                {
                    out.push_str(&format!(" DEFAULT {literal}"));
                }
            }
            _ => {}
        }
        out
    }

    /// `CREATE TABLE`; the primary key follows the order of columns. Errors: see [`WriteDialect::column`].
    fn create_table(&self, table: &TableId, columns: &[ColumnSpec<'_>]) -> Result<String, String> {
        let mut lines = columns
            .iter()
            .map(|c| self.column(c))
            .collect::<Result<Vec<_>, _>>()?;
        let keys: Vec<_> = columns
            .iter()
            .filter(|c| c.key)
            .map(|c| self.dialect().quoted(c.name))
            .collect();
        if !keys.is_empty() {
            lines.push(format!("PRIMARY KEY({})", keys.join(",")));
        }
        Ok(format!(
            "CREATE TABLE IF NOT EXISTS {} (\n{})",
            self.dialect().table(table),
            lines.join(",\n")
        ))
    }

    /// Inserts `rows` rows; with `upsert` rows that are there are changed.
    fn insert(
        &self,
        table: &TableId,
        columns: StatementColumns<'_>,
        rows: usize,
        upsert: Option<UpsertAction>,
    ) -> String {
        let mut out = String::with_capacity(64 + columns.all.len() * (16 + 4 * rows));
        out.push_str("INSERT INTO ");
        out.push_str(&self.dialect().table(table));
        out.push('(');
        self.names(columns.all, &mut out);
        out.push(')');
        // only PostgreSQL has such columns; what is copied keeps its numbers
        if columns.all.iter().any(|c| c.always_numbered) {
            out.push_str(" OVERRIDING SYSTEM VALUE");
        }
        out.push_str(" VALUES");
        let mut number = 0;
        for row in 0..rows {
            out.push_str(if row == 0 { "(" } else { ",(" });
            self.values(
                &mut columns.all.iter().map(|c| c.cast),
                &mut number,
                &mut out,
            );
            out.push(')');
        }
        if let Some(upsert) = upsert {
            self.on_conflict(columns, upsert == UpsertAction::Guarded, &mut out);
        }
        out
    }

    /// The statement by which [`Session::copy`](crate::driver::Session::copy) inserts rows. `None`: there is none.
    fn copy(&self, _table: &TableId, _columns: &[StatementColumn<'_>]) -> Option<String> {
        None
    }

    /// Changes the row of one key: the values' parameters come first, then the key's. A column that is always numbered by
    /// the server takes no value in an UPDATE: it has no parameter.
    fn update(&self, table: &TableId, columns: StatementColumns<'_>) -> String {
        let mut out = format!("UPDATE {} SET ", self.dialect().table(table));
        let mut number = 0;
        let is_set = |c: &&StatementColumn<'_>| !columns.keys.contains(c) && !c.always_numbered;
        let values: Vec<_> = columns.all.iter().filter(is_set).copied().collect();
        if values.is_empty() && columns.keys.iter().any(|c| c.always_numbered) {
            // the row cannot be touched, and counts where it is there
            out = format!("SELECT 1 FROM {} WHERE ", self.dialect().table(table));
            self.equalities(
                &[columns.keys, columns.keys].concat(),
                Joined::Found,
                &mut number,
                &mut out,
            );
            return out;
        }
        // nothing but keys: touch the row without changing it
        let set = if values.is_empty() {
            columns.keys
        } else {
            &values
        };
        self.equalities(set, Joined::Set, &mut number, &mut out);
        out.push_str(" WHERE ");
        self.equalities(columns.keys, Joined::Found, &mut number, &mut out);
        out
    }

    /// Whether [`WriteDialect::update_many`] can change or find rows by a column of that kind.
    fn updates_many(&self, _column: &ColumnMeta) -> bool {
        false
    }

    /// Changes the rows of `rows` keys in one statement; no two keys may be those of one row. Parameters are bound as for
    /// an insert: row by row, all columns. Only where [`WriteDialect::updates_many`] says so of every column.
    fn update_many(&self, table: &TableId, columns: StatementColumns<'_>, _rows: usize) -> String {
        self.update(table, columns)
    }

    /// Deletes the rows of `rows` keys.
    fn delete(&self, table: &TableId, keys: &[StatementColumn<'_>], rows: usize) -> String {
        let mut out = format!("DELETE FROM {} WHERE ", self.dialect().table(table));
        let mut number = 0;
        if let [key] = keys
            && key.own_equality.is_none()
        {
            self.dialect().quote(key.name, &mut out);
            out.push_str(" IN (");
            self.values(
                &mut std::iter::repeat_n(key.cast, rows),
                &mut number,
                &mut out,
            );
            out.push(')');
            return out;
        }
        for row in 0..rows {
            out.push_str(if row == 0 { "(" } else { " OR (" });
            self.equalities(keys, Joined::Found, &mut number, &mut out);
            out.push(')');
        }
        out
    }

    /// Appends names in quotes, separated by commas.
    fn names(&self, columns: &[StatementColumn<'_>], out: &mut String) {
        for (n, column) in columns.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            self.dialect().quote(column.name, out);
        }
    }

    /// Appends placeholders with these casts, numbered on from `number`.
    fn values(&self, casts: &mut dyn Iterator<Item = &str>, number: &mut usize, out: &mut String) {
        for (n, cast) in casts.enumerate() {
            if n > 0 {
                out.push(',');
            }
            *number += 1;
            self.value(*number, cast, out);
        }
    }

    /// Appends `a=?` for each column.
    fn equalities(
        &self,
        columns: &[StatementColumn<'_>],
        joined: Joined,
        number: &mut usize,
        out: &mut String,
    ) {
        for (n, column) in columns.iter().enumerate() {
            if n > 0 {
                out.push_str(if joined == Joined::Set { "," } else { " AND " });
            }
            self.dialect().quote(column.name, out);
            match joined {
                Joined::Set => out.push('='),
                Joined::Found => column.equals(out),
            }
            *number += 1;
            self.value(*number, column.cast, out);
        }
    }
}

/// What columns are listed with their values for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// To be set to them.
    Set,
    /// For rows to be found by them.
    Found,
}

/// How rows that are there are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpsertAction {
    /// The primary key is the only unique index.
    Plain,
    /// There are others, on which a row must not collide.
    Guarded,
}

/// The writing half for a server.
pub fn of(database: DatabaseKind, server_version: &str) -> Box<dyn WriteDialect> {
    match database {
        DatabaseKind::MySql => Box::new(super::mysql::writing::MySqlWriteDialect::new(
            server_version,
        )),
        DatabaseKind::Postgres => Box::new(super::postgres::writing::PostgresWriteDialect),
        DatabaseKind::Sqlite => Box::new(super::sqlite::writing::SqliteWriteDialect),
    }
}

/// A schema's default as a number's digits, where it is a number.
pub(super) fn numeric_literal(value: &Value, out: &mut String) -> Option<()> {
    match value {
        Value::I8(_) | Value::I16(_) | Value::I32(_) | Value::I64(_) => {
            write!(out, "{}", value.as_i64()?)
        }
        Value::F32(n) if n.is_finite() => write!(out, "{n:?}"),
        Value::F64(n) if n.is_finite() => write!(out, "{n:?}"),
        Value::Decimal(n) => write!(out, "{n}"),
        _ => return None,
    }
    .ok()
}

/// Appends bytes as hexadecimal digits.
pub fn hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Name of the schema of texts that hold JSON, which the sink makes of nested values.
pub const JSON: &str = "rowferry.Json";
/// Name of the schema of texts that are SQL dates.
pub const DATE: &str = "rowferry.Date";
/// Name of the schema of texts that are SQL times, with microseconds.
pub const TIME: &str = "rowferry.Time";
/// Name of the schema of texts that are SQL date-times, with microseconds.
pub const DATE_TIME: &str = "rowferry.DateTime";

/// Which of Connect's logical types a schema is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogicalType {
    /// Decimal of that scale.
    Decimal(i32),
    /// Date.
    Date,
    /// Time.
    Time,
    /// Timestamp.
    Timestamp,
    /// None of them.
    None,
}

impl LogicalType {
    /// Of a schema.
    pub fn of(schema: &Schema) -> Self {
        match (schema.name.as_deref(), schema.ty) {
            (Some(logical::DECIMAL), SchemaType::Bytes) => Self::Decimal(
                schema
                    .get_param(logical::SCALE)
                    .and_then(|s| s.parse().ok())
                    .unwrap_or(0),
            ),
            (Some(logical::DATE), SchemaType::Int32) => Self::Date,
            (Some(logical::TIME), SchemaType::Int32) => Self::Time,
            (Some(logical::TIMESTAMP), SchemaType::Int64) => Self::Timestamp,
            _ => Self::None,
        }
    }
}
