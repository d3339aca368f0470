//! Records what a connection is doing and since when, so that a connection that waits too long for
//! its client is closed: for the head of a request, for the client to read an answer, or for the
//! next request.

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
    /// In each period of this length, a client must read [`WINDOW_BYTES`] of its answer.
    window: Duration,
    /// Total lifetime of the connection.
    life: Duration,
}

/// For normal connections.
pub(super) const USUAL: ConnectionTimeouts = ConnectionTimeouts {
    idle: Duration::from_secs(75),
    head: Duration::from_secs(20),
    window: Duration::from_secs(20),
    life: Duration::MAX,
};
/// For connections in the reserved share: one request each.
pub(super) const RESERVED: ConnectionTimeouts = ConnectionTimeouts {
    idle: Duration::from_secs(3),
    head: Duration::from_secs(3),
    window: Duration::from_secs(3),
    life: Duration::from_secs(15),
};

/// Minimum number of bytes that a client must read in each window.
const WINDOW_BYTES: u64 = 16 * 1024;
/// How often a connection is checked.
const EVERY: Duration = Duration::from_secs(1);

/// What one connection is doing. Times are milliseconds since its start, plus one; 0 means never.
#[derive(Debug)]
pub(super) struct ConnectionActivity {
    began: Instant,
    /// A request is being processed, or its answer was not yet passed to the connection.
    serving: AtomicBool,
    /// Since when there is no request and no answer.
    idle: AtomicU64,
    /// Since when the head of a request is arriving.
    head: AtomicU64,
    /// Since when the connection waits for a part of a body.
    body: AtomicU64,
    /// Since when the client does not read the written bytes.
    blocked: AtomicU64,
    /// Bytes that the client has read.
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

    /// Called when the head of a request has arrived completely.
    pub(super) fn serve(&self) {
        self.serving.store(true, Relaxed);
        self.head.store(0, Relaxed);
        self.idle.store(0, Relaxed);
    }

    /// Called when the answer was passed to the connection.
    pub(super) fn rest(&self) {
        self.body.store(0, Relaxed);
        self.idle.store(self.now(), Relaxed);
        self.serving.store(false, Relaxed);
    }

    /// Called when the connection starts or stops waiting for a part of a body.
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

    /// Returns how long the connection has been waiting for its client; `None` while it is
    /// processing a request.
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

    /// Closes the connection, because its slot is needed.
    pub(super) fn unseat(&self) {
        self.unseated.notify_one();
    }

    /// Waits until the connection has to be closed, and returns the reason.
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

    /// Returns the reason to close the connection now, if there is one. `window` has the start of
    /// the current window, and the bytes read by then.
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

/// A stream that records the activity of its connection.
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
        // Called once everything was written: only then is there nothing left for the client to
        // read.
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
