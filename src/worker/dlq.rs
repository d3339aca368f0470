//! The dead-letter topic of a sink: records that could not be processed, unchanged, with headers
//! that give the reason (KIP-298).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use connector_api::locks::TakeLock;
use connector_api::{Config, Error, ErrorKind, Result, fail_point};

use super::codec::RawHeaders;
use super::policy::{ErrorStage, exception_class, number};
use super::{TaskId, WorkerShared, client_settings};
use crate::kafka::ClientSettings;
use crate::kafka::admin::{KafkaAdmin, TopicSpec};
use crate::kafka::consumer::IncomingRecord;
use crate::kafka::producer::{OutgoingRecord, Producer};
use crate::metrics::{ClientPurpose, TaskMetrics};
use crate::secrets::Redactor;

/// How long the broker may take to store dead letters before the batch is retried; databases end a
/// transaction that stays idle for longer.
const STORED_WITHIN: Duration = Duration::from_secs(25);

/// A record as read, kept while it may still be rejected.
#[derive(Debug)]
pub(super) struct RawRecord {
    topic: Arc<str>,
    partition: i32,
    offset: i64,
    timestamp_ms: Option<i64>,
    key: Option<Box<[u8]>>,
    value: Option<Box<[u8]>>,
    headers: RawHeaders,
}

impl RawRecord {
    /// Copies a record.
    pub(super) fn of(incoming: &IncomingRecord<'_>, topic: Arc<str>) -> Self {
        Self {
            topic,
            partition: incoming.partition(),
            offset: incoming.offset(),
            timestamp_ms: incoming.timestamp_ms(),
            key: incoming.key().map(Box::from),
            value: incoming.value().map(Box::from),
            headers: incoming
                .headers()
                .map(|(name, value)| (name.into(), value.map(<[u8]>::to_vec)))
                .collect(),
        }
    }
}

/// Key that names the dead-letter topic.
pub(super) const TOPIC: &str = "errors.deadletterqueue.topic.name";

/// Writes to the dead-letter topic.
pub(super) struct DeadLetters {
    settings: ClientSettings,
    producer: Mutex<Arc<Producer>>,
    topic: String,
    explain: bool,
    id: TaskId,
    redactor: Redactor,
    metrics: Arc<TaskMetrics>,
    sent: Mutex<UnconfirmedRecords>,
}

/// Origins of the records not known to be stored, by the number that the producer knows them by.
#[derive(Default)]
struct UnconfirmedRecords {
    last: usize,
    places: BTreeMap<usize, (Arc<str>, i32, i64)>,
}

impl DeadLetters {
    /// Opens the producer and creates the topic, if the connector has a dead-letter topic. Blocks.
    pub(super) fn open(
        shared: &WorkerShared,
        id: &TaskId,
        config: &Config,
        redactor: Redactor,
        metrics: Arc<TaskMetrics>,
    ) -> Result<Option<Self>> {
        let Some((wanted, explain)) = read_topic(config)? else {
            return Ok(None);
        };
        fail_point::reach("dead-letters.open")?;
        let options = &shared.options;
        let settings = client_settings::dlq_producer(options, id, config)?;
        let client = metrics.client(ClientPurpose::DeadLetters);
        let producer = Producer::open(&settings, None, Some(client))?;
        if producer.partitions(&wanted.topic)?.is_none() {
            let of_admin = client_settings::admin(options, Some(config))?;
            let admin = KafkaAdmin::open(
                &of_admin,
                options.dev_broker.clone(),
                shared.runtime.clone(),
            )?;
            admin
                .create(&wanted)
                .and_then(|()| producer.await_topic(&wanted.topic))
                .map_err(|error| refused_topic(error).context(TOPIC))?;
        }
        let producer = Mutex::new(Arc::new(producer));
        Ok(Some(Self {
            settings,
            producer,
            topic: wanted.topic,
            explain,
            id: id.clone(),
            redactor,
            metrics,
            sent: Mutex::default(),
        }))
    }

    /// Sends a record; it is durable after [`DeadLetters::flush`]. Blocks while the producer's
    /// queue is full.
    pub(super) fn send(
        &self,
        raw: &RawRecord,
        stage: ErrorStage,
        class: &str,
        error: &Error,
    ) -> Result<()> {
        let mut headers = raw.headers.clone();
        if self.explain {
            let at = Some((raw.partition, raw.offset));
            let failure = LetterFailure {
                stage,
                class,
                error,
            };
            headers.extend(explanation(
                &self.id,
                &raw.topic,
                at,
                failure,
                &self.redactor,
            ));
        }
        let number = self.number(raw);
        let record = OutgoingRecord {
            topic: &self.topic,
            partition: None,
            key: raw.key.as_deref(),
            value: raw.value.as_deref(),
            timestamp_ms: raw.timestamp_ms,
            headers: &headers,
            number,
        };
        let (producer, began) = (self.producer(), Instant::now());
        let sent = producer.send(record, || began.elapsed() < STORED_WITHIN);
        self.metrics.dead_letter(sent.is_ok());
        sent.map_err(|e| self.not_stored(&producer, number, e))
    }

    fn sent(&self) -> MutexGuard<'_, UnconfirmedRecords> {
        self.sent.take_lock()
    }

    /// Assigns a number to a record that is about to be sent.
    fn number(&self, raw: &RawRecord) -> usize {
        let mut sent = self.sent();
        sent.last += 1;
        let number = sent.last;
        sent.places
            .insert(number, (Arc::clone(&raw.topic), raw.partition, raw.offset));
        number
    }

    fn producer(&self) -> Arc<Producer> {
        Arc::clone(&self.producer.take_lock())
    }

    /// Waits until everything sent is durable. Blocks.
    pub(super) fn flush(&self) -> Result<()> {
        fail_point::reach("dead-letters.flush")?;
        let (producer, last) = (self.producer(), self.sent().last);
        producer
            .flush(STORED_WITHIN, || true)
            .map_err(|e| self.not_stored(&producer, 0, e))?;
        // Later numbers belong to the other thread, which flushes its own records.
        let mut sent = self.sent();
        sent.places = sent.places.split_off(&(last + 1));
        Ok(())
    }

    /// Replaces a failed producer, which may never recover; what it has in flight is sent again
    /// with its batch. Returns the error with the record it belongs to: `number` is the record at
    /// hand, used if the producer names no earlier one.
    fn not_stored(&self, failed: &Arc<Producer>, number: usize, error: Error) -> Error {
        let number = Some(failed.failed_record())
            .filter(|number| *number > 0)
            .unwrap_or(number);
        let record = match self.sent().places.get(&number) {
            Some((topic, partition, offset)) => {
                format!(" with the record of topic {topic}, partition {partition}, offset {offset}")
            }
            None => String::new(),
        };
        let mut producer = self.producer.take_lock();
        if Arc::ptr_eq(&producer, failed) {
            self.sent().places.clear();
            let client = self.metrics.client(ClientPurpose::DeadLetters);
            match Producer::open(&self.settings, None, Some(client)) {
                Ok(new) => *producer = Arc::new(new),
                Err(error) => tracing::warn!(%error, "no new producer of dead letters"),
            }
        }
        error.context(format_args!(
            "the dead-letter topic {} cannot be written{record}; the offset does not advance until \
             the record is in it",
            self.topic
        ))
    }
}

/// Reads the connector's dead-letter topic, if any, and whether its records carry headers with the
/// reason. Errors: `Config`.
pub(super) fn read_topic(config: &Config) -> Result<Option<(TopicSpec, bool)>> {
    let Some(topic) = config
        .get(TOPIC)
        .map(str::trim)
        .filter(|topic| !topic.is_empty())
    else {
        return Ok(None);
    };
    let replication = number(config, "errors.deadletterqueue.topic.replication.factor")?;
    let wanted = TopicSpec {
        topic: topic.to_owned(),
        partitions: 1,
        replication_factor: replication
            .and_then(|n| i32::try_from(n).ok())
            .unwrap_or(-1),
        config: Vec::new(),
    };
    let explain = config.get("errors.deadletterqueue.context.headers.enable");
    Ok(Some((
        wanted,
        explain.is_some_and(|v| v.trim().eq_ignore_ascii_case("true")),
    )))
}

/// Appends to the error of a topic that the broker refuses to create the key that decides about it.
#[cold]
pub(super) fn refused_topic(error: Error) -> Error {
    if error.kind() == ErrorKind::Config {
        error.and_line(
            "Its replication factor is the key errors.deadletterqueue.topic.replication.factor.",
        )
    } else {
        error
    }
}

/// What made a record a dead letter.
#[derive(Clone, Copy)]
pub(super) struct LetterFailure<'a> {
    pub stage: ErrorStage,
    /// The class that failed.
    pub class: &'a str,
    pub error: &'a Error,
}

/// Beginning of the names of headers with the reason.
pub(super) const REASON: &str = "__connect.errors.";

/// Returns the headers of `DeadLetterQueueReporter`, in the same order. `at` is the partition and
/// offset that the record was read from; that of a source has none.
pub(super) fn explanation(
    id: &TaskId,
    topic: &str,
    at: Option<(i32, i64)>,
    failure: LetterFailure<'_>,
    redactor: &Redactor,
) -> RawHeaders {
    let LetterFailure {
        stage,
        class,
        error,
    } = failure;
    let message = error.shown_message(|text| redactor.hide(text).into_owned());
    let exception = exception_class(error, Some(stage));
    let text =
        |name: &str, value: String| (format!("{REASON}{name}").into(), Some(value.into_bytes()));
    let mut headers = vec![text("topic", topic.to_owned())];
    if let Some((partition, offset)) = at {
        headers.push(text("partition", partition.to_string()));
        headers.push(text("offset", offset.to_string()));
    }
    headers.extend([
        text("connector.name", id.connector.to_string()),
        text("task.id", id.task.to_string()),
        text("stage", stage.name().to_owned()),
        text("class.name", class.to_owned()),
        text("exception.class.name", exception.to_owned()),
        text("exception.message", message.clone()),
        text("exception.stacktrace", format!("{exception}: {message}")),
    ]);
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_explain_as_kafka_connects_do() {
        let id = TaskId {
            connector: "c".into(),
            task: 1,
        };
        let failure = LetterFailure {
            stage: ErrorStage::ValueConverter,
            class: "C",
            error: &Error::record("bad"),
        };
        let headers = explanation(&id, "t", Some((3, 42)), failure, &Redactor::default());
        let shown: Vec<_> = headers
            .iter()
            .map(|(k, v)| format!("{k}={}", String::from_utf8_lossy(v.as_deref().unwrap())))
            .collect();
        assert_eq!(
            shown[..9],
            [
                "__connect.errors.topic=t",
                "__connect.errors.partition=3",
                "__connect.errors.offset=42",
                "__connect.errors.connector.name=c",
                "__connect.errors.task.id=1",
                "__connect.errors.stage=VALUE_CONVERTER",
                "__connect.errors.class.name=C",
                "__connect.errors.exception.class.name=org.apache.kafka.connect.errors.DataException",
                "__connect.errors.exception.message=bad",
            ]
        );
    }
}
