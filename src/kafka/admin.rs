//! Topics, cluster facts and group offsets. Calls block for at most [`PATIENCE`]; make them from
//! blocking threads.

use std::collections::BTreeSet;
use std::time::Duration;

use connector_api::{Error, ErrorKind, Result, TopicOffset, TopicPartition, fail_point};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;

use super::background_drop::DropInBackground;
use super::context::QuietContext;
use super::dev::DevBroker;
use super::producer::serve;
use super::{ClientSettings, error};

/// How long one call waits for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long [`KafkaAdmin::check_answers`] waits before it checks whether it was refused.
const ONE_TRY: Duration = Duration::from_secs(1);

/// How many settings of a topic the broker is asked about one by one.
const SETTINGS_TRIED: usize = 50;

/// A topic that has to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicSpec {
    pub topic: String,
    /// Number of partitions; -1 means the broker's default.
    pub partitions: i32,
    /// Replication factor; -1 means the broker's default.
    pub replication_factor: i32,
    /// Topic settings, such as `cleanup.policy`.
    pub config: Vec<(String, String)>,
}

/// An admin client.
pub(crate) struct KafkaAdmin {
    settings: ClientSettings,
    /// Client for requests; librdkafka's admin client never reports why a broker refuses it.
    asker: DropInBackground<BaseProducer<QuietContext>>,
    brokers: String,
    dev: Option<DevBroker>,
    runtime: Handle,
}

impl KafkaAdmin {
    /// Opens a client, which connects when first used. Must be called within a tokio runtime.
    /// Errors: `Config`.
    pub(crate) fn open(
        settings: &ClientSettings,
        dev: Option<DevBroker>,
        runtime: Handle,
    ) -> Result<Self> {
        let brokers = settings.brokers().to_owned();
        let asker = settings
            .native()
            .create_with_context(QuietContext::default());
        let asker =
            DropInBackground::new(asker.map_err(|e| error::of("opening a Kafka admin client", e))?);
        Ok(Self {
            settings: settings.clone(),
            asker,
            brokers,
            dev,
            runtime,
        })
    }

    /// Returns the cluster's id, or `None` if no broker answers within [`PATIENCE`]. Errors:
    /// `Denied` as soon as a broker refuses this client.
    pub(crate) fn cluster_id(&self) -> Result<Option<String>> {
        fail_point::reach("admin.cluster-id")?;
        let began = std::time::Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(id) = self
                .asker
                .client()
                .fetch_cluster_id(Duration::from_millis(300))
            {
                return Ok(Some(id));
            }
            if let Some(reason) = self.refused() {
                return Err(error::refused(
                    format_args!("connecting to Kafka at {}", self.brokers),
                    &reason,
                ));
            }
        }
        Ok(None)
    }

    /// Checks that a broker answers within `limit`. Errors: `Retry`, `Denied`.
    pub(crate) fn check_answers(&self, limit: Duration) -> Result<()> {
        let began = std::time::Instant::now();
        loop {
            let left = limit.saturating_sub(began.elapsed());
            let Err(failed) = self.asker.client().fetch_metadata(None, left.min(ONE_TRY)) else {
                self.asker.client().context().clear_refusal();
                return Ok(());
            };
            let error = error::of(format_args!("asking Kafka at {}", self.brokers), failed);
            // Tokens are fetched and refusals are reported only between two tries.
            let error = self.with_refusal(error);
            if error.kind() != ErrorKind::Retry || left <= ONE_TRY {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns the number of partitions of a topic, or `None` if it does not exist. Errors:
    /// `Retry`, `Denied`.
    pub(crate) fn partitions(&self, topic: &str) -> Result<Option<i32>> {
        partitions(self.asker.client(), &self.brokers, topic).map_err(|e| self.with_refusal(e))
    }

    /// Returns the names of all topics. Errors: `Retry`, `Denied`.
    pub(crate) fn topics(&self) -> Result<Vec<String>> {
        let what = || format!("listing topics at {}", self.brokers);
        let metadata = self.asker.client().fetch_metadata(None, PATIENCE);
        let metadata = metadata.map_err(|e| self.with_refusal(error::of(what(), e)))?;
        Ok(metadata
            .topics()
            .iter()
            .map(|t| t.name().to_owned())
            .collect())
    }

    fn refused(&self) -> Option<String> {
        serve(&self.asker);
        self.asker.client().context().refused()
    }

    /// Replaces the error of an unanswered request by the broker's refusal, if one is known.
    fn with_refusal(&self, error: Error) -> Error {
        match self.refused() {
            Some(reason) if error.kind() == ErrorKind::Retry => error::refused(
                format_args!("connecting to Kafka at {}", self.brokers),
                &reason,
            ),
            _ => error,
        }
    }

    fn client(&self) -> Result<DropInBackground<AdminClient<QuietContext>>> {
        let client = self
            .settings
            .native()
            .create_with_context(QuietContext::default());
        client
            .map(DropInBackground::new)
            .map_err(|e| error::of("opening a Kafka admin client", e))
    }

    /// Creates the topic if it does not exist, and waits until it can be used. Leaves an existing
    /// one unchanged. Errors: `Config` for a name or number that the broker refuses, `Denied`,
    /// `Retry`.
    pub(crate) fn ensure(&self, wanted: &TopicSpec) -> Result<()> {
        if self.partitions(&wanted.topic)?.is_none() {
            self.create(wanted)?;
            await_topic(&wanted.topic, &self.brokers, || {
                self.partitions(&wanted.topic)
            })?;
        }
        Ok(())
    }

    /// Like [`KafkaAdmin::ensure`], but does not wait until every broker knows the topic.
    pub(crate) fn create(&self, wanted: &TopicSpec) -> Result<()> {
        fail_point::reach("admin.create-topic")?;
        if let Some(dev) = &self.dev {
            return dev.create_topic(&wanted.topic, wanted.partitions.max(1));
        }
        let what = || format!("creating topic {} at {}", wanted.topic, self.brokers);
        let replication = TopicReplication::Fixed(wanted.replication_factor);
        let mut topic = NewTopic::new(&wanted.topic, wanted.partitions, replication);
        for (name, value) in &wanted.config {
            topic = topic.set(name, value);
        }
        let options = AdminOptions::new()
            .operation_timeout(Some(PATIENCE))
            .request_timeout(Some(PATIENCE));
        let results = self
            .runtime
            .block_on(self.client()?.create_topics([&topic], &options));
        for result in results.map_err(|e| error::of(what(), e))? {
            match result {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((_, code)) => {
                    let error = error::of_code(what(), code);
                    return Err(self.explained(error, code, wanted));
                }
            }
        }
        Ok(())
    }

    /// Appends to the error of a topic that was not created what was asked for, and which settings
    /// the broker refuses.
    #[cold]
    fn explained(&self, error: Error, code: Code, wanted: &TopicSpec) -> Error {
        if error.kind() != ErrorKind::Config {
            return error;
        }
        let count = |n: i32| match n {
            -1 => "the broker's default".to_owned(),
            n => n.to_string(),
        };
        let error = error.and_line(&format!(
            "It was to have this number of partitions: {}; and this replication factor: {}.",
            count(wanted.partitions),
            count(wanted.replication_factor)
        ));
        if code != Code::InvalidConfig {
            return error;
        }
        match self.refused_settings(wanted) {
            refused if refused.is_empty() => error,
            refused => error.and_line(&format!(
                "The broker refuses its setting {}.",
                refused.join(", ")
            )),
        }
    }

    /// Returns the names of the settings that the broker refuses, each alone. Creates nothing.
    fn refused_settings<'a>(&self, wanted: &'a TopicSpec) -> Vec<&'a str> {
        let Ok(client) = self.client() else {
            return Vec::new();
        };
        let options = AdminOptions::new()
            .validate_only(true)
            .operation_timeout(Some(PATIENCE))
            .request_timeout(Some(PATIENCE));
        let is_refused = |(name, value): &&(String, String)| {
            let replication = TopicReplication::Fixed(wanted.replication_factor);
            let topic =
                NewTopic::new(&wanted.topic, wanted.partitions, replication).set(name, value);
            let results = self
                .runtime
                .block_on(client.create_topics([&topic], &options));
            results.is_ok_and(|results| {
                results
                    .iter()
                    .any(|result| matches!(result, Err((_, Code::InvalidConfig))))
            })
        };
        wanted
            .config
            .iter()
            .take(SETTINGS_TRIED)
            .filter(is_refused)
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Deletes a consumer group with its offsets; a group that does not exist is no error. Returns
    /// false if it still has members. Errors: `Retry`, `Denied`.
    pub(crate) fn delete_group(&self, group: &str) -> Result<bool> {
        let what = || format!("deleting consumer group {group} at {}", self.brokers);
        let options = AdminOptions::new()
            .operation_timeout(Some(PATIENCE))
            .request_timeout(Some(PATIENCE));
        let results = self
            .runtime
            .block_on(self.client()?.delete_groups(&[group], &options));
        for result in results.map_err(|e| error::of(what(), e))? {
            match result {
                Ok(_) | Err((_, Code::GroupIdNotFound)) => {}
                Err((_, Code::NonEmptyGroup)) => return Ok(false),
                Err((_, code)) => return Err(error::of_code(what(), code)),
            }
        }
        Ok(true)
    }
}

/// Waits until the brokers that `ask` queries know a new topic, which takes a moment. Returns its
/// number of partitions. Errors: `Retry`, `Denied`.
pub(super) fn await_topic(
    topic: &str,
    brokers: &str,
    ask: impl Fn() -> Result<Option<i32>>,
) -> Result<i32> {
    let began = std::time::Instant::now();
    while began.elapsed() < PATIENCE {
        match ask() {
            Ok(Some(partitions)) => return Ok(partitions),
            Err(error) if error.kind() != ErrorKind::Retry => return Err(error),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    Err(Error::retry(format!(
        "topic {topic} was created at {brokers} but has no leader yet"
    )))
}

/// Returns the number of partitions of a topic, as that client's brokers know it.
pub(super) fn partitions<C: ClientContext>(
    client: &Client<C>,
    brokers: &str,
    topic: &str,
) -> Result<Option<i32>> {
    let what = || format!("asking {brokers} for topic {topic}");
    let metadata = client
        .fetch_metadata(Some(topic), PATIENCE)
        .map_err(|e| error::of(what(), e))?;
    let Some(found) = metadata.topics().iter().find(|t| t.name() == topic) else {
        return Ok(None);
    };
    match found
        .error()
        .filter(|e| *e != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
        .map(Code::from)
    {
        None if found
            .partitions()
            .iter()
            .any(|partition| partition.leader() < 0) =>
        {
            Err(error::of_code(what(), Code::LeaderNotAvailable))
        }
        None => Ok(i32::try_from(found.partitions().len())
            .ok()
            .filter(|n| *n > 0)),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
        Some(code) => Err(error::of_code(what(), code)),
    }
}

/// Offsets of a consumer group, read and written from outside while it has no members.
pub(crate) struct GroupOffsets {
    consumer: BaseConsumer<QuietContext>,
    what: String,
}

impl GroupOffsets {
    /// Opens the group that `group.id` in `settings` names. Errors: `Config`.
    pub(crate) fn open(settings: &ClientSettings) -> Result<Self> {
        let what = format!(
            "consumer group {} at {}",
            settings.get("group.id").unwrap_or_default(),
            settings.brokers()
        );
        let consumer = settings
            .native()
            .create_with_context(QuietContext::default())
            .map_err(|e| error::of(&what, e))?;
        Ok(Self { consumer, what })
    }

    /// Returns the committed offsets of those partitions that have one. Errors: `Retry`, `Denied`.
    pub(crate) fn committed(&self, partitions: &[TopicPartition]) -> Result<Vec<TopicOffset>> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for at in partitions {
            list.add_partition(&at.topic, at.partition);
        }
        let list = self
            .consumer
            .committed_offsets(list, PATIENCE)
            .map_err(|e| error::of(&self.what, e))?;
        let offset =
            |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element
                .offset()
            {
                Offset::Offset(offset) => Some(TopicOffset {
                    topic: element.topic().into(),
                    partition: element.partition(),
                    offset,
                }),
                _ => None,
            };
        Ok(list.elements().iter().filter_map(offset).collect())
    }

    /// Commits offsets. Returns false if the group has members, because then only they may commit.
    /// Errors: `Retry`, `Denied`.
    pub(crate) fn commit(&self, offsets: &[TopicOffset]) -> Result<bool> {
        let list = offset_list(offsets).map_err(|e| error::of(&self.what, e))?;
        match self.consumer.commit(&list, CommitMode::Sync) {
            Err(error) if error.rdkafka_error_code() == Some(Code::UnknownMemberId) => Ok(false),
            committed => committed
                .map(|()| true)
                .map_err(|e| error::of(&self.what, e)),
        }
    }

    /// Commits offsets as the group's only member: the development broker accepts offsets of a
    /// group that has been in use from no other client. Errors: `Retry` when the client does not
    /// get into the group.
    pub(crate) fn join_and_commit(&self, offsets: &[TopicOffset]) -> Result<bool> {
        let topics: BTreeSet<&str> = offsets.iter().map(|at| &*at.topic).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let failed = |e| error::of(&self.what, e);
        self.consumer.subscribe(&topics).map_err(failed)?;
        let began = std::time::Instant::now();
        while self.consumer.assignment().map_err(failed)?.count() == 0 {
            if began.elapsed() > PATIENCE {
                return Err(Error::retry(format!(
                    "{}: the group could not be joined in time",
                    self.what
                )));
            }
            // Records polled here are dropped; nothing is committed automatically.
            drop(self.consumer.poll(Duration::from_millis(50)));
        }
        let committed = self.commit(offsets);
        self.consumer.unsubscribe();
        committed
    }
}

/// Converts offsets to librdkafka's list.
pub(super) fn offset_list(offsets: &[TopicOffset]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for at in offsets {
        list.add_partition_offset(&at.topic, at.partition, Offset::Offset(at.offset))?;
    }
    Ok(list)
}
