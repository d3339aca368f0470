//! `rowferry store move`: takes the metadata store of a worker to a database that several can share.

use clap::{Args, Subcommand};
use connector_api::{Error, ErrorKind, Result};

use super::bar::Bar;
use super::print::outln;
use super::serve::ServeOptions;
use crate::settings::{SettingsLayer, WorkerSettings};
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
        outln!("now write into the settings of each worker:");
        outln!("  rowferry.store.url=URL, as in --to");
        outln!("  rowferry.store.shared=true");
        Ok(())
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
