//! PostgreSQL: quoting, limits, SQLSTATEs.

pub(crate) mod columns;
pub(crate) mod ddl;
pub(crate) mod decode;
pub(crate) mod dml;
pub(crate) mod read_types;
pub(crate) mod widening;
pub(crate) mod writing;

use std::ops::RangeInclusive;
use std::time::Duration;

use connector_api::ErrorKind;

/// SQL for the name in [`ColumnMeta::data_type`], of the type `b`: the system's types by their own
/// names, others by their names with their schema in quotes, so that none is mistaken for one of
/// the system's. Arrays are `_` and their item type, and all enums `enum`.
macro_rules! type_name {
    () => {
        "CASE WHEN b.typtype = 'e' THEN 'enum' ELSE (SELECT CASE WHEN e.oid <> b.oid THEN '_' ELSE '' END || \
         CASE WHEN s.nspname = 'pg_catalog' THEN e.typname::pg_catalog.text ELSE '\"' || pg_catalog.replace(s.nspname, '\"', \
         '\"\"') || '\".\"' || pg_catalog.replace(e.typname, '\"', '\"\"') || '\"' END FROM pg_catalog.pg_type e \
         JOIN pg_catalog.pg_namespace s ON s.oid = e.typnamespace WHERE e.oid = coalesce((SELECT i.oid \
         FROM pg_catalog.pg_type i WHERE i.oid = b.typelem AND i.typarray = b.oid), b.oid)) END"
    };
}

pub(crate) use type_name;

use super::advice::{CONVERT, DUPLICATE, NOT_NULL, TOO_LARGE};
use super::read::{ReadColumn, ReadOptions};
use super::{Capabilities, Dialect, OldestTransaction, ServerLimits, SqlSyntax};
use crate::catalog::ColumnMeta;

/// The dialect of PostgreSQL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PostgresDialect;

const CAPABILITIES: Capabilities = Capabilities {
    name: "PostgreSQL",
    // The protocol counts parameters in 16 bits; identifiers are truncated at NAMEDATALEN - 1; a
    // message may have 1 GiB.
    limits: ServerLimits {
        params: 65_535,
        identifier: 63,
        packet: 256 * 1024 * 1024,
        largest: 0x3fff_ffff,
    },
    quote_char: '"',
    system_prefix: "pg_catalog.",
    case_insensitive_names: None,
    // Date-times without zone are read as UTC here; `db.timezone` overrides that.
    clock: "SELECT (CURRENT_TIMESTAMP AT TIME ZONE 'UTC')::pg_catalog.text, \
         (CURRENT_TIMESTAMP AT TIME ZONE 'UTC')::pg_catalog.text",
    local_time: None,
    reading_setup: &[],
    read_only_session: &[],
    read_only_transaction: Some("SET TRANSACTION READ ONLY"),
    isolation: Some("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}"),
    read_uncommitted: None,
    // `now()` is the time at which the transaction began, so any open transaction may still write
    // an old timestamp. Background workers (pg_cron, subscriptions) write too.
    oldest_transaction: Some(OldestTransaction {
        running: "",
        before: "",
        sql: "SELECT NULL::pg_catalog.text, (EXTRACT(EPOCH FROM pg_catalog.max(pg_catalog.clock_timestamp() \
                 - xact_start)) * 1000000)::pg_catalog.int8, pg_catalog.pg_has_role(current_user, \
                 'pg_read_all_stats', 'USAGE')::pg_catalog.int4, NULL::pg_catalog.int8, NULL::pg_catalog.int8 \
                 FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() \
                 AND pid <> pg_catalog.pg_backend_pid() AND xact_start IS NOT NULL \
                 AND backend_type NOT IN ('autovacuum worker', 'walsender')",
        after: "",
        prepared: "SELECT pg_catalog.string_agg(\"transaction\"::pg_catalog.text || ' ' || \
                 (EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - prepared) * 1000000)::pg_catalog.int8, ',') \
                 FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()",
        // Both are the same reading of the clock.
        listed_late: 0,
        every: Duration::from_millis(20),
        every_beside_others: Duration::from_millis(20),
        marked: false,
        grant: "pg_read_all_stats",
    }),
    id_step: None,
    connects_to_one_database: true,
    lists_other_databases: false,
    folds_names: true,
    truncates_names: true,
    syntax: SqlSyntax {
        hash_comments: false,
        dashes_need_blank: false,
        nested_comments: true,
        executable_comments: false,
        backslash_escapes: false,
        escape_strings: true,
        dollar_quotes: true,
        backtick_names: false,
        bracket_names: false,
        question_parameters: false,
        tcl_variables: false,
        lone_colons: true,
    },
    has_snapshots: true,
};

impl Dialect for PostgresDialect {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn placeholder(&self, number: usize, out: &mut String) {
        out.push('$');
        out.push_str(itoa::Buffer::new().format(number));
    }

    /// Parameters are sent as integers, floats, text or bytes, and cast to the type of any other
    /// column.
    fn typed_placeholder(&self, number: usize, sql_type: &str, out: &mut String) {
        match sql_type {
            "" | "int2" | "int4" | "int8" | "text" | "varchar" | "bpchar" => {
                self.placeholder(number, out);
            }
            _ => {
                out.push_str("CAST(");
                self.placeholder(number, out);
                out.push_str(" AS ");
                // Names of types of other schemas are already qualified.
                out.push_str(if sql_type.starts_with('"') {
                    ""
                } else {
                    "pg_catalog."
                });
                out.push_str(sql_type);
                out.push(')');
            }
        }
    }

    fn read_column(&self, meta: &ColumnMeta, options: &ReadOptions) -> ReadColumn {
        read_types::column(meta, options)
    }

    /// Unquoted names are folded to lower case.
    fn folds(&self, name: &str) -> bool {
        let is_plain = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        name.chars().any(char::is_uppercase) && name.chars().all(is_plain)
    }

    fn orders(&self, meta: &ColumnMeta) -> bool {
        matches!(
            meta.data_type.as_str(),
            "int2"
                | "int4"
                | "int8"
                | "oid"
                | "numeric"
                | "text"
                | "varchar"
                | "bpchar"
                | "uuid"
                | "bytea"
        )
    }

    /// An oid has 32 bits without a sign. There are no operators that compare it with an integer:
    /// the integer is converted to an oid, and the server refuses others ("OID out of range").
    fn comparable_integers(&self, sql_type: &str) -> RangeInclusive<i64> {
        match sql_type {
            "oid" => 0..=i64::from(u32::MAX),
            _ => i64::MIN..=i64::MAX,
        }
    }

    /// Classes from PostgreSQL's "Error Codes" appendix.
    fn classify(&self, _code: &str, sqlstate: &str) -> ErrorKind {
        match sqlstate {
            // Serialization failure, deadlock, lock not available, read-only while failing over,
            // query cancelled.
            "40001" | "40P01" | "55P03" | "25006" | "57014" => ErrorKind::Retry,
            "42501" => ErrorKind::Denied,
            "3D000" => ErrorKind::Config,
            _ => match sqlstate.get(..2).unwrap_or_default() {
                "08" | "53" | "57" | "58" => ErrorKind::Retry,
                "28" => ErrorKind::Denied,
                "21" | "22" | "23" => ErrorKind::Record,
                // A trigger's RAISE and ASSERT, a view's check option, an index entry that is too
                // long.
                _ if matches!(sqlstate, "P0001" | "P0004" | "44000" | "54000") => ErrorKind::Record,
                _ => ErrorKind::Config,
            },
        }
    }

    fn advice(&self, _code: &str, sqlstate: &str, _text: &str) -> &'static str {
        advice(sqlstate)
    }
}

/// Advice for the errors of PostgreSQL whose texts do not say what helps.
fn advice(sqlstate: &str) -> &'static str {
    match sqlstate {
        "23502" => NOT_NULL,
        "23505" => DUPLICATE,
        "23503" => {
            "The row that the record refers to does not exist, or is still referred to: the other \
             table must be written before, or the foreign key must be DEFERRABLE, if both are in \
             one batch."
        }
        "23514" => {
            "A CHECK constraint of the table, or its partitions, do not allow the record's values."
        }
        "22001" | "22003" => TOO_LARGE,
        "22026" => {
            "The column is bit(n), which takes exactly n bits: send as many, or change the column \
             to bit varying(n)."
        }
        "22021" => {
            "The text contains bytes or the character U+0000, which PostgreSQL's texts cannot hold: \
             change the column to bytea, or remove the character before."
        }
        "22P02" | "22P03" | "2200L" | "22018" | "42804" => CONVERT,
        "22007" | "22008" | "22009" => {
            "The text is not a value of the column's type: for dates and times, name the field in \
             timestamp.fields.list if it counts from 1970, or convert it before (the transform \
             TimestampConverter, with a format that reads it)."
        }
        "22030" | "22032" | "22P06" => {
            "The column is json or jsonb, and the record's text is not: send JSON."
        }
        "42501" => {
            "The account of connection.user lacks a privilege, or a row security policy of the \
             table does not allow it the row: GRANT the privilege, or change the policy."
        }
        "44000" => {
            "The view has WITH CHECK OPTION, and would not show the row: write to its table \
             (table.name.format), or filter such records."
        }
        "54000" => {
            "A value is too long for an index of the table, which may be its primary key: leave \
             the column out of the index (pk.fields), or index a hash of it."
        }
        "55P03" => {
            "Another session holds a lock of the table or row: pg_locks and pg_blocking_pids show \
             the one that runs ALTER TABLE, LOCK or a long transaction."
        }
        "P0001" | "P0004" => "A trigger or function of the database refuses the record.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use connector_api::ErrorKind;

    use super::PostgresDialect;
    use crate::dialect::Dialect;

    #[test]
    fn parameters_are_cast_to_what_they_are_compared_with() {
        for (sql_type, want) in [
            ("", "$2"),
            ("\"x\".\"date\"", "CAST($2 AS \"x\".\"date\")"),
            ("int4", "$2"),
            ("timestamp", "CAST($2 AS pg_catalog.timestamp)"),
        ] {
            let mut out = String::new();
            PostgresDialect.typed_placeholder(2, sql_type, &mut out);
            assert_eq!(out, want);
        }
    }

    #[test]
    fn sqlstates_have_kinds() {
        for (state, kind) in [
            ("40P01", ErrorKind::Retry),
            ("53100", ErrorKind::Retry),
            ("57P01", ErrorKind::Retry),
            ("08006", ErrorKind::Retry),
            ("28P01", ErrorKind::Denied),
            ("42501", ErrorKind::Denied),
            ("42P01", ErrorKind::Config),
            ("3D000", ErrorKind::Config),
            ("23505", ErrorKind::Record),
            ("22003", ErrorKind::Record),
            ("P0001", ErrorKind::Record),
            ("44000", ErrorKind::Record),
            ("54000", ErrorKind::Record),
            ("54011", ErrorKind::Config),
        ] {
            assert_eq!(PostgresDialect.classify("", state), kind, "{state}");
        }
    }
}
