//! Records what each thread of a task waits for, and since when. The waiting code writes it once
//! per call or batch, and the worker's watch reads it. A write costs two relaxed stores and a clock
//! read; nothing here runs per record.
//!
//! This module knows no tasks. Code far from the task it works for (such as a converter that asks
//! its registry) records the wait for the thread that it runs on.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

/// What a thread waits for or works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WaitReason {
    /// Nothing to do: no new rows, no records.
    Nothing,
    /// The task to be resumed.
    Resume,
    /// The time of the next retry; a warning gives the reason.
    Retry,
    /// The task's other thread, which records its own wait.
    Partner,
    /// Everything before the first work: config providers, the first connection.
    Opening,
    /// The source's next rows.
    Source,
    /// The sink writing a batch.
    Database,
    Kafka,
    /// A poll for records, which returns within moments with or without any.
    Poll,
    /// A converter, a transform or a schema registry.
    Converter,
    DeadLetters,
}

const ALL: [WaitReason; 11] = [
    WaitReason::Nothing,
    WaitReason::Resume,
    WaitReason::Retry,
    WaitReason::Partner,
    WaitReason::Opening,
    WaitReason::Source,
    WaitReason::Database,
    WaitReason::Kafka,
    WaitReason::Poll,
    WaitReason::Converter,
    WaitReason::DeadLetters,
];

impl WaitReason {
    /// Returns the name used in REST answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing | Self::Poll => "nothing",
            Self::Resume => "resume",
            Self::Retry => "retry",
            Self::Partner => "partner",
            Self::Opening => "opening",
            Self::Source => "source",
            Self::Database => "database",
            Self::Kafka => "kafka",
            Self::Converter => "converter",
            Self::DeadLetters => "dead_letters",
        }
    }

    /// Returns the text that follows "waits for".
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Nothing => "new records",
            Self::Resume => "being resumed",
            Self::Retry => "its next attempt",
            Self::Partner => "its other thread",
            Self::Opening => "its connector to open",
            Self::Source => "the source to answer",
            Self::Database => "the database to answer",
            Self::Kafka => "Kafka",
            Self::Poll => "Kafka to answer a poll",
            Self::Converter => "a converter, a transform or the schema registry",
            Self::DeadLetters => "the dead-letter topic",
        }
    }

    /// True if the wait is for work that has to complete. The other waits end on their own, or
    /// last as long as a user wants.
    pub(crate) fn is_work(self) -> bool {
        !matches!(
            self,
            Self::Nothing | Self::Resume | Self::Retry | Self::Partner
        )
    }
}

/// Returns when this process first asked, on both clocks.
fn began() -> (Instant, SystemTime) {
    static BEGAN: OnceLock<(Instant, SystemTime)> = OnceLock::new();
    *BEGAN.get_or_init(|| (Instant::now(), SystemTime::now()))
}

/// Returns the milliseconds since [`began`].
fn now_ms() -> u64 {
    u64::try_from(began().0.elapsed().as_millis()).unwrap_or(u64::MAX >> KIND_BITS)
}

/// Converts a time of [`now_ms`] to wall-clock time. The result for a given time never changes.
fn wall(ms: u64) -> SystemTime {
    began().1 + Duration::from_millis(ms)
}

const KIND_BITS: u32 = 8;

/// What one thread of a task waits for.
#[derive(Debug, Default)]
pub(crate) struct WaitPlace {
    /// Milliseconds since [`began`], shifted left, and the reason: one value, so that a reader
    /// never sees half an update.
    since: AtomicU64,
    /// When something last completed.
    moved: AtomicU64,
    /// Milliseconds of all earlier waits, by reason.
    spent: [AtomicU64; ALL.len()],
}

/// How long a thread has waited for each reason since it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpentTimes([u64; ALL.len()]);

impl SpentTimes {
    /// Returns the milliseconds of the reasons with that name.
    pub(crate) fn of(self, name: &str) -> u64 {
        let named = ALL
            .iter()
            .zip(self.0)
            .filter(|(what, _)| what.name() == name);
        named.map(|(_, spent)| spent).sum()
    }

    /// Returns the milliseconds in which the thread worked, or waited for its work to be done.
    pub(crate) fn busy(self) -> u64 {
        let is_busy = |what: &WaitReason| what.is_work() && *what != WaitReason::Poll;
        let busy = ALL.iter().zip(self.0).filter(|(what, _)| is_busy(what));
        busy.map(|(_, spent)| spent).sum()
    }
}

/// A snapshot of a [`WaitPlace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObservedWait {
    pub what: WaitReason,
    pub since: SystemTime,
    /// When something last completed; not before `since`.
    pub still_since: SystemTime,
    /// Time since `still_since`.
    pub still_for: Duration,
}

impl WaitPlace {
    /// Records that the thread now waits for `what`; does nothing if it already does.
    pub(crate) fn enter(&self, what: WaitReason) {
        self.enter_since(what, Duration::ZERO);
    }

    /// Like [`WaitPlace::enter`], for a wait that was noticed only now and has already lasted that
    /// long.
    pub(crate) fn enter_since(&self, what: WaitReason, lasted: Duration) {
        let (before, began) = self.what_since();
        if before != what {
            let lasted = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
            let since = now_ms().saturating_sub(lasted);
            self.add_spent(before, since.saturating_sub(began));
            self.moved.store(since, Ordering::Relaxed);
            self.since.store(
                since << KIND_BITS | u64::from(what as u8),
                Ordering::Relaxed,
            );
        }
    }

    /// Notes progress within the current wait, such as a poll that found nothing.
    pub(crate) fn moved(&self) {
        self.moved.store(now_ms(), Ordering::Relaxed);
    }

    /// Records a wait that ends when the guard is dropped.
    pub(crate) fn note(self: &Arc<Self>, what: WaitReason) -> WaitGuard {
        let before = self.what();
        self.enter(what);
        WaitGuard {
            place: Some(Arc::clone(self)),
            before,
        }
    }

    fn add_spent(&self, what: WaitReason, ms: u64) {
        if let Some(spent) = self.spent.get(what as usize) {
            spent.fetch_add(ms, Ordering::Relaxed);
        }
    }

    /// Returns what the thread waits for, and since when on the clock of [`now_ms`].
    fn what_since(&self) -> (WaitReason, u64) {
        let both = self.since.load(Ordering::Relaxed);
        let kind = usize::try_from(both & ((1 << KIND_BITS) - 1)).ok();
        let what = kind.and_then(|kind| ALL.get(kind)).copied();
        (what.unwrap_or(WaitReason::Nothing), both >> KIND_BITS)
    }

    pub(crate) fn what(&self) -> WaitReason {
        self.what_since().0
    }

    /// Returns how long the thread has waited for each reason, including the current wait.
    pub(crate) fn spent(&self) -> SpentTimes {
        let mut spent = self.spent.each_ref().map(|ms| ms.load(Ordering::Relaxed));
        let (what, since) = self.what_since();
        // A place that nothing was recorded at yet has waited for nothing.
        if since > 0
            && let Some(ms) = spent.get_mut(what as usize)
        {
            *ms += now_ms().saturating_sub(since);
        }
        SpentTimes(spent)
    }

    /// Returns a snapshot.
    pub(crate) fn read(&self) -> ObservedWait {
        let (what, since) = self.what_since();
        let still = self.moved.load(Ordering::Relaxed).max(since);
        let still_for = Duration::from_millis(now_ms().saturating_sub(still));
        ObservedWait {
            what,
            since: wall(since),
            still_since: wall(still),
            still_for,
        }
    }
}

thread_local! {
    static HERE: RefCell<Option<Arc<WaitPlace>>> = const { RefCell::new(None) };
}

/// Makes the current thread work for that place until the guard is dropped.
pub(crate) fn work_for(place: &Arc<WaitPlace>) -> WorkGuard {
    WorkGuard(HERE.with(|here| here.replace(Some(Arc::clone(place)))))
}

/// Returned by [`work_for`].
#[derive(Debug)]
pub(crate) struct WorkGuard(Option<Arc<WaitPlace>>);

impl Drop for WorkGuard {
    fn drop(&mut self) {
        HERE.with(|here| here.replace(self.0.take()));
    }
}

/// Records what the current thread waits for until the guard is dropped. Does nothing if the thread
/// works for no task.
#[cfg(any(feature = "avro", feature = "json-schema", feature = "protobuf", test))]
pub(crate) fn wait_for(what: WaitReason) -> WaitGuard {
    let place = HERE.with(|here| here.borrow().clone());
    place.map_or(
        WaitGuard {
            place: None,
            before: WaitReason::Nothing,
        },
        |place| place.note(what),
    )
}

/// Notes progress within the current thread's wait.
pub(crate) fn moved() {
    HERE.with(|here| {
        if let Some(place) = &*here.borrow() {
            place.moved();
        }
    });
}

/// Returned by [`wait_for`].
#[derive(Debug)]
pub(crate) struct WaitGuard {
    place: Option<Arc<WaitPlace>>,
    before: WaitReason,
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            place.enter(self.before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_as_it_was_written_and_its_time_goes_on() {
        let place = WaitPlace::default();
        for (number, kind) in ALL.into_iter().enumerate() {
            assert_eq!(usize::from(kind as u8), number, "{kind:?}");
            place.enter(kind);
            assert_eq!(place.what(), kind);
        }
        let before = place.since.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(5));
        place.enter(WaitReason::DeadLetters);
        assert_eq!(
            place.since.load(Ordering::Relaxed),
            before,
            "it was that already"
        );
        let waiting = place.read();
        assert!(
            waiting.still_for >= Duration::from_millis(5) && waiting.still_since == waiting.since,
            "{waiting:?}"
        );
        assert_eq!(
            place.read().since,
            waiting.since,
            "it does not depend on when it is read"
        );
        place.moved();
        let waiting = place.read();
        assert!(waiting.still_since > waiting.since, "{waiting:?}");
        std::thread::sleep(Duration::from_millis(5));
        place.enter_since(WaitReason::Kafka, Duration::from_millis(4));
        let waiting = place.read();
        assert!(
            waiting.still_for >= Duration::from_millis(4) && waiting.still_since == waiting.since,
            "{waiting:?}"
        );
    }

    #[test]
    fn the_time_of_each_wait_is_added_up_and_the_current_one_counts() {
        let place = WaitPlace::default();
        place.enter(WaitReason::Kafka);
        std::thread::sleep(Duration::from_millis(20));
        place.enter(WaitReason::Source);
        let kafka = place.spent().of("kafka");
        assert!(kafka >= 20, "{kafka}");
        std::thread::sleep(Duration::from_millis(20));
        let spent = place.spent();
        assert_eq!(spent.of("kafka"), kafka);
        assert!(spent.of("source") >= 20, "{spent:?}");
        place.enter_since(WaitReason::Kafka, Duration::from_millis(5));
        assert!(place.spent().of("kafka") >= kafka + 5);
    }

    #[test]
    fn a_thread_notes_for_the_place_that_it_works_for() {
        let place = Arc::new(WaitPlace::default());
        place.enter(WaitReason::Source);
        drop(wait_for(WaitReason::Converter));
        assert_eq!(place.what(), WaitReason::Source, "it works for nobody yet");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _at_work = work_for(&place);
                let noted = wait_for(WaitReason::Converter);
                assert_eq!(place.what(), WaitReason::Converter);
                drop(noted);
                assert_eq!(place.what(), WaitReason::Source);
            });
        });
    }
}
