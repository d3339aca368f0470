//! `/admin/loggers` (KIP-495, KIP-976): changes log levels at runtime.
//!
//! Logger names are dotted paths; `root` is the parent of all. The levels are stored here; the log
//! knows the existing loggers and applies the levels.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use connector_api::locks::TakeLock;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::RestState;
use super::body::JsonBody;
use super::error::{ApiError, ApiResult};
use super::path::Path;
use super::query::{QueryParams, first};
use crate::model::{LoggerLevel, NewLevel};

const ROOT: &str = "root";
/// Maximum number of loggers with their own level, because each is checked for log lines.
const LOGGERS_MAX: usize = 1_000;
/// Maximum length of a logger's name, in bytes.
const NAME_MAX: usize = 512;
const LEVELS: &[&str] = &[
    "OFF", "FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE", "ALL",
];

pub(super) fn routes() -> OpenApiRouter<RestState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read, set))
}

/// The log that the levels apply to.
pub(crate) trait LogControl: Send + Sync {
    /// Returns the loggers with their own level, as modules (`rowferry::rest`), and their levels.
    fn levels(&self) -> Vec<(String, String)>;
    /// Returns the level of all others.
    fn root(&self) -> String;
    /// Returns the modules that have logged or could have logged so far.
    fn known(&self) -> Vec<String>;
    /// Sets levels by directives: `info,rowferry::rest=debug`.
    fn set(&self, directives: &str);
}

/// Levels by logger. Cheap to clone; all clones share the levels.
#[derive(Clone)]
pub(crate) struct LogLevels {
    levels: Arc<Mutex<BTreeMap<String, LoggerLevel>>>,
    log: Arc<dyn LogControl>,
}

impl LogLevels {
    /// Starts with the current levels of the log.
    pub(crate) fn new(log: impl LogControl + 'static) -> Self {
        let own = log
            .levels()
            .into_iter()
            .map(|(module, level)| (logger(&module), level));
        let levels = own
            .chain([(ROOT.to_owned(), log.root())])
            .map(|(name, level)| {
                (
                    name,
                    LoggerLevel {
                        level: level.to_ascii_uppercase(),
                        last_modified: None,
                    },
                )
            });
        Self {
            levels: Arc::new(Mutex::new(levels.collect())),
            log: Arc::new(log),
        }
    }

    /// Returns all known loggers with their own or inherited level, as Kafka Connect does for those
    /// of its JVM.
    fn all(&self) -> BTreeMap<String, LoggerLevel> {
        let set = self.levels.take_lock().clone();
        let mut all = set.clone();
        for name in self.log.known().iter().map(|module| logger(module)) {
            let level = effective(&set, &name).to_owned();
            all.entry(name).or_insert(LoggerLevel {
                level,
                last_modified: None,
            });
        }
        all
    }

    /// True if the maximum number of levels is reached, and this logger has none.
    fn has_no_room_for(&self, logger: &str) -> bool {
        let levels = self.levels.take_lock();
        logger.len() > NAME_MAX || (levels.len() >= LOGGERS_MAX && !levels.contains_key(logger))
    }

    /// Sets the level of a logger and of its descendants. Returns the names of those whose level
    /// has changed.
    fn set(&self, logger: &str, level: &str, now_ms: i64) -> Vec<String> {
        let known = self.all();
        let mut levels = self.levels.take_lock();
        let below = |name: &str| {
            logger == ROOT
                || name
                    .strip_prefix(logger)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut names: Vec<_> = known.keys().filter(|name| below(name)).cloned().collect();
        if !known.contains_key(logger) {
            names.push(logger.to_owned());
            names.sort_unstable();
        }
        names.retain(|name| effective(&levels, name) != level);
        for name in &names {
            levels.insert(
                name.clone(),
                LoggerLevel {
                    level: level.to_owned(),
                    last_modified: Some(now_ms),
                },
            );
        }
        if !names.is_empty() {
            self.log.set(&directives(&levels));
        }
        names
    }
}

/// Converts a module's name to a logger's: dots instead of colons.
fn logger(module: &str) -> String {
    module.replace("::", ".")
}

/// Returns the level of a logger, or of its nearest ancestor with one.
fn effective<'a>(levels: &'a BTreeMap<String, LoggerLevel>, logger: &str) -> &'a str {
    let mut name = logger;
    loop {
        if let Some(found) = levels.get(name) {
            return &found.level;
        }
        match name.rfind('.') {
            Some(dot) => name = &name[..dot],
            None if name == ROOT => return "INFO",
            None => name = ROOT,
        }
    }
}

/// Returns the levels as filter directives, `info,rowferry::rest=debug`.
fn directives(levels: &BTreeMap<String, LoggerLevel>) -> String {
    let filter = |level: &str| match level {
        "FATAL" => "error".to_owned(),
        "ALL" => "trace".to_owned(),
        other => other.to_ascii_lowercase(),
    };
    let speakable = |name: &str| {
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b))
    };
    let mut out = filter(effective(levels, ROOT));
    for (name, level) in levels
        .iter()
        .filter(|(name, _)| *name != ROOT && speakable(name))
    {
        out.push_str(&format!(
            ",{}={}",
            name.replace('.', "::"),
            filter(&level.level)
        ));
    }
    out
}

/// Returns the known loggers and their levels.
#[utoipa::path(get, path = "/admin/loggers", tag = "log levels", responses((status = 200, body = BTreeMap<String, LoggerLevel>)))]
async fn list(State(app): State<RestState>) -> Json<BTreeMap<String, LoggerLevel>> {
    Json(app.levels.all())
}

/// Returns the level of one logger.
#[utoipa::path(get, path = "/admin/loggers/{logger}", tag = "log levels", responses((status = 200, body = LoggerLevel)))]
async fn read(
    State(app): State<RestState>,
    Path(logger): Path<String>,
) -> ApiResult<Json<LoggerLevel>> {
    app.levels
        .all()
        .remove(&logger)
        .map(Json)
        .ok_or_else(|| ApiError::unknown_logger(&logger))
}

/// Sets the level, `{"level":"DEBUG"}`, of a logger and of its descendants, until the worker ends.
#[utoipa::path(put, path = "/admin/loggers/{logger}", tag = "log levels", params(("logger" = String, Path), ("scope" = Option<String>, Query, description = "`worker` or `cluster`")), request_body = NewLevel, responses((status = 200, description = "the loggers that were changed", body = Vec<String>), (status = 204, description = "with `scope=cluster`")))]
async fn set(
    State(app): State<RestState>,
    Path(logger): Path<String>,
    params: QueryParams,
    JsonBody(body): JsonBody<NewLevel>,
) -> ApiResult<Response> {
    let given = body.level.as_deref().ok_or_else(ApiError::no_level)?;
    let level = LEVELS
        .iter()
        .find(|level| level.eq_ignore_ascii_case(given.trim()));
    let level = level.ok_or_else(|| ApiError::unknown_level(given))?;
    if app.levels.has_no_room_for(&logger) {
        return Err(ApiError::too_many_loggers(LOGGERS_MAX, NAME_MAX));
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let changed = app.levels.set(
        &logger,
        level,
        i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
    );
    if first(&params, "scope").is_some_and(|scope| scope.eq_ignore_ascii_case("cluster")) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(Json(changed).into_response())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{LogControl, LogLevels};

    #[derive(Clone, Default)]
    struct Recorded(Arc<Mutex<String>>);

    impl LogControl for Recorded {
        fn levels(&self) -> Vec<(String, String)> {
            vec![("lib::chatty".to_owned(), "warn".to_owned())]
        }

        fn root(&self) -> String {
            "info".to_owned()
        }

        fn known(&self) -> Vec<String> {
            ["lib", "lib::chatty::inner", "used"]
                .map(str::to_owned)
                .to_vec()
        }

        fn set(&self, directives: &str) {
            directives.clone_into(&mut self.0.lock().unwrap());
        }
    }

    #[test]
    fn a_level_goes_for_all_loggers_below_and_only_changed_ones_are_listed() {
        let applied = Recorded::default();
        let levels = LogLevels::new(applied.clone());
        assert_eq!(levels.set("a.log", "DEBUG", 1), ["a.log"]);
        assert_eq!(levels.set("a.log.x", "TRACE", 2), ["a.log.x"]);
        assert_eq!(levels.set("a.logger", "WARN", 3), ["a.logger"]);
        assert_eq!(levels.set("a.log", "ERROR", 4), ["a.log", "a.log.x"]);
        assert!(levels.set("a.log", "ERROR", 5).is_empty());
        assert!(
            levels.set("new", "INFO", 6).is_empty(),
            "it inherits that level"
        );
        let want = "info,a::log=error,a::log::x=error,a::logger=warn,lib::chatty=warn";
        assert_eq!(*applied.0.lock().unwrap(), want);
        assert_eq!(levels.all()["a.log.x"].last_modified, Some(4));
    }

    #[test]
    fn levels_have_a_bound() {
        let levels = LogLevels::new(Recorded::default());
        let mut added = 0;
        while !levels.has_no_room_for(&format!("n{added}")) {
            levels.set(&format!("n{added}"), "DEBUG", 1);
            added += 1;
        }
        assert!((900..=super::LOGGERS_MAX).contains(&added), "{added}");
        assert!(!levels.has_no_room_for("n1") && levels.has_no_room_for(&"n".repeat(600)));
    }

    #[test]
    fn every_known_logger_is_listed_with_the_level_it_inherits() {
        let levels = LogLevels::new(Recorded::default());
        let listed = |levels: &LogLevels| -> Vec<_> {
            levels
                .all()
                .into_iter()
                .map(|(name, at)| format!("{name} {} {:?}", at.level, at.last_modified))
                .collect()
        };
        assert_eq!(
            listed(&levels),
            [
                "lib INFO None",
                "lib.chatty WARN None",
                "lib.chatty.inner WARN None",
                "root INFO None",
                "used INFO None"
            ]
        );
        assert_eq!(levels.set("lib", "WARN", 1), ["lib"]);
        assert_eq!(
            levels.set("root", "DEBUG", 2),
            ["lib", "lib.chatty", "lib.chatty.inner", "root", "used"]
        );
        assert!(
            listed(&levels)
                .iter()
                .all(|line| line.ends_with("DEBUG Some(2)"))
        );
    }
}
