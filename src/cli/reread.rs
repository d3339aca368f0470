//! `rowferry reread`: tables that a running source reads again.

use std::time::Duration;

use clap::{Args, Subcommand};
use connector_api::shown::on_one_line;
use connector_api::{Error, Result};
use serde_json::Value;

use super::bar::Bar;
use super::client::RestClient;
use super::output::OutputArgs;
use super::print::{out, outln, table};
use super::shell::connector_names;
use crate::http::Method;
use crate::model::{Reread, StartReread, path_segment};

/// How often `--wait` looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Subcommand, Debug)]
pub(super) enum RereadCommand {
    /// Read a table, or a range of its primary key, again, while the tables are read as before
    Start(StartCommand),
    /// List what is read again, and what has been since the tasks were started
    List(ListCommand),
    /// Stop reading a table again; records that have been written stay
    Cancel(CancelCommand),
}

/// `rowferry reread start`.
#[derive(Args, Debug)]
pub(super) struct StartCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    /// The table; its name alone if no other table of the connector has it
    table: String,
    /// The first key; once for each column of the primary key, or for its first ones
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    from: Vec<String>,
    /// The last key, which is read too
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    to: Vec<String>,
    /// Wait until all rows have been read
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// `rowferry reread list`.
#[derive(Args, Debug)]
pub(super) struct ListCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// `rowferry reread cancel`.
#[derive(Args, Debug)]
pub(super) struct CancelCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    /// The table
    table: String,
}

impl RereadCommand {
    /// Errors: as [`RestClient::send`]; `Record` if reading again ends early while this waits.
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        match self {
            Self::Start(start) => start.run(client).await,
            Self::List(list) => {
                let all = all(client, &list.name).await?;
                if list.output.is_document() {
                    list.output.document(&serde_json::json!(all));
                } else {
                    show(&all);
                }
                Ok(())
            }
            Self::Cancel(cancel) => {
                let path = format!("{}/{}", path(&cancel.name), path_segment(&cancel.table));
                client.send(Method::DELETE, &path, None).await?;
                outln!("{} is not read again any more", on_one_line(&cancel.table));
                Ok(())
            }
        }
    }
}

impl StartCommand {
    async fn run(&self, client: &RestClient) -> Result<()> {
        let key = |values: &[String]| values.iter().cloned().map(Value::String).collect();
        let body = StartReread {
            table: self.table.clone(),
            from: key(&self.from),
            to: key(&self.to),
        };
        let body = serde_json::json!(body);
        let answer = client
            .send(Method::POST, &path(&self.name), Some(&body))
            .await?;
        let mut begun: Reread = answer.json()?;
        if self.wait {
            begun = wait(client, &self.name, begun).await?;
        }
        if self.output.is_document() {
            self.output.document(&serde_json::json!(begun));
        } else if self.wait {
            outln!(
                "{}: {} rows have been read again",
                on_one_line(&begun.table),
                begun.rows
            );
        } else {
            outln!(
                "{} is read again by task {}; see: rowferry reread list {}",
                on_one_line(&begun.table),
                begun.task,
                on_one_line(&self.name)
            );
        }
        Ok(())
    }
}

/// Waits for the end. Errors: `Record` if it is not the last row.
async fn wait(client: &RestClient, name: &str, begun: Reread) -> Result<Reread> {
    let mut seen = begun;
    let bar = Bar::of(on_one_line(&seen.table).into_owned(), 100);
    loop {
        let all = all(client, name).await?;
        match all.into_iter().find(|it| it.table == seen.table) {
            Some(now) => seen = now,
            // The task has been started again and does not know of it any more: it was complete.
            None if is_over(client, name, &seen.table).await? => return Ok(seen),
            None => {}
        }
        bar.done(whole_percent(seen.percent));
        match seen.state.as_str() {
            "running" => tokio::time::sleep(LOOK_EVERY).await,
            "done" => return Ok(seen),
            state => {
                return Err(Error::record(format!(
                    "{} is not read again any more: {}",
                    seen.table,
                    seen.error.as_deref().unwrap_or(state)
                )));
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is limited to 0..=100 before"
)]
fn whole_percent(percent: Option<f64>) -> usize {
    percent.unwrap_or_default().clamp(0.0, 100.0) as usize
}

/// True if no offset says that the table is being read again.
async fn is_over(client: &RestClient, name: &str, table: &str) -> Result<bool> {
    let path = format!("/connectors/{}/offsets", path_segment(name));
    let stored: crate::model::ConnectorOffsets = client.get(&path).await?;
    let is_of = |partition: &serde_json::Map<String, Value>| {
        let of = partition
            .get("table")
            .and_then(Value::as_str)
            .unwrap_or_default();
        partition.contains_key("reread") && (table == of || table.ends_with(&format!(".{of}")))
    };
    let mut partitions = stored
        .offsets
        .iter()
        .flatten()
        .filter_map(|e| e.partition.as_ref());
    Ok(!partitions.any(is_of))
}

async fn all(client: &RestClient, name: &str) -> Result<Vec<Reread>> {
    client.get(&path(name)).await
}

fn path(name: &str) -> String {
    format!("/v1/connectors/{}/rereads", path_segment(name))
}

fn show(all: &[Reread]) {
    let row = |it: &Reread| {
        vec![
            it.table.clone(),
            it.task.to_string(),
            it.state.clone(),
            it.rows.to_string(),
            it.percent
                .map_or_else(|| "?".to_owned(), |n| format!("~{n:.0} %")),
            key(&it.from),
            key(&it.to),
            key(&it.reached),
        ]
    };
    let head = [
        "TABLE", "TASK", "STATE", "ROWS", "READ", "FROM", "TO", "REACHED",
    ];
    out!("{}", table(&head, &all.iter().map(row).collect::<Vec<_>>()));
    for it in all {
        if let Some(error) = &it.error {
            outln!("{}: {}", on_one_line(&it.table), on_one_line(error));
        }
    }
}

fn key(values: &[Value]) -> String {
    let shown = values.iter().map(|value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    let shown: Vec<_> = shown.collect();
    if shown.is_empty() {
        "-".to_owned()
    } else {
        shown.join(", ")
    }
}
