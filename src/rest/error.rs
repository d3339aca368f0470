//! Error answers: the only place with texts and status codes of refusals.
//!
//! Texts that tools match on are those of Kafka Connect; the body is always
//! `{"error_code","message"}`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use connector_api::ErrorKind;

use super::budget::BodyFault;
use super::gate::GateFull;
use super::origin::OriginRefusal;
use crate::herder::HerderRefusal;
use crate::herder::plan::{CONNECTORS_MAX, PlanRefusal};
use crate::herder::validate::ValidationError;
use crate::model::{ConfigInfos, ErrorBody, RunState, TargetState};
use crate::secrets::SecretKeys;

/// An answer with a status of 400 or above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    message: String,
    /// After how many seconds the client may retry.
    retry_after: Option<u64>,
}

/// The result of a handler.
pub(super) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
        }
    }

    /// Overload; a retry after this number of seconds may succeed.
    fn busy(seconds: u64, message: impl Into<String>) -> Self {
        Self {
            retry_after: Some(seconds),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
        }
    }

    /// A plain HTTP refusal, such as `HTTP 404 Not Found`.
    pub(super) fn http(status: StatusCode) -> Self {
        let reason = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
            other => other.canonical_reason().unwrap_or_default(),
        };
        Self::new(status, format!("HTTP {} {reason}", status.as_u16()))
    }

    /// The body is not the expected one; `why` names the problem and its position.
    pub(super) fn bad_body(why: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!("The request body cannot be read: {why}"),
        )
    }

    /// The path cannot be read.
    pub(super) fn bad_path() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "The path cannot be read: its escapes must be UTF-8 text, such as %C3%A9",
        )
    }

    /// The trial has an invalid config or record.
    pub(super) fn bad_trial(why: &connector_api::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why.to_string())
    }

    /// Plans were not made.
    pub(super) fn refused_plan(refusal: PlanRefusal, secrets: &SecretKeys) -> Self {
        let text = match refusal {
            PlanRefusal::TooMany(count) => format!(
                "{count} connectors are too many for one request, at most {CONNECTORS_MAX} are \
                 planned together"
            ),
            PlanRefusal::NoName => "each connector needs a name".to_owned(),
            PlanRefusal::Busy => {
                return Self::busy(5, "Too many plans are being made; try again later");
            }
            PlanRefusal::Config(config, why) => {
                return Self::unknown_class(why, &config.0, secrets);
            }
            PlanRefusal::Herder(refusal) => return refusal.into(),
        };
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// A body was not read to its end.
    pub(super) fn body_fault(fault: BodyFault) -> Self {
        match fault {
            BodyFault::TooLarge => Self::http(StatusCode::PAYLOAD_TOO_LARGE),
            BodyFault::TooSlow => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "The request body did not arrive in time; send it without pauses",
            ),
            BodyFault::Busy => Self::busy(
                2,
                "Other request bodies use all the memory that is reserved for them; try again later",
            ),
        }
    }

    /// Only connections for probes are available.
    pub(super) fn too_many_connections(full: GateFull) -> Self {
        let (what, key, most) = match full {
            GateFull::Worker(most) => ("", "rowferry.rest.connections", most),
            GateFull::Address(most) => (
                " from this address",
                "rowferry.rest.connections.per.address",
                most,
            ),
        };
        Self::busy(
            2,
            format!(
                "There are already {most} connections{what}, the maximum of {key}; try again later"
            ),
        )
    }

    /// The answers that clients have not read yet leave no memory for another one.
    pub(super) fn too_many_answers() -> Self {
        Self::busy(
            2,
            "Answers that clients have not read yet use all the memory that is reserved for them; \
             try again later",
        )
    }

    /// There is no body.
    pub(super) fn no_body() -> Self {
        Self::bad_body("it is empty, but a JSON object is expected")
    }

    /// The connector has no config with that version number, or it was deleted in that version.
    pub(super) fn no_version(name: &str, version: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("Connector {name} has no config version {version}"),
        )
    }

    /// Credentials are missing or wrong. Source: the text of Kafka's
    /// BasicAuthSecurityRestExtension.
    pub(super) fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "User cannot access the resource.")
    }

    /// There were too many wrong passwords or tokens.
    pub(super) fn too_many_guesses(after: Duration) -> Self {
        let seconds = after.as_secs() + 1;
        let text = format!("Too many wrong passwords or tokens; try again in {seconds} s");
        Self {
            retry_after: Some(seconds),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, text)
        }
    }

    /// The account's role does not suffice.
    pub(super) fn forbidden(role: &str, needed: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            format!("The role {role} may not do this; the role {needed} is required"),
        )
    }

    /// A page of another site sent the request.
    pub(super) fn foreign(foreign: OriginRefusal) -> Self {
        match foreign {
            OriginRefusal::Page => Self::new(
                StatusCode::FORBIDDEN,
                "Pages of other sites may not change anything; list allowed origins in \
                 access.control.allow.origin",
            ),
            OriginRefusal::Host => Self::new(
                StatusCode::MISDIRECTED_REQUEST,
                "This worker does not accept the name in the Host header; add names with \
                 rowferry.allowed.hosts or rest.advertised.host.name in its settings",
            ),
            OriginRefusal::Unclear(why) => Self::new(
                StatusCode::BAD_REQUEST,
                format!("The request does not name a valid host: {why}"),
            ),
        }
    }

    /// The body of a creation has no `config`.
    pub(super) fn no_config() -> Self {
        Self::bad_body("the member \"config\" is missing or null, but an object is expected")
    }

    /// `initial_state` is not one of Kafka Connect's states.
    pub(super) fn bad_initial_state(given: &str) -> Self {
        Self::bad_body(format!(
            "initial_state \"{given}\" is unknown; it may be RUNNING, PAUSED or STOPPED"
        ))
    }

    /// The name in the path or body is not `config.name`.
    pub(super) fn name_mismatch(in_config: &str, asked: &str) -> Self {
        let text = format!(
            "Connector name configuration ({in_config}) doesn't match connector name in the URL ({asked})"
        );
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// A config names no existing connector class.
    pub(super) fn unknown_class(
        unknown: ValidationError,
        config: &BTreeMap<String, Option<String>>,
        secrets: &SecretKeys,
    ) -> Self {
        let text = match unknown {
            ValidationError::NoClass => {
                let shown = |(k, v): (&String, &Option<String>)| {
                    format!(
                        "{k}={}",
                        in_short(&secrets.masked(k, v.as_deref().unwrap_or("null")))
                    )
                };
                let pairs: Vec<_> = config.iter().map(shown).collect();
                format!(
                    "Connector config {{{}}} contains no connector type",
                    pairs.join(", ")
                )
            }
            ValidationError::Class(class, available) => {
                let known = available.iter().map(|a| {
                    format!(
                        "PluginDesc{{class={}, type={}, version='{}'}}",
                        a.class, a.kind, a.version
                    )
                });
                format!(
                    "Failed to find any class that implements Connector and which name matches {class}, available \
                     connectors are: {}",
                    known.collect::<Vec<_>>().join(", ")
                )
            }
            ValidationError::TooLarge(why) => format!("The config is too large: {why}"),
            ValidationError::Busy => {
                return Self::busy(5, "Too many configs are being validated; try again later");
            }
        };
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// Lists all errors of a config.
    pub(super) fn invalid_config(infos: &ConfigInfos) -> Self {
        let errors: Vec<_> = infos.errors().collect();
        let text = format!(
            "Connector configuration is invalid and contains the following {} error(s):\n{}\nYou can also find the \
             above list of errors at the endpoint `/connector-plugins/{{connectorType}}/config/validate`",
            errors.len(),
            errors.join("\n")
        );
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// The class in a config to validate is not the one in the path.
    pub(super) fn type_mismatch(in_config: &str, in_path: &str) -> Self {
        let text =
            format!("Included connector type {in_config} does not match request type {in_path}");
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// The plug-in does not exist.
    pub(super) fn unknown_plugin(class: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Unknown plugin {class}."))
    }

    /// The requested version of a plug-in is invalid (KIP-891).
    pub(super) fn bad_version(asked: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!("Invalid version specification: {asked}"),
        )
    }

    /// The plug-in does not have the requested version.
    pub(super) fn other_version(text: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// Used topics are not recorded (KIP-558).
    pub(super) fn no_topic_tracking() -> Self {
        Self::new(StatusCode::FORBIDDEN, "Topic tracking is disabled.")
    }

    /// The list of used topics may not be reset.
    pub(super) fn no_topic_reset() -> Self {
        Self::new(StatusCode::FORBIDDEN, "Topic tracking reset is disabled.")
    }

    /// The maximum number of loggers with their own level is reached.
    pub(super) fn too_many_loggers(most: usize, longest: usize) -> Self {
        let text = format!(
            "At most {most} loggers have a level of their own, with names of up to {longest} bytes"
        );
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// The time of a level is too long.
    pub(super) fn bad_seconds(given: u64, most: u64) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!("seconds is {given}; it must be 1 to {most}"),
        )
    }

    /// The maximum number of connectors with their own level is reached.
    pub(super) fn too_many_connector_levels(most: usize) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!("At most {most} connectors have a log level of their own; wait until one ends"),
        )
    }

    /// The logger does not exist.
    pub(super) fn unknown_logger(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Logger {name} not found."))
    }

    /// A change of a log level has no level.
    pub(super) fn no_level() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "Desired 'level' parameter was not specified in request.",
        )
    }

    /// The log level does not exist.
    pub(super) fn unknown_level(level: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("invalid log level '{level}'."),
        )
    }

    /// A change of offsets has no offsets.
    pub(super) fn no_offsets() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "Partitions / offsets need to be provided for an alter offsets request",
        )
    }

    /// A change of offsets cannot be read.
    pub(super) fn bad_offset(fault: &OffsetFault) -> Self {
        Self::new(StatusCode::BAD_REQUEST, fault.to_string())
    }

    /// The connector has not used that topic, or has used several.
    pub(super) fn no_topic(name: &str, asked: Option<&str>, topics: &[String]) -> Self {
        let used = match topics {
            [] => "it has used none yet".to_owned(),
            topics => format!("it has used {}", topics.join(", ")),
        };
        match asked {
            Some(topic) => Self::new(
                StatusCode::NOT_FOUND,
                format!("Connector {name} has no topic {topic}; {used}"),
            ),
            None => Self::new(
                StatusCode::BAD_REQUEST,
                format!("The parameter topic has to name a topic of connector {name}; {used}"),
            ),
        }
    }

    /// The maximum number of records is invalid.
    pub(super) fn bad_limit(given: &str, most: usize) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!(
                "The parameter limit must be 1 to {most}, not \"{}\"",
                in_short(given)
            ),
        )
    }

    /// The number of the last line that a client has is not a number.
    pub(super) fn bad_after(given: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!(
                "The parameter after must be the `next` of an earlier answer, a number, not \"{}\"",
                in_short(given)
            ),
        )
    }

    /// The beginning of a page cannot be read.
    pub(super) fn bad_from(given: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!(
                "The parameter from is {}; it must be begin, last, end, time:MILLISECONDS, or the member next of an \
                 earlier answer",
                in_short(given)
            ),
        )
    }

    /// The offsets before which dead letters are to be deleted cannot be read.
    pub(super) fn bad_before(given: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!(
                "The parameter before is '{}'; it must be partitions and offsets, such as 0:15",
                in_short(given)
            ),
        )
    }

    /// The dead letter does not exist.
    pub(super) fn no_letter(name: &str, partition: &str, offset: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("Connector {name} has no dead letter {partition}:{offset}"),
        )
    }

    /// Something that Kafka or a database decides about: wrong settings are the caller's.
    pub(super) fn refused(error: &connector_api::Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Config | ErrorKind::Record => StatusCode::BAD_REQUEST,
            ErrorKind::Retry | ErrorKind::Denied | ErrorKind::Fenced | ErrorKind::Fatal => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, error.to_string())
    }

    /// A task refuses a request: it makes no sense, or the task does not accept it now.
    pub(super) fn refused_request(error: &connector_api::Error) -> Self {
        match error.kind() {
            ErrorKind::Retry => Self::new(StatusCode::CONFLICT, error.to_string()),
            _ => Self::refused(error),
        }
    }

    /// A key that bounds a range is none.
    pub(super) fn bad_key(what: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!(
                "'{what}' must be a number, a text, or a list of these, one for each column of the key"
            ),
        )
    }

    /// A table cannot be read again.
    pub(super) fn no_reread(name: &str, fault: RereadFault) -> Self {
        let text = match fault {
            RereadFault::NoSource => {
                let text = format!(
                    "Connector {name} is not a source: its offsets can be set back instead"
                );
                return Self::new(StatusCode::BAD_REQUEST, text);
            }
            RereadFault::Table {
                asked,
                names,
                is_ambiguous,
            } => {
                let asked = in_short(&asked);
                let what = if is_ambiguous {
                    format!("Several tables of connector {name} are called {asked}")
                } else {
                    format!("Connector {name} does not read a table {asked}")
                };
                let more = if names.len() > NAMES_MAX { ", …" } else { "" };
                let names: Vec<_> = names.into_iter().take(NAMES_MAX).collect();
                let listed = match names.len() {
                    0 => "none yet".to_owned(),
                    _ => names.join(", ") + more,
                };
                return Self::new(
                    StatusCode::BAD_REQUEST,
                    format!("{what}; its tables: {listed}"),
                );
            }
            RereadFault::NotStarted(target) => {
                format!("it is {}: resume it first", target.name().to_lowercase())
            }
            RereadFault::TaskState(task, state) => {
                format!("task {task} is {}: all tasks must run", state.name())
            }
            RereadFault::Elsewhere(task, worker) => format!(
                "task {task} does not run on this worker, or has just started: send the request to {worker}"
            ),
        };
        let text = format!("Connector {name} cannot read a table again now, because {text}");
        Self::new(StatusCode::CONFLICT, text)
    }

    /// The connector does not exist; for reads, deletion and offsets.
    pub(super) fn connector_not_found(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Connector {name} not found"))
    }

    /// The connector does not exist; for its status.
    pub(super) fn no_status(name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("No status found for connector {name}"),
        )
    }

    /// The task does not exist; for its status.
    pub(super) fn no_task_status(name: &str, task: i64) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("No status found for task {name}-{task}"),
        )
    }

    /// The task does not exist; for its restart.
    pub(super) fn unknown_task(name: &str, task: i64) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("Unknown task: {name}-{task}"),
        )
    }

    /// The connector does not exist; for pause, resume and stop.
    pub(super) fn cannot_change_state(refusal: HerderRefusal) -> Self {
        match refusal {
            HerderRefusal::UnknownConnector(name) => {
                Self::new(StatusCode::NOT_FOUND, format!("Unknown connector {name}"))
            }
            other => other.into(),
        }
    }

    /// The connector or task does not exist; for restarts.
    pub(super) fn cannot_restart(refusal: HerderRefusal) -> Self {
        match refusal {
            HerderRefusal::UnknownConnector(name) => {
                Self::new(StatusCode::NOT_FOUND, format!("Unknown connector: {name}"))
            }
            other => other.into(),
        }
    }

    /// There was no answer in time.
    pub(super) fn timed_out(seconds: u64) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("Request timed out. The worker did not answer within {seconds} seconds"),
        )
    }

    /// A handler failed; the log has the details.
    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The request failed because of a bug in this program; its log has the details",
        )
    }
}

impl From<HerderRefusal> for ApiError {
    fn from(refusal: HerderRefusal) -> Self {
        match refusal {
            HerderRefusal::UnknownConnector(name) => Self::connector_not_found(&name),
            HerderRefusal::UnknownTask(name, task) => Self::unknown_task(&name, task.into()),
            HerderRefusal::AlreadyExists(name) => Self::new(
                StatusCode::CONFLICT,
                format!("Connector {name} already exists"),
            ),
            HerderRefusal::NotStopped(name) => Self::new(
                StatusCode::BAD_REQUEST,
                format!(
                    "Connectors must be in the STOPPED state before their offsets can be modified. This can be done \
                     for the specified connector by issuing a 'PUT' request to the '/connectors/{name}/stop' endpoint"
                ),
            ),
            HerderRefusal::StartFailed(name, why) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("Failed to start connector: {name}: {why}"),
            ),
            HerderRefusal::BadOffsets(why) => Self::new(StatusCode::BAD_REQUEST, why),
            HerderRefusal::Unavailable(why) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, why),
            HerderRefusal::StoreFails {
                why,
                full,
                retry_after,
            } => {
                let status = if full {
                    StatusCode::INSUFFICIENT_STORAGE
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                Self {
                    retry_after: retry_after.map(|after| after.as_secs()),
                    ..Self::new(status, why)
                }
            }
            HerderRefusal::ConfigChanged(name) => {
                let text = format!(
                    "The config of {name} was changed by another request in the meantime; read it \
                     again"
                );
                Self::new(StatusCode::CONFLICT, text)
            }
            HerderRefusal::UnknownWorker(worker) => {
                let text = format!(
                    "Worker {} not found; GET /v1/workers lists them",
                    in_short(&worker)
                );
                Self::new(StatusCode::NOT_FOUND, text)
            }
            HerderRefusal::CannotDrain(why) => Self::new(StatusCode::CONFLICT, why),
            HerderRefusal::ShuttingDown => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The worker is shutting down; try again later",
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error_code: self.status.as_u16(),
            message: self.message,
        };
        let mut answer = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            answer
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

/// Shortens a value for a message.
fn in_short(value: &str) -> String {
    const ROOM: usize = 200;
    match value.char_indices().nth(ROOM) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// Why a table cannot be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RereadFault {
    NoSource,
    /// Paused or stopped.
    NotStarted(TargetState),
    /// A task does not run: its number and state.
    TaskState(u32, RunState),
    /// A task runs on another worker.
    Elsewhere(u32, String),
    /// No table has the name, or several have.
    Table {
        asked: String,
        names: Vec<String>,
        is_ambiguous: bool,
    },
}

/// How many tables an error lists.
const NAMES_MAX: usize = 10;

/// Why a change of offsets cannot be read; the texts are Kafka Connect's if it has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OffsetFault {
    NoPartition,
    EmptyPartition,
    SinkKeys,
    Topic,
    PartitionNull,
    Partition(String),
    OffsetKey,
    Offset(String),
    NotPrimitive { field: String, kind: &'static str },
    Negative { what: &'static str, value: i64 },
}

impl fmt::Display for OffsetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPartition => f.write_str("The partition for a sink connector offset cannot be null or missing"),
            Self::EmptyPartition => f.write_str(
                "The partition of a source connector offset cannot be null, missing or empty; GET \
                 of the offsets shows the existing partitions",
            ),
            Self::SinkKeys => f.write_str(
                "The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'",
            ),
            Self::Topic => f.write_str("Kafka topic names must be valid strings and may not be null"),
            Self::PartitionNull => f.write_str("Kafka partitions must be valid numbers and may not be null"),
            Self::Partition(given) => write!(
                f,
                "Failed to parse the following Kafka partition value in the provided offsets: '{given}'. Partition \
                 values for sink connectors need to be integers."
            ),
            Self::OffsetKey => {
                f.write_str("The offset for a sink connector should either be null or contain the key 'kafka_offset'")
            }
            Self::Offset(given) => write!(
                f,
                "Failed to parse the following Kafka offset value in the provided offsets: '{given}'. Offset values \
                 for sink connectors need to be integers."
            ),
            Self::NotPrimitive { field, kind } => {
                write!(f, "Offsets may only contain primitive types as values, but field {field} contains {kind}")
            }
            Self::Negative { what, value } => write!(f,
                "The {what} {value} in the provided offsets is negative"),
        }
    }
}
