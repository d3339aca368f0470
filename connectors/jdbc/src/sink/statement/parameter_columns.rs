//! Finds the column that each parameter of a statement is written to or compared with, as far as
//! the statement's text shows. Pure.
//!
//! A parameter that is a column's whole new value, or is compared with a column, gets that
//! column's type, also as an argument of a function that returns one of its arguments. Parameters
//! inside other expressions, and statements over several tables, are not resolved.

#![expect(clippy::indexing_slicing, reason = "each loop ends at the first token")]

use super::tokens::{StatementToken, tokens};
use crate::sink::config::template::StatementTemplate;
use crate::url::DatabaseKind;

/// The column of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ParameterColumn {
    /// The column of that name.
    Named(String),
    /// The table's n-th column.
    Nth(usize),
}

/// Words before the first column or value.
const BEFORE_VALUES: [&str; 5] = ["SET", "WHERE", "VALUES", "VALUE", "SELECT"];

/// Words of a statement over several tables, or with rows from elsewhere.
const OF_SEVERAL_TABLES: [&str; 5] = ["JOIN", "STRAIGHT_JOIN", "USING", "WITH", "MERGE"];

/// Words before a comparison or an assignment.
const BEFORE_COLUMN: [&str; 6] = ["SET", "WHERE", "AND", "OR", "UPDATE", "NOT"];

/// Words after a comparison or an assignment.
const AFTER_PARAMETER: [&str; 8] = [
    "AND",
    "OR",
    "WHERE",
    "LIMIT",
    "ORDER",
    "RETURNING",
    "ON",
    "AS",
];

/// Functions whose result is one of their arguments, whatever the others are. NULLIF and IF also
/// take values that are never written, such as a word for NULL.
const RETURN_AN_ARGUMENT: [&str; 5] = ["COALESCE", "IFNULL", "NVL", "GREATEST", "LEAST"];

/// Returns the column of each parameter of a statement that writes one table.
pub(super) fn parameter_columns(
    template: &StatementTemplate,
    database: DatabaseKind,
) -> Vec<Option<ParameterColumn>> {
    let mut found = vec![None; template.params().count()];
    let Some(tokens) = tokens(template, database) else {
        return found;
    };
    if tokens.iter().any(|token| token.is_word(&OF_SEVERAL_TABLES)) {
        return found;
    }
    let values = tokens
        .iter()
        .position(|token| token.is_word(&BEFORE_VALUES));
    let (head, rest) = tokens.split_at(values.unwrap_or(tokens.len()));
    let verb = tokens.first();
    if verb.is_some_and(|verb| verb.is_word(&["INSERT", "REPLACE"])) {
        inserted(head, rest, &mut found);
    } else if head.contains(&StatementToken::Mark(',')) {
        return found;
    }
    compared(&tokens, &mut found);
    found
}

/// Resolves the values of `INSERT INTO t (a, b) VALUES (:a, :b), …`; `head` ends before VALUES.
fn inserted(
    head: &[StatementToken<'_>],
    rest: &[StatementToken<'_>],
    found: &mut [Option<ParameterColumn>],
) {
    let Some((StatementToken::Word(word), _)) = rest.split_first() else {
        return;
    };
    if !word.to_ascii_uppercase().starts_with("VALUE") {
        return;
    }
    let names = head
        .iter()
        .skip_while(|token| **token != StatementToken::Mark('('))
        .filter_map(StatementToken::name);
    let names: Vec<&str> = names.collect();
    let mut depth = 0;
    let mut column = 0;
    for (at, token) in rest.iter().enumerate().skip(1) {
        match token {
            StatementToken::Mark('(') => {
                if depth == 0 {
                    column = 0;
                }
                depth += 1;
            }
            StatementToken::Mark(')') => depth -= 1,
            StatementToken::Mark(',') if depth == 1 => column += 1,
            // ON DUPLICATE KEY UPDATE, ON CONFLICT, RETURNING
            StatementToken::Word(_) if depth == 0 => return,
            StatementToken::Param(n) => {
                let whole = result_of(rest, at);
                let before = whole.start.checked_sub(1).map(|before| &rest[before]);
                let behind = rest.get(whole.end);
                // the whole value, not a part of an expression
                if depth != 1 + whole.depth
                    || !before.is_some_and(|token| token.is_mark(&['(', ',']))
                    || !behind.is_some_and(|token| token.is_mark(&[')', ',']))
                {
                    continue;
                }
                let Some(parameter) = found.get_mut(*n) else {
                    continue;
                };
                *parameter = if names.is_empty() {
                    Some(ParameterColumn::Nth(column))
                } else {
                    let name = names.get(column);
                    name.map(|name| ParameterColumn::Named((*name).to_owned()))
                };
            }
            _ => {}
        }
    }
}

/// Resolves `a = :a`, `t.a < :a`, `a IN (:a, :b)`, except in subqueries.
fn compared(tokens: &[StatementToken<'_>], found: &mut [Option<ParameterColumn>]) {
    // for each open parenthesis: whether it is in a subquery
    let mut in_subquery: Vec<bool> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let is_within = in_subquery.last() == Some(&true);
        match token {
            StatementToken::Mark('(') => {
                let next = tokens.get(at + 1);
                let begins = next.is_some_and(|token| token.is_word(&["SELECT", "WITH"]));
                in_subquery.push(begins || is_within);
            }
            StatementToken::Mark(')') => {
                in_subquery.pop();
            }
            StatementToken::Param(n) if !is_within => {
                if let (Some(name), Some(parameter)) =
                    (compared_column(tokens, at), found.get_mut(*n))
                {
                    *parameter = Some(ParameterColumn::Named(name.to_owned()));
                }
            }
            _ => {}
        }
    }
}

/// Returns the column that the parameter at `at` is compared with or assigned to, if the comparison
/// has nothing else on either side.
fn compared_column<'a>(tokens: &'a [StatementToken<'_>], at: usize) -> Option<&'a str> {
    let whole = result_of(tokens, at);
    let last = operator_before(tokens, whole.start)?.checked_sub(1)?;
    let name = tokens[last].name()?;
    let mut first = last;
    while first >= 2 && tokens[first - 1].is_mark(&['.']) {
        first -= 2;
    }
    let before = &tokens[first.checked_sub(1)?];
    let begins = before.is_word(&BEFORE_COLUMN) || before.is_mark(&[',', '(']);
    let behind = tokens.get(whole.end);
    let ends =
        behind.is_none_or(|token| token.is_word(&AFTER_PARAMETER) || token.is_mark(&[',', ')']));
    (begins && ends).then_some(name)
}

/// The tokens of an expression whose value is a parameter's or another one's like it.
struct ResultExpression {
    start: usize,
    /// The first token after it.
    end: usize,
    /// Number of functions around the parameter.
    depth: usize,
}

/// Returns the largest expression around the parameter at `at` that consists of functions that
/// return an argument.
fn result_of(tokens: &[StatementToken<'_>], at: usize) -> ResultExpression {
    let mut found = ResultExpression {
        start: at,
        end: at + 1,
        depth: 0,
    };
    while let Some((start, end)) = function_around(tokens, &found) {
        found = ResultExpression {
            start,
            end,
            depth: found.depth + 1,
        };
    }
    found
}

/// Returns the tokens of the function that an expression is a whole argument of, if it returns an
/// argument.
fn function_around(tokens: &[StatementToken<'_>], of: &ResultExpression) -> Option<(usize, usize)> {
    let (before, behind) = (of.start.checked_sub(1)?, of.end);
    if !tokens[before].is_mark(&['(', ',']) || !tokens.get(behind)?.is_mark(&[')', ',']) {
        return None;
    }
    let depth = |depth: usize, token: &StatementToken<'_>, opening, closing| match token {
        StatementToken::Mark(mark) if *mark == opening => depth + 1,
        StatementToken::Mark(mark) if *mark == closing => depth.saturating_sub(1),
        _ => depth,
    };
    let mut open = 1;
    let opening = (0..=before).rev().find(|at| {
        open = depth(open, &tokens[*at], ')', '(');
        open == 0
    })?;
    let mut open = 1;
    let closing = (behind..tokens.len()).find(|at| {
        open = depth(open, &tokens[*at], '(', ')');
        open == 0
    })?;
    let name = opening.checked_sub(1)?;
    tokens[name]
        .is_word(&RETURN_AN_ARGUMENT)
        .then_some((name, closing + 1))
}

/// Returns the first token of the operator before the parameter at `at`: a comparison, or `IN` whose
/// list the parameter is in.
fn operator_before(tokens: &[StatementToken<'_>], at: usize) -> Option<usize> {
    let mut first = at;
    while first > 0 && tokens[first - 1].is_mark(&['=', '<', '>', '!']) {
        first -= 1;
    }
    if first < at {
        return Some(first);
    }
    while first > 0 && (tokens[first - 1].is_mark(&[',']) || is_item(&tokens[first - 1])) {
        first -= 1;
    }
    let operator = first.checked_sub(2)?;
    if !tokens[first - 1].is_mark(&['(']) || !tokens[operator].is_word(&["IN"]) {
        return None;
    }
    let negated = operator
        .checked_sub(1)
        .filter(|before| tokens[*before].is_word(&["NOT"]));
    Some(negated.unwrap_or(operator))
}

/// True for a parameter, a literal or a number.
fn is_item(token: &StatementToken<'_>) -> bool {
    match token {
        StatementToken::Param(_) | StatementToken::Value => true,
        StatementToken::Word(word) => word.starts_with(|c: char| c.is_ascii_digit()),
        StatementToken::Name(_) | StatementToken::Mark(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{ParameterColumn, parameter_columns};
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
            (
                "INSERT INTO t (a, b) VALUES (COALESCE(:a, 1), IFNULL(GREATEST(:b, b), :c + 1))",
                "a|b|-",
            ),
            ("INSERT INTO t VALUES (f(1, 2), LEAST(:a, :b))", "1|1"),
            (
                "UPDATE t SET a = COALESCE(:a, a), b = COALESCE(f(:b), b), c = NULLIF(:c, 'none') WHERE id = IFNULL(:d, 1)",
                "a|-|-|id",
            ),
            (
                "UPDATE t SET a = COALESCE(:a, a) + 1, b = 1 - COALESCE(:b, b)",
                "-|-",
            ),
            ("INSERT INTO t (a) VALUES (f(COALESCE(:a, 1)))", "-"),
            ("UPDATE t JOIN u ON t.id = u.id SET t.a = :a", "-"),
            ("UPDATE t, u SET t.a = :a", "-"),
            ("CALL p(:a)", "-"),
            ("DELETE FROM t WHERE x NOT IN ('a''b', :x)", "x"),
            ("DELETE FROM t WHERE x NOT IN (-1, :x)", "-"),
        ] {
            for database in [DatabaseKind::MySql, DatabaseKind::Sqlite] {
                let templates = parse(sql, database).unwrap();
                let shown = |column: &Option<ParameterColumn>| match column {
                    Some(ParameterColumn::Named(name)) => name.clone(),
                    Some(ParameterColumn::Nth(n)) => n.to_string(),
                    None => "-".to_owned(),
                };
                assert_eq!(
                    parameter_columns(&templates[0], database)
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
