//! One consumer for all cases: it follows every topic of a case, and the last value of each key in the offsets topic.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use testkit::Topics;

/// How often new topics are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What topics hold so far, by topic and partition.
type Records = BTreeMap<String, BTreeMap<i32, Vec<Value>>>;

#[derive(Default)]
struct Found {
    records: Records,
    /// The offsets topic: last value of each key.
    offsets: BTreeMap<String, Value>,
}

/// Reads the topics of a case while it runs.
pub(super) struct Watch {
    found: Arc<Mutex<Found>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch topics of cases, and the given topic of offsets.
    pub(super) fn start(topics: &Topics, offsets: &'static str) -> Self {
        let mut config = topics.client();
        config
            .set("group.id", "source-cases-watch")
            .set("enable.auto.commit", "false");
        config
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "50");
        config.set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().expect("consumer");
        let (found, ended) = (
            Arc::new(Mutex::new(Found::default())),
            Arc::new(AtomicBool::new(false)),
        );
        let (shared, end) = (Arc::clone(&found), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            let mut look = Instant::now();
            while !end.load(Ordering::Relaxed) {
                if Instant::now() >= look {
                    look_for_topics(&consumer, offsets, &shared);
                    look = Instant::now() + LOOK_EVERY;
                }
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) {
                    take(&message, offsets, &shared);
                }
            }
        });
        Self {
            found,
            ended,
            thread: Some(thread),
        }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().expect("lock of the watch")
    }

    /// The records of the topics whose name begins so.
    pub(super) fn records(&self, run: &str) -> Records {
        let found = self.found();
        let topics = found
            .records
            .iter()
            .filter(|(topic, _)| topic.starts_with(run));
        topics
            .map(|(topic, partitions)| (topic.clone(), partitions.clone()))
            .collect()
    }

    /// How many they are.
    pub(super) fn count(&self, run: &str) -> usize {
        let found = self.found();
        let topics = found
            .records
            .iter()
            .filter(|(topic, _)| topic.starts_with(run));
        topics
            .flat_map(|(_, partitions)| partitions.values())
            .map(Vec::len)
            .sum()
    }

    /// The connector's entries in the offsets topic: key and last value, in the order of the keys.
    pub(super) fn offsets(&self, connector: &str) -> Vec<Value> {
        let start = format!("[\"{connector}\",");
        let found = self.found();
        let own = found
            .offsets
            .iter()
            .filter(|(key, _)| key.starts_with(&start));
        own.map(|(key, value)| json!({"key": key, "value": value}))
            .collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

fn look_for_topics(consumer: &BaseConsumer, offsets: &str, found: &Mutex<Found>) {
    let Ok(metadata) = consumer.fetch_metadata(None, Duration::from_secs(20)) else {
        return;
    };
    let mut new = TopicPartitionList::new();
    let mut found = found.lock().expect("lock of the watch");
    for topic in metadata
        .topics()
        .iter()
        .filter(|topic| topic.name().starts_with("sc") || topic.name() == offsets)
    {
        if !topic.partitions().is_empty() && !found.records.contains_key(topic.name()) {
            let numbers = topic.partitions().iter().map(|partition| partition.id());
            found.records.insert(
                topic.name().to_owned(),
                numbers.map(|number| (number, Vec::new())).collect(),
            );
            for partition in topic.partitions() {
                new.add_partition_offset(topic.name(), partition.id(), Offset::Beginning)
                    .expect("an offset");
            }
        }
    }
    if new.count() > 0 {
        consumer.incremental_assign(&new).expect("assign");
    }
}

fn take(message: &impl Message, offsets: &str, found: &Mutex<Found>) {
    let mut found = found.lock().expect("lock of the watch");
    let (key, value) = (text(message.key()), text(message.payload()));
    if message.topic() == offsets {
        let key = key.as_str().expect("a key of text").to_owned();
        found.offsets.insert(key, value);
        return;
    }
    let mut record = json!({"key": key, "value": value});
    if let Some(headers) = message.headers().filter(|headers| headers.count() > 0) {
        record["headers"] = headers
            .iter()
            .map(|header| json!([header.key, text(header.value)]))
            .collect();
    }
    let partitions = found
        .records
        .get_mut(message.topic())
        .expect("a topic that is watched");
    if partitions.len() > 1 {
        record["partition"] = message.partition().into();
    }
    partitions
        .entry(message.partition())
        .or_default()
        .push(record);
}

/// Bytes as text, or `{"base64": …}` where they are no UTF-8.
fn text(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else {
        return Value::Null;
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({"base64": base64::engine::general_purpose::STANDARD.encode(bytes)}),
    }
}
