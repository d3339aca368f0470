//! How PostgreSQL defines columns: types, literals, defaults.

use connector_api::{Schema, SchemaType, Value};

use super::widening;
use crate::catalog::ColumnMeta;
use crate::dialect::logical_type::{DATE, DATE_TIME, JSON, LogicalType, TIME};
use crate::dialect::source_type::{BITS, SourceColumn};
use crate::dialect::writing::{ColumnSpec, ColumnWidening, DdlDialect, hex, numeric_literal};

/// Maximum bits of a BIT column.
pub(super) const MOST_BITS: u32 = 83_886_080;

/// Definitions of tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PostgresDdl;

/// Returns the type for values of a schema. Names that are not SQL keywords are schema-qualified,
/// since a user's type may have the same name.
fn type_of(schema: &Schema) -> Option<String> {
    let ty = match LogicalType::of(schema) {
        LogicalType::Decimal(_) => "DECIMAL",
        LogicalType::Date => "pg_catalog.date",
        LogicalType::Time => "TIME",
        LogicalType::Timestamp => "TIMESTAMP",
        LogicalType::None => match schema.ty {
            SchemaType::Int8 | SchemaType::Int16 => "SMALLINT",
            SchemaType::Int32 => "INT",
            SchemaType::Int64 => "BIGINT",
            SchemaType::Float32 => "REAL",
            SchemaType::Float64 => "DOUBLE PRECISION",
            SchemaType::Boolean => "BOOLEAN",
            SchemaType::String if schema.is_named(JSON) => "pg_catalog.jsonb",
            SchemaType::String if schema.is_named(DATE) => "pg_catalog.date",
            SchemaType::String if schema.is_named(TIME) => "TIME",
            SchemaType::String if schema.is_named(DATE_TIME) => "TIMESTAMP",
            SchemaType::String => "pg_catalog.text",
            SchemaType::Bytes if schema.is_named(BITS) => return Some(type_of_bits(schema)),
            SchemaType::Bytes => "pg_catalog.bytea",
            // PostgreSQL's arrays have any number of dimensions.
            SchemaType::Array => {
                let item = type_of(schema.values.as_ref()?)?;
                return Some(if item.ends_with("[]") {
                    item
                } else {
                    format!("{item}[]")
                });
            }
            SchemaType::Map | SchemaType::Struct => return None,
        },
    };
    Some(ty.to_owned())
}

/// Returns the type for Debezium's bit strings. One without a limit has the largest length there.
fn type_of_bits(schema: &Schema) -> String {
    let length = schema
        .get_param("length")
        .and_then(|length| length.parse::<u32>().ok());
    match length {
        Some(bits @ 1..=MOST_BITS) => format!("BIT({bits})"),
        Some(_) => "BIT VARYING".to_owned(),
        None => "pg_catalog.bytea".to_owned(),
    }
}

impl DdlDialect for PostgresDdl {
    fn column_type(&self, column: &ColumnSpec<'_>) -> Option<String> {
        if column.instant && matches!(column.schema.ty, SchemaType::Int64 | SchemaType::String) {
            return Some("TIMESTAMP".to_owned());
        }
        type_of(column.schema)
    }

    fn type_like_source(&self, source: &SourceColumn, key: bool) -> Option<String> {
        widening::type_like_source(source, key)
    }

    fn literal(&self, _column: &ColumnSpec<'_>, value: &Value, out: &mut String) -> Option<()> {
        match value {
            Value::Bool(flag) => out.push_str(if *flag { "TRUE" } else { "FALSE" }),
            Value::Text(text) => {
                out.push('\'');
                out.push_str(&text.replace('\'', "''"));
                out.push('\'');
            }
            Value::Bytes(bytes) => {
                out.push_str("'\\x");
                hex(bytes, out);
                out.push('\'');
            }
            other => numeric_literal(other, out)?,
        }
        Some(())
    }

    fn type_for_length(&self, column: &ColumnMeta, length: u64) -> Option<String> {
        widening::type_for_length(column, length)
    }

    fn type_for_schema(&self, column: &ColumnMeta, schema: &Schema) -> Option<String> {
        widening::type_for_schema(column, schema)
    }

    fn alter_columns(
        &self,
        table: &str,
        changes: &[ColumnWidening],
        _definition: &str,
    ) -> Option<String> {
        Some(widening::alter_columns(table, changes))
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{Schema, SchemaType, Value};

    use super::ColumnSpec;
    use crate::dialect::postgres::writing::POSTGRES;
    use crate::ident::TableId;

    #[test]
    fn a_table_is_created_as_the_peers_do() {
        let with = |schema: Schema, default: Value| Schema {
            default: Some(default),
            ..schema
        };
        let nested = Schema::array(Schema::array(Schema::of(SchemaType::Int8)));
        let schemas = [
            Schema::of(SchemaType::Int8),
            Schema::decimal(4).optional(true),
            with(Schema::of(SchemaType::Boolean), Value::Bool(true)),
            with(
                Schema::of(SchemaType::String),
                Value::Text("it's \\ 50%".into()),
            ),
            with(Schema::of(SchemaType::Bytes), Value::Bytes([1, 255].into())),
            nested,
        ];
        let spec = |(name, schema)| ColumnSpec {
            name,
            schema,
            key: name == "a",
            instant: false,
            default_time: None,
        };
        let columns: Vec<_> = ["a", "b", "c", "d", "e", "f\""]
            .into_iter()
            .zip(&schemas)
            .map(spec)
            .collect();
        assert_eq!(
            POSTGRES
                .create_table(&TableId::in_schema("s", "t"), &columns)
                .unwrap(),
            "CREATE TABLE IF NOT EXISTS \"s\".\"t\" (\n\"a\" SMALLINT NOT NULL,\n\"b\" DECIMAL NULL,\n\
             \"c\" BOOLEAN DEFAULT TRUE,\n\"d\" pg_catalog.text DEFAULT 'it''s \\ 50%',\n\"e\" pg_catalog.bytea DEFAULT '\\x01FF',\n\
             \"f\"\"\" SMALLINT[] NOT NULL,\nPRIMARY KEY(\"a\"))"
        );
    }
}
