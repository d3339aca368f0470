//! `rowferry progress` and `rowferry top`: what connectors do now.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use connector_api::shown::on_one_line;
use connector_api::{Error, Result};
use tokio::time::Instant;

use super::bar::Bar;
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
    /// Of a source: wait until all tables have been read to their end
    #[arg(short = 'w', long)]
    wait: bool,
    /// How many seconds --wait waits
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 86_400,
        requires = "wait"
    )]
    timeout: u64,
    #[command(flatten)]
    output: OutputArgs,
}

/// How often `--wait` looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long tasks may take to say how far they are.
const OTHERS_WITHIN: Duration = Duration::from_secs(60);

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
    /// Prints how far the tables of a connector are read. Errors: as [`RestClient::send`]; `Record` if
    /// they are not read to their end in time.
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let path = format!("/v1/connectors/{}/progress", path_segment(&self.name));
        let mut progress: ConnectorProgress = client.get(&path).await?;
        if self.wait {
            progress = self.to_the_end(client, &path).await?;
        }
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

impl ProgressCommand {
    async fn to_the_end(&self, client: &RestClient, path: &str) -> Result<ConnectorProgress> {
        let name = on_one_line(&self.name);
        let status = format!("/connectors/{}/status", path_segment(&self.name));
        let until = Instant::now() + Duration::from_secs(self.timeout);
        let (bar, mut whole_at) = (Bar::of(name.clone().into_owned(), 100), Instant::now());
        loop {
            let progress: ConnectorProgress = client.get(path).await?;
            let (tables, whole) = ends(&progress);
            bar.now(format!("{name}: {tables}"));
            bar.done(whole);
            let status: ConnectorStatus = client.get(&status).await?;
            if progress.tasks.len() >= status.tasks.len() {
                whole_at = Instant::now();
                if whole == 100 {
                    return Ok(progress);
                }
            }
            let failed = status.tasks.iter().any(|it| it.status.state == "FAILED");
            if status.kind != "source" || status.connector.state != "RUNNING" || failed {
                return Err(Error::record(format!(
                    "{name} does not come to an end: --wait is for a source that runs; see: rowferry status {name}"
                )));
            }
            if whole_at.elapsed() > OTHERS_WITHIN {
                return Err(Error::record(format!(
                    "{name} has tasks that do not run on this worker: ask theirs with --server; see: rowferry status {name}"
                )));
            }
            if Instant::now() >= until {
                return Err(Error::record(format!(
                    "{name} has not come to the end of its tables within {} s: {tables}",
                    self.timeout
                )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Returns how many tables have been read to their end, in words, and how much of all is read, in
/// percent. 100 only if nothing is left.
fn ends(progress: &ConnectorProgress) -> (String, usize) {
    let tables = progress.tasks.iter().flat_map(|task| &task.tables);
    let (mut all, mut ended, mut read, mut left) = (0_usize, 0_usize, 0_u64, Some(0_u64));
    for table in tables {
        all += 1;
        ended += usize::from(table.rows_left == Some(0));
        read = read.saturating_add(table.rows);
        left = left
            .zip(table.rows_left)
            .map(|(sum, it)| sum.saturating_add(it));
    }
    let eta = progress.tasks.iter().flat_map(|task| &task.tables);
    let eta = eta.filter_map(|table| table.eta_ms).max();
    let eta = eta.filter(|_| ended < all);
    let eta = eta.map(|ms| format!(", about {} left", duration(ms)));
    let text = format!(
        "{ended} of {all} tables, {read} rows{}",
        eta.unwrap_or_default()
    );
    let whole = match left {
        _ if all > 0 && ended == all => 100,
        // Of tables that have just been begun, what is left is not known.
        None => 0,
        Some(left) => {
            let percent = read.saturating_mul(100) / read.saturating_add(left).max(1);
            usize::try_from(percent).unwrap_or_default().min(99)
        }
    };
    (text, whole)
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
            let all = look(client).await?;
            if self.output.is_document() {
                let all: Vec<_> = all.iter().map(Looked::document).collect();
                self.output.document(&serde_json::json!(all));
            } else {
                if clears && !self.once {
                    out!("\u{1b}[2J\u{1b}[H");
                }
                let head = ["NAME", "TYPE", "STATE", "TASKS", "ROWS BEHIND", "SECONDS"];
                let rows: Vec<_> = all.iter().map(Looked::row).collect();
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

/// A connector as `top` shows it.
struct Looked {
    name: String,
    status: Option<ConnectorStatus>,
    lag: Option<ConnectorLag>,
}

impl Looked {
    fn state(&self) -> [String; 3] {
        let of = |part: fn(&ConnectorStatus) -> String| {
            self.status.as_ref().map(part).unwrap_or_default()
        };
        [
            of(|status| status.kind.clone()),
            of(|status| status.connector.state.clone()),
            of(tasks),
        ]
    }

    fn row(&self) -> Vec<String> {
        let unknown = || "?".to_owned();
        let rows = self.lag.as_ref().and_then(|lag| lag.rows);
        let seconds = self.lag.as_ref().and_then(|lag| lag.seconds);
        let [kind, state, tasks] = self.state();
        vec![
            self.name.clone(),
            kind,
            state,
            tasks,
            rows.map_or_else(unknown, |n| n.to_string()),
            seconds.map_or_else(unknown, |s| format!("{s:.1}")),
        ]
    }

    fn document(&self) -> serde_json::Value {
        let [kind, state, tasks] = self.state();
        serde_json::json!({
            "name": self.name,
            "type": kind,
            "state": state,
            "tasks": tasks,
            "rows_behind": self.lag.as_ref().and_then(|lag| lag.rows),
            "seconds_behind": self.lag.as_ref().and_then(|lag| lag.seconds),
        })
    }
}

async fn look(client: &RestClient) -> Result<Vec<Looked>> {
    let path = "/connectors?expand=status&expand=info";
    let all: std::collections::BTreeMap<String, Expanded> = client.get(path).await?;
    let mut found = Vec::new();
    for (name, expanded) in all {
        let lag = format!("/v1/connectors/{}/lag", path_segment(&name));
        // Kafka Connect does not know.
        let lag: Option<ConnectorLag> = client.find(&lag).await?;
        let status = expanded.status;
        found.push(Looked { name, status, lag });
    }
    Ok(found)
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
    fn all_is_read_only_when_no_table_has_rows_left() {
        let table = |rows, rows_left| TableProgress {
            table: "t".to_owned(),
            rows,
            rows_estimated: None,
            rows_left,
            eta_ms: Some(5_000),
        };
        let shown = |tables: Vec<TableProgress>| {
            let task = crate::model::TaskProgress {
                id: 0,
                tables,
                warnings: Vec::new(),
                waiting_for: String::new(),
                since: String::new(),
                detail: None,
            };
            ends(&ConnectorProgress {
                name: "n".to_owned(),
                tasks: vec![task],
            })
        };
        let of = |text: &str, whole| (text.to_owned(), whole);
        assert_eq!(
            shown(vec![table(30, Some(0)), table(30, Some(60))]),
            of("1 of 2 tables, 60 rows, about 5 s left", 50)
        );
        assert_eq!(shown(vec![table(9_999, Some(1))]).1, 99);
        assert_eq!(shown(vec![table(5, None)]).1, 0);
        assert_eq!(
            shown(vec![table(5, Some(0))]),
            of("1 of 1 tables, 5 rows", 100)
        );
        assert_eq!(shown(Vec::new()).1, 0, "its tasks have not begun");
    }

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
