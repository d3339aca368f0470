//! Commands for several connectors: each one is processed and reported, even after another has
//! failed.

#![expect(
    clippy::indexing_slicing,
    reason = "the position was found in the same list"
)]

use std::cell::Cell;

use connector_api::shown::{in_lines, on_one_line};
use connector_api::{Error, ErrorKind, Result};

use super::bar::Bar;
use super::print::{errln, outln, set_off};

/// Like [`each`], for commands that print more than a line themselves; `spaced`: with an empty line
/// between two.
pub(super) async fn each_shown(
    names: &[String],
    spaced: bool,
    show: impl AsyncFn(&str) -> Result<()>,
) -> Result<()> {
    let is_first = Cell::new(true);
    each(names, String::as_str, async |name| {
        if !is_first.replace(false) && spaced {
            outln!("");
        }
        show(name).await.map(|()| String::new())
    })
    .await
}

/// Processes each item of `all` and prints the returned line on standard output, unless it is empty. If one of several
/// fails, its error is printed on standard error, and the others are processed anyway; only an
/// unreachable worker ends the loop, because the others would fail too.
/// Errors: that of a single item; for several, the number of failed ones, with the kind of the
/// first error.
pub(super) async fn each<T>(
    all: &[T],
    name: impl Fn(&T) -> &str,
    act: impl AsyncFn(&T) -> Result<String>,
) -> Result<()> {
    let mut failed: Vec<Error> = Vec::new();
    let bar = Bar::of("", all.len());
    for (at, item) in all.iter().enumerate() {
        bar.now(on_one_line(name(item)).into_owned());
        let done = act(item).await;
        bar.done(at + 1);
        match done {
            Ok(line) if line.is_empty() => {}
            Ok(line) => bar.beside(|| outln!("{}", in_lines(&line))),
            Err(error) if all.len() == 1 => return Err(error),
            Err(error) if error.kind() == ErrorKind::Retry => {
                let left: Vec<_> = all[at..]
                    .iter()
                    .map(|item| on_one_line(name(item)).into_owned())
                    .collect();
                return Err(error.context(format_args!("not done: {}", left.join(", "))));
            }
            Err(error) => {
                let name = on_one_line(name(item));
                let why = set_off(&error.to_string());
                bar.beside(|| errln!("rowferry: {name}: {why}"));
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
