//! What the catalogue's columns do not tell of a table: hidden columns of system versioning, and
//! foreign keys that change rows without the log.

use connector_api::{Result, Value};

use crate::catalog::TableMeta;
use crate::driver::{Session, SqlParam};
use crate::ident::TableId;

/// The column of a system-versioned table that says until when a row was current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RowEnd {
    /// The server's own, behind the others: `row_start` and `row_end`.
    Hidden,
    /// One that was declared, `GENERATED ALWAYS AS ROW END`.
    Column(String),
}

/// A table's definition, as far as rows in the log need it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TableDefinition {
    pub meta: TableMeta,
    /// Set for a system-versioned table.
    pub row_end: Option<RowEnd>,
    /// A foreign key of the table deletes or changes rows.
    pub cascades: bool,
}

impl TableDefinition {
    /// True if the period of a system-versioned table has numbers of transactions, not times.
    pub(super) fn is_versioned_by_transactions(&self) -> bool {
        let Some(RowEnd::Column(name)) = &self.row_end else {
            return false;
        };
        let end = self.meta.column(name);
        end.is_some_and(|end| end.data_type == "bigint")
    }
}

/// Looks up a table; `None` if it does not exist.
pub(super) async fn look_up(
    session: &mut dyn Session,
    id: &TableId,
) -> Result<Option<TableDefinition>> {
    let Some(meta) = session.table(id).await? else {
        return Ok(None);
    };
    let is_versioned = !meta.is_view && is_versioned(session, &meta.id).await?;
    let created = created(session, &meta.id).await;
    let row_end =
        is_versioned.then(|| declared_end(&created).map_or(RowEnd::Hidden, RowEnd::Column));
    Ok(Some(TableDefinition {
        meta,
        row_end,
        cascades: cascades(&created),
    }))
}

/// Returns the statement that would create the table; the catalogue shows foreign keys only to
/// accounts with more privileges.
async fn created(session: &mut dyn Session, id: &TableId) -> String {
    let sql = format!("SHOW CREATE TABLE {}", session.dialect().table(id));
    let rows = session.query_once(&sql).await.unwrap_or_default();
    match rows.first().and_then(|row| row.get(1)) {
        Some(Value::Text(text)) => text.to_string(),
        _ => String::new(),
    }
}

/// True if a foreign key of a table deletes or changes its rows.
fn cascades(created: &str) -> bool {
    let acts = |line: &str| {
        ["CASCADE", "SET NULL", "SET DEFAULT"].iter().any(|act| {
            line.contains(&format!("ON DELETE {act}")) || line.contains(&format!("ON UPDATE {act}"))
        })
    };
    created.lines().any(|line| {
        line.trim_start().starts_with("CONSTRAINT") && line.contains("FOREIGN KEY") && acts(line)
    })
}

/// Returns the declared column of a row's end.
fn declared_end(created: &str) -> Option<String> {
    created.lines().find_map(|line| {
        let (name, rest) = line.trim_start().strip_prefix('`')?.split_once("` ")?;
        // a default or a comment is quoted
        let plain = rest.split('\'').next().unwrap_or_default();
        plain
            .contains("GENERATED ALWAYS AS ROW END")
            .then(|| name.replace("``", "`"))
    })
}

/// Returns the tables among those named whose rows a foreign key deletes or changes.
pub(super) async fn cascading(session: &mut dyn Session, ids: &[TableId]) -> Vec<TableId> {
    let mut found = Vec::new();
    for id in ids {
        if cascades(&created(session, id).await) {
            found.push(id.clone());
        }
    }
    found
}

/// What is said of a table whose rows change without the log.
pub(super) fn cascade_warning(id: &TableId) -> String {
    format!(
        "table {id} has a foreign key with ON DELETE or ON UPDATE CASCADE or SET NULL: rows that it \
         deletes or changes are not in the server's log, and not reported. Declare the foreign key \
         with ON DELETE RESTRICT and change the rows by statements of their own, which are logged"
    )
}

async fn is_versioned(session: &mut dyn Session, id: &TableId) -> Result<bool> {
    let sql = "SELECT 1 FROM information_schema.tables WHERE table_schema = ? AND table_name = ? \
               AND table_type = 'SYSTEM VERSIONED'";
    let params = [
        SqlParam::text(id.catalog.as_deref()),
        SqlParam::text(Some(&id.table)),
    ];
    Ok(!session.query(sql, &params).await?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{cascades, declared_end};

    #[test]
    fn what_a_table_was_created_with_is_recognised() {
        let versioned = "CREATE TABLE `t` (\n  `id` int(11) NOT NULL COMMENT 'GENERATED ALWAYS AS ROW END',\n  \
                         `von` timestamp(6) GENERATED ALWAYS AS ROW START,\n  \
                         `b``is` timestamp(6) GENERATED ALWAYS AS ROW END,\n  PRIMARY KEY (`id`)\n)";
        assert_eq!(declared_end(versioned).as_deref(), Some("b`is"));
        assert_eq!(declared_end("CREATE TABLE `t` (\n  `id` int(11)\n)"), None);
        let child = |act: &str| {
            format!(
                "CREATE TABLE `c` (\n  CONSTRAINT `f` FOREIGN KEY (`p`) REFERENCES `p` (`id`){act}\n)"
            )
        };
        assert!(cascades(&child(" ON DELETE CASCADE")) && cascades(&child(" ON UPDATE SET NULL")));
        assert!(!cascades(&child("")) && !cascades(&child(" ON DELETE NO ACTION")));
        assert!(!cascades(
            "CREATE TABLE `c` (\n  `a` int COMMENT 'FOREIGN KEY ON DELETE CASCADE'\n)"
        ));
    }
}
