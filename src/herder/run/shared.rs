//! The loop of one of several workers, which share the metadata store.
//!
//! Every command first reads what has changed in the store, so that each worker answers from the
//! present truth. A change is stored only if nothing has changed since; otherwise
//! it is admitted again. It takes effect when it is read back, here as on the other workers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, error, info};

use super::super::answer::send;
use super::super::clock::wall_ms;
use super::super::core::{self, HerderEvent, Loads, SharedEvent, WorkerShare};
use super::super::{HerderCommand, HerderRefusal, HerderVerb, ReplySender, WorkerView};
use super::balance::LoadMeter;
use super::commands::WaitingCaller;
use super::peers::Peers;
use super::store_writer::{StoreJob, StoreOutcome, changes, refusal};
use super::{FinishedJob, HerderLoop};
use crate::kafka::slots::{SlotEvent, SlotGroup};
use crate::settings::BalanceMode;
use crate::store::{StoreChange, StoreFailure, StoreNews, StoreTrouble, StoredWorker, WorkerBusy};

/// How often the store is read while something is about to change, such as a restart that a caller
/// waits for.
const NEWS_SOON: Duration = Duration::from_millis(100);
/// How often this worker shows the others that it is alive, at least.
const BEAT_EVERY: Duration = Duration::from_secs(5);
/// How often a change is tried again because other workers change the store all the time.
const ATTEMPTS: u32 = 100;
/// A worker that has got no slots for this long after its start gets requests all the same: there may
/// be more workers than slots.
const JOINED_WITHIN: Duration = Duration::from_secs(30);
/// How long the store may take to forget this worker at shutdown.
const UNREGISTERED_WITHIN: Duration = Duration::from_secs(2);
/// How long leaving the group may take at shutdown.
const LEFT_WITHIN: Duration = Duration::from_secs(4);

/// What a worker needs to be one of several.
pub(crate) struct GroupParts {
    /// This worker's membership of the group.
    pub group: SlotGroup,
    /// Receives its slots.
    pub slots: mpsc::Receiver<SlotEvent>,
    /// Number of slots of the group.
    pub slot_count: u16,
    /// How often the store is read.
    pub poll: Duration,
    /// How long this worker keeps its tasks while only others reach the store.
    pub patience: Duration,
    /// `rowferry.balance`.
    pub balance: BalanceMode,
    /// `rowferry.balance.interval.ms`.
    pub balance_interval: Duration,
    /// `scheduled.rebalance.max.delay.ms`: how long tasks of a lost worker wait for its return.
    pub return_within: Duration,
}

/// Slots that were revoked, and who waits until what lies in them has ended.
struct Handover {
    slots: BTreeSet<u16>,
    done: SyncSender<()>,
}

/// The loop's side of the group of workers.
pub(super) struct GroupWork {
    poll: Duration,
    pub(super) patience: Duration,
    /// Since when the store fails.
    pub(super) failing_since: Option<Instant>,
    /// The other workers are being asked whether they reach the store.
    pub(super) is_asking: bool,
    pub(super) peers: Peers,
    /// The other workers are being made to read the store; `Some(true)` if again afterwards.
    pub(super) nudging: Option<bool>,
    /// Commands that have to read the store first, with the number of their attempts.
    inbox: VecDeque<(HerderCommand, u32)>,
    /// Commands whose reading of the store is in progress.
    asking: Vec<(HerderCommand, u32)>,
    /// Changes that were admitted after the last reading.
    ready: VecDeque<(HerderCommand, u32)>,
    /// Changes that are stored, and take effect with the next reading.
    stored: Vec<(HerderVerb, Vec<StoreChange>)>,
    /// Slots that the group has given to this worker, and that the store does not know yet.
    to_claim: BTreeSet<u16>,
    /// Slots that are claimed, and start with the next reading.
    claimed: BTreeSet<u16>,
    /// Slots that this worker owns.
    own: BTreeSet<u16>,
    handovers: Vec<Handover>,
    /// The next reading must read everything.
    read_all: bool,
    next_news: Instant,
    pub(super) next_beat: Instant,
    pub(super) beat_every: Duration,
    pub(super) meter: LoadMeter,
    /// It has had slots since it was started.
    has_joined: bool,
    /// The workers that have registered, as last read.
    pub(super) workers: Vec<StoredWorker>,
    /// This worker was drained, or does not reach the store, and has left the group.
    pub(super) is_away: bool,
    /// Another process has registered under this worker's id.
    pub(super) is_doubled: bool,
}

impl GroupWork {
    pub(super) fn new(parts: &GroupParts) -> Self {
        let now = Instant::now();
        let beat_every = BEAT_EVERY.min(parts.balance_interval);
        Self {
            poll: parts.poll,
            patience: parts.patience,
            failing_since: None,
            is_asking: false,
            peers: Peers::default(),
            nudging: None,
            inbox: VecDeque::new(),
            asking: Vec::new(),
            ready: VecDeque::new(),
            stored: Vec::new(),
            to_claim: BTreeSet::new(),
            claimed: BTreeSet::new(),
            own: BTreeSet::new(),
            handovers: Vec::new(),
            read_all: true,
            next_news: now,
            next_beat: now + beat_every,
            beat_every,
            meter: LoadMeter::new(parts.balance_interval),
            has_joined: false,
            workers: Vec::new(),
            is_away: false,
            is_doubled: false,
        }
    }

    /// Returns when there is something to do, unless something else happens first.
    pub(super) fn next_due(&self) -> Instant {
        self.next_news.min(self.next_beat)
    }
}

impl HerderLoop {
    /// Accepts a command. While the store fails, reads are answered from memory.
    pub(super) fn shared_command(&mut self, command: HerderCommand) {
        let Some(work) = &mut self.group else { return };
        if self.store_writer.is_failing() && !changes_shared(&command.verb) {
            return self.admit_and_execute(command);
        }
        work.inbox.push_back((command, 0));
    }

    fn admit_and_execute(&mut self, command: HerderCommand) {
        match core::admit(&self.state, &command.verb) {
            Ok(_) => self.execute(command.verb),
            Err(refusal) => send(command.refuse, refusal),
        }
    }

    /// Starts the next request to the store, unless one is in progress: changes of callers first.
    pub(super) fn start_next_shared_job(&mut self) {
        if self.store_writer.is_busy() {
            return;
        }
        while let Some((command, attempt)) = self.group.as_mut().and_then(|w| w.ready.pop_front()) {
            match shared_admission(&self.state, &command.verb) {
                Err(refusal) => send(command.refuse, refusal),
                Ok(writes) if writes.is_empty() => self.answer_shared(command.verb, &writes),
                Ok(writes) => {
                    return self.start(StoreJob::SharedChange(command, attempt, writes));
                }
            }
        }
        if let Some(job) = self.next_shared_job() {
            self.start(job);
        }
    }

    fn next_shared_job(&mut self) -> Option<StoreJob> {
        let now = Instant::now();
        let due = self.store_writer.is_due(now);
        let work = self.group.as_mut()?;
        if !work.inbox.is_empty() || (due && (work.read_all || !work.stored.is_empty())) {
            work.asking.extend(work.inbox.drain(..));
            return Some(StoreJob::News(work.read_all));
        }
        if !due {
            return None;
        }
        if self.store_writer.is_failing() || work.next_news <= now {
            return Some(StoreJob::News(false));
        }
        if !work.to_claim.is_empty() {
            return Some(StoreJob::Claim(std::mem::take(&mut work.to_claim)));
        }
        let pending = &mut self.store_writer.pending;
        if !pending.is_empty() {
            return Some(StoreJob::Save(pending.take_next()));
        }
        if work.next_beat <= now {
            return Some(self.beat());
        }
        let at = self.now();
        if let Some((change, reason)) = core::next_move(&mut self.state, at) {
            return Some(StoreJob::Move(change, reason));
        }
        self.store_writer.is_trim_due(now).then_some(StoreJob::Trim)
    }

    /// Handles the success of a request that only a shared store gets.
    pub(super) fn shared_job_succeeded(&mut self, job: StoreJob, outcome: StoreOutcome) {
        let Some(work) = &mut self.group else { return };
        work.failing_since = None;
        let concerns_others = match &job {
            StoreJob::SharedChange(..) | StoreJob::Move(..) | StoreJob::Claim(_) => true,
            StoreJob::Save(saved) => saved.has_plans(),
            _ => false,
        };
        match (job, outcome) {
            (StoreJob::SharedChange(command, _, writes), _) => {
                work.stored.push((command.verb, writes));
                work.read_all = true;
                self.store_writer.note_change();
            }
            (StoreJob::News(_), StoreOutcome::News(news)) => self.take_news(news),
            (StoreJob::Claim(slots), _) => {
                work.claimed.extend(slots.intersection(&work.own));
                work.read_all = true;
            }
            (StoreJob::Save(saved), StoreOutcome::Reported(all)) => {
                if saved.has_plans() {
                    work.read_all = true;
                }
                if !all {
                    debug!("a status was not stored, because another worker owns the task");
                    work.next_news = Instant::now();
                }
            }
            (StoreJob::Move(change, reason), _) => {
                work.read_all = true;
                self.note_move(&change, reason);
            }
            (StoreJob::Beat(..), StoreOutcome::Alive(is_registered, workers)) => {
                self.beaten(is_registered, workers);
            }
            _ => {}
        }
        if concerns_others {
            self.nudge();
        }
    }

    /// Handles the failure of a request that only a shared store gets.
    pub(super) fn shared_job_failed(&mut self, job: StoreJob, failure: &StoreFailure) {
        let changed = failure.trouble == StoreTrouble::Changed;
        let Some(work) = &mut self.group else { return };
        work.read_all |= changed || failure.in_doubt;
        match job {
            StoreJob::SharedChange(command, attempt, _) if changed && attempt < ATTEMPTS => {
                work.inbox.push_front((command, attempt + 1));
            }
            StoreJob::SharedChange(command, ..) => send(command.refuse, refusal(failure)),
            StoreJob::Claim(slots) => work.to_claim.extend(slots.intersection(&work.own)),
            StoreJob::Save(older) => self.store_writer.pending.put_back(older),
            _ => {}
        }
        if changed {
            return;
        }
        self.ask_others();
        let Some(work) = &mut self.group else { return };
        // The waiting commands would fail in the same way: reads are answered from memory.
        let waiting: Vec<_> = work
            .asking
            .drain(..)
            .chain(work.inbox.drain(..))
            .chain(work.ready.drain(..))
            .collect();
        let stored = std::mem::take(&mut work.stored);
        for (command, _) in waiting {
            if changes_shared(&command.verb) {
                let failure = StoreFailure {
                    in_doubt: false,
                    ..failure.clone()
                };
                send(command.refuse, refusal(&failure));
            } else {
                self.admit_and_execute(command);
            }
        }
        // These are stored. They are shown once the store can be read again.
        for (verb, writes) in stored {
            self.answer_shared(verb, &writes);
        }
    }

    /// Takes over what the store holds, and answers those who waited for it.
    fn take_news(&mut self, news: StoreNews) {
        match news {
            StoreNews::Nothing => {}
            StoreNews::Statuses(statuses) => {
                self.step(HerderEvent::Shared(SharedEvent::StatusesRead(statuses)));
            }
            StoreNews::Everything(snapshot) => self.revise(snapshot),
        }
        self.come_or_go();
        let soon = self.state.awaits_others();
        let Some(work) = &mut self.group else { return };
        work.next_news = Instant::now() + if soon { NEWS_SOON } else { work.poll };
        work.read_all = false;
        let (stored, asking) = (
            std::mem::take(&mut work.stored),
            std::mem::take(&mut work.asking),
        );
        let claimed = std::mem::take(&mut work.claimed);
        if !claimed.is_empty() {
            work.has_joined = true;
            self.step(HerderEvent::Shared(SharedEvent::SlotsGained(claimed)));
        }
        for (verb, writes) in stored {
            self.answer_shared(verb, &writes);
        }
        for (command, attempt) in asking {
            if !changes_shared(&command.verb) {
                self.admit_and_execute(command);
            } else if let Some(work) = &mut self.group {
                work.ready.push_back((command, attempt));
            }
        }
    }

    fn revise(&mut self, mut snapshot: crate::store::StoreSnapshot) {
        let before = self.state.names();
        self.store_writer.pending.add_topics(&mut snapshot);
        let forgotten = snapshot.connectors.iter().any(|stored| {
            let known = self.state.topics(&stored.name);
            known.iter().any(|topic| !stored.topics.contains(&**topic))
        });
        if forgotten {
            self.parts.worker.forget_topics();
        }
        let workers = snapshot
            .workers
            .iter()
            .map(|worker| (Arc::from(worker.id.as_str()), worker.draining))
            .collect();
        self.state.measured(Loads::of(&snapshot.workers));
        if let Some(work) = &mut self.group {
            let me = &self.parts.worker_id;
            work.workers = snapshot.workers;
            let others = work.workers.iter().filter(|other| *other.id != **me);
            work.peers.set(others.map(|other| other.url.clone()));
            // A worker that was frozen may have claimed what is this worker's by now.
            let foreign = |slot: &&u16| snapshot.slots.get(slot).is_none_or(|owner| owner != me);
            let again: Vec<u16> = work.own.iter().filter(foreign).copied().collect();
            work.to_claim.extend(again);
        }
        let connectors = snapshot
            .connectors
            .into_iter()
            .map(|stored| (self.direction(&stored.config), stored))
            .map(|(direction, stored)| (stored, direction))
            .collect();
        self.step(HerderEvent::Shared(SharedEvent::Revised {
            connectors,
            slots: snapshot.slots,
            workers,
        }));
        for name in before.difference(&self.state.names()) {
            if let Some(plan) = self.plans.remove(name) {
                plan.abort();
            }
            self.parts.worker.metrics().forget(name);
        }
        let state = &self.state;
        self.store_writer
            .pending
            .retain_current(|name, revision| state.is_current(name, revision));
    }

    /// Leaves the group when this worker is drained and has nothing left, and comes back when it is
    /// not to be drained any more.
    fn come_or_go(&mut self) {
        let (drained, draining) = (
            core::is_drained(&self.state),
            self.state.is_draining(&self.parts.worker_id),
        );
        let (Some(work), Some(parts)) = (&mut self.group, &self.parts.group) else {
            return;
        };
        if work.is_away && !draining {
            info!("this worker joins the group again");
        } else if !work.is_away && drained {
            info!("this worker is drained: it has left the group and has no tasks");
        } else {
            return;
        }
        work.is_away = !work.is_away;
        parts.group.stay_away(work.is_away);
    }

    /// True of one of several workers that has just started and has no slots yet.
    pub(super) fn is_joining(&self) -> bool {
        let waits = self.group.as_ref().is_some_and(|work| !work.has_joined);
        waits && self.started.elapsed() < JOINED_WITHIN
    }

    /// Answers with the workers of the group; as last read if the store fails.
    pub(super) fn workers(&mut self, reply: ReplySender<Vec<WorkerView>>) {
        let me = Arc::clone(&self.parts.worker_id);
        let view = move |worker: StoredWorker, shares: &BTreeMap<Arc<str>, WorkerShare>| {
            let share = shares.get(&*worker.id).copied().unwrap_or_default();
            let load = worker.busy.as_ref().map(WorkerBusy::load);
            WorkerView {
                load,
                is_asked: *me == *worker.id,
                worker,
                share,
            }
        };
        let shares = core::shares(&self.state);
        let Some(work) = &self.group else {
            let (connectors, tasks) = self.state.counts();
            let share = WorkerShare {
                slots: 0,
                connectors,
                tasks,
            };
            let alone = BTreeMap::from([(Arc::clone(&self.parts.worker_id), share)]);
            return send(reply, Ok(vec![view(self.alone(), &alone)]));
        };
        let (last, store) = (work.workers.clone(), self.parts.store.clone());
        self.jobs.spawn(async move {
            let workers = store.workers().await.unwrap_or(last);
            let views = workers.into_iter().map(|worker| view(worker, &shares));
            send(reply, Ok(views.collect()));
            FinishedJob::Answered
        });
    }

    /// Returns this worker, which is the only one.
    fn alone(&self) -> StoredWorker {
        let now = wall_ms();
        let up = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        StoredWorker {
            id: self.parts.worker_id.to_string(),
            url: self.parts.url.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: now.saturating_sub(up),
            seen_ms: now,
            unseen_ms: 0,
            draining: false,
            busy: None,
        }
    }

    /// Answers a caller whose change is stored and has taken effect.
    fn answer_shared(&mut self, verb: HerderVerb, writes: &[StoreChange]) {
        match verb {
            HerderVerb::Create { name, reply, .. } => self.reply_view(&name, reply),
            HerderVerb::PutConfig { name, reply, .. } => {
                let new = matches!(writes.first(), Some(StoreChange::Create { .. }));
                send(reply, self.view(&name).map(|view| (view, new)));
            }
            HerderVerb::Delete { reply, .. } => send(reply, Ok(())),
            HerderVerb::SetTarget { reply, .. } => send(reply, Ok(())),
            HerderVerb::ResetTopics { reply, .. } => {
                self.parts.worker.forget_topics();
                send(reply, Ok(()));
            }
            HerderVerb::Restart {
                name,
                include_tasks,
                only_failed,
                reply,
            } => {
                let plain = !include_tasks && !only_failed;
                let caller = if plain {
                    WaitingCaller::Connector(name.clone(), reply)
                } else {
                    WaitingCaller::All(self.view(&name), reply)
                };
                self.await_restart(&name, writes, plain, caller);
            }
            HerderVerb::RestartTask { name, reply, .. } => {
                self.await_restart(&name, writes, false, WaitingCaller::Task(reply));
            }
            other => self.execute(other),
        }
    }

    fn await_restart(
        &mut self,
        name: &str,
        writes: &[StoreChange],
        plain: bool,
        caller: WaitingCaller,
    ) {
        let (connector, tasks) = match writes.first() {
            Some(StoreChange::Restart {
                connector, tasks, ..
            }) => (*connector, tasks.clone()),
            _ => (false, Vec::new()),
        };
        let ticket = self.wait(caller);
        self.step(HerderEvent::Shared(SharedEvent::AwaitRestart {
            name: Arc::from(name),
            connector,
            tasks,
            ticket,
            plain,
        }));
        if let Some(work) = &mut self.group {
            work.next_news = work.next_news.min(Instant::now() + NEWS_SOON);
        }
    }

    /// Handles a change of this worker's slots.
    pub(super) fn slot_event(&mut self, event: SlotEvent) {
        let Some(work) = &mut self.group else { return };
        match event {
            SlotEvent::Gained(slots) => {
                work.own.extend(&slots);
                work.to_claim.extend(slots);
            }
            SlotEvent::Left(slots, done) => {
                for of in [&mut work.own, &mut work.to_claim, &mut work.claimed] {
                    of.retain(|slot| !slots.contains(slot));
                }
                self.step(HerderEvent::Shared(SharedEvent::SlotsLeft(slots.clone())));
                if let Some(work) = &mut self.group {
                    work.handovers.push(Handover { slots, done });
                }
            }
            SlotEvent::Failed(error) => {
                error!(%error, "this worker cannot be one of several, and ends");
                self.failed = Some(error);
            }
        }
        if let Some(work) = &self.group {
            self.parts.worker.metrics().has_slots(work.own.len());
        }
    }

    /// Tells the group of slots in which nothing runs any more.
    pub(super) fn finish_handovers(&mut self) {
        // Their new owners start at once if they find stored that their tasks have ended.
        let is_told = self.store_writer.pending.is_empty() && !self.store_writer.is_busy();
        if !is_told && !self.store_writer.is_failing() {
            return;
        }
        let Some(work) = &mut self.group else { return };
        let state = &self.state;
        work.handovers.retain(|handover| {
            let runs = state.runs_in(&handover.slots);
            if !runs {
                // It does not wait any more if this took too long.
                let _waits_no_more = handover.done.try_send(());
            }
            runs
        });
    }

    /// Stores the last statuses and leaves the group, so that others take over at once.
    pub(super) async fn leave_group(&mut self) {
        let Some(parts) = self.parts.group.take() else {
            return;
        };
        drop(tokio::time::timeout(UNREGISTERED_WITHIN, self.parts.store.unregister()).await);
        drop(parts.slots);
        parts.group.leave(LEFT_WITHIN).await;
    }

    /// Performs a request that only a shared store gets.
    pub(super) async fn perform_shared(
        store: crate::store::Store,
        job: SharedRequest,
    ) -> Result<StoreOutcome, StoreFailure> {
        let now = wall_ms();
        match job {
            SharedRequest::Change(writes) => {
                store.apply(&writes, now).await?;
                Ok(StoreOutcome::Reported(true))
            }
            SharedRequest::Report(statuses) => {
                let all = store.report(&statuses, now).await?;
                Ok(StoreOutcome::Reported(all))
            }
            SharedRequest::News(all) => Ok(StoreOutcome::News(store.news(all).await?)),
            SharedRequest::Claim(slots) => {
                let slots: Vec<u16> = slots.into_iter().collect();
                store.claim(&slots, now).await?;
                Ok(StoreOutcome::Done)
            }
            SharedRequest::Move(change) => {
                store.move_tasks(&[change], now).await?;
                Ok(StoreOutcome::Done)
            }
            SharedRequest::Beat(busy, reads) => {
                let is_registered = store.beat(&busy).await?;
                let workers = if reads {
                    Some(store.workers().await?)
                } else {
                    None
                };
                Ok(StoreOutcome::Alive(is_registered, workers))
            }
        }
    }
}

/// A request to a shared store.
pub(super) enum SharedRequest {
    Change(Vec<StoreChange>),
    Report(Vec<StoreChange>),
    News(bool),
    Claim(BTreeSet<u16>),
    Move(StoreChange),
    Beat(WorkerBusy, bool),
}

impl SharedRequest {
    /// Returns the request of a job; `None` if it is one of any store.
    pub(super) fn of(job: &StoreJob) -> Option<Self> {
        Some(match job {
            StoreJob::SharedChange(_, _, writes) => Self::Change(writes.clone()),
            StoreJob::Save(pending) if pending.is_statuses_only() => Self::Report(pending.writes()),
            StoreJob::Save(pending) => Self::Change(pending.writes()),
            StoreJob::News(all) => Self::News(*all),
            StoreJob::Claim(slots) => Self::Claim(slots.clone()),
            StoreJob::Move(change, _) => Self::Move(change.clone()),
            StoreJob::Beat(busy, reads) => Self::Beat(busy.clone(), *reads),
            StoreJob::Change(..) | StoreJob::Resolve | StoreJob::Check | StoreJob::Trim => {
                return None;
            }
        })
    }
}

/// True if the verb may change what a shared store holds.
fn changes_shared(verb: &HerderVerb) -> bool {
    changes(verb)
        || matches!(
            verb,
            HerderVerb::Restart { .. } | HerderVerb::RestartTask { .. } | HerderVerb::Drain { .. }
        )
}

/// Returns what a verb writes to a shared store; empty if nothing has to change.
fn shared_admission(
    state: &core::HerderState,
    verb: &HerderVerb,
) -> Result<Vec<StoreChange>, HerderRefusal> {
    let writes = core::admit(state, verb)?;
    let (name, (connector, tasks)) = match verb {
        HerderVerb::Restart {
            name,
            include_tasks,
            only_failed,
            ..
        } => (
            name,
            core::restarted(state, name, *include_tasks, *only_failed),
        ),
        HerderVerb::RestartTask { name, task, .. } => (name, (false, vec![*task])),
        // The same config again starts a connector again that has failed.
        HerderVerb::PutConfig { name, .. } if writes.is_empty() => {
            (name, core::restarted_if_failed(state, name))
        }
        _ => return Ok(writes),
    };
    if !connector && tasks.is_empty() {
        return Ok(writes);
    }
    Ok(vec![StoreChange::Restart {
        name: Arc::from(name.as_str()),
        connector,
        tasks,
    }])
}
