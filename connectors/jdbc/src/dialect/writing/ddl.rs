//! Definitions of tables and columns: what the databases share; each adds its own types and
//! literals. Pure.

use connector_api::{Schema, Value, logical};

use super::WriteDialect;
use crate::catalog::ColumnMeta;
use crate::dialect::logical_type::LogicalType;
use crate::dialect::source_type::{ColumnDefault, SourceColumn, SourceType, source_column};
use crate::ident::TableId;

/// How one database defines columns.
pub trait DdlDialect: Send + Sync {
    /// The type of a new column. `None` if values of that schema have none.
    fn column_type(&self, column: &ColumnSpec<'_>) -> Option<String>;

    /// The type of a new column from the source column's type that the records carry. `None`: use
    /// the schema's.
    fn type_like_source(&self, _source: &SourceColumn, _key: bool) -> Option<String> {
        None
    }

    /// Appends a value of the column's schema as a literal. `None` if it has none.
    fn literal(&self, column: &ColumnSpec<'_>, value: &Value, out: &mut String) -> Option<()>;

    /// `DEFAULT` and the literal in this database's syntax; `None` if the column has no default
    /// that can be written as one.
    fn default_clause(&self, column: &ColumnSpec<'_>) -> Option<String> {
        Some(format!("DEFAULT {}", self.default_literal(column)?))
    }

    /// The column's default as a literal. `None` if it has none.
    fn default_literal(&self, column: &ColumnSpec<'_>) -> Option<String> {
        let default = column.schema.default.as_ref()?;
        if let Some(time) = column.default_time {
            return Some(format!("'{time}'"));
        }
        let mut literal = String::new();
        self.literal(column, default, &mut literal)?;
        Some(literal)
    }

    /// A type that also holds values of that length: characters, bytes, digits before the point, or
    /// bits of a signed integer, as its [`ColumnCapacity`](super::ColumnCapacity) counts them.
    fn type_for_length(&self, _column: &ColumnMeta, _length: u64) -> Option<String> {
        None
    }

    /// A wider type for the values of a schema that the column's type cannot hold.
    fn type_for_schema(&self, _column: &ColumnMeta, _schema: &Schema) -> Option<String> {
        None
    }

    /// The statement that changes columns. `None` if they are not found in the table's definition,
    /// which [`table_definition`](super::WriteCapabilities::table_definition) returned.
    fn alter_columns(
        &self,
        _table: &str,
        _changes: &[ColumnWidening],
        _definition: &str,
    ) -> Option<String> {
        None
    }
}

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

/// A change that lets a column hold more values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnWidening {
    pub column: ColumnMeta,
    /// The new type, if it changes.
    pub ty: Option<String>,
    /// True if the column must allow NULL and does not yet.
    pub nullable: bool,
}

/// Returns precision and scale of a decimal column that holds its own values and those of a schema.
/// `None` if it does already, or if one of them is no decimal.
pub(in crate::dialect) fn grown_decimal(
    column: &ColumnMeta,
    schema: &Schema,
) -> Option<(i32, i32)> {
    let LogicalType::Decimal(schema_scale) = LogicalType::of(schema) else {
        return None;
    };
    let (precision, scale) = (column.precision?, column.scale?);
    let whole = precision - scale;
    let schema_precision = schema
        .get_param(logical::PRECISION)
        .and_then(|text| text.parse::<i32>().ok());
    let schema_whole = schema_precision.map_or(0, |precision| precision - schema_scale);
    let grown_whole = schema_whole.max(whole);
    let grown_scale = schema_scale.max(scale);
    let grows = (grown_whole, grown_scale) != (whole, scale);
    grows.then_some((grown_whole + grown_scale, grown_scale))
}

impl WriteDialect {
    /// `CREATE TABLE`; the primary key follows the order of columns.
    /// Errors: see [`WriteDialect::column`].
    pub fn create_table(
        &self,
        table: &TableId,
        columns: &[ColumnSpec<'_>],
    ) -> Result<String, String> {
        let mut lines = columns
            .iter()
            .map(|c| self.column(c))
            .collect::<Result<Vec<_>, _>>()?;
        let keys: Vec<_> = columns
            .iter()
            .filter(|c| c.key)
            .map(|c| self.dialect.quoted(c.name))
            .collect();
        if !keys.is_empty() {
            lines.push(format!("PRIMARY KEY({})", keys.join(",")));
        }
        Ok(format!(
            "CREATE TABLE IF NOT EXISTS {} (\n{})",
            self.dialect.table(table),
            lines.join(",\n")
        ))
    }

    /// `ALTER TABLE` statements that add columns with these definitions.
    pub fn add_columns(&self, table: &str, definitions: &[String]) -> Vec<String> {
        if self.capabilities.adds_columns_together {
            let adds: Vec<_> = definitions.iter().map(|d| format!("ADD {d}")).collect();
            return vec![format!("ALTER TABLE {table}\n{}", adds.join(",\n"))];
        }
        definitions
            .iter()
            .map(|d| format!("ALTER TABLE {table} ADD {d}"))
            .collect()
    }

    /// Name, type, default and nullability of a column: a default makes it nullable, as in Kafka
    /// Connect's sinks.
    /// Errors: a text if its schema has no type.
    pub fn column(&self, column: &ColumnSpec<'_>) -> Result<String, String> {
        let source = source_column(column.schema).filter(|_| !column.instant);
        let typed = source
            .as_ref()
            .and_then(|source| Some((self.ddl.type_like_source(source, column.key)?, source)));
        if let Some((ty, source)) = typed {
            return Ok(self.column_like_source(column, &ty, source));
        }
        let Some(ty) = self.ddl.column_type(column) else {
            return Err(format!(
                "{} ({}) type doesn't have a mapping to the SQL database column type (column {})",
                column.schema.name.as_deref().unwrap_or("null"),
                column.schema.ty.name(),
                column.name,
            ));
        };
        let nullability = match self.ddl.default_clause(column) {
            _ if column.key => "NOT NULL".to_owned(),
            Some(default) => default,
            None if column.schema.optional || column.schema.default.is_some() => "NULL".to_owned(),
            None => "NOT NULL".to_owned(),
        };
        Ok(format!(
            "{} {ty} {nullability}",
            self.dialect.quoted(column.name)
        ))
    }

    /// A column as the source declares it: a default does not make it nullable.
    fn column_like_source(
        &self,
        column: &ColumnSpec<'_>,
        ty: &str,
        source: &SourceColumn,
    ) -> String {
        let null = if column.schema.optional && !column.key {
            "NULL"
        } else {
            "NOT NULL"
        };
        let mut out = format!("{} {ty} {null}", self.dialect.quoted(column.name));
        let mut literal = String::new();
        match &source.default {
            Some(ColumnDefault::Now) if source.kind.is_moment() => {
                let digits = ty.find('(').map_or("", |at| &ty[at..]);
                out.push_str(&format!(" DEFAULT CURRENT_TIMESTAMP{digits}"));
            }
            Some(ColumnDefault::Literal(text))
                if !matches!(
                    source.kind,
                    SourceType::Text(_)
                        | SourceType::Blob(_)
                        | SourceType::Json
                        | SourceType::Postgres { name: "json", .. }
                ) =>
            {
                let value = Value::Text(text.as_str().into());
                if self.ddl.literal(column, &value, &mut literal).is_some() {
                    out.push_str(&format!(" DEFAULT {literal}"));
                }
            }
            _ => {}
        }
        out
    }
}
