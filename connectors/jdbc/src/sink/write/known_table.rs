//! A table as it was read, and whether it still is like that.
//!
//! A database converts a value to whatever type its column has when it is written, and often
//! reports nothing. So each transaction compares the tables that it has written, which it has
//! locked by then, with what the values were converted for.

use std::borrow::Cow;

use connector_api::{ErrorKind, Result, Value};

use crate::catalog::TableMeta;
use crate::dialect::writing::{TableStateSql, WriteDialect};
use crate::driver::Session;
use crate::ident::TableId;

/// A table's definition, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct KnownTable {
    /// The table's catalog entry; `None` if it does not exist.
    pub(crate) meta: Option<TableMeta>,
    /// A text that changes with the definition; `None` if the database returns none.
    pub(crate) state: Option<String>,
}

impl KnownTable {
    /// Reads a table.
    pub(crate) async fn read(
        session: &mut dyn Session,
        writing: &WriteDialect,
        id: &TableId,
    ) -> Result<Self> {
        // The state first: a change after it is noticed later.
        let sql = writing.capabilities.table_state;
        let state = state(session, writing, sql, id).await;
        let meta = session.table(id).await?;
        let state =
            state.filter(|_| sql.covers_views || meta.as_ref().is_some_and(|meta| !meta.is_view));
        Ok(Self { meta, state })
    }

    /// True if the table is still as it was read, as far as the database would not report a
    /// difference when rows are written. Valid until the end of the transaction if that has written
    /// the table.
    pub(crate) async fn holds(
        &mut self,
        session: &mut dyn Session,
        writing: &WriteDialect,
    ) -> Result<bool> {
        let Some(meta) = &self.meta else {
            return Ok(true);
        };
        let sql = writing.capabilities.table_state;
        if self.state.is_some() && state(session, writing, sql, &meta.id).await == self.state {
            return Ok(true);
        }
        let now = Self::read(session, writing, &meta.id).await?;
        let same = now.meta.as_ref().is_some_and(|now| meta.decides_as(now));
        if same {
            *self = now;
        }
        Ok(same)
    }

    /// True if both are the same table in the same state, so that one need not be asked for if the
    /// other holds.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let id = |known: &Self| known.meta.as_ref().map(|meta| meta.id.clone());
        self.state.is_some() && self.state == other.state && id(self) == id(other)
    }
}

/// Locks a table's definition until the transaction ends, so that what is checked next holds when
/// the rows are written. An account without the privilege to read the table notices a change before
/// the commit only.
/// Errors: `Retry`, such as a definition that another session has locked for too long.
pub(crate) async fn pin(
    session: &mut dyn Session,
    writing: &WriteDialect,
    id: &TableId,
) -> Result<()> {
    for query in writing.capabilities.pin_table {
        let query = query.replace("{table}", &writing.dialect.table(id));
        match session.run(&query).await {
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Retry => return Err(error),
            Err(error) => tracing::debug!(%error, "the definition of a table is not locked"),
        }
    }
    Ok(())
}

/// Queries a table's state. `None` if the database refuses: the user may lack the privilege, and
/// the table need not exist.
async fn state(
    session: &mut dyn Session,
    writing: &WriteDialect,
    sql: TableStateSql,
    id: &TableId,
) -> Option<String> {
    let query = sql.sql.replace("{table}", &writing.dialect.table(id));
    let rows = session.query(&query, &[]).await.ok()?;
    let text = match rows.first()?.get(sql.column)? {
        Value::Text(text) => Cow::Borrowed(&**text),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes),
        Value::I64(n) => Cow::Owned(n.to_string()),
        _ => return None,
    };
    Some((sql.lasting)(&text).into_owned())
}
