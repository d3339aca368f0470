//! Tokenizes a query as its database does: where comments, strings and names begin and end. Pure.

use crate::dialect::{self, SqlSyntax};
use crate::url::DatabaseKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QueryToken {
    /// Blanks and comments.
    Nothing,
    /// A word without quotes.
    Word,
    Other,
}

/// Returns the query without trailing comments and semicolons, which would break what is appended
/// to it.
pub fn trimmed(text: &str, database: DatabaseKind) -> &str {
    let mut end = 0;
    for (kind, piece, at) in pieces(text, syntax(database)) {
        if kind != QueryToken::Nothing && piece != ";" {
            end = at + piece.len();
        }
    }
    text[..end].trim_start()
}

/// Returns why a text is not a valid query: it must be a single SELECT that writes nothing, with or
/// without common table expressions.
pub fn problem(text: &str, database: DatabaseKind) -> Option<&'static str> {
    let code: Vec<_> = pieces(text, syntax(database))
        .filter(|(kind, ..)| *kind != QueryToken::Nothing)
        .collect();
    let is =
        |piece: &str, words: &[&str]| words.iter().any(|word| piece.eq_ignore_ascii_case(word));
    let first = code
        .iter()
        .find(|(_, piece, _)| *piece != "(")
        .map_or("", |(_, piece, _)| piece);
    if !is(first, &["select", "with"]) {
        return Some("Please provide a statement that starts with SELECT.");
    }
    let end = code
        .iter()
        .position(|(_, piece, _)| *piece == ";")
        .unwrap_or(code.len());
    if code[end..].iter().any(|(_, piece, _)| *piece != ";") {
        return Some("Please provide one statement, without a semicolon in between.");
    }
    // A statement may begin after a parenthesis; in front of one these words are functions.
    let writes = is(first, &["with"])
        && code.windows(3).any(|three| {
            let [(_, before, _), (kind, word, _), (_, after, _)] = three else {
                return false;
            };
            let words = ["insert", "update", "delete", "merge", "replace"];
            *kind == QueryToken::Word
                && ["(", ")"].contains(before)
                && is(word, &words)
                && *after != "("
        });
    writes.then_some("Please provide a statement that changes nothing: its WITH does.")
}

fn syntax(database: DatabaseKind) -> &'static SqlSyntax {
    &dialect::of(database).capabilities().syntax
}

/// Returns the tokens of a text, each with its byte offset.
fn pieces<'a>(
    text: &'a str,
    syntax: &'static SqlSyntax,
) -> impl Iterator<Item = (QueryToken, &'a str, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &text[at..];
        let c = rest.chars().next()?;
        let (kind, length) = piece(rest, c, syntax);
        let found = (kind, &rest[..length], at);
        at += length;
        Some(found)
    })
}

/// Returns kind and length of the first token of a text.
fn piece(rest: &str, c: char, syntax: &SqlSyntax) -> (QueryToken, usize) {
    let line = || rest.find('\n').map_or(rest.len(), |end| end + 1);
    let is_line = |begin: &str| {
        begin == "--"
            && (!syntax.dashes_need_blank
                || rest[2..]
                    .chars()
                    .next()
                    .is_none_or(|c| c.is_whitespace() || c.is_control()))
    };
    if c.is_whitespace() || c == '\u{feff}' {
        return (QueryToken::Nothing, c.len_utf8());
    }
    match rest.get(..2).unwrap_or_default() {
        "/*" if syntax.executable_comments
            && (rest.starts_with("/*!") || rest.starts_with("/*M!")) =>
        {
            return (QueryToken::Other, 2);
        }
        "/*" => {
            return (QueryToken::Nothing, comment(rest, syntax.nested_comments));
        }
        begin if is_line(begin) => return (QueryToken::Nothing, line()),
        _ => {}
    }
    match c {
        '#' if syntax.hash_comments => (QueryToken::Nothing, line()),
        '\'' => (QueryToken::Other, quoted(rest, c, syntax.backslash_escapes)),
        '"' => (QueryToken::Other, quoted(rest, c, syntax.backslash_escapes)),
        '`' if syntax.backtick_names => (QueryToken::Other, quoted(rest, c, false)),
        '[' if syntax.bracket_names => (QueryToken::Other, quoted(rest, ']', false)),
        '$' if syntax.dollar_quotes => (QueryToken::Other, dollars(rest).unwrap_or(1)),
        c if is_of_word(c) => {
            let end = rest
                .find(|c| !is_of_word(c) && c != '$')
                .unwrap_or(rest.len());
            let escapes = syntax.escape_strings && rest[..end].eq_ignore_ascii_case("e");
            if escapes && rest[end..].starts_with('\'') {
                return (QueryToken::Other, end + quoted(&rest[end..], '\'', true));
            }
            (QueryToken::Word, end)
        }
        c => (QueryToken::Other, c.len_utf8()),
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the length of a comment; PostgreSQL's comments nest.
fn comment(text: &str, nests: bool) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") && (nests || depth == 0) {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Returns the length of a quoted text including its quotes. A doubled quote represents one; here
/// it yields two tokens.
fn quoted(text: &str, end: char, escapes: bool) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' && escapes {
            escaped = true;
        } else if c == end {
            return at + c.len_utf8();
        }
    }
    text.len()
}

/// Returns the length of a `$tag$`-quoted text, if it is one.
fn dollars(text: &str) -> Option<usize> {
    let tag = &text[..text[1..].find(|c| !is_of_word(c))? + 1];
    text[tag.len()..].starts_with('$').then_some(())?;
    let tag = &text[..=tag.len()];
    Some(
        text[tag.len()..]
            .find(tag)
            .map_or(text.len(), |end| end + 2 * tag.len()),
    )
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
