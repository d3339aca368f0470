//! Selects the tables to read, and distributes them over the tasks. Pure.

#![expect(
    clippy::indexing_slicing,
    reason = "the number of parts was checked before"
)]

use std::collections::HashMap;

use connector_api::{Error, Result};

use super::listed_names::{ListedNames, outermost};
use crate::catalog::{TableFilter, TableName};
use crate::dialect::{self, Dialect};
use crate::ident::TableId;
use crate::source::config::SourceConfig;
use crate::source::config::mapping::{databases_of, matches};
use crate::url::DatabaseKind;

/// Tables that exist in the database.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableListing {
    /// Those of the connection's own database, or of the databases that `catalog.pattern` names.
    pub own: Vec<TableName>,
    /// Those of other databases named in the table lists; an unqualified name does not match them.
    pub others: Vec<TableName>,
}

/// Returns the filter for listing the connection's own tables.
pub(crate) fn listing(config: &SourceConfig) -> TableFilter {
    let all = config.filter.catalog.as_deref() == Some("%");
    // MySQL's own driver searches every database visible to the user of the URL.
    let everywhere = config.target.maps_as_mysql_driver() && config.target.database.is_none();
    TableFilter {
        catalog: config.filter.catalog.clone(),
        all_catalogs: all || (config.filter.catalog.is_none() && everywhere),
        schema: config.filter.schema.clone(),
        types: config.filter.types.clone(),
    }
}

/// Returns filters for further listings: databases of MariaDB or MySQL with which names or patterns
/// begin.
pub(crate) fn other_listings(config: &SourceConfig) -> Vec<TableFilter> {
    let first = listing(config);
    let dialect = dialect::of(config.target.database_kind());
    if !dialect.capabilities().lists_other_databases || first.all_catalogs {
        return Vec::new();
    }
    let filter = &config.filter;
    let named = filter
        .whitelist
        .iter()
        .filter_map(|name| TableId::split(name));
    let named = named
        .filter(|parts| parts.len() > 1)
        .filter_map(|parts| parts.into_iter().next());
    let matched = filter
        .include
        .iter()
        .flat_map(databases_of)
        .map(str::to_owned);
    let mut databases: Vec<_> = named.chain(matched).collect();
    databases.sort_unstable();
    databases.dedup();
    let own = filter.catalog.as_ref().or(config.target.database.as_ref());
    let others = databases
        .into_iter()
        .filter(|database| Some(database) != own);
    others
        .map(|database| TableFilter {
            catalog: Some(database),
            ..first.clone()
        })
        .collect()
}

/// Returns the tables that pass the filter, in the order listed.
/// Errors: `Config` when two of them have the same unqualified name, since that names the topic;
/// when a name is in another database of PostgreSQL.
pub(crate) fn choose(
    config: &SourceConfig,
    listed: &TableListing,
    dialect: &dyn Dialect,
) -> Result<Vec<TableId>> {
    if let Some(text) = out_of_reach(config, listed, dialect) {
        return Err(Error::config(format!("table.whitelist: {text}")));
    }
    let names = ListedNames::new(config, dialect);
    let mut chosen = Vec::new();
    for table in &listed.own {
        if names.passes(&table.id)? {
            chosen.push(table.id.clone());
        }
    }
    for table in &listed.others {
        if names.passes_elsewhere(&table.id)? {
            chosen.push(table.id.clone());
        }
    }
    let mut seen: HashMap<&str, &TableId> = HashMap::new();
    for id in &chosen {
        if let Some(other) = seen.insert(&id.table, id) {
            return Err(Error::config(format!(
                "The connector uses the unqualified table name as the topic name and has detected \
                 duplicate unqualified table names. Tables {other} and {id} would be written to \
                 one topic: choose one with catalog.pattern, schema.pattern or a qualified name in \
                 the table list"
            )));
        }
    }
    Ok(chosen)
}

/// Returns warnings about names and patterns that match no table: the key, and a text.
pub(crate) fn unmatched(
    config: &SourceConfig,
    listed: &TableListing,
    dialect: &dyn Dialect,
) -> Vec<(&'static str, String)> {
    let names = ListedNames::new(config, dialect);
    let all = || {
        listed
            .own
            .iter()
            .chain(&listed.others)
            .map(|table| &table.id)
    };
    let by_name = names.unmatched(listed).into_iter().map(|name| {
        let alike = |id: &&TableId| {
            [&id.table, &id.to_string()]
                .iter()
                .any(|own| own.to_lowercase() == name.to_lowercase())
        };
        let hint = match (all().find(alike), config.target.database_kind()) {
            (Some(id), _) => format!("; there is {id}: letter case matters"),
            (None, DatabaseKind::MySql) => {
                "; names are TABLE or DATABASE.TABLE, and tables are only visible with a privilege \
                 on them"
                    .to_owned()
            }
            (None, DatabaseKind::Postgres) => "; names are TABLE or SCHEMA.TABLE".to_owned(),
            (None, DatabaseKind::Sqlite) => String::new(),
        };
        (
            "table.whitelist",
            format!("table {name} does not exist now; it is read once it exists{hint}"),
        )
    });
    let filter = names.filter;
    let idle = filter
        .include
        .iter()
        .filter(|pattern| !all().any(|id| matches(pattern, &id.to_string()).unwrap_or(true)));
    let by_pattern = idle.map(|pattern| {
        let whole = match config.target.database_kind() {
            DatabaseKind::MySql => "DATABASE.TABLE",
            DatabaseKind::Postgres => "SCHEMA.TABLE",
            DatabaseKind::Sqlite => "TABLE",
        };
        let text = pattern.text();
        (
            "table.include.list",
            format!("{text} matches no table now; it is compared with the whole name, {whole}"),
        )
    });
    by_name.chain(by_pattern).collect()
}

/// Returns an error text for a name in another database, which a connection to PostgreSQL cannot
/// reach.
pub(crate) fn out_of_reach(
    config: &SourceConfig,
    listed: &TableListing,
    dialect: &dyn Dialect,
) -> Option<String> {
    let own = outermost(config).filter(|_| dialect.capabilities().connects_to_one_database)?;
    ListedNames::new(config, dialect).unmatched(listed).into_iter().find_map(|name| {
        let parts = TableId::split(name).filter(|parts| parts.len() == 3 && parts[0] != own)?;
        Some(format!(
            "{name} is in the database {}, but a connection to PostgreSQL reads one database, here \
             {own}: remove it, and create another connector with {} in connection.url",
            parts[0], parts[0]
        ))
    })
}

/// Maximum length of a topic name.
const LONGEST_TOPIC: usize = 249;

/// Returns an error text if the table's records would go to a topic whose name Kafka refuses,
/// unless transforms may change the topic.
pub(crate) fn topic_problem(config: &SourceConfig, id: &TableId) -> Option<String> {
    let topic = format!("{}{}", config.topic_prefix, id.table);
    let is_legal = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let what = match topic.as_str() {
        _ if config.transforms => return None,
        "" | "." | ".." => "not a name that Kafka accepts",
        _ if topic.len() > LONGEST_TOPIC => "longer than 249 characters",
        _ if !topic.bytes().all(is_legal) => {
            "not made of ASCII letters, digits, '.', '_' and '-' only"
        }
        _ => return None,
    };
    Some(format!(
        "table {id} would be written to the topic \"{topic}\", which is {what}: set another topic \
         with a transform (transforms with RegexRouter), or exclude the table (table.whitelist, \
         table.blacklist, table.exclude.list)"
    ))
}

/// Splits tables into at most `max_tasks` consecutive groups; the first groups get the remainder,
/// as in Kafka's `ConnectorUtils.groupPartitions`.
pub(crate) fn split(tables: &[TableId], max_tasks: usize) -> Vec<&[TableId]> {
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

/// Returns a task's table list as its config carries it.
pub(crate) fn join(tables: &[TableId], dialect: &dyn Dialect) -> String {
    tables
        .iter()
        .map(|id| dialect.table(id))
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use connector_api::{Config, ErrorKind};

    use super::{TableListing, choose, join, other_listings, split, topic_problem, unmatched};
    use crate::catalog::TableName;
    use crate::dialect::mysql::MySqlDialect;
    use crate::dialect::postgres::PostgresDialect;
    use crate::ident::TableId;
    use crate::source::config::SourceConfig;
    use crate::source::config::mapping::table_id;
    use crate::url::DatabaseKind;

    fn names(names: &str) -> Vec<TableName> {
        let id = |name: &str| {
            let (catalog, table) = name.split_once('.').unwrap();
            TableName {
                id: TableId::in_catalog(catalog, table),
                table_type: "TABLE".into(),
            }
        };
        names.split_whitespace().map(id).collect()
    }

    fn listed(own: &str, others: &str) -> TableListing {
        TableListing {
            own: names(own),
            others: names(others),
        }
    }

    fn config(keys: &[(&str, &str)]) -> SourceConfig {
        let mut config = Config::from([("connection.url", "jdbc:mariadb://h/d"), ("mode", "bulk")]);
        keys.iter()
            .for_each(|(key, value)| config.set(*key, *value));
        SourceConfig::read(&config).unwrap()
    }

    #[test]
    fn tables_whose_topics_kafka_refuses_are_reported() {
        let of = |keys: &[(&str, &str)], table: &str| {
            topic_problem(&config(keys), &TableId::in_catalog("d", table))
        };
        let long = "t".repeat(249);
        for table in [
            "order items",
            "größe",
            "",
            ".",
            "..",
            "a/b",
            &format!("{long}t"),
        ] {
            let problem = of(&[], table).unwrap_or_default();
            assert!(
                problem.contains(&format!("\"{table}\"")) && problem.contains("RegexRouter"),
                "{table}: {problem}"
            );
            assert_eq!(of(&[("transforms", "route")], table), None);
        }
        for table in ["my-table", "a.b_C", &long] {
            assert_eq!(of(&[], table), None);
        }
        assert_eq!(of(&[("topic.prefix", "p")], ""), None);
        assert!(of(&[("topic.prefix", "p")], &long).is_some());
    }

    #[test]
    fn lists_match_bare_full_and_quoted_names() {
        let (white, black) = ("table.whitelist", "table.blacklist");
        let (include, exclude) = ("table.include.list", "table.exclude.list");
        for (keys, want) in [
            (vec![(white, "a")], "d.a"),
            (vec![(white, "d.a,`d`.`c`")], "d.a d.c"),
            (vec![(white, "`b`"), (black, "b")], "d.b"),
            (vec![(black, "a,d.c")], "d.b"),
            (vec![(include, r"d\.[ab]")], "d.a d.b"),
            (vec![(include, "a")], ""),
            (vec![(include, ".*"), (exclude, r".*\.a")], "d.b d.c"),
            // Of other databases: what is qualified with its database, and nothing else.
            (vec![(white, "a,e.b,`e`.`x`")], "d.a e.b e.x"),
            (vec![(white, "d.a,x")], "d.a"),
            (vec![(white, "D.a,E.x")], ""),
            (vec![(include, r".*\.a,e\.x|e.b")], "d.a e.b e.x"),
            (vec![(include, r"e\..*"), (exclude, r"e\.a")], "e.b e.x"),
            (vec![(black, "none")], "d.a d.b d.c"),
        ] {
            let chosen = choose(
                &config(&keys),
                &listed("d.a d.b d.c", "e.a e.b e.x"),
                &MySqlDialect,
            )
            .unwrap();
            assert_eq!(
                chosen
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" "),
                want,
                "{keys:?}"
            );
        }
    }

    #[test]
    fn the_offsets_of_sinks_are_read_only_if_their_table_is_named() {
        for (keys, want) in [
            (vec![], "d.a"),
            (vec![("table.blacklist", "b")], "d.a"),
            (vec![("table.include.list", ".*")], "d.a"),
            (
                vec![("table.whitelist", "a,rowferry_offsets")],
                "d.a d.rowferry_offsets",
            ),
        ] {
            let listed = listed("d.a d.rowferry_offsets", "");
            let chosen = choose(&config(&keys), &listed, &MySqlDialect).unwrap();
            let chosen: Vec<String> = chosen.iter().map(ToString::to_string).collect();
            assert_eq!(chosen.join(" "), want, "{keys:?}");
        }
    }

    #[test]
    fn case_does_not_count_where_the_server_does_not_regard_it() {
        let (white, black) = ("table.whitelist", "table.blacklist");
        let (include, exclude) = ("table.include.list", "table.exclude.list");
        for (keys, want) in [
            (vec![(white, "A,`D`.`C`,E.X")], "d.a d.c e.x"),
            (vec![(black, "A,D.c")], "d.b"),
            (
                vec![(include, r"D\.[AB]|E\.X"), (exclude, r".*\.B")],
                "d.a e.x",
            ),
            (vec![(white, "d.a,X")], "d.a"),
        ] {
            let (config, listed) = (
                config(&keys).in_any_case(),
                listed("d.a d.b d.c", "e.a e.x"),
            );
            let chosen = choose(&config, &listed, &MySqlDialect).unwrap();
            assert_eq!(
                chosen
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" "),
                want,
                "{keys:?}"
            );
            let none = unmatched(&config, &listed, &MySqlDialect);
            assert_eq!(none.len(), usize::from(keys[0].1 == "d.a,X"), "{none:?}");
        }
    }

    #[test]
    fn other_databases_are_looked_into_when_they_are_named() {
        for (keys, want) in [
            (
                vec![("table.whitelist", "a,d.b,e.c,`x.y`.z,`e`.d")],
                "e x.y",
            ),
            (vec![("table.include.list", r"d\.a,e\..*|f.b,.*\.c")], "e f"),
            (
                vec![("table.whitelist", "e.c"), ("catalog.pattern", "e")],
                "",
            ),
            (
                vec![("table.whitelist", "e.c"), ("catalog.pattern", "%")],
                "",
            ),
            (
                vec![
                    ("table.whitelist", "e.c"),
                    ("connection.url", "jdbc:postgresql://h/d"),
                ],
                "",
            ),
        ] {
            let asked = other_listings(&config(&keys))
                .into_iter()
                .filter_map(|filter| filter.catalog);
            assert_eq!(asked.collect::<Vec<_>>().join(" "), want, "{keys:?}");
        }
    }

    #[test]
    fn a_name_may_begin_with_the_connections_own_database_and_with_no_other() {
        let table = TableName {
            id: TableId::in_schema("public", "t"),
            table_type: "TABLE".into(),
        };
        let listed = TableListing {
            own: vec![table],
            others: Vec::new(),
        };
        let choose = |name| {
            let config = config(&[
                ("connection.url", "jdbc:postgresql://h/d"),
                ("table.whitelist", name),
            ]);
            choose(&config, &listed, &PostgresDialect).map(|ids| ids.len())
        };
        for (name, want) in [
            ("d.public.t", 1),
            ("\"d\".\"public\".t", 1),
            ("public.t", 1),
            ("d.public.u", 0),
            ("d.t", 0),
        ] {
            assert_eq!(choose(name).unwrap(), want, "{name}");
        }
        let error = choose("e.public.t").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error.message().contains("e.public.t is in the database e")
                && error.message().contains("here d"),
            "{error}"
        );
    }

    #[test]
    fn names_and_expressions_without_a_table_are_reported() {
        let errors = |key, text| {
            unmatched(
                &config(&[(key, text)]),
                &listed("d.a", "e.B"),
                &MySqlDialect,
            )
        };
        for (key, text, want) in [
            ("table.whitelist", "a,e.B", ""),
            (
                "table.whitelist",
                "a,E.b",
                "table E.b does not exist now; it is read once it exists; there is e.B: letter case",
            ),
            (
                "table.whitelist",
                "x",
                "table x does not exist now; it is read once it exists; names are TABLE or DATABASE.TABLE",
            ),
            ("table.include.list", "d.a,a", "a matches no table now"),
        ] {
            let found: Vec<_> = errors(key, text)
                .into_iter()
                .map(|(on, text)| format!("{on} {text}"))
                .collect();
            let want = if want.is_empty() {
                String::new()
            } else {
                format!("{key} {want}")
            };
            assert!(
                found.len() == usize::from(!want.is_empty()) && found.concat().starts_with(&want),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn one_bare_name_twice_is_refused() {
        for (own, others) in [("d.a e.a", ""), ("d.a", "e.a")] {
            let config = config(&[("table.include.list", r"d\.a,e\.a")]);
            let error = choose(&config, &listed(own, others), &MySqlDialect).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(
                error
                    .message()
                    .contains("duplicate unqualified table names"),
                "{error}"
            );
        }
    }

    #[test]
    fn tables_are_split_into_contiguous_groups_the_first_larger() {
        let tables: Vec<_> = ["a", "b", "c", "d"]
            .iter()
            .map(|t| TableId::bare(*t))
            .collect();
        let sizes = |max| {
            split(&tables, max)
                .iter()
                .map(|g| g.len())
                .collect::<Vec<_>>()
        };
        assert_eq!(sizes(3), [2, 1, 1]);
        assert_eq!(sizes(10), [1, 1, 1, 1]);
        assert_eq!(sizes(1), [4]);
        assert_eq!(sizes(0), [4]);
        assert!(split(&[], 3).is_empty());
    }

    #[test]
    fn a_task_finds_its_tables_again() {
        let tables = vec![
            TableId::in_catalog("d", "a,`b"),
            TableId::in_catalog("d", "c.d"),
        ];
        let list = join(&tables, &MySqlDialect);
        let read: Vec<_> = TableId::list(&list)
            .into_iter()
            .filter_map(|p| table_id(p, DatabaseKind::MySql))
            .collect();
        assert_eq!(read, tables);
    }
}
