//! Parses the output of `SHOW GRANTS` of MariaDB and MySQL. Pure.

#![expect(
    clippy::indexing_slicing,
    reason = "each arm has looked at the character that it passes"
)]

use crate::ident::TableId;

/// The grants of an account and of its active roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AccountGrants {
    lines: Vec<GrantEntry>,
    /// True if roles are granted; their own grants may not be among the lines.
    roles: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct GrantEntry {
    privileges: Vec<String>,
    /// `None`: every database. May contain LIKE wildcards.
    database: Option<String>,
    /// `None`: every table.
    table: Option<String>,
}

impl AccountGrants {
    /// Parses the lines of `SHOW GRANTS`, such as ``GRANT SELECT, INSERT ON `shop`.* TO `u`@`%` ``.
    pub(crate) fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut grants = Self::default();
        for line in lines {
            let Some(rest) = line.strip_prefix("GRANT ") else {
                continue;
            };
            match grant(rest) {
                Some(grant) => grants.lines.push(grant),
                None => grants.roles = true,
            }
        }
        grants
    }

    /// True if a privilege (`INSERT`) is granted on a table, even if only for some columns; without
    /// a table, on every database (`PROCESS`). `None`: a role may grant it.
    pub(crate) fn allows(&self, privilege: &str, table: Option<&TableId>) -> Option<bool> {
        let granted = self
            .lines
            .iter()
            .any(|grant| grant.covers(table) && grant.has(privilege));
        if !granted && self.roles {
            None
        } else {
            Some(granted)
        }
    }
}

impl GrantEntry {
    fn has(&self, privilege: &str) -> bool {
        self.privileges
            .iter()
            .any(|own| own == privilege || own == "ALL PRIVILEGES" || own == "ALL")
    }

    fn covers(&self, table: Option<&TableId>) -> bool {
        let Some(id) = table else {
            return self.database.is_none();
        };
        let database = self
            .database
            .as_deref()
            .is_none_or(|pattern| like(pattern, id.catalog.as_deref().unwrap_or("")));
        database
            && self
                .table
                .as_deref()
                .is_none_or(|table| table.eq_ignore_ascii_case(&id.table))
    }
}

/// Parses what follows `GRANT`; `None` for the grant of a role, which has no `ON`.
fn grant(text: &str) -> Option<GrantEntry> {
    let (privileges, rest) = text.split_once(" ON ")?;
    let object = rest.strip_prefix("TABLE ").unwrap_or(rest);
    let (database, rest) = name(object)?;
    let (table, _) = name(rest.strip_prefix('.')?)?;
    Some(GrantEntry {
        privileges: listed(privileges),
        database,
        table,
    })
}

/// Returns the privileges of a list, without the column lists that may follow each.
fn listed(text: &str) -> Vec<String> {
    let (mut names, mut depth) = (vec![String::new()], 0);
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            c if depth == 0 => names.last_mut().into_iter().for_each(|name| name.push(c)),
            _ => {}
        }
    }
    names
        .into_iter()
        .map(|name| name.trim().to_uppercase())
        .collect()
}

/// Splits off the leading name (`None` for `*`) and returns the rest.
fn name(text: &str) -> Option<(Option<String>, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Some((None, rest));
    }
    let quoted = text.strip_prefix('`')?;
    let (mut name, mut chars) = (String::new(), quoted.char_indices().peekable());
    while let Some((at, c)) = chars.next() {
        match c {
            '`' if chars.next_if(|(_, next)| *next == '`').is_some() => name.push('`'),
            '`' => return Some((Some(name), &quoted[at + 1..])),
            c => name.push(c),
        }
    }
    None
}

/// Matches SQL's LIKE, with `\` before a literal wildcard. Ignores letter case: servers on
/// case-sensitive file systems are queried with the exact names.
fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let text: Vec<char> = text.to_lowercase().chars().collect();
    matches(&pattern, &text)
}

fn matches(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['\\', escaped, rest @ ..] => text.first() == Some(escaped) && matches(rest, &text[1..]),
        ['%', rest @ ..] => (0..=text.len()).any(|at| matches(rest, &text[at..])),
        ['_', rest @ ..] => !text.is_empty() && matches(rest, &text[1..]),
        [literal, rest @ ..] => text.first() == Some(literal) && matches(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::AccountGrants;
    use crate::ident::TableId;

    #[test]
    fn grants_hold_where_they_say() {
        let grants = AccountGrants::parse([
            "GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*ABC'",
            "GRANT SELECT, INSERT ON `shop\\_1`.* TO `u`@`%`",
            "GRANT ALL PRIVILEGES ON `dev%`.* TO `u`@`%` WITH GRANT OPTION",
            "GRANT SELECT (`a`, `on ``it`), UPDATE (`a`) ON `x`.`y``z` TO `u`@`%`",
        ]);
        let allows = |privilege: &str, database: &str, table: &str| {
            grants
                .allows(privilege, Some(&TableId::in_catalog(database, table)))
                .unwrap()
        };
        assert!(
            allows("INSERT", "shop_1", "t")
                && !allows("INSERT", "shopA1", "t")
                && !allows("DELETE", "shop_1", "t")
        );
        assert!(allows("DELETE", "dev7", "t") && !allows("SELECT", "other", "t"));
        assert!(
            allows("UPDATE", "x", "y`z")
                && !allows("INSERT", "x", "y`z")
                && !allows("UPDATE", "x", "y")
        );
        assert_eq!(grants.allows("PROCESS", None), Some(false));
        assert_eq!(
            AccountGrants::parse(["GRANT PROCESS, SELECT ON *.* TO `u`@`%`"])
                .allows("PROCESS", None),
            Some(true)
        );
        let root = AccountGrants::parse([
            "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION",
        ]);
        assert_eq!(
            root.allows("CREATE", Some(&TableId::in_catalog("d", "t"))),
            Some(true)
        );
    }

    #[test]
    fn a_role_leaves_open_what_it_grants() {
        let grants = AccountGrants::parse([
            "GRANT `reader`@`%` TO `u`@`%`",
            "GRANT SELECT ON `d`.* TO `u`@`%`",
        ]);
        let id = TableId::in_catalog("d", "t");
        assert_eq!(
            (
                grants.allows("SELECT", Some(&id)),
                grants.allows("INSERT", Some(&id))
            ),
            (Some(true), None)
        );
    }
}
