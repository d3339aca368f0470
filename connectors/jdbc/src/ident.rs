//! Table names: parsing of dotted and quoted names, and formatting.

use std::fmt;

/// A table's name in up to three parts.
///
/// MariaDB and MySQL call the first part a database; JDBC calls it a catalog. PostgreSQL uses the
/// schema.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId {
    /// The catalog (MariaDB's and MySQL's database).
    pub catalog: Option<String>,
    /// The schema (PostgreSQL).
    pub schema: Option<String>,
    pub table: String,
}

/// The table that holds the offsets of sinks.
pub(crate) const OFFSETS_TABLE: &str = "rowferry_offsets";

impl TableId {
    /// True for the table that holds the offsets of sinks: its rows are no data, and no record may
    /// change them.
    pub fn is_offsets_table(&self) -> bool {
        self.table.eq_ignore_ascii_case(OFFSETS_TABLE)
    }

    /// Creates the id of a table without qualifiers.
    pub fn bare(table: impl Into<String>) -> Self {
        Self {
            catalog: None,
            schema: None,
            table: table.into(),
        }
    }

    /// Creates the id of a table of a MariaDB or MySQL database.
    pub fn in_catalog(catalog: impl Into<String>, table: impl Into<String>) -> Self {
        Self {
            catalog: Some(catalog.into()),
            schema: None,
            table: table.into(),
        }
    }

    /// Creates the id of a table of a PostgreSQL schema.
    pub fn in_schema(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self {
            catalog: None,
            schema: Some(schema.into()),
            table: table.into(),
        }
    }

    /// Returns the parts that are set, outermost first.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        [
            self.catalog.as_deref(),
            self.schema.as_deref(),
            Some(self.table.as_str()),
        ]
        .into_iter()
        .flatten()
    }

    /// Splits a comma-separated list of such names; commas in quotes do not count. Names that
    /// cannot be split are skipped.
    pub fn list(text: &str) -> Vec<Vec<String>> {
        let mut names = vec![String::new()];
        let mut quote = None;
        for c in text.chars() {
            match (quote, c) {
                (None, ',') => names.push(String::new()),
                (None, '`' | '"') => quote = Some(c),
                (Some(q), c) if c == q => quote = None,
                _ => {}
            }
            if c != ',' || quote.is_some() {
                names.last_mut().into_iter().for_each(|name| name.push(c));
            }
        }
        names.iter().filter_map(|name| Self::split(name)).collect()
    }

    /// Splits `a.b.c`; parts may be quoted with ``
    /// ` `` or `"`, and a doubled quote is a literal one. `None` if there are no parts, an empty
    /// one, or more than three.
    pub fn split(text: &str) -> Option<Vec<String>> {
        let mut parts = Vec::new();
        let mut part = String::new();
        let mut chars = text.trim().chars().peekable();
        let mut quote = None;
        let mut quoted = false;
        while let Some(c) = chars.next() {
            match (quote, c) {
                (Some(q), c) if c == q => {
                    if chars.next_if_eq(&q).is_some() {
                        part.push(q);
                    } else {
                        quote = None;
                    }
                }
                (Some(_), c) => part.push(c),
                (None, '`' | '"') if part.is_empty() && !quoted => {
                    quote = Some(c);
                    quoted = true;
                }
                (None, '.') => {
                    parts.push(std::mem::take(&mut part));
                    quoted = false;
                }
                (None, c) => part.push(c),
            }
        }
        parts.push(part);
        let sound = quote.is_none() && parts.len() <= 3 && parts.iter().all(|p| !p.is_empty());
        sound.then_some(parts)
    }
}

impl fmt::Display for TableId {
    /// Formats the parts without quotes, joined with dots: as in offsets, lists and messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, part) in self.parts().enumerate() {
            if n > 0 {
                f.write_str(".")?;
            }
            f.write_str(part)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::TableId;

    #[test]
    fn dotted_and_quoted_names_are_split() {
        for (text, want) in [
            ("t", Some(vec!["t"])),
            ("db.t", Some(vec!["db", "t"])),
            ("`shop.users`", Some(vec!["shop.users"])),
            ("\"a\"\"b\".`c``d`.e", Some(vec!["a\"b", "c`d", "e"])),
            ("", None),
            ("a..b", None),
            ("a.b.c.d", None),
            ("`a", None),
        ] {
            assert_eq!(
                TableId::split(text).as_deref(),
                want.as_deref().map(|w| w as &[&str]).map(owned).as_deref(),
                "{text}"
            );
        }
        assert_eq!(
            TableId::list("`a,b`.c, d"),
            [vec!["a,b".to_owned(), "c".into()], vec!["d".into()]]
        );
        assert_eq!(TableId::in_catalog("db", "t").to_string(), "db.t");
    }

    fn owned(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|p| (*p).to_owned()).collect()
    }
}
