//! `rowferry store move`: takes the metadata store of a worker to a database that several can share.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use connector_api::{Error, ErrorKind, Result};

use super::bar::Bar;
use super::print::outln;
use super::serve::ServeOptions;
use crate::settings::{SettingsLayer, WorkerSettings, write_settings};
use crate::store::{SLOTS_DEFAULT, Store, StoreOptions, file_of_url, is_same_place, is_shareable};

/// `rowferry store`.
#[derive(Subcommand)]
pub(super) enum StoreCommand {
    /// Copy connectors, states and history to a database on MariaDB, MySQL or PostgreSQL, which
    /// several workers can share
    Move(MoveCommand),
}

/// `rowferry store move`.
#[derive(Args)]
pub(super) struct MoveCommand {
    /// URL of the database to move to: mysql://USER:PASSWORD@HOST/DATABASE or postgres://…
    #[arg(long, value_name = "URL")]
    to: String,
    #[command(flatten)]
    common: ServeOptions,
}

impl StoreCommand {
    /// Runs the command. Errors: why the store was not moved.
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Move(command) => super::run_alone(command.run()),
        }
    }
}

impl MoveCommand {
    async fn run(self) -> Result<()> {
        let settings = WorkerSettings::load(self.common.layers(SettingsLayer::default())?)?;
        let given: BTreeMap<String, String> = settings
            .given
            .iter()
            .map(|(key, value)| (key.clone(), value.origin.clone()))
            .collect();
        let from = StoreOptions {
            member: None,
            ..settings.store
        };
        if from.secrets_key.is_none() {
            return Err(Error::config(
                "workers that share a metadata store need the same key: write one that openssl rand \
                 -base64 32 prints into rowferry.secrets.key of the settings, and run this again",
            ));
        }
        let to = StoreOptions {
            url: self.to.clone(),
            ..from.clone()
        };
        places(&from.url, &to.url)?;
        let source = Store::open(&from)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::Retry => {
                    error.and_line("A worker has to be stopped before its store is moved.")
                }
                _ => error,
            })?;
        let target = Store::open(&to).await?;
        let slots = settings.shared.map_or(SLOTS_DEFAULT, |shared| shared.slots);
        let bar = Bar::open("copying connectors, states and history");
        let copied = source.copy_to(&target, slots).await?;
        drop(bar);
        let what: Vec<String> = copied
            .iter()
            .map(|(rows, count)| format!("{count} {rows}"))
            .collect();
        outln!(
            "copied from {} to {}: {}",
            source.shown(),
            target.shown(),
            what.join(", ")
        );
        target.close().await;
        match source.retire().await {
            Ok(Some(path)) => outln!("the former file is kept as {path}; no worker starts with it"),
            Ok(None) => outln!("the former store is as it was; start no worker with it any more"),
            Err(error) => {
                return Err(Error::fatal(format!(
                    "the store was copied, but its file cannot be renamed: start no worker with it, {error}"
                )));
            }
        }
        self.note_place(&given);
        Ok(())
    }

    /// Writes the place of the store into the settings file, or says what to write.
    fn note_place(&self, given: &BTreeMap<String, String>) {
        const KEYS: [&str; 2] = ["rowferry.store.url", "rowferry.store.shared"];
        let pairs = [(KEYS[0], self.to.as_str()), (KEYS[1], "true")];
        let ask = |reason: Option<String>| {
            if let Some(reason) = reason {
                outln!("{reason}");
            }
            outln!("now write into the settings of each worker:");
            outln!("  rowferry.store.url=URL, as in --to");
            outln!("  rowferry.store.shared=true");
        };
        let Some(path) = self.common.config_file() else {
            return ask(None);
        };
        let file = path.display();
        let origin = path.display().to_string();
        let overridden = KEYS
            .iter()
            .find(|key| given.get(**key).is_some_and(|from| *from != origin));
        if let Some(key) = overridden {
            let from = given.get(*key).map_or("", String::as_str);
            return ask(Some(format!(
                "{file} is not changed, because {key} comes from the {from}"
            )));
        }
        match write_settings(path, &pairs) {
            Ok(()) => {
                outln!("{file} now has rowferry.store.url and rowferry.store.shared=true:");
                outln!("start the worker again, and each further one with the same file");
            }
            Err(error) => ask(Some(format!("{file} is not changed: {error}"))),
        }
    }
}

/// Errors: one of the stores is not where it has to be.
fn places(from: &str, to: &str) -> Result<()> {
    if !is_shareable(to)? {
        return Err(Error::config(
            "--to does not name a database that workers can share: write mysql://USER:PASSWORD@HOST/DATABASE \
             or postgres://USER:PASSWORD@HOST/DATABASE",
        ));
    }
    if is_same_place(from, to)? {
        return Err(Error::config(
            "the settings already have the store of --to: run this with the settings of the worker that \
             has the connectors",
        ));
    }
    match file_of_url(from) {
        Some(file) if !file.exists() => Err(Error::config(format!(
            "there is no metadata store at {}: run this with the settings of the worker that has the \
             connectors (--config, --data-dir)",
            file.display()
        ))),
        _ => Ok(()),
    }
}
