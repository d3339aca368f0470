//! How SQLite is written to: column types, literals, ON CONFLICT, the offsets table.

use connector_api::{SchemaType, Value, logical};

use super::super::Dialect;
use super::super::column_type::TargetColumnType;
use super::super::writing::{
    ColumnSpec, LogicalType, OffsetsSql, StatementColumns, TextEquality, WriteDialect, hex,
    numeric_literal, on_key_conflict,
};
use super::{SqliteDialect, holds, read_types};
use crate::catalog::ColumnMeta;
use crate::url::DatabaseKind;

/// Digits of a decimal that survive in a column whose affinity converts texts to numbers: a 64-bit
/// float keeps that many.
const DIGITS: usize = 15;

/// The writing half of the dialect.
#[derive(Clone, Copy, Debug)]
pub struct SqliteWriteDialect;

impl WriteDialect for SqliteWriteDialect {
    fn database(&self) -> DatabaseKind {
        DatabaseKind::Sqlite
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &SqliteDialect
    }

    fn session(&self) -> &'static [&'static str] {
        &[]
    }

    fn surroundings(&self) -> &'static str {
        "SELECT NULL, NULL, NULL"
    }

    /// A column may be declared with the collation NOCASE, which the catalog does not report.
    fn text_equality(&self, _column: Option<&ColumnMeta>) -> TextEquality {
        TextEquality::Folded
    }

    /// The peers' types, except for points in time: the peers make those NUMERIC, from which
    /// nothing can tell what they are. SQLite gives DATE, TIME and TIMESTAMP the same affinity. A
    /// decimal with more digits than SQLite's numbers is text.
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
                return Some(match precision.filter(|p| *p > 0) {
                    Some(precision) if precision > DIGITS => "TEXT".to_owned(),
                    Some(precision) if scale >= 0 => format!("NUMERIC({precision},{scale})"),
                    _ => "NUMERIC".to_owned(),
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
                SchemaType::String => "TEXT",
                SchemaType::Bytes => "BLOB",
                SchemaType::Array | SchemaType::Map | SchemaType::Struct => return None,
            },
        };
        Some(ty.to_owned())
    }

    fn holds(&self, column: &ColumnMeta) -> TargetColumnType {
        holds::holds(column)
    }

    fn literal(&self, column: &ColumnSpec<'_>, value: &Value, out: &mut String) -> Option<()> {
        let mut quoted = |text: &str| {
            out.push('\'');
            out.push_str(&text.replace('\'', "''"));
            out.push('\'');
        };
        match (column.default_time, value) {
            (Some(text), _) => quoted(text),
            (None, Value::Text(text)) => quoted(text),
            (None, Value::Decimal(n))
                if self.column_type(column).is_some_and(|ty| ty == "TEXT") =>
            {
                quoted(&n.to_string());
            }
            (None, Value::Bool(flag)) => out.push(if *flag { '1' } else { '0' }),
            (None, Value::Bytes(bytes)) => {
                out.push_str("X'");
                hex(bytes, out);
                out.push('\'');
            }
            (None, other) => numeric_literal(other, out)?,
        }
        Some(())
    }

    /// `ALTER TABLE` takes one column at a time.
    fn add_columns(&self, table: &str, definitions: &[String]) -> Vec<String> {
        definitions
            .iter()
            .map(|d| format!("ALTER TABLE {table} ADD {d}"))
            .collect()
    }

    /// The conflict is on the key alone; a collision on another unique index is an error of its
    /// own.
    fn on_conflict(&self, columns: StatementColumns<'_>, _guard: bool, out: &mut String) {
        on_key_conflict(self, columns, (" ON CONFLICT(", "excluded"), out);
    }

    fn decimal_digits(&self, column: &ColumnMeta) -> Option<usize> {
        (!matches!(read_types::affinity(&column.data_type), "text" | "blob")).then_some(DIGITS)
    }

    fn offsets_sql(&self) -> &'static OffsetsSql {
        &LEDGER
    }
}

/// A file has no sessions that could be ended: the sink waits for the holder of its lock.
const LEDGER: OffsetsSql = OffsetsSql {
    places: None,
    create: "CREATE TABLE IF NOT EXISTS {table} (\n\
             cluster TEXT NOT NULL DEFAULT '',\n\
             sink TEXT NOT NULL,\n\
             topic TEXT NOT NULL,\n\
             partition_id INTEGER NOT NULL,\n\
             next_offset INTEGER NOT NULL,\n\
             epoch INTEGER NOT NULL,\n\
             owner TEXT NOT NULL,\n\
             session_id INTEGER NULL,\n\
             updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,\n\
             PRIMARY KEY (cluster, sink, topic, partition_id))",
    // No SQLite table was ever created without the column.
    upgrade: &[],
    seed: "INSERT INTO {table} (cluster, sink, topic, partition_id, next_offset, epoch, owner) \
           VALUES (?, ?, ?, ?, -1, 0, '') ON CONFLICT DO NOTHING",
    session: "NULL",
    lock: "",
    short_wait: &[],
    usual_wait: &[],
    own_session: "SELECT 1 WHERE ? IS NULL",
    end_session: "SELECT {}",
};

#[cfg(test)]
mod tests {
    use connector_api::{Schema, SchemaType, Value, logical};

    use super::{ColumnSpec, SqliteWriteDialect, StatementColumns, WriteDialect};
    use crate::catalog::ColumnMeta;
    use crate::dialect::writing::{StatementColumn, UpsertAction};
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
            SqliteWriteDialect
                .create_table(&TableId::bare("t"), &columns)
                .unwrap(),
            "CREATE TABLE IF NOT EXISTS `t` (\n`a` INTEGER NOT NULL,\n`b` REAL NULL,\n`c` INTEGER DEFAULT 1,\n\
             `d` TEXT DEFAULT 'it''s \\ 50%',\n`e` BLOB DEFAULT X'01FF',\n`f` NUMERIC NULL,\n`g` NUMERIC(10,2) NOT NULL,\n\
             `h` TEXT NOT NULL,\n`i` DATE NOT NULL,\n`j``` TIMESTAMP NOT NULL,\nPRIMARY KEY(`a`))"
        );
        let added = SqliteWriteDialect
            .add_columns("`t`", &["`x` INTEGER NULL".into(), "`y` TEXT NULL".into()]);
        assert_eq!(
            added,
            [
                "ALTER TABLE `t` ADD `x` INTEGER NULL",
                "ALTER TABLE `t` ADD `y` TEXT NULL"
            ]
        );
    }

    #[test]
    fn statements_of_every_mode() {
        let table = TableId::bare("t");
        let [k, a] = ["k", "a"].map(|name| StatementColumn {
            name,
            cast: "",
            always_numbered: false,
            own_equality: None,
        });
        let both = StatementColumns {
            keys: &[k],
            all: &[k, a],
        };
        for (seen, want) in [
            (
                SqliteWriteDialect.insert(&table, both, 2, Some(UpsertAction::Guarded)),
                "INSERT INTO `t`(`k`,`a`) VALUES(?,?),(?,?) ON CONFLICT(`k`) DO UPDATE SET `a`=excluded.`a`",
            ),
            (
                SqliteWriteDialect.insert(
                    &table,
                    StatementColumns {
                        keys: &[a],
                        all: &[a],
                    },
                    1,
                    Some(UpsertAction::Plain),
                ),
                "INSERT INTO `t`(`a`) VALUES(?) ON CONFLICT(`a`) DO NOTHING",
            ),
            (
                SqliteWriteDialect.update(&table, both),
                "UPDATE `t` SET `a`=? WHERE `k`=?",
            ),
            (
                SqliteWriteDialect.delete(&table, &[k], 2),
                "DELETE FROM `t` WHERE `k` IN (?,?)",
            ),
        ] {
            assert_eq!(seen, want);
        }
    }

    #[test]
    fn only_columns_of_text_keep_every_digit() {
        let digits = |data_type: &str| {
            SqliteWriteDialect.decimal_digits(&ColumnMeta {
                data_type: data_type.into(),
                ..ColumnMeta::default()
            })
        };
        assert_eq!(
            (
                digits("numeric"),
                digits("double"),
                digits("text"),
                digits("")
            ),
            (Some(15), Some(15), None, None)
        );
    }
}
