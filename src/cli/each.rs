//! Verbs over several connectors: each is done and reported, also after another has failed.

use connector_api::shown::{in_lines, on_one_line};
use connector_api::{Error, ErrorKind, Result};

use super::print::{errln, outln, set_off};

/// Does something with each of `all` and prints the line that it returns on standard output. What goes wrong with one
/// of several is printed on standard error, and the others are done all the same; only a worker out of reach ends it, as
/// it would be for the others too.
/// Errors: that of the only one; of several, how many failed, with the kind of the first error.
pub async fn each<T>(
    all: &[T],
    name: impl Fn(&T) -> &str,
    act: impl AsyncFn(&T) -> Result<String>,
) -> Result<()> {
    let mut failed: Vec<Error> = Vec::new();
    for (at, item) in all.iter().enumerate() {
        match act(item).await {
            Ok(line) => outln!("{}", in_lines(&line)),
            Err(error) if all.len() == 1 => return Err(error),
            Err(error) if error.kind() == ErrorKind::Retry => {
                let left: Vec<_> = all[at..]
                    .iter()
                    .map(|item| on_one_line(name(item)).into_owned())
                    .collect();
                return Err(error.context(format_args!("not done: {}", left.join(", "))));
            }
            Err(error) => {
                errln!(
                    "rowferry: {}: {}",
                    on_one_line(name(item)),
                    set_off(&error.to_string())
                );
                failed.push(error);
            }
        }
    }
    match failed.first() {
        None => Ok(()),
        Some(first) => Err(Error::new(
            first.kind(),
            format!("{} of {} failed", failed.len(), all.len()),
        )),
    }
}
