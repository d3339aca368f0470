//! What librdkafka says by itself, on its way into our log: lost connections come and go, and it calls them errors.

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

/// For clients that answer a question: what goes wrong comes back with the call.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: Level, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }
}

impl ConsumerContext for Quiet {}

/// One line of librdkafka's own log.
pub(super) fn log(level: Level, facility: &str, message: &str) {
    match level {
        Level::Emerg | Level::Alert | Level::Critical => {
            tracing::error!(target: "librdkafka", "{facility}: {message}");
        }
        Level::Error | Level::Warning => tracing::warn!(target: "librdkafka", "{facility}: {message}"),
        Level::Notice | Level::Info => tracing::info!(target: "librdkafka", "{facility}: {message}"),
        Level::Debug => tracing::debug!(target: "librdkafka", "{facility}: {message}"),
    }
}
