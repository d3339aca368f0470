//! Keys that are declared and keys that are read are the same: forms, documentation and help show what counts, and
//! nothing that is read is missing there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use connector_api::config::keys_asked_during;
use connector_api::{Config, Key};
use regex::Regex;

use crate::keys;
use crate::registry::{ConverterRole, PluginKind, Registry};
use crate::settings;

/// Declared although nothing reads them, so that configs of Kafka Connect load; their texts say so.
const WITHOUT_EFFECT: &[&str] = &[
    "config.action.reload",
    "connector.plugin.version",
    "errors.log.include.messages",
    "header.converter.plugin.version",
    "key.converter.plugin.version",
    "plugin.version",
    "value.converter.plugin.version",
];

fn names(keys: &[Key]) -> BTreeSet<&'static str> {
    keys.iter().map(|key| key.name).collect()
}

/// Each plug-in is made of an empty config: what it asks for then is what it reads.
#[test]
fn transforms_predicates_and_converters_read_what_they_declare() {
    let (registry, config) = (Registry::built_in(), Config::new());
    let make = |kind: PluginKind, class: &str| match kind {
        PluginKind::Transformation => drop(registry.transform(class, &config)),
        PluginKind::Predicate => drop(registry.predicate(class, &config)),
        _ => drop(registry.converter(class, ConverterRole::Value, &config)),
    };
    let kinds = [PluginKind::Transformation, PluginKind::Predicate, PluginKind::Converter, PluginKind::HeaderConverter];
    let (mut wrong, mut plugins) = (Vec::new(), 0);
    for kind in kinds {
        for plugin in registry.plugins(kind) {
            plugins += 1;
            let asked = keys_asked_during(|| make(kind, plugin.class()));
            let declared = names(plugin.keys());
            wrong.extend(declared.difference(&asked).map(|key| format!("{}: {key} is not read", plugin.class())));
            wrong.extend(asked.difference(&declared).map(|key| format!("{}: {key} is not declared", plugin.class())));
        }
    }
    assert!(plugins > 30 && wrong.is_empty(), "{plugins}: {wrong:#?}");
}

/// The keys that every connector and the worker have are read in many places, each by its name.
#[test]
fn keys_of_connectors_and_of_the_worker_are_read_where_they_are_declared_and_declared_where_they_are_read() {
    let code = code();
    let shared = [keys::COMMON, keys::SOURCE, keys::TOPIC_GROUP, keys::SINK, keys::TRANSFORM, keys::PREDICATE];
    let declared: BTreeSet<_> = shared.into_iter().flat_map(names).chain(names(settings::KEYS)).collect();
    let idle = settings::KEYS.iter().filter(|key| key.group == settings::WITHOUT_EFFECT).map(|key| key.name);
    let idle: BTreeSet<_> = idle.chain(WITHOUT_EFFECT.iter().copied()).collect();
    let literal = |key: &str| code.contains(&format!("\"{key}\""));
    let unread: Vec<_> = declared.difference(&idle).filter(|key| !literal(key)).collect();
    assert!(unread.is_empty(), "declared and never read: {unread:?}");
    let read_all_the_same: Vec<_> = idle.iter().filter(|key| literal(key) && **key != "plugin.version").collect();
    assert!(read_all_the_same.is_empty(), "said to be without effect, and read: {read_all_the_same:?}");

    let of_plugins: BTreeSet<_> = {
        let registry = Registry::built_in();
        let kinds = [PluginKind::Source, PluginKind::Sink, PluginKind::Transformation, PluginKind::Predicate];
        kinds.iter().flat_map(|kind| registry.plugins(*kind)).flat_map(|plugin| names(plugin.keys())).collect()
    };
    let reads = Regex::new(
        r#"\b(?:config|own|keys|r|worker|self\.config|start\.connector_config)\s*\.(?:get|text|text_opt|bool|long|long_opt|unsigned|list|is_set)\(\s*"([a-z][a-z._]*)""#,
    );
    let reads: BTreeSet<&str> =
        reads.unwrap().captures_iter(&code).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(reads.len() > 40, "{reads:?}");
    let known = |key: &str| declared.contains(key) || of_plugins.contains(key) || key.contains(".override.");
    let undeclared: Vec<_> = reads.into_iter().filter(|key| !known(key) && !TASKS.contains(key)).collect();
    assert!(undeclared.is_empty(), "read and not declared: {undeclared:?}");
}

/// Keys that the herder writes into the configs of tasks, and keys of converters, which have tables of their own.
const TASKS: &[&str] = &["task.id", "strict", "converter.type", "converter.encoding"];

/// The code of the runtime, without the tables of keys and without tests.
fn code() -> String {
    let mut text = String::new();
    let mut folders = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if is_code(&path) {
                let file = std::fs::read_to_string(&path).unwrap();
                text.push_str(file.split("#[cfg(test)]").next().unwrap_or_default());
            }
        }
    }
    text
}

fn is_code(path: &Path) -> bool {
    const NOT: [&str; 5] = ["src/keys.rs", "settings/keys.rs", "reference.rs", "key_sets.rs", "tests.rs"];
    path.extension().is_some_and(|end| end == "rs") && !NOT.iter().any(|end| path.ends_with(end))
}
