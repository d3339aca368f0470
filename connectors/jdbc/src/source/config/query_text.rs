//! A user's query: whether it is one statement that reads, and where it ends. Pure.

use crate::dialect::sql_lexer::{SqlLexer, SqlToken, is_one_of};
use crate::url::DatabaseKind;

/// Returns the query without trailing comments and semicolons, which would break what is appended
/// to it.
pub(crate) fn trimmed(text: &str, database: DatabaseKind) -> &str {
    let mut end = 0;
    for token in SqlLexer::new(text, database) {
        if !token.is_blank() && token.text != ";" {
            end = token.at + token.text.len();
        }
    }
    text[..end].trim_start()
}

/// Returns why a text is not a valid query: it must be a single SELECT that writes nothing, with or
/// without common table expressions.
pub(crate) fn problem(text: &str, database: DatabaseKind) -> Option<&'static str> {
    let code: Vec<SqlToken<'_>> = SqlLexer::new(text, database)
        .filter(|token| !token.is_blank())
        .collect();
    let first = code.iter().find(|token| token.text != "(");
    let first = first.map_or("", |token| token.text);
    if !is_one_of(first, &["select", "with"]) {
        return Some("Please provide a statement that starts with SELECT.");
    }
    let mut behind = code.iter().skip_while(|token| token.text != ";");
    if behind.any(|token| token.text != ";") {
        return Some("Please provide one statement, without a semicolon in between.");
    }
    if is_one_of(first, &["with"]) && code.windows(3).any(is_a_write) {
        return Some("Please provide a statement that changes nothing: its WITH does.");
    }
    None
}

/// True if a statement that writes begins with the second of three tokens. A statement may begin
/// after a parenthesis; in front of one these words are functions.
fn is_a_write(three: &[SqlToken<'_>]) -> bool {
    let [before, word, behind] = three else {
        return false;
    };
    is_one_of(before.text, &["(", ")"])
        && word.is_word(&["insert", "update", "delete", "merge", "replace"])
        && behind.text != "("
}

#[cfg(test)]
mod tests {
    use super::{problem, trimmed};
    use crate::url::DatabaseKind::{MySql, Postgres, Sqlite};

    #[test]
    fn text_after_a_query_is_cut_off() {
        for (text, want) in [
            (" SELECT 1 ; ", "SELECT 1"),
            ("SELECT 1;-- the end", "SELECT 1"),
            ("SELECT 1; /* a */ ; -- b\n", "SELECT 1"),
            ("SELECT '; -- x' -- y", "SELECT '; -- x'"),
            ("SELECT 'it''s' /* y", "SELECT 'it''s'"),
            ("SELECT \"a;--\";", "SELECT \"a;--\""),
            (
                "-- before\nSELECT 1 /* in */ + 2",
                "-- before\nSELECT 1 /* in */ + 2",
            ),
            ("", ""),
        ] {
            for database in [MySql, Postgres, Sqlite] {
                assert_eq!(trimmed(text, database), want, "{database:?}");
            }
        }
        for (text, database, want) in [
            (r"SELECT 'a\'; -- b' # c", MySql, r"SELECT 'a\'; -- b'"),
            ("SELECT 3--1;", MySql, "SELECT 3--1"),
            ("SELECT 1 /*! + 1 */ ;", MySql, "SELECT 1 /*! + 1 */"),
            ("SELECT 1 /* a /* b */ c */", Postgres, "SELECT 1"),
            (
                "SELECT $x$; -- $$ y$x$ -- z",
                Postgres,
                "SELECT $x$; -- $$ y$x$",
            ),
            (
                r"SELECT E'\'; --' || $1;",
                Postgres,
                r"SELECT E'\'; --' || $1",
            ),
            ("SELECT 3--1", Postgres, "SELECT 3"),
            ("SELECT [a;--]; --", Sqlite, "SELECT [a;--]"),
        ] {
            assert_eq!(trimmed(text, database), want, "{database:?}");
        }
    }

    #[test]
    fn a_query_is_one_statement_that_reads() {
        let fine = [
            "SELECT 1",
            "select 1;",
            "/* a */ -- b\n (SELECT 1)",
            "WITH a AS (SELECT 1) SELECT * FROM a; -- end",
            "WITH a AS (SELECT REPLACE(b, 'x', 'y'), (INSERT (b, 1, 2, 'z')) FROM c) SELECT * FROM a FOR UPDATE",
            "WITH a AS (SELECT '(DELETE FROM b') SELECT * FROM a",
        ];
        let refused = [
            "",
            "-- SELECT",
            "UPDATE t SET a = 1",
            "SELECTED",
            "SELECT 1; SELECT 2",
            "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a",
            "with a as ( /* x */ insert into t values (1) returning *) select * from a",
            "WITH a AS (SELECT 1) DELETE FROM t",
        ];
        for database in [MySql, Postgres, Sqlite] {
            for text in fine {
                assert_eq!(problem(text, database), None, "{text}");
            }
            for text in refused {
                assert!(problem(text, database).is_some(), "{text}");
            }
        }
    }
}
