//! MariaDB and MySQL: quoting, limits, error numbers.

pub(crate) mod bulk;
pub(crate) mod columns;
pub(crate) mod ddl;
pub(crate) mod decode;
pub(crate) mod dml;
pub(crate) mod grants;
pub(crate) mod keys;
pub(crate) mod read_types;
pub(crate) mod widening;
pub(crate) mod wire_format;
pub(crate) mod writing;

use std::time::Duration;

use connector_api::ErrorKind;

use super::advice::{CONVERT, DUPLICATE, NOT_NULL, TOO_LARGE};
use super::read::{ReadColumn, ReadOptions};
use super::{Capabilities, Dialect, OldestTransaction, ServerLimits, SqlSyntax, timestamp_step};
use crate::calendar::SECOND;
use crate::catalog::ColumnMeta;

/// The dialect of MariaDB and MySQL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MySqlDialect;

const CAPABILITIES: Capabilities = Capabilities {
    name: "MariaDB/MySQL",
    // 65,535 is the protocol's 16-bit parameter count; 16 MiB is `max_allowed_packet`'s default
    // since MariaDB 10.2.4.
    limits: ServerLimits {
        params: 65_535,
        identifier: 64,
        packet: 16 * 1024 * 1024,
        largest: 1 << 30,
    },
    quote_char: '`',
    system_prefix: "",
    // 1: names are stored in lower case; 2: as written. Both are compared without regard to case.
    case_insensitive_names: Some("SELECT @@lower_case_table_names"),
    clock: "SELECT UTC_TIMESTAMP(6), \
         COALESCE(CONVERT_TZ(UTC_TIMESTAMP(6), '+00:00', @@global.time_zone), UTC_TIMESTAMP(6))",
    local_time: Some("CONVERT_TZ(?, '+00:00', @@global.time_zone)"),
    // A slow topic may block the read for longer than the server's default of one minute.
    reading_setup: &["SET SESSION net_write_timeout = 3600"],
    read_only_session: &["SET SESSION TRANSACTION READ ONLY"],
    read_only_transaction: None,
    isolation: Some("SET SESSION TRANSACTION ISOLATION LEVEL {level}"),
    read_uncommitted: Some("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED"),
    // `INNODB_TRX` is a copy that is refreshed at most every 100 ms, and never while it is read
    // more often. It is reliable only if it shows this very statement, by the mark in its text
    // (parameter values are shown only by servers that log). Transactions that have written
    // nothing yet have the number 0, in MySQL one from 2^48 on. Statements that wait before their
    // transaction begins are in the process list, those of events as `Connect`.
    oldest_transaction: Some(OldestTransaction {
        running: "SELECT CAST(MAX(time) * 1000000 AS SIGNED) FROM information_schema.processlist \
                      WHERE id <> CONNECTION_ID() AND (command IN ('Query', 'Execute') \
                      AND (info IS NULL OR info NOT LIKE 'select%') OR command = 'Connect' AND info IS NOT NULL \
                      AND user <> 'system user')",
        before: "START TRANSACTION WITH CONSISTENT SNAPSHOT",
        sql: "SELECT '{mark}', CAST(MAX(IF(writes, TIMESTAMPDIFF(MICROSECOND, trx_started, \
                 CONVERT_TZ(UTC_TIMESTAMP(6), '+00:00', 'SYSTEM')), NULL)) AS SIGNED), \
                 MAX(trx_mysql_thread_id = CONNECTION_ID() AND trx_query LIKE '%{mark}%'), \
                 CAST(MIN(IF(writes, trx_id + 0, NULL)) AS SIGNED), CAST(MAX(IF(writes, trx_id + 0, NULL)) AS SIGNED) \
                 FROM (SELECT t.*, trx_id <> 0 AND trx_id < 281474976710656 AND trx_mysql_thread_id <> CONNECTION_ID() \
                 AS writes FROM information_schema.innodb_trx t) AS t",
        after: "COMMIT",
        // InnoDB lists them like other transactions.
        prepared: "",
        // `trx_started` is in seconds, and set after the statement's own timestamp.
        listed_late: SECOND,
        every: Duration::from_millis(105),
        // Two readers must still leave 100 ms between them.
        every_beside_others: Duration::from_millis(250),
        marked: true,
        grant: "PROCESS",
    }),
    id_step: Some("SELECT @@auto_increment_increment"),
    connects_to_one_database: false,
    lists_other_databases: true,
    folds_names: false,
    truncates_names: false,
    syntax: SqlSyntax {
        hash_comments: true,
        dashes_need_blank: true,
        nested_comments: false,
        executable_comments: true,
        backslash_escapes: true,
        escape_strings: false,
        dollar_quotes: false,
        backtick_names: true,
        bracket_names: false,
        question_parameters: true,
        tcl_variables: false,
        lone_colons: false,
    },
    has_snapshots: false,
};

impl Dialect for MySqlDialect {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn placeholder(&self, _number: usize, out: &mut String) {
        out.push('?');
    }

    /// Comparing a text with a decimal would convert both to floats, so the text is cast.
    fn typed_placeholder(&self, _number: usize, sql_type: &str, out: &mut String) {
        if sql_type.starts_with("decimal(") {
            out.push_str("CAST(? AS ");
            out.push_str(sql_type);
            out.push(')');
        } else {
            out.push('?');
        }
    }

    /// A date-time declared without digits has whole seconds.
    fn timestamp_step(&self, meta: &ColumnMeta) -> i64 {
        timestamp_step(meta, 0)
    }

    fn read_column(&self, meta: &ColumnMeta, options: &ReadOptions) -> ReadColumn {
        read_types::column(meta, options)
    }

    /// ENUM and SET are ordered by number but compared as text; floats and fractional seconds lose
    /// digits in transit.
    fn orders(&self, meta: &ColumnMeta) -> bool {
        matches!(
            meta.data_type.as_str(),
            "tinyint"
                | "smallint"
                | "mediumint"
                | "int"
                | "integer"
                | "bigint"
                | "decimal"
                | "numeric"
                | "char"
                | "varchar"
                | "binary"
                | "varbinary"
                | "uuid"
                | "inet6"
        )
    }

    /// Numbers from MariaDB's error code list; SQLSTATE classes from the SQL standard for the rest.
    fn classify(&self, code: &str, sqlstate: &str) -> ErrorKind {
        match code.parse::<u16>().unwrap_or_default() {
            // Disk or table full, too many connections, server shutdown, lock wait, deadlock,
            // killed, connection lost, row changed since last read, read-only while failing over,
            // backup or Galera not ready, host blocked until FLUSH HOSTS, offline mode, no server
            // behind ProxySQL.
            1020
            | 1021
            | 1026
            | 1030
            | 1114
            | 1040
            | 1041
            | 1042
            | 1043
            | 1053
            | 1129
            | 1152
            | 1154..=1161
            | 1184
            | 1203
            | 1205
            | 1206
            | 1213
            | 1226
            | 1290
            | 1317
            | 1614
            | 1637
            | 1836
            | 1927
            | 1969
            | 2000..=2013
            | 3024
            | 3032
            | 3101
            | 3168
            | 9001
            | 9002 => ErrorKind::Retry,
            // Missing privilege; login refused for this account: locked, expired, blocked after
            // wrong passwords, not from this host, not without TLS, its plugin missing.
            1044 | 1045 | 1130 | 1131 | 1132 | 1133 | 1142 | 1143 | 1227 | 1251 | 1275 | 1370
            | 1410 | 1524 | 1698 | 1820 | 1862 | 3118 | 3159 | 3955 | 4150 | 4151 => {
                ErrorKind::Denied
            }
            // Invalid values and violated constraints, by row.
            1022 | 1048 | 1062 | 1153 | 1169 | 1216 | 1217 | 1264 | 1265 | 1292 | 1364 | 1366
            | 1367 | 1369 | 1406 | 1416 | 1411 | 1451 | 1452 | 1526 | 1557 | 1566 | 1568 | 1569
            | 1586 | 1644 | 1690 | 1761 | 1762 | 3140 | 3156 | 3819 | 4025 | 4078 => {
                ErrorKind::Record
            }
            _ => match sqlstate.get(..2).unwrap_or_default() {
                "08" | "40" | "70" => ErrorKind::Retry,
                "28" => ErrorKind::Denied,
                "22" | "23" => ErrorKind::Record,
                _ => ErrorKind::Config,
            },
        }
    }

    fn advice(&self, code: &str, _sqlstate: &str, _text: &str) -> &'static str {
        advice(code.parse().unwrap_or_default())
    }
}

/// Advice for the errors of MariaDB and MySQL whose texts do not say what helps.
fn advice(code: u16) -> &'static str {
    match code {
        1048 | 1364 => NOT_NULL,
        1022 | 1062 | 1169 | 1557 | 1586 => DUPLICATE,
        1216 | 1452 => {
            "The row that the record refers to does not exist: its table must be written before, \
             or the foreign key must be dropped."
        }
        1217 | 1451 => {
            "Rows of another table refer to the row: they must be deleted before, or the foreign \
             key must be ON DELETE CASCADE."
        }
        1264 | 1406 | 1690 => TOO_LARGE,
        1265 | 1366 | 1367 | 1411 => CONVERT,
        1292 => {
            "The text is not a value of the column's type: for dates and times, name the field in \
             timestamp.fields.list if it counts from 1970, or convert it before (the transform \
             TimestampConverter, with a format that reads it)."
        }
        1205 => {
            "Another session holds a lock of the table or row: SHOW PROCESSLIST shows those that \
             run LOCK TABLES, ALTER TABLE or a long transaction."
        }
        1153 => "The record is larger than the server takes: increase its max_allowed_packet.",
        1369 => {
            "The view has WITH CHECK OPTION, and would not show the row: write to its table \
             (table.name.format), or filter such records."
        }
        // a geometry column, for which the server names no column
        1416 => {
            "It is a column of a spatial type (GEOMETRY, POINT, …), which takes the server's own \
             binary format only: send BYTES of that format (SRID and WKB), write with \
             insert.mode=statement and ST_GeomFromText(:field), or leave the field out \
             (fields.whitelist, or ReplaceField)."
        }
        // no cast between the types
        4078 => {
            "The record's type cannot be converted to the type of the column, which the text names: \
             convert the field to a text before (the transform Cast), or, for a spatial type, write \
             with insert.mode=statement and ST_GeomFromText(:field)."
        }
        1526 => {
            "The table has no partition for the row: add one, such as VALUES LESS THAN MAXVALUE."
        }
        3140 | 3156 => "The column is JSON, and the record's text is not: send JSON.",
        3819 | 4025 => {
            "A CHECK constraint of the table does not allow the record's values; a JSON column of \
             MariaDB has one that allows JSON only."
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use connector_api::ErrorKind;

    use super::MySqlDialect;
    use crate::dialect::Dialect;
    use crate::ident::TableId;

    #[test]
    fn identifiers_are_quoted_and_quotes_doubled() {
        assert_eq!(
            MySqlDialect.table(&TableId::in_catalog("a.b", "t`x")),
            "`a.b`.`t``x`"
        );
    }

    #[test]
    fn server_errors_have_kinds() {
        for (code, state, kind) in [
            ("1213", "40001", ErrorKind::Retry),
            ("1205", "HY000", ErrorKind::Retry),
            ("1114", "HY000", ErrorKind::Retry),
            ("2013", "HY000", ErrorKind::Retry),
            ("1129", "HY000", ErrorKind::Retry),
            ("3032", "HY000", ErrorKind::Retry),
            ("9001", "HY000", ErrorKind::Retry),
            ("1045", "28000", ErrorKind::Denied),
            ("1524", "HY000", ErrorKind::Denied),
            ("3159", "HY000", ErrorKind::Denied),
            ("3955", "HY000", ErrorKind::Denied),
            ("4150", "HY000", ErrorKind::Denied),
            ("1142", "42000", ErrorKind::Denied),
            ("1054", "42S22", ErrorKind::Config),
            ("1146", "42S02", ErrorKind::Config),
            ("1049", "42000", ErrorKind::Config),
            ("1264", "22003", ErrorKind::Record),
            ("1062", "23000", ErrorKind::Record),
            ("9999", "22007", ErrorKind::Record),
        ] {
            assert_eq!(MySqlDialect.classify(code, state), kind, "{code} {state}");
        }
    }
}
