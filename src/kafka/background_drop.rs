//! Dropping clients in the background, because librdkafka takes a tenth of a second to close one;
//! and time limits for calls, because some of librdkafka's calls have none or exceed it.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Number of clients being closed.
static ENDING: AtomicUsize = AtomicUsize::new(0);

/// Closes a client on a thread of its own when dropped.
pub(super) struct DropInBackground<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> DropInBackground<T> {
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
        // If no thread can be started, the client is closed on this one.
        let _thread = std::thread::Builder::new()
            .name("end-client".to_owned())
            .spawn(end);
    }
}

/// How soon `within` notices that a call is no longer to be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs `call` on a thread of its own and waits for at most `limit`, while `go_on` returns true.
/// Returns `None` if it stopped waiting or no thread could be started. The call then continues and
/// keeps what it uses alive.
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

/// Counts a client as being closed while it lives.
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

/// Waits until all clients are closed, for at most `limit`: the libraries they use must not be torn
/// down meanwhile.
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
