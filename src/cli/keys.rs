//! `rowferry keys`: lists keys from the tables that the program itself uses, and provides texts for
//! the help of other commands. Needs no worker.

use connector_api::text::append;

use clap::Args;
use connector_api::config::DefaultValue;
use connector_api::{ConfigKey, Error, Result};

use super::print::{out, table};
use crate::registry::{PluginKind, Registry};
use crate::{keys, settings};

/// Maximum width of texts, in characters.
const WIDTH: usize = 100;

/// `rowferry keys`.
#[derive(Args)]
pub(super) struct KeysCommand {
    /// `worker`, or the class (or its last part) of a connector, transform, predicate or converter;
    /// without it, all names are listed
    what: Option<String>,
    /// Only keys with this text in their name or description
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
}

impl KeysCommand {
    /// Prints the keys. Errors: `Config` for an unknown class, `Record` if no key has the text.
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let search = self.search.as_deref().unwrap_or_default();
        let text = match self.what.as_deref() {
            None => overview(registry),
            Some(what) => of(registry, what, search)?,
        };
        out!("{text}");
        Ok(())
    }
}

/// Returns the help text of a flag that sets a worker key.
pub(super) fn flag(name: &'static str) -> String {
    let key = settings::KEYS.iter().find(|key| key.name == name);
    key.map_or_else(
        || name.to_owned(),
        |key| format!("{} [{name}]", key.doc.trim_end_matches('.')),
    )
}

/// Returns all worker keys, for the long help of `serve`.
pub(super) fn of_the_worker() -> String {
    let mut out = String::new();
    write(&mut out, settings::KEYS, "");
    out
}

fn overview(registry: &Registry) -> String {
    let mut rows = vec![vec!["worker".to_owned(), "worker".to_owned()]];
    for kind in PluginKind::ALL {
        rows.extend(
            registry
                .plugins(kind)
                .iter()
                .map(|p| vec![kind.name().to_owned(), p.class().to_owned()]),
        );
    }
    format!(
        "{}\nrowferry keys CLASS lists the keys of one of them.\n",
        table(&["TYPE", "CLASS"], &rows)
    )
}

/// Returns the keys of the worker, or of the plug-ins with that name.
fn of(registry: &Registry, what: &str, search: &str) -> Result<String> {
    let mut out = String::new();
    let mut is_known = what == "worker";
    if is_known {
        write(&mut out, settings::KEYS, search);
    }
    for kind in PluginKind::ALL {
        let Some(plugin) = registry.plugin(kind, what) else {
            continue;
        };
        is_known = true;
        let (prefix, tables): (&str, &[&[ConfigKey]]) = match kind {
            PluginKind::Source => ("", &[keys::COMMON, keys::SOURCE]),
            PluginKind::Sink => ("", &[keys::COMMON, keys::SINK]),
            PluginKind::Transformation => ("as transforms.NAME.KEY", &[keys::TRANSFORM]),
            PluginKind::Predicate => ("as predicates.NAME.KEY", &[keys::PREDICATE]),
            PluginKind::Converter => ("as key.converter.KEY or value.converter.KEY", &[]),
            PluginKind::HeaderConverter => ("as header.converter.KEY", &[]),
        };
        append(
            &mut out,
            format_args!("{} ({}) {prefix}\n", plugin.class(), kind.name()),
        );
        write(&mut out, plugin.keys_as(what), search);
        tables
            .iter()
            .for_each(|table| write(&mut out, table, search));
    }
    if !is_known {
        return Err(Error::config(format!(
            "{what} is unknown; `rowferry keys` lists all names"
        )));
    }
    if out.is_empty() {
        return Err(Error::record(format!(
            "no key of {what} has the text {search} in its name or description"
        )));
    }
    Ok(out)
}

/// Writes the keys of a table that have `search` in their name or text, grouped.
fn write(out: &mut String, table: &[ConfigKey], search: &str) {
    let search = search.to_lowercase();
    let found = |key: &&ConfigKey| {
        let names = std::iter::once(&key.name).chain(key.aliases);
        let texts = names
            .map(|name| (*name).to_lowercase())
            .chain([key.documentation().to_lowercase()]);
        !key.internal && texts.into_iter().any(|text| text.contains(&search))
    };
    let mut group = "";
    for key in table.iter().filter(found) {
        if key.group != group {
            group = key.group;
            append(out, format_args!("\n{group}\n"));
        }
        let required = if key.default == DefaultValue::Required {
            ", required"
        } else {
            ""
        };
        let default = key
            .shown_default()
            .map_or_else(|| required.to_owned(), |text| format!(", default {text}"));
        append(
            out,
            format_args!(
                "  {} ({}{default})\n",
                key.name,
                key.ty.name().to_lowercase()
            ),
        );
        let mut text = key.documentation().into_owned();
        text.push_str(&key.check.allowed());
        if !key.aliases.is_empty() {
            append(
                &mut text,
                format_args!(" Also: {}.", key.aliases.join(", ")),
            );
        }
        wrap(out, &text, "      ");
    }
}

/// Appends a text in lines, each with the prefix `indent`.
fn wrap(out: &mut String, text: &str, indent: &str) {
    let mut length = usize::MAX;
    for word in text.split_whitespace() {
        let more = word.chars().count() + 1;
        if length.saturating_add(more) > WIDTH {
            out.push_str(if length == usize::MAX { indent } else { "\n" });
            if length != usize::MAX {
                out.push_str(indent);
            }
            length = indent.len();
        } else {
            out.push(' ');
        }
        out.push_str(word);
        length += more;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_class_and_by_text() {
        let registry = Registry::built_in();
        let all = of(&registry, "JdbcSinkConnector", "").unwrap();
        for key in [
            "  insert.mode (string",
            "  topics (list)",
            "  tasks.max (int, default 1)",
            "At least 1.",
        ] {
            assert!(all.contains(key), "{key}\n{all}");
        }
        let some = of(&registry, "JdbcSinkConnector", "PK.").unwrap();
        assert!(
            some.len() < all.len() / 2 && some.contains("pk.mode") && !some.contains("tasks.max"),
            "{some}"
        );
        assert!(
            of(&registry, "MaskField$Value", "")
                .unwrap()
                .contains("replacement")
        );
        // Plug-ins of two kinds may have the same name.
        assert_eq!(
            of(&registry, "StringConverter", "")
                .unwrap()
                .matches("converter.encoding (")
                .count(),
            2
        );
        assert!(
            of(&registry, "worker", "")
                .unwrap()
                .contains("group.id (string, default rowferry)")
        );
        let none = of(&registry, "worker", "no such text").unwrap_err();
        assert!(none.message().contains("no key of worker"), "{none}");
        assert!(
            of(&registry, "Nobody", "")
                .unwrap_err()
                .message()
                .contains("Nobody")
        );
        assert!(
            overview(&registry)
                .contains("sink              io.confluent.connect.jdbc.JdbcSinkConnector")
        );
    }

    #[test]
    fn long_texts_are_wrapped_between_words() {
        let mut out = String::new();
        wrap(&mut out, &"word ".repeat(50), "    ");
        assert!(
            out.lines()
                .all(|line| line.len() <= WIDTH && line.starts_with("    word")),
            "{out}"
        );
        assert_eq!(out.split_whitespace().count(), 50);
    }
}
