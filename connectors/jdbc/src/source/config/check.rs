//! Checks across the source's keys, with Confluent's texts where clients match on them. Pure.

use connector_api::{Config, ConfigReport};

use super::query_text;
use super::source_config::{CDC, SourceConfig, SourceMode};
use crate::ident::TableId;
use crate::url::{ConnectionTarget, DatabaseKind};

const TABLE_FILTERS: [&str; 4] = [
    "table.whitelist",
    "table.blacklist",
    "table.include.list",
    "table.exclude.list",
];
const LEGACY: [&str; 4] = [
    "table.whitelist",
    "table.blacklist",
    "timestamp.column.name",
    "incrementing.column.name",
];
const NEW: [&str; 4] = [
    "table.include.list",
    "table.exclude.list",
    "timestamp.columns.mapping",
    "incrementing.column.mapping",
];

/// Reports problems with the keys as a whole, and which keys a form hides.
pub(crate) fn check(config: &Config, report: &mut ConfigReport) {
    let set = |key: &str| config.get(key).is_some_and(|v| !v.trim().is_empty());
    let mode = config.get("mode").unwrap_or_default().trim();
    ConnectionTarget::report_warnings(config, report);
    check_mode(mode, report);
    check_deletions(config, mode, report);
    if mode == CDC {
        check_cdc(config, report);
    }
    let (legacy, new): (Vec<_>, Vec<_>) = (
        LEGACY.into_iter().filter(|k| set(k)).collect(),
        NEW.into_iter().filter(|k| set(k)).collect(),
    );
    let query = ["query", "query.masked"].into_iter().find(|k| set(k));
    if !legacy.is_empty() && !new.is_empty() {
        for key in legacy.into_iter().chain(new) {
            report.error(
                key,
                format!(
                    "Cannot mix legacy and new configuration approaches. Legacy configurations ({}) \
                 cannot be used together with new configurations ({}). Please choose one approach: either use all \
                 legacy configurations or all new configurations.",
                    LEGACY.join(", "),
                    NEW.join(", ")
                ),
            );
        }
    } else if query.is_none() && legacy.is_empty() && new.is_empty() {
        // Without a mode the form has only been opened.
        for key in TABLE_FILTERS
            .into_iter()
            .filter(|_| SourceMode::parse(mode).is_some())
        {
            report.error(
                key,
                "At least one table filtering configuration is required. Provide one of: table.whitelist, \
                 table.blacklist, table.include.list, or table.exclude.list.",
            );
        }
    } else {
        check_query(config, mode, query, report);
        if set("table.exclude.list") && !set("table.include.list") {
            report.error(
                "table.exclude.list",
                "table.exclude.list cannot be used without table.include.list. Exclude list only applies to tables that \
                 match the include list.",
            );
        }
        if set("table.include.list") {
            check_mappings(config, mode, report);
        }
    }
    check_timestamp_columns(config, mode, report);
    if query.is_some() {
        check_query_topic(config, report);
    } else {
        check_database(config, report);
    }
}

/// A mode that reads by timestamps needs their columns. (The incrementing column can be found by
/// itself, and `check_mappings` reports what goes with `table.include.list`.)
fn check_timestamp_columns(config: &Config, mode: &str, report: &mut ConfigReport) {
    const COLUMNS: [&str; 3] = [
        "timestamp.column.name",
        "timestamp.columns.mapping",
        "table.include.list",
    ];
    let given = |key: &str| {
        let list = config.get(key).unwrap_or_default();
        list.split(',').any(|item| !item.trim().is_empty())
    };
    let needed = SourceMode::parse(mode).is_some_and(SourceMode::has_timestamp);
    if needed && !COLUMNS.into_iter().any(given) {
        report.error(
            "timestamp.column.name",
            format!(
                "'timestamp.column.name' must be provided when using mode '{mode}': the column, or \
                 columns, that say when a row was last changed."
            ),
        );
    }
}

/// The topic of a query is named by `topic.prefix` alone, unless a transform names it.
fn check_query_topic(config: &Config, report: &mut ConfigReport) {
    let set = |key: &str| config.get(key).is_some_and(|v| !v.trim().is_empty());
    if set("topic.prefix") {
        return;
    }
    let text = "'topic.prefix' must be provided with 'query': it is the whole name of the topic.";
    if set("transforms") {
        report.warn("topic.prefix", text);
    } else {
        report.error("topic.prefix", text);
    }
}

/// Without a database in the URL, MariaDB's driver lists no tables: only names with a database mean
/// one.
fn check_database(config: &Config, report: &mut ConfigReport) {
    // an invalid URL, or table list, is reported under its own key
    let Ok(source) = SourceConfig::read(config) else {
        return;
    };
    let target = &source.target;
    let lists_none = match target.database_kind() {
        DatabaseKind::MySql => target.database.is_none() && !target.maps_as_mysql_driver(),
        DatabaseKind::Postgres | DatabaseKind::Sqlite => false,
    };
    let filter = &source.filter;
    let is_qualified = |name: &String| TableId::split(name).is_some_and(|parts| parts.len() > 1);
    if lists_none
        && filter.catalog.is_none()
        && filter.include.is_empty()
        && !filter.whitelist.iter().any(is_qualified)
    {
        report.error(
            "connection.url",
            "The URL names no database, so that no table is found: append it to the URL \
             (…:3306/DATABASE), name tables as DATABASE.TABLE in table.whitelist, or set \
             catalog.pattern.",
        );
    }
}

fn check_mode(mode: &str, report: &mut ConfigReport) {
    const ALL: [&str; 6] = [
        "incrementing.column.name",
        "timestamp.column.name",
        "timestamp.columns.mapping",
        "incrementing.column.mapping",
        "timestamp.initial",
        "validate.non.null",
    ];
    report.hide("query.masked");
    let Some(known) = SourceMode::parse(mode) else {
        for key in ALL {
            let text = if mode.is_empty() {
                "Query mode must be specified".to_owned()
            } else {
                format!("Invalid mode: {mode}")
            };
            report.error(key, text);
        }
        return;
    };
    for key in ALL {
        let visible = match key {
            "validate.non.null" => known != SourceMode::Bulk,
            key if key.starts_with("incrementing") => known.has_id(),
            _ => known.has_timestamp(),
        };
        if !visible {
            report.hide(key);
        }
    }
}

fn check_query(config: &Config, mode: &str, query: Option<&str>, report: &mut ConfigReport) {
    let Some(key) = query else { return };
    let set = |key: &str| config.get(key).is_some_and(|v| !v.trim().is_empty());
    if set("query") && set("query.masked") {
        for key in ["query", "query.masked"] {
            report.error(
                key,
                "Both 'query' and 'query.masked' are set: give one of them.",
            );
        }
    }
    let filters: Vec<_> = TABLE_FILTERS.into_iter().filter(|k| set(k)).collect();
    if !filters.is_empty() {
        for key in filters.into_iter().chain(["query", "query.masked"]) {
            report.error(
                key,
                "Do not specify table filtering configs with 'query'. Remove table.whitelist / table.blacklist / \
                 table.include.list / table.exclude.list when using query mode or 'query' when using table filtering mode.",
            );
        }
        return;
    }
    // A URL that cannot be parsed is reported on its own.
    let database = ConnectionTarget::parse(config.get("connection.url").unwrap_or_default())
        .map(|target| target.database_kind());
    let text = config.get(key).unwrap_or_default();
    if let Some(problem) = query_text::problem(text, database.unwrap_or(DatabaseKind::MySql)) {
        report.error(
            key,
            format!("Only SELECT statements are supported for '{key}'. {problem}"),
        );
    }
    if SourceMode::parse(mode).is_some_and(SourceMode::has_id) && !set("incrementing.column.name") {
        report.error(
            "incrementing.column.name",
            "'incrementing.column.name' must be provided when using mode 'incrementing' or 'timestamp+incrementing' with \
             a custom query. The incrementing column cannot be auto-discovered in query mode because there is no table \
             to inspect. Note that 'incrementing.column.mapping' is not applied in query mode (it maps columns by \
             table-name regex, and a custom query has no underlying table to match), so 'incrementing.column.name' must \
             be set explicitly.",
        );
    }
}

/// Checks what deletion capture needs: a key that names the row, and a mode that remembers rows.
fn check_deletions(config: &Config, mode: &str, report: &mut ConfigReport) {
    let text = |key: &str| config.get(key).unwrap_or_default().trim().to_lowercase();
    let sweeps = text("delete.capture") == "key_sweep";
    let query = ["query", "query.masked"]
        .into_iter()
        .any(|key| !text(key).is_empty());
    for (key, used) in [
        ("delete.capture", sweeps),
        (
            "delete.marker.column",
            !text("delete.marker.column").is_empty(),
        ),
    ] {
        if used && text("key.mode") == "none" {
            report.error(
                key,
                format!(
                    "{key} needs a record key that identifies the row: set key.mode=primary_key."
                ),
            );
        }
        if used && query {
            report.error(
                key,
                format!(
                    "{key} needs tables, because it uses their primary keys: name tables instead \
                     of a query, or unset {key}."
                ),
            );
        }
    }
    if sweeps && mode != CDC && SourceMode::parse(mode) == Some(SourceMode::Bulk) {
        report.error(
            "delete.capture",
            "delete.capture=key_sweep cannot be used with mode bulk, which emits every row each \
             time: choose incrementing, timestamp or timestamp+incrementing, or set \
             delete.capture=none.",
        );
    }
    if sweeps && text("transaction.isolation.mode") == "read_uncommitted" {
        report.error(
            "delete.capture",
            "delete.capture=key_sweep would emit deletions that are rolled back later: set \
             transaction.isolation.mode to another level than read_uncommitted.",
        );
    }
}

/// Checks what the log needs: a server, tables, and a key that identifies the row.
fn check_cdc(config: &Config, report: &mut ConfigReport) {
    let text = |key: &str| config.get(key).unwrap_or_default().trim().to_lowercase();
    let target = ConnectionTarget::parse(config.get("connection.url").unwrap_or_default());
    // a URL that cannot be parsed is reported on its own
    let lacks_log = target.is_ok_and(|target| match target.database_kind() {
        DatabaseKind::MySql | DatabaseKind::Postgres => false,
        DatabaseKind::Sqlite => true,
    });
    if lacks_log {
        report.error(
            "mode",
            "mode cdc reads the log of MariaDB or PostgreSQL: choose another mode for this database.",
        );
    }
    for (key, is_used, instead) in [
        (
            "query",
            !text("query").is_empty(),
            "name tables instead of a query, or choose another mode",
        ),
        (
            "query.masked",
            !text("query.masked").is_empty(),
            "name tables instead of a query, or choose another mode",
        ),
        (
            "query.suffix",
            !text("query.suffix").is_empty(),
            "unset query.suffix, or choose another mode",
        ),
        (
            "delete.capture",
            text("delete.capture") == "key_sweep",
            "the log has the deleted rows, so set delete.capture=none",
        ),
        (
            "key.mode",
            text("key.mode") == "none",
            "deleted rows are reported by their keys, so set key.mode=primary_key",
        ),
    ] {
        if is_used {
            report.error(
                key,
                format!("{key} cannot be used with mode cdc: {instead}."),
            );
        }
    }
}

/// With the newer keys, mappings must be given for exactly those columns that the mode needs.
fn check_mappings(config: &Config, mode: &str, report: &mut ConfigReport) {
    let Some(mode) = SourceMode::parse(mode) else {
        return;
    };
    for (needed, key, what, modes) in [
        (
            mode.has_timestamp(),
            "timestamp.columns.mapping",
            "Timestamp",
            "'timestamp' or 'timestamp+incrementing'",
        ),
        (
            mode.has_id(),
            "incrementing.column.mapping",
            "Incrementing",
            "'incrementing' or 'timestamp+incrementing'",
        ),
    ] {
        let given = config.get(key).is_some_and(|v| !v.trim().is_empty());
        if needed && !given && key.starts_with("timestamp") {
            report.error(
                "mode",
                format!("{what} column configuration must be provided when using mode {modes}. Provide '{key}'."),
            );
        } else if given && !needed {
            report.error(
                "mode",
                format!("{what} column configuration should not be provided if mode is not {modes}. Remove '{key}'."),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{Config, ConfigReport};

    use super::check;

    fn keys(pairs: &[(&str, &str)]) -> Vec<String> {
        let config: Config = [("topic.prefix", "p")]
            .iter()
            .chain(pairs)
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let mut report = ConfigReport::default();
        check(&config, &mut report);
        report.errors.into_iter().map(|p| p.key).collect()
    }

    const INC: (&str, &str) = ("mode", "incrementing");
    const ID: (&str, &str) = ("incrementing.column.name", "id");
    const TABLE: (&str, &str) = ("table.whitelist", "t");
    const QUERY: (&str, &str) = ("query", "SELECT 1");
    const TIMESTAMP: (&str, &str) = ("mode", "timestamp");
    const COLUMN: (&str, &str) = ("timestamp.column.name", "at");

    /// Keys of a config, and those that have a problem.
    type Case = (Vec<(&'static str, &'static str)>, Vec<&'static str>);

    fn check_all(cases: Vec<Case>) {
        for (pairs, want) in cases {
            assert_eq!(keys(&pairs), want, "{pairs:?}");
        }
    }

    #[test]
    fn errors_are_on_the_same_keys_as_in_other_connectors() {
        check_all(vec![
            (vec![INC, ID, TABLE], vec![]),
            (vec![INC, ID], vec![]),
            (vec![("mode", "bulk")], super::TABLE_FILTERS.to_vec()),
            (
                vec![INC, ID, TABLE, ("table.include.list", ".*")],
                vec![
                    "table.whitelist",
                    "incrementing.column.name",
                    "table.include.list",
                ],
            ),
            (
                vec![INC, ID, TABLE, ("query", "select 1")],
                vec!["table.whitelist", "query", "query.masked"],
            ),
            (vec![INC, ID, ("query", "UPDATE t")], vec!["query"]),
            (vec![INC, QUERY], vec!["incrementing.column.name"]),
            (
                vec![("mode", "bulk"), ("table.exclude.list", "a")],
                vec!["table.exclude.list"],
            ),
            (
                vec![("mode", "timestamp"), ("table.include.list", "a")],
                vec!["mode"],
            ),
            (vec![TIMESTAMP, QUERY], vec!["timestamp.column.name"]),
            (vec![TIMESTAMP, QUERY, COLUMN], vec![]),
            (vec![TIMESTAMP, TABLE], vec!["timestamp.column.name"]),
            (
                vec![("mode", "timestamp+incrementing"), ID, TABLE],
                vec!["timestamp.column.name"],
            ),
            (
                vec![TIMESTAMP, TABLE, ("timestamp.column.name", " , ")],
                vec!["timestamp.column.name"],
            ),
            (vec![TIMESTAMP, TABLE, COLUMN], vec![]),
        ]);
        assert_eq!(keys(&[("mode", "nope"), TABLE]).len(), 6);
    }

    #[test]
    fn a_query_needs_the_name_of_its_topic() {
        let bulk = ("mode", "bulk");
        let unnamed = ("topic.prefix", "");
        check_all(vec![
            (vec![bulk, QUERY, unnamed], vec!["topic.prefix"]),
            (vec![bulk, QUERY, unnamed, ("transforms", "route")], vec![]),
            (vec![bulk, TABLE, unnamed], vec![]),
        ]);
    }

    #[test]
    fn a_url_without_a_database_needs_tables_that_name_theirs() {
        let bulk = ("mode", "bulk");
        let url = |url| ("connection.url", url);
        let none = url("jdbc:mariadb://h:3306/");
        check_all(vec![
            (vec![bulk, none, TABLE], vec!["connection.url"]),
            (
                vec![bulk, none, ("table.blacklist", "t")],
                vec!["connection.url"],
            ),
            (vec![bulk, none, ("table.whitelist", "t,d.t")], vec![]),
            (vec![bulk, none, ("table.include.list", "d[.]t")], vec![]),
            (vec![bulk, none, TABLE, ("catalog.pattern", "d")], vec![]),
            (vec![bulk, none, QUERY], vec![]),
            (vec![bulk, url("jdbc:mysql://h:3306/"), TABLE], vec![]),
            (vec![bulk, url("jdbc:postgresql://h:5432/"), TABLE], vec![]),
        ]);
    }

    #[test]
    fn problems_of_deletion_capture_are_on_its_keys() {
        let sweep = ("delete.capture", "key_sweep");
        let marker = ("delete.marker.column", "gone");
        check_all(vec![
            (vec![INC, ID, TABLE, sweep], vec![]),
            (
                vec![INC, ID, TABLE, sweep, ("key.mode", "NONE")],
                vec!["delete.capture"],
            ),
            (
                vec![INC, ID, QUERY, sweep, marker],
                vec!["delete.capture", "delete.marker.column"],
            ),
            (
                vec![("mode", "bulk"), TABLE, sweep, marker],
                vec!["delete.capture"],
            ),
            (
                vec![
                    INC,
                    ID,
                    TABLE,
                    sweep,
                    ("transaction.isolation.mode", "read_uncommitted"),
                ],
                vec!["delete.capture"],
            ),
        ]);
    }
}
