//! Keys of other connectors and of earlier versions that exclude tables, columns, fields or topics.
//! A user who takes one along expects it to keep data back, so that it may not be ignored.

use crate::registry::ConnectorPlugin;

/// What a list includes or excludes, by the word that names it.
const OBJECTS: &[(&str, Guarded)] = &[
    ("catalog", Guarded::Table),
    ("collection", Guarded::Table),
    ("column", Guarded::Field),
    ("database", Guarded::Table),
    ("field", Guarded::Field),
    ("schema", Guarded::Table),
    ("table", Guarded::Table),
    ("topic", Guarded::Topic),
];

/// Words that make a key a guard.
const GUARDS: &[&str] = &[
    "allowlist",
    "blacklist",
    "blocklist",
    "denylist",
    "exclude",
    "excluded",
    "excludes",
    "ignore",
    "ignored",
    "include",
    "included",
    "includes",
    "whitelist",
];

/// Words that such keys have besides.
const FILLERS: &[&str] = &["list", "name", "names", "pattern", "regex"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guarded {
    Table,
    Field,
    Topic,
}

/// Returns what to use instead, if `name` is a guard by all of its words: `column.exclude.list`,
/// `fields.blacklist`, `tables_ignore`.
pub(super) fn replacement(connector: &ConnectorPlugin, name: &str) -> Option<&'static str> {
    let guarded = guarded(name)?;
    let is_source = matches!(connector, ConnectorPlugin::Source(_));
    Some(match (guarded, is_source) {
        (Guarded::Table, true) => "table.include.list with table.exclude.list, or table.blacklist",
        (Guarded::Table | Guarded::Topic, false) => "topics or topics.regex",
        (Guarded::Field, false) => "fields.whitelist, or the transform ReplaceField with exclude",
        (Guarded::Field | Guarded::Topic, true) => "the transform ReplaceField with exclude",
    })
}

fn guarded(name: &str) -> Option<Guarded> {
    let mut object = None;
    let mut is_guard = false;
    for word in name.split(['.', '_', '-']) {
        let word = word.to_ascii_lowercase();
        if GUARDS.contains(&word.as_str()) {
            is_guard = true;
        } else if let Some(found) = object_of(&word) {
            object = Some(found);
        } else if !FILLERS.contains(&word.as_str()) {
            return None;
        }
    }
    object.filter(|_| is_guard)
}

fn object_of(word: &str) -> Option<Guarded> {
    let singular = word.strip_suffix('s').unwrap_or(word);
    let found = OBJECTS.iter().find(|(name, _)| *name == singular);
    found.map(|(_, guarded)| *guarded)
}

#[cfg(test)]
mod tests {
    use super::{Guarded, guarded};

    #[test]
    fn a_guard_is_known_by_all_of_its_words() {
        for (name, want) in [
            ("fields.blacklist", Some(Guarded::Field)),
            ("column.exclude.list", Some(Guarded::Field)),
            ("column.blacklist", Some(Guarded::Field)),
            ("field.exclude", Some(Guarded::Field)),
            ("Table_Exclude", Some(Guarded::Table)),
            ("schema.include.list", Some(Guarded::Table)),
            ("topics.exclude", Some(Guarded::Topic)),
            ("exclude", None),
            ("topics", None),
            ("table.names", None),
            ("my.field.exclude", None),
            ("note.on.excluded.tables", None),
        ] {
            assert_eq!(guarded(name), want, "{name}");
        }
    }
}
