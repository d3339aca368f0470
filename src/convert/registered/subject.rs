//! Confluent's subject name strategies: the subject that a schema is registered under.

use connector_api::{Error, Result};

/// A strategy, named like Confluent's classes in `io.confluent.kafka.serializers.subject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubjectStrategy {
    Topic,
    Record,
    TopicRecord,
}

const PACKAGE: &str = "io.confluent.kafka.serializers.subject.";

impl SubjectStrategy {
    /// Finds a strategy by its full or simple class name.
    pub(super) fn named(class: &str) -> Option<Self> {
        match class.strip_prefix(PACKAGE).unwrap_or(class) {
            "TopicNameStrategy" => Some(Self::Topic),
            "RecordNameStrategy" => Some(Self::Record),
            "TopicRecordNameStrategy" => Some(Self::TopicRecord),
            _ => None,
        }
    }

    /// Returns the subject.
    /// Errors: `Record` if it requires a record name that the schema does not have.
    pub(super) fn subject(self, topic: &str, role: &str, record: Option<&str>) -> Result<String> {
        match (self, record) {
            (Self::Topic, _) => Ok(format!("{topic}-{role}")),
            (Self::Record, Some(record)) => Ok(record.to_owned()),
            (Self::TopicRecord, Some(record)) => Ok(format!("{topic}-{record}")),
            (Self::Record | Self::TopicRecord, None) => Err(Error::record(format!(
                "{role}.subject.name.strategy uses the name of a record, but this schema is not a \
                 record; use TopicNameStrategy"
            ))),
        }
    }
}

/// Checks a class name, for the key table.
pub(super) fn check(class: &str) -> std::result::Result<(), String> {
    match SubjectStrategy::named(class) {
        Some(_) => Ok(()),
        None => Err(
            "Must be TopicNameStrategy, RecordNameStrategy or TopicRecordNameStrategy".to_owned(),
        ),
    }
}
