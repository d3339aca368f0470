//! The tokens of a statement with its parameters among them. Pure.

use crate::dialect::sql_lexer::{SqlLexer, SqlToken, SqlTokenKind};
use crate::sink::config::template::{StatementPiece, StatementTemplate};
use crate::url::DatabaseKind;

/// A token of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StatementToken<'a> {
    Word(&'a str),
    /// A quoted name, without its quotes.
    Name(String),
    /// Any other character.
    Mark(char),
    /// A literal.
    Value,
    /// The parameter of that number.
    Param(usize),
}

impl StatementToken<'_> {
    /// True for one of these words, whatever its case.
    pub(super) fn is_word(&self, words: &[&str]) -> bool {
        matches!(self, Self::Word(word) if words.iter().any(|w| w.eq_ignore_ascii_case(word)))
    }

    /// True for one of these characters.
    pub(super) fn is_mark(&self, marks: &[char]) -> bool {
        matches!(self, Self::Mark(c) if marks.contains(c))
    }

    /// Returns the name of a column or table, or a keyword.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) => Some(name),
            Self::Name(name) => Some(name),
            _ => None,
        }
    }
}

/// Returns the tokens without blanks and comments; `None` if a comment holds code, which only some
/// server versions run.
pub(super) fn tokens(
    template: &StatementTemplate,
    database: DatabaseKind,
) -> Option<Vec<StatementToken<'_>>> {
    let mut found = Vec::new();
    let mut parameters = (0..).map(StatementToken::Param);
    for piece in &template.pieces {
        match piece {
            StatementPiece::Param(..) => found.extend(parameters.next()),
            StatementPiece::Text(text) => {
                for token in SqlLexer::new(text, database) {
                    found.extend(statement_token(token)?);
                }
            }
        }
    }
    Some(found)
}

/// Returns a token of a statement: the inner `None` for blanks and comments, the outer one for code
/// in a comment.
fn statement_token(token: SqlToken<'_>) -> Option<Option<StatementToken<'_>>> {
    Some(Some(match token.kind {
        SqlTokenKind::Space | SqlTokenKind::Comment => return Some(None),
        SqlTokenKind::CodeBegin | SqlTokenKind::CodeEnd => return None,
        SqlTokenKind::Word => StatementToken::Word(token.text),
        SqlTokenKind::Name => StatementToken::Name(unquoted(token.text)),
        // MariaDB and MySQL take it for a literal, unless sql_mode has ANSI_QUOTES
        SqlTokenKind::Text | SqlTokenKind::DoubleQuoted | SqlTokenKind::Variable => {
            StatementToken::Value
        }
        SqlTokenKind::Symbol => StatementToken::Mark(token.text.chars().next().unwrap_or_default()),
    }))
}

/// Returns a name without its quotes.
fn unquoted(name: &str) -> String {
    let inside = name
        .get(1..name.len().saturating_sub(1))
        .unwrap_or_default();
    if name.starts_with('`') {
        inside.replace("``", "`")
    } else {
        inside.to_owned()
    }
}
