//! Config providers: `${env:NAME}`, `${file:PATH:KEY}` and `${directory:PATH:FILE}` in a value are
//! replaced by a value kept elsewhere. None is available unless `config.providers` names it, and
//! each is restricted in what it may provide.
//!
//! The reference itself is what is stored and shown; it is resolved when a connector, a task or a
//! validation needs the value. Source: KIP-297 and Kafka's `FileConfigProvider`,
//! `DirectoryConfigProvider`, `EnvVarConfigProvider`. Requiring a pattern or paths is our own rule
//! (CVE-2024-31141).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connector_api::{Config, Error, Result};
use regex::Regex;

use super::references::{self, ProviderReference};
use super::{file, properties};

/// The config providers of a worker, by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ConfigProviders(Arc<BTreeMap<String, ConfigProvider>>);

#[derive(Clone, Debug)]
enum ConfigProvider {
    /// Environment variables whose whole name matches the pattern.
    Env(Regex),
    /// Keys of properties files below these paths.
    File(Vec<PathBuf>),
    /// Files below these paths.
    Directory(Vec<PathBuf>),
}

/// A config with its references resolved, together with their values.
#[derive(Clone, Default)]
pub struct ResolvedConfig {
    /// The config with the values filled in.
    pub config: Config,
    /// Each reference as written, and its value. The values are secret.
    given_out: Vec<(String, String)>,
}

impl ResolvedConfig {
    /// Wraps a config without resolving any reference.
    pub fn as_written(config: Config) -> Self {
        Self {
            config,
            given_out: Vec::new(),
        }
    }

    /// Returns each reference as written, and its value, which is secret.
    pub fn given_out(&self) -> impl Iterator<Item = (&str, &str)> {
        self.given_out
            .iter()
            .map(|(reference, value)| (reference.as_str(), value.as_str()))
    }
}

impl fmt::Debug for ResolvedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved").finish_non_exhaustive()
    }
}

impl ConfigProviders {
    /// Reads `config.providers` and `config.providers.NAME.*`.
    /// Errors: `Config` for an unknown class, or a provider without restrictions.
    pub fn new(worker: &Config) -> Result<Self> {
        let names = worker
            .get("config.providers")
            .unwrap_or_default()
            .split(',')
            .map(str::trim);
        let names = names.filter(|name| !name.is_empty());
        let providers: Result<_> = names
            .map(|name| Ok((name.to_owned(), ConfigProvider::new(name, worker)?)))
            .collect();
        Ok(Self(Arc::new(providers?)))
    }

    /// Resolves the references in a config. A reference to an unknown provider is left as it is.
    /// Errors: `Config`, naming key and reference, if a value may not be provided; `Retry` if it
    /// cannot be read.
    pub fn resolve(&self, config: &Config) -> Result<ResolvedConfig> {
        let (resolved, failed) = self.resolve_all(config);
        failed
            .into_iter()
            .next()
            .map_or(Ok(resolved), |(key, error)| Err(error.context(key)))
    }

    /// Like [`ConfigProviders::resolve`], but returns every error with its key. A value that cannot
    /// be resolved is left as it is.
    pub fn resolve_all(&self, config: &Config) -> (ResolvedConfig, Vec<(String, Error)>) {
        let (mut resolved, mut failed) = (ResolvedConfig::default(), Vec::new());
        for (key, value) in config.iter() {
            match self.value(value, &mut resolved.given_out) {
                Ok(text) => resolved.config.set(key, text),
                Err(error) => {
                    resolved.config.set(key, value);
                    failed.push((key.to_owned(), error));
                }
            }
        }
        (resolved, failed)
    }

    /// True if no provider is configured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Restores the references of `config` in the configs of tasks that were planned with
    /// `resolved`.
    pub fn put_back(config: &Config, resolved: &Config, tasks: &mut [Config]) {
        for (key, reference) in config
            .iter()
            .filter(|(key, value)| resolved.get(key) != Some(value))
        {
            for task in tasks
                .iter_mut()
                .filter(|task| task.get(key) == resolved.get(key))
            {
                task.set(key, reference);
            }
        }
    }

    fn value<'a>(
        &self,
        value: &'a str,
        given_out: &mut Vec<(String, String)>,
    ) -> Result<Cow<'a, str>> {
        if self.0.is_empty() {
            return Ok(value.into());
        }
        let (mut out, mut from) = (String::new(), 0);
        for reference in references::of(value) {
            let Some(provider) = self.0.get(reference.provider) else {
                continue;
            };
            let written = &value[reference.range.clone()];
            let text = provider
                .get(&reference)
                .map_err(|error| error.context(written))?;
            out.push_str(&value[from..reference.range.start]);
            out.push_str(&text);
            from = reference.range.end;
            given_out.push((written.to_owned(), text));
        }
        if from == 0 {
            return Ok(value.into());
        }
        out.push_str(&value[from..]);
        Ok(out.into())
    }
}

impl ConfigProvider {
    fn new(name: &str, worker: &Config) -> Result<Self> {
        let parameter = |parameter: &str| {
            let key = format!("config.providers.{name}.param.{parameter}");
            worker
                .get(&key)
                .map(str::trim)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| {
                    Error::config(format!(
                        "{key} is missing: it says what the config provider {name} may give out"
                    ))
                })
        };
        let key = format!("config.providers.{name}.class");
        let class = worker.get(&key).unwrap_or(name).trim();
        match class.rsplit('.').next().unwrap_or_default() {
            "EnvVarConfigProvider" | "env" => {
                let pattern = parameter("allowlist.pattern")?;
                let whole = Regex::new(&format!("^(?:{pattern})$"));
                whole.map(Self::Env).map_err(|error| {
                    Error::config(format!(
                        "config.providers.{name}.param.allowlist.pattern: {error}"
                    ))
                })
            }
            "FileConfigProvider" | "file" => {
                Ok(Self::File(roots(name, parameter("allowed.paths")?)?))
            }
            "DirectoryConfigProvider" | "directory" => {
                Ok(Self::Directory(roots(name, parameter("allowed.paths")?)?))
            }
            _ => Err(Error::config(format!(
                "{key} {class} is unknown: there are EnvVarConfigProvider, FileConfigProvider and \
                 DirectoryConfigProvider of org.apache.kafka.common.config.provider"
            ))),
        }
    }

    /// Returns the value of a reference. Errors never contain a value.
    fn get(&self, reference: &ProviderReference<'_>) -> Result<String> {
        let key = reference.key;
        match self {
            Self::Env(pattern) if !pattern.is_match(key) => Err(Error::config(format!(
                "the provider's allowlist.pattern does not allow {key}"
            ))),
            Self::Env(_) => std::env::var(key).map_err(|_| {
                Error::config(format!("the worker's environment has no variable {key}"))
            }),
            Self::File(roots) => {
                let text = read(roots, Path::new(reference.path))?;
                let pairs = properties::parse(&text).map_err(|(line, why)| {
                    Error::config(format!(
                        "line {line} of {} cannot be read: {why}",
                        reference.path
                    ))
                })?;
                let found = pairs.into_iter().rev().find(|(name, _)| name == key);
                found
                    .map(|(_, value)| value)
                    .ok_or_else(|| Error::config(format!("{} has no key {key}", reference.path)))
            }
            Self::Directory(_) if key.contains('/') || key == ".." => Err(Error::config(
                "the key is not the name of a file in that directory",
            )),
            Self::Directory(roots) => read(roots, &Path::new(reference.path).join(key)),
        }
    }
}

/// Resolves the paths below which reading is allowed. A path that does not exist yet is used as
/// written.
fn roots(provider: &str, paths: &str) -> Result<Vec<PathBuf>> {
    let paths = paths
        .split(',')
        .map(str::trim)
        .filter(|path| !path.is_empty());
    paths
        .map(|path| {
            let path = Path::new(path);
            if !path.is_absolute() {
                let shown = path.display();
                return Err(Error::config(format!(
                    "config.providers.{provider}.param.allowed.paths: {shown} must begin with /"
                )));
            }
            Ok(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
        })
        .collect()
}

/// Reads a file if its real path, after following links, is below an allowed path.
fn read(roots: &[PathBuf], path: &Path) -> Result<String> {
    let shown = path.display();
    let refused = || Error::config(format!("{shown} is not in the provider's allowed.paths"));
    let unreadable =
        |error: std::io::Error| Error::retry(format!("{shown} cannot be read: {error}"));
    // Do not reveal whether a file exists elsewhere.
    let inside =
        |path: &Path| path.is_absolute() && roots.iter().any(|root| path.starts_with(root));
    let real = match path.canonicalize() {
        Ok(real) if inside(&real) => real,
        Ok(_) => return Err(refused()),
        Err(error) if inside(path) && !path.components().any(|part| part.as_os_str() == "..") => {
            return Err(unreadable(error));
        }
        Err(_) => return Err(refused()),
    };
    let about = std::fs::metadata(&real).map_err(unreadable)?;
    if !about.is_file() || about.len() > file::MAX_BYTES {
        let most = file::MAX_BYTES;
        return Err(Error::config(format!(
            "{shown} is not a file, or larger than {most} bytes (MAX_BYTES)"
        )));
    }
    file::text(&real, file::MAX_BYTES).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use connector_api::{Config, ErrorKind};

    use super::ConfigProviders;

    /// A folder with a properties file, two files and a link out of it, and a file beside it.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir()
                .join(format!("rowferry-providers-{name}-{}", std::process::id()));
            std::fs::create_dir_all(path.join("in")).unwrap();
            let path = path.canonicalize().unwrap();
            std::fs::write(
                path.join("in/db.properties"),
                "user=ann\npassword = s3cret \\u0041\n",
            )
            .unwrap();
            std::fs::write(path.join("in/pass word"), "two words\n").unwrap();
            std::fs::write(path.join("outside"), "user=CANARY\n").unwrap();
            std::os::unix::fs::symlink(path.join("outside"), path.join("in/link")).unwrap();
            Self(path)
        }

        fn providers(&self) -> ConfigProviders {
            let allowed = format!("{}/in", self.0.display());
            ConfigProviders::new(&Config::from([
                ("config.providers", "env, file,dir"),
                (
                    "config.providers.env.class",
                    "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
                ),
                (
                    "config.providers.env.param.allowlist.pattern",
                    "CARGO_PKG_.*",
                ),
                ("config.providers.file.param.allowed.paths", &allowed),
                ("config.providers.dir.class", "DirectoryConfigProvider"),
                ("config.providers.dir.param.allowed.paths", &allowed),
            ]))
            .unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn references_are_resolved_and_put_back() {
        let folder = Folder::new("resolved");
        let (providers, at) = (folder.providers(), folder.0.display());
        let config = Config::from([
            ("a", format!("x-${{file:{at}/in/db.properties:password}}-${{file:{at}/in/db.properties:user}}").as_str()),
            ("b", format!("${{dir:{at}/in:pass word}}").as_str()),
            ("c", "${env:CARGO_PKG_NAME} ${vault:x} ${topic}"),
            ("d", "plain"),
        ]);
        let resolved = providers.resolve(&config).unwrap();
        let shown: Vec<_> = resolved.config.iter().map(|(_, value)| value).collect();
        assert_eq!(
            shown,
            [
                "x-s3cret A-ann",
                "two words\n",
                "rowferry ${vault:x} ${topic}",
                "plain"
            ]
        );
        let given_out: Vec<_> = resolved.given_out().map(|(_, value)| value).collect();
        assert_eq!(given_out, ["s3cret A", "ann", "two words\n", "rowferry"]);
        assert!(!format!("{resolved:?}").contains("s3cret"));
        let mut task = resolved.config.clone();
        task.set("tables", "t");
        let mut tasks = [task];
        ConfigProviders::put_back(&config, &resolved.config, &mut tasks);
        tasks[0].remove("tables");
        assert_eq!(tasks[0], config);
    }

    #[test]
    fn nothing_is_given_out_that_is_not_allowed() {
        let folder = Folder::new("refused");
        let (providers, at) = (folder.providers(), folder.0.display());
        for (reference, kind) in [
            ("${env:PATH}".to_owned(), ErrorKind::Config),
            ("${env:CARGO_PKG_NOTHING}".to_owned(), ErrorKind::Config),
            (format!("${{file:{at}/outside:user}}"), ErrorKind::Config),
            (
                format!("${{file:{at}/in/../outside:user}}"),
                ErrorKind::Config,
            ),
            (format!("${{file:{at}/in/link:user}}"), ErrorKind::Config),
            (
                format!("${{file:{at}/in/db.properties:nothing}}"),
                ErrorKind::Config,
            ),
            (format!("${{dir:{at}/in:link}}"), ErrorKind::Config),
            (format!("${{dir:{at}/in:../outside}}"), ErrorKind::Config),
            ("${file:/etc/no-such-file:x}".to_owned(), ErrorKind::Config),
            (format!("${{file:{at}/in/missing:x}}"), ErrorKind::Retry),
        ] {
            let error = providers
                .resolve(&Config::from([("some.key", reference.as_str())]))
                .unwrap_err();
            assert_eq!(error.kind(), kind, "{reference}");
            assert!(
                error
                    .message()
                    .starts_with(&format!("some.key: {reference}: ")),
                "{error}"
            );
            assert!(!error.message().contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn a_provider_has_to_say_what_it_gives_out() {
        for (pairs, want) in [
            (
                vec![("config.providers", "env")],
                "config.providers.env.param.allowlist.pattern is missing",
            ),
            (
                vec![("config.providers", "file")],
                "config.providers.file.param.allowed.paths is missing",
            ),
            (
                vec![
                    ("config.providers", "x"),
                    ("config.providers.x.class", "a.Vault"),
                ],
                "a.Vault is unknown",
            ),
            (
                vec![
                    ("config.providers", "file"),
                    ("config.providers.file.param.allowed.paths", "etc"),
                ],
                "etc must begin with /",
            ),
        ] {
            let worker = pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect();
            let error = ConfigProviders::new(&worker).unwrap_err();
            assert!(error.message().contains(want), "{error}");
        }
        let untouched = ConfigProviders::default()
            .resolve(&Config::from([("a", "${file:/etc/passwd:root}")]))
            .unwrap();
        assert_eq!(untouched.config.get("a"), Some("${file:/etc/passwd:root}"));
    }
}
