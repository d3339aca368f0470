//! Settings of a connector that nothing reads. They are reported with the most similar known name, and refused if their purpose
//! would be to exclude or protect data. Pure.

use connector_api::config::near;
use connector_api::{Config, ConfigKey, ConfigReport};

use crate::keys;
use crate::registry::{ConnectorPlugin, PluginKind, Registry};

/// Connector keys that exclude data from being read or written: a key with a similar name must not
/// be ignored.
const KEEPING_BACK: &[&str] = &[
    "field.exclude.list",
    "field.include.list",
    "fields.whitelist",
    "table.blacklist",
    "table.exclude.list",
    "table.include.list",
    "table.whitelist",
];

/// Simple names of the transforms that remove or hide data.
const HIDING: &[&str] = &["ReplaceField", "MaskField", "Drop", "DropHeaders", "Filter"];

/// Prefixes of keys with free names, or that are checked elsewhere.
const ELSEWHERE: &[&str] = &[
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

/// Maximum number of unknown keys of a connector that are compared with the known ones, because
/// each is compared with all of them.
const MOST_LOOKED_AT: usize = 1_000;

/// Keys that the runtime reads without declaring them.
const OF_THE_RUNTIME: &[&str] = &[keys::PROGRESS_TIMEOUT, "tasks.max.enforce"];

/// Returns the messages about the settings of a config that nothing reads.
pub(crate) fn unused(
    registry: &Registry,
    connector: &ConnectorPlugin,
    config: &Config,
) -> ConfigReport {
    let mut report = ConfigReport::default();
    of_connector(connector, config, &mut report);
    let transforms = ("transforms.", PluginKind::Transformation, keys::TRANSFORM);
    let predicates = ("predicates.", PluginKind::Predicate, keys::PREDICATE);
    for (family, kind, shared) in [transforms, predicates] {
        of_aliases(registry, family, kind, shared, config, &mut report);
    }
    for (family, kind) in [
        ("key.converter.", PluginKind::Converter),
        ("value.converter.", PluginKind::Converter),
        ("header.converter.", PluginKind::HeaderConverter),
    ] {
        let class = config.get(family.trim_end_matches('.'));
        let Some(plugin) = class.and_then(|class| registry.plugin(kind, class.trim())) else {
            continue;
        };
        let known: Vec<&str> = names(plugin.keys())
            .chain(["plugin.version", "converter.type"])
            .collect();
        for (name, _) in config
            .with_prefix(family)
            .iter()
            .filter(|(name, _)| !is_known(&known, name))
        {
            tell(
                &mut report,
                &format!("{family}{name}"),
                family,
                near(name, known.iter().copied()),
                false,
            );
        }
    }
    report
}

/// Returns the warnings that a running connector shows while its config has settings without
/// effect.
pub(crate) fn without_effect(
    registry: &Registry,
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
            unused(registry, connector, config)
                .warnings
                .into_iter()
                .map(|warning| warning.message),
        )
        .collect()
}

fn of_connector(connector: &ConnectorPlugin, config: &Config, report: &mut ConfigReport) {
    // forms send the keys of both directions
    let tables = [
        connector.plugin().keys_as(config.class()),
        keys::COMMON,
        keys::SOURCE,
        keys::SINK,
    ];
    let known: Vec<&str> = tables
        .into_iter()
        .flat_map(names)
        .chain(OF_THE_RUNTIME.iter().copied())
        .collect();
    let internal = |name: &str| {
        tables
            .iter()
            .any(|table| table.iter().any(|key| key.internal && key.name == name))
    };
    let foreign = |name: &str| {
        !is_known(&known, name)
            && !internal(name)
            && !ELSEWHERE.iter().any(|family| name.starts_with(family))
    };
    for (looked_at, (name, _)) in config.iter().filter(|(name, _)| foreign(name)).enumerate() {
        if looked_at == MOST_LOOKED_AT {
            report.warn(
                name,
                format!(
                    "{name} and others: only {MOST_LOOKED_AT} unknown keys are checked for typing \
                     errors"
                ),
            );
            break;
        }
        // a key that resembles no known one may be a note of the user; Kafka Connect accepts it
        // silently
        let Some(meant) = near(name, known.iter().copied()) else {
            continue;
        };
        tell(report, name, "", Some(meant), KEEPING_BACK.contains(&meant));
    }
}

/// Checks settings with the prefix `transforms.` or `predicates.`.
fn of_aliases(
    registry: &Registry,
    family: &str,
    kind: PluginKind,
    shared: &'static [ConfigKey],
    config: &Config,
    report: &mut ConfigReport,
) {
    let list = family.trim_end_matches('.');
    let listed = config
        .get(list)
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|alias| !alias.is_empty());
    let mut aliases: Vec<&str> = listed.take(keys::ALIASES_MAX).collect();
    // a setting belongs to the longest matching alias, because names may contain dots
    aliases.sort_by_key(|alias| std::cmp::Reverse(alias.len()));
    for (rest, _) in config.with_prefix(family).iter() {
        let own = |alias: &&&str| {
            rest.strip_prefix(**alias)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        let full = format!("{family}{rest}");
        let Some(alias) = aliases.iter().find(own) else {
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
        let name = &rest[alias.len() + 1..];
        let class = config
            .get(&format!("{family}{alias}.type"))
            .unwrap_or_default()
            .trim();
        // a missing class is reported elsewhere
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
        tell(
            report,
            &full,
            &format!("{family}{alias}."),
            meant,
            hides && kind == PluginKind::Transformation,
        );
    }
}

fn names(table: &'static [ConfigKey]) -> impl Iterator<Item = &'static str> {
    let shown = table.iter().filter(|key| !key.internal);
    shown.flat_map(|key| std::iter::once(key.name).chain(key.aliases.iter().copied()))
}

fn is_known(known: &[&str], name: &str) -> bool {
    known.contains(&name)
}

fn tell(
    report: &mut ConfigReport,
    full: &str,
    prefix: &str,
    meant: Option<&str>,
    keeps_back: bool,
) {
    let hint = meant
        .map(|meant| format!("; did you mean {prefix}{meant}?"))
        .unwrap_or_default();
    if keeps_back {
        let why = "data that it should exclude would be sent or written";
        report.error(
            full,
            format!("{full} is unknown, and {why}: correct its name, or remove it{hint}"),
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
        unused(&registry, registry.connector(class).unwrap(), &config)
    }

    #[test]
    fn a_setting_that_nothing_reads_is_reported_with_the_most_similar_name() {
        let report = of(
            "JdbcSource",
            &[
                ("Batch.Max.Rows", "1"),
                ("my.note", "x"),
                ("task.progress.timeout.ms", "1"),
                ("connection.anything", "its URL's to tell"),
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
        assert_eq!(report.errors, []);
        let texts: Vec<_> = report
            .warnings
            .iter()
            .map(|warning| warning.message.as_str())
            .collect();
        let want = [
            "Batch.Max.Rows is unknown and has no effect; did you mean batch.max.rows?",
            "transforms.A.type has no effect: transforms does not list A; did you mean transforms.a?",
            "transforms.a.topic.feld is unknown and has no effect; did you mean transforms.a.topic.field?",
            "transforms.b.c.regexp is unknown and has no effect; did you mean transforms.b.c.regex?",
            "predicates.p.patern is unknown and has no effect; did you mean predicates.p.pattern?",
            "value.converter.schemas.enabled is unknown and has no effect; did you mean value.converter.schemas.enable?",
        ];
        assert_eq!(texts, want);
    }

    #[test]
    fn one_that_would_keep_something_back_is_refused() {
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
