//! Delays between attempts. Pure: the caller counts its failures and keeps the clock.

use std::time::Duration;

/// Exponential back-off: delays start at `first` and double with each consecutive failure, up to
/// `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Delay after the first failure.
    pub first: Duration,
    /// Upper bound of the delay.
    pub max: Duration,
}

impl Backoff {
    /// Returns the delay before the next attempt, after `failures` consecutive failures.
    pub fn after(self, failures: u32) -> Duration {
        // 20 doublings exceed every practical limit; more would overflow the shift.
        let doublings = failures.saturating_sub(1).min(20);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_the_first_to_the_longest() {
        let backoff = Backoff {
            first: Duration::from_millis(300),
            max: Duration::from_secs(1),
        };
        let waits = [0, 1, 2, 3, u32::MAX].map(|failures| backoff.after(failures).as_millis());
        assert_eq!(waits, [300, 300, 600, 1000, 1000]);
    }
}
