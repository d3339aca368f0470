//! Reads tables and columns from `information_schema` of MariaDB and MySQL.

#![expect(
    clippy::indexing_slicing,
    reason = "the rows have the columns that the queries name"
)]

use connector_api::{Result, Value};

use sqlx::MySql;

use super::backend::DatabaseCatalog;
use super::mysql::MySqlSession;
use super::{Session, SqlParam, mysql_describe};
use crate::catalog::{ColumnMeta, TableFilter, TableMeta, TableName, set_key_positions};
use crate::dialect::mysql::keys::{INDEXES, UniqueIndexes};
use crate::ident::TableId;

const TABLE: &str = "SELECT t.table_schema, t.table_name, t.table_type, t.table_rows, e.engine \
     FROM information_schema.tables t \
     LEFT JOIN information_schema.engines e ON e.engine = t.engine AND e.transactions = 'NO' \
     WHERE t.table_schema = COALESCE(?, DATABASE()) AND t.table_name = ?";

const COLUMNS: &str = "SELECT column_name, data_type, column_type, is_nullable, extra, column_default, \
     character_maximum_length, numeric_precision, numeric_scale, datetime_precision, character_set_name \
     FROM information_schema.columns WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position";

/// The column until when a row was current, which MariaDB adds to the unique indexes of a
/// system-versioned table: the rows that are current are distinguished without it.
const ROW_END: &str = "SELECT column_name FROM information_schema.columns \
     WHERE table_schema = ? AND table_name = ? AND generation_expression = 'ROW END'";

const CHECKS: &str = "SELECT constraint_name FROM information_schema.check_constraints \
     WHERE constraint_schema = ? AND table_name = ? AND check_clause LIKE 'json\\_valid(%'";

impl DatabaseCatalog for MySql {
    /// Returns a table with its columns and keys, see [`Session::table`].
    async fn table(session: &mut MySqlSession, id: &TableId) -> Result<Option<TableMeta>> {
        let catalog = id.catalog.as_deref().or(id.schema.as_deref());
        let catalog = SqlParam::text(catalog);
        let found = session
            .query(TABLE, &[catalog, SqlParam::Text(id.table.as_str().into())])
            .await?;
        let Some(row) = found.into_iter().next() else {
            return Ok(None);
        };
        let (catalog, table, kind) = (text(&row[0]), text(&row[1]), text(&row[2]));
        let name = [
            SqlParam::Text(catalog.as_str().into()),
            SqlParam::Text(table.as_str().into()),
        ];
        let columns = session.query(COLUMNS, &name).await?;
        let mut indexes = session.query(INDEXES, &name).await?;
        if kind == "SYSTEM VERSIONED" {
            let ends = session.query(ROW_END, &name).await?;
            indexes.retain(|index| !ends.iter().any(|end| end[0] == index[1]));
        }
        let UniqueIndexes {
            primary: primary_key,
            unique,
            in_part: unique_in_part,
        } = UniqueIndexes::read(&indexes);
        let mut columns: Vec<_> = columns.iter().map(|row| column(row)).collect();
        set_key_positions(&mut columns, &primary_key);
        mark_json(session, &name, &mut columns).await?;
        Ok(Some(TableMeta {
            rows_estimated: row[3].as_i64().and_then(|n| n.try_into().ok()),
            no_rollback: (!row[4].is_null()).then(|| text(&row[4])),
            only_insert: true,
            has_triggers: true,
            is_view: kind.ends_with("VIEW"),
            id: TableId::in_catalog(catalog, table),
            columns,
            primary_key,
            unique,
            unique_in_part,
            deferrable: Vec::new(),
        }))
    }

    /// Returns tables and views, see [`Session::tables`].
    async fn tables(session: &mut MySqlSession, filter: &TableFilter) -> Result<Vec<TableName>> {
        let mut sql =
            "SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE "
                .to_owned();
        let mut params = Vec::new();
        if filter.all_catalogs {
            sql.push_str(
                "table_schema NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')",
            );
        } else {
            sql.push_str("table_schema = COALESCE(?, DATABASE())");
            params.push(SqlParam::text(filter.catalog.as_deref()));
        }
        sql.push_str(" ORDER BY table_schema, table_name");
        let rows = session.query(&sql, &params).await?;
        let tables = rows.iter().map(|row| TableName {
            id: TableId::in_catalog(text(&row[0]), text(&row[1])),
            table_type: jdbc_type(&text(&row[2])).to_owned(),
        });
        Ok(tables.filter(|table| filter.accepts(table)).collect())
    }

    async fn describe(session: &mut MySqlSession, sql: &str) -> Result<Vec<ColumnMeta>> {
        mysql_describe::describe(session, sql).await
    }
}

/// Marks the columns that MariaDB checks to be JSON. For MariaDB JSON is LONGTEXT with a check of the
/// column's own name.
async fn mark_json(
    session: &mut MySqlSession,
    name: &[SqlParam<'_>],
    columns: &mut [ColumnMeta],
) -> Result<()> {
    let has_json = columns.iter().any(|column| column.data_type == "longtext");
    if !has_json || !session.server_version().contains("MariaDB") {
        return Ok(());
    }
    // servers before 10.2.22 do not list checks
    let Ok(checks) = session.query(CHECKS, name).await else {
        return Ok(());
    };
    for column in columns.iter_mut().filter(|c| c.data_type == "longtext") {
        column.checked_json = checks.iter().any(|row| text(&row[0]) == column.name);
    }
    Ok(())
}

fn column(row: &[Value]) -> ColumnMeta {
    let extra = text(&row[4]).to_lowercase();
    let number = |n: usize| row[n].as_i64().or_else(|| row[n].as_str()?.parse().ok());
    ColumnMeta {
        name: text(&row[0]),
        data_type: text(&row[1]).to_lowercase(),
        column_type: text(&row[2]).to_lowercase(),
        own_type: None,
        own_equality: None,
        loose_collation: false,
        nullable: text(&row[3]) == "YES",
        key_position: None,
        auto_increment: extra.contains("auto_increment"),
        always_numbered: false,
        generated: extra.contains("virtual generated") || extra.contains("stored generated"),
        invisible: extra.contains("invisible"),
        default: (!row[5].is_null()).then(|| text(&row[5])),
        length: number(6).and_then(|n| n.try_into().ok()),
        precision: number(7).and_then(|n| n.try_into().ok()),
        scale: number(8).and_then(|n| n.try_into().ok()),
        fraction: number(9).and_then(|n| n.try_into().ok()),
        charset: (!row[10].is_null()).then(|| text(&row[10])),
        checked_json: false,
    }
}

/// Returns JDBC's name of a table type.
fn jdbc_type(server: &str) -> &str {
    match server {
        "BASE TABLE" | "SYSTEM VERSIONED" => "TABLE",
        "SYSTEM VIEW" => "SYSTEM TABLE",
        other => other,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::I64(n) => n.to_string(),
        _ => String::new(),
    }
}
