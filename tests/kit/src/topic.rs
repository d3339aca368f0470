//! Producing to and reading from topics with librdkafka, and making them.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(30);

/// One record as it is in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Key, if any.
    pub key: Option<Vec<u8>>,
    /// Value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Timestamp in milliseconds.
    pub timestamp: Option<i64>,
    /// Headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Entry {
    /// The value as JSON; `Null` for a tombstone.
    pub fn json(&self) -> serde_json::Value {
        let Some(value) = &self.value else {
            return serde_json::Value::Null;
        };
        serde_json::from_slice(value).expect("a value of JSON")
    }

    /// The value as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.value.as_deref().unwrap_or_default()).expect("a value of text")
    }

    /// The key as text.
    pub fn key_text(&self) -> &str {
        std::str::from_utf8(self.key.as_deref().unwrap_or_default()).expect("a key of text")
    }
}

/// A client of one broker's topics.
pub struct Topics {
    brokers: String,
}

impl Topics {
    /// Of the broker at `host:port`.
    pub fn new(brokers: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
        }
    }

    /// Settings of a client.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("log_level", "2");
        config
    }

    /// Whether the broker answers a metadata request.
    pub(crate) fn broker_answers(&self) -> bool {
        let client: BaseProducer = self.client().create().expect("producer");
        let answer = client.client().fetch_metadata(None, Duration::from_secs(2));
        answer.is_ok_and(|metadata| !metadata.brokers().is_empty())
    }

    /// The names of all consumer groups.
    pub fn groups(&self) -> Vec<String> {
        let client: BaseProducer = self.client().create().expect("producer");
        let groups = client
            .client()
            .fetch_group_list(None, Duration::from_secs(20))
            .expect("the groups");
        groups
            .groups()
            .iter()
            .map(|group| group.name().to_owned())
            .collect()
    }

    /// How many members a consumer group has.
    pub fn members(&self, group: &str) -> usize {
        let client: BaseProducer = self.client().create().expect("producer");
        let groups = client
            .client()
            .fetch_group_list(Some(group), Duration::from_secs(20))
            .expect("the group");
        let members = groups.groups().iter().map(|group| group.members().len());
        members.sum()
    }

    /// Makes a topic.
    pub async fn create(&self, topic: &str, partitions: i32) {
        self.create_with(topic, partitions, &[]).await;
    }

    /// Makes a topic with settings of its own, with as many copies as the brokers make by default.
    pub async fn create_with(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> =
            self.client().create().expect("admin client");
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        let new = settings
            .iter()
            .fold(new, |new, (key, value)| new.set(key, value));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let made = admin
            .create_topics([&new], &options)
            .await
            .expect("create a topic");
        made.into_iter()
            .for_each(|result| drop(result.expect("create a topic")));
    }

    /// Whether there is a topic of that name. Asking makes none.
    pub fn exists(&self, topic: &str) -> bool {
        let client: BaseProducer = self.client().create().expect("producer");
        let all = client
            .client()
            .fetch_metadata(None, Duration::from_secs(20))
            .expect("metadata");
        all.topics().iter().any(|known| known.name() == topic)
    }

    /// Deletes a topic that exists.
    pub async fn delete(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> =
            self.client().create().expect("admin client");
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let deleted = admin
            .delete_topics(&[topic], &options)
            .await
            .expect("delete a topic");
        deleted
            .into_iter()
            .for_each(|result| drop(result.expect("delete a topic")));
    }

    /// Deletes the records of partition 0 before that offset, as retention would.
    pub async fn delete_before(&self, topic: &str, offset: i64) {
        let admin: AdminClient<DefaultClientContext> =
            self.client().create().expect("admin client");
        let mut before = TopicPartitionList::new();
        before
            .add_partition_offset(topic, 0, Offset::Offset(offset))
            .expect("offset");
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let deleted = admin
            .delete_records(&before, &options)
            .await
            .expect("delete records");
        deleted
            .elements()
            .iter()
            .for_each(|element| element.error().expect("delete records"));
    }

    /// Writes records, key and value, to partition 0, and waits until the broker has them.
    pub fn produce(&self, topic: &str, records: &[(Option<&str>, Option<&str>)]) {
        let producer: BaseProducer = self
            .client()
            .set("linger.ms", "5")
            .create()
            .expect("producer");
        for (key, value) in records {
            let record = || {
                let mut record = BaseRecord::<str, str>::to(topic).partition(0);
                record.key = *key;
                record.payload = *value;
                record
            };
            while let Err((error, _)) = producer.send(record()) {
                let full = matches!(
                    error,
                    KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)
                );
                assert!(full, "produce to {topic}: {error}");
                producer.poll(Duration::from_millis(10));
            }
        }
        producer.flush(PATIENCE).expect("flush");
    }

    /// All committed records that the topic holds now, by partition and offset; none when it does not exist.
    pub fn read(&self, topic: &str) -> Vec<Entry> {
        let mut entries = Vec::new();
        self.each(topic, |entry| entries.push(entry));
        entries.sort_by_key(|entry| (entry.partition, entry.offset));
        entries
    }

    /// Hands over each committed record that the topic holds now.
    pub fn each(&self, topic: &str, visit: impl FnMut(Entry)) {
        self.first(topic, usize::MAX, visit);
    }

    /// Hands over the first `count` committed records that the topic holds now.
    pub fn first(&self, topic: &str, count: usize, mut visit: impl FnMut(Entry)) {
        let mut config = self.client();
        config
            .set("group.id", "kit")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config
            .set("isolation.level", "read_committed")
            .create()
            .expect("consumer");
        let metadata = consumer
            .fetch_metadata(Some(topic), PATIENCE)
            .expect("metadata");
        let partitions: Vec<i32> = metadata.topics()[0]
            .partitions()
            .iter()
            .map(|partition| partition.id())
            .collect();
        let mut from = TopicPartitionList::new();
        for &partition in &partitions {
            from.add_partition_offset(topic, partition, Offset::Beginning)
                .expect("offset");
        }
        consumer.assign(&from).expect("assign");
        let (mut at_end, mut seen, end) = (0, 0, Instant::now() + Duration::from_secs(300));
        while at_end < partitions.len() && seen < count {
            assert!(
                Instant::now() < end,
                "{topic} was not read within 5 minutes"
            );
            match consumer.poll(Duration::from_secs(1)) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(_))) => at_end += 1,
                Some(Err(error)) => panic!("read {topic}: {error}"),
                Some(Ok(message)) => {
                    visit(entry(&message));
                    seen += 1;
                }
            }
        }
    }

    /// Asks for the end of partition 0 as a reader of committed records sees it; 0 while the topic does not exist.
    pub fn committed_end(&self, topic: &str) -> impl Fn() -> i64 {
        let mut config = self.client();
        let consumer: BaseConsumer = config
            .set("isolation.level", "read_committed")
            .create()
            .expect("consumer");
        let topic = topic.to_owned();
        move || {
            consumer
                .fetch_watermarks(&topic, 0, PATIENCE)
                .map_or(0, |(_, end)| end)
        }
    }

    /// Waits until the topic holds at least `count` records, and returns them.
    pub async fn wait_for(&self, topic: &str, count: usize, within: Duration) -> Vec<Entry> {
        let what = format!("{count} records in {topic}");
        crate::wait_until(&what, within, async || {
            Some(self.read(topic)).filter(|found| found.len() >= count)
        })
        .await
    }
}

fn entry(message: &impl Message) -> Entry {
    let headers = message.headers().map(|headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect()
    });
    Entry {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        timestamp: message.timestamp().to_millis(),
        headers: headers.unwrap_or_default(),
    }
}
