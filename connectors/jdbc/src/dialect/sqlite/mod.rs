//! SQLite: quoting, limits, result codes.
//!
//! A column's declared type is only a hint: each value has a storage class of its own. Records
//! carry the declared type, and a value that does not conform to it is refused.

pub(crate) mod columns;
pub(crate) mod ddl;
pub(crate) mod decode;
pub(crate) mod dml;
pub(crate) mod read_types;
pub(crate) mod writing;

use connector_api::{ErrorKind, SchemaType};

use super::advice::{DUPLICATE, NOT_NULL};
use super::read::{ReadColumn, ReadOptions, ValueDecoding};
use super::sql_lexer::SqlLexer;
use super::{Capabilities, Dialect, ServerLimits, SqlSyntax, TimeTests};
use crate::catalog::ColumnMeta;
use crate::url::DatabaseKind;

/// The dialect of SQLite 3.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SqliteDialect;

const CAPABILITIES: Capabilities = Capabilities {
    name: "SQLite",
    // `SQLITE_MAX_VARIABLE_NUMBER`; identifiers have no limit of their own; a row has at most
    // 1,000,000,000 bytes.
    limits: ServerLimits {
        params: 32_766,
        identifier: usize::MAX,
        packet: 128 * 1024 * 1024,
        largest: 1_000_000_000,
    },
    // As in Confluent's connectors: in `"`, SQLite reads the name of a column that does not exist as a text.
    quote_char: '`',
    system_prefix: "",
    case_insensitive_names: None,
    // Whole seconds, like CURRENT_TIMESTAMP: rows of the current second are not read before it is
    // over.
    clock: "SELECT strftime('%Y-%m-%d %H:%M:%S', 'now'), strftime('%Y-%m-%d %H:%M:%S', 'now')",
    local_time: None,
    reading_setup: &["PRAGMA query_only = ON"],
    read_only_session: &["PRAGMA query_only = ON"],
    read_only_transaction: None,
    // Transactions are serializable, whatever level is requested.
    isolation: None,
    read_uncommitted: None,
    // There is one writer at a time, and it holds the file's lock while it assigns ids and
    // timestamps.
    oldest_transaction: None,
    id_step: None,
    connects_to_one_database: false,
    lists_other_databases: false,
    folds_names: false,
    truncates_names: false,
    syntax: SqlSyntax {
        hash_comments: false,
        dashes_need_blank: false,
        nested_comments: false,
        executable_comments: false,
        backslash_escapes: false,
        escape_strings: false,
        dollar_quotes: false,
        backtick_names: true,
        bracket_names: true,
        question_parameters: true,
        tcl_variables: true,
        lone_colons: true,
    },
    has_snapshots: false,
};

impl Dialect for SqliteDialect {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn placeholder(&self, _number: usize, out: &mut String) {
        out.push('?');
    }

    fn typed_placeholder(&self, _number: usize, _sql_type: &str, out: &mut String) {
        out.push('?');
    }

    /// Columns hold texts of any form; the clock has whole seconds anyway.
    fn timestamp_step(&self, _meta: &ColumnMeta) -> i64 {
        1
    }

    fn read_column(&self, meta: &ColumnMeta, options: &ReadOptions) -> ReadColumn {
        read_types::column(meta, options)
    }

    fn comparable_timestamp(&self, column: &str) -> String {
        read_types::comparable_timestamp(column)
    }

    /// SQLite has no date-time type: texts, milliseconds and Julian days may be points in time.
    /// Ids, booleans and columns declared too narrow for milliseconds are not.
    fn may_hold_times(&self, meta: &ColumnMeta, read: &ValueDecoding) -> bool {
        match read {
            ValueDecoding::Text
            | ValueDecoding::F64
            | ValueDecoding::Decimal
            | ValueDecoding::Scaled(_)
            | ValueDecoding::DecimalInt(_)
            | ValueDecoding::DecimalF64 => true,
            ValueDecoding::Int(ty) => *ty == SchemaType::Int64 && !meta.auto_increment,
            _ => false,
        }
    }

    fn time_tests(&self, column: &str) -> Option<TimeTests> {
        Some(TimeTests {
            is_time: read_types::is_time(column),
            counts_seconds: read_types::counts_seconds(column),
        })
    }

    /// 64-bit integers and text are bound as they are stored; offsets cannot hold BLOBs, and floats
    /// lose digits there.
    fn orders(&self, meta: &ColumnMeta) -> bool {
        matches!(read_types::affinity(&meta.data_type), "integer" | "text")
    }

    /// `code` is the extended result code. Source: "Result and Error Codes" of the SQLite manual.
    fn classify(&self, code: &str, _sqlstate: &str) -> ErrorKind {
        match code.parse::<u32>().unwrap_or_default() & 0xff {
            // BUSY, LOCKED, NOMEM, INTERRUPT, IOERR, FULL, PROTOCOL, SCHEMA
            5 | 6 | 7 | 9 | 10 | 13 | 15 | 17 => ErrorKind::Retry,
            // PERM, READONLY, AUTH
            3 | 8 | 23 => ErrorKind::Denied,
            // TOOBIG, CONSTRAINT, MISMATCH
            18..=20 => ErrorKind::Record,
            _ => ErrorKind::Config,
        }
    }

    fn advice(&self, code: &str, _sqlstate: &str, text: &str) -> &'static str {
        // SQLITE_ERROR, which many errors share
        if code == "1" && text.ends_with("because it is a view") {
            return "Views of SQLite take rows only if they have an INSTEAD OF INSERT trigger: create \
                    one, or write to the table behind the view (table.name.format).";
        }
        advice(code.parse().unwrap_or_default())
    }
}

/// Advice for SQLite's extended result codes.
fn advice(code: u32) -> &'static str {
    match code {
        // NOMEM
        7 => {
            "The values of a row, or the data that an aggregate collects, need more memory than \
             SQLite may use, which all connectors of this worker share (docs/security.md): change \
             the query so that it returns fewer or shorter values."
        }
        // READONLY and its variants
        _ if code & 0xff == 8 => {
            "The file or its folder cannot be written by the account of this worker, or the URL \
             opens it for reading only (mode=ro)."
        }
        // CONSTRAINT_CHECK, CONSTRAINT_TRIGGER
        275 => "A CHECK constraint of the table does not allow the record's values.",
        1811 => {
            "A trigger of the table, or a foreign key, refuses the record: the rows that it refers \
             to must be written before."
        }
        // CONSTRAINT_FOREIGNKEY
        787 => {
            "The row that the record refers to does not exist: its table must be written before, \
             or the foreign key must be DEFERRABLE INITIALLY DEFERRED, if both are in one batch."
        }
        // CONSTRAINT_NOTNULL
        1299 => NOT_NULL,
        // CONSTRAINT_PRIMARYKEY, CONSTRAINT_UNIQUE, CONSTRAINT_ROWID
        1555 | 2067 | 2579 => DUPLICATE,
        // CONSTRAINT_DATATYPE: a STRICT table
        3091 => {
            "The table is STRICT: its columns take values of their own type only. Convert the \
             field before (the transform Cast), or declare the column ANY."
        }
        // MISMATCH
        20 => {
            "A column that is INTEGER PRIMARY KEY takes whole numbers only: convert the field \
             before (the transform Cast), or choose other pk.fields."
        }
        _ => "",
    }
}

/// Returns the first word of each statement of a text, as SQLite reads it: blanks, comments and
/// semicolons are skipped.
pub(crate) fn first_words(sql: &str) -> impl Iterator<Item = &str> {
    let mut begins = true;
    let code = SqlLexer::new(sql, DatabaseKind::Sqlite).filter(|token| !token.is_blank());
    code.filter_map(move |token| {
        let is_end = token.text == ";";
        let is_first = begins && !is_end;
        begins = is_end;
        is_first.then_some(token.text)
    })
}

/// True if the text is one statement, followed by nothing but blanks and comments after its first
/// semicolon. SQLite's drivers execute all statements of a text, so a query could hide an ATTACH.
pub(crate) fn is_one_statement(sql: &str) -> bool {
    let code = SqlLexer::new(sql, DatabaseKind::Sqlite).filter(|token| !token.is_blank());
    let mut behind = code.skip_while(|token| token.text != ";");
    behind.all(|token| token.text == ";")
}

#[cfg(test)]
mod tests {
    use connector_api::ErrorKind;

    use super::{SqliteDialect, is_one_statement};
    use crate::dialect::Dialect;

    #[test]
    fn statements_begin_with_their_first_words() {
        for (sql, want) in [
            ("SELECT 'ATTACH'; ", &["SELECT"][..]),
            ("/* x */ -- y\n;; attach 'x' AS y", &["attach"]),
            (
                "INSERT INTO t VALUES (';ATTACH'); VACUUM INTO 'x'",
                &["INSERT", "VACUUM"],
            ),
            (
                "CREATE TABLE [a;b] (x);ATTACH/**/'x'AS y",
                &["CREATE", "ATTACH"],
            ),
            ("\u{feff}VACUUM", &["VACUUM"]),
            ("(SELECT 1)", &["("]),
            ("SELECT $x('); VACUUM; --')", &["SELECT", "VACUUM"]),
            ("", &[]),
        ] {
            assert_eq!(super::first_words(sql).collect::<Vec<_>>(), want, "{sql}");
        }
    }

    #[test]
    fn result_codes_have_kinds() {
        for (code, kind) in [
            ("5", ErrorKind::Retry),
            ("517", ErrorKind::Retry),
            ("262", ErrorKind::Retry),
            ("2067", ErrorKind::Record),
            ("1555", ErrorKind::Record),
            ("3091", ErrorKind::Record),
            ("8", ErrorKind::Denied),
            ("14", ErrorKind::Config),
            ("26", ErrorKind::Config),
            ("1", ErrorKind::Config),
        ] {
            assert_eq!(SqliteDialect.classify(code, ""), kind, "{code}");
        }
    }

    #[test]
    fn a_second_statement_is_seen_and_a_semicolon_in_text_is_not() {
        for (sql, want) in [
            ("SELECT 1", true),
            ("SELECT 1; -- end\n ; /* ; */", true),
            ("SELECT ';', \"a;b\", `c;`, [d;] FROM t", true),
            ("SELECT 'it''s; fine'", true),
            ("SELECT 1; ATTACH 'x' AS y", false),
            ("SELECT 1 /* ; */; SELECT 2", false),
            ("SELECT ' -- ' ; x", false),
            ("SELECT @x('); x --')", false),
            ("SELECT 'never ends; x", true),
        ] {
            assert_eq!(is_one_statement(sql), want, "{sql}");
        }
    }
}
