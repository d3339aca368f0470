//! What a statement in the log does to tables. Only its first words and the names of tables are
//! read; texts such as CREATE USER hold secrets, so no part of one is ever shown. Pure.

/// A statement of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LoggedStatement {
    /// A transaction begins.
    Begin,
    /// A transaction ends: of tables that cannot roll back, or of a sequence.
    Commit,
    /// The transaction's rows are rolled back.
    Rollback,
    /// Two-phase commit.
    Xa,
    /// Tables are created, altered or renamed: what their rows look like may change.
    Defines(Vec<TableWords>),
    /// Tables are dropped, or created in the place of others.
    Drops(Vec<TableWords>),
    /// Rows go away without being logged: a table is truncated, or a partition dropped.
    Empties(Vec<TableWords>),
    /// A database is dropped with its tables.
    DropsDatabase(String),
    /// Rows are changed by a statement, which the log does not show; its verb.
    Changes(&'static str),
    /// Nothing of concern.
    Other,
}

/// A table's name in a statement: its database, if it is there, and its own.
pub(super) type TableWords = (Option<String>, String);

#[derive(Clone, Debug, PartialEq, Eq)]
enum SqlWord {
    Plain(String),
    Quoted(String),
    Mark(char),
}

impl SqlWord {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Plain(plain) if plain.eq_ignore_ascii_case(word))
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Plain(name) | Self::Quoted(name) => Some(name),
            Self::Mark(_) => None,
        }
    }
}

/// Verbs that change rows.
const CHANGES: &[&str] = &[
    "INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "MERGE", "WITH", "SELECT", "CALL", "DO",
];

/// Most words that are read of a statement: names of tables are at its beginning.
const WORDS: usize = 4096;

/// Reads a statement.
pub(super) fn statement(sql: &str) -> LoggedStatement {
    let words = words(sql);
    let mut at = Cursor { words: &words };
    while at.mark('(') {}
    let Some(first) = at.words.first() else {
        return LoggedStatement::Other;
    };
    if let Some(verb) = changes(first, at.words) {
        return LoggedStatement::Changes(verb);
    }
    if at.take("BEGIN") || at.take("START") {
        LoggedStatement::Begin
    } else if at.take("COMMIT") {
        LoggedStatement::Commit
    } else if at.take("ROLLBACK") {
        if at.words.iter().any(|word| word.is("TO")) {
            LoggedStatement::Other
        } else {
            LoggedStatement::Rollback
        }
    } else if at.take("XA") {
        LoggedStatement::Xa
    } else {
        definition(at)
    }
}

/// Returns every name in a statement, in lower case; `None` if it is too long for that.
pub(super) fn names(sql: &str) -> Option<Vec<String>> {
    let words = words(sql);
    let all = words
        .iter()
        .filter_map(SqlWord::name)
        .map(str::to_lowercase);
    (words.len() < WORDS).then(|| all.collect())
}

/// Returns the verb of a statement that changes rows, also in SET STATEMENT … FOR and ANALYZE.
fn changes(first: &SqlWord, words: &[SqlWord]) -> Option<&'static str> {
    let verb = |word: &SqlWord| CHANGES.iter().copied().find(|verb| word.is(verb));
    if first.is("SET") && words.get(1).is_some_and(|second| second.is("STATEMENT")) {
        let inner = words.iter().skip_while(|word| !word.is("FOR")).nth(1);
        return inner.and_then(verb);
    }
    if first.is("ANALYZE") {
        // behind FORMAT=JSON
        return words.iter().take(5).find_map(verb);
    }
    verb(first)
}

fn definition(mut at: Cursor<'_>) -> LoggedStatement {
    let none = LoggedStatement::Other;
    if at.take("TRUNCATE") {
        at.take("TABLE");
        return at
            .name()
            .map_or(none, |t| LoggedStatement::Empties(vec![t]));
    }
    if at.take("RENAME") {
        if !at.take("TABLE") && !at.take("TABLES") {
            return none;
        }
        return LoggedStatement::Defines(at.renamed());
    }
    if at.take("ALTER") {
        return alter(at);
    }
    if at.take("DROP") {
        if at.take("TEMPORARY") {
            return none;
        }
        if at.take("DATABASE") || at.take("SCHEMA") {
            at.take_all(&["IF", "EXISTS"]);
            return at
                .name()
                .map_or(none, |(_, name)| LoggedStatement::DropsDatabase(name));
        }
        if at.take("TABLE") || at.take("TABLES") {
            at.take_all(&["IF", "EXISTS"]);
            return LoggedStatement::Drops(at.list());
        }
        return none;
    }
    if at.take("CREATE") {
        let replaces = at.take("OR") && at.take("REPLACE");
        if at.take("TABLE") {
            at.take_all(&["IF", "NOT", "EXISTS"]);
            // with rows logged, the server logs the definition alone
            if at.words.iter().any(|word| word.is("SELECT")) {
                return LoggedStatement::Changes("CREATE TABLE … SELECT");
            }
            return match at.name() {
                Some(table) if replaces => LoggedStatement::Drops(vec![table]),
                Some(table) => LoggedStatement::Defines(vec![table]),
                None => none,
            };
        }
    }
    none
}

fn alter(mut at: Cursor<'_>) -> LoggedStatement {
    at.take("ONLINE");
    at.take("IGNORE");
    if !at.take("TABLE") {
        return LoggedStatement::Other;
    }
    at.take_all(&["IF", "EXISTS"]);
    let Some(table) = at.name() else {
        return LoggedStatement::Other;
    };
    let pair = |first: &str, second: &str| {
        at.words
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.is(first) && b.is(second)))
    };
    if ["TRUNCATE", "DROP", "EXCHANGE"]
        .iter()
        .any(|verb| pair(verb, "PARTITION"))
    {
        let mut tables = vec![table];
        // EXCHANGE PARTITION p WITH TABLE u: the rows of both change
        let with = at
            .words
            .windows(2)
            .position(|pair| matches!(pair, [a, b] if a.is("WITH") && b.is("TABLE")));
        if let Some(with) = with {
            at.words = at.words.get(with + 2..).unwrap_or_default();
            tables.extend(at.name());
        }
        return LoggedStatement::Empties(tables);
    }
    let mut tables = vec![table];
    // RENAME [TO|AS|=] name renames the table; RENAME COLUMN, INDEX and KEY do not
    let renames = at.words.iter().position(|word| word.is("RENAME"));
    if let Some(rename) = renames {
        at.words = at.words.get(rename + 1..).unwrap_or_default();
        let other = ["COLUMN", "INDEX", "KEY"].iter().any(|word| at.take(word));
        if !other {
            at.take("TO");
            at.take("AS");
            tables.extend(at.name());
        }
    }
    LoggedStatement::Defines(tables)
}

struct Cursor<'a> {
    words: &'a [SqlWord],
}

impl Cursor<'_> {
    fn take(&mut self, word: &str) -> bool {
        let found = self.words.first().is_some_and(|first| first.is(word));
        if found {
            self.words = self.words.get(1..).unwrap_or_default();
        }
        found
    }

    fn take_all(&mut self, words: &[&str]) {
        for word in words {
            self.take(word);
        }
    }

    fn mark(&mut self, mark: char) -> bool {
        let found = self.words.first() == Some(&SqlWord::Mark(mark));
        if found {
            self.words = self.words.get(1..).unwrap_or_default();
        }
        found
    }

    /// Takes a name of one or two parts.
    fn name(&mut self) -> Option<TableWords> {
        let mut part = || {
            let name = self.words.first()?.name()?.to_owned();
            self.words = self.words.get(1..).unwrap_or_default();
            Some(name)
        };
        let first = part()?;
        if !self.mark('.') {
            return Some((None, first));
        }
        let second = self.words.first()?.name()?.to_owned();
        self.words = self.words.get(1..).unwrap_or_default();
        Some((Some(first), second))
    }

    /// Takes names with commas between them.
    fn list(&mut self) -> Vec<TableWords> {
        let mut names = Vec::new();
        while let Some(name) = self.name() {
            names.push(name);
            if !self.mark(',') {
                break;
            }
        }
        names
    }

    /// Takes `a TO b, c TO d`.
    fn renamed(&mut self) -> Vec<TableWords> {
        let mut names = Vec::new();
        self.take_all(&["IF", "EXISTS"]);
        while let Some(name) = self.name() {
            names.push(name);
            let more = [self.take("TO"), self.mark(',')].contains(&true);
            if !more {
                break;
            }
        }
        names
    }
}

/// Splits a statement. Comments are left out, but what `/*!` and `/*M!` enclose is executed.
fn words(sql: &str) -> Vec<SqlWord> {
    let mut out = Vec::new();
    let mut rest = sql.trim_start();
    while let Some(c) = rest.chars().next() {
        if out.len() >= WORDS {
            break;
        }
        rest = match c {
            '/' if rest.starts_with("/*!") || rest.starts_with("/*M!") => {
                let inner = rest.trim_start_matches(['/', '*', 'M', '!']);
                inner.trim_start_matches(|c: char| c.is_ascii_digit())
            }
            '/' if rest.starts_with("/*") => rest.split_once("*/").map_or("", |(_, rest)| rest),
            '*' if rest.starts_with("*/") => rest.get(2..).unwrap_or_default(),
            '#' => rest.split_once('\n').map_or("", |(_, rest)| rest),
            '-' if rest.starts_with("--") => rest.split_once('\n').map_or("", |(_, rest)| rest),
            '`' | '"' => {
                let (name, after) = quoted(rest, c);
                out.push(SqlWord::Quoted(name));
                after
            }
            // a text: its content is of no concern
            '\'' => quoted(rest, c).1,
            c if c.is_alphanumeric() || c == '_' || c == '$' || c >= '\u{80}' => {
                let is_part = |c: char| c.is_alphanumeric() || "_$".contains(c) || c >= '\u{80}';
                let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                out.push(SqlWord::Plain(word.to_owned()));
                after
            }
            c if c.is_whitespace() => rest.get(c.len_utf8()..).unwrap_or_default(),
            c => {
                out.push(SqlWord::Mark(c));
                rest.get(c.len_utf8()..).unwrap_or_default()
            }
        };
    }
    out
}

/// Splits off a quoted text; a doubled quote means one.
fn quoted(text: &str, quote: char) -> (String, &str) {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote == '\'' {
            chars.next();
        } else if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
                out.push(quote);
                continue;
            }
            return (out, text.get(at + 1..).unwrap_or_default());
        } else {
            out.push(c);
        }
    }
    (out, "")
}

#[cfg(test)]
mod tests {
    use super::{LoggedStatement, TableWords, statement};

    fn t(names: &[&str]) -> Vec<TableWords> {
        let name = |name: &&str| match name.split_once('.') {
            Some((database, table)) => (Some(database.to_owned()), table.to_owned()),
            None => (None, (*name).to_owned()),
        };
        names.iter().map(name).collect()
    }

    #[test]
    fn the_first_words_of_a_statement_decide() {
        use LoggedStatement::*;
        for (sql, want) in [
            ("BEGIN", Begin),
            ("COMMIT", Commit),
            ("ROLLBACK", Rollback),
            ("ROLLBACK TO `a`", Other),
            ("SAVEPOINT `a`", Other),
            ("XA START X'01',X'',1", Xa),
            ("# Dummy event replacing event type 160", Other),
            ("", Other),
            ("/* hint */ insert into t values (1)", Changes("INSERT")),
            ("UPDATE t SET a = 1", Changes("UPDATE")),
            (
                "SET STATEMENT max_statement_time=1 FOR DELETE FROM t",
                Changes("DELETE"),
            ),
            ("SET PASSWORD FOR u = 'x'", Other),
            ("ANALYZE FORMAT=JSON UPDATE t SET a = 1", Changes("UPDATE")),
            ("(SELECT f())", Changes("SELECT")),
            (
                "CREATE TABLE t AS SELECT 1",
                Changes("CREATE TABLE … SELECT"),
            ),
            ("ALTER TABLE t ADD c INT", Defines(t(&["t"]))),
            (
                "alter online table `d`.`a``b` add c int",
                Defines(t(&["d.a`b"])),
            ),
            ("ALTER TABLE t RENAME COLUMN a TO b", Defines(t(&["t"]))),
            ("ALTER TABLE a RENAME TO d.b", Defines(t(&["a", "d.b"]))),
            (
                "RENAME TABLE a TO b, d.c TO a",
                Defines(t(&["a", "b", "d.c", "a"])),
            ),
            (
                "DROP TABLE IF EXISTS `a`,`b` /* generated by server */",
                Drops(t(&["a", "b"])),
            ),
            ("DROP TEMPORARY TABLE x", Other),
            ("DROP DATABASE `d`", DropsDatabase("d".into())),
            ("CREATE OR REPLACE TABLE t (a INT)", Drops(t(&["t"]))),
            ("CREATE TABLE IF NOT EXISTS t LIKE u", Defines(t(&["t"]))),
            ("CREATE TEMPORARY TABLE t (a INT)", Other),
            ("CREATE USER u IDENTIFIED BY 'x'", Other),
            ("CREATE SEQUENCE s", Other),
            ("TRUNCATE t", Empties(t(&["t"]))),
            ("TRUNCATE TABLE d.t", Empties(t(&["d.t"]))),
            ("ALTER TABLE t DROP PARTITION p0", Empties(t(&["t"]))),
            (
                "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u",
                Empties(t(&["t", "u"])),
            ),
            (
                "ALTER TABLE t ADD c TEXT DEFAULT 'it''s DROP PARTITION'",
                Defines(t(&["t"])),
            ),
            (
                "/*!40000 ALTER TABLE `t` DISABLE KEYS */",
                Defines(t(&["t"])),
            ),
            ("-- note\nTRUNCATE t", Empties(t(&["t"]))),
            ("ANALYZE TABLE t", Other),
        ] {
            assert_eq!(statement(sql), want, "{sql}");
        }
    }
}
