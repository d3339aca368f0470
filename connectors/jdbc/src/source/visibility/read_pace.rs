//! How often a server's list of transactions is read: often while every answer is reliable, less
//! often for a while after one that was not, because then somebody else reads the list as well.
//! Pure.

use std::time::{Duration, Instant};

use crate::dialect::OldestTransaction;

/// How long the list is read less often after the first unreliable answer.
const SLOW_AT_FIRST: Duration = Duration::from_secs(1);
/// The same if unreliable answers keep coming.
const SLOW_AT_MOST: Duration = Duration::from_secs(60);
/// An unreliable answer that comes within this time after the last slow period doubles the next one.
const REMEMBERED: Duration = Duration::from_secs(10);

/// When one server's list may be read again.
#[derive(Debug, Default)]
pub(super) struct ReadPace {
    /// When it may be read again.
    next: Option<Instant>,
    /// The slow period: its end and its length.
    slow: Option<(Instant, Duration)>,
}

impl ReadPace {
    /// Returns how long the list must not be read.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.next
            .map_or(Duration::ZERO, |next| next.saturating_duration_since(now))
    }

    /// Records that an answer has arrived. An unreliable one is followed by a wait of random
    /// length (`random` is any number), so that two processes do not disturb each other for ever.
    pub(super) fn record(
        &mut self,
        limits: &OldestTransaction,
        is_reliable: bool,
        now: Instant,
        random: u32,
    ) {
        if !is_reliable {
            self.slow_down(now);
        }
        let is_slow = self.slow.is_some_and(|(until, _)| now < until);
        let every = if is_slow {
            limits.every_beside_others
        } else {
            limits.every
        };
        let more = if is_reliable {
            Duration::ZERO
        } else {
            every.mul_f64(0.5 * f64::from(random) / f64::from(u32::MAX))
        };
        self.next = Some(now + every + more);
    }

    fn slow_down(&mut self, now: Instant) {
        let length = match self.slow {
            // Within the period: it continues.
            Some((until, length)) if now < until => length,
            Some((until, length)) if now < until + REMEMBERED => (length * 2).min(SLOW_AT_MOST),
            _ => SLOW_AT_FIRST,
        };
        self.slow = Some((now + length, length));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::ReadPace;
    use crate::dialect::{self, OldestTransaction};
    use crate::url::DatabaseKind;

    fn limits() -> OldestTransaction {
        let capabilities = dialect::of(DatabaseKind::MySql).capabilities();
        capabilities.oldest_transaction.unwrap()
    }

    #[test]
    fn the_list_is_read_less_often_for_a_while_after_an_unreliable_answer() {
        let (limits, mut pace, mut now) = (limits(), ReadPace::default(), Instant::now());
        assert_eq!(pace.wait(now), Duration::ZERO);
        pace.record(&limits, true, now, u32::MAX);
        assert_eq!(pace.wait(now), limits.every);
        now += limits.every;
        assert_eq!(pace.wait(now), Duration::ZERO);
        pace.record(&limits, false, now, 0);
        assert_eq!(pace.wait(now), limits.every_beside_others);
        now += limits.every_beside_others;
        pace.record(&limits, true, now, 0);
        assert_eq!(pace.wait(now), limits.every_beside_others);
        now += Duration::from_secs(1);
        pace.record(&limits, true, now, 0);
        assert_eq!(pace.wait(now), limits.every);
    }

    #[test]
    fn slow_periods_grow_while_unreliable_answers_keep_coming_and_are_forgotten_after_a_while() {
        let (limits, mut pace, mut now) = (limits(), ReadPace::default(), Instant::now());
        let mut lengths = Vec::new();
        for _ in 0..8 {
            pace.record(&limits, false, now, 0);
            let slow_since = now;
            while pace.slow.is_some_and(|(until, _)| now < until) {
                pace.record(&limits, true, now, 0);
                now += pace.wait(now);
            }
            lengths.push((now - slow_since).as_secs());
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60]);
        now += Duration::from_secs(11);
        pace.record(&limits, false, now, 0);
        assert_eq!(
            pace.slow.map(|(until, _)| until - now),
            Some(Duration::from_secs(1))
        );
    }

    #[test]
    fn two_processes_that_read_one_list_both_get_reliable_answers() {
        // The list is refreshed only if nobody has read it for 100 ms.
        const REFRESHED: Duration = Duration::from_millis(100);
        let limits = limits();
        let zero = Instant::now();
        let mut random = testkit::Random::new();
        let mut readers = [ReadPace::default(), ReadPace::default()];
        // Phase in which neither would ever wait long enough for the other.
        readers[1].next = Some(zero + limits.every / 2);
        let (mut last_read, mut reliable) = (zero - REFRESHED, [0_u32; 2]);
        let mut now = zero;
        while now - zero < Duration::from_secs(60) {
            let next = usize::from(readers[1].wait(now) < readers[0].wait(now));
            now += readers[next].wait(now);
            let is_reliable = now - last_read >= REFRESHED;
            last_read = now;
            reliable[next] += u32::from(is_reliable);
            let number = u32::try_from(random.below(1 << 32)).unwrap_or(u32::MAX);
            readers[next].record(&limits, is_reliable, now, number);
        }
        assert!(reliable.iter().all(|count| *count > 60), "{reliable:?}");
    }
}
