//! Watches a task: what each of its two threads waits for, since when, and whether the wait ever
//! ends.
//!
//! A task that has work and makes no progress for a while shows a warning in its status. After
//! `task.progress.timeout.ms` it is cut off: it may make nothing durable any more, and is reported
//! as failed so that it is restarted. Threads that never return are counted, and at most
//! [`LEFT_MAX`] per task are left behind.
//!
//! Progress is anything that completes: a poll that finds nothing, a written batch, a chunk, a
//! commit. A call that is slow but healthy (a statement that the server still executes) keeps the
//! task's [`Heartbeat`] beating.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use connector_api::locks::TakeLock;
use connector_api::{Config, Error, ErrorKind, Heartbeat, ProgressReport, Result};

use super::TaskId;
use super::policy::number;
use crate::convert::calendar::CivilTime;
use crate::keys::PROGRESS_TIMEOUT;
use crate::metrics::{TaskMetrics, WAITS};
use crate::waiting::{ObservedWait, WaitPlace, WaitReason};

/// Default of `task.progress.timeout.ms`.
const DEFAULT: Duration = Duration::from_secs(300);
/// A stall is reported after the limit divided by this.
const WARNS_AFTER: u32 = 5;
/// How many starts of one task may hang at the same time.
const LEFT_MAX: usize = 3;
/// Prefix of the warning about a stall.
pub(super) const STALL_PREFIX: &str = "stalled: ";

/// Observations of one task: what its threads wait for, and how many of them have not ended.
#[derive(Debug, Default)]
pub(super) struct TaskWatch {
    /// What the thread that polls a source or writes to a sink waits for.
    pub front: Arc<WaitPlace>,
    /// What the thread that writes to Kafka or reads from it waits for.
    pub back: Arc<WaitPlace>,
    /// Beats during long calls of the connector.
    pub heartbeat: Heartbeat,
    /// The task has been open since it was started.
    opened: AtomicBool,
    /// Number of the task's threads and futures that have not ended.
    alive: AtomicUsize,
}

/// What a task waits for, as shown to users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitsFor {
    /// Name of the reason, such as `kafka`.
    pub what: &'static str,
    /// When the wait began: date and time in UTC.
    pub since: String,
    /// More about the wait, as reported by the connector.
    pub detail: Option<String>,
}

/// A task that has work and makes no progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StalledTask {
    pub id: TaskId,
    pub waits: WaitsFor,
    /// The stall as a sentence.
    pub text: String,
}

impl TaskWatch {
    /// Counts a thread of the task for as long as the guard lives.
    pub(super) fn enter(self: &Arc<Self>) -> AliveGuard {
        self.alive.fetch_add(1, Ordering::Relaxed);
        AliveGuard(Arc::clone(self))
    }

    /// Notes that the task has opened. Returns true if it was open before.
    pub(super) fn opened(&self) -> bool {
        self.opened.swap(true, Ordering::Relaxed)
    }

    pub(super) fn is_open(&self) -> bool {
        self.opened.load(Ordering::Relaxed)
    }

    /// Returns the milliseconds in which each thread was busy.
    pub(super) fn busy(&self) -> [u64; 2] {
        [self.front.spent().busy(), self.back.spent().busy()]
    }

    fn places(&self) -> [ObservedWait; 2] {
        [self.front.read(), self.back.read()]
    }

    /// Returns what the task as a whole waits for; work in progress takes precedence over idle
    /// waits.
    pub(super) fn waits(&self) -> WaitsFor {
        let [front, back] = self.places();
        let is_shown = |place: ObservedWait| place.what.is_work() && place.what != WaitReason::Poll;
        let one = match (is_shown(front), is_shown(back)) {
            (true, true) if back.still_for > front.still_for => back,
            (false, true) => back,
            _ => front,
        };
        WaitsFor {
            what: one.what.name(),
            since: format_utc(one.since),
            detail: self.heartbeat.description(),
        }
    }

    /// Returns the wait for work that has made no progress for the longest time.
    fn longest_stall(&self) -> Option<ObservedWait> {
        let working = self
            .places()
            .into_iter()
            .filter(|place| place.what.is_work());
        working.max_by_key(|place| place.still_for)
    }
}

/// Returned by [`TaskWatch::enter`].
#[derive(Debug)]
pub(super) struct AliveGuard(Arc<TaskWatch>);

impl Drop for AliveGuard {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads how long a task may make no progress; `None` if the key is absent, 0 for no limit. Errors:
/// `Config`.
pub fn limit(config: &Config) -> Result<Option<Duration>> {
    match number(config, PROGRESS_TIMEOUT)?.map(u64::try_from) {
        None => Ok(None),
        Some(Ok(ms)) => Ok(Some(Duration::from_millis(ms))),
        Some(Err(_)) => Err(Error::config(format!(
            "{PROGRESS_TIMEOUT} must be 0 (no limit) or a number of milliseconds"
        ))),
    }
}

/// Returns the limit of a connector: its own, else the worker's, else the default. Invalid values
/// are ignored here and reported elsewhere.
pub(super) fn limit_of(worker: &Config, connector: &Config) -> Duration {
    [connector, worker]
        .into_iter()
        .find_map(|config| limit(config).ok().flatten())
        .unwrap_or(DEFAULT)
}

/// Waits until the task has made no progress for `limit` (zero: for ever). Until then keeps its
/// warnings and the list of stalled tasks up to date. Returns the error to fail the task with.
pub(super) async fn wait_for_stall(
    id: &TaskId,
    watch: &TaskWatch,
    limit: Duration,
    progress: &Mutex<ProgressReport>,
    stalled: &StalledTasks,
) -> Error {
    let (first, first_shown) = stalled.note_start(id);
    if limit.is_zero() {
        return std::future::pending().await;
    }
    let warn_after = limit / WARNS_AFTER;
    let every = (limit / 50).clamp(Duration::from_millis(20), Duration::from_secs(1));
    let mut beats = watch.heartbeat.beats();
    let mut warning = StallWarning {
        id,
        progress,
        stalled,
        is_shown: false,
    };
    loop {
        tokio::time::sleep(every).await;
        let now = watch.heartbeat.beats();
        if std::mem::replace(&mut beats, now) != now {
            watch.front.moved();
        }
        let stall = watch.longest_stall();
        match stall.filter(|stall| stall.still_for >= warn_after) {
            Some(stall) if stall.still_for >= limit => {
                let text = describe_cut_off(watch, stall, limit);
                stalled.note(id, stall.what, format_utc(stall.still_since), &text);
                return Error::retry(text);
            }
            Some(stall) => {
                let text = describe_stall(watch, stall, limit);
                warning.show(stall.what, format_utc(stall.still_since), text);
            }
            None if !watch.is_open() && first.elapsed() >= warn_after => {
                let text = describe_failed_starts(watch, &first_shown);
                warning.show(watch.front.what(), first_shown.clone(), text);
            }
            None => warning.clear(watch.is_open()),
        }
    }
}

/// How often a task publishes what its threads have waited for.
const PUBLISHED_EVERY: Duration = Duration::from_secs(1);

/// Publishes what the task's threads have waited for, without end.
pub(super) async fn publish_waits(watch: &TaskWatch, metrics: &TaskMetrics) -> Infallible {
    let spent = || {
        let (front, back) = (watch.front.spent(), watch.back.spent());
        WAITS.map(|name| front.of(name) + back.of(name))
    };
    let mut before = spent();
    loop {
        tokio::time::sleep(PUBLISHED_EVERY).await;
        let now = spent();
        metrics.waited(now, std::mem::replace(&mut before, now));
    }
}

/// The warning about a stall, in the task's status, the list of stalled tasks and the log.
struct StallWarning<'a> {
    id: &'a TaskId,
    progress: &'a Mutex<ProgressReport>,
    stalled: &'a StalledTasks,
    is_shown: bool,
}

impl StallWarning<'_> {
    /// Shows the warning. It is logged once, until the task moves again.
    fn show(&mut self, what: WaitReason, since: String, text: String) {
        let id = self.id;
        if !std::mem::replace(&mut self.is_shown, true) {
            tracing::warn!(connector = %id.connector, task = id.task, "{text}");
        }
        self.stalled.note(id, what, since, &text);
        set_warning(self.progress, Some(text));
    }

    /// Removes the warning: the task moves. A task that is not open yet stays in the list unless it
    /// was shown: its earlier starts may have failed.
    fn clear(&mut self, is_open: bool) {
        let id = self.id;
        let was_shown = std::mem::take(&mut self.is_shown);
        if was_shown {
            tracing::info!(connector = %id.connector, task = id.task,
                "the task makes progress again");
            set_warning(self.progress, None);
        }
        if was_shown || is_open {
            self.stalled.forget(id);
        }
    }
}

/// Returns what a stalled task waits for, and since when.
fn describe_wait(watch: &TaskWatch, stall: ObservedWait) -> String {
    let since = format_utc(stall.still_since);
    let what = stall.what.text();
    let detail = watch
        .heartbeat
        .description()
        .map(|detail| format!(" ({detail})"))
        .unwrap_or_default();
    format!("since {since} it has waited for {what}{detail}")
}

/// Returns the error of a task that is cut off.
fn describe_cut_off(watch: &TaskWatch, stall: ObservedWait, limit: Duration) -> String {
    let (wait, seconds) = (describe_wait(watch, stall), limit.as_secs_f32());
    format!("the task was stalled: {wait}; after {seconds} s ({PROGRESS_TIMEOUT}) it was cut off")
}

/// Returns the warning about a stall that may still end.
fn describe_stall(watch: &TaskWatch, stall: ObservedWait, limit: Duration) -> String {
    let (wait, seconds) = (describe_wait(watch, stall), limit.as_secs_f32());
    format!(
        "{STALL_PREFIX}{wait}; after {seconds} s ({PROGRESS_TIMEOUT}) the task is cut off and \
         restarted"
    )
}

/// Returns the warning about a task whose starts have all failed since `since`.
fn describe_failed_starts(watch: &TaskWatch, since: &str) -> String {
    let what = watch.front.what().text();
    format!(
        "{STALL_PREFIX}since {since} it has been restarted repeatedly without success; it now \
         waits for {what}"
    )
}

fn set_warning(progress: &Mutex<ProgressReport>, text: Option<String>) {
    let mut progress = progress.take_lock();
    progress
        .warnings
        .retain(|warning| !warning.starts_with(STALL_PREFIX));
    progress.warnings.extend(text);
}

/// Formats a time as `2026-01-31T12:00:00.000Z`.
fn format_utc(moment: SystemTime) -> String {
    let ms = moment
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|then| i64::try_from(then.as_millis()).ok())
        .unwrap_or(0);
    let time = CivilTime::from_millis(ms);
    let CivilTime {
        year, month, day, ..
    } = time;
    let (hour, minute, second, milli) = (time.hour(), time.minute(), time.second(), time.milli());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// The stalled tasks of a worker, and what still hangs of those that were cut off.
#[derive(Debug, Default)]
pub(super) struct StalledTasks {
    stalled: Mutex<BTreeMap<TaskId, StalledTask>>,
    /// Tasks that were started and have not been open since, with the time of the first such start.
    starting: Mutex<BTreeMap<TaskId, (Instant, String)>>,
    left: Mutex<Vec<(TaskId, Arc<TaskWatch>)>>,
}

impl StalledTasks {
    fn lock_stalled(&self) -> MutexGuard<'_, BTreeMap<TaskId, StalledTask>> {
        self.stalled.take_lock()
    }

    fn lock_left_behind(&self) -> MutexGuard<'_, Vec<(TaskId, Arc<TaskWatch>)>> {
        let mut left = self.left.take_lock();
        left.retain(|(_, watch)| watch.alive.load(Ordering::Relaxed) > 0);
        left
    }

    /// Notes a start of the task. Returns the time of the first start since it was last open.
    fn note_start(&self, id: &TaskId) -> (Instant, String) {
        let mut starting = self.starting.take_lock();
        starting
            .entry(id.clone())
            .or_insert_with(|| (Instant::now(), format_utc(SystemTime::now())))
            .clone()
    }

    /// Notes that a task failed. A task that was never open and may be restarted is still starting,
    /// so it stays in the list.
    pub(super) fn failed(&self, id: &TaskId, watch: &TaskWatch, error: &Error) {
        if watch.is_open() || error.kind() != ErrorKind::Retry {
            self.forget(id);
        }
    }

    fn note(&self, id: &TaskId, what: WaitReason, since: String, text: &str) {
        let text = text.strip_prefix(STALL_PREFIX).unwrap_or(text).to_owned();
        let waits = WaitsFor {
            what: what.name(),
            since,
            detail: None,
        };
        self.lock_stalled().insert(
            id.clone(),
            StalledTask {
                id: id.clone(),
                waits,
                text,
            },
        );
    }

    /// Removes a task that moves again, has ended, or has failed for another reason.
    pub(super) fn forget(&self, id: &TaskId) {
        self.lock_stalled().remove(id);
        self.starting.take_lock().remove(id);
    }

    /// Returns all stalled tasks in the order of their ids.
    pub(super) fn all(&self) -> Vec<StalledTask> {
        self.lock_stalled().values().cloned().collect()
    }

    /// Notes that a task was cut off; its threads that never return are counted from now on.
    pub(super) fn leave(&self, id: &TaskId, watch: &Arc<TaskWatch>) {
        self.lock_left_behind()
            .push((id.clone(), Arc::clone(watch)));
    }

    /// Checks that not too many starts of this task hang. Errors: `Retry` at [`LEFT_MAX`].
    pub(super) fn check_left_behind(&self, id: &TaskId) -> Result<()> {
        let left = self
            .lock_left_behind()
            .iter()
            .filter(|(hanging, _)| hanging == id)
            .count();
        if left < LEFT_MAX {
            return Ok(());
        }
        Err(Error::retry(format!(
            "{left} earlier starts of this task were cut off and still hang, so no other one is \
             started; the next start follows once one of them returns, or with the next start of \
             the worker"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::WaitReason;

    fn id() -> TaskId {
        TaskId {
            connector: "c".into(),
            task: 0,
        }
    }

    async fn failure(watch: &TaskWatch, limit_ms: u64, stalled: &StalledTasks) -> Option<String> {
        let (id, progress) = (id(), Mutex::default());
        let limit = Duration::from_millis(limit_ms);
        let stall = wait_for_stall(&id, watch, limit, &progress, stalled);
        tokio::time::timeout(limit * 3, stall)
            .await
            .ok()
            .map(|error| error.to_string())
    }

    #[tokio::test]
    async fn what_is_under_way_and_does_not_move_fails_and_what_waits_for_others_does_not() {
        let (watch, stalled) = (TaskWatch::default(), StalledTasks::default());
        for quiet in [
            WaitReason::Nothing,
            WaitReason::Resume,
            WaitReason::Retry,
            WaitReason::Partner,
        ] {
            watch.front.enter(quiet);
            assert_eq!(failure(&watch, 60, &stalled).await, None, "{quiet:?}");
        }
        watch.back.enter(WaitReason::Kafka);
        let failed = failure(&watch, 60, &stalled).await.unwrap();
        assert!(failed.contains("it has waited for Kafka"), "{failed}");
        assert_eq!(
            stalled
                .all()
                .iter()
                .map(|s| s.waits.what)
                .collect::<Vec<_>>(),
            ["kafka"]
        );
    }

    #[tokio::test]
    async fn a_heartbeat_keeps_a_long_call_alive() {
        let (watch, stalled) = (TaskWatch::default(), StalledTasks::default());
        watch.front.enter(WaitReason::Database);
        let heartbeat = watch.heartbeat.clone();
        let beating = async {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                heartbeat.beat();
            }
        };
        tokio::select! {
            failed = failure(&watch, 200, &stalled) => assert_eq!(failed, None),
            () = beating => {}
        }
    }

    #[test]
    fn only_a_few_starts_of_a_task_may_hang() {
        let stalled = StalledTasks::default();
        let mut hanging = Vec::new();
        for _ in 0..LEFT_MAX {
            stalled.check_left_behind(&id()).unwrap();
            let watch = Arc::new(TaskWatch::default());
            hanging.push(watch.enter());
            stalled.leave(&id(), &watch);
        }
        stalled.check_left_behind(&id()).unwrap_err();
        hanging.pop();
        stalled.check_left_behind(&id()).unwrap();
    }

    #[test]
    fn a_connectors_own_limit_counts_before_the_workers() {
        let of = |value: &str| Config::from([(PROGRESS_TIMEOUT, value)]);
        let none = Config::new();
        assert_eq!(limit_of(&none, &none), DEFAULT);
        assert_eq!(limit_of(&of("7000"), &none), Duration::from_secs(7));
        assert_eq!(limit_of(&of("7000"), &of("0")), Duration::ZERO);
        assert_eq!(
            limit_of(&of("7000"), &of("${a:b}")),
            Duration::from_secs(7),
            "a reference"
        );
        limit(&of("-1")).unwrap_err();
        limit(&of("soon")).unwrap_err();
    }
}
