//! Describes the columns of a SELECT's result in MariaDB and MySQL, from the prepared statement.

use connector_api::Result;
use sqlx::mysql::{MySqlColumn, MySqlTypeInfo};
use sqlx::types::Type;
use sqlx::{Column, ColumnOrigin, MySql, Statement, TypeInfo};

use super::mysql::MySqlSession;
use super::origin::OriginTables;
use crate::catalog::ColumnMeta;
use crate::ident::TableId;

/// Describes a SELECT's result, see [`super::Session::describe`].
pub(super) async fn describe(session: &mut MySqlSession, sql: &str) -> Result<Vec<ColumnMeta>> {
    let prepared = session.prepare(sql).await?;
    let columns = prepared.columns().to_vec();
    let mut tables = OriginTables::default();
    let mut out = Vec::with_capacity(columns.len());
    for column in columns {
        let described = column_of_statement(&column);
        let ColumnOrigin::Table(origin) = column.origin() else {
            out.push(described);
            continue;
        };
        // sqlx gives `database.table` as one text; a database's name with a dot is split wrongly
        let (catalog, table) = origin.table.split_once('.').unwrap_or(("", &origin.table));
        let table = TableId::in_catalog(catalog, table);
        out.push(match tables.column(session, table, &origin.name).await? {
            // an outer join may make the column NULL, so the result's nullability counts
            Some(known) => ColumnMeta {
                name: described.name,
                nullable: described.nullable,
                key_position: None,
                ..known.clone()
            },
            None => described,
        });
    }
    Ok(out)
}

/// The display width of a date-time up to its decimal point: `2024-01-02 03:04:05.`
const WHOLE_SECONDS: u32 = 20;

/// Returns a column as the prepared statement describes it.
fn column_of_statement(column: &MySqlColumn) -> ColumnMeta {
    let info = column.type_info();
    let (flags, length) = flags_and_length(info);
    let unsigned = flags.contains("UNSIGNED");
    let is_text = <str as Type<MySql>>::compatible(info);
    let name = info.name().to_ascii_lowercase();
    let data_type = match name.trim_end_matches(" unsigned") {
        // a display width of one does not mean a boolean here
        "boolean" => "tinyint",
        "enum" | "set" | "json" => "varchar",
        // sqlx distinguishes text from bytes by a flag that text with a binary collation has, too
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" if is_text => {
            "varchar"
        }
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" if !is_text => {
            "varbinary"
        }
        other => other,
    };
    ColumnMeta {
        name: column.name().to_owned(),
        data_type: data_type.to_owned(),
        column_type: match (name.as_str(), unsigned) {
            // only the display width of one makes sqlx call it boolean
            ("boolean", _) => "tinyint(1)".to_owned(),
            (_, true) => format!("{data_type} unsigned"),
            _ => data_type.to_owned(),
        },
        nullable: !flags.contains("NOT_NULL"),
        precision: (data_type == "bit").then(|| i32::try_from(length).unwrap_or(64)),
        length: Some(u64::from(length)),
        fraction: matches!(data_type, "datetime" | "timestamp")
            .then(|| length.saturating_sub(WHOLE_SECONDS)),
        ..ColumnMeta::default()
    }
}

/// Returns the flags (`NOT_NULL
/// UNSIGNED`) and the display width of a column, which sqlx exposes in its debug text only.
fn flags_and_length(info: &MySqlTypeInfo) -> (String, u32) {
    let text = format!("{info:?}");
    let between = |start: &str, end: &str| {
        let rest = &text[text.find(start)? + start.len()..];
        Some(rest[..rest.find(end)?].to_owned())
    };
    let flags = between("flags: ColumnFlags(", ")").unwrap_or_default();
    let length = between("max_size: Some(", ")")
        .and_then(|n| n.parse().ok())
        .unwrap_or_default();
    (flags, length)
}
