//! Commands that only read: get, describe, status, lag, history.

use std::time::Duration;

use clap::{Args, ValueEnum};
use connector_api::shown::{on_one_line, without_passwords};
use connector_api::{Error, Result};
use jiff::Timestamp;
use serde_json::Value;

use super::client::RestClient;
use super::print::{errln, json, out, outln, set_off, table};
use crate::model::{
    ActiveTopics, ConfigVersion, ConnectorInfo, ConnectorLag, ConnectorOffsets, ConnectorStatus,
    Expanded, PartLag, PluginInfo,
};
use crate::model::{LoggerLevel, path_segment};
use crate::secrets::SecretKeys;

/// What `get` lists.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum ListedResource {
    /// Connectors with their states
    #[default]
    Connectors,
    /// Connectors, converters and transforms that a config can use
    Plugins,
    /// Log levels
    Loggers,
}

/// `rowferry get`.
#[derive(Args, Debug)]
pub(super) struct GetCommand {
    /// What to list
    #[arg(value_enum, default_value_t)]
    what: ListedResource,
    /// Print the worker's JSON
    #[arg(long)]
    json: bool,
}

/// `rowferry describe`, `rowferry status`, `rowferry lag`, `rowferry history`.
#[derive(Args, Debug)]
pub(super) struct DescribeCommand {
    /// Name of the connector
    name: String,
    /// Print the worker's JSON
    #[arg(long)]
    json: bool,
}

impl GetCommand {
    /// Prints the list. Errors: as [`Client::send`].
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let path = match self.what {
            ListedResource::Connectors => "/connectors?expand=status&expand=info",
            ListedResource::Plugins => "/connector-plugins?connectorsOnly=false",
            ListedResource::Loggers => "/admin/loggers",
        };
        warn(client).await;
        if self.json {
            return print_json(client, path).await;
        }
        match self.what {
            ListedResource::Connectors => out!("{}", connectors(&client.get(path).await?)),
            ListedResource::Plugins => {
                let plugins: Vec<PluginInfo> = client.get(path).await?;
                let row = |p: &PluginInfo| vec![p.kind.clone(), p.version.clone(), p.class.clone()];
                out!(
                    "{}",
                    table(
                        &["TYPE", "VERSION", "CLASS"],
                        &plugins.iter().map(row).collect::<Vec<_>>()
                    )
                );
            }
            ListedResource::Loggers => {
                let levels: std::collections::BTreeMap<String, LoggerLevel> =
                    client.get(path).await?;
                let changed = |at: &LoggerLevel| at.last_modified.map(time).unwrap_or_default();
                let rows = levels
                    .iter()
                    .map(|(name, at)| vec![at.level.clone(), changed(at), name.clone()]);
                out!(
                    "{}",
                    table(&["LEVEL", "CHANGED", "LOGGER"], &rows.collect::<Vec<_>>())
                );
            }
        }
        Ok(())
    }
}

/// `rowferry health`.
#[derive(Args, Debug)]
pub(super) struct HealthCommand {
    /// Print the worker's JSON
    #[arg(long)]
    json: bool,
}

impl HealthCommand {
    /// Prints the worker's health. Errors: as [`Client::health`]; `Record` if it is not healthy, so
    /// that scripts can detect it.
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let health = client.health(Duration::from_secs(15)).await?;
        if self.json {
            outln!("{}", json(&serde_json::json!(health)));
        } else {
            outln!(
                "{}: {}",
                on_one_line(&health.status),
                on_one_line(&health.message)
            );
            health
                .warnings
                .iter()
                .for_each(|warning| outln!("warning: {}", on_one_line(warning)));
        }
        if health.status == "healthy" {
            Ok(())
        } else {
            Err(Error::record("the worker is not healthy"))
        }
    }
}

impl DescribeCommand {
    /// Prints everything about a connector. Errors: as [`Client::send`].
    pub(super) async fn describe(&self, client: &RestClient, secrets: &SecretKeys) -> Result<()> {
        let path = format!("/connectors/{}", path_segment(&self.name));
        let info: ConnectorInfo = client.get(&path).await?;
        if self.json {
            return print_json(client, &path).await;
        }
        warn(client).await;
        outln!("{} ({})", on_one_line(&info.name), on_one_line(&info.kind));
        let status: Result<ConnectorStatus> = client.get(&format!("{path}/status")).await;
        match &status {
            Ok(status) => out!("{}", states(status)),
            Err(error) => outln!("{}", set_off(&error.to_string())),
        }
        outln!("\nconfig");
        for (key, value) in &info.config {
            let shown = if secrets.is_secret(key) {
                "********".into()
            } else {
                without_passwords(value)
            };
            outln!("  {} = {}", on_one_line(key), on_one_line(&shown));
        }
        let topics: std::collections::BTreeMap<String, ActiveTopics> =
            client.get(&format!("{path}/topics")).await?;
        let topics: Vec<String> = topics
            .into_values()
            .flat_map(|t| t.topics)
            .map(|topic| on_one_line(&topic).into_owned())
            .collect();
        outln!(
            "\ntopics\n  {}",
            if topics.is_empty() {
                "none used yet".to_owned()
            } else {
                topics.join("\n  ")
            }
        );
        outln!("\noffsets");
        match client
            .get::<ConnectorOffsets>(&format!("{path}/offsets"))
            .await
        {
            Ok(offsets) => {
                for entry in offsets.offsets.unwrap_or_default() {
                    outln!("  {} -> {}", member(entry.partition), member(entry.offset));
                }
            }
            Err(error) => outln!("  {}", set_off(&error.to_string())),
        }
        Ok(())
    }

    /// Prints the states of a connector and its tasks. Errors: as [`Client::send`]; `Record` if
    /// some part has failed, so that scripts can detect it.
    pub(super) async fn status(&self, client: &RestClient) -> Result<()> {
        let path = format!("/connectors/{}/status", path_segment(&self.name));
        let status: ConnectorStatus = client.get(&path).await?;
        if self.json {
            print_json(client, &path).await?;
        } else {
            warn(client).await;
            out!("{}", states(&status));
        }
        let failed = status.connector.state == "FAILED"
            || status.tasks.iter().any(|t| t.status.state == "FAILED");
        if failed {
            Err(Error::record(format!("{} has failed", self.name)))
        } else {
            Ok(())
        }
    }

    /// Prints how far a connector is behind. Errors: as [`Client::send`].
    pub(super) async fn lag(&self, client: &RestClient) -> Result<()> {
        let path = format!("/v1/connectors/{}/lag", path_segment(&self.name));
        if self.json {
            return print_json(client, &path).await;
        }
        let lag: ConnectorLag = client.get(&path).await?;
        let head = [
            "TABLE OR PARTITION",
            "TASK",
            "ROWS",
            "SECONDS",
            "POSITION",
            "END",
        ];
        let mut rows: Vec<_> = lag.parts.iter().map(lag_row).collect();
        rows.push(vec![
            "all".to_owned(),
            String::new(),
            or_unknown(lag.rows),
            or_unknown(lag.seconds.map(|s| format!("{s:.1}"))),
        ]);
        out!("{}", table(&head, &rows));
        Ok(())
    }

    /// Prints the earlier configs of a connector. Errors: as [`Client::send`].
    pub(super) async fn history(&self, client: &RestClient) -> Result<()> {
        let path = format!("/v1/connectors/{}/history", path_segment(&self.name));
        if self.json {
            return print_json(client, &path).await;
        }
        let versions: Vec<ConfigVersion> = client.get(&path).await?;
        for version in versions {
            let what = if version.deleted { "  deleted" } else { "" };
            outln!(
                "version {}  {}{what}",
                version.version,
                time(version.created)
            );
            for change in version.changes {
                let line = match (change.from, change.to) {
                    (Some(from), Some(to)) => format!("~ {} = {from} -> {to}", change.key),
                    (Some(from), None) => format!("- {} = {from}", change.key),
                    (None, to) => format!("+ {} = {}", change.key, to.unwrap_or_default()),
                };
                outln!("  {}", on_one_line(&line));
            }
        }
        Ok(())
    }
}

/// Prints the warnings of the worker's health on standard error. Older workers, and Kafka Connect,
/// have none.
async fn warn(client: &RestClient) {
    if let Ok(health) = client.health(Duration::from_secs(3)).await {
        health
            .warnings
            .iter()
            .for_each(|warning| errln!("warning: {}", on_one_line(warning)));
    }
}

/// Returns a cell; what is not known is a question mark.
fn or_unknown<T: ToString>(cell: Option<T>) -> String {
    cell.map_or("?".to_owned(), |cell| cell.to_string())
}

fn lag_row(part: &PartLag) -> Vec<String> {
    let partition = part.partition.map(|number| format!("-{number}"));
    let topic = part.topic.as_deref().map(|topic| {
        let partition = partition.unwrap_or_default();
        format!("{topic}{partition}")
    });
    let offset = |offset: Option<i64>| offset.map_or_else(String::new, |it| it.to_string());
    vec![
        part.table.clone().or(topic).unwrap_or_default(),
        part.task.to_string(),
        or_unknown(part.rows),
        or_unknown(part.seconds.map(|seconds| format!("{seconds:.1}"))),
        offset(part.position),
        offset(part.end),
    ]
}

/// Formats milliseconds since 1970-01-01 UTC for people: `2026-11-30T09:05:00Z`.
fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .map_or_else(|_| format!("{ms} ms since 1970"), |at| at.to_string())
}

/// Formats a partition or offset as JSON.
fn member(object: Option<serde_json::Map<String, Value>>) -> String {
    object.map_or("none".to_owned(), |object| {
        on_one_line(&Value::Object(object).to_string()).into_owned()
    })
}

async fn print_json(client: &RestClient, path: &str) -> Result<()> {
    let value: Value = client.get(path).await?;
    outln!("{}", json(&value));
    Ok(())
}

fn connectors(all: &std::collections::BTreeMap<String, Expanded>) -> String {
    let row = |(name, expanded): (&String, &Expanded)| {
        let status = expanded.status.as_ref();
        let tasks = status.map(|s| s.tasks.as_slice()).unwrap_or_default();
        let running = tasks.iter().filter(|t| t.status.state == "RUNNING").count();
        let first_line = |trace: &Option<String>| {
            trace
                .as_deref()
                .and_then(|t| t.lines().next())
                .map(str::to_owned)
        };
        let traces = status
            .iter()
            .map(|s| &s.connector.trace)
            .chain(tasks.iter().map(|t| &t.status.trace));
        vec![
            name.clone(),
            expanded
                .info
                .as_ref()
                .map(|info| info.kind.clone())
                .unwrap_or_default(),
            status
                .map(|s| s.connector.state.clone())
                .unwrap_or_default(),
            format!("{running}/{}", tasks.len()),
            traces.filter_map(first_line).next().unwrap_or_default(),
        ]
    };
    table(
        &["NAME", "TYPE", "STATE", "TASKS", "ERROR"],
        &all.iter().map(row).collect::<Vec<_>>(),
    )
}

fn states(status: &ConnectorStatus) -> String {
    let tasks = status.tasks.iter().map(|task| {
        (
            format!("task {}", task.id),
            &task.status,
            task.warning.as_ref(),
        )
    });
    let parts = std::iter::once(("connector".to_owned(), &status.connector, None)).chain(tasks);
    let mut out = String::new();
    for (what, part, warning) in parts {
        out.push_str(&format!(
            "  {what:10} {:10} {}\n",
            on_one_line(&part.state),
            on_one_line(&part.worker_id)
        ));
        for line in part
            .trace
            .iter()
            .chain(warning)
            .flat_map(|text| text.lines())
        {
            out.push_str(&format!("             {}\n", on_one_line(line)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_times() {
        assert_eq!(super::time(1_796_029_500_000), "2026-11-30T09:05:00Z");
        assert_eq!(super::time(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(super::time(i64::MAX), format!("{} ms since 1970", i64::MAX));
    }
}
