//! Finds the offsets table. PostgreSQL resolves a name without schema by a session setting
//! (`search_path`), which a URL, an account or a database may change; the offsets would seem lost.
//! So the table is searched for in all schemas, and always named with its own.

use connector_api::{Result, Value};

use crate::dialect::writing::WriteDialect;
use crate::driver::{Session, SqlParam};
use crate::ident::{OFFSETS_TABLE, TableId};
use crate::sink::write::connection::SessionInfo;

/// The schema of a new table if the session has none.
const SCHEMA: &str = "public";

/// An existing table of that name.
struct FoundTable {
    id: TableId,
    readable: bool,
    knows_clusters: bool,
}

/// Returns the table that holds the sink's offsets. If none does: the one that the name without
/// schema resolves to, or else the name of a new one in the session's current schema.
pub(crate) async fn find(
    session: &mut dyn Session,
    writing: &WriteDialect,
    cluster: &str,
    sink: &str,
) -> Result<TableId> {
    let Some(places) = writing.offsets.find_tables else {
        return Ok(TableId::bare(OFFSETS_TABLE));
    };
    let rows = session.query(places, &[]).await?;
    let is_true = |row: &[Value], n: usize| row.get(n) == Some(&Value::Bool(true));
    let visible = rows.first().is_some_and(|row| is_true(row, 1));
    let found: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let id = TableId::in_schema(row.first()?.as_str()?, OFFSETS_TABLE);
            Some(FoundTable {
                id,
                readable: is_true(row, 2),
                knows_clusters: is_true(row, 3),
            })
        })
        .collect();
    // a single visible table needs no query
    if let ([only], true) = (found.as_slice(), visible) {
        return Ok(only.id.clone());
    }
    let mut newest: Option<(String, &FoundTable)> = None;
    for (n, table) in found.iter().enumerate() {
        if !table.readable {
            tracing::warn!(
                sink,
                table = %table.id,
                "a table of offsets cannot be read: if it has this sink's offsets, grant USAGE on \
                 its schema and SELECT on it"
            );
            continue;
        }
        let Some(written) = written(session, writing, table, (cluster, sink)).await? else {
            continue;
        };
        if n == 0 && visible {
            return Ok(table.id.clone());
        }
        if newest.as_ref().is_none_or(|(latest, _)| *latest < written) {
            newest = Some((written, table));
        }
    }
    if let Some((_, table)) =
        newest.or_else(|| Some((String::new(), found.first().filter(|_| visible)?)))
    {
        return Ok(table.id.clone());
    }
    let own = SessionInfo::of(session, writing).await?.schema;
    Ok(TableId::in_schema(
        own.unwrap_or_else(|| SCHEMA.to_owned()),
        OFFSETS_TABLE,
    ))
}

/// Returns when the sink's offsets in a table were last written; `None` if it has none.
async fn written(
    session: &mut dyn Session,
    writing: &WriteDialect,
    table: &FoundTable,
    (cluster, sink): (&str, &str),
) -> Result<Option<String>> {
    let name = writing.dialect.table(&table.id);
    let of = writing.dialect.capabilities().system_prefix;
    let mut sql = format!("SELECT {of}max(updated_at)::{of}text FROM {name} WHERE sink=$1");
    let mut params = vec![SqlParam::Text(sink.into())];
    if table.knows_clusters {
        sql.push_str(" AND cluster IN ($2, '')");
        params.push(SqlParam::Text(cluster.into()));
    }
    let rows = session.query(&sql, &params).await?;
    Ok(rows
        .first()
        .and_then(|row| row.first()?.as_str().map(str::to_owned)))
}
