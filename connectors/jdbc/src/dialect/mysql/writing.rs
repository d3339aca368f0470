//! How MariaDB and MySQL are written to: sessions, capabilities, the offsets table.

use std::borrow::Cow;

use super::MySqlDialect;
use super::columns::MySqlColumns;
use super::ddl::{MySqlDdl, quoted_text};
use super::dml::{MySqlDml, bulk_update, is_bulk_updatable};
use crate::dialect::writing::{
    BulkUpdate, OffsetsSql, StatementProbe, TableStateSql, ValueRules, WriteCapabilities,
    WriteDialect,
};
use crate::url::DatabaseKind;

/// Returns the writing half of the dialect for a server of that version text.
pub(crate) fn of(server_version: &str) -> &'static WriteDialect {
    if server_version.contains("MariaDB") {
        &MARIADB
    } else {
        &MYSQL
    }
}

/// How MariaDB is written to.
pub(crate) static MARIADB: WriteDialect = WriteDialect {
    capabilities: WriteCapabilities {
        bulk_update: Some(BulkUpdate {
            accepts: is_bulk_updatable,
            sql: bulk_update,
        }),
        ..CAPABILITIES
    },
    ..dialect(&MySqlColumns { mariadb: true }, &MySqlDdl { mariadb: true })
};

/// How MySQL is written to.
pub(crate) static MYSQL: WriteDialect = dialect(
    &MySqlColumns { mariadb: false },
    &MySqlDdl { mariadb: false },
);

/// Returns what both servers have in common.
const fn dialect(columns: &'static MySqlColumns, ddl: &'static MySqlDdl) -> WriteDialect {
    WriteDialect {
        database: DatabaseKind::MySql,
        dialect: &MySqlDialect,
        session_setup: SESSION_SETUP,
        session_info: "SELECT DATABASE(), NULL, @@max_allowed_packet",
        capabilities: CAPABILITIES,
        columns,
        ddl,
        dml: &MySqlDml,
        offsets: OFFSETS,
    }
}

/// READ COMMITTED takes no gap locks. Strict mode makes a value that does not fit an error
/// instead of silently truncating it; a zero in an AUTO_INCREMENT column stays zero; a
/// backslash in a literal is an escape. Lock timeouts are short because waiting for locks of
/// others is done by retries, so that the status reports it.
const SESSION_SETUP: &[&str] = &[
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION sql_mode = CONCAT(REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', ''), \
     ',STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO')",
    // Tables created by the sink must be able to roll back, whatever the server's default
    // engine.
    "SET SESSION default_storage_engine = (SELECT IF(transactions = 'YES', engine, 'InnoDB') \
     FROM information_schema.engines WHERE engine = @@default_storage_engine)",
    "SET SESSION idle_write_transaction_timeout = 30",
    "SET SESSION innodb_lock_wait_timeout = 5",
    "SET SESSION lock_wait_timeout = 30",
];

const CAPABILITIES: WriteCapabilities = WriteCapabilities {
    binds_text: false,
    values: ValueRules {
        has_arrays: false,
        special_numbers: false,
        infinite_times: false,
        compares_text_as_number: true,
        takes_bytes_as_text: true,
        checks_types: true,
    },
    accepts_nul: true,
    has_engines_without_rollback: true,
    // As for writing: with a lock for reading alone, an ALTER TABLE that waits for it and the INSERT
    // that waits for that would be a deadlock. An account may lack the privileges.
    pin_table: &[
        "SELECT 1 FROM {table} LIMIT 0 FOR UPDATE",
        "SELECT 1 FROM {table} LIMIT 0",
    ],
    drops_not_null: true,
    folds_column_names: Some(str::to_lowercase),
    adds_columns_together: true,
    table_definition: Some("SHOW CREATE TABLE {table}"),
    copy: None,
    names_conflict_index: false,
    bulk_update: None,
    // A number in a column of dates is a date, and ON DUPLICATE KEY uses whatever unique indexes
    // exist when it runs, without an error.
    table_state: TableStateSql {
        sql: "SHOW CREATE TABLE {table}",
        column: 1,
        lasting: without_counter,
        covers_views: false,
    },
    guard_error: Some("(1048,"),
    missing_table_error: Some("(1146,"),
    spatial_error: Some("(1416,"),
    statement_probe: Some(StatementProbe {
        prepare: |sql| {
            let mut prepare = "PREPARE rowferry_statement FROM ".to_owned();
            quoted_text(sql, &mut prepare);
            prepare
        },
        types: None,
        deallocate: "DEALLOCATE PREPARE rowferry_statement",
    }),
    deferred_constraints: None,
};

/// Removes the next number of an AUTO_INCREMENT column from a table's definition.
fn without_counter(definition: &str) -> Cow<'_, str> {
    const COUNTER: &str = " AUTO_INCREMENT=";
    // The options are behind the columns; only a comment among them may contain such a text, too.
    let options = definition.rfind("\n)").unwrap_or(definition.len());
    match definition[options..].find(COUNTER) {
        None => Cow::Borrowed(definition),
        Some(at) => {
            let (before, counter) = definition.split_at(options + at);
            let after = counter[COUNTER.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
            Cow::Owned(format!("{before}{after}"))
        }
    }
}

const OFFSETS: OffsetsSql = OffsetsSql {
    find_tables: None,
    create: "CREATE TABLE IF NOT EXISTS {table} (\n\
             cluster VARCHAR(255) NOT NULL DEFAULT '' COMMENT 'Kafka cluster',\n\
             sink VARCHAR(255) NOT NULL COMMENT 'connector',\n\
             topic VARCHAR(249) NOT NULL,\n\
             partition_id INT NOT NULL,\n\
             next_offset BIGINT NOT NULL COMMENT 'next record to read; -1: none yet',\n\
             epoch BIGINT NOT NULL COMMENT 'one more with each owner',\n\
             owner VARCHAR(255) NOT NULL COMMENT 'task that wrote last',\n\
             session_id BIGINT NULL COMMENT 'its CONNECTION_ID()',\n\
             updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,\n\
             PRIMARY KEY (cluster, sink, topic, partition_id)\n\
             ) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    upgrade: &[
        "ALTER TABLE {table} ADD COLUMN cluster VARCHAR(255) NOT NULL DEFAULT '' COMMENT 'Kafka cluster' \
               FIRST, DROP PRIMARY KEY, ADD PRIMARY KEY (cluster, sink, topic, partition_id)",
    ],
    seed: "INSERT IGNORE INTO {table} (cluster, sink, topic, partition_id, next_offset, epoch, owner) \
           VALUES (?, ?, ?, ?, -1, 0, '')",
    session: "CONNECTION_ID()",
    lock: " FOR UPDATE",
    short_lock_timeout: &["SET SESSION innodb_lock_wait_timeout = 1"],
    usual_lock_timeout: &["SET SESSION innodb_lock_wait_timeout = 5"],
    own_session: "SELECT 1 FROM information_schema.PROCESSLIST \
                  WHERE ID = ? AND USER = SUBSTRING_INDEX(USER(), '@', 1)",
    end_session: "KILL CONNECTION {}",
};

#[cfg(test)]
mod tests {
    use super::without_counter;

    #[test]
    fn the_next_number_is_no_part_of_a_tables_definition() {
        let with = |options: &str| {
            format!(
                "CREATE TABLE `t` (\n  `a` int COMMENT ') AUTO_INCREMENT=1'\n) ENGINE=InnoDB{options}"
            )
        };
        let without = with(" COMMENT='x'");
        assert_eq!(
            without_counter(&with(" AUTO_INCREMENT=17 COMMENT='x'")),
            without
        );
        assert_eq!(without_counter(&without), without);
    }
}
