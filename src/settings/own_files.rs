//! The worker's own files, which no connector may use wherever they are.

use std::path::{Path, PathBuf};

use super::WorkerSettings;
use crate::store;

impl WorkerSettings {
    /// Returns the settings, the store, keys and passwords, and files from which a config provider
    /// reads single values: reading them would reveal secrets, and data appended to them could take
    /// effect at the next start.
    pub fn own_files(&self) -> Vec<PathBuf> {
        let store = store::file_of_url(&self.store.url);
        let folders = [
            Some(self.store.data_dir.as_path()),
            store.as_deref().and_then(Path::parent),
        ];
        let keys = folders
            .into_iter()
            .flatten()
            .map(|folder| folder.join(store::KEY_FILE));
        let key = self
            .store
            .secrets_key
            .as_ref()
            .and_then(|key| key.strip_prefix("file:"))
            .map(PathBuf::from);
        let tls = self
            .rest
            .tls
            .iter()
            .flat_map(|tls| [tls.certificates.clone(), tls.key.clone()]);
        let named = self
            .resolved
            .config
            .iter()
            .flat_map(|(key, value)| files_of(key, value));
        let own = store.clone().into_iter().chain(keys).chain(key);
        own.chain(self.files.iter().cloned())
            .chain(self.rest.auth_file.clone())
            .chain(tls)
            .chain(named)
            .collect()
    }
}

/// Returns the files that a key names: certificates and keys of Kafka clients and listeners, and
/// those of a config provider. A provider's folder is not included, so that connectors can be
/// allowed to use it, too.
fn files_of(key: &str, value: &str) -> Vec<PathBuf> {
    if key.ends_with(".location") || key == "rowferry.tls.client.authorities" {
        return vec![PathBuf::from(value)];
    }
    if !(key.starts_with("config.providers.") && key.ends_with(".param.allowed.paths")) {
        return Vec::new();
    }
    let paths = value.split(',').map(|path| PathBuf::from(path.trim()));
    paths.filter(|path| path.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::settings::{SettingsLayer, WorkerSettings};

    #[test]
    fn settings_stores_keys_and_files_of_providers_are_the_workers_own() {
        let folder = std::env::temp_dir().join(format!("rowferry-own-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let [settings, secrets] = ["w.properties", "s.properties"].map(|name| folder.join(name));
        std::fs::write(&secrets, "a=b").unwrap();
        let lines = [
            "rowferry.store.url=sqlite:data/my%20store.db?cache=private",
            "ssl.keystore.location=data/client.pem",
            "producer.ssl.key.location=data/producer.pem",
            "config.providers=file",
            &format!(
                "config.providers.file.param.allowed.paths={}, {}",
                folder.display(),
                secrets.display()
            ),
        ];
        std::fs::write(&settings, lines.join("\n")).unwrap();
        let loaded = WorkerSettings::load(vec![SettingsLayer::file(&settings).unwrap()]).unwrap();
        let own = loaded.own_files();
        std::fs::remove_dir_all(&folder).unwrap();
        let expected = [
            settings,
            secrets,
            PathBuf::from("data/my store.db"),
            PathBuf::from("data/secrets.key"),
            PathBuf::from("./rowferry-data/secrets.key"),
            PathBuf::from("data/client.pem"),
            PathBuf::from("data/producer.pem"),
        ];
        for file in expected {
            assert!(own.contains(&file), "{}: {own:?}", file.display());
        }
        assert!(!own.contains(&folder), "{own:?}");
    }

    #[test]
    fn a_data_folder_may_have_any_name() {
        let given = [("rowferry.data.dir".to_owned(), "a%20b?c#d".to_owned())];
        let loaded = WorkerSettings::load(vec![SettingsLayer::pairs("x", given)]).unwrap();
        let store = PathBuf::from("a%20b?c#d/rowferry.db");
        assert!(loaded.own_files().contains(&store));
    }
}
