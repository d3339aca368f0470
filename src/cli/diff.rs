//! `rowferry diff`, `rowferry export` and `rowferry apply --prune`: connectors in files compared with
//! those of a worker, key by key. They need Kafka Connect's own calls only.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use connector_api::shown::on_one_line;
use connector_api::{Error, Result};
use serde_json::{Map, Value, json};

use super::client::RestClient;
use super::each::each;
use super::file::ConnectorFile;
use super::plan::{DIFFERS, files_of, read};
use super::print::{errln, outln};
use super::shell::connector_names;
use crate::http::Method;
use crate::keys;
use crate::model::{Expanded, path_segment};
use crate::secrets::{HIDDEN, SecretKeys};

/// `rowferry diff`.
#[derive(Args, Debug)]
pub(super) struct DiffCommand {
    /// Files or folders of connectors, as for apply
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Also report connectors with this label (rowferry.managed) that are in no file
    #[arg(long, value_name = "LABEL")]
    prune: Option<String>,
}

/// `rowferry export`.
#[derive(Args, Debug)]
pub(super) struct ExportCommand {
    /// Names of connectors; without any, all
    #[arg(value_name = "NAME", add = connector_names())]
    names: Vec<String>,
    /// Folder for the files, one for each connector
    #[arg(short = 'd', long, value_name = "FOLDER")]
    dir: PathBuf,
    /// Write secrets in plain text; without it they are masked, which keeps them when the file is
    /// applied to the same connector
    #[arg(long)]
    with_secrets: bool,
}

/// A connector as the worker has it: its config by key.
type LiveConfig = BTreeMap<String, String>;

impl DiffCommand {
    /// Prints the differences. Returns the exit code: 0 without any. Errors: as
    /// [`RestClient::send`].
    pub(super) async fn run(&self, client: &RestClient, secrets: &SecretKeys) -> Result<u8> {
        let wanted = read(&files_of(&self.files)?)?;
        let live = live(client).await?;
        let (mut lines, mut hidden) = (Vec::new(), 0);
        for connector in &wanted {
            let Some(before) = live.get(&connector.name) else {
                lines.push(format!("+ {}", on_one_line(&connector.name)));
                continue;
            };
            let (changed, not_compared) = differences(before, connector, secrets);
            hidden += not_compared;
            if !changed.is_empty() {
                lines.push(format!("~ {}", on_one_line(&connector.name)));
                lines.extend(changed);
            }
        }
        if let Some(label) = &self.prune {
            let surplus = surplus(&live, &wanted, label);
            lines.extend(
                surplus
                    .iter()
                    .map(|name| format!("- {}", on_one_line(name))),
            );
        }
        lines.iter().for_each(|line| outln!("{line}"));
        if hidden > 0 {
            errln!("rowferry: {hidden} secrets are not compared, because the worker hides them");
        }
        Ok(if lines.is_empty() { 0 } else { DIFFERS })
    }
}

/// Returns the configs of all connectors of a worker.
async fn live(client: &RestClient) -> Result<BTreeMap<String, LiveConfig>> {
    let all: BTreeMap<String, Expanded> = client.get("/connectors?expand=info").await?;
    let config = |(name, expanded): (String, Expanded)| Some((name, expanded.info?.config));
    Ok(all.into_iter().filter_map(config).collect())
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns a line for each key that differs, and how many secrets cannot be compared.
fn differences(
    live: &LiveConfig,
    connector: &ConnectorFile,
    secrets: &SecretKeys,
) -> (Vec<String>, usize) {
    let mut wanted: LiveConfig = connector
        .config
        .iter()
        .map(|(key, value)| (key.clone(), text(value)))
        .collect();
    wanted.insert("name".to_owned(), connector.name.clone());
    let keys: std::collections::BTreeSet<&String> = live.keys().chain(wanted.keys()).collect();
    let (mut lines, mut hidden) = (Vec::new(), 0);
    for key in keys {
        let shown = |value: &str| on_one_line(&secrets.masked(key, value)).into_owned();
        match (live.get(key), wanted.get(key)) {
            (Some(from), Some(to)) if from == to => {}
            (Some(from), Some(to)) if *from == secrets.masked(key, to) => hidden += 1,
            // a mask keeps the secret that it represents
            (Some(from), Some(to)) if *to == secrets.masked(key, from) => {}
            (Some(from), Some(to)) => {
                lines.push(format!(
                    "    ~ {}: {} -> {}",
                    on_one_line(key),
                    shown(from),
                    shown(to)
                ));
            }
            (Some(from), None) if key != "name" => {
                lines.push(format!("    - {}: {}", on_one_line(key), shown(from)));
            }
            (None, Some(to)) if key != "name" => {
                lines.push(format!("    + {}: {}", on_one_line(key), shown(to)));
            }
            _ => {}
        }
    }
    (lines, hidden)
}

/// Returns the names of connectors with a label that are not wanted.
fn surplus(
    live: &BTreeMap<String, LiveConfig>,
    wanted: &[ConnectorFile],
    label: &str,
) -> Vec<String> {
    let is_ours = |config: &LiveConfig| config.get(keys::MANAGED).is_some_and(|own| own == label);
    let is_wanted = |name: &str| wanted.iter().any(|connector| connector.name == name);
    live.iter()
        .filter(|(name, config)| is_ours(config) && !is_wanted(name))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Checks that each connector of the files has the label: otherwise a later run that lacks its file
/// would leave it. Errors: `Config`, with the names.
pub(super) fn check_labels(wanted: &[ConnectorFile], label: &str) -> Result<()> {
    let has_label = |connector: &&ConnectorFile| {
        let own = connector.config.get(keys::MANAGED);
        own.and_then(Value::as_str) != Some(label)
    };
    let without: Vec<_> = wanted
        .iter()
        .filter(has_label)
        .map(|connector| on_one_line(&connector.name))
        .collect();
    if without.is_empty() {
        return Ok(());
    }
    Err(Error::config(format!(
        "--prune {label} deletes the connectors with \"{}\": \"{label}\" that are in no file, so \
         each connector in the files needs that key; it is missing, or different, in {}",
        keys::MANAGED,
        without.join(", ")
    )))
}

/// Deletes the connectors with a label that are not wanted, or only names them. Errors: as
/// [`RestClient::send`].
pub(super) async fn prune(
    client: &RestClient,
    wanted: &[ConnectorFile],
    label: &str,
    dry_run: bool,
) -> Result<()> {
    let surplus = surplus(&live(client).await?, wanted, label);
    if dry_run {
        for name in &surplus {
            outln!("{} would be deleted", on_one_line(name));
        }
        return Ok(());
    }
    each(&surplus, String::as_str, async |name| {
        let path = format!("/connectors/{}", path_segment(name));
        client.send(Method::DELETE, &path, None).await?;
        Ok(format!("{} deleted", on_one_line(name)))
    })
    .await
}

impl ExportCommand {
    /// Writes a file for each connector. Errors: as [`RestClient::send`]; `Config` for a file that
    /// cannot be written.
    pub(super) async fn run(&self, client: &RestClient, secrets: &SecretKeys) -> Result<u8> {
        let mut all = live(client).await?;
        if !self.names.is_empty() {
            if let Some(missing) = self.names.iter().find(|name| !all.contains_key(*name)) {
                return Err(Error::record(format!("Connector {missing} not found")));
            }
            all.retain(|name, _| self.names.contains(name));
        }
        let cannot = |path: &Path, why: std::io::Error| {
            Error::config(format!("cannot write {}: {why}", path.display()))
        };
        std::fs::create_dir_all(&self.dir).map_err(|why| cannot(&self.dir, why))?;
        let mut masked = 0;
        for (name, config) in all {
            let mut shown = Map::new();
            for (key, value) in config {
                if key == "name" {
                    continue;
                }
                let written = if self.with_secrets {
                    value.clone()
                } else {
                    secrets.masked(&key, &value).into_owned()
                };
                masked += usize::from(written != value || value.contains(HIDDEN));
                shown.insert(key, Value::String(written));
            }
            let text = format!("{:#}\n", json!({"name": name, "config": shown}));
            let path = self.dir.join(format!("{}.json", path_segment(&name)));
            write(&path, &text).map_err(|why| cannot(&path, why))?;
            outln!("{}", on_one_line(&path.display().to_string()));
        }
        if masked > 0 {
            errln!(
                "rowferry: {masked} secrets are masked, which keeps them when the files are \
                 applied here; for another worker, put them in, or export --with-secrets"
            );
        }
        Ok(0)
    }
}

/// Writes a file that only its owner may read: it may hold secrets.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{LiveConfig, check_labels, differences, surplus};
    use crate::cli::file::ConnectorFile;
    use crate::secrets::SecretKeys;

    fn file(name: &str, config: serde_json::Value) -> ConnectorFile {
        ConnectorFile {
            name: name.to_owned(),
            config: config.as_object().unwrap().clone(),
            initial_state: None,
        }
    }

    fn live(pairs: &[(&str, &str)]) -> LiveConfig {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn keys_are_compared_and_secrets_are_not_shown() {
        let before = live(&[
            ("name", "a"),
            ("tasks.max", "1"),
            ("old", "x"),
            ("connection.password", "CANARY1"),
            ("other.password", "[hidden]"),
        ]);
        let after = json!({"tasks.max": 2, "new": "y", "connection.password": "CANARY2", "other.password": "CANARY3"});
        let (lines, hidden) = differences(&before, &file("a", after), &SecretKeys::default());
        assert_eq!(
            lines,
            [
                "    ~ connection.password: [hidden] -> [hidden]",
                "    + new: y",
                "    - old: x",
                "    ~ tasks.max: 1 -> 2",
            ]
        );
        assert_eq!(hidden, 1, "the worker hides it");
        let masked = json!({"tasks.max": "1", "old": "x", "connection.password": "[hidden]", "other.password": "[hidden]"});
        let (lines, hidden) = differences(&before, &file("a", masked), &SecretKeys::default());
        assert_eq!((lines.len(), hidden), (0, 0), "{lines:?}");
    }

    #[test]
    fn only_labelled_connectors_are_surplus() {
        let all = [
            ("kept", live(&[("rowferry.managed", "shop")])),
            ("gone", live(&[("rowferry.managed", "shop")])),
            ("others", live(&[("rowferry.managed", "crm")])),
            ("unlabelled", live(&[])),
        ];
        let all = all.map(|(name, config)| (name.to_owned(), config)).into();
        let wanted = [file("kept", json!({"rowferry.managed": "shop"}))];
        assert_eq!(surplus(&all, &wanted, "shop"), ["gone"]);
        check_labels(&wanted, "shop").unwrap();
        let error = check_labels(&wanted, "crm").unwrap_err().to_string();
        assert!(error.ends_with("in kept"), "{error}");
    }
}
