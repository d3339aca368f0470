//! How MariaDB and MySQL define columns: types, literals, defaults.

use connector_api::{Schema, SchemaType, Value};

use super::widening;
use crate::catalog::ColumnMeta;
use crate::dialect::logical_type::{DATE, DATE_TIME, JSON, LogicalType, TIME, is_geometry};
use crate::dialect::source_type::{BITS, SourceColumn};
use crate::dialect::writing::{ColumnSpec, ColumnWidening, DdlDialect, hex, numeric_literal};

/// Definitions of tables, for one of the two servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MySqlDdl {
    pub(super) mariadb: bool,
}

/// Maximum bits of a BIT column.
const MOST_BITS: u8 = 64;
/// Text type for keys: an index of up to 3,072 bytes holds three of them.
const KEY_TEXT: &str = "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// Returns the maximum digits after the decimal point of DECIMAL.
pub(super) fn max_scale(mariadb: bool) -> i32 {
    if mariadb { 38 } else { 30 }
}

/// Appends a text literal.
pub(super) fn quoted_text(text: &str, out: &mut String) {
    out.push('\'');
    for c in text.chars() {
        if matches!(c, '\'' | '\\') {
            out.push(c);
        }
        out.push(c);
    }
    out.push('\'');
}

impl DdlDialect for MySqlDdl {
    fn column_type(&self, column: &ColumnSpec<'_>) -> Option<String> {
        if column.instant && matches!(column.schema.ty, SchemaType::Int64 | SchemaType::String) {
            return Some("DATETIME(6)".to_owned());
        }
        let ty = match LogicalType::of(column.schema) {
            LogicalType::Decimal(scale) if scale > max_scale(self.mariadb) => {
                if column.key {
                    KEY_TEXT
                } else {
                    "TEXT"
                }
            }
            LogicalType::Decimal(scale) => return Some(format!("DECIMAL(65,{})", scale.max(0))),
            LogicalType::Date => "DATE",
            LogicalType::Time => "TIME(3)",
            LogicalType::Timestamp => "DATETIME(3)",
            LogicalType::None => match column.schema.ty {
                SchemaType::Int8 | SchemaType::Boolean => "TINYINT",
                SchemaType::Int16 => "SMALLINT",
                SchemaType::Int32 => "INT",
                SchemaType::Int64 => "BIGINT",
                SchemaType::Float32 => "FLOAT",
                SchemaType::Float64 => "DOUBLE",
                SchemaType::String if column.schema.is_named(DATE) => "DATE",
                SchemaType::String if column.schema.is_named(TIME) => "TIME(6)",
                SchemaType::String if column.schema.is_named(DATE_TIME) => "DATETIME(6)",
                SchemaType::String if column.key => KEY_TEXT,
                SchemaType::String if column.schema.is_named(JSON) => "JSON",
                SchemaType::String => "TEXT",
                SchemaType::Bytes if column.schema.is_named(BITS) => {
                    let length = column
                        .schema
                        .get_param("length")
                        .and_then(|length| length.parse::<u8>().ok());
                    return Some(
                        length
                            .filter(|n| (1..=MOST_BITS).contains(n))
                            .map_or("BLOB".into(), |n| format!("BIT({n})")),
                    );
                }
                SchemaType::Bytes => "VARBINARY(1024)",
                SchemaType::Struct if !column.key && is_geometry(column.schema) => "GEOMETRY",
                SchemaType::Array | SchemaType::Map | SchemaType::Struct => return None,
            },
        };
        Some(ty.to_owned())
    }

    fn type_like_source(&self, source: &SourceColumn, key: bool) -> Option<String> {
        widening::type_like_source(source, key, self.mariadb)
    }

    fn literal(&self, _column: &ColumnSpec<'_>, value: &Value, out: &mut String) -> Option<()> {
        match value {
            Value::Bool(flag) => out.push(if *flag { '1' } else { '0' }),
            Value::Text(text) => quoted_text(text, out),
            Value::Bytes(bytes) => {
                out.push_str("X'");
                hex(bytes, out);
                out.push('\'');
            }
            other => numeric_literal(other, out)?,
        }
        Some(())
    }

    /// MySQL accepts a default of TEXT and BLOB only as an expression in parentheses (since
    /// 8.0.13).
    fn default_clause(&self, column: &ColumnSpec<'_>) -> Option<String> {
        let literal = self.default_literal(column)?;
        let text = self.column_type(column).is_some_and(|ty| ty == "TEXT");
        Some(if text && !self.mariadb {
            format!("DEFAULT ({literal})")
        } else {
            format!("DEFAULT {literal}")
        })
    }

    fn type_for_length(&self, column: &ColumnMeta, length: u64) -> Option<String> {
        widening::type_for_length(column, length)
    }

    fn type_for_schema(&self, column: &ColumnMeta, schema: &Schema) -> Option<String> {
        widening::type_for_schema(column, schema, max_scale(self.mariadb))
    }

    fn alter_columns(
        &self,
        table: &str,
        changes: &[ColumnWidening],
        definition: &str,
    ) -> Option<String> {
        widening::alter_columns(table, changes, definition)
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{Schema, SchemaType, Value};

    use super::ColumnSpec;
    use crate::dialect::mysql::writing::MARIADB;
    use crate::ident::TableId;

    fn spec<'a>(name: &'a str, schema: &'a Schema, key: bool) -> ColumnSpec<'a> {
        ColumnSpec {
            name,
            schema,
            key,
            instant: false,
            default_time: None,
        }
    }

    #[test]
    fn a_table_is_created_as_the_peers_do() {
        let with = |schema: Schema, default: Value| Schema {
            default: Some(default),
            ..schema
        };
        let schemas = [
            Schema::of(SchemaType::Int32),
            Schema::of(SchemaType::Int64),
            Schema::of(SchemaType::String).optional(true),
            with(Schema::date(), Value::I32(11_396)),
            Schema::decimal(4).optional(true),
            with(Schema::of(SchemaType::Boolean), Value::Bool(true)),
            with(
                Schema::of(SchemaType::String),
                Value::Text("it's \\ 50%".into()),
            ),
            Schema::decimal(-2),
            Schema::decimal(60),
        ];
        let mut columns: Vec<_> = ["c1", "c2", "c3", "c4", "c5", "c6", "c`7", "c8", "c9"]
            .iter()
            .zip(&schemas)
            .map(|(n, s)| spec(n, s, false))
            .collect();
        columns[0].key = true;
        columns[3].default_time = Some("2001-03-15");
        assert_eq!(
            MARIADB
                .create_table(&TableId::in_catalog("d", "t"), &columns)
                .unwrap(),
            "CREATE TABLE IF NOT EXISTS `d`.`t` (\n`c1` INT NOT NULL,\n`c2` BIGINT NOT NULL,\n`c3` TEXT NULL,\n\
             `c4` DATE DEFAULT '2001-03-15',\n`c5` DECIMAL(65,4) NULL,\n`c6` TINYINT DEFAULT 1,\n\
             `c``7` TEXT DEFAULT 'it''s \\\\ 50%',\n`c8` DECIMAL(65,0) NOT NULL,\n`c9` TEXT NOT NULL,\nPRIMARY KEY(`c1`))"
        );
        let nested = Schema::array(Schema::of(SchemaType::Int32));
        let text = MARIADB
            .create_table(&TableId::bare("t"), &[spec("a", &nested, false)])
            .unwrap_err();
        assert!(
            text.starts_with(
                "null (ARRAY) type doesn't have a mapping to the SQL database column type"
            ),
            "{text}"
        );
    }

    #[test]
    fn keys_that_are_text_have_a_length() {
        let text = Schema::of(SchemaType::String);
        let ty = MARIADB.ddl.column_type(&spec("k", &text, true)).unwrap();
        assert_eq!(ty, "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
    }
}
