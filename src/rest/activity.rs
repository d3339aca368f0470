//! What a connection is doing and since when, so that one that waits for its client for too long is ended: a head that
//! does not come, an answer that nobody reads, a client that says nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// How long a connection may wait for its client.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionTimeouts {
    /// Idle time between two requests. Clients that keep connections alive close them earlier.
    idle: Duration,
    /// From the first byte of a head to its last.
    head: Duration,
    /// In each such span, a client that is sent an answer takes [`WINDOW_BYTES`] of it.
    window: Duration,
    /// In all.
    life: Duration,
}

/// Of usual connections.
pub(super) const USUAL: ConnectionTimeouts = ConnectionTimeouts {
    idle: Duration::from_secs(75),
    head: Duration::from_secs(20),
    window: Duration::from_secs(20),
    life: Duration::MAX,
};
/// Of connections in the reserved share: one request each.
pub(super) const RESERVED: ConnectionTimeouts = ConnectionTimeouts {
    idle: Duration::from_secs(3),
    head: Duration::from_secs(3),
    window: Duration::from_secs(3),
    life: Duration::from_secs(15),
};

/// What a client that reads slowly takes at least in each window.
const WINDOW_BYTES: u64 = 16 * 1024;
/// How often a connection is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What one connection is doing. Times are in milliseconds since it began, plus one; 0 is never.
#[derive(Debug)]
pub(super) struct ConnectionActivity {
    began: Instant,
    /// A request is being answered, or its answer not yet handed to the connection.
    serving: AtomicBool,
    /// Since when neither request nor answer is under way.
    idle: AtomicU64,
    /// Since when a head is coming in.
    head: AtomicU64,
    /// Since when a body is being waited for.
    body: AtomicU64,
    /// Since when the client does not take what is written.
    blocked: AtomicU64,
    /// Bytes that the client has taken.
    written: AtomicU64,
    unseated: Notify,
}

impl ConnectionActivity {
    pub(super) fn new() -> Arc<Self> {
        let zero = || AtomicU64::new(0);
        Arc::new(Self {
            began: Instant::now(),
            serving: AtomicBool::new(false),
            idle: AtomicU64::new(1),
            head: zero(),
            body: zero(),
            blocked: zero(),
            written: zero(),
            unseated: Notify::new(),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// A request has come in whole, or its body is on its way.
    pub(super) fn serve(&self) {
        self.serving.store(true, Relaxed);
        self.head.store(0, Relaxed);
        self.idle.store(0, Relaxed);
    }

    /// The answer has been handed to the connection.
    pub(super) fn rest(&self) {
        self.body.store(0, Relaxed);
        self.idle.store(self.now(), Relaxed);
        self.serving.store(false, Relaxed);
    }

    /// A part of a body is, or is no longer, waited for.
    pub(super) fn waits_for_body(&self, waits: bool) {
        if !waits {
            self.body.store(0, Relaxed);
        } else if self.body.load(Relaxed) == 0 {
            self.body.store(self.now(), Relaxed);
        }
    }

    fn has_read(&self) {
        if !self.serving.load(Relaxed) && self.head.load(Relaxed) == 0 {
            self.head.store(self.now(), Relaxed);
        }
    }

    fn is_blocked(&self, blocked: bool) {
        if !blocked {
            self.blocked.store(0, Relaxed);
        } else if self.blocked.load(Relaxed) == 0 {
            self.blocked.store(self.now(), Relaxed);
        }
    }

    /// For how long it has been waiting for its client; `None` while it is at work itself.
    pub(super) fn waits(&self) -> Option<Duration> {
        let [blocked, body, head, idle] =
            [&self.blocked, &self.body, &self.head, &self.idle].map(|at| at.load(Relaxed));
        let since = match (blocked, self.serving.load(Relaxed)) {
            (0, true) => body,
            (0, false) if head > 0 => head,
            (0, false) => idle,
            (blocked, _) => blocked,
        };
        (since > 0).then(|| Duration::from_millis(self.now().saturating_sub(since)))
    }

    /// Takes its place away: the connection ends.
    pub(super) fn unseat(&self) {
        self.unseated.notify_one();
    }

    /// Waits until the connection has to end, and says why.
    pub(super) async fn exhausts(&self, patience: ConnectionTimeouts) -> &'static str {
        let mut window = None;
        loop {
            tokio::select! {
                () = self.unseated.notified() => return "its slot was needed",
                () = tokio::time::sleep(EVERY.min(patience.window)) => {}
            }
            if let Some(why) = self.verdict(patience, &mut window) {
                return why;
            }
        }
    }

    /// Why it has to end now, if it has. `window` is when the present one began, and what had been taken then.
    fn verdict(
        &self,
        patience: ConnectionTimeouts,
        window: &mut Option<(Instant, u64)>,
    ) -> Option<&'static str> {
        let over = |since: u64, limit: Duration| {
            since > 0 && Duration::from_millis(self.now().saturating_sub(since)) >= limit
        };
        if self.began.elapsed() >= patience.life {
            return Some("it has lasted too long");
        }
        if self.blocked.load(Relaxed) == 0 {
            *window = None;
        } else {
            let written = self.written.load(Relaxed);
            let (since, before) = *window.get_or_insert((Instant::now(), written));
            if since.elapsed() >= patience.window {
                if written - before < WINDOW_BYTES {
                    return Some("the client does not read its answer");
                }
                *window = Some((Instant::now(), written));
            }
        }
        if self.serving.load(Relaxed) {
            return None;
        }
        if over(self.head.load(Relaxed), patience.head) {
            return Some("the head of a request did not arrive in time");
        }
        (self.head.load(Relaxed) == 0 && over(self.idle.load(Relaxed), patience.idle))
            .then_some("it was idle")
    }
}

/// A stream whose connection's activity is noted.
pub(super) struct WatchedStream<S> {
    stream: S,
    activity: Arc<ConnectionActivity>,
}

impl<S> WatchedStream<S> {
    pub(super) fn new(stream: S, activity: Arc<ConnectionActivity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.has_read();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> WatchedStream<S> {
    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.activity.is_blocked(true),
            Poll::Ready(Ok(bytes)) => {
                self.activity
                    .written
                    .fetch_add(u64::try_from(*bytes).unwrap_or(u64::MAX), Relaxed);
            }
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Called once all has been written: only then nothing is left that the client does not take.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.activity.is_blocked(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.activity.is_blocked(shut.is_pending());
        shut
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    use super::{ConnectionActivity, ConnectionTimeouts, WINDOW_BYTES};

    const SHORT: ConnectionTimeouts = ConnectionTimeouts {
        idle: Duration::from_millis(40),
        head: Duration::from_millis(20),
        window: Duration::from_millis(20),
        life: Duration::MAX,
    };

    fn pass(millis: u64) {
        std::thread::sleep(Duration::from_millis(millis));
    }

    #[test]
    fn heads_idle_clients_and_unread_answers_have_a_limit_and_work_has_none() {
        let (activity, mut window) = (ConnectionActivity::new(), None);
        assert_eq!(activity.verdict(SHORT, &mut window), None);
        activity.has_read();
        pass(30);
        assert!(
            activity
                .verdict(SHORT, &mut window)
                .unwrap()
                .contains("head")
        );
        activity.serve();
        pass(60);
        assert_eq!(
            (activity.verdict(SHORT, &mut window), activity.waits()),
            (None, None)
        );
        activity.waits_for_body(true);
        pass(5);
        assert!(activity.waits().unwrap() >= Duration::from_millis(4));
        activity.rest();
        assert_eq!(activity.verdict(SHORT, &mut window), None);
        pass(50);
        assert!(
            activity
                .verdict(SHORT, &mut window)
                .unwrap()
                .contains("idle")
        );
        activity.serve();
        activity.is_blocked(true);
        assert_eq!(activity.verdict(SHORT, &mut window), None);
        pass(30);
        activity.written.fetch_add(WINDOW_BYTES, Relaxed);
        assert_eq!(
            activity.verdict(SHORT, &mut window),
            None,
            "it reads, if slowly"
        );
        pass(30);
        activity.written.fetch_add(WINDOW_BYTES / 2, Relaxed);
        assert!(
            activity
                .verdict(SHORT, &mut window)
                .unwrap()
                .contains("read")
        );
        activity.is_blocked(false);
        assert_eq!(activity.verdict(SHORT, &mut window), None);
    }
}
