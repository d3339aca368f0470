//! Which tables are read, and by which task. Pure.

use std::collections::HashMap;

use connector_api::{Error, Result};

use fancy_regex::Regex;

use super::config::{Filter, SourceConfig};
use super::mapping::matches;
use crate::catalog::{TableFilter, TableName};
use crate::dialect::Dialect;
use crate::ident::TableId;
use crate::url::Database;

/// What to ask the catalog for.
pub fn listing(config: &SourceConfig) -> TableFilter {
    let all = config.filter.catalog.as_deref() == Some("%");
    // MySQL's own driver looks into every database that the URL's user sees
    let everywhere = config.target.maps_as_mysql_driver() && config.target.database.is_none();
    TableFilter {
        catalog: config.filter.catalog.clone(),
        all_catalogs: all || (config.filter.catalog.is_none() && everywhere),
        schema: config.filter.schema.clone(),
        types: config.filter.types.clone(),
    }
}

/// The tables that the filter lets pass, in the order listed.
/// Errors: `Config` when two of them have one bare name, since that names the topic.
pub fn choose(filter: &Filter, listed: Vec<TableName>, dialect: &dyn Dialect) -> Result<Vec<TableId>> {
    let chosen: Vec<_> = listed.into_iter().map(|t| t.id).filter(|id| passes(filter, id, dialect)).collect();
    let mut seen: HashMap<&str, &TableId> = HashMap::new();
    for id in &chosen {
        if let Some(other) = seen.insert(&id.table, id) {
            return Err(Error::config(format!(
                "The connector uses the unqualified table name as the topic name and has detected duplicate unqualified \
                 table names. Tables {other} and {id} would go to one topic: choose one with catalog.pattern, \
                 schema.pattern or a qualified name in the table list"
            )));
        }
    }
    Ok(chosen)
}

fn passes(filter: &Filter, id: &TableId, dialect: &dyn Dialect) -> bool {
    let full = id.to_string();
    let named = |list: &[String]| {
        list.iter().any(|name| *name == full || *name == id.table || *name == dialect.table(id) || is_quoted(name, id))
    };
    if !filter.include.is_empty() {
        let any = |patterns: &[Regex]| patterns.iter().any(|pattern| matches(pattern, &full));
        return any(&filter.include) && !any(&filter.exclude);
    }
    if !filter.whitelist.is_empty() {
        return named(&filter.whitelist);
    }
    !named(&filter.blacklist)
}

/// Whether `name` is the table's name with some of its parts in quotes.
fn is_quoted(name: &str, id: &TableId) -> bool {
    TableId::split(name).is_some_and(|parts| {
        let own: Vec<_> = id.parts().collect();
        own.ends_with(&parts.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

/// Splits tables into at most `max_tasks` groups that follow each other; the first ones take what is left over, as
/// Kafka's `ConnectorUtils.groupPartitions` does.
pub fn split(tables: &[TableId], max_tasks: usize) -> Vec<&[TableId]> {
    let groups = tables.len().min(max_tasks.max(1));
    if groups == 0 {
        return Vec::new();
    }
    let (each, over) = (tables.len() / groups, tables.len() % groups);
    let mut rest = tables;
    (0..groups)
        .map(|n| {
            let (group, after) = rest.split_at(each + usize::from(n < over));
            rest = after;
            group
        })
        .collect()
}

/// A task's table list as its config carries it.
pub fn join(tables: &[TableId], dialect: &dyn Dialect) -> String {
    tables.iter().map(|id| dialect.table(id)).collect::<Vec<_>>().join(",")
}

/// The table named by these parts in that database. `None` when there are none.
pub fn id_of(parts: Vec<String>, database: Database) -> Option<TableId> {
    let mut parts = parts.into_iter().rev();
    let table = parts.next()?;
    let (second, third) = (parts.next(), parts.next());
    Some(match database {
        Database::MySql => TableId { catalog: second, schema: None, table },
        Database::Postgres | Database::Sqlite => TableId { catalog: third, schema: second, table },
    })
}

#[cfg(test)]
mod tests {
    use connector_api::Kind;

    use super::super::config::Filter;
    use super::super::mapping::anchored;
    use super::{choose, id_of, join, split};
    use crate::catalog::TableName;
    use crate::dialect::mysql::MySql;
    use crate::ident::TableId;
    use crate::url::Database;

    fn names(names: &[&str]) -> Vec<TableName> {
        let id = |name: &&str| {
            let (catalog, table) = name.split_once('.').unwrap();
            TableName { id: TableId::in_catalog(catalog, table), table_type: "TABLE".into() }
        };
        names.iter().map(id).collect()
    }

    #[test]
    fn lists_match_bare_full_and_quoted_names() {
        let list = |items: &[&str]| items.iter().map(|i| (*i).to_owned()).collect::<Vec<_>>();
        let regexes = |items: &[&str]| items.iter().map(|i| anchored(i).unwrap()).collect::<Vec<_>>();
        for (filter, want) in [
            (Filter { whitelist: list(&["a"]), ..Filter::default() }, "d.a"),
            (Filter { whitelist: list(&["d.a", "`d`.`c`"]), ..Filter::default() }, "d.a d.c"),
            (Filter { whitelist: list(&["`b`"]), blacklist: list(&["b"]), ..Filter::default() }, "d.b"),
            (Filter { blacklist: list(&["a", "d.c"]), ..Filter::default() }, "d.b"),
            (Filter { include: regexes(&[r"d\.[ab]"]), ..Filter::default() }, "d.a d.b"),
            (Filter { include: regexes(&["a"]), ..Filter::default() }, ""),
            (Filter { include: regexes(&[".*"]), exclude: regexes(&[r".*\.a"]), ..Filter::default() }, "d.b d.c"),
        ] {
            let chosen = choose(&filter, names(&["d.a", "d.b", "d.c"]), &MySql).unwrap();
            assert_eq!(chosen.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), want, "{filter:?}");
        }
    }

    #[test]
    fn one_bare_name_twice_is_refused() {
        let error = choose(&Filter::default(), names(&["d.a", "e.a"]), &MySql).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.message().contains("duplicate unqualified table names"), "{error}");
    }

    #[test]
    fn tables_are_split_into_contiguous_groups_the_first_larger() {
        let tables: Vec<_> = ["a", "b", "c", "d"].iter().map(|t| TableId::bare(*t)).collect();
        let sizes = |max| split(&tables, max).iter().map(|g| g.len()).collect::<Vec<_>>();
        assert_eq!(sizes(3), [2, 1, 1]);
        assert_eq!(sizes(10), [1, 1, 1, 1]);
        assert_eq!(sizes(1), [4]);
        assert_eq!(sizes(0), [4]);
        assert!(split(&[], 3).is_empty());
    }

    #[test]
    fn a_task_finds_its_tables_again() {
        let tables = vec![TableId::in_catalog("d", "a,`b"), TableId::in_catalog("d", "c.d")];
        let list = join(&tables, &MySql);
        let read: Vec<_> = TableId::list(&list).into_iter().filter_map(|p| id_of(p, Database::MySql)).collect();
        assert_eq!(read, tables);
    }
}
