//! The group of workers: which slots belong to this one. Kafka's coordinator decides who is alive; a
//! slot is a partition of an empty topic that all workers subscribe to.
//!
//! A thread of its own polls the group. It reports slots as events, and gives slots up only once the
//! receiver has answered, or takes too long.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use connector_api::{Backoff, Error, ErrorKind, Result, TopicOffset, TopicPartition};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::ClientSettings;
use super::admin::{KafkaAdmin, TopicSpec};
use super::consumer::{Consumer, ConsumerEvent, Rebalance, Subscription};
use crate::metrics::TaskMetrics;

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);
/// How often the thread keeps its membership up while it waits for an answer.
const ANSWER_POLL: Duration = Duration::from_millis(20);
/// How often a worker without slots looks whether their topic is still there.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Waits after an error of the group.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    max: Duration::from_secs(10),
};

/// A change of this worker's slots.
#[derive(Debug)]
pub(crate) enum SlotEvent {
    /// These slots are now this worker's too.
    Gained(BTreeSet<u16>),
    /// These slots are revoked or lost. The group waits for the answer, but not for ever.
    Left(BTreeSet<u16>, SyncSender<()>),
    /// The group cannot be joined, whatever this worker does.
    Failed(Error),
}

/// How to join the group.
pub(crate) struct SlotGroupOptions {
    /// Settings of the consumer, with the group and the time limits.
    pub(crate) consumer: ClientSettings,
    pub(crate) admin: ClientSettings,
    /// `group.instance.id`.
    pub(crate) instance: Option<String>,
    /// The topic whose partitions are the slots.
    pub(crate) topic: TopicSpec,
    /// How long slots are kept at most after they are revoked.
    pub(crate) given_up_within: Duration,
    pub(crate) metrics: Arc<TaskMetrics>,
    pub(crate) runtime: Handle,
}

/// This worker's membership of the group.
pub(crate) struct SlotGroup {
    leaving: Arc<AtomicBool>,
    away: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SlotGroup {
    /// Joins the group in the background. Errors: `Retry` if no thread can be started.
    pub(crate) fn join(options: SlotGroupOptions, events: mpsc::Sender<SlotEvent>) -> Result<Self> {
        let leaving = Arc::new(AtomicBool::new(false));
        let away = Arc::new(AtomicBool::new(false));
        let membership = Membership {
            options,
            events,
            leaving: Arc::clone(&leaving),
            away: Arc::clone(&away),
            own: BTreeSet::new(),
        };
        let thread = std::thread::Builder::new()
            .name("worker-group".to_owned())
            .spawn(move || membership.run());
        let thread = thread.map_err(|error| {
            Error::retry("a thread for the group of workers cannot be started").caused_by(error)
        })?;
        Ok(Self {
            leaving,
            away,
            thread: Some(thread),
        })
    }

    /// Leaves the group until this is called with false; its slots are given up as usual.
    pub(crate) fn stay_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    /// Leaves the group and waits until it has, for at most `limit`. Slots are given up without
    /// waiting for answers.
    pub(crate) async fn leave(mut self, limit: Duration) {
        self.leaving.store(true, Ordering::Relaxed);
        let until = Instant::now() + limit;
        while let Some(thread) = &self.thread
            && !thread.is_finished()
            && Instant::now() < until
        {
            tokio::time::sleep(ANSWER_POLL).await;
        }
        match self.thread.take() {
            Some(thread) if thread.is_finished() => drop(thread.join()),
            _ => tracing::warn!(
                "the group of workers was not left in time; the others take over when this worker's \
                 session ends"
            ),
        }
    }
}

impl Drop for SlotGroup {
    fn drop(&mut self) {
        self.leaving.store(true, Ordering::Relaxed);
    }
}

/// What the thread works with.
struct Membership {
    options: SlotGroupOptions,
    events: mpsc::Sender<SlotEvent>,
    leaving: Arc<AtomicBool>,
    away: Arc<AtomicBool>,
    own: BTreeSet<u16>,
}

impl Membership {
    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed) || self.events.is_closed()
    }

    fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    fn run(mut self) {
        let mut failures = 0;
        while !self.is_leaving() {
            if self.is_away() {
                std::thread::sleep(POLL);
                continue;
            }
            let began = Instant::now();
            let ended = self.take_part();
            // Whatever ended the membership, the slots are somebody else's soon.
            self.lose_all();
            let Err(error) = ended else { continue };
            if matches!(
                error.kind(),
                ErrorKind::Config | ErrorKind::Denied | ErrorKind::Fatal | ErrorKind::Fenced
            ) {
                let _receiver_gone = self.events.blocking_send(SlotEvent::Failed(error));
                return;
            }
            if began.elapsed() > BACKOFF.max {
                failures = 0;
            }
            failures += 1;
            tracing::warn!(%error, "the group of workers cannot be joined yet; it is tried again");
            let until = Instant::now() + BACKOFF.after(failures);
            while !self.is_leaving() && Instant::now() < until {
                std::thread::sleep(POLL);
            }
        }
    }

    /// Takes part in the group until this worker leaves or has to stay away.
    fn take_part(&mut self) -> Result<()> {
        self.ensure_topic()?;
        let topic = self.options.topic.topic.clone();
        let mut consumer = Consumer::open(
            &self.options.consumer,
            &Subscription::Topics(vec![topic]),
            None,
            Arc::clone(&self.options.metrics),
        )?;
        // The topic is empty and stays so; nothing has to be fetched.
        consumer.pause(true)?;
        let mut looked = Instant::now();
        while !self.is_leaving() && !self.is_away() {
            if let Some(error) = consumer.fatal() {
                return Err(self.replaced(error));
            }
            if self.own.is_empty() && looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                self.restore_topic()?;
            }
            let rebalance = match consumer.poll(POLL)? {
                Some(ConsumerEvent::Rebalance(rebalance)) => rebalance,
                Some(ConsumerEvent::Record(_)) | None => continue,
            };
            self.answer(&mut consumer, rebalance)?;
        }
        while let Some(rebalance) = consumer.leave() {
            self.answer(&mut consumer, rebalance)?;
        }
        Ok(())
    }

    /// Adds to an error of fencing who has replaced this worker.
    fn replaced(&self, error: Error) -> Error {
        match (&self.options.instance, error.kind()) {
            (Some(instance), ErrorKind::Fenced) => error.and_line(&format!(
                "Another worker has joined the group with group.instance.id={instance} and has replaced \
                 this one: give each worker its own"
            )),
            _ => error,
        }
    }

    fn ensure_topic(&self) -> Result<()> {
        let wanted = &self.options.topic;
        let admin = KafkaAdmin::open(&self.options.admin, None, self.options.runtime.clone())?;
        admin.ensure(wanted).map_err(|error| match error.kind() {
            ErrorKind::Denied => error.and_line(&format!(
                "An account that may create topics can do it: kafka-topics.sh --create --topic {} \
                 --partitions {}",
                wanted.topic, wanted.partitions
            )),
            _ => error,
        })?;
        match admin.partitions(&wanted.topic)? {
            Some(there) if there != wanted.partitions => Err(Error::config(format!(
                "the topic {} has {there} partitions, but the metadata store says {}: the number \
                 never changes. Delete the topic, and the workers create it again",
                wanted.topic, wanted.partitions
            ))),
            _ => Ok(()),
        }
    }

    /// Creates the topic again if it was deleted: without it, no worker has slots. Errors: `Config`,
    /// `Denied`.
    fn restore_topic(&self) -> Result<()> {
        let topic = &self.options.topic.topic;
        let admin = KafkaAdmin::open(&self.options.admin, None, self.options.runtime.clone())?;
        match admin.partitions(topic) {
            Ok(None) => {
                tracing::warn!(
                    "the topic {topic}, whose partitions are the slots of all workers, was deleted; it is \
                     created again"
                );
                self.ensure_topic()
            }
            Ok(Some(_)) | Err(_) => Ok(()),
        }
    }

    fn answer(&mut self, consumer: &mut Consumer, rebalance: Rebalance) -> Result<()> {
        match rebalance {
            Rebalance::Assigned(partitions, reply) => {
                let from_the_start = partitions.iter().map(|at| TopicOffset {
                    topic: Arc::clone(&at.topic),
                    partition: at.partition,
                    offset: 0,
                });
                consumer.assign(reply, Ok(from_the_start.collect()))?;
                let slots = slots_of(&partitions);
                tracing::info!(slots = slots.len(), "this worker has got slots");
                self.own.extend(&slots);
                self.tell(SlotEvent::Gained(slots));
                Ok(())
            }
            Rebalance::Revoked(partitions, reply) => {
                let slots = slots_of(&partitions);
                tracing::info!(slots = slots.len(), "this worker gives slots up");
                self.own.retain(|slot| !slots.contains(slot));
                self.give_up(slots, Some(consumer));
                consumer.revoke(reply)
            }
        }
    }

    /// Waits until what lies in the slots has ended. A worker that leaves has ended it already.
    fn give_up(&self, slots: BTreeSet<u16>, consumer: Option<&Consumer>) {
        let (done, answer) = sync_channel(1);
        if self.leaving.load(Ordering::Relaxed) || !self.tell(SlotEvent::Left(slots, done)) {
            return;
        }
        let until = Instant::now() + self.options.given_up_within;
        while Instant::now() < until && !self.is_leaving() {
            match answer.recv_timeout(ANSWER_POLL) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Some(consumer) = consumer {
                // A poll keeps the membership up; its errors come back with the next one.
                drop(consumer.stay_member());
            }
        }
    }

    fn lose_all(&mut self) {
        let slots = std::mem::take(&mut self.own);
        if !slots.is_empty() {
            self.give_up(slots, None);
        }
    }

    /// Sends an event. Returns false if nobody receives it.
    fn tell(&self, event: SlotEvent) -> bool {
        self.events.blocking_send(event).is_ok()
    }
}

fn slots_of(partitions: &[TopicPartition]) -> BTreeSet<u16> {
    partitions
        .iter()
        .filter_map(|at| u16::try_from(at.partition).ok())
        .collect()
}
