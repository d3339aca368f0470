//! Reads tables and columns from PostgreSQL's catalog.

#![expect(
    clippy::indexing_slicing,
    reason = "the rows have the columns that the queries name"
)]

use connector_api::{Result, Value};
use sqlx::{Column, Postgres, Statement};

use super::backend::DatabaseCatalog;
use super::postgres::PostgresSession;
use super::{Session, SqlParam};
use crate::catalog::{ColumnMeta, TableFilter, TableMeta, TableName, set_key_positions};
use crate::dialect::postgres::type_name;
use crate::ident::TableId;

const TABLE: &str = "SELECT c.oid::pg_catalog.int8, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, \
     c.relkind::pg_catalog.text, c.reltuples::pg_catalog.int8, \
     c.relhasrules OR c.relrowsecurity, \
     EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
     AND (n.nspname = $2 OR ($2 IS NULL AND pg_catalog.pg_table_is_visible(c.oid)))";

/// Selects the type `b` of a type's oid, with the length of its values; of a domain, the base type.
macro_rules! base_type {
    ($oid:literal, $length:literal) => {
        concat!(
            "(WITH RECURSIVE d AS (SELECT t.oid, t.typname, t.typnamespace, t.typtype, t.typelem, t.typbasetype, t.typtypmod, ",
            $length,
            " AS mod, t.typtype = 'd' AND t.typnotnull AS required FROM pg_catalog.pg_type t WHERE t.oid = ",
            $oid,
            " UNION ALL SELECT n.oid, n.typname, n.typnamespace, n.typtype, n.typelem, n.typbasetype, n.typtypmod, \
             d.typtypmod, d.required OR (n.typtype = 'd' AND n.typnotnull) FROM d JOIN pg_catalog.pg_type n \
             ON n.oid = d.typbasetype WHERE d.typtype = 'd') SELECT * FROM d WHERE typtype <> 'd') b"
        )
    };
}

/// Columns of a table. A domain is resolved to its base type, which may be several domains away.
macro_rules! columns {
    ($condition:literal) => {
        concat!(
            "SELECT a.attname::pg_catalog.text, ",
            type_name!(),
            ", pg_catalog.format_type(b.oid, b.mod), a.attnotnull OR b.required, b.mod, \
     a.attidentity <> '' OR coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', false), \
     a.attgenerated <> '', pg_catalog.pg_get_expr(d.adbin, d.adrelid), \
     (SELECT pg_catalog.quote_ident(s.nspname) || '.' || pg_catalog.quote_ident(b.typname) \
     FROM pg_catalog.pg_namespace s WHERE s.oid = b.typnamespace AND s.nspname <> 'pg_catalog'), a.attidentity = 'a', \
     (SELECT pg_catalog.quote_ident(s.nspname) || '.' || o.oprname FROM pg_catalog.pg_opclass k \
     JOIN pg_catalog.pg_am m ON m.oid = k.opcmethod JOIN pg_catalog.pg_amop p ON p.amopfamily = k.opcfamily \
     AND p.amoplefttype = b.oid AND p.amoprighttype = b.oid \
     AND p.amopstrategy = CASE m.amname WHEN 'btree' THEN 3 WHEN 'hash' THEN 1 END \
     JOIN pg_catalog.pg_operator o ON o.oid = p.amopopr JOIN pg_catalog.pg_namespace s ON s.oid = o.oprnamespace \
     WHERE k.opcintype = b.oid AND k.opcdefault AND s.nspname <> 'pg_catalog' LIMIT 1), \
     EXISTS (SELECT 1 FROM pg_catalog.pg_collation l WHERE l.oid = a.attcollation AND NOT l.collisdeterministic) \
     FROM pg_catalog.pg_attribute a CROSS JOIN LATERAL ",
            base_type!("a.atttypid", "a.atttypmod"),
            " LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
     WHERE a.attrelid = $1::pg_catalog.int8::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped ",
            $condition
        )
    };
}

const COLUMNS: &str = columns!("ORDER BY a.attnum");
const ONE_COLUMN: &str = columns!("AND a.attnum = $2");

/// Unique indexes over plain columns of all rows.
const INDEXES: &str = "SELECT i.indexrelid::pg_catalog.int8, i.indisprimary, a.attname::pg_catalog.text, \
     NOT i.indimmediate \
     FROM pg_catalog.pg_index i \
     CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k(attnum, place) \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
     WHERE i.indrelid = $1::pg_catalog.int8::pg_catalog.oid AND i.indisunique AND i.indisvalid \
     AND i.indpred IS NULL AND i.indexprs IS NULL \
     AND k.place <= i.indnkeyatts ORDER BY i.indexrelid, k.place";

impl DatabaseCatalog for Postgres {
    /// Returns a table with its columns and keys, see [`Session::table`].
    async fn table(session: &mut PostgresSession, id: &TableId) -> Result<Option<TableMeta>> {
        let schema = SqlParam::text(id.schema.as_deref());
        let found = session
            .query(TABLE, &[SqlParam::Text(id.table.as_str().into()), schema])
            .await?;
        let Some(row) = found.into_iter().next() else {
            return Ok(None);
        };
        let oid = [SqlParam::I64(row[0].as_i64().unwrap_or_default())];
        let mut columns: Vec<_> = session
            .query(COLUMNS, &oid)
            .await?
            .iter()
            .map(|row| column(row))
            .collect();
        let Keys {
            primary: primary_key,
            unique,
            deferrable,
        } = keys(&session.query(INDEXES, &oid).await?);
        set_key_positions(&mut columns, &primary_key);
        Ok(Some(TableMeta {
            id: TableId {
                catalog: id.catalog.clone(),
                schema: Some(text(&row[1])),
                table: text(&row[2]),
            },
            columns,
            primary_key,
            unique,
            unique_in_part: false,
            deferrable,
            is_view: matches!(row[3].as_str(), Some("v" | "m")),
            // -1 before the first ANALYZE
            rows_estimated: row[4].as_i64().and_then(|n| n.try_into().ok()),
            no_rollback: None,
            only_insert: row[5] == Value::Bool(true),
            has_triggers: row[6] == Value::Bool(true),
        }))
    }

    /// Returns tables and views, see [`Session::tables`].
    async fn tables(session: &mut PostgresSession, filter: &TableFilter) -> Result<Vec<TableName>> {
        let schema = SqlParam::text(filter.schema.as_deref());
        let rows = session.query(TABLES, &[schema]).await?;
        let tables = rows.iter().map(|row| TableName {
            id: TableId::in_schema(text(&row[0]), text(&row[1])),
            table_type: text(&row[2]),
        });
        Ok(tables.filter(|table| filter.accepts(table)).collect())
    }

    /// Returns the columns of a SELECT, see [`Session::describe`]: table columns as in the catalog,
    /// expressions by type only.
    async fn describe(session: &mut PostgresSession, sql: &str) -> Result<Vec<ColumnMeta>> {
        let prepared = session.prepare(sql).await?;
        let columns: Vec<_> = prepared
            .columns()
            .iter()
            .map(|c| {
                (
                    c.name().to_owned(),
                    c.type_info().oid(),
                    c.relation_id(),
                    c.relation_attribute_no(),
                )
            })
            .collect();
        let mut out = Vec::with_capacity(columns.len());
        for (name, type_oid, table, number) in columns {
            let known = match (table, number) {
                (Some(table), Some(number)) => {
                    let params = [
                        SqlParam::I64(i64::from(table.0)),
                        SqlParam::I64(i64::from(number)),
                    ];
                    session
                        .query(ONE_COLUMN, &params)
                        .await?
                        .first()
                        .map(|row| column(row))
                }
                _ => None,
            };
            let meta = match known {
                Some(meta) => meta,
                None => expression(session, type_oid.map_or(0, |oid| oid.0)).await?,
            };
            out.push(ColumnMeta { name, ..meta });
        }
        Ok(out)
    }
}

fn column(row: &[Value]) -> ColumnMeta {
    let is_true = |n: usize| row[n] == Value::Bool(true);
    let data_type = text(&row[1]);
    // atttypmod is -1 if the type has no length; for numerics and strings it includes a header of 4
    // bytes
    let modifier = row[4].as_i64().filter(|m| *m >= 0);
    let after_header = modifier.and_then(|m| i32::try_from(m - 4).ok());
    let numeric = after_header.filter(|_| data_type == "numeric");
    ColumnMeta {
        name: text(&row[0]),
        column_type: text(&row[2]),
        own_type: row[8].as_str().map(str::to_owned),
        own_equality: row[10].as_str().map(str::to_owned),
        loose_collation: is_true(11),
        nullable: !is_true(3),
        key_position: None,
        auto_increment: is_true(5),
        always_numbered: is_true(9),
        generated: is_true(6),
        invisible: false,
        default: row[7].as_str().map(str::to_owned),
        length: match data_type.as_str() {
            "varchar" | "bpchar" => after_header.and_then(|n| n.try_into().ok()),
            "bit" | "varbit" => modifier.and_then(|n| n.try_into().ok()),
            _ => None,
        },
        precision: numeric.map(|m| m >> 16 & 0xffff),
        // eleven bits, signed, since PostgreSQL 15
        scale: numeric.map(|m| ((m & 0x7ff) ^ 1024) - 1024),
        fraction: modifier
            .filter(|_| data_type.starts_with("time"))
            .and_then(|n| n.try_into().ok()),
        charset: None,
        checked_json: false,
        data_type,
    }
}

/// The columns of a table's unique indexes.
#[derive(Debug, Default, PartialEq)]
struct Keys {
    primary: Vec<String>,
    unique: Vec<Vec<String>>,
    /// Those of both whose constraint is DEFERRABLE.
    deferrable: Vec<Vec<String>>,
}

/// Returns the unique indexes from rows of [`INDEXES`].
fn keys(rows: &[Vec<Value>]) -> Keys {
    let mut out = Keys::default();
    for index in rows.chunk_by(|a, b| a[0] == b[0]) {
        let columns: Vec<_> = index.iter().map(|row| text(&row[2])).collect();
        if index[0][3] == Value::Bool(true) {
            out.deferrable.push(columns.clone());
        }
        if index[0][1] == Value::Bool(true) {
            out.primary = columns;
        } else {
            out.unique.push(columns);
        }
    }
    out
}

/// Returns the column of an expression of that type.
async fn expression(session: &mut PostgresSession, type_oid: u32) -> Result<ColumnMeta> {
    const SQL: &str = concat!(
        "SELECT ",
        type_name!(),
        ", pg_catalog.format_type(b.oid, NULL) FROM ",
        base_type!("$1::pg_catalog.int8::pg_catalog.oid", "-1")
    );
    let found = session
        .query(SQL, &[SqlParam::I64(i64::from(type_oid))])
        .await?;
    let [data_type, column_type] =
        [0, 1].map(|n| found.first().map(|row| text(&row[n])).unwrap_or_default());
    Ok(ColumnMeta {
        column_type,
        data_type,
        nullable: true,
        ..ColumnMeta::default()
    })
}

const TABLES: &str = "SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text, CASE c.relkind WHEN 'r' THEN 'TABLE' \
     WHEN 'p' THEN 'PARTITIONED TABLE' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' \
     WHEN 'f' THEN 'FOREIGN TABLE' END \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname LIKE coalesce($1, '%') \
     AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' ORDER BY n.nspname, c.relname";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use connector_api::Value;

    use super::{Keys, column, keys};

    #[test]
    fn a_numerics_modifier_holds_precision_and_scale() {
        let row = |modifier: i64| {
            let text = |t: &str| Value::Text(t.into());
            let no = Value::Bool(false);
            vec![
                text("n"),
                text("numeric"),
                text("numeric"),
                no.clone(),
                Value::I64(modifier),
                no.clone(),
                no.clone(),
                Value::Null,
                Value::Null,
                no.clone(),
                Value::Null,
                no,
            ]
        };
        for (modifier, want) in [
            (-1, (None, None)),
            ((10 << 16 | 2) + 4, (Some(10), Some(2))),
            ((3 << 16 | 2046) + 4, (Some(3), Some(-2))),
        ] {
            let meta = column(&row(modifier));
            assert_eq!((meta.precision, meta.scale), want);
        }
    }

    #[test]
    fn indexes_come_apart() {
        let row = |index: i64, primary: bool, column: &str, deferrable: bool| {
            vec![
                Value::I64(index),
                Value::Bool(primary),
                Value::Text(column.into()),
                Value::Bool(deferrable),
            ]
        };
        let seen = keys(&[
            row(1, true, "b", true),
            row(1, true, "a", true),
            row(2, false, "c", false),
            row(3, false, "d", true),
        ]);
        let want = Keys {
            primary: vec!["b".into(), "a".into()],
            unique: vec![vec!["c".into()], vec!["d".into()]],
            deferrable: vec![vec!["b".into(), "a".into()], vec!["d".into()]],
        };
        assert_eq!(seen, want);
    }
}
