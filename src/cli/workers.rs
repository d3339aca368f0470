//! `get workers`, `describe worker`, `drain worker`: the workers of a group.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use connector_api::shown::on_one_line;
use connector_api::{Error, Result};
use serde_json::json;

use super::bar::Bar;
use super::client::RestClient;
use super::each::each_shown;
use super::output::OutputArgs;
use super::print::{out, outln, table};
use super::show::time;
use crate::http::Method;
use crate::model::{Expanded, GroupWorker, GroupWorkers, path_segment};

/// How often the progress of draining is asked.
const ASKED_EVERY: Duration = Duration::from_millis(500);

/// What can be drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum DrainedResource {
    /// A worker of the group
    Worker,
}

/// `rowferry drain worker`.
#[derive(Args, Debug)]
pub(super) struct DrainCommand {
    /// What to drain
    #[arg(value_enum)]
    what: DrainedResource,
    /// Id of the worker, HOST:PORT, as get workers shows it
    #[arg(value_name = "WORKER")]
    worker: String,
    /// Let the worker take tasks again
    #[arg(long)]
    undo: bool,
    /// How many seconds to wait until its tasks have moved; 0 returns at once
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

impl DrainCommand {
    /// Drains the worker and waits until it has no tasks. Errors: as [`RestClient::send`]; `Record`
    /// if it still has tasks when the time is over.
    pub(super) async fn run(&self, client: &RestClient) -> Result<()> {
        let path = format!("/v1/workers/{}/drain", path_segment(&self.worker));
        let shown = on_one_line(&self.worker);
        if self.undo {
            client.send(Method::DELETE, &path, None).await?;
            outln!("worker {shown} takes tasks again");
            return Ok(());
        }
        client.send(Method::PUT, &path, None).await?;
        let until = Instant::now() + Duration::from_secs(self.timeout);
        let mut last = None;
        let bar = Bar::open(format!("moving the tasks of {shown}"));
        while Instant::now() < until {
            let Some(worker) = find(client, &self.worker).await? else {
                bar.beside(|| outln!("worker {shown} has ended"));
                return Ok(());
            };
            if worker.state == "drained" {
                bar.beside(|| outln!("worker {shown} has no tasks any more and may be stopped"));
                return Ok(());
            }
            if last.replace(worker.tasks) != Some(worker.tasks) {
                bar.beside(|| outln!("worker {shown}: tasks left: {}", worker.tasks));
            }
            tokio::time::sleep(ASKED_EVERY).await;
        }
        if self.timeout == 0 {
            outln!("worker {shown} is draining; get workers shows how far");
            return Ok(());
        }
        Err(Error::record(format!(
            "worker {shown} still has tasks after {} s; it goes on draining, and drain worker --undo ends that",
            self.timeout
        )))
    }
}

async fn find(client: &RestClient, id: &str) -> Result<Option<GroupWorker>> {
    let all: GroupWorkers = client.get("/v1/workers").await?;
    Ok(all.workers.into_iter().find(|worker| worker.id == id))
}

/// Lists the workers. Errors: as [`RestClient::send`].
pub(super) async fn list(client: &RestClient, output: OutputArgs) -> Result<()> {
    let all: GroupWorkers = client.get("/v1/workers").await?;
    if output.is_document() {
        output.document(&json!(all));
        return Ok(());
    }
    let mut rows = Vec::new();
    for worker in all.workers {
        rows.push(vec![
            worker.id,
            state(&worker.state, worker.unseen_ms),
            worker.connectors.to_string(),
            worker.tasks.to_string(),
            load(worker.load),
            worker.slots.to_string(),
            worker.version,
            time(worker.started_ms),
            worker.url,
        ]);
    }
    let head = [
        "ID",
        "STATE",
        "CONNECTORS",
        "TASKS",
        "LOAD",
        "SLOTS",
        "VERSION",
        "SINCE",
        "URL",
    ];
    out!("{}", table(&head, &rows));
    Ok(())
}

fn state(state: &str, unseen_ms: i64) -> String {
    if state != "unseen" {
        return state.to_owned();
    }
    format!("unseen for {} s", unseen_ms / 1000)
}

fn load(load: Option<f64>) -> String {
    load.map_or_else(|| "-".to_owned(), |load| format!("{load:.2}"))
}

/// Shows one worker with what it runs. Errors: as [`RestClient::send`]; `Record` for an unknown one.
pub(super) async fn describe(
    client: &RestClient,
    ids: &[String],
    output: OutputArgs,
) -> Result<()> {
    let connectors: BTreeMap<String, Expanded> = client.get("/connectors?expand=status").await?;
    each_shown(ids, !output.is_document(), async |id| {
        let Some(worker) = find(client, id).await? else {
            return Err(Error::record(format!(
                "no worker has the id {}; get workers lists them",
                on_one_line(id)
            )));
        };
        let parts = parts_of(&connectors, id);
        if output.is_document() {
            let parts: Vec<_> = parts
                .iter()
                .map(|(name, task, state)| json!({"connector": name, "task": task, "state": state}))
                .collect();
            output.document(&json!({"worker": worker, "runs": parts}));
            return Ok(());
        }
        outln!("Worker      {}", on_one_line(&worker.id));
        outln!("URL         {}", on_one_line(&worker.url));
        outln!("State       {}", state(&worker.state, worker.unseen_ms));
        outln!("Version     {}", on_one_line(&worker.version));
        outln!("Since       {}", time(worker.started_ms));
        outln!("Slots       {}", worker.slots);
        outln!("Load        {}", load(worker.load));
        let rows: Vec<_> = parts
            .into_iter()
            .map(|(name, task, state)| {
                let task = task.map_or_else(|| "-".to_owned(), |task| task.to_string());
                vec![name, task, state]
            })
            .collect();
        out!("{}", table(&["CONNECTOR", "TASK", "STATE"], &rows));
        Ok(())
    })
    .await
}

/// Returns the connectors and tasks whose status names the worker.
fn parts_of(
    connectors: &BTreeMap<String, Expanded>,
    id: &str,
) -> Vec<(String, Option<u32>, String)> {
    let mut parts = Vec::new();
    for (name, connector) in connectors {
        let Some(status) = &connector.status else {
            continue;
        };
        if status.connector.worker_id == id {
            parts.push((name.clone(), None, status.connector.state.clone()));
        }
        for task in status
            .tasks
            .iter()
            .filter(|task| task.status.worker_id == id)
        {
            parts.push((name.clone(), Some(task.id), task.status.state.clone()));
        }
    }
    parts
}
