//! Completions of shells, which ask the worker for the names of its connectors, and man pages.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use connector_api::{Error, Result};

use super::client::WorkerAddress;
use super::context;
use super::print::{out, outln};

/// How long completion waits for the worker.
const NAMES_WITHIN: Duration = Duration::from_secs(2);
/// Variable by which a shell asks for completions.
const ASKED_BY: &str = "COMPLETE";

/// Shells with completions.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum CompletedShell {
    Bash,
    Zsh,
    Fish,
}

/// `rowferry completions`.
#[derive(Args, Debug)]
pub(super) struct CompletionsCommand {
    /// The shell
    #[arg(value_enum)]
    shell: CompletedShell,
}

/// `rowferry man`.
#[derive(Args, Debug)]
pub(super) struct ManCommand {
    /// Folder for one page per command; default: the main page on standard output
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl CompletionsCommand {
    /// Prints the script that a shell reads at its start. Errors: `Fatal`.
    pub(super) fn run(&self) -> Result<()> {
        let name = match self.shell {
            CompletedShell::Bash => "bash",
            CompletedShell::Zsh => "zsh",
            CompletedShell::Fish => "fish",
        };
        let shells = Shells::builtins();
        let shell = shells
            .completer(name)
            .ok_or_else(|| Error::fatal("unknown shell"))?;
        let mut script = Vec::new();
        let written =
            shell.write_registration(ASKED_BY, "rowferry", "rowferry", "rowferry", &mut script);
        written.map_err(|error| Error::fatal(error.to_string()))?;
        out!("{}", String::from_utf8_lossy(&script));
        Ok(())
    }
}

/// Answers a shell that asks for completions, and ends the process; otherwise does nothing.
pub(super) fn complete(command: fn() -> clap::Command) {
    if std::env::var_os(ASKED_BY).is_some_and(|shell| !shell.is_empty()) {
        CompleteEnv::with_factory(command).var(ASKED_BY).complete();
    }
}

/// Completes names of connectors.
pub(super) fn connector_names() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let typed = typed.to_string_lossy().into_owned();
        let names = names().unwrap_or_default();
        let fitting = names.into_iter().filter(|name| name.starts_with(&typed));
        fitting.map(CompletionCandidate::new).collect()
    })
}

/// Completes names of contexts.
pub(super) fn context_names() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let typed = typed.to_string_lossy().into_owned();
        let fitting = context::names().into_iter();
        let fitting = fitting.filter(|name| name.starts_with(&typed));
        fitting.map(CompletionCandidate::new).collect()
    })
}

/// Asks the worker that the command line names. A shell shows nothing if that fails.
fn names() -> Option<Vec<String>> {
    let words: Vec<String> = std::env::args().collect();
    let client = WorkerAddress::of_words(&words).client().ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    runtime.block_on(async {
        let asked = tokio::time::timeout(NAMES_WITHIN, client.get("/connectors"));
        asked.await.ok()?.ok()
    })
}

impl ManCommand {
    /// Prints the man page, or writes those of all commands. Errors: `Config` if a file cannot be
    /// written.
    pub(super) fn run(&self, command: clap::Command) -> Result<()> {
        let Some(folder) = &self.folder else {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(command).render(&mut page);
            rendered.map_err(|error| Error::fatal(error.to_string()))?;
            out!("{}", String::from_utf8_lossy(&page));
            return Ok(());
        };
        let failed = |error: std::io::Error| {
            Error::config(format!("{} cannot be written: {error}", folder.display()))
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        clap_mangen::generate_to(command, folder).map_err(failed)?;
        outln!("man pages are in {}", folder.display());
        Ok(())
    }
}
