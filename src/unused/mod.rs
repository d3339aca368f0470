//! Settings of a connector that nothing reads: each is a warning with the name that was probably
//! meant, or an error where the setting would have excluded or hidden data. Pure.

mod guards;
mod topics;

use connector_api::config::near;
use connector_api::{Config, ConfigKey, ConfigReport};

use crate::kafka::ClientRole;
use crate::keys;
use crate::registry::{ConnectorPlugin, PluginKind, Registry};

/// Connector keys that exclude data: a misspelling of one is an error, because data that should have
/// been left out would be sent.
const EXCLUDING: &[&str] = &[
    "field.exclude.list",
    "field.include.list",
    "fields.whitelist",
    "table.blacklist",
    "table.exclude.list",
    "table.include.list",
    "table.whitelist",
];

/// Transforms that drop or hide data, by simple names.
const HIDING: &[&str] = &["ReplaceField", "MaskField", "Drop", "DropHeaders", "Filter"];

/// What ignoring a key that excludes data would lead to.
const EXPOSED: &str = "data that it should exclude would be sent or written";

/// Prefixes below which names are open, or are checked elsewhere.
const FAMILIES: &[&str] = &[
    "admin.override.",
    "connection.",
    "consumer.override.",
    "header.converter.",
    "hibernate.",
    "jdbc.credentials.provider.",
    "key.converter.",
    "predicates.",
    "producer.override.",
    "topic.creation.",
    "transforms.",
    "value.converter.",
];

/// Maximum number of unknown keys that are compared with the known ones, because each is compared
/// with all of them.
const MAX_COMPARED: usize = 1_000;

/// Keys that the runtime reads without declaring them.
const UNDECLARED: &[&str] = &[keys::PROGRESS_TIMEOUT, keys::MANAGED, "tasks.max.enforce"];

/// Reports the settings of a connector's config that nothing reads. `worker` holds the worker's
/// keys, which name the converters of a connector that names none.
pub(crate) fn unused(
    registry: &Registry,
    worker: &Config,
    connector: &ConnectorPlugin,
    config: &Config,
) -> ConfigReport {
    let mut report = ConfigReport::default();
    check_connector(connector, config, &mut report);
    let transforms = ("transforms.", PluginKind::Transformation, keys::TRANSFORM);
    let predicates = ("predicates.", PluginKind::Predicate, keys::PREDICATE);
    for (family, kind, shared) in [transforms, predicates] {
        check_aliases(registry, family, kind, shared, config, &mut report);
    }
    for (family, kind) in [
        ("key.converter.", PluginKind::Converter),
        ("value.converter.", PluginKind::Converter),
        ("header.converter.", PluginKind::HeaderConverter),
    ] {
        check_converter(registry, worker, family, kind, config, &mut report);
    }
    if matches!(connector, ConnectorPlugin::Source(_)) {
        topics::check(config, &mut report);
        check_sink_keys(config, &mut report);
    }
    report
}

/// Warns about settings of a source that only sinks have.
fn check_sink_keys(config: &Config, report: &mut ConfigReport) {
    let prefix = ClientRole::Consumer.override_prefix();
    for (name, _) in config.with_prefix(prefix).iter() {
        let full = format!("{prefix}{name}");
        let text =
            format!("{full} has no effect on a source connector: only sinks have a consumer");
        report.warn(&full, text);
    }
}

/// Checks the settings of one converter, which are below `family`.
fn check_converter(
    registry: &Registry,
    worker: &Config,
    family: &str,
    kind: PluginKind,
    config: &Config,
    report: &mut ConfigReport,
) {
    let key = family.trim_end_matches('.');
    let class = config.get(key).or_else(|| worker.get(key));
    let class = class.or_else(|| keys::default_converter(key));
    let Some(plugin) = class.and_then(|class| registry.plugin(kind, class.trim())) else {
        return;
    };
    let known: Vec<&str> = names(plugin.keys())
        .chain(["plugin.version", "converter.type"])
        .collect();
    for (name, _) in config.with_prefix(family).iter() {
        if is_known(&known, name) {
            continue;
        }
        let full = format!("{family}{name}");
        let meant = near(name, known.iter().copied());
        report_unknown(report, &full, family, meant, false);
    }
}

/// Returns the warnings that a running connector shows while its config holds settings without
/// effect.
pub(crate) fn without_effect(
    registry: &Registry,
    worker: &Config,
    connector: &ConnectorPlugin,
    config: &Config,
) -> Vec<String> {
    let mut report = ConfigReport::default();
    connector.plugin().check(config, &mut report);
    let of_url = report
        .warnings
        .into_iter()
        .filter(|warning| warning.key == "connection.url");
    let texts = of_url.map(|warning| format!("connection.url: {}", warning.message));
    texts
        .chain(
            unused(registry, worker, connector, config)
                .warnings
                .into_iter()
                .map(|warning| warning.message),
        )
        .collect()
}

fn check_connector(connector: &ConnectorPlugin, config: &Config, report: &mut ConfigReport) {
    // Forms of some tools send the keys of both directions, so that both are known.
    let tables = [
        connector.plugin().keys_as(config.class()),
        keys::COMMON,
        keys::SOURCE,
        keys::SINK,
    ];
    let known: Vec<&str> = tables
        .into_iter()
        .flat_map(names)
        .chain(UNDECLARED.iter().copied())
        .collect();
    let internal = |name: &str| {
        tables
            .iter()
            .any(|table| table.iter().any(|key| key.internal && key.name == name))
    };
    let unknown = |name: &str| {
        !is_known(&known, name)
            && !internal(name)
            && !FAMILIES.iter().any(|family| name.starts_with(family))
    };
    let unknown = config.iter().filter(|(name, _)| unknown(name));
    for (compared, (name, _)) in unknown.enumerate() {
        if compared == MAX_COMPARED {
            report.warn(
                name,
                format!(
                    "{name} and others: only {MAX_COMPARED} unknown keys are checked for typing errors"
                ),
            );
            break;
        }
        if let Some((family, rest)) = misspelt_family(name) {
            report_unknown(report, name, family, Some(rest), false);
            continue;
        }
        if let Some(instead) = guards::replacement(connector, name) {
            let text = format!("{name} is unknown, and {EXPOSED}: use {instead}, or remove it");
            report.error(name, text);
            continue;
        }
        // A key that resembles none is a user's own note: Kafka Connect accepts it silently, too.
        let meant = near(name, known.iter().copied())
            .or_else(|| near_shortened(name, known.iter().copied()));
        if let Some(meant) = meant {
            let excludes = EXCLUDING.contains(&meant);
            report_unknown(report, name, "", Some(meant), excludes);
        }
    }
}

/// Returns the family that a key of a misspelt one belongs to, and the rest of the key:
/// `consumer.overide.fetch.min.bytes` is `consumer.override.` and `fetch.min.bytes`.
fn misspelt_family(name: &str) -> Option<(&'static str, &str)> {
    FAMILIES.iter().find_map(|family| {
        let family_dots = family.matches('.').count();
        let (at, _) = name.match_indices('.').nth(family_dots - 1)?;
        let (given, rest) = name.split_at(at + 1);
        (!rest.is_empty()).then_some(())?;
        near(given, [*family])?;
        Some((*family, rest))
    })
}

/// Returns the known key whose first words `name` is, with a slip in at least one of them:
/// `timestamp.colums` for `timestamp.column.name`.
fn near_shortened<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let words = name.matches('.').count() + 1;
    if words < 2 {
        return None;
    }
    known.into_iter().find(|known| {
        let cut = known.match_indices('.').nth(words - 1);
        cut.is_some_and(|(at, _)| near(name, [&known[..at]]).is_some())
    })
}

/// Checks the settings below `transforms.` or `predicates.`.
fn check_aliases(
    registry: &Registry,
    family: &str,
    kind: PluginKind,
    shared: &'static [ConfigKey],
    config: &Config,
    report: &mut ConfigReport,
) {
    let list = family.trim_end_matches('.');
    let aliases = listed_aliases(config, list);
    for (rest, _) in config.with_prefix(family).iter() {
        let full = format!("{family}{rest}");
        let Some((alias, name)) = split_alias(&aliases, rest) else {
            let alias = rest.split('.').next().unwrap_or(rest);
            let meant = near(alias, aliases.iter().copied());
            let hint = meant
                .map(|meant| format!("; did you mean {family}{meant}?"))
                .unwrap_or_default();
            report.warn(
                &full,
                format!("{full} has no effect: {list} does not list {alias}{hint}"),
            );
            continue;
        };
        let class = config
            .get(&format!("{family}{alias}.type"))
            .unwrap_or_default()
            .trim();
        // A class that does not exist is reported where the chain is checked.
        let Some(plugin) = registry.plugin(kind, class) else {
            continue;
        };
        let known: Vec<&str> = names(plugin.keys()).chain(names(shared)).collect();
        if is_known(&known, name) {
            continue;
        }
        let meant = near(name, known.iter().copied());
        let simple = plugin
            .class()
            .rsplit('.')
            .next()
            .unwrap_or_default()
            .split('$')
            .next()
            .unwrap_or_default();
        let hides = HIDING.contains(&simple) || matches!(meant, Some("predicate" | "negate"));
        report_unknown(
            report,
            &full,
            &format!("{family}{alias}."),
            meant,
            hides && kind == PluginKind::Transformation,
        );
    }
}

/// Returns the aliases that a key lists; no more than may be listed.
fn listed_aliases<'a>(config: &'a Config, list: &str) -> Vec<&'a str> {
    let listed = config.get(list).unwrap_or_default().split(',');
    listed
        .map(str::trim)
        .filter(|alias| !alias.is_empty())
        .take(keys::ALIASES_MAX)
        .collect()
}

/// Splits `ALIAS.SETTING`. An alias may contain dots: a setting belongs to the longest that fits.
fn split_alias<'a>(aliases: &[&'a str], key: &'a str) -> Option<(&'a str, &'a str)> {
    let setting_of = |alias: &&'a str| key.strip_prefix(*alias)?.strip_prefix('.');
    let owned = aliases
        .iter()
        .filter_map(|alias| Some((*alias, setting_of(alias)?)));
    owned.max_by_key(|(alias, _)| alias.len())
}

fn names(table: &'static [ConfigKey]) -> impl Iterator<Item = &'static str> {
    let shown = table.iter().filter(|key| !key.internal);
    shown.flat_map(|key| std::iter::once(key.name).chain(key.aliases.iter().copied()))
}

fn is_known(known: &[&str], name: &str) -> bool {
    known.contains(&name)
}

/// Reports an unknown key: an error if it `excludes` data, a warning otherwise. `prefix` and `meant`
/// make the name that was probably meant.
fn report_unknown(
    report: &mut ConfigReport,
    full: &str,
    prefix: &str,
    meant: Option<&str>,
    excludes: bool,
) {
    let hint = meant
        .map(|meant| format!("; did you mean {prefix}{meant}?"))
        .unwrap_or_default();
    if excludes {
        report.error(
            full,
            format!("{full} is unknown, and {EXPOSED}: correct its name, or remove it{hint}"),
        );
    } else {
        report.warn(full, format!("{full} is unknown and has no effect{hint}"));
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{Config, ConfigReport};

    use super::unused;
    use crate::registry::Registry;

    fn of(class: &str, pairs: &[(&str, &str)]) -> ConfigReport {
        let registry = Registry::built_in();
        let mut config = Config::from([("connector.class", class), ("name", "n")]);
        pairs
            .iter()
            .for_each(|(key, value)| config.set(*key, *value));
        let connector = registry.connector(class).unwrap();
        unused(&registry, &Config::new(), connector, &config)
    }

    /// The texts of a report that has warnings alone.
    fn warnings(report: &ConfigReport) -> Vec<&str> {
        assert_eq!(report.errors, []);
        let warnings = report.warnings.iter();
        warnings.map(|warning| warning.message.as_str()).collect()
    }

    #[test]
    fn a_setting_that_nothing_reads_is_a_warning_with_the_name_that_was_probably_meant() {
        let report = of(
            "JdbcSource",
            &[
                ("Batch.Max.Rows", "1"),
                ("my.note", "x"),
                ("task.progress.timeout.ms", "1"),
                ("connection.anything", "checked with the URL"),
                (
                    "value.converter",
                    "org.apache.kafka.connect.json.JsonConverter",
                ),
                ("value.converter.schemas.enabled", "false"),
                ("transforms", "a, b.c"),
                (
                    "transforms.a.type",
                    "org.apache.kafka.connect.transforms.InsertField$Value",
                ),
                ("transforms.a.topic.feld", "t"),
                (
                    "transforms.b.c.type",
                    "org.apache.kafka.connect.transforms.RegexRouter",
                ),
                ("transforms.b.c.regexp", "x"),
                ("transforms.A.type", "x"),
                ("predicates", "p"),
                ("predicates.p.type", "TopicNameMatches"),
                ("predicates.p.patern", "x"),
            ],
        );
        let want = [
            "Batch.Max.Rows is unknown and has no effect; did you mean batch.max.rows?",
            "transforms.A.type has no effect: transforms does not list A; did you mean transforms.a?",
            "transforms.a.topic.feld is unknown and has no effect; did you mean transforms.a.topic.field?",
            "transforms.b.c.regexp is unknown and has no effect; did you mean transforms.b.c.regex?",
            "predicates.p.patern is unknown and has no effect; did you mean predicates.p.pattern?",
            "value.converter.schemas.enabled is unknown and has no effect; did you mean value.converter.schemas.enable?",
        ];
        assert_eq!(warnings(&report), want);
    }

    #[test]
    fn slips_in_families_shortened_names_and_settings_of_the_workers_converter_are_warnings() {
        let registry = Registry::built_in();
        let worker = Config::from([("value.converter", "JsonConverter")]);
        let config = Config::from([
            ("connector.class", "JdbcSource"),
            ("consumer.overide.fetch.min.bytes", "1"),
            ("timestamp.colums", "t"),
            ("topic.note", "resembles no key"),
            ("value.converter.schema.enable", "false"),
            ("key.converter.schemas.enabled", "false"),
            ("topic.creation.default.cleanup.polcy", "compact"),
            ("topic.creation.default.known.to.a.later.broker", "1"),
            ("consumer.override.fetch.min.bytes", "1"),
        ]);
        let connector = registry.connector("JdbcSource").unwrap();
        let report = unused(&registry, &worker, connector, &config);
        let want = [
            "consumer.overide.fetch.min.bytes is unknown and has no effect; did you mean consumer.override.fetch.min.bytes?",
            "timestamp.colums is unknown and has no effect; did you mean timestamp.column.name?",
            "key.converter.schemas.enabled is unknown and has no effect; did you mean key.converter.schemas.enable?",
            "value.converter.schema.enable is unknown and has no effect; did you mean value.converter.schemas.enable?",
            "topic.creation.default.cleanup.polcy is unknown and has no effect; did you mean topic.creation.default.cleanup.policy?",
            "consumer.override.fetch.min.bytes has no effect on a source connector: only sinks have a consumer",
        ];
        assert_eq!(warnings(&report), want);
    }

    #[test]
    fn a_setting_that_would_exclude_data_is_refused() {
        let keys = |report: ConfigReport| {
            report
                .errors
                .into_iter()
                .map(|problem| problem.key)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            keys(of(
                "JdbcSource",
                &[("Table.Whitelist", "t"), ("table_blacklist", "u")]
            )),
            ["Table.Whitelist", "table_blacklist"]
        );
        assert_eq!(
            keys(of(
                "JdbcSink",
                &[("field.exlude.list", "a"), ("Fields.Whitelist", "b")]
            )),
            ["Fields.Whitelist", "field.exlude.list"]
        );
        let with = |class: &str, key: &str| {
            let transform = format!("transforms.t.{key}");
            keys(of(
                "JdbcSink",
                &[
                    ("transforms", "t"),
                    ("transforms.t.type", class),
                    (&transform, "x"),
                ],
            ))
        };
        for key in [
            "Exclude",
            "excludeFields",
            "includeFields",
            "fields",
            "predicat",
        ] {
            assert_eq!(
                with("ReplaceField$Value", key),
                [format!("transforms.t.{key}")],
                "{key}"
            );
        }
        assert_eq!(with("MaskField$Value", "field"), ["transforms.t.field"]);
        assert_eq!(
            with("InsertField$Value", "Predicate"),
            ["transforms.t.Predicate"]
        );
        for key in ["exclude", "blacklist", "whitelist", "include", "renames"] {
            assert_eq!(with("ReplaceField$Value", key), [""; 0], "{key}");
        }
    }
}
