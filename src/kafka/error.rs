//! Converts librdkafka errors to [`Error`] with the matching [`ErrorKind`].

use connector_api::{Error, ErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Converts the error of a call. `what` says what was tried and where, such as `creating topic t at
/// localhost:9092`.
pub(super) fn of(what: impl std::fmt::Display, error: KafkaError) -> Error {
    let (kind, reason) = match &error {
        KafkaError::Transaction(cause) => (kind(cause.code()), cause.string()),
        KafkaError::ClientConfig(_, reason, key, _) => {
            (ErrorKind::Config, format!("{reason} (setting {key})"))
        }
        KafkaError::ClientCreation(reason) | KafkaError::AdminOpCreation(reason) => {
            (ErrorKind::Config, reason.clone())
        }
        KafkaError::AdminOp(code) => (kind(*code), code.to_string()),
        other => match other.rdkafka_error_code() {
            Some(code) => (kind(code), code.to_string()),
            None => (ErrorKind::Fatal, other.to_string()),
        },
    };
    let advice = match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge) => {
            "; raise producer.override.max.request.size, and max.message.bytes of the topic or broker"
        }
        _ => advice(kind),
    };
    Error::new(kind, format!("{what}: {reason}{advice}")).caused_by(error)
}

/// Like [`of`], for a bare code, as topic results carry it.
pub(super) fn of_code(what: impl std::fmt::Display, code: Code) -> Error {
    let kind = kind(code);
    Error::new(kind, format!("{what}: {code}{}", advice(kind)))
}

/// Returns the error for a broker that has refused this client, with the reason that librdkafka
/// gives.
pub(super) fn refused(what: impl std::fmt::Display, reason: &str) -> Error {
    Error::new(
        ErrorKind::Denied,
        format!("{what}: {reason}{}", advice(ErrorKind::Denied)),
    )
}

fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Retry => {
            "; check that bootstrap.servers names a Kafka broker that runs and can be reached from here"
        }
        ErrorKind::Denied => {
            "; check the security.protocol, sasl.* and ssl.* settings and the ACLs of this user"
        }
        _ => "",
    }
}

/// Returns the kind of an error code.
pub(super) fn kind(code: Code) -> ErrorKind {
    match code {
        Code::Authentication
        | Code::SSL
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => ErrorKind::Denied,
        Code::Fenced
        | Code::ProducerFenced
        | Code::InvalidProducerEpoch
        | Code::FencedInstanceId => ErrorKind::Fenced,
        Code::MessageSizeTooLarge
        | Code::InvalidMessageSize
        | Code::InvalidMessage
        | Code::InvalidRecord => ErrorKind::Record,
        Code::InvalidTopic
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidConfig
        | Code::PolicyViolation
        | Code::InvalidTransactionTimeout
        | Code::InvalidSessionTimeout
        | Code::InvalidGroupId
        | Code::InconsistentGroupProtocol
        | Code::UnsupportedCompressionType
        | Code::UnsupportedFeature
        | Code::UnsupportedVersion => ErrorKind::Config,
        Code::AutoOffsetReset
        | Code::OffsetOutOfRange
        | Code::InvalidArgument
        | Code::NotImplemented
        | Code::BadMessage
        | Code::BadCompression => ErrorKind::Fatal,
        _ => ErrorKind::Retry,
    }
}
