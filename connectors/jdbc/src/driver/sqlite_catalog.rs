//! Reads tables and columns from SQLite's catalog.

#![expect(
    clippy::indexing_slicing,
    reason = "the rows have the columns that the queries name"
)]

use connector_api::{Result, Value};
use sqlx::{Column, ColumnOrigin, Sqlite, Statement};

use super::backend::{DatabaseBackend, DatabaseCatalog};
use super::origin::OriginTables;
use super::sqlite::SqliteSession;
use super::{Session, SqlParam};
use crate::catalog::{ColumnMeta, TableFilter, TableMeta, TableName};
use crate::dialect::{Dialect, sqlite};
use crate::ident::TableId;

/// The type of a column that takes any value.
const ANY: &str = "any";

const TABLE: &str = "SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE \
     AND type <> 'shadow'";

const COLUMNS: &str = "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid";

/// Unique indexes over plain columns of all rows, except the primary key's.
const INDEXES: &str = "SELECT i.seq, c.name FROM pragma_index_list(?) i JOIN pragma_index_info(i.name) c \
     WHERE i.\"unique\" AND i.origin <> 'pk' AND NOT i.partial ORDER BY i.seq, c.seqno";

/// Rows that are sampled if only values show what a column holds.
const SAMPLED_ROWS: usize = 1000;

impl DatabaseCatalog for Sqlite {
    /// Returns a table with its columns and keys, see [`Session::table`].
    async fn table(session: &mut SqliteSession, id: &TableId) -> Result<Option<TableMeta>> {
        session.check()?;
        if id
            .catalog
            .as_deref()
            .or(id.schema.as_deref())
            .is_some_and(|schema| schema != "main")
        {
            return Ok(None);
        }
        let name = [SqlParam::Text(id.table.as_str().into())];
        let Some(found) = session.query(TABLE, &name).await?.into_iter().next() else {
            return Ok(None);
        };
        let (table, is_view) = (text(&found[0]), text(&found[1]) == "view");
        let name = [SqlParam::Text(table.as_str().into())];
        let rows = session.query(COLUMNS, &name).await?;
        let mut key: Vec<_> = rows
            .iter()
            .filter_map(|row| Some((number(&row[4]).filter(|n| *n > 0)?, text(&row[0]))))
            .collect();
        key.sort_unstable();
        let primary_key: Vec<_> = key.into_iter().map(|(_, name)| name).collect();
        let mut columns: Vec<_> = rows.iter().map(|row| column(row)).collect();
        // a single primary key column declared INTEGER, of a table with row ids, is the row id
        let numbered = primary_key.len() == 1 && number(&found[2]) == Some(0);
        for column in columns.iter_mut().filter(|c| c.key_position.is_some()) {
            column.auto_increment = numbered && column.column_type.eq_ignore_ascii_case("integer");
        }
        if number(&found[3]) == Some(1) {
            forget_any(&mut columns);
        }
        let select = format!("SELECT * FROM {}", sqlite::SqliteDialect.quoted(&table));
        set_missing_types(session, &select, &mut columns).await?;
        let mut unique: Vec<(i64, Vec<String>)> = Vec::new();
        for row in session.query(INDEXES, &name).await? {
            let (index, column) = (number(&row[0]).unwrap_or_default(), text(&row[1]));
            match unique.last_mut().filter(|(last, _)| *last == index) {
                Some((_, columns)) => columns.push(column),
                None => unique.push((index, vec![column])),
            }
        }
        // an index over an expression has a column without name
        let unique = unique
            .into_iter()
            .map(|(_, columns)| columns)
            .filter(|c| c.iter().all(|name| !name.is_empty()));
        Ok(Some(TableMeta {
            id: TableId::bare(table),
            columns,
            primary_key,
            unique: unique.collect(),
            unique_in_part: false,
            deferrable: Vec::new(),
            is_view,
            rows_estimated: None,
            no_rollback: None,
            only_insert: true,
            has_triggers: true,
        }))
    }

    /// Returns tables and views, see [`Session::tables`]. Virtual tables are included, their shadow
    /// tables are not.
    async fn tables(session: &mut SqliteSession, filter: &TableFilter) -> Result<Vec<TableName>> {
        let sql = "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type <> 'shadow' \
                   AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
        let rows = session.query(sql, &[]).await?;
        let tables = rows.iter().map(|row| TableName {
            id: TableId::bare(text(&row[0])),
            table_type: if text(&row[1]) == "view" {
                "VIEW".to_owned()
            } else {
                "TABLE".to_owned()
            },
        });
        Ok(tables.filter(|table| filter.accepts(table)).collect())
    }

    /// Returns the columns of a SELECT, see [`Session::describe`]: table columns as declared,
    /// expressions by the values of the first rows.
    async fn describe(session: &mut SqliteSession, sql: &str) -> Result<Vec<ColumnMeta>> {
        session.check()?;
        Sqlite::check_query(sql)?;
        // a connection notices schema changes by others when it reads, not when it prepares
        session
            .query_once("SELECT 1 FROM sqlite_schema LIMIT 1")
            .await?;
        let prepared = session.prepare(sql).await?;
        let columns = prepared.columns().to_vec();
        let mut tables = OriginTables::default();
        let mut out = Vec::with_capacity(columns.len());
        for column in &columns {
            let name = column.name().to_owned();
            let known = match column.origin() {
                ColumnOrigin::Table(origin) => {
                    let table = TableId::bare(&*origin.table);
                    tables.column(session, table, &origin.name).await?
                }
                _ => None,
            };
            // an outer join may make a column NULL, and SQLite does not say so
            out.push(match known {
                Some(known) => ColumnMeta {
                    name,
                    nullable: true,
                    key_position: None,
                    ..known.clone()
                },
                None => ColumnMeta {
                    name,
                    nullable: true,
                    ..ColumnMeta::default()
                },
            });
        }
        set_missing_types(session, sql, &mut out).await?;
        Ok(out)
    }
}

fn column(row: &[Value]) -> ColumnMeta {
    let declared = text(&row[1]);
    let (name, bounds) = declared.split_once('(').unwrap_or((&declared, ""));
    let mut bounds = bounds
        .trim_end_matches(')')
        .split(',')
        .map(|n| n.trim().parse::<i32>().ok());
    let (first, second) = (bounds.next().flatten(), bounds.next().flatten());
    let data_type = name.trim().to_ascii_lowercase();
    let is_number = sqlite::read_types::affinity(&data_type) == "numeric";
    let hidden = number(&row[5]).unwrap_or_default();
    ColumnMeta {
        name: text(&row[0]),
        nullable: number(&row[2]) == Some(0),
        key_position: number(&row[4]).and_then(|n| usize::try_from(n - 1).ok()),
        auto_increment: false,
        always_numbered: false,
        generated: matches!(hidden, 2 | 3),
        invisible: hidden == 1,
        default: row[3].as_str().map(str::to_owned),
        length: first
            .and_then(|n| u64::try_from(n).ok())
            .filter(|_| !is_number),
        precision: first.filter(|_| is_number),
        scale: second.filter(|_| is_number),
        fraction: None,
        charset: None,
        checked_json: false,
        column_type: declared.clone(),
        own_type: None,
        own_equality: None,
        loose_collation: false,
        data_type,
    }
}

/// In a STRICT table ANY keeps every value as it is, like a column without a type elsewhere.
fn forget_any(columns: &mut [ColumnMeta]) {
    for column in columns.iter_mut().filter(|column| column.data_type == ANY) {
        column.data_type.clear();
    }
}

/// Gives columns without a declared type the type of the first rows of `select`.
async fn set_missing_types(
    session: &mut SqliteSession,
    select: &str,
    columns: &mut [ColumnMeta],
) -> Result<()> {
    let open: Vec<_> = columns
        .iter_mut()
        .filter(|c| c.data_type.is_empty() && !c.invisible)
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    let types: Vec<_> = open
        .iter()
        .map(|c| format!("typeof({})", sqlite::SqliteDialect.quoted(&c.name)))
        .collect();
    let rows = session
        .query(
            &format!(
                "SELECT {} FROM ({select}) LIMIT {SAMPLED_ROWS}",
                types.join(",")
            ),
            &[],
        )
        .await?;
    for (n, column) in open.into_iter().enumerate() {
        column.data_type = common_type(rows.iter().filter_map(|row| row[n].as_str())).to_owned();
    }
    Ok(())
}

/// Returns the type that holds values of these storage classes.
fn common_type<'a>(classes: impl Iterator<Item = &'a str>) -> &'static str {
    let mut ty = "";
    for class in classes {
        ty = match (ty, class) {
            (_, "null") => ty,
            ("", "integer") => "integer",
            ("" | "integer" | "real", "real") | ("real", "integer") => "real",
            ("integer", "integer") => "integer",
            ("" | "blob", "blob") => "blob",
            _ => "text",
        };
    }
    if ty.is_empty() { "text" } else { ty }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64()
}

#[cfg(test)]
mod tests {
    use connector_api::Value;

    use super::{column, common_type};

    #[test]
    fn declared_types_come_apart() {
        let row = |declared: &str| {
            let text = |t: &str| Value::Text(t.into());
            [
                text("c"),
                text(declared),
                Value::I64(0),
                Value::Null,
                Value::I64(2),
                Value::I64(0),
            ]
        };
        for (declared, data_type, length, precision, scale) in [
            ("DECIMAL(10, 2)", "decimal", None, Some(10), Some(2)),
            ("Numeric(8)", "numeric", None, Some(8), None),
            ("VARCHAR(20)", "varchar", Some(20), None, None),
            ("UNSIGNED BIG INT", "unsigned big int", None, None, None),
            ("", "", None, None, None),
        ] {
            let meta = column(&row(declared));
            assert_eq!(
                (
                    meta.data_type.as_str(),
                    meta.length,
                    meta.precision,
                    meta.scale
                ),
                (data_type, length, precision, scale)
            );
            assert_eq!((meta.key_position, meta.nullable), (Some(1), true));
        }
    }

    #[test]
    fn values_show_the_type_of_a_column_without_one() {
        for (classes, want) in [
            (&["null", "integer"][..], "integer"),
            (&["integer", "real", "null"], "real"),
            (&["real", "integer"], "real"),
            (&["integer", "text"], "text"),
            (&["blob", "null"], "blob"),
            (&["null"], "text"),
        ] {
            assert_eq!(common_type(classes.iter().copied()), want, "{classes:?}");
        }
    }
}
