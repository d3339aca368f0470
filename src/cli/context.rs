//! `rowferry config`: contexts, which are names for workers with their credentials, in a file of the
//! user.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use connector_api::{Error, Result};
use serde::{Deserialize, Serialize};

use super::print::{errln, out, outln, table};
use super::shell::context_names;

/// Maximum size of the file of contexts, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The contexts of a user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Contexts {
    /// Name of the context that commands use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current_context: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, WorkerContext>,
}

/// A worker with the credentials for it.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkerContext {
    /// Address of the worker
    #[arg(long, value_name = "URL")]
    pub cluster: Option<String>,
    /// User name
    #[arg(long, value_name = "NAME")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Password
    #[arg(long, value_name = "TEXT")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Bearer token
    #[arg(long = "bearer-token", value_name = "TOKEN")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// PEM file with the authorities for the certificate of an https worker
    #[arg(long = "ca-file", value_name = "FILE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cacert: Option<PathBuf>,
}

/// Options of kcctl by which it reads offsets from Kafka. Accepted, so that scripts with them work.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct UnneededOptions {
    #[arg(long, value_name = "HOST:PORT", hide = true)]
    bootstrap_servers: Option<String>,
    #[arg(long, value_name = "TOPIC", hide = true)]
    offset_topic: Option<String>,
    #[arg(short = 'o', long, value_name = "KEY=VALUE", num_args = 1.., hide = true)]
    client_config: Vec<String>,
    #[arg(short = 'f', long, value_name = "FILE", hide = true)]
    client_config_file: Option<PathBuf>,
}

impl UnneededOptions {
    /// Says that they have no effect, if there are any.
    fn note(&self) {
        let is_given = self.bootstrap_servers.is_some()
            || self.offset_topic.is_some()
            || !self.client_config.is_empty()
            || self.client_config_file.is_some();
        if is_given {
            errln!(
                "rowferry: the options for Kafka itself are not needed and have no effect, because offsets are read over REST"
            );
        }
    }
}

/// `rowferry config`.
#[derive(Subcommand, Debug)]
pub(super) enum ConfigCommand {
    /// Create or change a context; the first one becomes the current one
    SetContext {
        /// Name of the context
        #[arg(add = context_names())]
        name: String,
        #[command(flatten)]
        context: Box<WorkerContext>,
        #[command(flatten)]
        unneeded: UnneededOptions,
    },
    /// List the contexts; a star marks the current one
    GetContexts,
    /// Print the name of the current context
    CurrentContext,
    /// Make a context the current one
    #[command(visible_alias = "use")]
    UseContext {
        /// Name of the context
        #[arg(add = context_names())]
        name: String,
    },
    /// Remove a context
    RemoveContext {
        /// Name of the context
        #[arg(add = context_names())]
        name: String,
    },
}

impl ConfigCommand {
    /// Errors: `Config` for an unknown context, or a file that cannot be read or written.
    pub(super) fn run(self) -> Result<()> {
        let path = file()?;
        let mut all = Contexts::read(&path)?;
        match self {
            Self::SetContext {
                name,
                context,
                unneeded,
            } => {
                unneeded.note();
                all.set(&name, *context)?;
                all.write(&path)?;
                outln!("context {name} is set");
            }
            Self::GetContexts => {
                let row = |(name, context): (&String, &WorkerContext)| {
                    let is_current = all.current_context.as_ref() == Some(name);
                    let star = if is_current { "*" } else { "" };
                    let cluster = context.cluster.clone().unwrap_or_default();
                    let user = context.username.clone().unwrap_or_default();
                    vec![star.to_owned(), name.clone(), cluster, user]
                };
                let rows: Vec<_> = all.contexts.iter().map(row).collect();
                out!("{}", table(&["", "NAME", "CLUSTER", "USER"], &rows));
            }
            Self::CurrentContext => match &all.current_context {
                Some(name) => outln!("{name}"),
                None if all.contexts.is_empty() => {
                    return Err(Error::config(
                        "there is no context; create one: rowferry config set-context NAME --cluster URL",
                    ));
                }
                None => {
                    return Err(Error::config(
                        "no context is the current one; choose one: rowferry config use-context NAME",
                    ));
                }
            },
            Self::UseContext { name } => {
                all.get(&name)?;
                all.current_context = Some(name.clone());
                all.write(&path)?;
                outln!("commands use context {name}");
            }
            Self::RemoveContext { name } => {
                all.get(&name)?;
                all.contexts.remove(&name);
                all.current_context = all.current_context.filter(|current| *current != name);
                all.write(&path)?;
                outln!("context {name} is removed");
            }
        }
        Ok(())
    }
}

/// Returns the context that a command uses: the named one, or the current one, if any. Errors:
/// `Config`.
pub(super) fn of_command(name: Option<&str>) -> Result<Option<WorkerContext>> {
    let Ok(path) = file() else {
        return match name {
            Some(name) => Err(unknown(name)),
            None => Ok(None),
        };
    };
    let all = Contexts::read(&path)?;
    match name.or(all.current_context.as_deref()) {
        Some(name) => all.get(name).cloned().map(Some),
        None => Ok(None),
    }
}

/// Returns the names of all contexts; none if they cannot be read.
pub(super) fn names() -> Vec<String> {
    let all = file().and_then(|path| Contexts::read(&path));
    all.map(|all| all.contexts.into_keys().collect())
        .unwrap_or_default()
}

/// Returns the path of the file: `ROWFERRY_CONTEXTS`, or the usual place of such files.
fn file() -> Result<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = of("ROWFERRY_CONTEXTS") {
        return Ok(path.into());
    }
    let folder = of("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| of("HOME").map(|home| PathBuf::from(home).join(".config")));
    let folder = folder.ok_or_else(|| {
        Error::config("neither HOME nor ROWFERRY_CONTEXTS is set, so there is no file of contexts")
    })?;
    Ok(folder.join("rowferry").join("contexts.json"))
}

fn unknown(name: &str) -> Error {
    Error::config(format!(
        "there is no context {name}; rowferry config get-contexts lists them"
    ))
}

impl Contexts {
    fn read(path: &Path) -> Result<Self> {
        let bad = |why: &dyn std::fmt::Display| {
            Error::config(format!(
                "the contexts in {} cannot be read: {why}",
                path.display()
            ))
        };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(bad(&error)),
            Ok(found) if found.len() > MAX_BYTES => return Err(bad(&"it is too large")),
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(path).map_err(|error| bad(&error))?;
        serde_json::from_str(&text).map_err(|error| bad(&error))
    }

    /// Replaces the file, readable only by its owner, because it may hold passwords.
    fn write(&self, path: &Path) -> Result<()> {
        let bad = |why: std::io::Error| {
            Error::config(format!("{} cannot be written: {why}", path.display()))
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(bad)?;
        }
        let new = path.with_extension("new");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let text = format!("{:#}\n", serde_json::json!(self));
        let mut file = options.open(&new).map_err(bad)?;
        file.write_all(text.as_bytes()).map_err(bad)?;
        file.sync_all().map_err(bad)?;
        std::fs::rename(&new, path).map_err(bad)
    }

    fn get(&self, name: &str) -> Result<&WorkerContext> {
        self.contexts.get(name).ok_or_else(|| unknown(name))
    }

    /// Sets what is given of a context, and keeps the rest.
    fn set(&mut self, name: &str, given: WorkerContext) -> Result<()> {
        let known = self.contexts.get(name).cloned().unwrap_or_default();
        let context = WorkerContext {
            cluster: given.cluster.or(known.cluster),
            username: given.username.or(known.username),
            password: given.password.or(known.password),
            token: given.token.or(known.token),
            cacert: given.cacert.or(known.cacert),
        };
        if context.cluster.is_none() {
            return Err(Error::config(format!("context {name} needs --cluster URL")));
        }
        self.contexts.insert(name.to_owned(), context);
        self.current_context.get_or_insert_with(|| name.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_context_is_used_and_a_change_keeps_the_rest() {
        let mut all = Contexts::default();
        let given = |cluster: Option<&str>, username: Option<&str>| WorkerContext {
            cluster: cluster.map(str::to_owned),
            username: username.map(str::to_owned),
            ..WorkerContext::default()
        };
        all.set("a", given(None, Some("u"))).unwrap_err();
        all.set("a", given(Some("http://a"), None)).unwrap();
        all.set("b", given(Some("http://b"), None)).unwrap();
        all.set("a", given(None, Some("u"))).unwrap();
        assert_eq!(all.current_context.as_deref(), Some("a"));
        assert_eq!(*all.get("a").unwrap(), given(Some("http://a"), Some("u")));
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Contexts>(&text).unwrap(), all);
    }
}
