//! Validates transforms, predicates and converters of a connector: their classes and their own
//! settings. Pure.

use std::collections::HashSet;

use connector_api::{Config, ConfigReport, Plugin};

use super::form::{ConfigForm, GivenValues, KeyNaming};
use crate::keys::{self, ALIASES_MAX};
use crate::registry::version::{self, VersionReq};
use crate::registry::{self, PluginKind, Registry};

/// How the keys of a plug-in are shown on their own.
pub(super) const OWN: KeyNaming<'static> = KeyNaming {
    prefix: "",
    text_prefix: "",
    group: None,
};

/// Returns the plug-in that `key` names; adds an error if no such plug-in of that kind exists.
fn resolve<'a>(
    form: &mut ConfigForm,
    registry: &'a Registry,
    kind: PluginKind,
    key: &str,
    class: Option<&str>,
) -> Option<&'a dyn Plugin> {
    let classes = registry
        .plugins(kind)
        .iter()
        .map(|plugin| plugin.class().to_owned())
        .collect();
    let value = form.value_mut(key)?;
    value.recommended_values = classes;
    let class = class?.trim();
    let Some(plugin) = registry.plugin(kind, class) else {
        value.value = None;
        let why = registry::absent(kind, class).unwrap_or_else(|| ".".to_owned());
        value.errors.push(format!(
            "Invalid value {class} for configuration {key}: Class {class} could not be found{why}"
        ));
        return None;
    };
    value.value = Some(plugin.class().to_owned());
    Some(plugin)
}

/// Returns the names that `key` lists, without duplicates. Adds an error and returns none if the
/// list is too long.
pub(super) fn aliases(form: &mut ConfigForm, config: &Config, key: &str) -> Vec<String> {
    let listed = config
        .get(key)
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|alias| !alias.is_empty());
    let mut known = HashSet::new();
    let aliases: Vec<&str> = listed.filter(|alias| known.insert(*alias)).collect();
    if aliases.len() > ALIASES_MAX {
        let text = format!(
            "Invalid value for configuration {key}: it lists {} names, but at most {ALIASES_MAX} \
             are allowed",
            aliases.len()
        );
        form.error(key, text);
        return Vec::new();
    }
    aliases.into_iter().map(str::to_owned).collect()
}

/// Adds the keys of each transform, and checks its class and settings.
pub(super) fn add_transforms(
    form: &mut ConfigForm,
    given: &GivenValues,
    config: &Config,
    registry: &Registry,
    is_source: bool,
) {
    let predicates = aliases(form, config, "predicates");
    for alias in aliases(form, config, "transforms") {
        let (prefix, group) = (
            format!("transforms.{alias}."),
            format!("Transforms: {alias}"),
        );
        let naming = KeyNaming {
            prefix: &prefix,
            text_prefix: &prefix,
            group: Some(&group),
        };
        form.add(keys::TRANSFORM, given, naming);
        add_own(form, given, config, naming, |form, key, class| {
            resolve(form, registry, PluginKind::Transformation, key, class)
        });
        let own = config.with_prefix(&prefix);
        if is_source {
            refuse_on_sources(form, &own, &prefix, registry);
        }
        if own.get("negate").is_some() && own.get("predicate").is_none() {
            let text = format!(
                "Config '{prefix}negate' was provided but there is no config '{prefix}predicate' defining a predicate \
                 to be negated."
            );
            form.error(&format!("{prefix}type"), text);
        }
        let predicate = format!("{prefix}predicate");
        if let Some(value) = form.value_mut(&predicate) {
            value.recommended_values.clone_from(&predicates);
        }
        if let Some(named) = own.get("predicate").map(str::trim)
            && !predicates.iter().any(|declared| declared == named)
        {
            let declared = predicates.join(", ");
            let text = format!(
                "Invalid value {named} for configuration {predicate}: 'predicates' does not \
                 declare this predicate, only [{declared}]"
            );
            form.error(&predicate, text);
        }
    }
}

/// Adds an error to each key that only records of a sink can have, since the transform would fail at
/// the first record.
fn refuse_on_sources(form: &mut ConfigForm, own: &Config, prefix: &str, registry: &Registry) {
    let class = own.get("type").unwrap_or_default().trim();
    let Some(plugin) = registry.plugin(PluginKind::Transformation, class) else {
        return;
    };
    for key in plugin.keys() {
        if let (Some(value), false) = (own.get(key.name), key.not_on_sources.is_empty()) {
            let (key, why) = (format!("{prefix}{}", key.name), key.not_on_sources);
            form.error(
                &key,
                format!("Invalid value {value} for configuration {key}: {why}"),
            );
        }
    }
}

/// Adds the keys of each predicate, and checks its class and settings.
pub(super) fn add_predicates(
    form: &mut ConfigForm,
    given: &GivenValues,
    config: &Config,
    registry: &Registry,
) {
    for alias in aliases(form, config, "predicates") {
        let (prefix, group) = (
            format!("predicates.{alias}."),
            format!("Predicates: {alias}"),
        );
        let naming = KeyNaming {
            prefix: &prefix,
            text_prefix: &prefix,
            group: Some(&group),
        };
        form.add(keys::PREDICATE, given, naming);
        add_own(form, given, config, naming, |form, key, class| {
            resolve(form, registry, PluginKind::Predicate, key, class)
        });
    }
}

/// Adds the settings of the plug-in that `PREFIXtype` names.
fn add_own<'a>(
    form: &mut ConfigForm,
    given: &GivenValues,
    config: &Config,
    naming: KeyNaming<'_>,
    find: impl FnOnce(&mut ConfigForm, &str, Option<&str>) -> Option<&'a dyn Plugin>,
) {
    let key = format!("{}type", naming.prefix);
    if let Some(plugin) = find(form, &key, config.get(&key)) {
        let (version, prefix) = ("plugin.version", naming.prefix);
        check_version(
            form,
            plugin,
            &key,
            &format!("{prefix}{version}"),
            config.with_prefix(prefix).get(version),
        );
        add_plugin(form, given, config, naming, plugin);
    }
}

/// Checks that a plug-in has the version asked for under `key`. As in Kafka Connect, both keys get
/// the error if it has not.
pub(super) fn check_version(
    form: &mut ConfigForm,
    plugin: &dyn Plugin,
    class_key: &str,
    key: &str,
    asked: Option<&str>,
) {
    if let Some(value) = form.value_mut(key) {
        value.recommended_values = vec![plugin.version().to_owned()];
    }
    if let Err(text) = version::check(plugin, asked) {
        form.error(class_key, text.as_str());
        form.error(key, text);
    }
}

fn add_plugin(
    form: &mut ConfigForm,
    given: &GivenValues,
    config: &Config,
    naming: KeyNaming<'_>,
    plugin: &dyn Plugin,
) {
    form.add(plugin.keys(), given, naming);
    let mut report = ConfigReport::default();
    plugin.check(&config.with_prefix(naming.prefix), &mut report);
    form.merge(report, naming.prefix);
}

/// Adds the three converters: the connector's own, or the worker's as defaults. A connector's
/// settings are checked whether or not it names the converter, because they are used in either
/// case.
pub(super) fn add_converters(
    form: &mut ConfigForm,
    given: &GivenValues,
    config: &Config,
    registry: &Registry,
    worker: &Config,
) {
    for (key, kind) in [
        ("key.converter", PluginKind::Converter),
        ("value.converter", PluginKind::Converter),
        ("header.converter", PluginKind::HeaderConverter),
    ] {
        let class = config.get(key).or_else(|| worker.get(key));
        form.set_default(key, worker.get(key));
        let prefix = format!("{key}.");
        let version = format!("{prefix}plugin.version");
        let asked = config.get(&version);
        let unreadable = asked.and_then(|asked| VersionReq::read(asked).err());
        let is_readable = unreadable.is_none();
        if let Some(text) = unreadable {
            form.error(&version, text);
        }
        let Some(plugin) = resolve(form, registry, kind, key, class) else {
            continue;
        };
        if is_readable {
            // Without a class of its own, the worker's converter is used, in the version that the
            // worker asks for.
            check_version(
                form,
                plugin,
                key,
                &version,
                asked.filter(|_| config.get(key).is_some()),
            );
        }
        let own = config.with_prefix(&prefix);
        let settings = own.iter().any(|(name, _)| name != "plugin.version");
        if config.get(key).is_none() && !settings {
            continue;
        }
        let mut given = given.clone();
        let role = key.strip_suffix(".converter").unwrap_or(key);
        given.insert(format!("{prefix}converter.type"), Some(role.to_owned()));
        let naming = KeyNaming {
            prefix: &prefix,
            text_prefix: "",
            group: None,
        };
        add_plugin(form, &given, config, naming, plugin);
    }
}
