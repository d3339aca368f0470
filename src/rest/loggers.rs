//! `/admin/loggers` (KIP-495, KIP-976): log levels, changed while the worker runs.
//!
//! Logger names are dotted paths; `root` is above all. The levels live here, the log itself is told by a function.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::body::JsonBody;
use super::error::{ApiError, ApiResult};
use super::path::Path;
use super::query::{Params, first};
use crate::model::{LoggerLevel, NewLevel};

const ROOT: &str = "root";
const LEVELS: &[&str] = &["OFF", "FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE", "ALL"];

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read, set))
}

/// Levels by logger. Cheap to clone; all clones share the levels.
#[derive(Clone)]
pub struct LogLevels {
    levels: Arc<Mutex<BTreeMap<String, LoggerLevel>>>,
    apply: Arc<dyn Fn(&str) + Send + Sync>,
}

impl LogLevels {
    /// Starts with `root` at that level. `apply` takes the directives of `tracing_subscriber`'s `EnvFilter`.
    pub fn new(root: &str, apply: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let level = LoggerLevel { level: root.to_ascii_uppercase(), last_modified: None };
        Self { levels: Arc::new(Mutex::new(BTreeMap::from([(ROOT.to_owned(), level)]))), apply: Arc::new(apply) }
    }

    fn all(&self) -> BTreeMap<String, LoggerLevel> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets a logger and those below it. Returns the names of those that were at another level.
    fn set(&self, logger: &str, level: &str, now_ms: i64) -> Vec<String> {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let below = |name: &str| {
            logger == ROOT || name.strip_prefix(logger).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut names: Vec<_> = levels.keys().filter(|name| below(name)).cloned().collect();
        if !levels.contains_key(logger) {
            names.push(logger.to_owned());
            names.sort_unstable();
        }
        names.retain(|name| effective(&levels, name) != level);
        for name in &names {
            levels.insert(name.clone(), LoggerLevel { level: level.to_owned(), last_modified: Some(now_ms) });
        }
        if !names.is_empty() {
            (self.apply)(&directives(&levels));
        }
        names
    }
}

/// The level of a logger, or that of the nearest one above it.
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

/// The levels as filter directives, `info,rowferry::rest=debug`: a logger's dots are a module's colons.
fn directives(levels: &BTreeMap<String, LoggerLevel>) -> String {
    let filter = |level: &str| match level {
        "FATAL" => "error".to_owned(),
        "ALL" => "trace".to_owned(),
        other => other.to_ascii_lowercase(),
    };
    let speakable = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b));
    let mut out = filter(effective(levels, ROOT));
    for (name, level) in levels.iter().filter(|(name, _)| *name != ROOT && speakable(name)) {
        out.push_str(&format!(",{}={}", name.replace('.', "::"), filter(&level.level)));
    }
    out
}

/// Log levels that were set.
#[utoipa::path(get, path = "/admin/loggers", tag = "log levels", responses((status = 200, body = BTreeMap<String, LoggerLevel>)))]
async fn list(State(app): State<App>) -> Json<BTreeMap<String, LoggerLevel>> {
    Json(app.levels.all())
}

/// The level of one logger.
#[utoipa::path(get, path = "/admin/loggers/{logger}", tag = "log levels", responses((status = 200, body = LoggerLevel)))]
async fn read(State(app): State<App>, Path(logger): Path<String>) -> ApiResult<Json<LoggerLevel>> {
    app.levels.all().remove(&logger).map(Json).ok_or_else(|| ApiError::unknown_logger(&logger))
}

/// Sets the level, `{"level":"DEBUG"}`, of a logger and of those below it, until the worker ends.
#[utoipa::path(put, path = "/admin/loggers/{logger}", tag = "log levels", params(("logger" = String, Path), ("scope" = Option<String>, Query, description = "`worker` or `cluster`")), request_body = NewLevel, responses((status = 200, description = "the loggers that were changed", body = Vec<String>), (status = 204, description = "with `scope=cluster`")))]
async fn set(
    State(app): State<App>,
    Path(logger): Path<String>,
    params: Params,
    JsonBody(body): JsonBody<NewLevel>,
) -> ApiResult<Response> {
    let given = body.level.as_deref().ok_or_else(ApiError::no_level)?;
    let level = LEVELS.iter().find(|level| level.eq_ignore_ascii_case(given.trim()));
    let level = level.ok_or_else(|| ApiError::unknown_level(given))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let changed = app.levels.set(&logger, level, i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
    if first(&params, "scope").is_some_and(|scope| scope.eq_ignore_ascii_case("cluster")) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(Json(changed).into_response())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::LogLevels;

    #[test]
    fn a_level_goes_for_all_loggers_below_and_only_changes_are_told() {
        let applied = Arc::new(Mutex::new(String::new()));
        let levels = {
            let applied = Arc::clone(&applied);
            LogLevels::new("info", move |directives| directives.clone_into(&mut applied.lock().unwrap()))
        };
        assert_eq!(levels.set("a.log", "DEBUG", 1), ["a.log"]);
        assert_eq!(levels.set("a.log.x", "TRACE", 2), ["a.log.x"]);
        assert_eq!(levels.set("a.logger", "WARN", 3), ["a.logger"]);
        assert_eq!(levels.set("a.log", "ERROR", 4), ["a.log", "a.log.x"]);
        assert!(levels.set("a.log", "ERROR", 5).is_empty());
        assert!(levels.set("new", "INFO", 6).is_empty(), "it inherits that level");
        assert_eq!(*applied.lock().unwrap(), "info,a::log=error,a::log::x=error,a::logger=warn");
        assert_eq!(levels.all()["a.log.x"].last_modified, Some(4));
    }
}
