//! Finds the column that each parameter of a statement is written to or compared with, as far as
//! the statement's text shows. Pure.
//!
//! A parameter that is a column's whole new value, or is compared with a column, gets that
//! column's type. Parameters inside expressions, and statements over several tables, are not
//! resolved.

use super::written::{SqlToken, tokens};

use crate::sink::config::template::StatementTemplate;

/// The column of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterTarget {
    /// The column of that name.
    Named(String),
    /// The table's n-th column.
    Nth(usize),
}

/// Returns the column of each parameter of a statement that writes one table.
pub fn aims(template: &StatementTemplate) -> Vec<Option<ParameterTarget>> {
    let mut out = vec![None; template.params().count()];
    let Some(tokens) = tokens(template) else {
        return out;
    };
    let is = |token: &SqlToken, words: &[&str]| matches!(token, SqlToken::Word(w) if words.iter().any(|x| w.eq_ignore_ascii_case(x)));
    let head = tokens
        .iter()
        .position(|token| is(token, &["SET", "WHERE", "VALUES", "VALUE", "SELECT"]));
    let head = head.unwrap_or(tokens.len());
    // several tables, or rows from elsewhere
    let other = |token: &SqlToken| is(token, &["JOIN", "STRAIGHT_JOIN", "USING", "WITH", "MERGE"]);
    let inserts = tokens
        .first()
        .is_some_and(|token| is(token, &["INSERT", "REPLACE"]));
    if tokens.iter().any(other) || !inserts && tokens[..head].contains(&SqlToken::Mark(',')) {
        return out;
    }
    if inserts {
        rows(&tokens, head, &mut out);
    }
    compared(&tokens, &mut out);
    out
}

/// Resolves the values of `INSERT INTO t (a, b) VALUES (:a, :b), …`.
fn rows(tokens: &[SqlToken], head: usize, out: &mut [Option<ParameterTarget>]) {
    let is_values = matches!(tokens.get(head), Some(SqlToken::Word(word)) if word.to_ascii_uppercase().starts_with("VALUE"));
    if !is_values {
        return;
    }
    let names: Vec<_> = match tokens[..head]
        .iter()
        .position(|token| *token == SqlToken::Mark('('))
    {
        Some(open) => tokens[open..head].iter().filter_map(name_of).collect(),
        None => Vec::new(),
    };
    let (mut depth, mut column) = (0, 0);
    for (at, token) in tokens.iter().enumerate().skip(head + 1) {
        match token {
            SqlToken::Mark('(') => {
                column = if depth == 0 { 0 } else { column };
                depth += 1;
            }
            SqlToken::Mark(')') => depth -= 1,
            SqlToken::Mark(',') if depth == 1 => column += 1,
            SqlToken::Word(_) if depth == 0 => return,
            SqlToken::Param(n) if depth == 1 => {
                let alone = matches!(tokens[at - 1], SqlToken::Mark('(' | ','))
                    && matches!(tokens.get(at + 1), Some(SqlToken::Mark(')' | ',')));
                let named = names
                    .get(column)
                    .map(|name| ParameterTarget::Named((*name).to_owned()));
                let aim = if names.is_empty() {
                    Some(ParameterTarget::Nth(column))
                } else {
                    named
                };
                if let (true, Some(place)) = (alone, out.get_mut(*n)) {
                    *place = aim;
                }
            }
            _ => {}
        }
    }
}

/// Resolves `a = :a`, `t.a < :a`, `a IN (:a, :b)`, except in subqueries.
fn compared(tokens: &[SqlToken], out: &mut [Option<ParameterTarget>]) {
    const BEFORE: [&str; 6] = ["SET", "WHERE", "AND", "OR", "UPDATE", "NOT"];
    const BEHIND: [&str; 8] = [
        "AND",
        "OR",
        "WHERE",
        "LIMIT",
        "ORDER",
        "RETURNING",
        "ON",
        "AS",
    ];
    let word = |at: usize, words: &[&str]| matches!(tokens.get(at), Some(SqlToken::Word(w)) if words.iter().any(|x| w.eq_ignore_ascii_case(x)));
    let mark = |at: usize, marks: &[char]| matches!(tokens.get(at), Some(SqlToken::Mark(c)) if marks.contains(c));
    let mut within: Vec<bool> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            SqlToken::Mark('(') => {
                within.push(word(at + 1, &["SELECT", "WITH"]) || within.last() == Some(&true));
            }
            SqlToken::Mark(')') => drop(within.pop()),
            SqlToken::Param(n) if within.last() != Some(&true) => {
                let mut left = at;
                while left > 0 && mark(left - 1, &['=', '<', '>', '!']) {
                    left -= 1;
                }
                if left == at {
                    // in a list after IN
                    while left > 0 && (mark(left - 1, &[',']) || is_item(&tokens[left - 1])) {
                        left -= 1;
                    }
                    if left < 2 || !mark(left - 1, &['(']) || !word(left - 2, &["IN"]) {
                        continue;
                    }
                    left -= 2;
                    left -= usize::from(left > 0 && word(left - 1, &["NOT"]));
                }
                let Some(name) = left.checked_sub(1).and_then(|at| name_of(&tokens[at])) else {
                    continue;
                };
                let mut first = left - 1;
                while first >= 2 && mark(first - 1, &['.']) {
                    first -= 2;
                }
                let starts =
                    first > 0 && (word(first - 1, &BEFORE) || mark(first - 1, &[',', '(']));
                let ends =
                    at + 1 == tokens.len() || word(at + 1, &BEHIND) || mark(at + 1, &[',', ')']);
                if let (true, Some(place)) = (starts && ends, out.get_mut(*n)) {
                    *place = Some(ParameterTarget::Named(name.to_owned()));
                }
            }
            _ => {}
        }
    }
}

/// True for a parameter, a literal or a number.
fn is_item(token: &SqlToken) -> bool {
    match token {
        SqlToken::Param(_) | SqlToken::Value => true,
        SqlToken::Word(word) => word.starts_with(|c: char| c.is_ascii_digit()),
        SqlToken::Name(_) | SqlToken::Mark(_) => false,
    }
}

fn name_of(token: &SqlToken) -> Option<&str> {
    match token {
        SqlToken::Word(name) | SqlToken::Name(name) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{ParameterTarget, aims};
    use crate::sink::config::template::parse;
    use crate::url::DatabaseKind;

    #[test]
    fn a_parameter_that_is_a_whole_value_belongs_to_its_column() {
        for (sql, want) in [
            (
                "INSERT INTO t (a, `b c`) VALUES (:a, :b), (f(:x), :y)",
                "a|b c|-|b c",
            ),
            ("INSERT INTO t VALUES (1, :a, :b + 1)", "1|-"),
            ("REPLACE INTO d.t SET a = :a, b = f(:b)", "a|-"),
            (
                "INSERT INTO t (a) VALUES (:a) ON DUPLICATE KEY UPDATE a = :a, n = n + :n",
                "a|a|-",
            ),
            (
                "INSERT INTO t (a) VALUES (:a) ON CONFLICT (a) DO UPDATE SET b = :b",
                "a|b",
            ),
            (
                "UPDATE t SET a = :a, b = b - :b WHERE t.id = :id AND n >= :n",
                "a|-|id|n",
            ),
            (
                "UPDATE t SET a = FROM_UNIXTIME(:a) WHERE f(id) = :id",
                "-|-",
            ),
            (
                "UPDATE t SET a = 1 WHERE id IN (:a, 2, :b) OR (c = :c)",
                "id|id|c",
            ),
            ("UPDATE t SET a = :a + 1 WHERE a + b = :b", "-|-"),
            (
                "DELETE FROM t WHERE id = :id AND x IN (SELECT y FROM u WHERE z = :z)",
                "id|-",
            ),
            ("UPDATE t JOIN u ON t.id = u.id SET t.a = :a", "-"),
            ("UPDATE t, u SET t.a = :a", "-"),
            ("CALL p(:a)", "-"),
        ] {
            for database in [DatabaseKind::MySql, DatabaseKind::Sqlite] {
                let templates = parse(sql, database).unwrap();
                let shown = |aim: &Option<ParameterTarget>| match aim {
                    Some(ParameterTarget::Named(name)) => name.clone(),
                    Some(ParameterTarget::Nth(n)) => n.to_string(),
                    None => "-".to_owned(),
                };
                assert_eq!(
                    aims(&templates[0])
                        .iter()
                        .map(shown)
                        .collect::<Vec<_>>()
                        .join("|"),
                    want,
                    "{sql}"
                );
            }
        }
    }
}
