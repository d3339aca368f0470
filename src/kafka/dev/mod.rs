//! The broker of `rowferry dev`: librdkafka's mock broker, inside this process, on a loopback port.
//! It speaks the real protocol and stores records in memory only.
//!
//! It keeps about [`KEPT_BYTES`] of each partition and supports neither transaction markers nor
//! compaction nor topic administration, so topics are created by calling it directly. It stops when
//! its last handle is dropped.
//!
//! Because it drops records that have not been read yet, [`DevProducer`] holds sources back until
//! the sinks of this worker have written them, as [`DevMember`] reports; and because it does not
//! compact, [`DevBroker`] remembers what compacted topics hold. The tasks know none of that: they
//! hand the broker to the clients that they open.

mod backlog;
mod member;
mod producer;

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use connector_api::locks::TakeLock;
use connector_api::{Error, Result, TopicOffset};
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;

use super::table::TopicTable;
use backlog::Backlog;

pub use member::DevMember;
pub use producer::DevProducer;

/// Bytes of compressed record batches that the broker keeps of each partition
/// (`rd_kafka_mock_partition_t`).
pub const KEPT_BYTES: usize = 5 * 1024 * 1024;

/// Maximum number of partitions of a topic: the broker allocates memory for each of them at once.
const MAX_PARTITIONS: i32 = 1000;

/// A handle to the broker; cheap to clone.
#[derive(Clone, Debug)]
pub struct DevBroker {
    servers: Arc<str>,
    create: SyncSender<(String, i32, SyncSender<Result<()>>)>,
    records: Arc<DevRecords>,
}

/// What this process knows of the broker's records. Clients hold it without keeping the broker up.
#[derive(Debug, Default)]
struct DevRecords {
    backlog: Backlog,
    /// The latest value of each key of the compacted topics.
    compacted: Mutex<HashMap<String, TopicTable>>,
}

impl DevRecords {
    fn is_compacted(&self, topic: &str) -> bool {
        self.compacted.take_lock().contains_key(topic)
    }

    /// Notes the value of a key of a compacted topic; without a value the key is removed.
    fn remember(&self, topic: &str, key: &[u8], value: Option<&[u8]>) {
        if let Some(table) = self.compacted.take_lock().get_mut(topic) {
            match value {
                Some(value) => table.insert(key.to_vec(), value.to_vec()),
                None => table.remove(key),
            };
        }
    }
}

impl DevBroker {
    /// Starts a broker. Errors: `Fatal` when it cannot listen.
    pub fn start() -> Result<Self> {
        let (create, requests) = sync_channel(16);
        let (ready, started) = sync_channel(1);
        std::thread::Builder::new()
            .name("dev-broker".to_owned())
            .spawn(move || match MockCluster::new(1) {
                Ok(cluster) => {
                    let _gone = ready.send(Ok(cluster.bootstrap_servers()));
                    serve(&cluster, &requests);
                }
                Err(error) => {
                    let _gone = ready.send(Err(failed("starting the development broker", error)));
                }
            })
            .map_err(|error| {
                Error::fatal("starting the development broker: no thread").caused_by(error)
            })?;
        let servers = started
            .recv()
            .map_err(|_| Error::fatal("the development broker ended while starting"))??;
        Ok(Self {
            servers: servers.into(),
            create,
            records: Arc::default(),
        })
    }

    /// Returns the address it listens on, as `host:port`.
    pub fn bootstrap_servers(&self) -> &str {
        &self.servers
    }

    /// Returns what a compacted topic holds, of the keys that `keep` accepts. The topic counts as
    /// compacted from now on, so it must be read before it is written.
    pub fn table(&self, topic: &str, keep: impl Fn(&[u8]) -> bool) -> TopicTable {
        let mut compacted = self.records.compacted.take_lock();
        let table = compacted.entry(topic.to_owned()).or_default();
        let kept = table.iter().filter(|(key, _)| keep(key));
        kept.map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Notes that a group without members starts at these offsets.
    pub fn set_group_offsets(&self, group: &str, offsets: &[TopicOffset]) {
        self.records.backlog.read(group, offsets);
    }

    /// Creates a topic; blocks for a moment. Leaves an existing topic unchanged. Errors: also
    /// `Config` for more than `MAX_PARTITIONS` partitions.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<()> {
        if partitions > MAX_PARTITIONS {
            return Err(Error::config(format!(
                "topic {topic} cannot have {partitions} partitions: the development broker keeps at most {MAX_PARTITIONS} (MAX_PARTITIONS)"
            )));
        }
        let gone = || Error::fatal("the development broker has ended");
        let (reply, answer) = sync_channel(1);
        self.create
            .send((topic.to_owned(), partitions, reply))
            .map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

/// Runs the mock cluster, which belongs to one thread, until the last handle is dropped.
fn serve(
    cluster: &MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
    requests: &Receiver<(String, i32, SyncSender<Result<()>>)>,
) {
    while let Ok((topic, partitions, reply)) = requests.recv() {
        let created = match cluster.create_topic(&topic, partitions.max(1), 1) {
            Err(KafkaError::MockCluster(rdkafka::error::RDKafkaErrorCode::TopicAlreadyExists)) => {
                Ok(())
            }
            other => other.map_err(|error| failed(&format!("creating topic {topic}"), error)),
        };
        let _gone = reply.send(created);
    }
}

fn failed(what: &str, error: KafkaError) -> Error {
    crate::kafka::error::of(what, error)
}
