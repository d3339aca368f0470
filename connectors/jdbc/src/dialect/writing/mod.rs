//! The writing half of a dialect, in the parts that its callers ask: what columns hold (`columns`),
//! definitions of tables (`ddl`), statements that change rows (`dml`), the offsets table
//! (`offsets`), and what the server can do besides (`capabilities`). Pure text.

mod capabilities;
mod columns;
mod ddl;
mod dml;
mod literals;
mod offsets;

use super::Dialect;
use crate::url::DatabaseKind;

pub(crate) use self::capabilities::{
    BulkUpdate, DeferredConstraints, StatementProbe, TableStateSql, ValueRules, WriteCapabilities,
};
pub(crate) use self::columns::{ColumnCapacity, ColumnDialect, KeyForm, TextEquality};
pub(in crate::dialect) use self::ddl::grown_decimal;
pub(crate) use self::ddl::{ColumnSpec, ColumnWidening, DdlDialect};
pub(crate) use self::dml::{DmlDialect, StatementColumn, StatementColumns, UpsertAction};
pub(in crate::dialect) use self::dml::{on_key_conflict, value_rows};
pub(crate) use self::literals::hex;
pub(in crate::dialect) use self::literals::numeric_literal;
pub(crate) use self::offsets::OffsetsSql;

/// How one kind of server is written to. A constant has every part, or it does not compile.
pub struct WriteDialect {
    pub database: DatabaseKind,
    /// Quoting, placeholders and limits.
    pub dialect: &'static dyn Dialect,
    /// Statements for a new session. Those that fail are meant for other versions of the server.
    pub session_setup: &'static [&'static str],
    /// A query for the session's current catalog and schema, and the maximum bytes of a statement;
    /// each may be NULL.
    pub session_info: &'static str,
    pub capabilities: WriteCapabilities,
    pub columns: &'static dyn ColumnDialect,
    pub ddl: &'static dyn DdlDialect,
    pub dml: &'static dyn DmlDialect,
    /// SQL of the offsets table.
    pub offsets: OffsetsSql,
}

impl WriteDialect {
    /// Replaces each `?` of a statement by this database's placeholder.
    pub fn with_placeholders(&self, sql: &str) -> String {
        let mut out = String::with_capacity(sql.len() + 8);
        for (count, part) in sql.split('?').enumerate() {
            if count > 0 {
                self.dialect.placeholder(count, &mut out);
            }
            out.push_str(part);
        }
        out
    }
}

/// Returns the writing half for a server of that version text.
pub(crate) fn of(database: DatabaseKind, server_version: &str) -> &'static WriteDialect {
    match database {
        DatabaseKind::MySql => super::mysql::writing::of(server_version),
        DatabaseKind::Postgres => &super::postgres::writing::POSTGRES,
        DatabaseKind::Sqlite => &super::sqlite::writing::SQLITE,
    }
}
