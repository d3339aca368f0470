//! The `rowferry` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    rowferry::cli::main(rowferry::registry::Registry::built_in())
}
