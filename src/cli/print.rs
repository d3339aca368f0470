//! Output and tables. Text from a worker cannot send commands to the terminal.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

use connector_api::shown::{in_lines, on_one_line};

use crate::observe::guard::ascii_escaped;

/// Why standard output cannot be written any more.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Writes to standard output. Once that fails, for example because the reader of a pipe has ended,
/// nothing more is written, but the command continues: connectors that are still to be stopped are
/// stopped. [`lost`] returns the error.
pub(super) fn to_stdout(text: fmt::Arguments<'_>) {
    if lost().is_none() {
        let mut out = io::stdout().lock();
        if let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) {
            drop(LOST.set(error));
        }
    }
}

/// Writes to standard error, which may be closed.
pub(super) fn to_stderr(text: fmt::Arguments<'_>) {
    drop(io::stderr().lock().write_fmt(text));
}

/// Returns why standard output cannot be written any more, if that is so.
pub(super) fn lost() -> Option<&'static io::Error> {
    LOST.get()
}

/// Returns the exit code of a command whose output failed, after reporting the reason: that of a
/// process ended by SIGPIPE, without a message, as in other tools, or EX_IOERR.
pub(super) fn code_of_lost(error: &io::Error) -> u8 {
    if error.kind() == ErrorKind::BrokenPipe {
        return 141;
    }
    to_stderr(format_args!("rowferry: standard output: {error}\n"));
    74
}

/// `print!` for output that may be closed.
macro_rules! out {
    ($($text:tt)*) => { $crate::cli::print::to_stdout(format_args!($($text)*)) };
}

/// `println!` for output that may be closed.
macro_rules! outln {
    ($($text:tt)*) => {
        $crate::cli::print::to_stdout(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// `eprintln!` for output that may be closed.
macro_rules! errln {
    ($($text:tt)*) => {
        $crate::cli::print::to_stderr(format_args!("{}\n", format_args!($($text)*)))
    };
}

pub(super) use {errln, out, outln};

/// Formats columns that are as wide as their widest cell; the last one is not padded.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<Cow<'_, str>>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| on_one_line(cell)).collect())
        .collect();
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells
            .chain(head.get(column).map(|title| title.len()))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect::<Vec<_>>();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut out = line(&mut head.iter().copied());
    for row in rows {
        out.push_str(&line(&mut row.iter().map(|cell| &**cell)));
    }
    out
}

/// Indents all lines of a text but the first, so that none looks like a separate message.
pub(super) fn set_off(text: &str) -> String {
    in_lines(text).replace('\n', "\n  ")
}

/// Formats JSON for people and programs: characters that could affect a terminal are escaped.
pub(super) fn json(value: &serde_json::Value) -> String {
    ascii_escaped(&format!("{value:#}"))
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["a".to_owned(), "é long".to_owned(), "x".to_owned()],
            vec!["bcd".to_owned(), String::new()],
        ];
        assert_eq!(
            table(&["NAME", "V", "W"], &rows),
            "NAME  V       W\na     é long  x\nbcd\n"
        );
        assert_eq!(
            table(&["N"], &[vec!["a\u{1b}[2J\nb".to_owned()]]),
            "N\na\\u{1b}[2J\\nb\n"
        );
    }
}
