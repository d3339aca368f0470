//! The command line: one file per command. Exit codes are those of sysexits, so that init systems
//! can distinguish a wrong setting (do not restart) from a busy address (retry).

mod account;
mod bar;
mod change;
mod client;
mod conn;
mod context;
mod diff;
mod discover;
mod dlq;
mod doctor;
#[cfg(test)]
mod documented;
mod each;
mod file;
mod keys;
mod logs;
mod names;
mod offsets;
mod output;
mod patch;
mod plan;
mod plan_text;
mod print;
mod progress;
mod reread;
mod resources;
mod rewind;
mod serve;
mod shell;
mod show;
mod signals;
mod stopped;
mod store;
mod tail;
mod trace;
mod trial;
mod workers;

use clap::{Parser, Subcommand};
use connector_api::{Error, ErrorKind, Result};

use self::print::{errln, outln};
use crate::registry::Registry;
use crate::secrets::{SecretKeys, known};

/// The worker refused a request, or a connector has failed.
const REFUSED: u8 = 1;
/// Wrong usage of the command line (EX_USAGE).
const USAGE: u8 = 64;
/// Something needed is unreachable or in use (EX_UNAVAILABLE).
const UNAVAILABLE: u8 = 69;
/// A bug or a broken invariant (EX_SOFTWARE).
const SOFTWARE: u8 = 70;
/// Another worker has taken this one's place (EX_TEMPFAIL): a process manager may start it again.
const REPLACED: u8 = 75;
/// Credentials or privileges are refused (EX_NOPERM).
const DENIED: u8 = 77;
/// A wrong setting (EX_CONFIG).
const CONFIG: u8 = 78;

#[derive(Parser)]
#[command(
    name = "rowferry",
    version,
    about = "Kafka Connect-style runtime for JDBC connectors: from database tables to Kafka topics and \
         back",
    after_help = "Exit codes: 0 success, 1 refused by the worker or failed, 8 something differs (plan, diff) or the \
         plan is stale (apply), 64 wrong usage, 69 something is unreachable or in use, 70 a bug, 74 standard output cannot be written, 75 another worker has \
         replaced this one, 77 access denied, 78 a wrong setting.",
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Run a worker against a Kafka cluster
    Serve(serve::ServeCommand),
    /// Run a worker for experiments: with Kafka in this process, and everything in memory
    Dev(serve::DevCommand),
    /// Move the metadata store of a worker to a database that several workers can share
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Print the line of a user for rowferry.auth.file; the password comes from standard input
    Passwd(account::AccountCommand),
    /// Create a bearer token and print its line for rowferry.auth.file
    Token(account::AccountCommand),
    /// Try transforms, without a worker
    #[command(subcommand)]
    Transforms(trial::TransformsCommand),
    /// List the keys of the worker, of connectors, transforms, predicates and converters
    Keys(keys::KeysCommand),
    /// Manage contexts: names for workers with their credentials
    #[command(subcommand)]
    Config(context::ConfigCommand),
    /// Print completions for a shell, with the names of connectors
    Completions(shell::CompletionsCommand),
    /// Print the man page, or write those of all commands
    Man(shell::ManCommand),
    /// Print the version
    Version,
    #[command(flatten)]
    Remote(RemoteCommand),
    #[command(flatten)]
    Compare(CompareCommand),
}

/// Commands that compare files with a running worker, and whose exit code says whether they differ.
#[derive(Subcommand)]
enum CompareCommand {
    /// Show what apply would do: restarts, rows read again, SQL, DDL, topics, first records; exit code 8
    /// if something would change
    Plan(RemoteCall<plan::PlanCommand>),
    /// Show how connectors in files differ from those of the worker; exit code 8 if they do
    Diff(RemoteCall<diff::DiffCommand>),
    /// Write the worker's connectors to files
    Export(RemoteCall<diff::ExportCommand>),
}

impl CompareCommand {
    fn run(self, registry: &Registry) -> Result<u8> {
        let secrets = SecretKeys::of(registry);
        run_alone(async {
            match self {
                Self::Plan(RemoteCall { verb, server }) => verb.run(&server.client()?).await,
                Self::Diff(RemoteCall { verb, server }) => {
                    verb.run(&server.client()?, &secrets).await
                }
                Self::Export(RemoteCall { verb, server }) => {
                    verb.run(&server.client()?, &secrets).await
                }
            }
        })
    }
}

/// Runs a command on a runtime of its own.
fn run_alone<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|error| Error::fatal("the async runtime cannot start").caused_by(error))?;
    runtime.block_on(command)
}

/// Commands that call a running worker.
#[derive(Subcommand)]
enum RemoteCommand {
    #[command(flatten)]
    Look(LookCommand),
    #[command(flatten)]
    Change(ChangeCommand),
}

/// Commands that only read.
#[derive(Subcommand)]
enum LookCommand {
    /// List connectors with their states, workers, plug-ins, log levels or offsets
    Get(RemoteCall<show::GetCommand>),
    /// Show the health of the worker; exit code 1 unless it is healthy
    Health(RemoteCall<show::HealthCommand>),
    /// Show which worker answers, and its versions
    Info(RemoteCall<resources::InfoCommand>),
    /// Show everything about connectors, the keys of a plug-in (describe plugin NAME), or what a worker runs
    /// (describe worker ID)
    Describe(RemoteCall<show::DescribeCommand>),
    /// Show the states of a connector and its tasks; exit code 1 if one has failed
    Status(RemoteCall<show::ShowCommand>),
    /// Show how far a connector is behind
    Lag(RemoteCall<show::ShowCommand>),
    /// Show how far the tables of a connector are read, and what its tasks do
    Progress(RemoteCall<progress::ProgressCommand>),
    /// Show what all connectors do, again and again
    Top(RemoteCall<progress::TopCommand>),
    /// Show what became of one row, by the key of its records
    Trace(RemoteCall<trace::TraceCommand>),
    /// Show the log lines of a connector, or set its log level for a time
    Logs(RemoteCall<logs::LogsCommand>),
    /// Show records of a topic of a connector as they come
    Tail(RemoteCall<tail::TailCommand>),
    /// Show the earlier configs of a connector
    History(RemoteCall<show::ShowCommand>),
    /// List plug-ins, or show the keys of some
    Plugins(RemoteCall<resources::PluginsCommand>),
}

/// Commands that can change something.
#[derive(Subcommand)]
enum ChangeCommand {
    /// Create or change connectors as described in files
    Apply(RemoteCall<change::ApplyCommand>),
    /// Create connectors from files
    Create(RemoteCall<change::ApplyCommand>),
    /// Change single keys of configs, log levels or offsets
    Patch(RemoteCall<RemoteGroup<patch::PatchCommand>>),
    /// Delete connectors, whose offsets are kept, or offsets (delete offsets NAME)
    Delete(RemoteCall<change::LifecycleCommand>),
    /// Pause connectors: their tasks are kept, but idle
    Pause(RemoteCall<change::LifecycleCommand>),
    /// Resume connectors
    Resume(RemoteCall<change::LifecycleCommand>),
    /// Stop connectors: their tasks end
    Stop(RemoteCall<change::LifecycleCommand>),
    /// Restart connectors, or tasks (restart task NAME/NUMBER)
    Restart(RemoteCall<change::RestartCommand>),
    /// Move the tasks of a worker to the others before it is stopped (drain worker ID)
    Drain(RemoteCall<workers::DrainCommand>),
    /// Restore an earlier config
    Restore(RemoteCall<change::RestoreCommand>),
    /// Show and change how far connectors have read or written
    Offsets(RemoteCall<RemoteGroup<offsets::OffsetsCommand>>),
    /// Let a running source read a table, or a range of its keys, again
    Reread(RemoteCall<RemoteGroup<reread::RereadCommand>>),
    /// Test whether the worker can use a database, list its tables, or check what connectors need
    Conn(RemoteCall<RemoteGroup<conn::ConnCommand>>),
    /// Show, replay and delete the dead letters of a connector
    Dlq(RemoteCall<RemoteGroup<dlq::DlqCommand>>),
    /// List log levels, or set one
    Loggers(RemoteCall<resources::LoggersCommand>),
}

/// A command with the worker that it calls.
#[derive(clap::Args)]
struct RemoteCall<T: clap::Args> {
    #[command(flatten)]
    verb: T,
    #[command(flatten)]
    server: client::WorkerAddress,
}

/// A command that has commands.
#[derive(clap::Args)]
struct RemoteGroup<T: Subcommand> {
    #[command(subcommand)]
    verb: T,
}

impl RemoteCommand {
    fn run(self, registry: &Registry) -> Result<()> {
        run_alone(async {
            match self {
                Self::Look(look) => look.run(registry).await,
                Self::Change(change) => change.run().await,
            }
        })
    }
}

impl LookCommand {
    async fn run(self, registry: &Registry) -> Result<()> {
        match self {
            Self::Get(RemoteCall { verb, server }) => verb.run(&server.client()?).await,
            Self::Health(RemoteCall { verb, server }) => verb.run(&server.client()?).await,
            Self::Info(RemoteCall { verb, server }) => verb.run(&server.client()?).await,
            Self::Describe(RemoteCall { verb, server }) => {
                let secrets = SecretKeys::of(registry);
                verb.describe(&server.client()?, &secrets).await
            }
            Self::Status(RemoteCall { verb, server }) => verb.status(&server.client()?).await,
            Self::Lag(RemoteCall { verb, server }) => verb.lag(&server.client()?).await,
            Self::Progress(RemoteCall { verb, server }) => verb.run(&server.client()?).await,
            Self::Top(RemoteCall { verb, server }) => verb.run(&server.client()?).await,
            Self::Trace(RemoteCall { verb, server }) => verb.run(&server.client()?).await,
            Self::Logs(RemoteCall { verb, server }) => verb.run(&server.client()?).await,
            Self::Tail(RemoteCall { verb, server }) => verb.run(&server.client()?).await,
            Self::History(RemoteCall { verb, server }) => verb.history(&server.client()?).await,
            Self::Plugins(RemoteCall { verb, server }) => verb.run(&server.client()?).await,
        }
    }
}

impl ChangeCommand {
    async fn run(self) -> Result<()> {
        match self {
            Self::Apply(RemoteCall { verb, server }) => verb.apply(&server.client()?).await,
            Self::Create(RemoteCall { verb, server }) => verb.create(&server.client()?).await,
            Self::Patch(RemoteCall { verb, server }) => verb.verb.run(&server.client()?).await,
            Self::Delete(RemoteCall { verb, server }) => verb.delete(&server.client()?).await,
            Self::Pause(RemoteCall { verb, server }) => {
                verb.change(&server.client()?, "pause", "paused").await
            }
            Self::Resume(RemoteCall { verb, server }) => {
                verb.change(&server.client()?, "resume", "resumed").await
            }
            Self::Stop(RemoteCall { verb, server }) => {
                verb.change(&server.client()?, "stop", "stopped").await
            }
            Self::Restart(RemoteCall { verb, server }) => verb.run(&server.client()?).await,
            Self::Drain(RemoteCall { verb, server }) => verb.run(&server.client()?).await,
            Self::Restore(RemoteCall { verb, server }) => verb.run(&server.client()?).await,
            Self::Offsets(RemoteCall { verb, server }) => verb.verb.run(&server.client()?).await,
            Self::Reread(RemoteCall { verb, server }) => verb.verb.run(&server.client()?).await,
            Self::Conn(RemoteCall { verb, server }) => verb.verb.run(&server.client()?).await,
            Self::Dlq(RemoteCall { verb, server }) => verb.verb.run(&server.client()?).await,
            Self::Loggers(RemoteCall { verb, server }) => verb.run(&server.client()?).await,
        }
    }
}

/// Runs the command line of this process with the plug-ins of `registry`, and ends the process with
/// the command's exit code.
pub fn main(registry: Registry) -> ! {
    signals::end_process(run(registry))
}

/// Runs the command line and returns its exit code.
fn run(registry: Registry) -> u8 {
    shell::complete(<Cli as clap::CommandFactory>::command);
    let parsed = <Cli as clap::CommandFactory>::command().try_get_matches();
    let parsed = parsed.and_then(|matches| {
        bar::decide(&matches);
        <Cli as clap::FromArgMatches>::from_arg_matches(&matches)
    });
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are requested; everything else is wrong usage.
            let code = if error.use_stderr() { USAGE } else { 0 };
            drop(error.print());
            return code;
        }
    };
    let mut done = 0;
    let outcome = match cli.command {
        CliCommand::Serve(serve) => serve.run(registry),
        CliCommand::Dev(dev) => dev.run(registry),
        CliCommand::Store(store) => store.run(),
        CliCommand::Transforms(transforms) => transforms.run(&registry),
        CliCommand::Keys(keys) => keys.run(&registry),
        CliCommand::Config(config) => config.run(),
        CliCommand::Completions(completions) => completions.run(),
        CliCommand::Man(man) => man.run(<Cli as clap::CommandFactory>::command()),
        CliCommand::Version => {
            outln!("rowferry {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        CliCommand::Passwd(account) => account.user(),
        CliCommand::Token(account) => account.token(),
        CliCommand::Remote(remote) => remote.run(&registry),
        CliCommand::Compare(compare) => compare.run(&registry).map(|code| done = code),
    };
    match (outcome, print::lost()) {
        (Ok(()), None) => done,
        (Ok(()), Some(error)) => print::code_of_lost(error),
        (Err(error), _) => {
            let text = error.to_string();
            errln!(
                "rowferry: {}",
                print::set_off(&known::hide(&text, str::to_owned))
            );
            code_of(&error)
        }
    }
}

fn code_of(error: &Error) -> u8 {
    if error.class() == Some(plan::STALE) {
        return plan::DIFFERS;
    }
    match error.kind() {
        ErrorKind::Config => CONFIG,
        ErrorKind::Record => REFUSED,
        ErrorKind::Denied => DENIED,
        ErrorKind::Retry => UNAVAILABLE,
        ErrorKind::Fenced => REPLACED,
        ErrorKind::Fatal => SOFTWARE,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_serve_has_every_worker_key_and_its_text() {
        let mut command = super::Cli::command();
        let serve = command.find_subcommand_mut("serve").unwrap();
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let (short, long) = (
            serve.render_help().to_string(),
            words(&serve.render_long_help().to_string()),
        );
        for key in crate::settings::KEYS {
            assert!(
                long.contains(&format!("{} ({}", key.name, key.ty.name().to_lowercase())),
                "{}",
                key.name
            );
            assert!(
                long.contains(&words(&key.documentation())),
                "{}: {}",
                key.name,
                key.doc
            );
        }
        let short = words(&short);
        for name in [
            "listeners",
            "bootstrap.servers",
            "rowferry.data.dir",
            "rowferry.log.level",
            "rowferry.log.format",
        ] {
            let key = crate::settings::KEYS
                .iter()
                .find(|key| key.name == name)
                .unwrap();
            assert!(
                short.contains(&format!("{} [{name}]", key.doc.trim_end_matches('.'))),
                "{name}\n{short}"
            );
        }
        assert!(short.lines().count() < 60, "{short}");
    }
}
