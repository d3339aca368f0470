//! The loop's access to the metadata store. One request is in progress at a time, as a job, so that
//! a store that hangs delays only what has to be stored: reads are answered from memory, and tasks
//! continue.
//!
//! A command that changes something waits for its turn, is admitted, stored, and only then takes
//! effect. State reported by tasks waits in [`PendingWrites`] until it can be stored.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use connector_api::Backoff;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::super::answer::send;
use super::super::clock::wall_ms;
use super::super::core::{self, MoveReason};
use super::super::{HerderCommand, HerderRefusal, HerderVerb};
use super::HerderLoop;
use super::pending::PendingWrites;
use super::shared::SharedRequest;
use crate::store::{StoreChange, StoreFailure, StoreNews, StoreTrouble, StoredWorker, WorkerBusy};

/// Maximum number of commands waiting for the store; further ones are refused.
const WAITING_MAX: usize = 256;
/// Back-off between attempts to reach a failing store; callers are asked to retry after its
/// maximum.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    max: Duration::from_secs(10),
};
/// How often an idle store is checked, so that a lost connection is found before it is needed.
const CHECK_EVERY: Duration = Duration::from_secs(15);
/// How often the config history is trimmed; also after [`CHANGES_BETWEEN_TRIMS`] changes.
const TRIM_EVERY: Duration = Duration::from_secs(3600);
const CHANGES_BETWEEN_TRIMS: u32 = 100;
/// How long the store may take when the worker shuts down.
const LAST_SAVE_LIMIT: Duration = Duration::from_secs(5);

/// A request in progress.
pub(super) enum StoreJob {
    /// Stores the change of a command.
    Change(HerderCommand, Vec<StoreChange>),
    /// Stores pending state of tasks.
    Save(PendingWrites),
    /// Looks up the outcome of the command in doubt.
    Resolve,
    /// Checks that the store works.
    Check,
    /// Trims the config history.
    Trim,
    /// Stores the change of a command in a shared store, at that attempt.
    SharedChange(HerderCommand, u32, Vec<StoreChange>),
    /// Reads what has changed in a shared store, or everything.
    News(bool),
    /// Claims slots.
    Claim(BTreeSet<u16>),
    /// Moves a task to another slot.
    Move(StoreChange, MoveReason),
    /// Shows that this worker is alive and how busy it is; reads the others if true.
    Beat(WorkerBusy, bool),
}

/// What a job has found.
pub(super) enum StoreOutcome {
    /// Nothing else than its success.
    Done,
    /// For [`StoreJob::Resolve`], whether the change in doubt was kept.
    Kept(Option<bool>),
    News(StoreNews),
    /// Whether everything was stored; statuses of what other workers own are not.
    Reported(bool),
    /// Whether this worker is still the one that is registered under its id, and all workers if they
    /// were read, too.
    Alive(bool, Option<Vec<StoredWorker>>),
}

/// The result of a job.
type StoreJobResult = Result<StoreOutcome, StoreFailure>;

/// The loop's side of the store.
pub(super) struct StoreWriter {
    /// Holds at most one job.
    jobs: JoinSet<StoreJobResult>,
    job: Option<StoreJob>,
    waiting: VecDeque<HerderCommand>,
    /// A command whose commit is in doubt; its caller has already been refused with that reason.
    in_doubt: Option<(HerderVerb, Vec<StoreChange>)>,
    pub(super) pending: PendingWrites,
    failing: Option<StoreFailure>,
    /// Number of consecutive failures.
    failures: u32,
    next_try: Instant,
    next_check: Instant,
    next_trim: Instant,
    changes: u32,
}

impl StoreWriter {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            jobs: JoinSet::new(),
            job: None,
            waiting: VecDeque::new(),
            in_doubt: None,
            pending: PendingWrites::default(),
            failing: None,
            failures: 0,
            next_try: now,
            next_check: now + CHECK_EVERY,
            next_trim: now,
            changes: 0,
        }
    }

    /// Waits for the job in progress.
    pub(super) async fn ended(&mut self) -> Option<Result<StoreJobResult, JoinError>> {
        self.jobs.join_next().await
    }

    /// Returns why the store fails, if it does.
    pub(super) fn failure(&self) -> Option<String> {
        self.failing.as_ref().map(|failure| failure.text.clone())
    }

    /// True if the store fails.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// True if a request is in progress.
    pub(super) fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    /// True if the store works, or may be tried again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.failing.is_none() || self.next_try <= now
    }

    /// True if the config history has to be trimmed.
    pub(super) fn is_trim_due(&self, now: Instant) -> bool {
        self.next_trim <= now
    }

    /// Counts a change, after so many of which the history is trimmed.
    pub(super) fn note_change(&mut self) {
        self.changes += 1;
        if self.changes >= CHANGES_BETWEEN_TRIMS {
            self.next_trim = Instant::now();
        }
    }

    /// Returns when [`HerderLoop::start_next_job`] has to be called again, unless something else happens
    /// first.
    pub(super) fn next_due(&self) -> Option<Instant> {
        match (&self.job, &self.failing) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(self.next_try),
            (None, None) => Some(self.next_check.min(self.next_trim)),
        }
    }
}

/// Returns the refusal that callers get for a store failure.
pub(super) fn refusal(failure: &StoreFailure) -> HerderRefusal {
    let text = &failure.text;
    let why = if failure.trouble == StoreTrouble::Changed {
        format!("{text}. Nothing was changed.")
    } else if failure.in_doubt {
        format!(
            "{text}. It is not yet known whether the change was stored; the connector will show it \
             once the store works again."
        )
    } else {
        format!("{text}. Nothing was changed; running tasks continue.")
    };
    let full = failure.trouble == StoreTrouble::Full;
    // Waiting does not help after a foreign change: what runs here was decided without it, and only
    // a restart loads it.
    let retry_after = (failure.trouble != StoreTrouble::Foreign).then_some(BACKOFF.max);
    HerderRefusal::StoreFails {
        why,
        full,
        retry_after,
    }
}

/// True if the verb may change what is stored.
pub(super) fn changes(verb: &HerderVerb) -> bool {
    matches!(
        verb,
        HerderVerb::Create { .. }
            | HerderVerb::PutConfig { .. }
            | HerderVerb::Delete { .. }
            | HerderVerb::SetTarget { .. }
            | HerderVerb::ResetTopics { .. }
    )
}

impl HerderLoop {
    /// Accepts a command: one that changes something is queued for the store, any other is executed
    /// at once.
    pub(super) fn command(&mut self, command: HerderCommand) {
        if self.group.is_some() {
            return self.shared_command(command);
        }
        if !changes(&command.verb) {
            return match core::admit(&self.state, &command.verb) {
                Ok(_) => self.execute(command.verb),
                Err(refusal) => send(command.refuse, refusal),
            };
        }
        if self.store_writer.waiting.len() >= WAITING_MAX {
            let why = format!(
                "{WAITING_MAX} changes are already waiting for the metadata store: try again later"
            );
            return send(
                command.refuse,
                HerderRefusal::StoreFails {
                    why,
                    full: false,
                    retry_after: Some(BACKOFF.max),
                },
            );
        }
        self.store_writer.waiting.push_back(command);
    }

    /// Starts the next job, unless one is in progress: first the outcome of a change in doubt, then
    /// commands in order, then pending state of tasks.
    pub(super) fn start_next_job(&mut self) {
        if self.group.is_some() {
            return self.start_next_shared_job();
        }
        if self.store_writer.job.is_some() {
            return;
        }
        let now = Instant::now();
        let due = self.store_writer.failing.is_none() || self.store_writer.next_try <= now;
        // The commit in doubt may have happened: no later change may be admitted or stored before
        // its outcome is known, since the state does not include it yet.
        if self.store_writer.in_doubt.is_some() {
            if due || !self.store_writer.waiting.is_empty() {
                self.start(StoreJob::Resolve);
            }
            return;
        }
        while let Some(command) = self.store_writer.waiting.pop_front() {
            match core::admit(&self.state, &command.verb) {
                Err(refusal) => send(command.refuse, refusal),
                Ok(writes) if writes.is_empty() => self.execute(command.verb),
                Ok(writes) => return self.start(StoreJob::Change(command, writes)),
            }
        }
        if !due {
            return;
        }
        if !self.store_writer.pending.is_empty() {
            let pending = std::mem::take(&mut self.store_writer.pending);
            self.start(StoreJob::Save(pending));
        } else if self.store_writer.failing.is_some() {
            // An empty transaction tests whether the store can be written again.
            self.start(StoreJob::Save(PendingWrites::default()));
        } else if self.store_writer.next_trim <= now {
            self.start(StoreJob::Trim);
        } else if self.store_writer.next_check <= now {
            self.start(StoreJob::Check);
        }
    }

    pub(super) fn start(&mut self, job: StoreJob) {
        let store = self.parts.store.clone();
        if self.group.is_some()
            && let Some(request) = SharedRequest::of(&job)
        {
            self.store_writer
                .jobs
                .spawn(Self::perform_shared(store, request));
            self.store_writer.job = Some(job);
            return;
        }
        let writes = match &job {
            StoreJob::Change(_, writes) => writes.clone(),
            StoreJob::Save(pending) => pending.writes(),
            _ => Vec::new(),
        };
        let jobs = &mut self.store_writer.jobs;
        let done = |()| StoreOutcome::Done;
        match job {
            StoreJob::Resolve => {
                jobs.spawn(async move { store.settle().await.map(StoreOutcome::Kept) })
            }
            StoreJob::Check => jobs.spawn(async move { store.check().await.map(done) }),
            StoreJob::Trim => jobs.spawn(async move {
                store.forget_workers().await?;
                store.trim(wall_ms()).await.map(|_| StoreOutcome::Done)
            }),
            _ => jobs.spawn(async move { store.apply(&writes, wall_ms()).await.map(done) }),
        };
        self.store_writer.job = Some(job);
    }

    /// Handles the result of a job.
    pub(super) fn job_ended(&mut self, ended: Result<StoreJobResult, JoinError>) {
        let Some(job) = self.store_writer.job.take() else {
            return;
        };
        let found = ended.unwrap_or_else(|error| {
            error!(%error, "a job of the metadata store panicked: this is a bug");
            let text =
                "the metadata store: a bug in this program; the log has the details".to_owned();
            Err(StoreFailure {
                trouble: StoreTrouble::Broken,
                text,
                in_doubt: true,
            })
        });
        self.store_writer.next_check = Instant::now() + CHECK_EVERY;
        match found {
            Ok(outcome) => {
                self.note_success();
                self.job_succeeded(job, outcome);
            }
            Err(failure) if failure.trouble == StoreTrouble::Changed => {
                self.note_success();
                self.job_failed(job, &failure);
            }
            Err(failure) => {
                self.note_failure(&failure);
                self.job_failed(job, &failure);
            }
        }
    }

    fn job_succeeded(&mut self, job: StoreJob, outcome: StoreOutcome) {
        if self.group.is_some() && !matches!(job, StoreJob::Trim) {
            return self.shared_job_succeeded(job, outcome);
        }
        match job {
            StoreJob::Change(command, writes) => self.take_effect(command.verb, &writes),
            StoreJob::Resolve => {
                let Some((verb, writes)) = self.store_writer.in_doubt.take() else {
                    return;
                };
                let kept = matches!(outcome, StoreOutcome::Kept(Some(true)));
                let connector = writes
                    .first()
                    .map(|write| write.name().to_string())
                    .unwrap_or_default();
                warn!(
                    connector,
                    kept, "the outcome of a change that was in doubt is known"
                );
                if kept {
                    self.take_effect(verb, &writes);
                }
            }
            StoreJob::Trim => {
                self.store_writer.changes = 0;
                self.store_writer.next_trim = Instant::now() + TRIM_EVERY;
            }
            _ => {}
        }
    }

    /// Executes a verb that is now stored. Pending writes that it makes obsolete are dropped first.
    fn take_effect(&mut self, verb: HerderVerb, writes: &[StoreChange]) {
        writes
            .iter()
            .for_each(|write| self.store_writer.pending.overtaken_by(write));
        self.store_writer.note_change();
        self.execute(verb);
    }

    /// Handles a failed job: refuses its command or keeps its writes for later.
    fn job_failed(&mut self, job: StoreJob, failure: &StoreFailure) {
        if self.group.is_some() {
            return self.shared_job_failed(job, failure);
        }
        match job {
            StoreJob::Change(command, writes) if failure.in_doubt => {
                // Tell the caller now that the outcome is in doubt. When it is known, the verb
                // takes effect, but no caller waits for its answer any more.
                send(command.refuse, refusal(failure));
                self.store_writer.in_doubt = Some((command.verb, writes));
            }
            StoreJob::Change(command, _) => send(command.refuse, refusal(failure)),
            StoreJob::Save(older) => self.store_writer.pending.put_back(older),
            _ => {}
        }
        // The queued commands would fail in the same way. Not so on a full disk: there may be room
        // for them.
        if failure.trouble != StoreTrouble::Full {
            let refusal = refusal(&StoreFailure {
                in_doubt: false,
                ..failure.clone()
            });
            for command in self.store_writer.waiting.drain(..) {
                send(command.refuse, refusal.clone());
            }
        }
    }

    fn note_success(&mut self) {
        self.store_writer.failures = 0;
        if self.store_writer.failing.take().is_some() {
            info!("the metadata store works again");
        }
    }

    fn note_failure(&mut self, failure: &StoreFailure) {
        let known = self
            .store_writer
            .failing
            .as_ref()
            .is_some_and(|known| known.trouble == failure.trouble);
        if !known {
            let until = if failure.trouble == StoreTrouble::Foreign {
                "this worker is restarted"
            } else {
                "it works again"
            };
            error!(
                error = failure.text,
                in_doubt = failure.in_doubt,
                "the metadata store fails: changes are refused until {until}; running tasks \
                 continue"
            );
        }
        self.store_writer.failing = Some(failure.clone());
        self.store_writer.failures = self.store_writer.failures.saturating_add(1);
        self.store_writer.next_try = Instant::now() + BACKOFF.after(self.store_writer.failures);
    }

    /// Shuts down the store access: waits for the job in progress, stores the last statuses and
    /// closes the store, within a time limit.
    pub(super) async fn save_last(&mut self) {
        let last = async {
            if let Some(ended) = self.store_writer.ended().await {
                self.job_ended(ended);
            }
            if self.store_writer.failing.is_none()
                && self.store_writer.in_doubt.is_none()
                && !self.store_writer.pending.is_empty()
            {
                let pending = self.last_writes();
                self.start(StoreJob::Save(pending));
                if let Some(ended) = self.store_writer.ended().await {
                    self.job_ended(ended);
                }
            }
        };
        if tokio::time::timeout(LAST_SAVE_LIMIT, last).await.is_err() {
            warn!("the metadata store does not answer; the last statuses are not stored");
        }
        self.store_writer.jobs.abort_all();
    }

    /// Returns what is stored last. Tasks of a plan that a shared store does not hold yet are not:
    /// the next owner plans again.
    fn last_writes(&mut self) -> PendingWrites {
        let mut pending = std::mem::take(&mut self.store_writer.pending);
        if self.group.is_some() {
            while !pending.is_statuses_only() {
                drop(pending.take_next());
            }
        }
        pending
    }
}
