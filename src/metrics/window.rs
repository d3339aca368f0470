//! Averages, maxima and rates over the last minute, computed as Kafka's `Rate`, `Avg` and `Max` with
//! their defaults (two samples of 30 s: `metrics.num.samples`, `metrics.sample.window.ms`), so that
//! the same panel shows the same curve. Pure: the time is passed in.

/// Length of one sample.
const SAMPLE_MS: u64 = 30_000;

/// What happened within one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    since_ms: u64,
    count: u64,
    sum: f64,
    max: f64,
    min: f64,
}

/// The last two samples: between 30 and 60 seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Window {
    now: Option<Sample>,
    before: Option<Sample>,
}

impl Window {
    /// Adds a value.
    pub(crate) fn add(&mut self, now_ms: u64, value: f64) {
        let is_over = |sample: &Sample| now_ms.saturating_sub(sample.since_ms) >= SAMPLE_MS;
        if self.now.as_ref().is_none_or(is_over) {
            self.before = self.now.take();
        }
        let sample = self.now.get_or_insert(Sample {
            since_ms: now_ms,
            count: 0,
            sum: 0.0,
            max: f64::NEG_INFINITY,
            min: f64::INFINITY,
        });
        sample.count += 1;
        sample.sum += value;
        sample.max = sample.max.max(value);
        sample.min = sample.min.min(value);
    }

    /// Returns the samples that are not too old.
    fn samples(&self, now_ms: u64) -> impl Iterator<Item = &Sample> {
        let is_recent =
            move |sample: &&Sample| now_ms.saturating_sub(sample.since_ms) < 2 * SAMPLE_MS;
        self.before.iter().chain(&self.now).filter(is_recent)
    }

    /// Returns the sum of the values per second; 0 without values.
    pub(crate) fn rate(&self, now_ms: u64) -> f64 {
        let sum: f64 = self.samples(now_ms).map(|sample| sample.sum).sum();
        let Some(oldest) = self.samples(now_ms).map(|sample| sample.since_ms).min() else {
            return 0.0;
        };
        // As Kafka does: at least one sample before the current one counts as elapsed, or the first
        // values would look like a burst.
        let elapsed = now_ms.saturating_sub(oldest).max(SAMPLE_MS);
        sum / seconds(elapsed)
    }

    /// Returns the mean of the values; `None` without values.
    pub(crate) fn average(&self, now_ms: u64) -> Option<f64> {
        let (count, sum) = self
            .samples(now_ms)
            .fold((0, 0.0), |(count, sum), s| (count + s.count, sum + s.sum));
        (count > 0).then(|| sum / as_f64(count))
    }

    /// Returns the largest value; `None` without values.
    pub(crate) fn max(&self, now_ms: u64) -> Option<f64> {
        self.samples(now_ms).map(|s| s.max).reduce(f64::max)
    }

    /// Returns the smallest value; `None` without values.
    pub(crate) fn min(&self, now_ms: u64) -> Option<f64> {
        self.samples(now_ms).map(|s| s.min).reduce(f64::min)
    }
}

/// Converts a count; counts stay far below the 2^53 that are exact.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}

/// Converts milliseconds to seconds.
pub(crate) fn seconds(ms: u64) -> f64 {
    as_f64(ms) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn averages_and_extremes_cover_the_last_two_samples() {
        let mut window = Window::default();
        assert_eq!((window.average(0), window.max(0)), (None, None));
        window.add(1_000, 10.0);
        window.add(2_000, 30.0);
        assert_eq!(window.average(3_000), Some(20.0));
        window.add(40_000, 2.0);
        assert_eq!(window.max(40_000), Some(30.0));
        assert_eq!(window.min(40_000), Some(2.0));
        assert_eq!(window.average(40_000), Some(14.0));
        // The first sample is older than a minute.
        assert_eq!(window.max(61_000), Some(2.0));
        assert_eq!(window.average(100_000), None);
    }

    #[test]
    fn a_rate_begins_as_if_half_a_minute_had_passed_and_falls_to_zero_when_nothing_happens() {
        let mut window = Window::default();
        assert!(window.rate(0).abs() < f64::EPSILON);
        window.add(1_000, 300.0);
        assert!((window.rate(1_000) - 10.0).abs() < 1e-9);
        assert!((window.rate(31_000) - 10.0).abs() < 1e-9);
        assert!((window.rate(51_000) - 6.0).abs() < 1e-9);
        assert!(window.rate(61_000).abs() < f64::EPSILON);
    }
}
