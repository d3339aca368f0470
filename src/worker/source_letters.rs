//! Dead letters of a source: records that its transforms or converters refuse. Kafka Connect has
//! none; it skips such records.
//!
//! A letter is part of the chunk of its record, so that it is written in the transaction of the
//! records around it and of their position. Its key and value are those before the transforms, as
//! JSON with a schema: that is what a replay needs.

use std::sync::Arc;

use connector_api::{Config, Record, Result};

use super::TaskId;
use super::codec::{EncodedBatch, EncodedParts};
use super::dlq::{LetterFailure, explanation, read_topic};
use super::trial::JsonForms;
use crate::registry::Registry;
use crate::secrets::Redactor;

/// Writes the letters of one source task.
pub(super) struct SourceLetters {
    topic: Arc<str>,
    id: TaskId,
    redactor: Redactor,
    forms: JsonForms,
}

impl SourceLetters {
    /// Returns `None` if the connector has no dead-letter topic. Errors: `Config`.
    pub(super) fn open(
        registry: &Registry,
        id: &TaskId,
        config: &Config,
        redactor: Redactor,
    ) -> Result<Option<Self>> {
        let Some((wanted, _explain)) = read_topic(config)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            topic: wanted.topic.into(),
            id: id.clone(),
            redactor,
            forms: JsonForms::new(registry)?,
        }))
    }

    /// Appends a letter to `chunk`. It always has headers with the reason: without its topic, a
    /// record could not be replayed. What JSON cannot hold either is left out, and logged.
    pub(super) fn add(
        &mut self,
        record: &Record,
        failure: LetterFailure<'_>,
        chunk: &mut EncodedBatch,
    ) {
        let mut part = |what: &str, datum| match self.forms.write(datum) {
            Ok(json) => json.map(|json| String::from(Box::<str>::from(json)).into_bytes()),
            Err(error) => {
                tracing::warn!(connector = %self.id.connector, task = self.id.task, %error,
                    "a dead letter has no {what}");
                None
            }
        };
        let (key, value) = (part("key", &record.key), part("value", &record.value));
        let headers = explanation(&self.id, &record.topic, None, failure, &self.redactor);
        chunk.push(EncodedParts {
            topic: Arc::clone(&self.topic),
            timestamp_ms: record.timestamp_ms,
            key: key.as_deref(),
            value: value.as_deref(),
            headers,
        });
    }
}
