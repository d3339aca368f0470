//! Connecting with several attempts, hosts in order, and a limit on each.

use std::future::Future;

use connector_api::{Error, Kind, Result};
use tokio::time::{sleep, timeout};

use super::ConnectOptions;
use crate::url::Target;

/// Tries each host in order, then waits and tries again. Only errors of kind `Retry` are tried again.
pub(super) async fn attempts<'a, T, F>(
    target: &'a Target,
    options: ConnectOptions,
    connect: impl Fn(&'a Target, &'a str, u16) -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut last = Error::config(format!("connection.url names no host: {}", target.place()));
    for attempt in 1..=options.attempts.max(1) {
        for (host, port) in &target.hosts {
            let outcome = match timeout(options.timeout, connect(target, host, *port)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Error::retry(format!(
                    "no answer from {host}:{port} within {} s; check connection.url and the network",
                    options.timeout.as_secs()
                ))),
            };
            match outcome {
                Ok(session) => return Ok(session),
                Err(error) if error.kind() != Kind::Retry => return Err(error),
                Err(error) => last = error,
            }
        }
        tracing::warn!(attempt, of = options.attempts, place = target.place(), error = %last, "connecting failed");
        if attempt < options.attempts {
            sleep(options.backoff).await;
        }
    }
    Err(last)
}
