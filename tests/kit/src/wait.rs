//! Waiting for conditions, never for fixed times.

use std::time::{Duration, Instant};

/// Asks `check` again and again until it gives a value. Panics with `what` after `within`.
pub async fn wait_until<T>(
    what: &str,
    within: Duration,
    mut check: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + within;
    let mut pause = Duration::from_millis(10);
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(Instant::now() < end, "waited {within:?} in vain: {what}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Like [`wait_until`] for a yes-or-no condition.
pub async fn for_condition(what: &str, within: Duration, mut check: impl AsyncFnMut() -> bool) {
    wait_until(what, within, async || check().await.then_some(())).await;
}
