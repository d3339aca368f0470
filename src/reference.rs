//! The configuration reference in `docs/`: generated from the tables of keys and compared with
//! them.

use connector_api::text::append;

use connector_api::config::{ConfigType, DefaultValue};
use connector_api::{ConfigKey, Plugin};

use crate::keys;
use crate::registry::{PluginKind, Registry};
use crate::settings;

/// Writes the rows of one table, without keys that a connector sets itself.
fn table(out: &mut String, table: &[ConfigKey]) {
    let mut group = "";
    out.push_str("\n| key | type | default | |\n|---|---|---|---|\n");
    for key in table.iter().filter(|key| !key.internal) {
        if key.group != group {
            group = key.group;
            append(out, format_args!("| **{group}** | | | |\n"));
        }
        let required = if key.default == DefaultValue::Required {
            "*required*"
        } else {
            ""
        };
        let default = match key.shown_default() {
            Some("hidden") if key.ty == ConfigType::Password => "hidden".to_owned(),
            Some(text) => format!("`{}`", text.replace('|', "\\|")),
            None => required.to_owned(),
        };
        let mut doc = key.documentation().replace('|', "\\|").replace('<', "\\<");
        doc.push_str(&key.check.allowed());
        if !key.aliases.is_empty() {
            let aliases: Vec<_> = key
                .aliases
                .iter()
                .map(|alias| format!("`{alias}`"))
                .collect();
            append(&mut doc, format_args!(" Also: {}.", aliases.join(", ")));
        }
        append(
            out,
            format_args!(
                "| `{}` | {} | {default} | {doc} |\n",
                key.name,
                key.ty.name().to_lowercase()
            ),
        );
    }
}

fn plugins(out: &mut String, registry: &Registry, kinds: &[PluginKind]) {
    for plugin in kinds.iter().flat_map(|kind| registry.plugins(*kind)) {
        append(out, format_args!("\n## {}\n", plugin.class()));
        if !plugin.other_classes().is_empty() {
            let others: Vec<_> = plugin
                .other_classes()
                .iter()
                .map(|class| format!("`{class}`"))
                .collect();
            append(out, format_args!("\nAlso named {}.\n", others.join(", ")));
        }
        if plugin.keys().is_empty() {
            out.push_str("\nIt has no keys.\n");
        } else {
            table(out, plugin.keys());
        }
        plugin
            .other_classes()
            .iter()
            .for_each(|class| of_class(out, plugin, class));
    }
}

/// Writes what is different with one of a plug-in's other class names: defaults, and additional
/// keys.
fn of_class(out: &mut String, plugin: &dyn Plugin, class: &str) {
    let own = |name: &str| plugin.keys().iter().find(|key| key.name == name);
    let (known, further): (Vec<ConfigKey>, Vec<ConfigKey>) = plugin
        .keys_as(class)
        .iter()
        .copied()
        .partition(|key| own(key.name).is_some());
    let others: Vec<_> = known
        .iter()
        .filter(|key| own(key.name).is_some_and(|own| own.default != key.default))
        .map(|key| {
            format!(
                "`{}` = `{}`",
                key.name,
                key.shown_default().unwrap_or_default()
            )
        })
        .collect();
    if !others.is_empty() {
        append(
            out,
            format_args!(
                "\nDifferent defaults with the class name `{class}`: {}.\n",
                others.join(", ")
            ),
        );
    }
    if !further.is_empty() {
        append(
            out,
            format_args!("\nAdditional keys with the class name `{class}`:\n"),
        );
        table(out, &further);
    }
}

fn connectors(registry: &Registry) -> String {
    let mut out =
        "# Keys of connectors\n\nGenerated from the declarations in the code. Values are strings; \
         numbers and booleans in JSON are accepted as well.\n\n## Every connector\n"
            .to_owned();
    table(&mut out, keys::COMMON);
    out.push_str("\n## Every source\n");
    table(&mut out, keys::SOURCE);
    out.push_str(
        "\nSettings of a topic group, as `topic.creation.GROUP.KEY`; the group `default` always \
         exists:\n",
    );
    table(&mut out, keys::TOPIC_GROUP);
    out.push_str("\n## Every sink\n");
    table(&mut out, keys::SINK);
    plugins(&mut out, registry, &[PluginKind::Source, PluginKind::Sink]);
    out
}

fn parts(registry: &Registry) -> String {
    let mut out = "# Keys of transforms, predicates and converters\n\nThe keys of a transform are \
         `transforms.NAME.KEY`, those of a predicate `predicates.NAME.KEY`, and those of a \
         converter `key.converter.KEY`, `value.converter.KEY` or `header.converter.KEY`.\n\n## \
         Every transform\n"
        .to_owned();
    table(&mut out, keys::TRANSFORM);
    out.push_str("\n## Every predicate\n");
    table(&mut out, keys::PREDICATE);
    plugins(&mut out, registry, &PluginKind::OF_CONNECTORS);
    out
}

fn worker() -> String {
    let mut out =
        "# Keys of the worker\n\nSet them in a file (`rowferry serve --config FILE`), as \
         environment variables (`CONNECT_GROUP_ID` is `group.id`), or with `--set KEY=VALUE`.\n"
            .to_owned();
    table(&mut out, settings::KEYS);
    out
}

#[test]
fn the_reference_in_docs_is_what_the_tables_say() {
    let registry = Registry::built_in();
    for (name, text) in [
        ("connector-keys.md", connectors(&registry)),
        ("plugin-keys.md", parts(&registry)),
        ("worker-keys.md", worker()),
    ] {
        let path = format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("ROWFERRY_WRITE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == text,
            "docs/{name} is out of date: run ROWFERRY_WRITE_DOCS=1 cargo test"
        );
    }
}

#[test]
fn every_key_says_what_it_does() {
    let registry = Registry::built_in();
    let of_plugins = PluginKind::ALL
        .iter()
        .flat_map(|kind| registry.plugins(*kind))
        .flat_map(|plugin| plugin.keys());
    let shared = [
        keys::COMMON,
        keys::SOURCE,
        keys::SINK,
        keys::TOPIC_GROUP,
        keys::TRANSFORM,
        keys::PREDICATE,
    ];
    let all = of_plugins
        .chain(shared.into_iter().flatten())
        .chain(settings::KEYS);
    let silent: Vec<_> = all
        .filter(|key| key.doc.len() < 12)
        .map(|key| key.name)
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}
