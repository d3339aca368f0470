//! Log output on standard error, and its filter, which changes while the worker runs (`/admin/loggers`).

use std::io::IsTerminal;
use std::str::FromStr;

use connector_api::{Error, Result};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// Libraries that say at info what belongs to debug; directives may name them otherwise.
const CHATTY: &str = "sqlx=warn,hyper=warn,rustls=warn";

/// The filter of the running log. Cheap to clone.
#[derive(Clone)]
pub struct Filter {
    handle: reload::Handle<Targets, Registry>,
    root: LevelFilter,
}

impl Filter {
    /// The level that everything has for which the first directives named no other.
    pub fn root(&self) -> String {
        self.root.to_string()
    }

    /// Replaces the filter: `info,rowferry::worker=debug`. Directives that cannot be read change nothing.
    pub fn set(&self, directives: &str) {
        match targets(directives) {
            // Reloading fails only when the log is gone, and then there is nothing to filter.
            Ok(targets) => drop(self.handle.reload(targets)),
            Err(error) => tracing::warn!(%error, "the log filter stays as it is"),
        }
    }
}

/// Starts log output. `format` is text, json, or auto: text on a terminal, json otherwise.
/// Errors: `Config` for directives that cannot be read; `Fatal` when output was started before.
pub fn init(directives: &str, format: &str) -> Result<Filter> {
    let targets = targets(directives)?;
    let root = targets.default_level().unwrap_or(LevelFilter::OFF);
    let (filter, handle) = reload::Layer::<Targets, Registry>::new(targets);
    let terminal = std::io::stderr().is_terminal();
    // A log that cannot be written has nowhere to tell it: trying would panic, and a panic is told to the log.
    let layer: Box<dyn Layer<_> + Send + Sync> = if format == "json" || (format == "auto" && !terminal) {
        fmt::layer().log_internal_errors(false).json().flatten_event(true).with_writer(std::io::stderr).boxed()
    } else {
        fmt::layer().log_internal_errors(false).with_ansi(terminal).with_writer(std::io::stderr).boxed()
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init()
        .map_err(|error| Error::fatal("log output was started twice").caused_by(error))?;
    Ok(Filter { handle, root })
}

fn targets(directives: &str) -> Result<Targets> {
    let bad = |_| {
        Error::config(format!(
            "rowferry.log.level: {directives} cannot be read; write error, warn, info, debug or trace, or levels by \
             module as in info,rowferry::worker=debug"
        ))
    };
    Targets::from_str(&format!("{CHATTY},{directives}")).map_err(bad)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::targets;

    #[test]
    fn directives_name_the_rest_and_modules() {
        let some = targets("warn,rowferry::worker=trace,sqlx=debug").unwrap();
        assert!(some.would_enable("rowferry::worker::sink", &Level::TRACE));
        assert!(!some.would_enable("rowferry::rest", &Level::INFO));
        assert!(some.would_enable("sqlx::query", &Level::DEBUG));
        assert!(!targets("info").unwrap().would_enable("sqlx::query", &Level::INFO));
        assert!(targets("rowferry=loud").unwrap_err().message().contains("loud"));
    }
}
