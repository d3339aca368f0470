//! `rowferry plan`, and `rowferry apply` of a plan: what would happen is shown first, and only that
//! is done.

use std::path::{Path, PathBuf};

use clap::Args;
use connector_api::shown::on_one_line;
use connector_api::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::change;
use super::client::RestClient;
use super::each::each;
use super::file::{self, ConnectorFile};
use super::output;
use super::plan_text;
use super::print::{self, errln, out, outln};
use crate::http::Method;
use crate::model::{ConnectorPlan, PlanAction, PlanFingerprint, Plans};

/// Exit code of `plan` and `diff` if something would change, and of `apply` if its plan is stale.
pub(super) const DIFFERS: u8 = 8;
/// Exit code of a plan that would be refused.
const REFUSED: u8 = 1;
/// Exit code of a plan for which something could not be reached.
const UNREACHABLE: u8 = 69;
/// Class of the error of a stale plan, by which its exit code is found.
pub(super) const STALE: &str = "rowferry.StalePlan";
/// Version of plan files.
const FORMAT: u32 = 1;

/// `rowferry plan`.
#[derive(Args, Debug)]
pub(super) struct PlanCommand {
    /// Files or folders of connectors, as for apply
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// text, json, yaml, or a file to write the plan to, for rowferry apply FILE
    #[arg(short = 'o', long, value_name = "FORMAT|FILE", default_value = "text")]
    output: String,
}

/// A plan in a file. It names the files of its connectors, and has nothing of their secrets.
#[derive(Debug, Serialize, Deserialize)]
struct PlanFile {
    rowferry_plan: u32,
    files: Vec<PathBuf>,
    connectors: Vec<ConnectorPlan>,
}

impl PlanCommand {
    /// Shows what would happen, or writes it to a file. Returns the exit code: 0 if nothing would
    /// change. Errors: as [`RestClient::send`].
    pub(super) async fn run(&self, client: &RestClient) -> Result<u8> {
        let files = files_of(&self.files)?;
        let connectors = made(client, &read(&files)?).await?;
        let code = code_of(&connectors);
        match self.output.as_str() {
            "json" => {
                let value = json!({"connectors": connectors});
                outln!("{}", print::json(&value));
            }
            "yaml" => {
                let value = json!({"connectors": connectors});
                outln!("{}", output::yaml(&value).trim_end());
            }
            "text" | "table" | "wide" => out!("{}", plan_text::plans(&connectors)),
            path => write(Path::new(path), files, connectors)?,
        }
        Ok(code)
    }
}

/// Returns the exit code of a plan.
fn code_of(connectors: &[ConnectorPlan]) -> u8 {
    let any = |is: fn(&ConnectorPlan) -> bool| connectors.iter().any(is);
    if any(|plan| plan.unknown.iter().any(|gap| gap.unreachable)) {
        UNREACHABLE
    } else if any(|plan| plan.action == PlanAction::Refuse) {
        REFUSED
    } else if any(|plan| plan.action != PlanAction::None) {
        DIFFERS
    } else {
        0
    }
}

fn write(path: &Path, files: Vec<PathBuf>, connectors: Vec<ConnectorPlan>) -> Result<()> {
    if files.iter().any(|file| file == Path::new("-")) {
        return Err(Error::config(
            "a plan in a file needs its connectors in files, too, because it does not contain \
             their secrets: use -f FILE instead of standard input",
        ));
    }
    let cannot = |why: String| Error::config(format!("cannot write {}: {why}", path.display()));
    let whole = |file: PathBuf| std::path::absolute(file).map_err(|e| cannot(e.to_string()));
    let file = PlanFile {
        rowferry_plan: FORMAT,
        files: files.into_iter().map(whole).collect::<Result<_>>()?,
        connectors,
    };
    let text = serde_json::to_string_pretty(&file).map_err(|e| cannot(e.to_string()))?;
    std::fs::write(path, text + "\n").map_err(|e| cannot(e.to_string()))?;
    for plan in &file.connectors {
        outln!("{}", plan_text::heading(plan));
    }
    errln!("rowferry apply {} does this", path.display());
    Ok(())
}

/// Returns the files of paths: of a folder, the files in it that end in `.json` and
/// `.properties`, by name. Errors: `Config` for a folder that cannot be read, or has none.
pub(super) fn files_of(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let cannot = |why: &dyn std::fmt::Display| {
            Error::config(format!("cannot read the folder {}: {why}", path.display()))
        };
        let entries = std::fs::read_dir(path).map_err(|e| cannot(&e))?;
        let mut found = Vec::new();
        for entry in entries {
            let file = entry.map_err(|e| cannot(&e))?.path();
            let ending = file.extension().and_then(|ending| ending.to_str());
            if matches!(ending, Some("json" | "properties")) && file.is_file() {
                found.push(file);
            }
        }
        if found.is_empty() {
            return Err(cannot(&"it has no file that ends in .json or .properties"));
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

/// Reads the connectors of files. Errors: `Config`.
pub(super) fn read(files: &[PathBuf]) -> Result<Vec<ConnectorFile>> {
    let mut all = Vec::new();
    for file in files {
        all.extend(file::read(file)?);
    }
    Ok(all)
}

/// Asks the worker for plans. Errors: as [`RestClient::send`].
async fn made(client: &RestClient, connectors: &[ConnectorFile]) -> Result<Vec<ConnectorPlan>> {
    let body: Vec<Value> = connectors
        .iter()
        .map(|connector| json!({"name": connector.name, "config": connector.config}))
        .collect();
    let sent = client
        .send(Method::POST, "/v1/plans", Some(&Value::Array(body)))
        .await?;
    Ok(sent.json::<Plans>()?.connectors)
}

/// Does what a plan file says, unless that is no longer what would happen. Errors: of the class
/// [`STALE`] if it is not, otherwise as [`RestClient::send`].
pub(super) async fn apply(client: &RestClient, path: &Path) -> Result<()> {
    let shown = path.display();
    let planned: PlanFile = serde_json::from_str(&file::text(path)?).map_err(|why| {
        Error::config(format!(
            "{shown} is no plan: {why}; rowferry plan -o writes one"
        ))
    })?;
    if planned.rowferry_plan != FORMAT {
        return Err(Error::config(format!(
            "{shown} is a plan of another version of rowferry: make it again"
        )));
    }
    let connectors = read(&planned.files)?;
    let now = made(client, &connectors).await?;
    let stale = differences(&planned.connectors, &now);
    if !stale.is_empty() {
        return Err(Error::of_lines(
            connector_api::ErrorKind::Record,
            std::iter::once(format!("the plan {shown} is stale, nothing was changed:"))
                .chain(stale)
                .chain(["make it again with rowferry plan".to_owned()]),
        )
        .of_class(STALE));
    }
    if let Some(refused) = now.iter().find(|plan| plan.action == PlanAction::Refuse) {
        return Err(Error::record(format!(
            "the plan {shown} has errors, nothing was changed: {}",
            on_one_line(&refused.summary)
        )));
    }
    let is_done = |name: &str| {
        let plan = now.iter().find(|plan| plan.name == name);
        plan.is_some_and(|plan| plan.action == PlanAction::None)
    };
    let left: Vec<_> = connectors
        .into_iter()
        .filter(|connector| !is_done(&connector.name))
        .collect();
    if left.is_empty() {
        outln!("nothing to do");
    }
    each(
        &left,
        |connector| &connector.name,
        async |connector| change::apply(client, connector).await,
    )
    .await
}

/// Returns what has changed since a plan was made, one line per connector and reason.
fn differences(planned: &[ConnectorPlan], now: &[ConnectorPlan]) -> Vec<String> {
    let mut lines = Vec::new();
    for plan in planned {
        let name = on_one_line(&plan.name);
        let Some(found) = now.iter().find(|now| now.name == plan.name) else {
            lines.push(format!("{name} is no longer in its file"));
            continue;
        };
        let PlanFingerprint {
            config,
            source,
            target,
        } = &plan.fingerprint;
        for (same, what) in [
            (
                *config == found.fingerprint.config,
                "its config, on the worker or in its file",
            ),
            (
                *source == found.fingerprint.source,
                "the tables that it reads",
            ),
            (
                *target == found.fingerprint.target,
                "the tables that it writes",
            ),
        ] {
            if !same {
                lines.push(format!("{name}: changed since then: {what}"));
            }
        }
    }
    let is_new = |found: &&ConnectorPlan| !planned.iter().any(|plan| plan.name == found.name);
    let new = now.iter().filter(is_new);
    lines.extend(new.map(|found| format!("{} is new in its file", on_one_line(&found.name))));
    lines
}

#[cfg(test)]
mod tests {
    use super::differences;
    use crate::model::{ConnectorPlan, PlanFingerprint};

    fn plan(name: &str, config: &str, target: &str) -> ConnectorPlan {
        ConnectorPlan {
            name: name.to_owned(),
            fingerprint: PlanFingerprint {
                config: config.to_owned(),
                source: String::new(),
                target: target.to_owned(),
            },
            ..ConnectorPlan::default()
        }
    }

    #[test]
    fn a_stale_plan_names_each_reason() {
        let planned = [plan("a", "1", "1"), plan("b", "1", "1")];
        assert_eq!(differences(&planned, &planned), [""; 0]);
        let now = [plan("a", "2", "3"), plan("c", "1", "1")];
        assert_eq!(
            differences(&planned, &now),
            [
                "a: changed since then: its config, on the worker or in its file",
                "a: changed since then: the tables that it writes",
                "b is no longer in its file",
                "c is new in its file",
            ]
        );
    }
}
