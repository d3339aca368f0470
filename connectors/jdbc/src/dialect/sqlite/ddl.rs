//! How SQLite defines columns: types, literals.

use connector_api::{Schema, SchemaType, Value, logical};

use super::columns::DIGITS;
use crate::dialect::logical_type::{DATE, DATE_TIME, LogicalType, TIME};
use crate::dialect::source_type::BITS;
use crate::dialect::writing::{ColumnSpec, DdlDialect, hex, numeric_literal};

/// Definitions of tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SqliteDdl;

/// Returns the length of Debezium's bit strings.
fn bits(schema: &Schema) -> Option<u32> {
    let length = schema.get_param("length").filter(|_| schema.is_named(BITS));
    length?.parse().ok()
}

impl DdlDialect for SqliteDdl {
    /// The types of Confluent's sink, except for points in time: it makes those NUMERIC, from which
    /// their meaning cannot be recovered. SQLite gives DATE, TIME and TIMESTAMP the same affinity. A
    /// decimal with more digits than SQLite's numbers, or with a number of digits that is not known,
    /// is text.
    fn column_type(&self, column: &ColumnSpec<'_>) -> Option<String> {
        let schema = column.schema;
        if column.instant && matches!(schema.ty, SchemaType::Int64 | SchemaType::String) {
            return Some("TIMESTAMP".to_owned());
        }
        let ty = match LogicalType::of(schema) {
            LogicalType::Decimal(scale) => {
                let precision = schema
                    .get_param(logical::PRECISION)
                    .and_then(|p| p.parse::<usize>().ok());
                return Some(match precision.filter(|p| (1..=DIGITS).contains(p)) {
                    // It may have more digits than a number keeps.
                    None => "TEXT".to_owned(),
                    Some(precision) if scale >= 0 => format!("NUMERIC({precision},{scale})"),
                    Some(_) => "NUMERIC".to_owned(),
                });
            }
            LogicalType::Date => "DATE",
            LogicalType::Time => "TIME",
            LogicalType::Timestamp => "TIMESTAMP",
            LogicalType::None => match schema.ty {
                SchemaType::Int8
                | SchemaType::Int16
                | SchemaType::Int32
                | SchemaType::Int64
                | SchemaType::Boolean => "INTEGER",
                SchemaType::Float32 | SchemaType::Float64 => "REAL",
                SchemaType::String if schema.is_named(DATE) => "DATE",
                SchemaType::String if schema.is_named(TIME) => "TIME",
                SchemaType::String if schema.is_named(DATE_TIME) => "TIMESTAMP",
                SchemaType::String => "TEXT",
                // Longer bit strings are not numbers of SQLite.
                SchemaType::Bytes if bits(schema).is_some_and(|bits| bits < 64) => "INTEGER",
                SchemaType::Bytes => "BLOB",
                SchemaType::Array | SchemaType::Map | SchemaType::Struct => return None,
            },
        };
        Some(ty.to_owned())
    }

    fn literal(&self, column: &ColumnSpec<'_>, value: &Value, out: &mut String) -> Option<()> {
        let mut quoted = |text: &str| {
            out.push('\'');
            out.push_str(&text.replace('\'', "''"));
            out.push('\'');
        };
        match value {
            Value::Text(text) => quoted(text),
            Value::Decimal(n) if self.column_type(column).is_some_and(|ty| ty == "TEXT") => {
                quoted(&n.to_string());
            }
            Value::Bool(flag) => out.push(if *flag { '1' } else { '0' }),
            Value::Bytes(bytes) => {
                out.push_str("X'");
                hex(bytes, out);
                out.push('\'');
            }
            other => numeric_literal(other, out)?,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{Schema, SchemaType, Value, logical};

    use super::ColumnSpec;
    use crate::dialect::sqlite::writing::SQLITE;
    use crate::ident::TableId;

    #[test]
    fn a_table_is_created_with_affinities_that_keep_values() {
        let with = |schema: Schema, default: Value| Schema {
            default: Some(default),
            ..schema
        };
        let precise =
            |precision: &str, scale| Schema::decimal(scale).param(logical::PRECISION, precision);
        let schemas = [
            Schema::of(SchemaType::Int32),
            Schema::of(SchemaType::Float32).optional(true),
            with(Schema::of(SchemaType::Boolean), Value::Bool(true)),
            with(
                Schema::of(SchemaType::String),
                Value::Text("it's \\ 50%".into()),
            ),
            with(Schema::of(SchemaType::Bytes), Value::Bytes([1, 255].into())),
            Schema::decimal(4).optional(true),
            precise("10", 2),
            precise("16", 2),
            Schema::date(),
            Schema::timestamp(),
        ];
        let spec = |(name, schema)| ColumnSpec {
            name,
            schema,
            key: name == "a",
            instant: false,
            default_time: None,
        };
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j`"];
        let columns: Vec<_> = names.into_iter().zip(&schemas).map(spec).collect();
        assert_eq!(
            SQLITE.create_table(&TableId::bare("t"), &columns).unwrap(),
            "CREATE TABLE IF NOT EXISTS `t` (\n`a` INTEGER NOT NULL,\n`b` REAL NULL,\n`c` INTEGER DEFAULT 1,\n\
             `d` TEXT DEFAULT 'it''s \\ 50%',\n`e` BLOB DEFAULT X'01FF',\n`f` TEXT NULL,\n`g` NUMERIC(10,2) NOT NULL,\n\
             `h` TEXT NOT NULL,\n`i` DATE NOT NULL,\n`j``` TIMESTAMP NOT NULL,\nPRIMARY KEY(`a`))"
        );
        let added = SQLITE.add_columns("`t`", &["`x` INTEGER NULL".into(), "`y` TEXT NULL".into()]);
        assert_eq!(
            added,
            [
                "ALTER TABLE `t` ADD `x` INTEGER NULL",
                "ALTER TABLE `t` ADD `y` TEXT NULL"
            ]
        );
    }
}
