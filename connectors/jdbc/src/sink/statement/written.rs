//! Finds the tables that a statement of MariaDB or MySQL writes, as far as its text shows. Pure.
//!
//! Writes by procedures, functions, triggers and views are not found, and a statement that cannot
//! be parsed has no tables.
//!
//! The case of users: `UPDATE counters SET n = n + :n …` where the table is MyISAM. What such a
//! statement has done is not rolled back with its transaction, so a batch that is retried counts
//! twice. The tables' engines have to be asked for by name, and only the statement has the names.
//! Besides, a parameter that goes to a column is bound by that column's type, for which the table
//! must be known.

use super::tokens::{StatementToken, tokens};
use crate::ident::TableId;
use crate::sink::config::template::StatementTemplate;
use crate::url::DatabaseKind;

/// A table that a statement writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WrittenTable {
    /// The name as the statement has it.
    pub table: TableId,
    /// Columns that the statement sets without naming their table; the table is written if it has
    /// one of them. Empty: it is written for certain.
    pub if_it_has: Vec<String>,
}

/// Returns the tables that the statement writes.
pub(super) fn written(template: &StatementTemplate, database: DatabaseKind) -> Vec<WrittenTable> {
    let tokens = tokens(template, database).unwrap_or_default();
    TokenReader { tokens: &tokens }
        .statement()
        .unwrap_or_default()
}

/// A table that a statement names, with its alias.
struct TableReference {
    parts: Vec<String>,
    alias: Option<String>,
}

impl TableReference {
    fn is_called(&self, name: &str) -> bool {
        let own = self
            .alias
            .as_deref()
            .or(self.parts.last().map(String::as_str));
        own.is_some_and(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Words that end the tables of a statement.
const AFTER_TABLES: [&str; 5] = ["SET", "WHERE", "ORDER", "LIMIT", "RETURNING"];

/// More words after a table that are no alias of it.
const NO_ALIAS: [&str; 14] = [
    "JOIN",
    "INNER",
    "CROSS",
    "LEFT",
    "RIGHT",
    "NATURAL",
    "STRAIGHT_JOIN",
    "ON",
    "USING",
    "USE",
    "FORCE",
    "IGNORE",
    "PARTITION",
    "FOR",
];

struct TokenReader<'a> {
    tokens: &'a [StatementToken<'a>],
}

impl TokenReader<'_> {
    fn statement(&mut self) -> Option<Vec<WrittenTable>> {
        if self.eat(&["WITH"]) {
            while !self.tokens.is_empty() && !self.is_at(&["UPDATE", "DELETE"]) {
                self.skip();
            }
        }
        if self.eat(&["INSERT", "REPLACE"]) {
            while self.eat(&["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE"]) {}
            self.eat(&["INTO"]);
            return Some(vec![certain(&self.name()?)?]);
        }
        if self.eat(&["UPDATE"]) {
            while self.eat(&["LOW_PRIORITY", "IGNORE"]) {}
            let tables = self.references();
            self.eat(&["SET"]).then_some(())?;
            return self.assigned(&tables);
        }
        self.eat(&["DELETE"]).then_some(())?;
        while self.eat(&["LOW_PRIORITY", "QUICK", "IGNORE", "HISTORY"]) {}
        let from = self.eat(&["FROM"]);
        let targets = self.targets()?;
        let tables = match (from, self.eat(&["FROM", "USING"])) {
            (true, false) => Vec::new(),
            (_, true) => self.references(),
            (false, false) => return None,
        };
        targets
            .iter()
            .map(|target| resolved(target, &tables))
            .collect()
    }

    fn is_at(&self, words: &[&str]) -> bool {
        self.tokens
            .first()
            .is_some_and(|token| token.is_word(words))
    }

    fn is_mark(&self, mark: char) -> bool {
        self.tokens.first() == Some(&StatementToken::Mark(mark))
    }

    fn eat(&mut self, words: &[&str]) -> bool {
        let is_at = self.is_at(words);
        if is_at {
            self.next();
        }
        is_at
    }

    fn next(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    /// Skips one token, or everything in a pair of brackets.
    fn skip(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.tokens.first() {
                Some(StatementToken::Mark('(')) => depth += 1,
                Some(StatementToken::Mark(')')) => depth = depth.saturating_sub(1),
                None => return,
                _ => {}
            }
            self.next();
            if depth == 0 {
                return;
            }
        }
    }

    /// Reads `a` or `a.b`.
    fn name(&mut self) -> Option<Vec<String>> {
        let mut parts = Vec::new();
        loop {
            parts.push(self.tokens.first()?.name()?.to_owned());
            self.next();
            match self.tokens {
                [
                    StatementToken::Mark('.'),
                    StatementToken::Word(_) | StatementToken::Name(_),
                    ..,
                ] => self.next(),
                _ => return Some(parts),
            }
        }
    }

    /// Reads `a, b.*`: tables, or their aliases.
    fn targets(&mut self) -> Option<Vec<Vec<String>>> {
        let mut out = Vec::new();
        loop {
            out.push(self.name()?);
            while self.is_mark('.') || self.is_mark('*') {
                self.next();
            }
            if !self.is_mark(',') {
                return Some(out);
            }
            self.next();
        }
    }

    /// Reads tables separated by commas and joins; skips derived tables.
    fn references(&mut self) -> Vec<TableReference> {
        let (mut out, mut expected) = (Vec::new(), true);
        while !self.tokens.is_empty() && !self.is_at(&AFTER_TABLES) {
            if self.is_mark(',') || self.is_at(&["JOIN", "STRAIGHT_JOIN"]) {
                expected = true;
                self.next();
            } else if expected && self.is_mark('(') {
                let is_query = self
                    .tokens
                    .get(1)
                    .is_some_and(|token| token.is_word(&["SELECT", "WITH", "VALUES"]));
                if is_query {
                    self.skip();
                    expected = false;
                } else {
                    self.next();
                }
            } else if let (true, Some(parts)) = (expected, self.name()) {
                expected = false;
                if self.eat(&["PARTITION"]) {
                    self.skip();
                }
                let alias = self.alias();
                out.push(TableReference { parts, alias });
            } else {
                self.skip();
            }
        }
        out
    }

    /// Reads the alias of a table, with or without AS.
    fn alias(&mut self) -> Option<String> {
        let has_alias = self.eat(&["AS"]) || !self.is_at(&NO_ALIAS) && !self.is_at(&AFTER_TABLES);
        if !has_alias {
            return None;
        }
        self.name().and_then(|mut parts| parts.pop())
    }

    /// Returns the tables that `a = …, b.c = …` writes.
    fn assigned(&mut self, tables: &[TableReference]) -> Option<Vec<WrittenTable>> {
        if let [one] = tables {
            return Some(vec![certain(&one.parts)?]);
        }
        let (mut out, mut columns): (Vec<WrittenTable>, Vec<String>) = (Vec::new(), Vec::new());
        while !self.tokens.is_empty() && !self.is_at(&AFTER_TABLES) {
            let mut column = self.name()?;
            let name = column.pop()?;
            if column.is_empty() {
                columns.push(name);
            } else {
                out.push(resolved(&column, tables)?);
            }
            while !self.tokens.is_empty() && !self.is_mark(',') && !self.is_at(&AFTER_TABLES) {
                self.skip();
            }
            if self.is_mark(',') {
                self.next();
            }
        }
        if !columns.is_empty() {
            let maybe = |table: &TableReference| {
                Some(WrittenTable {
                    if_it_has: columns.clone(),
                    ..certain(&table.parts)?
                })
            };
            out.extend(tables.iter().filter_map(maybe));
        }
        Some(out)
    }
}

fn certain(parts: &[String]) -> Option<WrittenTable> {
    let table = match parts {
        [table] => TableId::bare(table),
        [database, table] => TableId::in_catalog(database, table),
        _ => return None,
    };
    Some(WrittenTable {
        table,
        if_it_has: Vec::new(),
    })
}

/// Returns the table of that name or alias.
fn resolved(name: &[String], tables: &[TableReference]) -> Option<WrittenTable> {
    let known = match name {
        [name] => tables.iter().find(|table| table.is_called(name)),
        _ => None,
    };
    certain(known.map_or(name, |table| &table.parts))
}

#[cfg(test)]
mod tests {
    use super::written;
    use crate::sink::config::template::parse;
    use crate::url::DatabaseKind;

    #[test]
    fn written_tables_are_distinguished_from_tables_that_are_read() {
        for (sql, want) in [
            (
                "UPDATE stock SET qty = qty - :qty WHERE product_id = :product_id",
                "stock",
            ),
            (
                "insert low_priority ignore into `a b`.`c``d` (x) select :x from e",
                "a b.c`d",
            ),
            (
                "INSERT t(a) VALUES (:a) ON DUPLICATE KEY UPDATE a = :a",
                "t",
            ),
            (
                "REPLACE INTO d.t SET a = 'UPDATE x', b = \"it\\\"s\"",
                "d.t",
            ),
            (
                "UPDATE LOW_PRIORITY a AS x, d.b y SET y.n = x.n, y.m = f(:m, 1) WHERE x.id = :id",
                "d.b, d.b",
            ),
            (
                "UPDATE a JOIN b ON a.id = b.id AND f(a.x, b.y) LEFT JOIN (SELECT 1 FROM c) z USING (id) SET n = 1",
                "a?n, b?n",
            ),
            ("UPDATE (a, b) SET a.n = b.n ORDER BY a.id", "a"),
            ("UPDATE a PARTITION (p0, p1) x SET x.n = 1", "a"),
            ("DELETE FROM t WHERE id IN (SELECT id FROM u)", "t"),
            (
                "DELETE QUICK x, b.* FROM a x INNER JOIN b WHERE x.id = b.id",
                "a, b",
            ),
            (
                "DELETE FROM x, d.b USING a AS x JOIN d.b ON x.id = b.id",
                "a, d.b",
            ),
            (
                "WITH w AS (SELECT 1 AS n FROM u) UPDATE t, w SET t.n = w.n",
                "t",
            ),
            ("SELECT f(:a)", ""),
            ("CALL p(:a)", ""),
            ("UPDATE /*+ NO_ICP(a) */ t SET n = 1", "t"),
            ("UPDATE /*! u */ t SET n = 1", ""),
        ] {
            let templates = parse(sql, DatabaseKind::MySql).unwrap();
            let shown = |w: &super::WrittenTable| {
                let table = w.table.parts().collect::<Vec<_>>().join(".");
                if w.if_it_has.is_empty() {
                    table
                } else {
                    format!("{table}?{}", w.if_it_has.join("+"))
                }
            };
            assert_eq!(
                written(&templates[0], DatabaseKind::MySql)
                    .iter()
                    .map(shown)
                    .collect::<Vec<_>>()
                    .join(", "),
                want,
                "{sql}"
            );
        }
    }
}
