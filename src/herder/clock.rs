//! The loop's clock; the core has none.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Sleeps until `due`; without one, for ever.
pub(super) async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Returns the milliseconds since 1970-01-01 UTC.
pub(super) fn wall_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
