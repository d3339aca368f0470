//! The names in a connector's table lists, and which tables they mean. Pure.

use std::collections::{HashMap, HashSet};
use std::iter;

use connector_api::Result;
use connector_api::pattern::Pattern;

use super::select::TableListing;
use crate::dialect::Dialect;
use crate::ident::TableId;
use crate::source::config::mapping::{databases_of, matches};
use crate::source::config::{SourceConfig, TableSelection};
use crate::url::DatabaseKind;

/// Returns what a table's full name may begin with besides what the catalog lists: PostgreSQL's
/// database, SQLite's name of a file.
pub(super) fn outermost(config: &SourceConfig) -> Option<&str> {
    let target = &config.target;
    match target.database_kind() {
        DatabaseKind::MySql => None,
        // Without a database the server uses the user's name.
        DatabaseKind::Postgres => target.database.as_deref().or(target.user.as_deref()),
        DatabaseKind::Sqlite => Some("main"),
    }
}

/// True if one of the patterns matches. Errors: as [`matches`].
fn any_matches<'a>(patterns: impl IntoIterator<Item = &'a Pattern>, name: &str) -> Result<bool> {
    for pattern in patterns {
        if matches(pattern, name)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A list of names, each a table's or a whole one. Looked up by hash: lists and databases of
/// thousands of tables are compared at every listing.
struct NameList<'a> {
    names: &'a [String],
    /// Indexes of the names by their text as it is, in the case that counts.
    by_text: HashMap<String, Vec<usize>>,
    /// Indexes of the names by their parts without quotes.
    by_parts: HashMap<Vec<String>, Vec<usize>>,
    any_case: bool,
}

impl<'a> NameList<'a> {
    fn new(names: &'a [String], any_case: bool) -> Self {
        let mut list = Self {
            names,
            by_text: HashMap::new(),
            by_parts: HashMap::new(),
            any_case,
        };
        for (n, name) in names.iter().enumerate() {
            let text = list.cased(name);
            list.by_text.entry(text).or_default().push(n);
            if let Some(parts) = TableId::split(name) {
                let parts = parts.iter().map(|part| list.cased(part)).collect();
                list.by_parts.entry(parts).or_default().push(n);
            }
        }
        list
    }

    /// Returns a name in the case in which names are compared.
    fn cased(&self, name: &str) -> String {
        if self.any_case {
            name.to_lowercase()
        } else {
            name.to_owned()
        }
    }

    /// Returns the indexes of the names with that text.
    fn with_text(&self, text: &str) -> &[usize] {
        self.by_text
            .get(&self.cased(text))
            .map_or(&[], Vec::as_slice)
    }

    /// Returns the indexes of the names with these parts.
    fn with_parts<'p>(&self, parts: impl Iterator<Item = &'p str>) -> &[usize] {
        let parts: Vec<_> = parts.map(|part| self.cased(part)).collect();
        self.by_parts.get(&parts).map_or(&[], Vec::as_slice)
    }
}

/// The connector's table lists, and how names are written.
pub(super) struct ListedNames<'a> {
    pub(super) filter: &'a TableSelection,
    whitelist: NameList<'a>,
    blacklist: NameList<'a>,
    outermost: Option<&'a str>,
    dialect: &'a dyn Dialect,
}

impl<'a> ListedNames<'a> {
    pub(super) fn new(config: &'a SourceConfig, dialect: &'a dyn Dialect) -> Self {
        let filter = &config.filter;
        Self {
            filter,
            whitelist: NameList::new(&filter.whitelist, filter.any_case),
            blacklist: NameList::new(&filter.blacklist, filter.any_case),
            outermost: outermost(config),
            dialect,
        }
    }

    pub(super) fn passes(&self, id: &TableId) -> Result<bool> {
        let filter = self.filter;
        if !filter.include.is_empty() {
            let full = id.to_string();
            return Ok(!id.is_offsets_table()
                && any_matches(&filter.include, &full)?
                && !any_matches(&filter.exclude, &full)?);
        }
        let is_named = |list| self.naming(list, id).next().is_some();
        // The offsets of sinks are read only if a user names their table.
        Ok(if filter.whitelist.is_empty() {
            !is_named(&self.blacklist) && !id.is_offsets_table()
        } else {
            is_named(&self.whitelist)
        })
    }

    /// True for a table of another database if its database is named.
    pub(super) fn passes_elsewhere(&self, id: &TableId) -> Result<bool> {
        let names_its_database = |pattern: &&Pattern| {
            id.catalog
                .as_deref()
                .is_some_and(|own| databases_of(pattern).any(|named| self.same(named, own)))
        };
        let filter = self.filter;
        if !filter.include.is_empty() {
            let full = id.to_string();
            let meant = filter.include.iter().filter(names_its_database);
            return Ok(!id.is_offsets_table()
                && any_matches(meant, &full)?
                && !any_matches(&filter.exclude, &full)?);
        }
        Ok(self.naming_elsewhere(id).next().is_some())
    }

    /// Returns the indexes of a list's names that mean a table of the connection's own database.
    fn naming<'l>(
        &self,
        list: &'l NameList<'_>,
        id: &TableId,
    ) -> impl Iterator<Item = usize> + use<'l> {
        let by_table = list.with_text(&id.table);
        let by_part = list.with_parts(iter::once(id.table.as_str()));
        by_table
            .iter()
            .chain(by_part)
            .copied()
            .chain(self.in_full(list, id))
    }

    /// Returns the indexes of the white list's names that mean a table of another database.
    fn naming_elsewhere(&self, id: &TableId) -> impl Iterator<Item = usize> {
        let bare = |n: &usize| {
            let name = self.whitelist.names.get(*n);
            name.is_some_and(|name| self.same(name, &id.table))
        };
        self.in_full(&self.whitelist, id).filter(move |n| !bare(n))
    }

    /// Returns the indexes of the names that are the table's full name, with or without quotes
    /// around its parts.
    fn in_full<'l>(
        &self,
        list: &'l NameList<'_>,
        id: &TableId,
    ) -> impl Iterator<Item = usize> + use<'l> {
        let with_outermost = self
            .outermost
            .map(|outer| list.with_parts(iter::once(outer).chain(id.parts())));
        let found = [
            list.with_text(&id.to_string()),
            list.with_text(&self.dialect.table(id)),
            list.with_parts(id.parts()),
            with_outermost.unwrap_or_default(),
        ];
        found.into_iter().flatten().copied()
    }

    /// True if the server regards both names as the same.
    fn same(&self, a: &str, b: &str) -> bool {
        a == b || (self.filter.any_case && a.to_lowercase() == b.to_lowercase())
    }

    /// Returns the items of the white list that match no table.
    pub(super) fn unmatched(&self, listed: &TableListing) -> Vec<&str> {
        if !self.filter.include.is_empty() {
            return Vec::new();
        }
        let own = listed.own.iter().map(|table| &table.id);
        let others = listed.others.iter().map(|table| &table.id);
        let mut matched: HashSet<usize> = own
            .flat_map(|id| self.naming(&self.whitelist, id))
            .collect();
        matched.extend(others.flat_map(|id| self.naming_elsewhere(id)));
        let names = self.whitelist.names.iter().enumerate();
        names
            .filter(|(n, _)| !matched.contains(n))
            .map(|(_, name)| name.as_str())
            .collect()
    }
}
