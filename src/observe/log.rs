//! Log output to standard error, with a filter that can be changed at runtime (`/admin/loggers`).

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use connector_api::locks::TakeLock;
use connector_api::{Error, Result};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use super::connector_log::{ConnectorLog, LogLevelFilter};
use super::guard::{self, RedactingWriter};

/// Levels for libraries that log debug information at info; the user's directives may override
/// them.
const CHATTY: &str = "sqlx=warn,hyper=warn,rustls=warn";

/// The filter of the running log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LogFilter {
    handle: reload::Handle<LogLevelFilter, Registry>,
    first: Targets,
    known: KnownTargets,
    lines: ConnectorLog,
}

/// Targets of all events and spans reached so far, enabled or not.
#[derive(Clone, Default)]
struct KnownTargets(Arc<Mutex<BTreeSet<&'static str>>>);

impl<S: Subscriber> Layer<S> for KnownTargets {
    /// Called once per log statement in the code, when it is first reached.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.0.take_lock().insert(metadata.target());
        Interest::always()
    }
}

impl LogFilter {
    /// Returns the level for all targets that the initial directives do not name.
    pub(crate) fn root(&self) -> String {
        self.first
            .default_level()
            .unwrap_or(LevelFilter::OFF)
            .to_string()
    }

    /// Returns the targets (`rowferry::rest`) for which the initial directives set a level.
    pub(crate) fn levels(&self) -> Vec<(String, String)> {
        self.first
            .iter()
            .map(|(target, level)| (target.to_owned(), level.to_string()))
            .collect()
    }

    /// Returns the targets reached so far, enabled or not.
    pub(crate) fn known(&self) -> Vec<String> {
        let known = self.known.0.take_lock();
        known.iter().map(|target| (*target).to_owned()).collect()
    }

    /// Replaces the filter: `info,rowferry::worker=debug`. Invalid directives are ignored.
    pub(crate) fn set(&self, directives: &str) {
        match targets(directives) {
            // Reloading fails only if the log is gone; then there is nothing to filter.
            Ok(targets) => drop(self.handle.modify(|filter| filter.set_targets(targets))),
            Err(error) => tracing::warn!(%error, "the log filter is not changed"),
        }
    }
}

impl LogFilter {
    /// Returns the last lines of each connector.
    pub(crate) fn lines(&self) -> ConnectorLog {
        self.lines.clone()
    }

    /// Sets the level of a connector for a time. Returns false if too many connectors have a level of
    /// their own. Must be called within a tokio runtime.
    pub(crate) fn set_connector(&self, name: &str, level: LevelFilter, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut is_set = false;
        // Fails only if the log is gone.
        drop(
            self.handle
                .modify(|filter| is_set = filter.set_connector(name, level, until)),
        );
        let handle = self.handle.clone();
        // Lines that are filtered cost more while some connector has a level.
        tokio::spawn(async move {
            tokio::time::sleep_until(until.into()).await;
            drop(handle.modify(|filter| filter.expire(Instant::now())));
        });
        is_set
    }
}

/// Starts log output. `format` is `text`, `json` or `auto`: text on a terminal, JSON otherwise.
/// Errors: `Config` for invalid directives; `Fatal` if output was started before.
pub(crate) fn init(directives: &str, format: &str) -> Result<LogFilter> {
    let targets = targets(directives)?;
    let (first, known) = (targets.clone(), KnownTargets::default());
    let (filter, handle) =
        reload::Layer::<LogLevelFilter, Registry>::new(LogLevelFilter::new(targets));
    let lines = ConnectorLog::default();
    let terminal = std::io::stderr().is_terminal();
    let is_colored = terminal && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    // Do not report a failed write to the log: reporting it would panic, and panics are logged.
    let layer: Box<dyn Layer<_> + Send + Sync> =
        if format == "json" || (format == "auto" && !terminal) {
            let json = fmt::layer()
                .log_internal_errors(false)
                .json()
                .flatten_event(true)
                .with_span_list(false);
            json.with_writer(|| RedactingWriter {
                into: io::stderr(),
                json: true,
            })
            .boxed()
        } else {
            let text = fmt::layer()
                .log_internal_errors(false)
                .fmt_fields(guard::fields())
                .with_ansi(is_colored);
            text.with_writer(|| RedactingWriter {
                into: io::stderr(),
                json: false,
            })
            .boxed()
        };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines.clone())
        .with(layer)
        .with(known.clone()) // the outermost layer: it sees what the filter keeps away from the others
        .try_init()
        .map_err(|error| Error::fatal("log output was started twice").caused_by(error))?;
    Ok(LogFilter {
        handle,
        first,
        known,
        lines,
    })
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
        assert!(
            !targets("info")
                .unwrap()
                .would_enable("sqlx::query", &Level::INFO)
        );
        assert!(
            targets("rowferry=loud")
                .unwrap_err()
                .message()
                .contains("loud")
        );
    }
}
