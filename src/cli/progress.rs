//! `rowferry progress` and `rowferry top`: what connectors do now.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use connector_api::Result;
use connector_api::shown::on_one_line;

use super::client::RestClient;
use super::output::OutputArgs;
use super::print::{lost, out, outln, table};
use super::shell::connector_names;
use crate::model::{
    ConnectorLag, ConnectorProgress, ConnectorStatus, Expanded, TableProgress, path_segment,
};

/// `rowferry progress`.
#[derive(Args, Debug)]
pub(super) struct ProgressCommand {
    /// Name of the connector
    #[arg(add = connector_names())]
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// `rowferry top`.
#[derive(Args, Debug)]
pub(super) struct TopCommand {
    /// Seconds between two looks
    #[arg(short = 'd', long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// Look once
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl ProgressCommand {
    /// Prints how far the tables of a connector are read. Errors: as [`RestClient::send`].
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let path = format!("/v1/connectors/{}/progress", path_segment(&self.name));
        let progress: ConnectorProgress = client.get(&path).await?;
        if self.output.is_document() {
            self.output.document(&serde_json::json!(progress));
            return Ok(());
        }
        let mut rows = Vec::new();
        for task in &progress.tasks {
            for table in &task.tables {
                rows.push(row(task.id, table));
            }
        }
        let head = ["TASK", "TABLE", "ROWS", "LEFT", "DONE", "TIME LEFT"];
        out!("{}", table(&head, &rows));
        for task in &progress.tasks {
            let detail = task
                .detail
                .as_deref()
                .map(|it| format!(", {it}"))
                .unwrap_or_default();
            let (id, what) = (task.id, on_one_line(&task.waiting_for));
            outln!(
                "task {id} is at {what} since {}{}",
                on_one_line(&task.since),
                on_one_line(&detail)
            );
            for warning in &task.warnings {
                outln!("task {id}: {}", on_one_line(warning));
            }
        }
        Ok(())
    }
}

fn row(task: u32, of: &TableProgress) -> Vec<String> {
    let left = of
        .rows_left
        .map_or_else(|| "?".to_owned(), |left| left.to_string());
    let done = match (of.rows_left, of.rows_estimated) {
        (Some(0), _) => "all".to_owned(),
        // Estimates may be wrong, so they are marked.
        (Some(left), Some(all)) if all > 0 && left <= all => {
            format!("~{} %", (all - left).saturating_mul(100) / all)
        }
        _ => "?".to_owned(),
    };
    let eta = of.eta_ms.filter(|_| of.rows_left != Some(0)).map(duration);
    vec![
        task.to_string(),
        of.table.clone(),
        of.rows.to_string(),
        left,
        done,
        eta.unwrap_or_default(),
    ]
}

/// Formats milliseconds as the largest two units.
fn duration(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

impl TopCommand {
    /// Prints the connectors again and again, until standard output is closed. Errors: as
    /// [`RestClient::send`].
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let clears = std::io::stdout().is_terminal();
        while lost().is_none() {
            let rows = look(client).await?;
            if self.output.is_document() {
                let head = [
                    "name",
                    "type",
                    "state",
                    "tasks",
                    "rows_behind",
                    "seconds_behind",
                ];
                let named = |row: &Vec<String>| {
                    let pairs = head.iter().zip(row);
                    pairs
                        .map(|(name, cell)| ((*name).to_owned(), cell.as_str().into()))
                        .collect()
                };
                let all: Vec<serde_json::Map<_, _>> = rows.iter().map(named).collect();
                self.output.document(&serde_json::json!(all));
            } else {
                if clears && !self.once {
                    out!("\u{1b}[2J\u{1b}[H");
                }
                let head = ["NAME", "TYPE", "STATE", "TASKS", "ROWS BEHIND", "SECONDS"];
                out!("{}", table(&head, &rows));
            }
            if self.once {
                break;
            }
            tokio::time::sleep(Duration::from_secs(self.every)).await;
        }
        Ok(())
    }
}

async fn look(client: &RestClient) -> Result<Vec<Vec<String>>> {
    let path = "/connectors?expand=status&expand=info";
    let all: std::collections::BTreeMap<String, Expanded> = client.get(path).await?;
    let mut rows = Vec::new();
    for (name, expanded) in &all {
        let status = expanded.status.as_ref();
        let lag = format!("/v1/connectors/{}/lag", path_segment(name));
        // Kafka Connect does not know.
        let lag: Option<ConnectorLag> = client.find(&lag).await?;
        let unknown = || "?".to_owned();
        rows.push(vec![
            name.clone(),
            status.map(|s| s.kind.clone()).unwrap_or_default(),
            status
                .map(|s| s.connector.state.clone())
                .unwrap_or_default(),
            status.map(tasks).unwrap_or_default(),
            lag.as_ref()
                .and_then(|lag| lag.rows)
                .map_or_else(unknown, |n| n.to_string()),
            lag.as_ref()
                .and_then(|lag| lag.seconds)
                .map_or_else(unknown, |s| format!("{s:.1}")),
        ]);
    }
    Ok(rows)
}

fn tasks(status: &ConnectorStatus) -> String {
    let of = |state: &str| {
        status
            .tasks
            .iter()
            .filter(|task| task.status.state == state)
            .count()
    };
    let failed = match of("FAILED") {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    format!("{}/{}{failed}", of("RUNNING"), status.tasks.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_shown_as_far_as_it_is_known() {
        let table = |rows_left, rows_estimated, eta_ms| TableProgress {
            table: "t".to_owned(),
            rows: 30,
            rows_estimated,
            rows_left,
            eta_ms,
        };
        let shown = |of: TableProgress| row(0, &of).split_off(3);
        assert_eq!(
            shown(table(Some(70), Some(100), Some(90_000))),
            ["70", "~30 %", "1 min 30 s"]
        );
        assert_eq!(shown(table(Some(0), Some(100), Some(5))), ["0", "all", ""]);
        assert_eq!(shown(table(None, None, None)), ["?", "?", ""]);
        assert_eq!(shown(table(Some(120), Some(100), None)), ["120", "?", ""]);
        assert_eq!(
            (duration(1), duration(7_260_000)),
            ("1 s".to_owned(), "2 h 1 min".to_owned())
        );
    }
}
