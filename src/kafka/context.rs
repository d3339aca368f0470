//! Forwards librdkafka's own messages to the log. It reports connections that are lost and restored
//! as errors.

use std::sync::Mutex;

use connector_api::ErrorKind;
use connector_api::locks::TakeLock;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

use super::error;

/// Context of clients that make requests. Errors are returned by the call, except for the reason
/// why a broker refuses the client, which librdkafka reports separately.
#[derive(Default)]
pub(super) struct QuietContext {
    refused: Mutex<Option<String>>,
}

impl QuietContext {
    /// Returns why a broker has refused this client (credentials, certificates). Known only after
    /// its events were served.
    pub(super) fn refused(&self) -> Option<String> {
        self.refused.take_lock().clone()
    }

    /// Forgets the refusal, because a broker has answered after all.
    pub(super) fn clear_refusal(&self) {
        self.refused.take_lock().take();
    }
}

impl ClientContext for QuietContext {
    fn log(&self, level: Level, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        if error
            .rdkafka_error_code()
            .is_some_and(|code| error::kind(code) == ErrorKind::Denied)
        {
            *self.refused.take_lock() = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for QuietContext {}

impl ProducerContext for QuietContext {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// Logs one line of librdkafka's own log.
pub(super) fn log(level: Level, facility: &str, message: &str) {
    match level {
        Level::Emerg | Level::Alert | Level::Critical => {
            tracing::error!(target: "librdkafka", "{facility}: {message}");
        }
        Level::Error | Level::Warning => {
            tracing::warn!(target: "librdkafka", "{facility}: {message}");
        }
        Level::Notice | Level::Info => {
            tracing::info!(target: "librdkafka", "{facility}: {message}");
        }
        Level::Debug => tracing::debug!(target: "librdkafka", "{facility}: {message}"),
    }
}
