//! The lines of the log that belong to a connector: the last ones are kept, and their level can be
//! lowered for a time.
//!
//! A line belongs to the connector that it names (`connector`), or whose task logs it: threads of
//! tasks run in a span that names it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use connector_api::locks::TakeLock;
use connector_api::shown::on_one_line;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::secrets::known;

/// Maximum number of lines that are kept of a connector.
pub(crate) const LINES_MAX: usize = 500;
/// Maximum length of a kept line, in bytes.
const LINE_MAX: usize = 4 * 1024;
/// Maximum size of all kept lines, in bytes. Beyond that, the connector that has logged nothing for
/// the longest time loses its lines.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// How many of the last lines are compared with a new one.
const COMPARED: usize = 8;
/// Maximum number of connectors with a level of their own.
pub(crate) const LEVELS_MAX: usize = 100;

/// A kept line, or several equal ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptLine {
    /// Numbers grow; a repeated line gets a new one.
    pub number: u64,
    /// Milliseconds since 1970-01-01 UTC of the first and the last one.
    pub first_ms: i64,
    pub last_ms: i64,
    pub count: u64,
    pub level: Level,
    pub target: &'static str,
    pub task: Option<u64>,
    pub text: String,
}

/// The kept lines of all connectors. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct ConnectorLog(Arc<Mutex<KeptLines>>);

#[derive(Default)]
struct KeptLines {
    by_connector: BTreeMap<String, VecDeque<KeptLine>>,
    bytes: usize,
    last: u64,
}

impl KeptLines {
    fn add(&mut self, connector: &str, line: KeptLine) {
        self.last += 1;
        let line = KeptLine {
            number: self.last,
            ..line
        };
        let lines = self.by_connector.entry(connector.to_owned()).or_default();
        let is_same = |kept: &KeptLine| {
            (kept.level, kept.target, kept.task, &kept.text)
                == (line.level, line.target, line.task, &line.text)
        };
        let from = lines.len().saturating_sub(COMPARED);
        let repeated = lines.iter().skip(from).position(is_same);
        if let Some(kept) = repeated.and_then(|at| lines.remove(from + at)) {
            lines.push_back(KeptLine {
                number: line.number,
                last_ms: line.last_ms,
                count: kept.count + 1,
                ..kept
            });
            return;
        }
        self.bytes += line.text.len();
        lines.push_back(line);
        if lines.len() > LINES_MAX {
            self.bytes -= lines.pop_front().map_or(0, |line| line.text.len());
        }
        while self.bytes > BYTES_MAX && self.by_connector.len() > 1 {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let last = |lines: &VecDeque<KeptLine>| lines.back().map_or(0, |line| line.number);
        let oldest = self
            .by_connector
            .iter()
            .min_by_key(|(_, lines)| last(lines));
        let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
            return;
        };
        let lines = self.by_connector.remove(&oldest).unwrap_or_default();
        self.bytes -= lines.iter().map(|line| line.text.len()).sum::<usize>();
    }
}

impl ConnectorLog {
    /// Returns the lines of a connector after the one with this number, at most the last `limit`,
    /// of this level or a more important one.
    pub(crate) fn lines(
        &self,
        connector: &str,
        after: u64,
        limit: usize,
        level: Level,
    ) -> Vec<KeptLine> {
        let kept = self.0.take_lock();
        let lines = kept.by_connector.get(connector);
        let wanted = lines.into_iter().flatten();
        let wanted = wanted.filter(|line| line.number > after && line.level <= level);
        let mut lines: Vec<KeptLine> = wanted.cloned().collect();
        lines.drain(..lines.len().saturating_sub(limit));
        lines
    }
}

/// What a span says about a connector; an extension of the span.
struct TaskSpan {
    connector: String,
    task: Option<u64>,
}

/// Collects the fields of an event or span.
#[derive(Default)]
struct LineFields {
    connector: Option<String>,
    task: Option<u64>,
    text: String,
}

impl Visit for LineFields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "task" {
            self.task = Some(value);
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let name = field.name().trim_start_matches("r#");
        let space = if self.text.is_empty() { "" } else { " " };
        let value = format!("{value:?}");
        // Writing to a String cannot fail.
        let _written = match name {
            "connector" => {
                self.connector = Some(value.trim_matches('"').to_owned());
                Ok(())
            }
            name if name.starts_with("log.") => Ok(()),
            "message" => write!(self.text, "{space}{}", on_one_line(&value)),
            name => write!(self.text, "{space}{name}={}", on_one_line(&value)),
        };
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ConnectorLog {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = LineFields::default();
        attributes.record(&mut fields);
        if let (Some(connector), Some(span)) = (fields.connector, context.span(id)) {
            span.extensions_mut().insert(TaskSpan {
                connector,
                task: fields.task,
            });
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = LineFields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            let extensions = span.extensions();
            let Some(of) = extensions.get::<TaskSpan>() else {
                continue;
            };
            let connector = fields.connector.get_or_insert_with(|| of.connector.clone());
            if *connector == of.connector {
                fields.task = fields.task.or(of.task);
            }
        }
        let Some(connector) = fields.connector else {
            return;
        };
        let hidden = known::hide(&fields.text, |shown| on_one_line(shown).into_owned());
        let end = hidden.floor_char_boundary(LINE_MAX);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        let line = KeptLine {
            number: 0,
            first_ms: now_ms,
            last_ms: now_ms,
            count: 1,
            level: *event.metadata().level(),
            target: event.metadata().target(),
            task: fields.task,
            text: hidden.get(..end).unwrap_or_default().to_owned(),
        };
        self.0.take_lock().add(&connector, line);
    }
}

/// The filter of the log: levels by module, and levels of single connectors for a time.
#[derive(Clone, Debug)]
pub(super) struct LogLevelFilter {
    targets: Targets,
    connectors: BTreeMap<String, (LevelFilter, Instant)>,
}

impl LogLevelFilter {
    pub(super) fn new(targets: Targets) -> Self {
        Self {
            targets,
            connectors: BTreeMap::new(),
        }
    }

    pub(super) fn set_targets(&mut self, targets: Targets) {
        self.targets = targets;
    }

    /// Sets the level of a connector until then. Returns false if too many connectors have one.
    pub(super) fn set_connector(&mut self, name: &str, level: LevelFilter, until: Instant) -> bool {
        self.expire(Instant::now());
        if self.connectors.len() >= LEVELS_MAX && !self.connectors.contains_key(name) {
            return false;
        }
        self.connectors.insert(name.to_owned(), (level, until));
        true
    }

    /// Ends the levels whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.connectors.retain(|_, (_, until)| *until > now);
    }

    /// The lowest level of a connector, for code of this program: libraries may log what they send.
    fn lowest(&self, metadata: &Metadata<'_>) -> LevelFilter {
        let is_own = ["rowferry", "connector_"]
            .iter()
            .any(|own| metadata.target().starts_with(own));
        let levels = self.connectors.values().filter(|_| is_own);
        levels
            .map(|(level, _)| *level)
            .max()
            .unwrap_or(LevelFilter::OFF)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLevelFilter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self
            .targets
            .would_enable(metadata.target(), metadata.level())
        {
            Interest::always()
        } else if *metadata.level() <= self.lowest(metadata) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        if self
            .targets
            .would_enable(metadata.target(), metadata.level())
        {
            return true;
        }
        if *metadata.level() > self.lowest(metadata) {
            return false;
        }
        let now = Instant::now();
        let current = context.lookup_current();
        let mut spans = current.iter().flat_map(|span| span.scope());
        spans.any(|span| {
            let extensions = span.extensions();
            let of = extensions.get::<TaskSpan>();
            let level = of.and_then(|of| self.connectors.get(&of.connector));
            level.is_some_and(|(level, until)| *metadata.level() <= *level && now < *until)
        })
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let connectors = self.connectors.values().map(|(level, _)| *level).max();
        let targets = <Targets as Layer<S>>::max_level_hint(&self.targets)?;
        Some(targets.max(connectors.unwrap_or(LevelFilter::OFF)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::reload;

    use super::*;

    fn texts(log: &ConnectorLog, connector: &str) -> Vec<(u64, String)> {
        let lines = log.lines(connector, 0, LINES_MAX, Level::TRACE);
        lines
            .into_iter()
            .map(|line| (line.count, line.text))
            .collect()
    }

    #[test]
    fn lines_belong_to_the_connector_they_name_or_that_runs_and_repeats_are_counted() {
        let log = ConnectorLog::default();
        let subscriber = tracing_subscriber::registry().with(log.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(connector = "a", task = 1u32, n = 5, "named\nline");
            tracing::info!("of nobody");
            let span = tracing::error_span!("task", connector = %"b", task = 2u32);
            let _entered = span.enter();
            for _ in 0..3 {
                tracing::warn!("again");
                tracing::warn!("and again");
            }
            tracing::info!(connector = "a", "of another");
        });
        assert_eq!(
            texts(&log, "a"),
            [
                (1, "named\\nline n=5".to_owned()),
                (1, "of another".to_owned())
            ]
        );
        assert_eq!(
            texts(&log, "b"),
            [(3, "again".to_owned()), (3, "and again".to_owned())]
        );
        let b = log.lines("b", 0, LINES_MAX, Level::WARN);
        assert_eq!((b[0].task, b[0].level), (Some(2), Level::WARN));
        assert_eq!(log.lines("b", b[0].number, LINES_MAX, Level::WARN).len(), 1);
        assert!(log.lines("b", 0, LINES_MAX, Level::ERROR).is_empty());
        assert_eq!(log.lines("b", 0, 1, Level::WARN)[0].text, "and again");
    }

    #[test]
    fn lines_are_bounded() {
        let mut kept = KeptLines::default();
        let line = |text: String| KeptLine {
            number: 0,
            first_ms: 0,
            last_ms: 0,
            count: 1,
            level: Level::INFO,
            target: "t",
            task: None,
            text,
        };
        for at in 0..LINES_MAX + 5 {
            kept.add("old", line(format!("{at}")));
        }
        assert_eq!(kept.by_connector["old"].len(), LINES_MAX);
        let filling = "x".repeat(BYTES_MAX / LINES_MAX * 2);
        for at in 0..LINES_MAX {
            kept.add("a", line(format!("{at}{filling}")));
            kept.add("b", line(format!("{at}{filling}")));
        }
        assert!(!kept.by_connector.contains_key("old"));
        let bytes = |lines: &VecDeque<KeptLine>| lines.iter().map(|l| l.text.len()).sum::<usize>();
        assert_eq!(
            kept.bytes,
            kept.by_connector.values().map(bytes).sum::<usize>()
        );
    }

    #[test]
    fn a_level_of_a_connector_ends_on_its_own() {
        let log = ConnectorLog::default();
        let filter = LogLevelFilter::new("info".parse().unwrap());
        let (filter, handle) = reload::Layer::new(filter);
        let subscriber = tracing_subscriber::registry()
            .with(filter)
            .with(log.clone());
        tracing::subscriber::with_default(subscriber, || {
            let span =
                |name: &'static str| tracing::error_span!("task", connector = name, task = 0u32);
            let say = |text: &str| {
                for name in ["a", "b"] {
                    span(name).in_scope(|| tracing::debug!("{text}"));
                }
            };
            say("before");
            let until = Instant::now() + Duration::from_secs(600);
            let set = |name: &str, until| {
                handle
                    .modify(|filter| assert!(filter.set_connector(name, LevelFilter::DEBUG, until)))
                    .unwrap();
            };
            set("a", until);
            say("during");
            set("a", Instant::now());
            say("after");
        });
        assert_eq!(texts(&log, "a"), [(1, "during".to_owned())]);
        assert!(texts(&log, "b").is_empty());
    }
}
