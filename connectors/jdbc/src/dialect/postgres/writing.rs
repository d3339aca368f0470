//! How PostgreSQL is written to: column types, literals, ON CONFLICT, the offsets table.

use connector_api::{Schema, SchemaType, Value};

use super::super::Dialect;
use super::super::column_type::TargetColumnType;
use super::super::source_type::SourceColumn;
use super::super::writing::{
    ColumnCapacity, ColumnSpec, ColumnWidening, DATE, DATE_TIME, DeferredConstraints, JSON,
    LogicalType, OffsetsSql, StatementColumn, StatementColumns, StatementProbe, TIME, TextEquality,
    WriteDialect, hex, numeric_literal, on_key_conflict,
};
use super::{PostgresDialect, holds, type_name, wider};
use crate::catalog::ColumnMeta;
use crate::ident::TableId;
use crate::url::DatabaseKind;

/// The writing half of the dialect.
#[derive(Clone, Copy, Debug)]
pub struct PostgresWriteDialect;

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

impl WriteDialect for PostgresWriteDialect {
    fn database(&self) -> DatabaseKind {
        DatabaseKind::Postgres
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &PostgresDialect
    }

    fn session(&self) -> &'static [&'static str] {
        &[
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SET standard_conforming_strings = on",
            "SET idle_in_transaction_session_timeout = '30s'",
            "SET lock_timeout = '5s'",
        ]
    }

    fn surroundings(&self) -> &'static str {
        "SELECT pg_catalog.current_database()::pg_catalog.text, pg_catalog.current_schema()::pg_catalog.text, \
         NULL::pg_catalog.int8"
    }

    /// Collations are deterministic unless a user creates others. char(n) has no trailing blanks.
    fn text_equality(&self, column: Option<&ColumnMeta>) -> TextEquality {
        let Some(column) = column else {
            return TextEquality::Exact;
        };
        match column.data_type.as_str() {
            "text" | "varchar" | "name" | "char" if !column.loose_collation => TextEquality::Exact,
            // UUIDs are normalized when they are bound.
            "enum" | "uuid" => TextEquality::Exact,
            "text" | "varchar" | "name" | "char" | "bpchar" => TextEquality::Folded,
            own if own.ends_with(".\"citext\"") => TextEquality::Folded,
            _ => TextEquality::Unknown,
        }
    }

    fn column_type(&self, column: &ColumnSpec<'_>) -> Option<String> {
        if column.instant && matches!(column.schema.ty, SchemaType::Int64 | SchemaType::String) {
            return Some("TIMESTAMP".to_owned());
        }
        type_of(column.schema)
    }

    fn carried_type(&self, carried: &SourceColumn, _key: bool) -> Option<String> {
        wider::carried_type(carried)
    }

    fn holds(&self, column: &ColumnMeta) -> TargetColumnType {
        holds::holds(column)
    }

    fn item_holds(&self, column: &ColumnMeta) -> TargetColumnType {
        holds::item_holds(column)
    }

    fn room(&self, column: &ColumnMeta) -> Option<ColumnCapacity> {
        wider::room(column)
    }

    fn longer(&self, column: &ColumnMeta, _length: u64) -> Option<String> {
        wider::longer(column)
    }

    fn wider(&self, column: &ColumnMeta, schema: &Schema) -> Option<String> {
        wider::wider(column, schema)
    }

    fn can_loosen(&self) -> bool {
        true
    }

    fn change_columns(
        &self,
        table: &str,
        changes: &[ColumnWidening],
        _shown: &str,
    ) -> Option<String> {
        Some(wider::change_columns(table, changes))
    }

    fn literal(&self, column: &ColumnSpec<'_>, value: &Value, out: &mut String) -> Option<()> {
        if let Some(text) = column.default_time {
            out.push('\'');
            out.push_str(text);
            out.push('\'');
            return Some(());
        }
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

    /// The conflict is on the key alone; a collision on another unique index is an error of its
    /// own.
    fn on_conflict(&self, columns: StatementColumns<'_>, _guard: bool, out: &mut String) {
        on_key_conflict(self, columns, (" ON CONFLICT (", "EXCLUDED"), out);
    }

    fn binds_text(&self) -> bool {
        true
    }

    /// Without length or scale: an explicit cast to those would silently truncate a value.
    fn cast(&self, column: &ColumnMeta) -> String {
        match (&column.own_type, column.data_type.as_str()) {
            (Some(own), _) => own.clone(),
            (None, "enum") => column.column_type.clone(),
            (None, "bit") => "pg_catalog.varbit".to_owned(),
            (None, ty) => format!("pg_catalog.{}", PostgresDialect.quoted(ty)),
        }
    }

    fn value(&self, number: usize, cast: &str, out: &mut String) {
        if cast.is_empty() {
            return PostgresDialect.placeholder(number, out);
        }
        out.push_str("CAST(");
        PostgresDialect.placeholder(number, out);
        out.push_str(" AS ");
        out.push_str(cast);
        out.push(')');
    }

    /// COPY parses values as a cast would.
    fn copy(&self, table: &TableId, columns: &[StatementColumn<'_>]) -> Option<String> {
        let mut out = format!("COPY {}(", PostgresDialect.table(table));
        self.names(columns, &mut out);
        out.push_str(") FROM STDIN");
        Some(out)
    }

    /// Every value is cast to its column's type.
    fn updates_many(&self, _column: &ColumnMeta) -> bool {
        true
    }

    fn update_many(&self, table: &TableId, columns: StatementColumns<'_>, rows: usize) -> String {
        let names: Vec<_> = columns
            .all
            .iter()
            .map(|c| PostgresDialect.quoted(c.name))
            .collect();
        let pairs = |keys: bool, target: &str, separator: &str| {
            let is_chosen = |c: &StatementColumn<'_>| {
                columns.keys.contains(c) == keys && (keys || !c.always_numbered)
            };
            let chosen = columns.all.iter().enumerate().filter(|(_, c)| is_chosen(c));
            let pair = |(n, column): (usize, &StatementColumn<'_>)| {
                let mut out = format!("{target}{}", names[n]);
                if keys {
                    column.equals(&mut out);
                } else {
                    out.push('=');
                }
                out + &format!("s.c{n}")
            };
            chosen.map(pair).collect::<Vec<_>>().join(separator)
        };
        let mut out = format!(
            "UPDATE {} AS t SET {} FROM (VALUES",
            PostgresDialect.table(table),
            pairs(false, "", ",")
        );
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
        let places: Vec<_> = (0..names.len()).map(|n| format!("c{n}")).collect();
        out.push_str(&format!(
            ") AS s({}) WHERE {}",
            places.join(","),
            pairs(true, "t.", " AND ")
        ));
        out
    }

    fn statement_probe(&self, sql: &str) -> Option<StatementProbe> {
        Some(StatementProbe {
            prepare: format!("PREPARE rowferry_statement AS {sql}"),
            types: Some(concat!(
                "SELECT pg_catalog.format_type(b.oid, NULL)::pg_catalog.text, ",
                type_name!(),
                " FROM pg_catalog.pg_prepared_statements p, pg_catalog.unnest(p.parameter_types) WITH ORDINALITY AS t(type, n), \
                 pg_catalog.pg_type b WHERE p.name = 'rowferry_statement' AND b.oid = t.type::pg_catalog.oid ORDER BY t.n",
            )),
            forget: "DEALLOCATE rowferry_statement",
        })
    }

    fn deferral(&self) -> Option<DeferredConstraints> {
        Some(DeferredConstraints {
            check: "SET CONSTRAINTS ALL IMMEDIATE",
            wait: "SET CONSTRAINTS ALL DEFERRED",
        })
    }

    fn offsets_sql(&self) -> &'static OffsetsSql {
        &LEDGER
    }
}

const LEDGER: OffsetsSql = OffsetsSql {
    places: Some(
        "SELECT n.nspname::pg_catalog.text, pg_catalog.pg_table_is_visible(c.oid), \
         pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT'), \
         EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'cluster' \
         AND NOT a.attisdropped) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = 'rowferry_offsets' AND c.relkind IN ('r', 'p') ORDER BY 2 DESC, 1 LIMIT 100",
    ),
    create: "CREATE TABLE IF NOT EXISTS {table} (\n\
             cluster VARCHAR(255) NOT NULL DEFAULT '',\n\
             sink VARCHAR(255) NOT NULL,\n\
             topic VARCHAR(249) NOT NULL,\n\
             partition_id INT NOT NULL,\n\
             next_offset BIGINT NOT NULL,\n\
             epoch BIGINT NOT NULL,\n\
             owner VARCHAR(255) NOT NULL,\n\
             session_id BIGINT NULL,\n\
             updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,\n\
             PRIMARY KEY (cluster, sink, topic, partition_id))",
    upgrade: &[
        "ALTER TABLE {table} ADD COLUMN cluster VARCHAR(255) NOT NULL DEFAULT '', \
               DROP CONSTRAINT rowferry_offsets_pkey, ADD PRIMARY KEY (cluster, sink, topic, partition_id)",
    ],
    seed: "INSERT INTO {table} (cluster, sink, topic, partition_id, next_offset, epoch, owner) \
           VALUES (?, ?, ?, ?, -1, 0, '') ON CONFLICT DO NOTHING",
    session: "pg_catalog.pg_backend_pid()",
    lock: " FOR UPDATE",
    short_wait: &["SET lock_timeout = '1s'"],
    usual_wait: &["SET lock_timeout = '5s'"],
    own_session: "SELECT 1 FROM pg_catalog.pg_stat_activity WHERE pid = ? AND usename = current_user",
    end_session: "SELECT pg_catalog.pg_terminate_backend({})",
};

#[cfg(test)]
mod tests {
    use connector_api::{Schema, SchemaType, Value};

    use super::{ColumnSpec, PostgresWriteDialect, StatementColumns, WriteDialect};
    use crate::dialect::writing::{StatementColumn, UpsertAction};
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
            PostgresWriteDialect
                .create_table(&TableId::in_schema("s", "t"), &columns)
                .unwrap(),
            "CREATE TABLE IF NOT EXISTS \"s\".\"t\" (\n\"a\" SMALLINT NOT NULL,\n\"b\" DECIMAL NULL,\n\
             \"c\" BOOLEAN DEFAULT TRUE,\n\"d\" pg_catalog.text DEFAULT 'it''s \\ 50%',\n\"e\" pg_catalog.bytea DEFAULT '\\x01FF',\n\
             \"f\"\"\" SMALLINT[] NOT NULL,\nPRIMARY KEY(\"a\"))"
        );
    }

    #[test]
    fn statements_of_every_mode() {
        let table = TableId::in_schema("s", "t");
        let of = |name, cast| StatementColumn {
            name,
            cast,
            always_numbered: false,
            own_equality: None,
        };
        let (k, a) = (of("k", "pg_catalog.\"int4\""), of("a", ""));
        let numbered = StatementColumn {
            always_numbered: true,
            ..k
        };
        let both = StatementColumns {
            keys: &[k],
            all: &[k, a],
        };
        for (seen, want) in [
            (
                PostgresWriteDialect.insert(&table, both, 2, Some(UpsertAction::Guarded)),
                "INSERT INTO \"s\".\"t\"(\"k\",\"a\") VALUES(CAST($1 AS pg_catalog.\"int4\"),$2),(CAST($3 AS pg_catalog.\"int4\"),$4) \
                 ON CONFLICT (\"k\") DO UPDATE SET \"a\"=EXCLUDED.\"a\"",
            ),
            (
                PostgresWriteDialect.insert(
                    &table,
                    StatementColumns {
                        keys: &[a],
                        all: &[a],
                    },
                    1,
                    Some(UpsertAction::Plain),
                ),
                "INSERT INTO \"s\".\"t\"(\"a\") VALUES($1) ON CONFLICT (\"a\") DO NOTHING",
            ),
            (
                PostgresWriteDialect.insert(
                    &table,
                    StatementColumns {
                        keys: &[a],
                        all: &[a, numbered],
                    },
                    1,
                    Some(UpsertAction::Plain),
                ),
                "INSERT INTO \"s\".\"t\"(\"a\",\"k\") OVERRIDING SYSTEM VALUE VALUES($1,CAST($2 AS pg_catalog.\"int4\")) \
                 ON CONFLICT (\"a\") DO NOTHING",
            ),
            (
                PostgresWriteDialect.copy(&table, &[k, a]).unwrap(),
                "COPY \"s\".\"t\"(\"k\",\"a\") FROM STDIN",
            ),
            (
                PostgresWriteDialect.update(&table, both),
                "UPDATE \"s\".\"t\" SET \"a\"=$1 WHERE \"k\"=CAST($2 AS pg_catalog.\"int4\")",
            ),
            (
                PostgresWriteDialect.update_many(&table, both, 2),
                "UPDATE \"s\".\"t\" AS t SET \"a\"=s.c1 FROM (VALUES(CAST($1 AS pg_catalog.\"int4\"),$2),(CAST($3 AS pg_catalog.\"int4\"),$4)) \
                 AS s(c0,c1) WHERE t.\"k\"=s.c0",
            ),
            (
                PostgresWriteDialect.delete(
                    &table,
                    &[StatementColumn {
                        own_equality: Some("ext.="),
                        ..a
                    }],
                    2,
                ),
                "DELETE FROM \"s\".\"t\" WHERE (\"a\" OPERATOR(ext.=) $1) OR (\"a\" OPERATOR(ext.=) $2)",
            ),
            (
                PostgresWriteDialect.delete(&table, &[k], 2),
                "DELETE FROM \"s\".\"t\" WHERE \"k\" IN (CAST($1 AS pg_catalog.\"int4\"),CAST($2 AS pg_catalog.\"int4\"))",
            ),
        ] {
            assert_eq!(seen, want);
        }
    }
}
