//! SQL text as tokens: where strings, quoted names and comments begin and end, as each database
//! reads them. Pure.
//!
//! The one lexer of this crate: for a source's query, for the statements of a sink, and for what
//! SQLite is not to run. It knows no grammar, and takes any text: what a server would refuse becomes
//! some token or other.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::SqlSyntax;
use crate::url::DatabaseKind;

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SqlTokenKind {
    /// Blanks; also a byte order mark.
    Space,
    /// A comment without its line end, or with `*/`; also an optimizer hint, `/*+ … */`.
    Comment,
    /// `/*!` or `/*M!`: MariaDB and MySQL execute what follows, up to [`Self::CodeEnd`].
    CodeBegin,
    /// The `*/` of such code.
    CodeEnd,
    /// A keyword, name or number.
    Word,
    /// A name in backquotes or brackets.
    Name,
    /// A literal in `'`, PostgreSQL's `E'…'` and `$tag$…$tag$` among them.
    Text,
    /// Something in `"`: a name, or a literal of MariaDB and MySQL.
    DoubleQuoted,
    /// A parameter of SQLite: `$name`, `@name`, `:name` or `#name`.
    Variable,
    /// Any other character.
    Symbol,
}

/// A token of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SqlToken<'a> {
    pub kind: SqlTokenKind,
    /// The token with its quotes.
    pub text: &'a str,
    /// Bytes before it.
    pub at: usize,
    /// False if the text ends inside the token.
    pub is_closed: bool,
}

impl SqlToken<'_> {
    /// True for blanks and comments, which mean nothing to the server.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self.kind, SqlTokenKind::Space | SqlTokenKind::Comment)
    }

    /// True for a keyword or an unquoted name that is one of these words, whatever its case.
    pub(crate) fn is_word(&self, words: &[&str]) -> bool {
        self.kind == SqlTokenKind::Word && is_one_of(self.text, words)
    }

    /// Returns what opens a comment, a literal or a quoted name: `/*`, a quote, `$tag$`.
    pub(crate) fn opener(&self) -> &str {
        let length = match self.kind {
            SqlTokenKind::Comment | SqlTokenKind::CodeBegin => 2,
            SqlTokenKind::Text if self.text.starts_with('$') => {
                self.text[1..].find('$').map_or(1, |end| end + 2)
            }
            SqlTokenKind::Text if !self.text.starts_with('\'') => return &self.text[1..2],
            _ => 1,
        };
        self.text.get(..length).unwrap_or(self.text)
    }
}

/// True if `text` is one of these words, whatever its case.
pub(crate) fn is_one_of(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// True for characters of a word that may also begin one.
pub(crate) fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Reads the tokens of a text one by one.
#[derive(Clone, Debug)]
pub(crate) struct SqlLexer<'a> {
    text: &'a str,
    syntax: &'static SqlSyntax,
    at: usize,
    /// Between `/*!` and `*/`.
    in_code: bool,
}

impl<'a> SqlLexer<'a> {
    /// Starts at the beginning of the text.
    pub(crate) fn new(text: &'a str, database: DatabaseKind) -> Self {
        Self {
            text,
            syntax: &super::of(database).capabilities().syntax,
            at: 0,
            in_code: false,
        }
    }

    /// Returns the bytes that were read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Returns the text that was not read yet.
    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Passes over that many bytes, which are no SQL.
    pub(crate) fn pass_over(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Returns the first token of `rest`, which begins with `c`: its kind, its length in bytes, and
    /// whether it is closed.
    fn read(&mut self, rest: &str, c: char) -> (SqlTokenKind, usize, bool) {
        let syntax = self.syntax;
        if c.is_whitespace() || c == '\u{feff}' {
            return (SqlTokenKind::Space, c.len_utf8(), true);
        }
        if self.is_line_comment(rest) {
            let length = rest.find('\n').unwrap_or(rest.len());
            return (SqlTokenKind::Comment, length, true);
        }
        if rest.starts_with("/*") {
            return self.block_comment(rest);
        }
        if self.in_code && rest.starts_with("*/") {
            self.in_code = false;
            return (SqlTokenKind::CodeEnd, 2, true);
        }
        if syntax.tcl_variables
            && let Some(length) = tcl_variable(rest)
        {
            return (SqlTokenKind::Variable, length, true);
        }
        match c {
            '\'' => quoted(SqlTokenKind::Text, rest, syntax.backslash_escapes),
            '"' => quoted(SqlTokenKind::DoubleQuoted, rest, syntax.backslash_escapes),
            '`' if syntax.backtick_names => quoted(SqlTokenKind::Name, rest, false),
            '[' if syntax.bracket_names => bracketed(rest),
            '$' if syntax.dollar_quotes => {
                dollar_quoted(rest).unwrap_or((SqlTokenKind::Symbol, 1, true))
            }
            c if is_of_word(c) || c == '$' => {
                let is_end = |c: char| !is_of_word(c) && c != '$';
                let length = rest.find(is_end).unwrap_or(rest.len());
                let (word, behind) = rest.split_at(length);
                if syntax.escape_strings
                    && word.eq_ignore_ascii_case("e")
                    && behind.starts_with('\'')
                {
                    let (kind, quoted, is_closed) = quoted(SqlTokenKind::Text, behind, true);
                    return (kind, length + quoted, is_closed);
                }
                (SqlTokenKind::Word, length, true)
            }
            c => (SqlTokenKind::Symbol, c.len_utf8(), true),
        }
    }

    /// True if a comment begins that ends with its line.
    fn is_line_comment(&self, rest: &str) -> bool {
        if self.syntax.hash_comments && rest.starts_with('#') {
            return true;
        }
        let is_blank = |c: char| c.is_whitespace() || c.is_control();
        let behind = rest.strip_prefix("--");
        behind.is_some_and(|behind| {
            !self.syntax.dashes_need_blank || behind.chars().next().is_none_or(is_blank)
        })
    }

    /// Reads a comment, or the beginning of code in one.
    fn block_comment(&mut self, rest: &str) -> (SqlTokenKind, usize, bool) {
        if self.syntax.executable_comments {
            for begin in ["/*!", "/*M!"] {
                if rest.starts_with(begin) {
                    self.in_code = true;
                    return (SqlTokenKind::CodeBegin, begin.len(), true);
                }
            }
        }
        let nests = self.syntax.nested_comments;
        let mut depth = 1_usize;
        let mut at = 2;
        while depth > 0 {
            let inside = &rest[at..];
            let Some(end) = inside.find("*/") else {
                return (SqlTokenKind::Comment, rest.len(), false);
            };
            match inside[..end].find("/*").filter(|_| nests) {
                Some(begin) => {
                    depth += 1;
                    at += begin + 2;
                }
                None => {
                    depth -= 1;
                    at += end + 2;
                }
            }
        }
        (SqlTokenKind::Comment, at, true)
    }
}

impl<'a> Iterator for SqlLexer<'a> {
    type Item = SqlToken<'a>;

    fn next(&mut self) -> Option<SqlToken<'a>> {
        let at = self.at;
        let rest = self.rest();
        let (kind, length, is_closed) = self.read(rest, rest.chars().next()?);
        self.at += length;
        Some(SqlToken {
            kind,
            text: &rest[..length],
            at,
            is_closed,
        })
    }
}

/// Reads a quoted text; a doubled quote represents one.
fn quoted(kind: SqlTokenKind, rest: &str, backslash_escapes: bool) -> (SqlTokenKind, usize, bool) {
    let mut chars = rest.chars();
    let quote = chars.next();
    while let Some(c) = chars.next() {
        if c == '\\' && backslash_escapes {
            chars.next();
        } else if Some(c) == quote {
            let behind = chars.as_str();
            if chars.next() != quote {
                return (kind, rest.len() - behind.len(), true);
            }
        }
    }
    (kind, rest.len(), false)
}

/// Reads a name in SQLite's brackets, which have no escapes.
fn bracketed(rest: &str) -> (SqlTokenKind, usize, bool) {
    match rest.find(']') {
        Some(end) => (SqlTokenKind::Name, end + 1, true),
        None => (SqlTokenKind::Name, rest.len(), false),
    }
}

/// Returns the length of a parameter of SQLite. Its name may contain `::` and end with anything in
/// parentheses, quotes and semicolons included: `$a(';)`. Source: `sqlite3GetToken`.
fn tcl_variable(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let is_of_name = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$') || c >= 0x80;
    matches!(bytes.first()?, b'$' | b'@' | b':' | b'#').then_some(())?;
    let mut has_name = false;
    let mut at = 1;
    while let Some(&c) = bytes.get(at) {
        if is_of_name(c) {
            has_name = true;
        } else if c == b'(' && has_name {
            let is_end = |c: &u8| *c == b')' || matches!(c, b'\t'..=b'\r' | b' ');
            let end = bytes[at..].iter().position(is_end);
            at = end.map_or(bytes.len(), |end| at + end);
            at += usize::from(bytes.get(at) == Some(&b')'));
            break;
        } else if c == b':' && bytes.get(at + 1) == Some(&b':') {
            at += 1;
        } else {
            break;
        }
        at += 1;
    }
    has_name.then_some(at)
}

/// Reads a `$tag$…$tag$` text, if it is one.
fn dollar_quoted(rest: &str) -> Option<(SqlTokenKind, usize, bool)> {
    let end = rest[1..].find(|c: char| !is_of_word(c))? + 1;
    rest[end..].starts_with('$').then_some(())?;
    let (tag, inside) = rest.split_at(end + 1);
    Some(match inside.find(tag) {
        Some(end) => (SqlTokenKind::Text, end + 2 * tag.len(), true),
        None => (SqlTokenKind::Text, rest.len(), false),
    })
}

#[cfg(test)]
mod tests {
    use super::{SqlLexer, SqlTokenKind};
    use crate::url::DatabaseKind::{self, MySql, Postgres, Sqlite};

    /// Returns the tokens but blanks, separated by `|`; those that are not closed end with `…`.
    fn shown(text: &str, database: DatabaseKind) -> String {
        let tokens: Vec<_> = SqlLexer::new(text, database).collect();
        let joined: String = tokens.iter().map(|token| token.text).collect();
        assert_eq!(joined, text, "nothing is lost");
        let shown = tokens
            .iter()
            .filter(|token| token.kind != SqlTokenKind::Space)
            .map(|token| format!("{}{}", token.text, if token.is_closed { "" } else { "…" }));
        shown.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn quotes_and_comments_end_where_each_database_ends_them() {
        for (database, text, want) in [
            (MySql, r"a='it''s\'',b", r"a|=|'it''s\''|,|b"),
            (Postgres, r"a='\',b", r"a|=|'\'|,|b"),
            (Postgres, r"E'\'' e'\\' type'\'", r"E'\''|e'\\'|type|'\'"),
            (Postgres, "$x$;$$'$x$ $1 a$b$", "$x$;$$'$x$|$|1|a$b$"),
            (MySql, "$a `b``;` \"c\\\"\"", "$a|`b``;`|\"c\\\"\""),
            (Sqlite, "[a;] ['] \"\\\"", "[a;]|[']|\"\\\""),
            (Postgres, "a[1:2]::b", "a|[|1|:|2|]|:|:|b"),
            (MySql, "1--1 -- x\n# y\n2", "1|-|-|1|-- x|# y|2"),
            (Postgres, "1--1\n#2", "1|--1|#|2"),
            (Postgres, "/* a /* b */ c */ d", "/* a /* b */ c */|d"),
            (MySql, "/* a /* b */ c */", "/* a /* b */|c|*|/"),
            (
                MySql,
                "/*! a '*/' /* b */ */ 2*/",
                "/*!|a|'*/'|/* b */|*/|2|*|/",
            ),
            (MySql, "/*M!100 a*/ /*+ b */", "/*M!|100|a|*/|/*+ b */"),
            (Postgres, "/*! a */", "/*! a */"),
            (Sqlite, "/*/ a", "/*/ a…"),
            (Sqlite, "$x(';)';@a::b('", "$x(';)|';@a::b('"),
            (Sqlite, "@a::b(';) @c('", "@a::b(';)|@c('"),
            (Sqlite, ":a #b(c d)$(e)", ":a|#b(c|d|)|$|(|e|)"),
            (MySql, "'a''", "'a''…"),
            (Sqlite, "[a", "[a…"),
            (Postgres, "$a$ b", "$a$ b…"),
            (Postgres, "größe_1.a", "größe_1|.|a"),
        ] {
            assert_eq!(shown(text, database), want, "{database:?} {text}");
        }
    }

    #[test]
    fn a_token_without_an_end_says_what_it_began_with() {
        for (database, text, want) in [
            (MySql, "'a", "'"),
            (MySql, "\"a", "\""),
            (MySql, "/* a", "/*"),
            (Sqlite, "[a", "["),
            (Postgres, "e'a", "'"),
            (Postgres, "$x$ a", "$x$"),
        ] {
            let token = SqlLexer::new(text, database).next().unwrap();
            assert_eq!((token.opener(), token.is_closed), (want, false), "{text}");
        }
    }
}
