//! How PostgreSQL is written to: sessions, capabilities, the offsets table.

use std::borrow::Cow;

use super::columns::PostgresColumns;
use super::ddl::PostgresDdl;
use super::dml::{PostgresDml, bulk_update};
use super::{PostgresDialect, type_name};
use crate::dialect::writing::{
    BulkUpdate, DeferredConstraints, OffsetsSql, StatementProbe, TableStateSql, ValueRules,
    WriteCapabilities, WriteDialect,
};
use crate::url::DatabaseKind;

/// How PostgreSQL is written to.
pub(crate) static POSTGRES: WriteDialect = WriteDialect {
    database: DatabaseKind::Postgres,
    dialect: &PostgresDialect,
    session_setup: &[
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET standard_conforming_strings = on",
        "SET idle_in_transaction_session_timeout = '30s'",
        "SET lock_timeout = '5s'",
    ],
    session_info: "SELECT pg_catalog.current_database()::pg_catalog.text, pg_catalog.current_schema()::pg_catalog.text, \
     NULL::pg_catalog.int8",
    capabilities: WriteCapabilities {
        binds_text: true,
        values: ValueRules {
            has_arrays: true,
            special_numbers: true,
            infinite_times: true,
            compares_text_as_number: false,
            takes_bytes_as_text: false,
            checks_types: true,
        },
        accepts_nul: false,
        has_engines_without_rollback: false,
        pin_table: &[],
        drops_not_null: true,
        folds_column_names: None,
        adds_columns_together: true,
        table_definition: None,
        // COPY parses values as a cast would.
        copy: Some(|table, columns| format!("COPY {table}({columns}) FROM STDIN")),
        names_conflict_index: true,
        bulk_update: Some(BulkUpdate {
            // Every value is cast to its column's type.
            accepts: |_| true,
            sql: bulk_update,
        }),
        // The server assigns a float to an integer by rounding it. A COPY needs the unique index by
        // which an upsert would have found its rows, and runs no triggers of updates. The name of a
        // table that is gone must not be an error: that would abort the transaction.
        table_state: TableStateSql {
            sql: "SELECT pg_catalog.concat_ws('/', \
                  (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod), \
                  ',' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a \
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), \
                  (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', i.indexrelid, i.indimmediate, i.indisvalid), \
                  ',' ORDER BY i.indexrelid) FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique), \
                  (SELECT pg_catalog.string_agg(g.oid::pg_catalog.text, ',' ORDER BY g.oid) FROM pg_catalog.pg_trigger g \
                  WHERE g.tgrelid = c.oid AND NOT g.tgisinternal), c.relhasrules, c.relrowsecurity) \
                  FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($rowferry${table}$rowferry$)::pg_catalog.oid",
            column: 0,
            lasting: |columns| Cow::Borrowed(columns),
            covers_views: true,
        },
        guard_error: None,
        missing_table_error: None,
        spatial_error: None,
        statement_probe: Some(StatementProbe {
            prepare: |sql| format!("PREPARE rowferry_statement AS {sql}"),
            // A cast to bit would cut everything but one bit off.
            types: Some(concat!(
                "SELECT CASE b.typname WHEN 'bit' THEN 'pg_catalog.varbit' ELSE pg_catalog.format_type(b.oid, NULL) \
                 END::pg_catalog.text, ",
                type_name!(),
                " FROM pg_catalog.pg_prepared_statements p, pg_catalog.unnest(p.parameter_types) WITH ORDINALITY AS t(type, n), \
                 pg_catalog.pg_type b WHERE p.name = 'rowferry_statement' AND b.oid = t.type::pg_catalog.oid ORDER BY t.n",
            )),
            deallocate: "DEALLOCATE rowferry_statement",
        }),
        deferred_constraints: Some(DeferredConstraints {
            check: "SET CONSTRAINTS ALL IMMEDIATE",
            defer: "SET CONSTRAINTS ALL DEFERRED",
        }),
    },
    columns: &PostgresColumns,
    ddl: &PostgresDdl,
    dml: &PostgresDml,
    offsets: OFFSETS,
};

const OFFSETS: OffsetsSql = OffsetsSql {
    find_tables: Some(
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
    short_lock_timeout: &["SET lock_timeout = '1s'"],
    usual_lock_timeout: &["SET lock_timeout = '5s'"],
    own_session: "SELECT 1 FROM pg_catalog.pg_stat_activity WHERE pid = ? AND usename = current_user",
    end_session: "SELECT pg_catalog.pg_terminate_backend({})",
};
