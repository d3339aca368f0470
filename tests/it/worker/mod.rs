//! Tasks against a real broker and the development broker, with a source and a sink that live in memory: what the
//! runtime promises about order, loss, duplicates and dead letters, whatever the connector.

mod lost_partitions;
mod refused;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use connector_api::{
    Config, ConfigKey, Datum, Error, Field, OffsetValue, Plugin, PutReport, Record, Rejected,
    Result, Schema, SchemaType, SinkConnector, SinkRecord, SinkTask, SourceBatch, SourceConnector,
    SourceOffset, SourcePartition, SourcePosition, SourceTask, StoredOffsets, TaskPlan,
    TopicOffset, TopicPartition, Value,
};
use rowferry::kafka::dev::DevBroker;
use rowferry::registry::{ConnectorPlugin, Registry};
use rowferry::worker::{StartTask, TaskEvent, TaskId, Worker, WorkerOptions};
use testkit::{for_condition, unique};
use tokio::sync::mpsc;

use crate::lab;

/// A source of numbered records, up to a bound that a test moves.
struct Numbers {
    topic: Arc<str>,
    upto: Arc<AtomicI64>,
    batch: i64,
    /// The number whose record is larger than others by 50 kB.
    big: Arc<AtomicI64>,
}

impl Plugin for Numbers {
    fn class(&self) -> &'static str {
        "test.Numbers"
    }
    fn version(&self) -> &'static str {
        "1"
    }
    fn keys(&self) -> &'static [ConfigKey] {
        &[]
    }
}

fn partition() -> SourcePartition {
    SourcePartition(vec![(
        "numbers".to_owned(),
        OffsetValue::Text("all".to_owned()),
    )])
}

#[async_trait]
impl SourceConnector for Numbers {
    async fn plan(&self, config: &Config, _max_tasks: usize) -> Result<TaskPlan> {
        Ok(TaskPlan {
            tasks: vec![config.clone()],
            again_after: None,
        })
    }

    async fn open(
        &self,
        _task: &Config,
        stored: &dyn StoredOffsets,
    ) -> Result<Box<dyn SourceTask>> {
        let stored = stored.read(&[partition()]).await?;
        let next = match stored.first().and_then(|o| o.as_ref()?.get("next")) {
            Some(OffsetValue::Long(next)) => *next,
            _ => 0,
        };
        let fields = vec![
            Field::new("id", Schema::of(SchemaType::Int64)),
            Field::new("text", Schema::of(SchemaType::String)),
        ];
        let schema = Arc::new(Schema::structure(Some("numbers"), fields));
        let key = Arc::new(Schema::of(SchemaType::Int64));
        let (topic, upto, batch) = (Arc::clone(&self.topic), Arc::clone(&self.upto), self.batch);
        let big = self.big.load(Ordering::Relaxed);
        Ok(Box::new(NumbersTask {
            topic,
            upto,
            batch,
            big,
            next,
            schema,
            key,
        }))
    }
}

struct NumbersTask {
    topic: Arc<str>,
    upto: Arc<AtomicI64>,
    batch: i64,
    big: i64,
    next: i64,
    schema: Arc<Schema>,
    key: Arc<Schema>,
}

#[async_trait]
impl SourceTask for NumbersTask {
    async fn poll(&mut self) -> Result<SourceBatch> {
        let upto = self
            .upto
            .load(Ordering::Relaxed)
            .min(self.next + self.batch);
        let record = |id: i64| {
            let width = if id == self.big { 50_000 } else { 100 };
            let value = Value::Struct(Box::new([
                Value::I64(id),
                Value::Text(format!("number {id:0width$}").into()),
            ]));
            Record {
                topic: Arc::clone(&self.topic),
                partition: None,
                key: Datum::new(Arc::clone(&self.key), Value::I64(id)),
                value: Datum::new(Arc::clone(&self.schema), value),
                timestamp_ms: None,
                headers: Vec::new(),
            }
        };
        let records: Vec<_> = (self.next..upto).map(record).collect();
        let idle_for = (upto - self.next < self.batch).then_some(Duration::from_millis(20));
        let offset = SourceOffset(vec![("next".to_owned(), OffsetValue::Long(upto))]);
        let positions = match records.is_empty() {
            true => Vec::new(),
            false => vec![SourcePosition {
                partition: partition(),
                offset: Some(offset),
            }],
        };
        self.next = upto;
        Ok(SourceBatch {
            records,
            positions,
            idle_for,
            is_partial: false,
        })
    }

    async fn close(self: Box<Self>) {}
}

/// A sink that remembers what it was given, and next to it the offsets, as one.
#[derive(Default)]
struct Vault {
    kept: Arc<Mutex<Kept>>,
    /// Refuses everything for now.
    shut: Arc<AtomicBool>,
    /// Rejects records whose id this divides.
    picky: Option<i64>,
}

#[derive(Default)]
struct Kept {
    ids: BTreeMap<i64, usize>,
    offsets: HashMap<(Arc<str>, i32), i64>,
    puts: usize,
    /// Puts while the vault was shut.
    refused: usize,
    held: HashSet<TopicPartition>,
}

impl Vault {
    fn count(&self) -> usize {
        self.kept.lock().unwrap().ids.len()
    }

    /// Every id below `upto` exactly once.
    fn assert_whole(&self, upto: i64) {
        let kept = self.kept.lock().unwrap();
        let missing: Vec<_> = (0..upto)
            .filter(|id| !kept.ids.contains_key(id))
            .take(5)
            .collect();
        let doubled: Vec<_> = kept
            .ids
            .iter()
            .filter(|(_, times)| **times > 1)
            .take(5)
            .collect();
        assert!(
            missing.is_empty() && doubled.is_empty(),
            "missing {missing:?}, doubled {doubled:?}"
        );
    }
}

impl Plugin for Vault {
    fn class(&self) -> &'static str {
        "test.Vault"
    }
    fn version(&self) -> &'static str {
        "1"
    }
    fn keys(&self) -> &'static [ConfigKey] {
        &[]
    }
}

#[async_trait]
impl SinkConnector for Vault {
    async fn open(&self, _task: &Config, _tolerate: bool) -> Result<Box<dyn SinkTask>> {
        let (kept, shut) = (Arc::clone(&self.kept), Arc::clone(&self.shut));
        Ok(Box::new(VaultTask {
            kept,
            shut,
            picky: self.picky,
        }))
    }
}

struct VaultTask {
    kept: Arc<Mutex<Kept>>,
    shut: Arc<AtomicBool>,
    picky: Option<i64>,
}

#[async_trait]
impl SinkTask for VaultTask {
    async fn assign(&mut self, partitions: &[TopicPartition]) -> Result<Vec<TopicOffset>> {
        let mut kept = self.kept.lock().unwrap();
        kept.held.extend(partitions.iter().cloned());
        let stored = |at: &TopicPartition| {
            let offset = *kept.offsets.get(&(Arc::clone(&at.topic), at.partition))?;
            Some(TopicOffset {
                topic: Arc::clone(&at.topic),
                partition: at.partition,
                offset,
            })
        };
        Ok(partitions.iter().filter_map(stored).collect())
    }

    async fn revoke(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.kept
            .lock()
            .unwrap()
            .held
            .retain(|at| !partitions.contains(at));
        Ok(())
    }

    async fn put(&mut self, batch: &[SinkRecord], next: &[TopicOffset]) -> Result<PutReport> {
        let mut kept = self.kept.lock().unwrap();
        if self.shut.load(Ordering::Relaxed) {
            kept.refused += 1;
            return Err(Error::retry("the vault is shut"));
        }
        let is_held = |at: &TopicOffset| {
            kept.held
                .iter()
                .any(|h| h.partition == at.partition && h.topic == at.topic)
        };
        if let Some(at) = next.iter().find(|at| !is_held(at)) {
            return Err(Error::fatal(format!(
                "{at:?} was written without being assigned"
            )));
        }
        let mut report = PutReport::default();
        for (index, record) in batch.iter().enumerate() {
            let Value::Struct(fields) = &record.record.value.value else {
                continue;
            };
            let id = fields.first().and_then(Value::as_i64).unwrap();
            if self.picky.is_some_and(|picky| id % picky == 0) {
                report.rejected.push(Rejected {
                    index,
                    error: Error::record("not this one"),
                });
            } else {
                *kept.ids.entry(id).or_default() += 1;
            }
        }
        for at in next {
            kept.offsets
                .insert((Arc::clone(&at.topic), at.partition), at.offset);
        }
        kept.puts += 1;
        Ok(report)
    }

    async fn close(self: Box<Self>) {}
}

/// A worker with the events it has reported.
struct Bench {
    worker: Worker,
    events: Arc<Mutex<Vec<String>>>,
    names: (String, String),
    source: Arc<Numbers>,
    sink: Arc<Vault>,
}

impl Bench {
    fn new(dev: Option<DevBroker>, exactly_once_source: bool, batch: i64, sink: Vault) -> Self {
        let brokers = dev.as_ref().map_or_else(
            || lab().kafka().brokers(),
            |dev| dev.bootstrap_servers().to_owned(),
        );
        let names = (unique("numbers"), unique("vault"));
        let options = WorkerOptions {
            config: Config::from([("bootstrap.servers", brokers.as_str())]),
            group_id: unique("group"),
            offset_topic: unique("offsets"),
            offset_partitions: 3,
            replication_factor: -1,
            flush_interval: Duration::from_millis(200),
            exactly_once_source,
            dev_broker: dev,
            providers: rowferry::settings::ConfigProviders::default(),
            secrets: rowferry::secrets::SecretKeys::default(),
            metrics_tables_max: 200,
        };
        let (topic, upto, big) = (
            unique("topic").as_str().into(),
            Arc::default(),
            Arc::new(AtomicI64::new(-1)),
        );
        let source = Arc::new(Numbers {
            topic,
            upto,
            batch,
            big,
        });
        let (sender, mut receiver) = mpsc::channel(16);
        let events = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&events);
        tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                let text = match event {
                    TaskEvent::Running(id) => format!("{} running", id.connector),
                    TaskEvent::Paused(id) => format!("{} paused", id.connector),
                    TaskEvent::Failed(id, error) => {
                        format!("{} failed {:?}: {error}", id.connector, error.kind())
                    }
                    TaskEvent::Stopped(id) => format!("{} stopped", id.connector),
                    TaskEvent::Topic(id, topic) => format!("{} topic {topic}", id.connector),
                };
                list.lock().unwrap().push(text);
            }
        });
        let worker = Worker::new(options, Registry::built_in(), sender);
        Self {
            worker,
            events,
            names,
            source,
            sink: Arc::new(sink),
        }
    }

    fn id(name: &str) -> TaskId {
        TaskId {
            connector: name.into(),
            task: 0,
        }
    }

    fn start(&self, name: &str, connector: ConnectorPlugin, config: Config) {
        let (connector_config, task_config) = (config.clone(), config);
        let id = Self::id(name);
        self.worker.start(StartTask {
            id,
            tasks: 1,
            connector,
            connector_config,
            task_config,
            paused: false,
        });
    }

    fn start_source(&self) {
        self.start_source_with(&[]);
    }

    fn start_source_with(&self, more: &[(&str, &str)]) {
        let config = Config::from_iter(
            more.iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        );
        self.start(
            &self.names.0,
            ConnectorPlugin::Source(Arc::clone(&self.source) as _),
            config,
        );
    }

    fn start_sink(&self, more: &[(&str, &str)]) {
        let mut config = Config::from([("topics", &*self.source.topic)]);
        more.iter().for_each(|(k, v)| config.set(*k, *v));
        self.start(
            &self.names.1,
            ConnectorPlugin::Sink(Arc::clone(&self.sink) as _),
            config,
        );
    }

    async fn stop(&self, name: &str) {
        self.worker
            .stop(&[Self::id(name)], Duration::from_secs(20))
            .await;
    }

    fn reported(&self, text: &str) -> bool {
        self.events
            .lock()
            .unwrap()
            .iter()
            .any(|event| event.contains(text))
    }

    async fn until_kept(&self, count: usize) {
        let what = format!("{count} records in the vault");
        for_condition(&what, Duration::from_secs(90), async || {
            assert!(
                !self.reported("failed"),
                "{:?}",
                self.events.lock().unwrap()
            );
            self.sink.count() >= count
        })
        .await;
    }
}

async fn through_stops_and_starts(bench: Bench, total: i64) {
    bench.start_sink(&[]);
    let upto = &bench.source.upto;
    for round in 1..=4 {
        bench.start_source();
        upto.store(total * round / 4, Ordering::Relaxed);
        bench
            .until_kept(usize::try_from(total * (2 * round - 1) / 8).unwrap())
            .await;
        bench.stop(&bench.names.0).await;
        if round % 2 == 0 {
            bench.stop(&bench.names.1).await;
            bench.start_sink(&[]);
        }
    }
    bench.start_source();
    bench.until_kept(usize::try_from(total).unwrap()).await;
    bench.stop(&bench.names.0).await;
    bench.stop(&bench.names.1).await;
    bench.sink.assert_whole(total);
    assert!(bench.reported(&format!("{} topic {}", bench.names.0, bench.source.topic)));
    assert!(bench.reported(&format!("{} topic {}", bench.names.1, bench.source.topic)));
    let stored = bench
        .worker
        .source_offsets(&bench.names.0, &Config::new())
        .await
        .unwrap();
    let expected = SourceOffset(vec![("next".to_owned(), OffsetValue::Long(total))]);
    assert_eq!(
        stored.positions(),
        [SourcePosition {
            partition: partition(),
            offset: Some(expected)
        }]
    );
    let config = Config::from([("topics", &*bench.source.topic)]);
    let group = bench
        .worker
        .sink_offsets(&bench.names.1, &config)
        .await
        .unwrap();
    assert_eq!(group.len(), 1);
    assert_eq!(
        Some(&group[0].offset),
        bench.sink.kept.lock().unwrap().offsets.values().next()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_over_stops_and_starts() {
    through_stops_and_starts(Bench::new(None, true, 500, Vault::default()), 100_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_least_once_doubles_nothing_over_orderly_stops() {
    through_stops_and_starts(Bench::new(None, false, 500, Vault::default()), 50_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_ends_no_batch_in_the_middle() {
    // the writer waits for the sink in the middle of each batch
    through_stops_and_starts(
        Bench::new(
            Some(DevBroker::start().unwrap()),
            true,
            25_000,
            Vault::default(),
        ),
        200_000,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_source_has_committed_all_that_it_has_sent() {
    let bench = Bench::new(
        Some(DevBroker::start().unwrap()),
        true,
        500,
        Vault::default(),
    );
    let (source, total) = (Bench::id(&bench.names.0), 100_000);
    bench.start_sink(&[]);
    bench.source.upto.store(total, Ordering::Relaxed);
    bench.start_source();
    bench.until_kept(10_000).await;
    bench.worker.set_paused(&source, true);
    let paused = format!("{} paused", source.connector);
    for_condition(
        "the source is paused",
        Duration::from_secs(20),
        async || bench.reported(&paused),
    )
    .await;
    for_condition(
        "what was sent is committed",
        Duration::from_secs(20),
        async || {
            let stored = bench
                .worker
                .source_offsets(&source.connector, &Config::new())
                .await
                .unwrap();
            let next = stored
                .get(&partition())
                .and_then(|offset| offset.get("next").cloned());
            next == i64::try_from(bench.sink.count())
                .ok()
                .map(OffsetValue::Long)
        },
    )
    .await;
    assert!(
        i64::try_from(bench.sink.count()).unwrap() < total,
        "it was paused in the middle"
    );
    bench.worker.set_paused(&source, false);
    bench.until_kept(usize::try_from(total).unwrap()).await;
    bench.stop(&bench.names.0).await;
    bench.stop(&bench.names.1).await;
    bench.sink.assert_whole(total);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_development_broker_carries_more_than_it_holds() {
    through_stops_and_starts(
        Bench::new(
            Some(DevBroker::start().unwrap()),
            true,
            500,
            Vault::default(),
        ),
        200_000,
    )
    .await;
}
