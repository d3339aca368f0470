//! Merges settings by precedence: file < environment < flags. Each value keeps its origin.
//!
//! The crate `config` merges the layers. Kafka's keys are flat (`key.converter` and
//! `key.converter.schemas.enable` are both values), so their dots are hidden from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{FileFormat, Format, Map, Source, Value, ValueKind};
use connector_api::{Error, Result};

use super::{file, properties};

/// Replaces the dots of a key during merging, because the crate `config` would read them as a path
/// into nested tables.
const DOT: &str = "\u{1f}";

/// A value and where it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingValue {
    /// The value as text.
    pub value: String,
    /// File name, environment variable or `command line`.
    pub origin: String,
}

/// One source of settings.
#[derive(Clone, Debug, Default)]
pub struct SettingsLayer {
    values: BTreeMap<String, SettingValue>,
    file: Option<PathBuf>,
}

impl SettingsLayer {
    /// Reads a file in Java's properties syntax, or in TOML if its name ends with `.toml`.
    /// Errors: `Config` if it cannot be read or parsed.
    pub fn file(path: &Path) -> Result<Self> {
        let origin = path.display().to_string();
        let text = file::text(path, file::MAX_BYTES)
            .map_err(|e| Error::config(format!("cannot read the settings file {origin}: {e}")))?;
        if path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("toml"))
        {
            let tables = FileFormat::Toml.parse(Some(&origin), &text).map_err(|e| {
                Error::config(format!("cannot parse the settings file {origin}: {e}"))
            })?;
            return Ok(Self::toml(&origin, tables).of_file(path));
        }
        let pairs = properties::parse(&text).map_err(|(line, why)| {
            Error::config(format!(
                "cannot parse line {line} of the settings file {origin}: {why}"
            ))
        })?;
        Ok(Self::pairs(&origin, pairs).of_file(path))
    }

    fn of_file(self, path: &Path) -> Self {
        Self {
            file: Some(path.to_owned()),
            ..self
        }
    }

    /// Returns the file that the layer was read from.
    pub fn path(&self) -> Option<PathBuf> {
        self.file.clone()
    }

    /// Creates a layer from pairs with a common origin.
    pub fn pairs(origin: &str, pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let setting = |value| SettingValue {
            value,
            origin: origin.to_owned(),
        };
        Self {
            values: pairs
                .into_iter()
                .map(|(key, value)| (key, setting(value)))
                .collect(),
            file: None,
        }
    }

    /// Creates a layer from the environment variables `CONNECT_…`, as Confluent's images do: `_`
    /// becomes a dot, `__` an underscore, `___` a dash. `ROWFERRY_…` is short for
    /// `CONNECT_ROWFERRY_…`.
    pub fn environment(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let named = variables.into_iter().filter_map(|(name, value)| {
            let key = match name.strip_prefix("CONNECT_") {
                Some(rest) => environment_key(rest),
                None if name.starts_with("ROWFERRY_") => environment_key(&name),
                None => return None,
            };
            Some((
                key,
                SettingValue {
                    value,
                    origin: format!("environment variable {name}"),
                },
            ))
        });
        Self {
            values: named.collect(),
            file: None,
        }
    }

    fn toml(origin: &str, tables: Map<String, Value>) -> Self {
        let mut layer = Self::default();
        for (key, value) in tables {
            layer.flatten(origin, key, value);
        }
        layer
    }

    fn flatten(&mut self, origin: &str, key: String, value: Value) {
        let text = match value.kind {
            ValueKind::Table(table) => {
                for (inner, value) in table {
                    self.flatten(origin, format!("{key}.{inner}"), value);
                }
                return;
            }
            ValueKind::Array(items) => items
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(","),
            ValueKind::Nil => return,
            other => other.to_string(),
        };
        self.values.insert(
            key,
            SettingValue {
                value: text,
                origin: origin.to_owned(),
            },
        );
    }
}

impl Source for SettingsLayer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let value = |s: &SettingValue| Value::new(Some(&s.origin), s.value.as_str());
        Ok(self
            .values
            .iter()
            .map(|(key, setting)| (key.replace('.', DOT), value(setting)))
            .collect())
    }
}

/// Merges layers; later ones take precedence.
/// Errors: `Config` for a value without a text form.
pub(super) fn merge(layers: Vec<SettingsLayer>) -> Result<BTreeMap<String, SettingValue>> {
    let bad = |e: config::ConfigError| Error::config(format!("cannot read the settings: {e}"));
    let builder = layers
        .into_iter()
        .fold(config::Config::builder(), |builder, layer| {
            builder.add_source(layer)
        });
    let table = builder
        .build()
        .map_err(bad)?
        .cache
        .into_table()
        .map_err(bad)?;
    let mut merged = BTreeMap::new();
    for (key, value) in table {
        let origin = value.origin().unwrap_or_default().to_owned();
        merged.insert(
            key.replace(DOT, "."),
            SettingValue {
                value: value.into_string().map_err(bad)?,
                origin,
            },
        );
    }
    Ok(merged)
}

fn environment_key(name: &str) -> String {
    name.to_ascii_lowercase()
        .replace("___", "-")
        .replace("__", "\0")
        .replace('_', ".")
        .replace('\0', "_")
}

#[cfg(test)]
mod tests {
    use super::{SettingsLayer, merge};

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn later_layers_win_and_each_value_knows_its_origin() {
        let file = SettingsLayer::pairs(
            "a.properties",
            [
                pair("key.converter", "Json"),
                pair("key.converter.schemas.enable", "true"),
                pair("group.id", "file"),
            ],
        );
        let environment = SettingsLayer::environment([
            pair("CONNECT_GROUP_ID", "env"),
            pair("CONNECT_SASL_JAAS__CONFIG___X", "y"),
            pair("ROWFERRY_STORE_URL", "sqlite:x"),
            pair("PATH", "/bin"),
        ]);
        let flags = SettingsLayer::pairs("command line", [pair("listeners", "http://:1")]);
        let merged = merge(vec![file, environment, flags]).unwrap();
        let shown: Vec<_> = merged
            .iter()
            .map(|(k, s)| format!("{k}={} {}", s.value, s.origin))
            .collect();
        assert_eq!(
            shown,
            [
                "group.id=env environment variable CONNECT_GROUP_ID",
                "key.converter=Json a.properties",
                "key.converter.schemas.enable=true a.properties",
                "listeners=http://:1 command line",
                "rowferry.store.url=sqlite:x environment variable ROWFERRY_STORE_URL",
                "sasl.jaas_config-x=y environment variable CONNECT_SASL_JAAS__CONFIG___X",
            ]
        );
    }

    #[test]
    fn toml_is_flat_whether_written_as_tables_or_as_quoted_keys() {
        let text = "\"key.converter\" = \"Json\"\n\"key.converter.schemas.enable\" = true\n\
                    [offset.storage]\npartitions = 5\n[bootstrap]\nservers = [\"a:1\", \"b:2\"]\n";
        let tables = config::Format::parse(&config::FileFormat::Toml, None, text).unwrap();
        let merged = merge(vec![SettingsLayer::toml("w.toml", tables)]).unwrap();
        let shown: Vec<_> = merged
            .iter()
            .map(|(k, s)| format!("{k}={}", s.value))
            .collect();
        let want = "bootstrap.servers=a:1,b:2 key.converter=Json key.converter.schemas.enable=true offset.storage.partitions=5";
        assert_eq!(shown.join(" "), want);
    }
}
