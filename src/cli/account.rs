//! `rowferry passwd` and `rowferry token`: lines for the file of `rowferry.auth.file`.

use std::io::{BufRead, IsTerminal};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use connector_api::{Error, Result};

use super::print::{errln, outln};
use crate::rest::auth::{Role, token_line, user_line};

/// Random bytes in a token: too many to guess.
const TOKEN_BYTES: usize = 32;

/// `rowferry passwd`, `rowferry token`.
#[derive(Args, Debug)]
pub(super) struct AccountCommand {
    /// Name of the user or token
    name: String,
    /// Role of the user or token
    #[arg(long, value_parser = role)]
    role: Role,
}

fn role(name: &str) -> Result<Role, String> {
    Role::parse(name).ok_or_else(|| format!("one of {}", Role::ALL.map(Role::name).join(", ")))
}

/// Reads a line, which a terminal does not show.
fn password() -> std::io::Result<String> {
    if std::io::stdin().is_terminal() {
        return console::Term::stderr().read_secure_line();
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}

impl AccountCommand {
    /// Reads a password from standard input and prints the user's line. Errors: `Config` for an empty one.
    pub(super) fn user(&self) -> Result<()> {
        errln!("password of {}:", self.name);
        let password = password()
            .map_err(|error| Error::config(format!("the password cannot be read: {error}")))?;
        let password = password.trim_end_matches(['\n', '\r']);
        if password.is_empty() {
            return Err(Error::config("the password is empty"));
        }
        outln!("{}", user_line(&self.name, self.role, password)?);
        Ok(())
    }

    /// Creates a token, shows it once on standard error and prints its line.
    pub(super) fn token(&self) -> Result<()> {
        let mut bytes = [0; TOKEN_BYTES];
        let filled = std::fs::File::open("/dev/urandom")
            .and_then(|mut chance| std::io::Read::read_exact(&mut chance, &mut bytes));
        filled
            .map_err(|error| Error::fatal(format!("no random numbers are available: {error}")))?;
        let token = URL_SAFE_NO_PAD.encode(bytes);
        errln!("token, shown only once: {token}");
        outln!("{}", token_line(&self.name, self.role, &token)?);
        Ok(())
    }
}
