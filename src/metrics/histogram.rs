//! A histogram with fixed bounds. Pure.

/// Upper bounds of the buckets in seconds: from a commit on a fast disk to a batch that waits for a
/// lock.
pub(crate) const BOUNDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

/// How often a duration was within each bound.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Histogram {
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Histogram {
    /// Adds a duration in seconds.
    pub(crate) fn add(&mut self, seconds: f64) {
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound);
        if let Some(count) = self.counts.get_mut(bucket.unwrap_or(BOUNDS.len())) {
            *count += 1;
        }
        self.sum += seconds;
    }

    /// Returns the sum of all durations.
    pub(crate) fn sum(&self) -> f64 {
        self.sum
    }

    /// Returns the number of durations.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns each bound with the number of durations in its bucket alone; the last bound is
    /// infinite, which the encoder writes as `+Inf`.
    pub(crate) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().copied().chain([f64::INFINITY]);
        bounds.zip(self.counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{BOUNDS, Histogram};

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_holds_it() {
        let mut histogram = Histogram::default();
        for seconds in [0.0005, 0.001, 0.3, 3600.0] {
            histogram.add(seconds);
        }
        let buckets = histogram.buckets();
        assert_eq!(buckets.len(), BOUNDS.len() + 1);
        assert_eq!(buckets[0], (0.001, 2));
        assert_eq!(buckets[8], (0.5, 1));
        assert_eq!(buckets[14], (f64::INFINITY, 1));
        assert_eq!(histogram.count(), 4);
        assert!((histogram.sum() - 3600.3015).abs() < 1e-9);
    }
}
