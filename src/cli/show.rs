//! Commands that only read: get, describe, status, lag, history.

use std::cell::RefCell;
use std::time::Duration;

use clap::{Args, ValueEnum};
use connector_api::shown::{on_one_line, without_passwords};
use connector_api::{Error, Result};
use jiff::Timestamp;
use serde_json::Value;

use super::client::RestClient;
use super::each::each_shown;
use super::names::ConnectorNames;
use super::output::OutputArgs;
use super::print::{errln, out, outln, set_off, table};
use super::resources::{self, KeySearch};
use super::shell::connector_names;
use super::workers;
use crate::model::path_segment;
use crate::model::{
    ActiveTopics, ConfigVersion, ConnectorInfo, ConnectorLag, ConnectorOffsets, ConnectorStatus,
    Expanded, PartLag, TaskInfo,
};
use crate::secrets::SecretKeys;

/// What `get` lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ListedResource {
    /// Connectors with their states
    #[default]
    #[value(alias = "connector")]
    Connectors,
    /// Workers of the group, with the numbers of their tasks
    #[value(alias = "worker")]
    Workers,
    /// Connectors, converters and transforms that a config can use
    #[value(alias = "plugin")]
    Plugins,
    /// Log levels
    Loggers,
    /// The level of one logger, or of ALL
    Logger,
    /// Offsets of connectors, as a document that PATCH takes
    #[value(alias = "offset")]
    Offsets,
}

/// `rowferry get`.
#[derive(Args, Debug)]
pub(super) struct GetCommand {
    /// What to list
    #[arg(value_enum, default_value_t)]
    what: ListedResource,
    /// Names of connectors (offsets) or loggers (logger)
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Types of plug-ins to list: source, sink, transformation, predicate, converter, header_converter
    #[arg(
        short = 't',
        long = "types",
        value_name = "TYPE",
        value_delimiter = ','
    )]
    types: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// `rowferry status`, `rowferry lag`, `rowferry history`.
#[derive(Args, Debug)]
pub(super) struct ShowCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// `rowferry describe`.
#[derive(Args, Debug)]
pub(super) struct DescribeCommand {
    #[command(flatten)]
    names: ConnectorNames,
    /// Show the configs of the tasks as well
    #[arg(long)]
    tasks_config: bool,
    #[command(flatten)]
    search: KeySearch,
    #[command(flatten)]
    output: OutputArgs,
}

impl GetCommand {
    /// Prints the list. Errors: as [`Client::send`].
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let path = match self.what {
            ListedResource::Connectors => "/connectors?expand=status&expand=info",
            ListedResource::Plugins
            | ListedResource::Workers
            | ListedResource::Loggers
            | ListedResource::Logger
            | ListedResource::Offsets => "/admin/loggers",
        };
        warn(client).await;
        match self.what {
            ListedResource::Logger => {
                return resources::loggers(client, &self.names, self.output).await;
            }
            ListedResource::Offsets => {
                return resources::offsets(client, &self.names, self.output).await;
            }
            ListedResource::Plugins => {
                return resources::plugins(client, &self.types, self.output).await;
            }
            ListedResource::Workers if self.names.is_empty() => {
                return workers::list(client, self.output).await;
            }
            ListedResource::Connectors | ListedResource::Loggers | ListedResource::Workers => {}
        }
        if let Some(unused) = self.names.first() {
            return Err(Error::config(format!(
                "get takes names only of offsets and logger, not {unused}; describe NAME shows one connector"
            )));
        }
        let value: Value = client.get(path).await?;
        if self.output.is_document() {
            self.output.document(&value);
            return Ok(());
        }
        if self.what == ListedResource::Connectors {
            let all = serde_json::from_value(value).map_err(|_| no_worker())?;
            out!("{}", connectors(&all, self.output.is_wide()));
        } else {
            let levels = serde_json::from_value(value).map_err(|_| no_worker())?;
            out!("{}", resources::levels(&levels));
        }
        Ok(())
    }
}

fn no_worker() -> Error {
    Error::fatal("the answer does not come from Kafka Connect's API: is this a worker?")
}

/// `rowferry health`.
#[derive(Args, Debug)]
pub(super) struct HealthCommand {
    #[command(flatten)]
    output: OutputArgs,
}

impl HealthCommand {
    /// Prints the worker's health. Errors: as [`Client::health`]; `Record` if it is not healthy, so
    /// that scripts can detect it.
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let health = client.health(Duration::from_secs(15)).await?;
        if self.output.is_document() {
            self.output.document(&serde_json::json!(health));
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
    /// Prints everything about connectors, or the keys of a plug-in. Errors: as [`RestClient::send`].
    pub(super) async fn describe(&self, client: &RestClient, secrets: &SecretKeys) -> Result<()> {
        if let Some(plugins) = self.names.after(&["plugin", "plugins"]) {
            return resources::keys(client, plugins, &self.search, self.output).await;
        }
        if let Some(ids) = self.names.after(&["worker", "workers"]) {
            return workers::describe(client, ids, self.output).await;
        }
        let names = self.names.connectors(client).await?;
        if self.output.is_document() {
            let all = RefCell::new(Vec::new());
            let done = each_shown(&names, false, async |name| {
                let document = self.document(client, name).await?;
                all.borrow_mut().push(document);
                Ok(())
            });
            let done = done.await;
            match (names.len(), all.into_inner().as_slice()) {
                (1, []) => {}
                (1, [one]) => self.output.document(one),
                (_, several) => self.output.document(&Value::from(several)),
            }
            return done;
        }
        each_shown(&names, true, async |name| {
            self.connector(client, secrets, name).await
        })
        .await
    }

    /// Returns what the worker says about a connector, with the configs of its tasks if wanted.
    async fn document(&self, client: &RestClient, name: &str) -> Result<Value> {
        let path = format!("/connectors/{}", path_segment(name));
        let mut info = client.get::<Value>(&path).await?;
        if self.tasks_config
            && let Some(members) = info.as_object_mut()
        {
            let tasks: Value = client.get(&format!("{path}/tasks")).await?;
            members.insert("tasks_config".to_owned(), tasks);
        }
        Ok(info)
    }

    async fn connector(&self, client: &RestClient, secrets: &SecretKeys, name: &str) -> Result<()> {
        let path = format!("/connectors/{}", path_segment(name));
        let info: ConnectorInfo = client.get(&path).await?;
        warn(client).await;
        outln!("{} ({})", on_one_line(&info.name), on_one_line(&info.kind));
        let status: Result<ConnectorStatus> = client.get(&format!("{path}/status")).await;
        match &status {
            Ok(status) => out!("{}", states(status)),
            Err(error) => outln!("{}", set_off(&error.to_string())),
        }
        outln!("\nconfig");
        print_config(&info.config, secrets, "  ");
        if self.tasks_config {
            let tasks: Vec<TaskInfo> = client.get(&format!("{path}/tasks")).await?;
            for task in tasks {
                outln!("\nconfig of task {}", task.id.task);
                print_config(&task.config, secrets, "  ");
            }
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
}

impl ShowCommand {
    /// Prints the states of a connector and its tasks. Errors: as [`Client::send`]; `Record` if
    /// some part has failed, so that scripts can detect it.
    pub(super) async fn status(&self, client: &RestClient) -> Result<()> {
        let path = format!("/connectors/{}/status", path_segment(&self.name));
        let status: ConnectorStatus = client.get(&path).await?;
        if self.output.is_document() {
            self.output.document(&client.get(&path).await?);
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
        if self.output.is_document() {
            self.output.document(&client.get(&path).await?);
            return Ok(());
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
        for pair in &lag.sources {
            let seconds = or_unknown(pair.seconds.map(|seconds| format!("{seconds:.1}")));
            outln!("from {}: {seconds} s", on_one_line(&pair.connector));
        }
        if let Some(why) = &lag.unknown {
            errln!("rowferry: {}", on_one_line(why));
        }
        Ok(())
    }

    /// Prints the earlier configs of a connector. Errors: as [`Client::send`].
    pub(super) async fn history(&self, client: &RestClient) -> Result<()> {
        let path = format!("/v1/connectors/{}/history", path_segment(&self.name));
        if self.output.is_document() {
            self.output.document(&client.get(&path).await?);
            return Ok(());
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
        part.task.map_or_else(String::new, |task| task.to_string()),
        or_unknown(part.rows),
        or_unknown(part.seconds.map(|seconds| format!("{seconds:.1}"))),
        offset(part.position),
        offset(part.end),
    ]
}

/// Formats milliseconds since 1970-01-01 UTC for people, always as wide: `2026-11-30T09:05:00.000Z`.
pub(super) fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .map_or_else(|_| format!("{ms} ms since 1970"), |at| format!("{at:.3}"))
}

/// Formats a partition or offset as JSON.
pub(super) fn member(object: Option<serde_json::Map<String, Value>>) -> String {
    object.map_or("none".to_owned(), |object| {
        on_one_line(&Value::Object(object).to_string()).into_owned()
    })
}

fn print_config(
    config: &std::collections::BTreeMap<String, String>,
    secrets: &SecretKeys,
    indent: &str,
) {
    for (key, value) in config {
        let shown = if secrets.is_secret(key) {
            "********".into()
        } else {
            without_passwords(value)
        };
        outln!("{indent}{} = {}", on_one_line(key), on_one_line(&shown));
    }
}

fn connectors(all: &std::collections::BTreeMap<String, Expanded>, is_wide: bool) -> String {
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
    let mut rows = all.iter().map(row).collect::<Vec<_>>();
    if !is_wide {
        return table(&["NAME", "TYPE", "STATE", "TASKS", "ERROR"], &rows);
    }
    for (row, expanded) in rows.iter_mut().zip(all.values()) {
        let status = expanded.status.as_ref();
        let worker = status.map(|s| s.connector.worker_id.clone());
        let class = expanded
            .info
            .as_ref()
            .and_then(|info| info.config.get("connector.class").cloned());
        let states = status.iter().flat_map(|s| &s.tasks);
        let states = states.map(|task| format!("{}: {}", task.id, task.status.state));
        let error = row.pop().unwrap_or_default();
        row.pop();
        row.push(states.collect::<Vec<_>>().join(", "));
        row.push(worker.unwrap_or_default());
        row.push(class.unwrap_or_default());
        row.push(error);
    }
    let head = ["NAME", "TYPE", "STATE", "TASKS", "WORKER", "CLASS", "ERROR"];
    table(&head, &rows)
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
        assert_eq!(super::time(1_796_029_500_000), "2026-11-30T09:05:00.000Z");
        assert_eq!(super::time(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(super::time(i64::MAX), format!("{} ms since 1970", i64::MAX));
    }
}
