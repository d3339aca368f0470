//! Records made in memory, as the runtime would hand them to a sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use connector_api::{
    Config, Datum, Field, PutReport, Record, Result, Schema, SchemaType, SinkConnector, SinkRecord,
    SinkTask, TopicOffset, TopicPartition, Value,
};
use connector_jdbc::sink::JdbcSink;
use testkit::MariaDb;

/// The configuration of a sink into that database.
pub fn config(url: &str, keys: &[(&str, &str)]) -> Config {
    let mut config = Config::from([
        ("name", "sink-test"),
        ("task.id", "0"),
        ("connection.url", url),
        ("connection.user", MariaDb::USER),
        ("connection.password", MariaDb::PASSWORD),
        ("connection.attempts", "1"),
    ]);
    for (key, value) in keys {
        config.set(*key, *value);
    }
    config
}

/// An open task.
pub async fn open(config: &Config, tolerate: bool) -> Task {
    Task(JdbcSink.open(config, tolerate).await.unwrap())
}

/// A task, driven as the runtime does it.
pub struct Task(Box<dyn SinkTask>);

impl Task {
    /// Takes partitions over.
    pub async fn assign(&mut self, partitions: &[TopicPartition]) -> Result<Vec<TopicOffset>> {
        self.0.assign(partitions).await
    }

    /// Gives them up.
    pub async fn revoke(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.0.revoke(partitions).await
    }

    /// Writes a batch and commits it.
    pub async fn put(&mut self, batch: &[SinkRecord], next: &[TopicOffset]) -> Result<PutReport> {
        let report = self.hold(batch, next).await?;
        self.0.commit().await?;
        Ok(report)
    }

    /// Writes a batch and does not commit it.
    pub async fn hold(&mut self, batch: &[SinkRecord], next: &[TopicOffset]) -> Result<PutReport> {
        self.0.put(batch, next).await
    }

    /// Commits what is held.
    pub async fn commit(&mut self) -> Result<()> {
        self.0.commit().await
    }

    /// Takes back what is held.
    pub async fn rollback(&mut self) -> Result<()> {
        self.0.rollback().await
    }

    /// Gives the connection back.
    pub async fn close(self) {
        self.0.close().await;
    }
}

/// One partition of a topic; counts the offsets of the records it makes.
pub struct Topic {
    pub name: Arc<str>,
    pub partition: i32,
    next: AtomicI64,
}

impl Topic {
    pub fn new(name: &str) -> Self {
        Self::part(name, 0)
    }

    pub fn part(name: &str, partition: i32) -> Self {
        Self {
            name: Arc::from(name),
            partition,
            next: AtomicI64::new(0),
        }
    }

    pub fn partitions(&self) -> Vec<TopicPartition> {
        vec![TopicPartition {
            topic: Arc::clone(&self.name),
            partition: self.partition,
        }]
    }

    /// The offset after the last record made.
    pub fn next(&self) -> Vec<TopicOffset> {
        vec![TopicOffset {
            topic: Arc::clone(&self.name),
            partition: self.partition,
            offset: self.next.load(Ordering::Relaxed),
        }]
    }

    /// A record without a key.
    pub fn value<const N: usize>(&self, fields: &[Field], values: [Value; N]) -> SinkRecord {
        self.record(Datum::NONE, structure(fields, values.into()))
    }

    /// A record with a text key; without fields it is a tombstone.
    pub fn keyed(&self, key: &str, fields: &[Field], values: Option<Vec<Value>>) -> SinkRecord {
        let key = Datum::new(
            Arc::new(Schema::of(SchemaType::String)),
            Value::Text(key.into()),
        );
        self.record(
            key,
            values.map_or(Datum::NONE, |values| structure(fields, values)),
        )
    }

    /// A record.
    pub fn record(&self, key: Datum, value: Datum) -> SinkRecord {
        let offset = self.next.fetch_add(1, Ordering::Relaxed);
        let topic = Arc::clone(&self.name);
        let at = TopicOffset {
            topic: Arc::clone(&topic),
            partition: self.partition,
            offset,
        };
        let partition = Some(self.partition);
        SinkRecord {
            record: Record {
                topic,
                partition,
                key,
                value,
                timestamp_ms: Some(0),
                headers: Vec::new(),
            },
            at,
        }
    }
}

fn structure(fields: &[Field], values: Vec<Value>) -> Datum {
    Datum::new(
        Arc::new(Schema::structure(None, fields.to_vec())),
        Value::Struct(values.into()),
    )
}

/// A required INT32 field.
pub fn int(name: &str) -> Field {
    Field::new(name, Schema::of(SchemaType::Int32))
}

/// A required STRING field.
pub fn text(name: &str) -> Field {
    Field::new(name, Schema::of(SchemaType::String))
}

/// An optional field.
pub fn optional(name: &str, ty: SchemaType) -> Field {
    Field::new(name, Schema::of(ty).optional(true))
}

/// An optional array.
pub fn array(name: &str, items: SchemaType) -> Field {
    Field::new(
        name,
        Schema::array(Schema::of(items).optional(true)).optional(true),
    )
}
