//! What `get` and `describe` show beside connectors: plug-ins and their keys, log levels, offsets.

use std::cell::RefCell;
use std::collections::BTreeMap;

use clap::Args;
use connector_api::shown::{in_lines, on_one_line};
use connector_api::{Error, Result};
use regex::Regex;
use serde_json::Value;

use super::client::RestClient;
use super::each::each_shown;
use super::output::OutputArgs;
use super::print::{out, outln, table};
use super::show::{member, time};
use crate::http::Method;
use crate::model::{ConfigKeyInfo, ConnectorOffsets, LoggerLevel, PluginInfo, path_segment};

/// Which keys of a plug-in to show.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct KeySearch {
    /// Of a plug-in: only keys whose name or documentation matches
    #[arg(long, value_name = "REGEX", conflicts_with_all = ["search_name", "search_description"])]
    search: Option<String>,
    /// Of a plug-in: only keys whose name matches
    #[arg(long, value_name = "REGEX", conflicts_with = "search_description")]
    search_name: Option<String>,
    /// Of a plug-in: only keys whose documentation matches
    #[arg(long, value_name = "REGEX")]
    search_description: Option<String>,
}

impl KeySearch {
    fn compile(&self) -> Result<impl Fn(&ConfigKeyInfo) -> bool + use<>> {
        let (name, doc) = (
            self.search.as_ref().or(self.search_name.as_ref()),
            self.search.as_ref().or(self.search_description.as_ref()),
        );
        let compile = |text: Option<&String>| {
            text.map(|text| Regex::new(&format!("(?i){text}")))
                .transpose()
                .map_err(|e| Error::config(format!("no regular expression: {e}")))
        };
        let (name, doc) = (compile(name)?, compile(doc)?);
        Ok(move |key: &ConfigKeyInfo| {
            let is_in = |regex: &Option<Regex>, text: &str| {
                regex.as_ref().is_some_and(|regex| regex.is_match(text))
            };
            (name.is_none() && doc.is_none())
                || is_in(&name, &key.name)
                || is_in(&doc, &key.documentation)
        })
    }
}

/// `rowferry info`.
#[derive(Args, Debug)]
pub(super) struct InfoCommand {
    #[command(flatten)]
    output: OutputArgs,
}

/// `rowferry plugins`.
#[derive(Args, Debug)]
pub(super) struct PluginsCommand {
    /// Names of plug-ins whose keys are shown
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
    search: KeySearch,
    #[command(flatten)]
    output: OutputArgs,
}

/// `rowferry loggers`.
#[derive(Args, Debug)]
pub(super) struct LoggersCommand {
    /// Name of a logger
    #[arg(value_name = "LOGGER")]
    logger: Option<String>,
    /// Its new level
    #[arg(value_name = "LEVEL", requires = "logger")]
    level: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

impl InfoCommand {
    /// Prints which worker answers. Errors: as [`RestClient::send`].
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let info: BTreeMap<String, Value> = client.get("/").await?;
        if self.output.is_document() {
            self.output.document(&serde_json::json!(info));
            return Ok(());
        }
        outln!("URL               {}", client.url());
        for (name, title) in [
            ("version", "Version"),
            ("commit", "Commit"),
            ("kafka_cluster_id", "Kafka cluster id"),
            ("rowferry_version", "Rowferry version"),
        ] {
            if let Some(Value::String(text)) = info.get(name) {
                outln!("{title:16}  {}", on_one_line(text));
            }
        }
        Ok(())
    }
}

impl PluginsCommand {
    /// Lists plug-ins or shows keys. Errors: as [`RestClient::send`].
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        if self.names.is_empty() {
            plugins(client, &self.types, self.output).await
        } else {
            keys(client, &self.names, &self.search, self.output).await
        }
    }
}

impl LoggersCommand {
    /// Lists levels or sets one. Errors: as [`RestClient::send`].
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        match (&self.logger, &self.level) {
            (Some(logger), Some(level)) => set_logger(client, logger, level, "worker").await,
            (logger, _) => {
                let names: Vec<String> = logger.iter().cloned().collect();
                loggers(client, &names, self.output).await
            }
        }
    }
}

/// Lists plug-ins. Errors: as [`RestClient::send`].
pub(super) async fn plugins(
    client: &RestClient,
    types: &[String],
    output: OutputArgs,
) -> Result<()> {
    let path = "/connector-plugins?connectorsOnly=false";
    let all: Vec<PluginInfo> = client.get(path).await?;
    let wanted = |plugin: &&PluginInfo| {
        types.is_empty() || types.iter().any(|t| t.eq_ignore_ascii_case(&plugin.kind))
    };
    let found: Vec<&PluginInfo> = all.iter().filter(wanted).collect();
    if output.is_document() {
        output.document(&serde_json::json!(found));
        return Ok(());
    }
    let rows = found
        .iter()
        .map(|p| vec![p.kind.clone(), p.version.clone(), p.class.clone()]);
    out!(
        "{}",
        table(&["TYPE", "VERSION", "CLASS"], &rows.collect::<Vec<_>>())
    );
    Ok(())
}

/// Shows the keys of plug-ins. Errors: as [`RestClient::send`], `Config` for an expression that
/// cannot be read.
pub(super) async fn keys(
    client: &RestClient,
    names: &[String],
    search: &KeySearch,
    output: OutputArgs,
) -> Result<()> {
    let is_wanted = search.compile()?;
    each_shown(names, false, async |name| {
        let path = format!("/connector-plugins/{}/config", path_segment(name));
        let mut keys: Vec<ConfigKeyInfo> = client.get(&path).await?;
        keys.retain(&is_wanted);
        if output.is_document() {
            output.document(&serde_json::json!(keys));
        } else {
            keys.iter().for_each(print_key);
        }
        Ok(())
    })
    .await
}

fn print_key(key: &ConfigKeyInfo) {
    let required = if key.required { ", required" } else { "" };
    let default = key
        .default_value
        .as_deref()
        .map(|it| format!(", default {it}"));
    let default = default.unwrap_or_default();
    outln!(
        "{} ({}{required}{})",
        on_one_line(&key.name),
        on_one_line(&key.ty),
        on_one_line(&default)
    );
    outln!("  {}", in_lines(&key.documentation).replace('\n', "\n  "));
}

/// Formats log levels.
pub(super) fn levels(levels: &BTreeMap<String, LoggerLevel>) -> String {
    let changed = |at: &LoggerLevel| at.last_modified.map(time).unwrap_or_default();
    let rows = levels
        .iter()
        .map(|(name, at)| vec![at.level.clone(), changed(at), name.clone()]);
    table(&["LEVEL", "CHANGED", "LOGGER"], &rows.collect::<Vec<_>>())
}

/// Shows the levels of loggers; `ALL` or no name lists all. Errors: as [`RestClient::send`].
pub(super) async fn loggers(
    client: &RestClient,
    names: &[String],
    output: OutputArgs,
) -> Result<()> {
    let mut found: BTreeMap<String, LoggerLevel> = BTreeMap::new();
    if names.is_empty() || names.iter().any(|name| name == "ALL") {
        found = client.get("/admin/loggers").await?;
    }
    let named: Vec<String> = names
        .iter()
        .filter(|name| *name != "ALL")
        .cloned()
        .collect();
    let found = RefCell::new(found);
    let done = each_shown(&named, false, async |name| {
        let path = format!("/admin/loggers/{}", path_segment(name));
        let level = client.get(&path).await?;
        found.borrow_mut().insert(name.to_owned(), level);
        Ok(())
    });
    let done = done.await;
    let found = found.into_inner();
    if done.is_err() && found.is_empty() {
        return done;
    }
    if output.is_document() {
        output.document(&serde_json::json!(found));
    } else {
        out!("{}", levels(&found));
    }
    done
}

/// Sets the level of a logger on this worker or on all. Errors: as [`RestClient::send`].
pub(super) async fn set_logger(
    client: &RestClient,
    logger: &str,
    level: &str,
    scope: &str,
) -> Result<()> {
    let scope = if scope == "worker" {
        ""
    } else {
        "?scope=cluster"
    };
    let path = format!("/admin/loggers/{}{scope}", path_segment(logger));
    let body = serde_json::json!({ "level": level });
    let answer = client.send(Method::PUT, &path, Some(&body)).await?;
    let changed: Vec<String> = if scope.is_empty() {
        answer.json()?
    } else {
        Vec::new()
    };
    if changed.is_empty() && scope.is_empty() {
        outln!("{} had level {level} before", on_one_line(logger));
    } else if scope.is_empty() {
        changed
            .iter()
            .for_each(|name| outln!("{}", on_one_line(name)));
    } else {
        outln!("{} is set on all workers", on_one_line(logger));
    }
    Ok(())
}

/// Shows the offsets of connectors. Errors: as [`RestClient::send`].
pub(super) async fn offsets(
    client: &RestClient,
    names: &[String],
    output: OutputArgs,
) -> Result<()> {
    if names.is_empty() {
        return Err(Error::config("get offsets needs the names of connectors"));
    }
    let is_document = output.is_document();
    each_shown(names, !is_document, async |name| {
        let path = format!("/connectors/{}/offsets", path_segment(name));
        if is_document {
            output.document(&client.get::<Value>(&path).await?);
            return Ok(());
        }
        let offsets: ConnectorOffsets = client.get(&path).await?;
        let rows = offsets.offsets.unwrap_or_default().into_iter();
        let rows = rows.map(|entry| vec![member(entry.partition), member(entry.offset)]);
        if names.len() > 1 {
            outln!("{}", on_one_line(name));
        }
        out!(
            "{}",
            table(&["PARTITION", "OFFSET"], &rows.collect::<Vec<_>>())
        );
        Ok(())
    })
    .await
}
