//! Connects with several attempts, hosts in order, and a timeout for each.

use std::future::Future;

use connector_api::{Error, ErrorKind, Result};
use tokio::time::timeout;

use super::ConnectOptions;
use super::panic_safe::catch_panics;
use super::watchdog::wait_before_retry;
use crate::url::ConnectionTarget;

/// Tries each host in order, then waits and repeats. Only errors of kind `Retry` are retried.
pub(super) async fn attempts<'a, T, F>(
    target: &'a ConnectionTarget,
    options: ConnectOptions,
    connect: impl Fn(&'a ConnectionTarget, &'a str, u16, ConnectOptions) -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>> + Send,
{
    // a file has no host
    let hosts = || {
        let file = target.hosts.is_empty().then_some(("", 0));
        target
            .hosts
            .iter()
            .map(|(host, port)| (host.as_str(), *port))
            .chain(file)
    };
    let mut last = Error::config(format!("connection.url names no host: {}", target.place()));
    for attempt in 1..=options.attempts.max(1) {
        for (host, port) in hosts() {
            let place = if host.is_empty() {
                target.place()
            } else {
                format!("{host}:{port}")
            };
            // there is no connection yet that could be marked as broken
            let mut broken = false;
            let connecting =
                catch_panics(&place, &mut broken, connect(target, host, port, options));
            let outcome = match timeout(options.timeout, connecting).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Error::retry(format!(
                    "no answer from {place} within {} s; check connection.url and the network",
                    options.timeout.as_secs()
                ))),
            };
            match outcome {
                Ok(session) => return Ok(session),
                Err(error) if error.kind() != ErrorKind::Retry => return Err(error),
                Err(error) => last = error,
            }
        }
        tracing::warn!(attempt, of = options.attempts, place = target.place(), error = %last, "connecting failed");
        if attempt < options.attempts {
            wait_before_retry(options.backoff, &format!("connecting again: {last}")).await;
        }
    }
    Err(last)
}
