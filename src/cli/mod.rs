//! The command line: one file per command. Exit codes are sysexits', so that init systems can tell a wrong setting
//! (never restart) from a busy address (try again).

mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use connector_api::{Error, Kind};

use crate::registry::Registry;

/// Wrong use of the command line (EX_USAGE).
const USAGE: u8 = 64;
/// Something needed is out of reach or in use (EX_UNAVAILABLE).
const UNAVAILABLE: u8 = 69;
/// A bug or a broken invariant (EX_SOFTWARE).
const SOFTWARE: u8 = 70;
/// Credentials or privileges are refused (EX_NOPERM).
const DENIED: u8 = 77;
/// A wrong setting (EX_CONFIG).
const CONFIG: u8 = 78;

#[derive(Parser)]
#[command(
    name = "rowferry",
    version,
    about = "Kafka Connect-style runtime for JDBC connectors: database tables to Kafka topics and back",
    after_help = "Exit codes: 0 done, 64 wrong use, 69 something is out of reach or in use, 70 a bug, 77 access denied, \
                  78 a wrong setting.",
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a worker against a Kafka cluster
    Serve(serve::Serve),
    /// Run a worker to try things out: Kafka inside this process, everything in memory
    Dev(serve::Dev),
    /// Print the version
    Version,
}

/// Runs the command line of this process over what `registry` holds, and gives its exit code.
pub fn main(registry: Registry) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; everything else is wrong use.
            let code = if error.use_stderr() { USAGE } else { 0 };
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let outcome = match cli.command {
        Command::Serve(serve) => serve.run(registry),
        Command::Dev(dev) => dev.run(registry),
        Command::Version => {
            println!("rowferry {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rowferry: {error}");
            ExitCode::from(code_of(&error))
        }
    }
}

fn code_of(error: &Error) -> u8 {
    match error.kind() {
        Kind::Config | Kind::Record => CONFIG,
        Kind::Denied => DENIED,
        Kind::Retry | Kind::Fenced => UNAVAILABLE,
        Kind::Fatal => SOFTWARE,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
