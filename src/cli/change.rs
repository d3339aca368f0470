//! Verbs that change something: apply, create, delete, pause, resume, stop, restart, restore.

use std::path::PathBuf;

use clap::Args;
use connector_api::shown::on_one_line;
use connector_api::{Error, Result};
use hyper::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::file;
use crate::model::{ConfigInfos, path_segment};

/// `rowferry apply`, `rowferry create`.
#[derive(Args, Debug)]
pub struct Files {
    /// Files: {"name","config"}, a flat JSON object, a list of them, or Java properties; - is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Only check the configs, as the worker would
    #[arg(long)]
    dry_run: bool,
}

/// `rowferry delete | pause | resume | stop`.
#[derive(Args, Debug)]
pub struct Names {
    /// Names of connectors
    #[arg(required = true)]
    names: Vec<String>,
}

/// `rowferry restart`.
#[derive(Args, Debug)]
pub struct Restart {
    /// Names of connectors
    #[arg(required = true)]
    names: Vec<String>,
    /// Restart their tasks as well
    #[arg(long)]
    tasks: bool,
    /// Restart only what has failed
    #[arg(long)]
    failed: bool,
    /// Restart only this task
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["tasks", "failed"])]
    task: Option<u32>,
}

/// `rowferry restore`.
#[derive(Args, Debug)]
pub struct Restore {
    /// Name of the connector
    name: String,
    /// Number of the version, as `rowferry history` shows it
    version: i64,
}

impl Files {
    /// Makes the connectors what the files say, new or not. Errors: as [`Client::send`].
    pub async fn apply(&self, client: &Client) -> Result<()> {
        for connector in self.connectors()? {
            let path = format!("/connectors/{}/config", path_segment(&connector.name));
            if self.dry_run {
                check(client, &connector).await?;
            } else {
                client.send(Method::PUT, &path, Some(&Value::Object(connector.config))).await?;
                println!("{} applied", on_one_line(&connector.name));
            }
        }
        Ok(())
    }

    /// Creates the connectors; one that exists is refused. Errors: as [`Client::send`].
    pub async fn create(&self, client: &Client) -> Result<()> {
        for connector in self.connectors()? {
            if self.dry_run {
                check(client, &connector).await?;
                continue;
            }
            let mut body = json!({"name": connector.name, "config": connector.config});
            if let Some(state) = connector.initial_state {
                body["initial_state"] = state;
            }
            client.send(Method::POST, "/connectors", Some(&body)).await?;
            println!("{} created", on_one_line(&connector.name));
        }
        Ok(())
    }

    fn connectors(&self) -> Result<Vec<file::Described>> {
        let mut all = Vec::new();
        for path in &self.files {
            all.extend(file::read(path)?);
        }
        Ok(all)
    }
}

async fn check(client: &Client, connector: &file::Described) -> Result<()> {
    let class = connector.config.get("connector.class").and_then(Value::as_str).unwrap_or_default();
    let mut config = connector.config.clone();
    config.insert("name".to_owned(), connector.name.clone().into());
    let path = format!("/connector-plugins/{}/config/validate", path_segment(class));
    let infos: ConfigInfos = client.send(Method::PUT, &path, Some(&Value::Object(config))).await?.json()?;
    if infos.error_count == 0 {
        println!("{} is valid", on_one_line(&connector.name));
        for warning in &infos.warnings {
            println!("  {}: {}", on_one_line(&warning.key), on_one_line(&warning.message));
        }
        return Ok(());
    }
    let errors: Vec<_> =
        infos.configs.iter().flat_map(|c| c.value.errors.iter().map(|e| format!("  {}", on_one_line(e)))).collect();
    Err(Error::record(format!("{} is not valid:\n{}", connector.name, errors.join("\n"))))
}

impl Names {
    /// Deletes them. Errors: as [`Client::send`].
    pub async fn delete(&self, client: &Client) -> Result<()> {
        for name in &self.names {
            client.send(Method::DELETE, &format!("/connectors/{}", path_segment(name)), None).await?;
            println!("{} deleted", on_one_line(name));
        }
        Ok(())
    }

    /// Pauses, resumes or stops them. Errors: as [`Client::send`].
    pub async fn change(&self, client: &Client, verb: &str, done: &str) -> Result<()> {
        for name in &self.names {
            client.send(Method::PUT, &format!("/connectors/{}/{verb}", path_segment(name)), None).await?;
            println!("{} {done}", on_one_line(name));
        }
        Ok(())
    }
}

impl Restart {
    /// Restarts. Errors: as [`Client::send`].
    pub async fn run(&self, client: &Client) -> Result<()> {
        for name in &self.names {
            let path = format!("/connectors/{}", path_segment(name));
            let path = match self.task {
                Some(task) => format!("{path}/tasks/{task}/restart"),
                None => format!("{path}/restart?includeTasks={}&onlyFailed={}", self.tasks, self.failed),
            };
            client.send(Method::POST, &path, None).await?;
            println!("{} restarted", on_one_line(name));
        }
        Ok(())
    }
}

impl Restore {
    /// Goes back to an earlier config. Errors: as [`Client::send`].
    pub async fn run(&self, client: &Client) -> Result<()> {
        let path = format!("/v1/connectors/{}/history/{}/restore", path_segment(&self.name), self.version);
        client.send(Method::POST, &path, None).await?;
        println!("{} has the config of version {} again", on_one_line(&self.name), self.version);
        Ok(())
    }
}
