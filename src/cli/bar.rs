//! Progress bars for a person who waits: on standard error, only on a terminal, and only once something takes longer than
//! a moment. Nothing where standard error is redirected, with NO_COLOR, or where a document (`-o json`) is wanted.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use super::output::OutputFormat;

/// How long something takes before it has a bar.
const SHOWN_AFTER: Duration = Duration::from_millis(1_000);
/// How often a bar is drawn while nothing changes.
const DRAWN_EVERY: Duration = Duration::from_millis(200);

/// Whether this process shows bars.
static ALLOWED: AtomicBool = AtomicBool::new(false);
/// Whether there is a bar: what is only a part of something else gets none.
static OPEN: AtomicBool = AtomicBool::new(false);

/// Decides whether this process shows bars.
pub(super) fn decide(matches: &clap::ArgMatches) {
    let is_allowed = is_allowed(
        std::io::stderr().is_terminal(),
        std::env::var_os("NO_COLOR").as_deref(),
        std::env::var_os("TERM").as_deref(),
        wants_document(matches),
    );
    ALLOWED.store(is_allowed, Ordering::Relaxed);
}

fn is_allowed(
    is_terminal: bool,
    no_color: Option<&OsStr>,
    term: Option<&OsStr>,
    is_document: bool,
) -> bool {
    let is_plain = no_color.is_some_and(|it| !it.is_empty()) || term.is_some_and(|it| it == "dumb");
    is_terminal && !is_plain && !is_document
}

/// True if a command prints documents for programs.
fn wants_document(matches: &clap::ArgMatches) -> bool {
    let mut at = matches;
    while let Some((_, below)) = at.subcommand() {
        at = below;
    }
    let format = at.try_get_one::<OutputFormat>("format").ok().flatten();
    let is_json = at.try_get_one::<bool>("json").ok().flatten();
    let plan = at.try_get_one::<String>("output").ok().flatten();
    matches!(format, Some(OutputFormat::Json | OutputFormat::Yaml))
        || is_json == Some(&true)
        || plan.is_some_and(|format| ["json", "yaml"].contains(&&**format))
}

/// Something that a person waits for. It has a bar on the terminal until it is dropped.
pub(super) struct Bar {
    bar: ProgressBar,
    shows: Option<JoinHandle<()>>,
}

impl Bar {
    /// Something whose end is not known.
    pub(super) fn open(what: impl Into<Cow<'static, str>>) -> Self {
        let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}");
        Self::shown(ProgressBar::no_length(), style, what.into())
    }

    /// Something that has so many parts.
    pub(super) fn of(what: impl Into<Cow<'static, str>>, parts: usize) -> Self {
        let style = ProgressStyle::with_template(
            "{spinner} {msg} [{wide_bar}] {human_pos}/{human_len} {eta}",
        );
        Self::shown(ProgressBar::new(parts as u64), style, what.into())
    }

    fn shown(
        bar: ProgressBar,
        style: Result<ProgressStyle, indicatif::style::TemplateError>,
        what: Cow<'static, str>,
    ) -> Self {
        bar.set_draw_target(ProgressDrawTarget::hidden());
        if !ALLOWED.load(Ordering::Relaxed) || OPEN.swap(true, Ordering::Relaxed) {
            return Self { bar, shows: None };
        }
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> ").tick_chars("-\\|/ "));
        }
        bar.set_message(what);
        let later = bar.clone();
        let shows = tokio::spawn(async move {
            tokio::time::sleep(SHOWN_AFTER).await;
            later.set_draw_target(ProgressDrawTarget::stderr());
            later.enable_steady_tick(DRAWN_EVERY);
        });
        Self {
            bar,
            shows: Some(shows),
        }
    }

    /// So many parts are done.
    pub(super) fn done(&self, parts: usize) {
        self.bar.set_position(parts as u64);
    }

    /// What is done now.
    pub(super) fn now(&self, what: impl Into<Cow<'static, str>>) {
        self.bar.set_message(what);
    }

    /// Prints something while the bar is not there.
    pub(super) fn beside(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(shows) = self.shows.take() {
            shows.abort();
            self.bar.finish_and_clear();
            OPEN.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn only_a_person_at_a_terminal_sees_bars() {
        let some = |text: &'static str| Some(OsStr::new(text));
        assert!(is_allowed(true, None, some("xterm"), false));
        assert!(is_allowed(true, some(""), None, false));
        for (terminal, no_color, term, document) in [
            (false, None, None, false),
            (true, some("1"), None, false),
            (true, None, some("dumb"), false),
            (true, None, None, true),
        ] {
            assert!(!is_allowed(terminal, no_color, term, document));
        }
    }

    #[test]
    fn documents_are_for_programs() {
        let wants = |args: &str| {
            let words = std::iter::once("rowferry").chain(args.split(' '));
            let matches = crate::cli::Cli::command().try_get_matches_from(words);
            wants_document(&matches.unwrap())
        };
        for args in [
            "get -o json",
            "dlq list x --json",
            "reread start x t -o yaml",
            "plan -f x -o json",
            "plan -f x -o yaml",
        ] {
            assert!(wants(args), "{args}");
        }
        for args in ["get", "get -o wide", "plan -f x -o plan.json", "pause x"] {
            assert!(!wants(args), "{args}");
        }
    }
}
