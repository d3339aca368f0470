//! What clients see when something is refused: the only home of client-visible texts and their status.
//!
//! Texts that tools match on are Kafka Connect's; `{"error_code","message"}` is the body of every one.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::herder::Refusal;
use crate::model::ErrorBody;

/// An answer from 400 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    message: String,
}

/// What a handler returns.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// A plain HTTP refusal, such as `HTTP 404 Not Found`.
    pub fn http(status: StatusCode) -> Self {
        let reason = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
            other => other.canonical_reason().unwrap_or_default(),
        };
        Self::new(status, format!("HTTP {} {reason}", status.as_u16()))
    }

    /// The body is not what is asked for; `why` says what and where.
    pub fn bad_body(why: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("The request body cannot be read: {why}"))
    }

    /// There is no body.
    pub fn no_body() -> Self {
        Self::bad_body("it is empty, a JSON object is expected")
    }

    /// `config` is missing in the body of a creation.
    pub fn no_config() -> Self {
        Self::bad_body("the member \"config\" is missing or null, an object is expected")
    }

    /// `initial_state` is none of Kafka Connect's.
    pub fn bad_initial_state(given: &str) -> Self {
        Self::bad_body(format!("initial_state \"{given}\" is unknown; it may be RUNNING, PAUSED or STOPPED"))
    }

    /// The name in the path or body is not `config.name`.
    pub fn name_mismatch(in_config: &str, asked: &str) -> Self {
        let text =
            format!("Connector name configuration ({in_config}) doesn't match connector name in the URL ({asked})");
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// No such connector, for reads, deletion and offsets.
    pub fn connector_not_found(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Connector {name} not found"))
    }

    /// No such connector, for its status.
    pub fn no_status(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("No status found for connector {name}"))
    }

    /// No such task, for its status.
    pub fn no_task_status(name: &str, task: i64) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("No status found for task {name}-{task}"))
    }

    /// No such task, for its restart.
    pub fn unknown_task(name: &str, task: i64) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Unknown task: {name}-{task}"))
    }

    /// No such connector, for pause, resume and stop.
    pub fn cannot_change_state(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownConnector(name) => Self::new(StatusCode::NOT_FOUND, format!("Unknown connector {name}")),
            other => other.into(),
        }
    }

    /// No such connector or task, for restarts.
    pub fn cannot_restart(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownConnector(name) => Self::new(StatusCode::NOT_FOUND, format!("Unknown connector: {name}")),
            other => other.into(),
        }
    }

    /// No answer came in time.
    pub fn timed_out(seconds: u64) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("Request timed out. The worker did not answer within {seconds} seconds"),
        )
    }

    /// A handler broke; the log holds the details.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The request failed by a fault of this program; its log has the details",
        )
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownConnector(name) => Self::connector_not_found(&name),
            Refusal::UnknownTask(name, task) => Self::unknown_task(&name, task.into()),
            Refusal::AlreadyExists(name) => Self::new(StatusCode::CONFLICT, format!("Connector {name} already exists")),
            Refusal::NotStopped(name) => Self::new(
                StatusCode::BAD_REQUEST,
                format!(
                    "Connectors must be in the STOPPED state before their offsets can be modified. This can be done \
                     for the specified connector by issuing a 'PUT' request to the '/connectors/{name}/stop' endpoint"
                ),
            ),
            Refusal::StartFailed(name, why) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("Failed to start connector: {name}: {why}"))
            }
            Refusal::Unavailable(why) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, why),
            Refusal::ShuttingDown => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "The worker is shutting down; ask again later")
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody { error_code: self.status.as_u16(), message: self.message };
        (self.status, Json(body)).into_response()
    }
}
