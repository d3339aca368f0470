//! How SQLite is written to: capabilities, the offsets table.

use std::borrow::Cow;

use super::SqliteDialect;
use super::columns::SqliteColumns;
use super::ddl::SqliteDdl;
use super::dml::SqliteDml;
use crate::dialect::writing::{
    OffsetsSql, TableStateSql, ValueRules, WriteCapabilities, WriteDialect,
};
use crate::url::DatabaseKind;

/// How SQLite is written to.
pub(crate) static SQLITE: WriteDialect = WriteDialect {
    database: DatabaseKind::Sqlite,
    dialect: &SqliteDialect,
    session_setup: &[],
    session_info: "SELECT NULL, NULL, NULL",
    capabilities: WriteCapabilities {
        binds_text: false,
        values: ValueRules {
            has_arrays: false,
            special_numbers: false,
            infinite_times: false,
            compares_text_as_number: false,
            takes_bytes_as_text: true,
            checks_types: false,
        },
        accepts_nul: false,
        has_engines_without_rollback: false,
        pin_table: &[],
        drops_not_null: false,
        folds_column_names: Some(str::to_ascii_lowercase),
        adds_columns_together: false,
        table_definition: None,
        copy: None,
        names_conflict_index: true,
        bulk_update: None,
        // Values are stored in the class that their column's type prefers.
        table_state: TableStateSql {
            sql: "SELECT schema_version FROM pragma_schema_version",
            column: 0,
            lasting: |version| Cow::Borrowed(version),
            covers_views: true,
        },
        guard_error: None,
        missing_table_error: None,
        spatial_error: None,
        statement_probe: None,
        deferred_constraints: None,
    },
    columns: &SqliteColumns,
    ddl: &SqliteDdl,
    dml: &SqliteDml,
    offsets: OFFSETS,
};

/// A file has no sessions that could be ended: the sink waits for the holder of its lock.
const OFFSETS: OffsetsSql = OffsetsSql {
    find_tables: None,
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
    short_lock_timeout: &[],
    usual_lock_timeout: &[],
    own_session: "SELECT 1 WHERE ? IS NULL",
    end_session: "SELECT {}",
};
