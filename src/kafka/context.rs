//! What librdkafka says by itself, on its way into our log: lost connections come and go, and it calls them errors.

use std::sync::{Mutex, PoisonError};

use connector_api::ErrorKind;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

use super::error;

/// For clients that answer a question: what goes wrong comes back with the call, but for why a broker refuses us, which
/// librdkafka tells apart from the call.
#[derive(Default)]
pub(super) struct QuietContext {
    refused: Mutex<Option<String>>,
}

impl QuietContext {
    /// Why a broker has refused this client (credentials, certificates). Known only after its events were served.
    pub(super) fn refused(&self) -> Option<String> {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A broker has answered after all.
    pub(super) fn clear_refusal(&self) {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
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
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for QuietContext {}

impl ProducerContext for QuietContext {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// One line of librdkafka's own log.
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
