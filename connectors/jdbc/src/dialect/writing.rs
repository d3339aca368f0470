//! The writing half of a dialect: DDL, and the statements that change rows. Pure text.
//!
//! Defines what the databases share; each adds its own types, literals and upsert.

use std::fmt::Write as _;

use connector_api::{Schema, SchemaType, Value, logical};

use super::Dialect;
use super::column_type::TargetColumnType;
pub use super::fixed::{KeysSql, OffsetsSql};
use super::source_type::{ColumnDefault, SourceColumn, SourceType, carried};
use crate::catalog::ColumnMeta;
use crate::ident::TableId;
use crate::url::DatabaseKind;

/// A column to create.
#[derive(Clone, Copy, Debug)]
pub struct ColumnSpec<'a> {
    pub name: &'a str,
    pub schema: &'a Schema,
    /// True if it is part of the primary key.
    pub key: bool,
    /// True if it holds points in time, whatever its schema says (`timestamp.fields.list`).
    pub instant: bool,
    /// The default as SQL text, for date-times only; other defaults come from the schema.
    pub default_time: Option<&'a str>,
}

/// A column of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementColumn<'a> {
    pub name: &'a str,
    /// Result of [`WriteDialect::cast`].
    pub cast: &'a str,
    /// See [`ColumnMeta::always_numbered`].
    pub always_numbered: bool,
    /// See [`ColumnMeta::own_equality`].
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

/// When two text keys identify the same row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextEquality {
    /// When their bytes are equal.
    Exact,
    /// Possibly also when letter case, accents or blanks differ.
    Folded,
    /// Only the database can decide.
    Unknown,
}

/// The columns of a statement.
#[derive(Clone, Copy, Debug)]
pub struct StatementColumns<'a> {
    pub keys: &'a [StatementColumn<'a>],
    /// All columns in the order in which their values are bound.
    pub all: &'a [StatementColumn<'a>],
}

/// Maximum length of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnCapacity {
    /// In characters.
    Characters(u64),
    /// In bytes.
    Bytes(u64),
}

/// A change that lets a column hold more values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnWidening {
    pub column: ColumnMeta,
    /// The new type, if it changes.
    pub ty: Option<String>,
    /// True if the column must allow NULL and does not yet.
    pub nullable: bool,
}

/// Statements that make a server parse a statement and report the types of its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementProbe {
    /// Makes the server parse the statement.
    pub prepare: String,
    /// Returns one row for each parameter in order: the name of its type as CAST takes it, and as
    /// columns have it. `None`: types do not matter.
    pub types: Option<&'static str>,
    /// Discards the parsed statement.
    pub forget: &'static str,
}

/// Statements for constraints that are checked at COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeferredConstraints {
    /// Checks them now, and at each statement from now on.
    pub check: &'static str,
    /// Defers them to COMMIT again.
    pub wait: &'static str,
}

/// Appends the conflict clause of a server that knows conflicts on the key alone: the text `before`
/// the key's columns, and `proposed`, the server's name for the row to be inserted.
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
    fn database(&self) -> DatabaseKind;

    /// Quoting, placeholders and limits.
    fn dialect(&self) -> &'static dyn Dialect;

    /// Statements for a new session. Those that fail are meant for other versions of the server.
    fn session(&self) -> &'static [&'static str];

    /// A query for the session's current catalog and schema, and the maximum bytes of a statement;
    /// each may be NULL.
    fn surroundings(&self) -> &'static str;

    /// When two text keys of a column identify the same row; `None`: a column created by the sink.
    fn text_equality(&self, column: Option<&ColumnMeta>) -> TextEquality;

    /// The type of a new column. `None` if values of that schema have none.
    fn column_type(&self, column: &ColumnSpec<'_>) -> Option<String>;

    /// The type of a new column from the source column's type that the records carry. `None`: use
    /// the schema's.
    fn carried_type(&self, _carried: &SourceColumn, _key: bool) -> Option<String> {
        None
    }

    /// What a column holds, as far as it decides how values are bound.
    fn holds(&self, column: &ColumnMeta) -> TargetColumnType;

    /// What the items of an array column hold.
    fn item_holds(&self, _column: &ColumnMeta) -> TargetColumnType {
        TargetColumnType::Other
    }

    /// Maximum length of a column's values; `None`: unlimited.
    fn room(&self, _column: &ColumnMeta) -> Option<ColumnCapacity> {
        None
    }

    /// A type that also holds values of that length (in the unit of its [`ColumnCapacity`]).
    fn longer(&self, _column: &ColumnMeta, _length: u64) -> Option<String> {
        None
    }

    /// A wider type for the values of a schema that the column's type cannot hold.
    fn wider(&self, _column: &ColumnMeta, _schema: &Schema) -> Option<String> {
        None
    }

    /// True if a column can be changed to allow NULL.
    fn can_loosen(&self) -> bool {
        false
    }

    /// A query whose second column is the table's definition, if [`WriteDialect::change_columns`]
    /// needs it.
    fn shown_by(&self, _table: &str) -> Option<String> {
        None
    }

    /// The statement that changes columns. `None` if they are not found in the definition `shown`.
    fn change_columns(
        &self,
        _table: &str,
        _changes: &[ColumnWidening],
        _shown: &str,
    ) -> Option<String> {
        None
    }

    /// Appends a schema's default as a literal. `None` if it has none.
    fn literal(&self, column: &ColumnSpec<'_>, value: &Value, out: &mut String) -> Option<()>;

    /// `ALTER TABLE` statements that add columns with these definitions.
    fn add_columns(&self, table: &str, definitions: &[String]) -> Vec<String> {
        let adds: Vec<_> = definitions.iter().map(|d| format!("ADD {d}")).collect();
        vec![format!("ALTER TABLE {table}\n{}", adds.join(",\n"))]
    }

    /// Appends what turns an INSERT of those columns into an upsert. `guard`: a row that collides
    /// with another key on a further unique index must fail instead of changing the row it collides
    /// with.
    fn on_conflict(&self, columns: StatementColumns<'_>, guard: bool, out: &mut String);

    /// True if every value is bound as text and cast to its column's type: for servers that fix the
    /// types of a statement's parameters when it is prepared, where a null would determine the type
    /// for later values.
    fn binds_text(&self) -> bool {
        false
    }

    /// The type to which a column's values are cast; empty: none.
    fn cast(&self, _column: &ColumnMeta) -> String {
        String::new()
    }

    /// Appends the placeholder of a value.
    fn value(&self, number: usize, _cast: &str, out: &mut String) {
        self.dialect().placeholder(number, out);
    }

    /// How many digits of a decimal a column keeps if it is not a decimal column; `None`: all that
    /// fit its type.
    fn decimal_digits(&self, _column: &ColumnMeta) -> Option<usize> {
        None
    }

    /// How to query the unique indexes, for databases whose upserts silently use other indexes
    /// after a change.
    fn keys_sql(&self) -> Option<KeysSql> {
        None
    }

    /// Text that an error contains if a guarded upsert may have met a collision.
    fn guard_sign(&self) -> Option<&'static str> {
        None
    }

    /// The type to which a parameter of a user's statement is cast because of its schema, if its
    /// SQL text alone would be read as something less exact.
    fn argument_cast(&self, _schema: &Schema) -> Option<String> {
        None
    }

    /// How to make the server parse a statement without executing it. `None` if that is not
    /// possible.
    fn statement_probe(&self, _sql: &str) -> Option<StatementProbe> {
        None
    }

    /// How to check deferred constraints before COMMIT. `None` if there are none, or they cannot be
    /// checked earlier.
    fn deferral(&self) -> Option<DeferredConstraints> {
        None
    }

    /// SQL of the offsets table.
    fn offsets_sql(&self) -> &'static OffsetsSql;

    /// `DEFAULT` and the literal in this database's syntax; `None` if the column has no default
    /// that can be written as one.
    fn default_clause(&self, column: &ColumnSpec<'_>) -> Option<String> {
        let mut literal = String::new();
        self.literal(column, column.schema.default.as_ref()?, &mut literal)?;
        Some(format!("DEFAULT {literal}"))
    }

    /// Name, type, default and nullability of a column: a default makes it nullable, as in Kafka
    /// Connect's sinks.
    /// Errors: a text if its schema has no type.
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

    /// A column as the source declares it: a default does not make it nullable.
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

    /// `CREATE TABLE`; the primary key follows the order of columns.
    /// Errors: see [`WriteDialect::column`].
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

    /// Inserts `rows` rows; with `upsert`, existing rows are updated.
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
        // Only PostgreSQL has such columns; the copied rows keep their ids.
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

    /// The statement with which [`Session::copy`](crate::driver::Session::copy) inserts rows.
    /// `None` if there is none.
    fn copy(&self, _table: &TableId, _columns: &[StatementColumn<'_>]) -> Option<String> {
        None
    }

    /// Updates the row of one key: parameters of the values first, then of the key. A column that
    /// the server always numbers takes no value in an UPDATE and has no parameter.
    fn update(&self, table: &TableId, columns: StatementColumns<'_>) -> String {
        let mut out = format!("UPDATE {} SET ", self.dialect().table(table));
        let mut number = 0;
        let is_set = |c: &&StatementColumn<'_>| !columns.keys.contains(c) && !c.always_numbered;
        let values: Vec<_> = columns.all.iter().filter(is_set).copied().collect();
        if values.is_empty() && columns.keys.iter().any(|c| c.always_numbered) {
            // The row cannot be updated; the SELECT returns it if it exists.
            out = format!("SELECT 1 FROM {} WHERE ", self.dialect().table(table));
            self.equalities(
                &[columns.keys, columns.keys].concat(),
                Joined::Found,
                &mut number,
                &mut out,
            );
            return out;
        }
        // Only key columns: touch the row without changing it.
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

    /// True if [`WriteDialect::update_many`] can update or match rows by a column of that type.
    fn updates_many(&self, _column: &ColumnMeta) -> bool {
        false
    }

    /// Updates the rows of `rows` keys in one statement; no two keys may identify the same row.
    /// Parameters are bound as for an insert: row by row, all columns. Only allowed if
    /// [`WriteDialect::updates_many`] is true for every column.
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

    /// Appends quoted names, separated by commas.
    fn names(&self, columns: &[StatementColumn<'_>], out: &mut String) {
        for (n, column) in columns.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            self.dialect().quote(column.name, out);
        }
    }

    /// Appends placeholders with these casts, numbered from `number` on.
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

/// Why columns are listed with their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// To set them.
    Set,
    /// To match rows by them.
    Found,
}

/// How existing rows are updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpsertAction {
    /// The primary key is the only unique index.
    Plain,
    /// There are other unique indexes, on which a row must not collide.
    Guarded,
}

/// Returns the writing half for a server.
pub fn of(database: DatabaseKind, server_version: &str) -> Box<dyn WriteDialect> {
    match database {
        DatabaseKind::MySql => Box::new(super::mysql::writing::MySqlWriteDialect::new(
            server_version,
        )),
        DatabaseKind::Postgres => Box::new(super::postgres::writing::PostgresWriteDialect),
        DatabaseKind::Sqlite => Box::new(super::sqlite::writing::SqliteWriteDialect),
    }
}

/// Appends a schema's default as a number's digits. `None` if it is not a number.
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

/// Schema name of texts that hold JSON, which the sink makes of nested values.
pub const JSON: &str = "rowferry.Json";
/// Schema name of texts that are SQL dates.
pub const DATE: &str = "rowferry.Date";
/// Schema name of texts that are SQL times, with microseconds.
pub const TIME: &str = "rowferry.Time";
/// Schema name of texts that are SQL date-times, with microseconds.
pub const DATE_TIME: &str = "rowferry.DateTime";

/// Connect's logical types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogicalType {
    /// Decimal of that scale.
    Decimal(i32),
    Date,
    Time,
    Timestamp,
    None,
}

impl LogicalType {
    /// Returns the logical type of a schema.
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
