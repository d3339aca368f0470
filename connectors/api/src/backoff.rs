//! How long to wait between attempts. Pure: the caller counts its failures and keeps the clock.

use std::time::Duration;

/// Waits that begin with `first` and double with each failure in a row, up to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Backoff {
    /// The wait before the next attempt, after that many failures in a row.
    pub fn after(self, failures: u32) -> Duration {
        // More doublings than this reach every limit there is, and one shift more would overflow.
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
