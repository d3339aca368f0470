//! Parses SQL with named parameters into statements, and these into text and names. Pure.
//!
//! Colons in strings, quoted names and comments begin no parameter, nor do those of `::` casts, `:=`
//! and slices `[1:2]`. The server judges what a statement means.

#![expect(clippy::indexing_slicing, reason = "a split has at least one part")]

use crate::dialect::sql_lexer::{SqlLexer, SqlTokenKind, is_of_word};
use crate::dialect::{self, SqlSyntax};
use crate::url::DatabaseKind;

/// The part of a record that a parameter refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ParameterName {
    /// `:topic`
    Topic,
    /// `:partition`
    Partition,
    /// `:offset`
    Offset,
    /// `:timestamp`
    Timestamp,
    /// `:header.x`
    Header(String),
    /// `:key`, or a field of it (`:key.a.b`).
    Key(Vec<String>),
    /// `:value`, or a field of it.
    Value(Vec<String>),
    /// `:a`: a field of the value, or else of the key.
    Field(Vec<String>),
}

/// A part of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StatementPiece {
    /// SQL unchanged.
    Text(String),
    /// A parameter: its text without the colon, and what it refers to.
    Param(String, ParameterName),
}

/// One parsed statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StatementTemplate {
    pub pieces: Vec<StatementPiece>,
}

/// The words that a statement may begin with. None of them ends a transaction (as DDL, COMMIT, SET
/// and LOCK do), because the rows and their offset must be committed together.
const VERBS: [&str; 8] = [
    "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "WITH", "SELECT", "CALL",
];

impl StatementTemplate {
    /// Returns the parameters in order.
    pub(crate) fn params(&self) -> impl Iterator<Item = (&str, &ParameterName)> {
        self.pieces.iter().filter_map(|piece| match piece {
            StatementPiece::Text(_) => None,
            StatementPiece::Param(text, name) => Some((text.as_str(), name)),
        })
    }

    /// Returns the statement; `write` writes each parameter by its number, from 0.
    pub(crate) fn sql(&self, mut write: impl FnMut(usize, &mut String)) -> String {
        let (mut out, mut number) = (String::new(), 0);
        for piece in &self.pieces {
            match piece {
                StatementPiece::Text(text) => out.push_str(text),
                StatementPiece::Param(..) => {
                    write(number, &mut out);
                    number += 1;
                }
            }
        }
        out
    }

    /// Returns the first word in upper case.
    pub(crate) fn verb(&self) -> String {
        let Some(StatementPiece::Text(text)) = self.pieces.first() else {
            return String::new();
        };
        let word = text
            .split(|c: char| !c.is_ascii_alphabetic())
            .find(|w| !w.is_empty());
        word.unwrap_or_default().to_ascii_uppercase()
    }

    /// Returns the statement's beginning, for messages.
    pub(crate) fn shown(&self) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                StatementPiece::Text(text) => out.push_str(text),
                StatementPiece::Param(text, _) => {
                    out.push(':');
                    out.push_str(text);
                }
            }
        }
        let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
        match out.char_indices().nth(60) {
            Some((end, _)) => format!("{}…", &out[..end]),
            None => out,
        }
    }
}

/// Parses statements separated by `;`. Errors: what is wrong, and where.
pub(crate) fn parse(sql: &str, database: DatabaseKind) -> Result<Vec<StatementTemplate>, String> {
    let mut parser = TemplateParser {
        lexer: SqlLexer::new(sql, database),
        whole: sql,
        syntax: &dialect::of(database).capabilities().syntax,
        code_at: None,
        text: String::new(),
        template: StatementTemplate::default(),
        parsed: Vec::new(),
    };
    while !parser.lexer.rest().is_empty() {
        if parser.code_at.is_some() || !parser.parameter()? {
            parser.token()?;
        }
    }
    if let Some(at) = parser.code_at {
        return Err(parser.unclosed("/*", at));
    }
    parser.end()?;
    if parser.parsed.is_empty() {
        Err("there is no statement".to_owned())
    } else {
        Ok(parser.parsed)
    }
}

struct TemplateParser<'a> {
    lexer: SqlLexer<'a>,
    whole: &'a str,
    syntax: &'static SqlSyntax,
    /// The beginning of a comment whose content MariaDB and MySQL execute, within it. Nothing in it
    /// is a parameter, or ends the statement.
    code_at: Option<usize>,
    /// SQL since the last parameter, without comments.
    text: String,
    template: StatementTemplate,
    parsed: Vec<StatementTemplate>,
}

impl TemplateParser<'_> {
    /// Returns the text of a problem, with its position.
    fn wrong_at(&self, at: usize, what: &str) -> String {
        let before = &self.whole[..at];
        let line = before.matches('\n').count() + 1;
        let last_line = before.rsplit('\n').next().unwrap_or_default();
        let column = last_line.chars().count() + 1;
        format!("line {line}, column {column}: {what}")
    }

    fn wrong(&self, what: &str) -> String {
        self.wrong_at(self.lexer.at(), what)
    }

    fn unclosed(&self, opener: &str, at: usize) -> String {
        self.wrong_at(at, &format!("the {opener} that begins here is not closed"))
    }

    /// Ends a statement.
    fn end(&mut self) -> Result<(), String> {
        let text = std::mem::take(&mut self.text);
        if !text.trim().is_empty() {
            let text = text.trim_end().to_owned();
            self.template.pieces.push(StatementPiece::Text(text));
        }
        let mut template = std::mem::take(&mut self.template);
        if template.pieces.is_empty() {
            return Ok(());
        }
        if let Some(StatementPiece::Text(text)) = template.pieces.first_mut() {
            *text = text.trim_start().to_owned();
        }
        let verb = template.verb();
        if !VERBS.contains(&verb.as_str()) {
            return Err(self.wrong(&format!(
                "a statement may begin with {}, not with '{verb}': it runs in the transaction that \
                 also stores the offsets",
                VERBS.join(", ")
            )));
        }
        self.parsed.push(template);
        Ok(())
    }

    /// Reads a token that is no parameter.
    fn token(&mut self) -> Result<(), String> {
        let Some(token) = self.lexer.next() else {
            return Ok(());
        };
        if !token.is_closed {
            let opener = token.opener();
            let at = token.at + token.text.find(opener).unwrap_or_default();
            return Err(self.unclosed(opener, at));
        }
        match token.kind {
            SqlTokenKind::CodeBegin => self.code_at = Some(token.at),
            SqlTokenKind::CodeEnd => self.code_at = None,
            SqlTokenKind::Symbol if token.text == ";" && self.code_at.is_none() => {
                return self.end();
            }
            // comments are left out, but not hints
            SqlTokenKind::Comment if token.text.starts_with("/*+") => {}
            SqlTokenKind::Comment => {
                if token.text.starts_with("/*") {
                    self.text.push(' ');
                }
                return Ok(());
            }
            _ => {}
        }
        self.text.push_str(token.text);
        Ok(())
    }

    /// Reads a parameter, if one begins here.
    /// Errors: what is no parameter of ours, but one to the database.
    fn parameter(&mut self) -> Result<bool, String> {
        let rest = self.lexer.rest();
        let mut chars = rest.chars();
        let syntax = self.syntax;
        match (chars.next(), chars.next()) {
            (Some('$'), Some(d)) if syntax.dollar_quotes && d.is_ascii_digit() => {
                Err(self.wrong("parameters have names: write :name instead of the number"))
            }
            (Some('?'), _) if syntax.question_parameters => {
                Err(self.wrong("a ? has no name: write :name, or :{name} if the name is not a plain word"))
            }
            // a cast of PostgreSQL, or MySQL's assignment
            (Some(':'), Some(':' | '=')) => {
                self.text.push_str(&rest[..2]);
                self.lexer.pass_over(2);
                Ok(true)
            }
            (Some(':'), Some('{')) => self.braced().map(|()| true),
            (Some(':'), Some(c)) if c.is_alphabetic() || c == '_' => self.named().map(|()| true),
            (Some(':'), _) if !syntax.lone_colons => Err(self
                .wrong("a name is missing after the colon: a parameter is :name, :key.name, :header.name or :{name}")),
            _ => Ok(false),
        }
    }

    /// Reads `:name` or `:name.name`.
    fn named(&mut self) -> Result<(), String> {
        let rest = self.lexer.rest();
        let mut end = 1;
        loop {
            let word = rest[end..].find(|c: char| !is_of_word(c));
            end = word.map_or(rest.len(), |length| end + length);
            let member = rest[end..].strip_prefix('.');
            if !member.is_some_and(|member| member.starts_with(is_of_word)) {
                break;
            }
            end += 1;
        }
        let text = rest[1..end].to_owned();
        let parts = text.split('.').map(str::to_owned).collect();
        self.param(text, parts, end)
    }

    /// Reads `:{any name}` or `:{header.any name}`: everything after `key.`, `value.` or `header.`
    /// is one name.
    fn braced(&mut self) -> Result<(), String> {
        let rest = self.lexer.rest();
        let Some(end) = rest.find('}') else {
            return Err(self.wrong("the :{ that begins here has no }"));
        };
        let text = rest[2..end].trim().to_owned();
        let parts = match text.split_once('.') {
            Some((part @ ("key" | "value" | "header"), name)) => {
                vec![part.to_owned(), name.to_owned()]
            }
            _ => vec![text.clone()],
        };
        self.param(text, parts, end + 1)
    }

    /// Appends a parameter of `length` bytes after the SQL read so far.
    fn param(&mut self, text: String, mut parts: Vec<String>, length: usize) -> Result<(), String> {
        if parts.iter().any(|part| part.trim().is_empty()) {
            return Err(self.wrong("the parameter's name is empty"));
        }
        let alone = parts.len() == 1;
        let name = match parts[0].as_str() {
            "topic" if alone => ParameterName::Topic,
            "partition" if alone => ParameterName::Partition,
            "offset" if alone => ParameterName::Offset,
            "timestamp" if alone => ParameterName::Timestamp,
            "header" if alone => {
                return Err(self.wrong("a header needs a name: write :header.name"));
            }
            "header" => ParameterName::Header(parts.split_off(1).join(".")),
            "key" => ParameterName::Key(parts.split_off(1)),
            "value" => ParameterName::Value(parts.split_off(1)),
            _ => ParameterName::Field(parts),
        };
        if self.template.pieces.is_empty() && self.text.trim().is_empty() {
            return Err(self.wrong("a statement cannot begin with a parameter"));
        }
        self.template
            .pieces
            .push(StatementPiece::Text(std::mem::take(&mut self.text)));
        self.template.pieces.push(StatementPiece::Param(text, name));
        self.lexer.pass_over(length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{ParameterName, StatementPiece, parse};
    use crate::url::DatabaseKind;

    /// Returns the statements with parameters shown as `<name>`.
    fn shown(sql: &str, database: DatabaseKind) -> Result<Vec<String>, String> {
        let piece = |piece: &StatementPiece| match piece {
            StatementPiece::Text(text) => text.clone(),
            StatementPiece::Param(text, _) => format!("<{text}>"),
        };
        parse(sql, database).map(|all| {
            all.iter()
                .map(|t| t.pieces.iter().map(piece).collect())
                .collect()
        })
    }

    #[test]
    fn only_what_is_a_parameter_is_one() {
        let (maria, postgres) = (DatabaseKind::MySql, DatabaseKind::Postgres);
        let sqlite = DatabaseKind::Sqlite;
        for (database, sql, want) in [
            (
                maria,
                "UPDATE stock SET qty = qty - :qty WHERE product_id = :product_id",
                vec!["UPDATE stock SET qty = qty - <qty> WHERE product_id = <product_id>"],
            ),
            (
                maria,
                "update a set b=':x', c=\"it\\\":y\", d=`:z` where e=:key",
                vec!["update a set b=':x', c=\"it\\\":y\", d=`:z` where e=<key>"],
            ),
            (
                maria,
                "UPDATE a SET b='\\':x', c='d'':y'",
                vec!["UPDATE a SET b='\\':x', c='d'':y'"],
            ),
            (
                postgres,
                "UPDATE a SET b='\\' , c=:x",
                vec!["UPDATE a SET b='\\' , c=<x>"],
            ),
            (
                postgres,
                "UPDATE a SET b=E'\\':x', c=type':y'",
                vec!["UPDATE a SET b=E'\\':x', c=type':y'"],
            ),
            (
                postgres,
                "UPDATE a SET b=:x::int, c=b[1:2], d=$t$:no;$t$, e=f ? 'g'",
                vec!["UPDATE a SET b=<x>::int, c=b[1:2], d=$t$:no;$t$, e=f ? 'g'"],
            ),
            (
                sqlite,
                "UPDATE [a;:b] SET ['] = :c; DELETE FROM ['t'] WHERE x = ':y'",
                vec![
                    "UPDATE [a;:b] SET ['] = <c>",
                    "DELETE FROM ['t'] WHERE x = ':y'",
                ],
            ),
            (maria, "SELECT @a:=:x", vec!["SELECT @a:=<x>"]),
            (
                maria,
                "-- what: it does\nINSERT /* :a ; */ INTO t # :b\n VALUES (:key.id,:header.x,:{value.odd name}) ; \n DELETE FROM u WHERE v=:a.b-1;",
                vec![
                    "INSERT   INTO t \n VALUES (<key.id>,<header.x>,<value.odd name>)",
                    "DELETE FROM u WHERE v=<a.b>-1",
                ],
            ),
            (
                maria,
                "UPDATE a SET b=1--1, c=:x",
                vec!["UPDATE a SET b=1--1, c=<x>"],
            ),
            (
                postgres,
                "UPDATE a SET b=1--1, c=:x",
                vec!["UPDATE a SET b=1"],
            ),
            (
                postgres,
                "UPDATE a /* b /* c */ :d */ SET e=:größe",
                vec!["UPDATE a   SET e=<größe>"],
            ),
            (
                maria,
                "UPDATE /*+ NO_ICP(a) */ a SET b=:c",
                vec!["UPDATE /*+ NO_ICP(a) */ a SET b=<c>"],
            ),
        ] {
            assert_eq!(
                shown(sql, database).as_deref(),
                Ok(want
                    .iter()
                    .map(|t| (*t).to_owned())
                    .collect::<Vec<_>>()
                    .as_slice()),
                "{sql}"
            );
        }
    }

    #[test]
    fn names_say_where_to_look() {
        let templates = parse(
            "SELECT :topic,:partition,:offset,:timestamp,:header.a.b,:key,:key.a.b,:value,:{value.a.b},:topic.a,:{a b}",
            DatabaseKind::MySql,
        )
        .unwrap();
        let own = |parts: &[&str]| parts.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        let names: Vec<_> = templates[0]
            .params()
            .map(|(_, name)| name.clone())
            .collect();
        assert_eq!(
            names,
            [
                ParameterName::Topic,
                ParameterName::Partition,
                ParameterName::Offset,
                ParameterName::Timestamp,
                ParameterName::Header("a.b".into()),
                ParameterName::Key(vec![]),
                ParameterName::Key(own(&["a", "b"])),
                ParameterName::Value(vec![]),
                ParameterName::Value(own(&["a.b"])),
                ParameterName::Field(own(&["topic", "a"])),
                ParameterName::Field(own(&["a b"])),
            ]
        );
    }

    #[test]
    fn errors_name_their_position() {
        let (maria, postgres) = (DatabaseKind::MySql, DatabaseKind::Postgres);
        let sqlite = DatabaseKind::Sqlite;
        for (database, sql, want) in [
            (maria, " ; -- nothing\n", "there is no statement"),
            (
                maria,
                "UPDATE a SET\n b=?",
                "line 2, column 4: a ? has no name",
            ),
            (
                postgres,
                "UPDATE a SET b=$1",
                "line 1, column 16: parameters have names",
            ),
            (
                maria,
                "UPDATE a SET b='x",
                "line 1, column 16: the ' that begins here is not closed",
            ),
            (
                postgres,
                "SELECT $x$a$y$",
                "the $x$ that begins here is not closed",
            ),
            (
                maria,
                "UPDATE a /* b",
                "the /* that begins here is not closed",
            ),
            (
                maria,
                "UPDATE a SET b=: c",
                "line 1, column 16: a name is missing after the colon",
            ),
            (maria, "UPDATE a SET b=:{c", "has no }"),
            (maria, "UPDATE a SET b=:{}", "the parameter's name is empty"),
            (maria, "UPDATE a SET b=:header", "write :header.name"),
            (
                maria,
                "UPDATE a SET b=1; COMMIT",
                "a statement may begin with INSERT, UPDATE,",
            ),
            (maria, "DROP TABLE a", "not with 'DROP'"),
            (
                sqlite,
                "UPDATE [a SET b=1",
                "the [ that begins here is not closed",
            ),
            // to SQLite the quotes within the brackets are part of the name
            (sqlite, "SELECT 1 AS [']; COMMIT; --']", "not with 'COMMIT'"),
            (
                sqlite,
                "SELECT 1 AS [']; PRAGMA hard_heap_limit=1; --']",
                "not with 'PRAGMA'",
            ),
            (maria, ":a", "a statement cannot begin with a parameter"),
        ] {
            let error = parse(sql, database).unwrap_err();
            assert!(error.contains(want), "{sql}: {error}");
        }
    }
}
