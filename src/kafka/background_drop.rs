//! Clients that nobody waits for, since librdkafka takes a tenth of a second to end one; and calls that are waited for
//! within limits, since some of librdkafka's have none or do not keep to it.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// How many are being ended.
static ENDING: AtomicUsize = AtomicUsize::new(0);

/// A client that is ended on a thread of its own when it is dropped.
pub(super) struct DropInBackground<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> DropInBackground<T> {
    /// That client.
    pub(super) fn new(client: T) -> Self {
        Self(Some(client))
    }
}

impl<T: Send + 'static> Deref for DropInBackground<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(client) => client,
            None => unreachable!("it is taken out by drop alone"),
        }
    }
}

impl<T: Send + 'static> Drop for DropInBackground<T> {
    fn drop(&mut self) {
        let (client, ending) = (self.0.take(), EndingGuard::begin());
        let end = move || {
            drop(client);
            drop(ending);
        };
        // without a thread for it, it is ended here and now
        let _thread = std::thread::Builder::new()
            .name("end-client".to_owned())
            .spawn(end);
    }
}

/// How soon it is seen that a call is not to be waited for any more.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs `call` on a thread of its own and waits for it: at most for `limit`, and only while `go_on` says so. `None`: it
/// was not waited for any longer, or there was no thread for it. It runs on then and keeps what it works with alive.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    go_on: impl Fn() -> bool,
    call: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, outcome) = sync_channel(1);
    let ending = EndingGuard::begin();
    let run = move || {
        let _nobody_waits = done.send(call());
        drop(ending);
    };
    if let Err(error) = std::thread::Builder::new()
        .name("kafka-call".to_owned())
        .spawn(run)
    {
        tracing::error!(%error, "no thread for a call to Kafka");
        return None;
    }
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match outcome.recv_timeout(left.min(LOOK_EVERY)) {
            Ok(outcome) => return Some(outcome),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) if left.is_zero() || !go_on() => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Counts as long as it is there.
struct EndingGuard;

impl EndingGuard {
    fn begin() -> Self {
        ENDING.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for EndingGuard {
    fn drop(&mut self) {
        ENDING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits until all clients have ended, at most for `limit`: the libraries below must not be torn down while they do.
pub fn await_ended(limit: Duration) {
    let until = Instant::now() + limit;
    while ENDING.load(Ordering::Relaxed) > 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    use super::{DropInBackground, await_ended, within};

    struct Slow(std::sync::mpsc::Receiver<()>);

    impl Drop for Slow {
        fn drop(&mut self) {
            let _ended = self.0.recv();
        }
    }

    #[test]
    fn only_the_end_of_the_process_waits_for_a_client_to_end() {
        let (end, wait) = channel();
        drop(DropInBackground::new(Slow(wait)));
        let limit = Duration::from_millis(20);
        let began = Instant::now();
        await_ended(limit);
        assert!(began.elapsed() >= limit, "it has not ended");
        end.send(()).unwrap();
        let began = Instant::now();
        await_ended(Duration::from_secs(60));
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_call_is_waited_for_within_its_limit_and_while_it_is_wanted() {
        let (_never, hang) = channel::<()>();
        let limit = Duration::from_millis(20);
        assert_eq!(within(limit, || true, move || hang.recv()), None);
        let (_never, hang) = channel::<()>();
        assert_eq!(
            within(Duration::from_secs(3600), || false, move || hang.recv()),
            None
        );
        assert_eq!(within(Duration::from_secs(60), || true, || 7), Some(7));
    }
}
