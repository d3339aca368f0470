//! `rowferry patch`: changes single keys of configs, log levels and offsets.

use clap::{Args, Subcommand, ValueEnum};
use connector_api::shown::on_one_line;
use connector_api::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use super::client::RestClient;
use super::each::each;
use super::names::ConnectorNames;
use super::offsets::{SetOffset, set};
use super::print::outln;
use super::resources;
use super::shell::connector_names;
use crate::http::Method;
use crate::model::path_segment;

#[derive(Subcommand, Debug)]
pub(super) enum PatchCommand {
    /// Set and remove keys of connectors' configs
    #[command(visible_alias = "connectors")]
    Connector(PatchConnectorCommand),
    /// Set the level of a logger
    Logger(PatchLoggerCommand),
    /// Set an offset of a stopped connector
    Offsets(PatchOffsetsCommand),
}

#[derive(Args, Debug)]
pub(super) struct PatchConnectorCommand {
    /// Names of connectors
    #[command(flatten)]
    names: ConnectorNames,
    /// Keys to set
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE", num_args = 1)]
    set: Vec<String>,
    /// Keys to remove
    #[arg(short = 'r', long = "remove", value_name = "KEY", num_args = 1)]
    remove: Vec<String>,
}

#[derive(Args, Debug)]
pub(super) struct PatchLoggerCommand {
    /// Name of the logger, such as root or rowferry.worker
    logger: String,
    /// Its level: ERROR, WARN, INFO, DEBUG, TRACE, …
    #[arg(short = 'l', long, value_name = "LEVEL")]
    level: String,
    /// On this worker only, or on all of the cluster
    #[arg(short = 's', long, value_enum, default_value_t)]
    scope: LoggerScope,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum LoggerScope {
    #[default]
    Worker,
    Cluster,
}

#[derive(Args, Debug)]
pub(super) struct PatchOffsetsCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    #[command(flatten)]
    offset: SetOffset,
}

impl PatchCommand {
    /// Errors: as [`RestClient::send`].
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        match self {
            Self::Connector(patch) => patch.run(client).await,
            Self::Logger(patch) => {
                let scope = match patch.scope {
                    LoggerScope::Worker => "worker",
                    LoggerScope::Cluster => "cluster",
                };
                resources::set_logger(client, &patch.logger, &patch.level, scope).await
            }
            Self::Offsets(patch) => {
                let message = set(client, &patch.name, &patch.offset.document()?).await?;
                outln!("{}", on_one_line(&message));
                Ok(())
            }
        }
    }
}

impl PatchConnectorCommand {
    async fn run(&self, client: &RestClient) -> Result<()> {
        let mut changes = Map::new();
        for pair in &self.set {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Error::config(format!("{pair} has no =; write --set KEY=VALUE")))?;
            changes.insert(key.to_owned(), value.into());
        }
        for key in &self.remove {
            changes.insert(key.clone(), Value::Null);
        }
        if changes.is_empty() {
            return Err(Error::config(
                "--set and --remove say what to change; there is neither",
            ));
        }
        let names = self.names.connectors(client).await?;
        each(&names, String::as_str, async |name| {
            patch(client, name, &changes).await
        })
        .await
    }
}

/// Changes a connector's config. Workers that do not know PATCH get the whole config.
async fn patch(client: &RestClient, name: &str, changes: &Map<String, Value>) -> Result<String> {
    let path = format!("/connectors/{}/config", path_segment(name));
    let body = Value::Object(changes.clone());
    let sent = client.send(Method::PATCH, &path, Some(&body)).await;
    match sent {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::Record && error.message().contains("405") => {
            let mut config: Map<String, Value> = client.get(&path).await?;
            for (key, value) in changes {
                if value.is_null() {
                    config.remove(key);
                } else {
                    config.insert(key.clone(), value.clone());
                }
            }
            client
                .send(Method::PUT, &path, Some(&json!(config)))
                .await?;
        }
        Err(error) => return Err(error),
    }
    Ok(format!("{} changed", on_one_line(name)))
}
