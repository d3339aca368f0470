//! Checks that the declared keys are those that are read: every key in forms, reference and help
//! has an effect, and every key with an effect is listed there.
//!
//! The code that reads keys is run, and the names that it queries are recorded. A connector's own
//! keys are compared in its own crate.

use std::collections::BTreeSet;
use std::path::Path;

use connector_api::config::{keys_asked, unlike};
use connector_api::{Config, ConfigKey, TaskPlan};
use regex::Regex;

use crate::herder::core;
use crate::keys;
use crate::registry::{ConverterRole, PluginKind, Registry};
use crate::settings::{self, SettingsLayer, WorkerSettings};
use crate::worker::config_reads;

const NONE: [&str; 0] = [];

/// Each plug-in is created as a task creates it.
#[test]
fn transforms_predicates_and_converters_read_what_they_declare() {
    let (registry, given) = (
        Registry::built_in(),
        Config::from([("schema.registry.url", "http://localhost:1")]),
    );
    let make = |kind: PluginKind, class: &str| match kind {
        PluginKind::Transformation => drop(registry.transform(class, &given)),
        PluginKind::Predicate => drop(registry.predicate(class, &given)),
        PluginKind::HeaderConverter => {
            drop(registry.converter(class, ConverterRole::Header, &given));
        }
        _ => drop(registry.converter(class, ConverterRole::Value, &given)),
    };
    let (mut wrong, mut read) = (Vec::new(), 0);
    for (kind, plugin) in PluginKind::OF_CONNECTORS
        .iter()
        .flat_map(|kind| registry.plugins(*kind).into_iter().map(move |p| (*kind, p)))
    {
        let mut asked = keys_asked(|| make(kind, plugin.class()));
        read += asked.len();
        // Keys of Kafka's own serializers, which the text of converter.encoding names.
        asked.retain(|name| !name.ends_with("serializer.encoding"));
        wrong.extend(
            unlike(plugin.keys(), &asked)
                .into_iter()
                .map(|what| format!("{}: {what}", plugin.class())),
        );
    }
    assert_eq!(wrong, NONE);
    assert!(read > 100, "only {read} keys were read");
}

/// Tables without the keys that select the connector: they are removed from the request before
/// there is a config.
fn together(tables: &[&[ConfigKey]]) -> Vec<ConfigKey> {
    let all = tables.iter().flat_map(|table| table.iter().copied());
    all.filter(|key| !["name", "connector.class"].contains(&key.name))
        .collect()
}

/// Returns the differences between the queried keys and the declared ones, except for those that
/// are declared elsewhere.
fn differences(
    declared: &[ConfigKey],
    asked: BTreeSet<String>,
    elsewhere: fn(&str) -> bool,
) -> Vec<String> {
    let own = |name: &String| declared.iter().any(|key| key.name == *name) || !elsewhere(name);
    unlike(declared, &asked.into_iter().filter(own).collect())
}

fn of_the_default_converters(name: &str) -> bool {
    let registry = Registry::built_in();
    let json = registry.plugin(PluginKind::Converter, "JsonConverter");
    json.is_some_and(|json| json.keys().iter().any(|key| key.name == name))
}

fn of_every_connector(name: &str) -> bool {
    let tables = [
        keys::COMMON,
        keys::SOURCE,
        keys::SINK,
        keys::TRANSFORM,
        keys::PREDICATE,
    ];
    tables
        .iter()
        .any(|table| table.iter().any(|key| key.name == name))
        || name.starts_with("topic.creation.")
}

#[test]
fn what_every_connector_declares_is_read_and_no_more() {
    let worker = config_reads::options(Config::new());
    let mut given = Config::from([
        ("transforms", "t"),
        ("transforms.t.type", "Filter"),
        ("transforms.t.predicate", "p"),
        ("predicates", "p"),
        ("predicates.p.type", "RecordIsTombstone"),
        ("transaction.boundary", "interval"),
        ("topic.creation.groups", "g"),
    ]);
    let plan = |given: &Config| {
        let tasks = vec![Config::new()];
        core::within_max(
            "c",
            given,
            TaskPlan {
                tasks,
                again_after: None,
            },
        )
        .unwrap();
    };
    let elsewhere = |name: &str| {
        settings::is_known(name) || name.contains(".override.") || of_the_default_converters(name)
    };

    let asked = keys_asked(|| {
        plan(&given);
        config_reads::of_a_source(&worker, &given).unwrap();
    });
    let groups = ["topic.creation.g.", "topic.creation.default."];
    // Those of dead letters are declared for sinks. A source has them in addition to Kafka Connect,
    // whose validation does not list them.
    let letters = |name: &String| name.starts_with("errors.deadletterqueue.");
    let asked: Vec<String> = asked.into_iter().filter(|name| !letters(name)).collect();
    let bare = |name: &String| {
        groups
            .iter()
            .find_map(|group| name.strip_prefix(group))
            .unwrap_or(name)
            .to_owned()
    };
    let declared = together(&[
        keys::COMMON,
        keys::SOURCE,
        keys::TOPIC_GROUP,
        keys::TRANSFORM,
        keys::PREDICATE,
    ]);
    assert_eq!(
        differences(&declared, asked.iter().map(bare).collect(), elsewhere),
        NONE
    );

    given.set("topics", "a");
    given.set("errors.deadletterqueue.topic.name", "d");
    let asked = keys_asked(|| {
        plan(&given);
        config_reads::of_a_sink(&worker, &given).unwrap();
    });
    let declared = together(&[keys::COMMON, keys::SINK, keys::TRANSFORM, keys::PREDICATE]);
    assert_eq!(differences(&declared, asked, elsewhere), NONE);
}

#[test]
fn what_the_worker_declares_is_read_and_no_more() {
    let given = [
        ("config.providers", "file"),
        ("config.providers.file.param.allowed.paths", "/nowhere"),
        ("connector.client.config.override.policy", "Allowlist"),
        ("connector.client.config.override.allowlist", "acks"),
    ];
    let mut asked = keys_asked(|| {
        let pairs = given.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let settings = WorkerSettings::load(vec![SettingsLayer::pairs("here", pairs)]).unwrap();
        let options = config_reads::options(settings.config);
        config_reads::of_a_source(&options, &Config::from([("producer.override.acks", "all")]))
            .unwrap();
        config_reads::of_a_sink(&options, &Config::from([("topics", "t")])).unwrap();
    });
    // Kafka's clients are asked what they make of it: nothing.
    asked.remove("metric.reporters");
    let elsewhere = |name: &str| {
        of_every_connector(name)
            || of_the_default_converters(name)
            || name.contains(".override.")
            // Keys of clients and families of keys, which have no row in the table.
            || settings::is_known(name)
    };
    assert_eq!(differences(settings::KEYS, asked, elsewhere), NONE);
}

/// Reads the code that the tests above do not run.
#[test]
fn no_code_asks_a_config_for_a_key_that_nobody_declares() {
    let registry = Registry::built_in();
    let kinds = [
        PluginKind::Source,
        PluginKind::Sink,
        PluginKind::Transformation,
        PluginKind::Predicate,
    ];
    let of_a_plugin = |name: &str| {
        let plugins = kinds.iter().flat_map(|kind| registry.plugins(*kind));
        plugins
            .flat_map(|plugin| plugin.keys())
            .any(|key| key.name == name)
    };
    // The herder writes it into the configs of tasks.
    let of_a_task = |name: &str| name == "task.id";
    let reads = Regex::new(r#"\.get\(\s*"([a-z]+(?:\.[a-z]+)+)""#).unwrap();
    let (mut seen, mut wrong) = (0, Vec::new());
    for code in runtime_code(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
        for name in reads
            .captures_iter(&code)
            .filter_map(|found| found.get(1))
            .map(|name| name.as_str())
        {
            seen += 1;
            let shared =
                name.contains(".override.") || settings::is_known(name) || of_every_connector(name);
            if !(shared || of_a_plugin(name) || of_a_task(name)) {
                wrong.push(name.to_owned());
            }
        }
    }
    assert_eq!(wrong, NONE);
    assert!(seen > 20, "only {seen} reads were found");
}

/// Returns the text of each file without its tests, except for those that read librdkafka's
/// settings or registered schemas.
fn runtime_code(folder: &Path) -> Vec<String> {
    let mut code = Vec::new();
    for path in std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
    {
        if path.is_dir() {
            if !path.ends_with("src/kafka") && !path.ends_with("src/convert") {
                code.extend(runtime_code(&path));
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            code.push(
                text.split("#[cfg(test)]")
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
    }
    code
}
