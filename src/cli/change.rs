//! Commands that change something: apply, create, delete, pause, resume, stop, restart, restore.

#![expect(clippy::indexing_slicing, reason = "the body is an object")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use connector_api::shown::{in_lines, on_one_line};
use connector_api::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use super::client::RestClient;
use super::each::each;
use super::names::ConnectorNames;
use super::print::{outln, set_off};
use super::shell::connector_names;
use super::{diff, file, plan};
use crate::http::Method;
use crate::model::{ConfigInfos, ConfigVersion, ConnectorInfo, Message, path_segment};

/// `rowferry apply`, `rowferry create`.
#[derive(Args, Debug)]
pub(super) struct ApplyCommand {
    /// Files: {"name","config"}, a flat JSON object, a list of them, or Java properties; a folder is all
    /// files in it; - is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE", required_unless_present = "plan", num_args = 1..)]
    files: Vec<PathBuf>,
    /// Apply: a plan of `rowferry plan -o FILE`, which is done as it is, or not at all
    #[arg(value_name = "PLAN", conflicts_with_all = ["files", "dry_run", "prune"])]
    plan: Option<PathBuf>,
    /// Apply: then delete the connectors with this label (rowferry.managed) that are in no file
    #[arg(long, value_name = "LABEL")]
    prune: Option<String>,
    /// Only check the configs, as the worker would
    #[arg(long)]
    dry_run: bool,
    /// Name of the connector, if the file has one config without a name
    #[arg(short = 'n', long, value_name = "NAME")]
    name: Option<String>,
}

/// `rowferry delete | pause | resume | stop`.
#[derive(Args, Debug)]
pub(super) struct LifecycleCommand {
    #[command(flatten)]
    names: ConnectorNames,
}

/// `rowferry restart`.
#[derive(Args, Debug)]
pub(super) struct RestartCommand {
    #[command(flatten)]
    names: ConnectorNames,
    /// Restart all or the failed tasks as well
    #[arg(short = 't', long, value_enum, value_name = "WHICH", num_args = 0..=1, default_missing_value = "all")]
    tasks: Option<RestartedTasks>,
    /// Restart only failed parts
    #[arg(long)]
    failed: bool,
    /// Restart only this task
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["tasks", "failed"])]
    task: Option<u32>,
}

/// Which tasks of a connector to restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RestartedTasks {
    /// All
    All,
    /// Only failed ones
    Failed,
}

/// `rowferry restore`.
#[derive(Args, Debug)]
pub(super) struct RestoreCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    /// Number of the version, as shown by `rowferry history`
    version: i64,
}

impl ApplyCommand {
    /// Creates or changes the connectors as the files describe them. Errors: as [`Client::send`].
    pub(super) async fn apply(&self, client: &RestClient) -> Result<()> {
        if let Some(plan) = &self.plan {
            return plan::apply(client, plan).await;
        }
        let connectors = self.connectors()?;
        if let Some(label) = &self.prune {
            diff::check_labels(&connectors, label)?;
        }
        each(
            &connectors,
            |connector| &connector.name,
            async |connector| {
                if self.dry_run {
                    check(client, connector).await
                } else {
                    apply(client, connector).await
                }
            },
        )
        .await?;
        match &self.prune {
            // only after all others are as they should be
            Some(label) => diff::prune(client, &connectors, label, self.dry_run).await,
            None => Ok(()),
        }
    }

    /// Creates the connectors; one that exists is refused. Errors: as [`Client::send`].
    pub(super) async fn create(&self, client: &RestClient) -> Result<()> {
        if self.plan.is_some() || self.prune.is_some() {
            return Err(Error::config(
                "plans and --prune are for rowferry apply; create takes -f FILE",
            ));
        }
        each(
            &self.connectors()?,
            |connector| &connector.name,
            async |connector| {
                if self.dry_run {
                    check(client, connector).await
                } else {
                    create(client, connector).await
                }
            },
        )
        .await
    }

    fn connectors(&self) -> Result<Vec<file::ConnectorFile>> {
        let mut all = Vec::new();
        for path in &plan::files_of(&self.files)? {
            match &self.name {
                Some(name) => all.extend(file::read_named(path, name)?),
                None => all.extend(file::read(path)?),
            }
        }
        if self.name.is_some() && all.len() > 1 {
            return Err(Error::config(format!(
                "--name is for a single connector, but the files have {}",
                all.len()
            )));
        }
        Ok(all)
    }
}

/// Beginning of Kafka Connect's text about a config with errors.
const INVALID: &str = "Connector configuration is invalid";

/// Creates a connector, in the initial state that the file requests.
async fn create(client: &RestClient, connector: &file::ConnectorFile) -> Result<String> {
    let mut body = json!({"name": connector.name, "config": connector.config});
    if let Some(state) = &connector.initial_state {
        body["initial_state"] = state.clone();
    }
    let sent = client.send(Method::POST, "/connectors", Some(&body)).await;
    if let Err(refused) = sent {
        return Err(with_keys(client, connector, refused).await);
    }
    Ok(format!("{} created", on_one_line(&connector.name)))
}

/// Creates a connector or changes its config, and reports which.
pub(super) async fn apply(client: &RestClient, connector: &file::ConnectorFile) -> Result<String> {
    let path = format!("/connectors/{}", path_segment(&connector.name));
    let before: Option<Map<String, Value>> = client.find(&format!("{path}/config")).await?;
    let Some(before) = before else {
        return create(client, connector).await;
    };
    let history = format!("/v1{path}/history");
    let version = client
        .find::<Vec<ConfigVersion>>(&history)
        .await?
        .map(newest);
    let body = Value::Object(connector.config.clone());
    let sent = client
        .send(Method::PUT, &format!("{path}/config"), Some(&body))
        .await;
    let after: ConnectorInfo = match sent {
        Ok(answer) => answer.json()?,
        Err(refused) => return Err(with_keys(client, connector, refused).await),
    };
    let changed = match version {
        // The history compares the stored values, including secrets.
        Some(version) => {
            client
                .find::<Vec<ConfigVersion>>(&history)
                .await?
                .map(newest)
                != Some(version)
        }
        // Kafka Connect has no history, and shows secrets.
        None => {
            let text = |value: &Value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            };
            let before: BTreeMap<_, _> = before
                .iter()
                .map(|(key, value)| (key.clone(), text(value)))
                .collect();
            before != after.config
        }
    };
    let done = if changed { "changed" } else { "unchanged" };
    let note = if connector.initial_state.is_some() {
        "; initial_state was ignored, because it is for new connectors only"
    } else {
        ""
    };
    Ok(format!("{} {done}{note}", on_one_line(&connector.name)))
}

/// Returns the error of a config that the worker has refused. Its answer lists the errors without
/// their keys, so it is asked to validate the config.
async fn with_keys(client: &RestClient, connector: &file::ConnectorFile, refused: Error) -> Error {
    if !refused.message().starts_with(INVALID) {
        return refused;
    }
    match check(client, connector).await {
        Err(named) if named.kind() == ErrorKind::Record => named,
        Ok(_) | Err(_) => refused,
    }
}

/// Returns the number of the latest version with a change; 0 if there is none.
fn newest(versions: Vec<ConfigVersion>) -> i64 {
    versions
        .iter()
        .rev()
        .find(|version| !version.changes.is_empty())
        .map_or(0, |version| version.version)
}

/// Validates a config on the worker. Errors: as [`Client::send`]; `Record` with each invalid key
/// and its error.
async fn check(client: &RestClient, connector: &file::ConnectorFile) -> Result<String> {
    let class = connector
        .config
        .get("connector.class")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut config = connector.config.clone();
    config.insert("name".to_owned(), connector.name.clone().into());
    let path = format!("/connector-plugins/{}/config/validate", path_segment(class));
    let infos: ConfigInfos = client
        .send(Method::PUT, &path, Some(&Value::Object(config)))
        .await?
        .json()?;
    // further lines of a text are indented more
    let line = |key: &str, text: &str| {
        format!(
            "\n{}: {}",
            on_one_line(key),
            in_lines(text).replace('\n', "\n  ")
        )
    };
    if infos.error_count == 0 {
        let warnings = infos
            .warnings
            .iter()
            .map(|warning| line(&warning.key, &warning.message));
        return Ok(set_off(&format!(
            "{} is valid{}",
            on_one_line(&connector.name),
            warnings.collect::<String>()
        )));
    }
    let errors = infos.configs.iter().flat_map(|key| {
        let (name, errors) = (&key.value.name, &key.value.errors);
        // Kafka Connect treats a value that cannot be parsed as null in further checks, which adds
        // no information.
        let consequence = format!("Invalid value null for configuration {name}:");
        errors
            .iter()
            .filter(move |text| errors.len() == 1 || !text.starts_with(&consequence))
            .map(|text| line(name, text))
    });
    Err(Error::record(format!(
        "{} is not valid:{}",
        on_one_line(&connector.name),
        errors.collect::<String>()
    )))
}

impl LifecycleCommand {
    /// Deletes the connectors, or their offsets. Errors: as [`Client::send`].
    pub(super) async fn delete(&self, client: &RestClient) -> Result<()> {
        if let Some(names) = self.names.after(&["offsets"]) {
            return each(names, String::as_str, async |name| {
                let path = format!("/connectors/{}/offsets", path_segment(name));
                let answer = client.send(Method::DELETE, &path, None).await?;
                let message = answer.json::<Message>()?.message;
                Ok(format!("{}: {message}", on_one_line(name)))
            })
            .await;
        }
        each(
            &self.names.connectors(client).await?,
            String::as_str,
            async |name| {
                client
                    .send(
                        Method::DELETE,
                        &format!("/connectors/{}", path_segment(name)),
                        None,
                    )
                    .await?;
                Ok(format!("{} deleted", on_one_line(name)))
            },
        )
        .await
    }

    /// Pauses, resumes or stops the connectors. Errors: as [`Client::send`].
    pub(super) async fn change(&self, client: &RestClient, verb: &str, done: &str) -> Result<()> {
        each(
            &self.names.connectors(client).await?,
            String::as_str,
            async |name| {
                client
                    .send(
                        Method::PUT,
                        &format!("/connectors/{}/{verb}", path_segment(name)),
                        None,
                    )
                    .await?;
                Ok(format!("{} {done}", on_one_line(name)))
            },
        )
        .await
    }
}

impl RestartCommand {
    /// Restarts the connectors or tasks. Errors: as [`Client::send`].
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        if let Some(tasks) = self.names.after(&["task", "tasks"]) {
            return each(tasks, String::as_str, async |task| {
                restart_task(client, task).await
            })
            .await;
        }
        let only_failed = self.failed || self.tasks == Some(RestartedTasks::Failed);
        let with_tasks = self.tasks.is_some();
        each(
            &self.names.connectors(client).await?,
            String::as_str,
            async |name| {
                let path = format!("/connectors/{}", path_segment(name));
                let path = match self.task {
                    Some(task) => format!("{path}/tasks/{task}/restart"),
                    None => {
                        format!("{path}/restart?includeTasks={with_tasks}&onlyFailed={only_failed}")
                    }
                };
                client.send(Method::POST, &path, None).await?;
                Ok(format!("{} restarted", on_one_line(name)))
            },
        )
        .await
    }
}

/// Restarts a task, given as `NAME/NUMBER`.
async fn restart_task(client: &RestClient, task: &str) -> Result<String> {
    let parts = task.rsplit_once('/');
    let parts = parts.and_then(|(name, number)| Some((name, number.parse::<u32>().ok()?)));
    let (name, number) = parts.ok_or_else(|| {
        Error::config(format!(
            "{task} is no task; write NAME/NUMBER, as in orders/0"
        ))
    })?;
    let path = format!("/connectors/{}/tasks/{number}/restart", path_segment(name));
    client.send(Method::POST, &path, None).await?;
    Ok(format!("{} restarted", on_one_line(task)))
}

impl RestoreCommand {
    /// Restores an earlier config. Errors: as [`Client::send`].
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let path = format!(
            "/v1/connectors/{}/history/{}/restore",
            path_segment(&self.name),
            self.version
        );
        client.send(Method::POST, &path, None).await?;
        outln!(
            "{} has the config of version {} again",
            on_one_line(&self.name),
            self.version
        );
        Ok(())
    }
}
