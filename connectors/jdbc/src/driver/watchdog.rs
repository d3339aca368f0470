//! Bounds every wait for a server without giving up a call that the server works on.
//!
//! A call that has not returned for a while is checked on a second connection: is the server still
//! working on it? Then it may take hours, and the task's heartbeat beats. If nobody answers on the
//! second connection either, or the server ended the session long ago, the connection is given up.
//! A statement that changes something may have been executed by then; the callers' stored offsets
//! show whether it was.

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use connector_api::{Error, Heartbeat, Result, Value};
use futures_util::stream::{Stream, TryStreamExt};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection, Executor};
use tokio::time::{sleep, timeout};

use super::ConnectOptions;
use super::backend::DatabaseBackend;
use crate::url::ConnectionTarget;

/// A call that takes longer is checked, repeatedly at this interval, or more often if the task would
/// be considered stalled before the second check.
const LOOK_AFTER: Duration = Duration::from_secs(10);
/// Minimum interval of the checks.
const LOOK_AFTER_MIN: Duration = Duration::from_millis(250);
/// Timeout of the check on the second connection.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// Checks in a row without an answer after which the server counts as unreachable.
const SILENT_MAX: u32 = 3;
/// How long a call may take if the server does not confirm that it works on it.
const UNPROVEN_MAX: Duration = Duration::from_secs(600);
/// Timeout of closing the second connection.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// A connection's identity on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionId {
    /// The connection's number.
    pub id: i64,
    /// Which server that is: another one may answer at the same address.
    pub server: String,
}

/// The result of the check on the second connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProbeFinding {
    /// The server is working on the call.
    AtWork(String),
    /// The call waits for a lock that another session holds.
    Locked(String),
    /// Nothing: a different server answers, or one that does not show its sessions; or the response
    /// is on its way.
    Unknown,
    /// The server no longer has this session.
    Gone,
    /// Nobody answers.
    Nothing,
}

/// Why a call ended without an outcome.
pub(super) enum CallFailure {
    Driver(sqlx::Error),
    /// The watchdog gave the call up.
    GivenUp(Error),
}

/// Watches the calls of one connection.
pub(super) struct CallWatchdog<DB: DatabaseBackend> {
    target: ConnectionTarget,
    host: String,
    port: u16,
    pub(super) how: ConnectOptions,
    /// `None` if the server does not identify connections.
    pub(super) identity: Option<ConnectionId>,
    /// Beats while a database inside this process is working.
    pub(super) progress: Heartbeat,
    /// Kept alive while someone wants the connection's result.
    pub(super) wanted: Arc<()>,
    heartbeat: Heartbeat,
    database: PhantomData<fn() -> DB>,
}

impl<DB: DatabaseBackend> CallWatchdog<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    /// Creates the watchdog of a connection to that host, with the heartbeat of the current task.
    pub(super) fn new(
        target: &ConnectionTarget,
        host: &str,
        port: u16,
        how: ConnectOptions,
    ) -> Self {
        Self {
            target: target.clone(),
            host: host.to_owned(),
            port,
            how,
            identity: None,
            progress: Heartbeat::default(),
            wanted: Arc::default(),
            heartbeat: Heartbeat::current(),
            database: PhantomData,
        }
    }

    /// Awaits a call. Errors: `Retry` if the connection cannot be used any more.
    pub(super) async fn watch<T>(&self, call: impl Future<Output = T>) -> Result<T> {
        let mut call = pin!(call);
        let mut silence = SilentCall::new(&self.progress);
        let look_after = look_after(self.heartbeat.limit());
        loop {
            if let Ok(outcome) = timeout(look_after, call.as_mut()).await {
                silence.end(&self.heartbeat);
                return Ok(outcome);
            }
            tokio::select! {
                // The call first: once it has returned, the finding no longer matters.
                biased;
                outcome = call.as_mut() => {
                    silence.end(&self.heartbeat);
                    return Ok(outcome);
                }
                finding = self.probe() => match finding {
                    ProbeFinding::Unknown if silence.has_progressed(&self.progress) => silence.confirm_work(&self.heartbeat, "the database"),
                    ProbeFinding::AtWork(state) => silence.confirm_work(&self.heartbeat, &format!("the server ({state})")),
                    ProbeFinding::Locked(state) => silence.confirm_wait(&self.heartbeat, &state),
                    finding => silence.check(&finding).map_err(|why| self.give_up(&why))?,
                },
            }
        }
    }

    /// Returns the next row. Polls the stream once without the watchdog, because rows usually are
    /// buffered already.
    pub(super) async fn next<R>(
        &self,
        rows: &mut (impl Stream<Item = Result<R, sqlx::Error>> + Unpin),
    ) -> Result<Option<R>, CallFailure> {
        let mut next = rows.try_next();
        let row = match poll_fn(|context| Poll::Ready(Pin::new(&mut next).poll(context))).await {
            Poll::Ready(row) => row,
            Poll::Pending => self.watch(next).await.map_err(CallFailure::GivenUp)?,
        };
        row.map_err(CallFailure::Driver)
    }

    fn give_up(&self, why: &str) -> Error {
        self.heartbeat.describe(None);
        Error::retry(format!(
            "a call to {} did not return: {why}; the connection is closed (check that the server \
             is up and that nothing in between drops packets)",
            self.target.place()
        ))
    }

    async fn probe(&self) -> ProbeFinding {
        let Some(identity) = &self.identity else {
            return ProbeFinding::Unknown;
        };
        timeout(ASK_WITHIN, self.probe_server(identity))
            .await
            .unwrap_or(ProbeFinding::Nothing)
    }

    /// Asks the server on a separate connection.
    async fn probe_server(&self, identity: &ConnectionId) -> ProbeFinding {
        let Ok(options) = DB::options(&self.target, &self.host, self.port, self.how) else {
            return ProbeFinding::Unknown;
        };
        let mut connection = match options.disable_statement_logging().connect().await {
            Ok(connection) => connection,
            Err(sqlx::Error::Io(_)) => return ProbeFinding::Nothing,
            // a server that has no room for another connection is alive
            Err(_) => return ProbeFinding::Unknown,
        };
        let query =
            sqlx::query::<DB>(AssertSqlSafe(DB::watch_query(identity.id))).persistent(false);
        let found = query.fetch_all(&mut connection).await;
        let finding = found.map_or(ProbeFinding::Unknown, |rows| {
            finding_of::<DB>(identity, &rows)
        });
        // the server detects a cut connection itself
        drop(timeout(CLOSE_WITHIN, connection.close()).await);
        finding
    }
}

/// Evaluates the rows of [`DatabaseBackend::watch_query`]: the server, whether the row is the asking
/// connection itself, and the state in two parts.
fn finding_of<DB: DatabaseBackend>(identity: &ConnectionId, rows: &[DB::Row]) -> ProbeFinding {
    let text = |row: &DB::Row, index| match DB::small_value(row, index) {
        Ok(Value::Text(text)) => text.to_string(),
        _ => String::new(),
    };
    let is_own = |row: &DB::Row| matches!(DB::small_value(row, 1), Ok(Value::I64(1)));
    // if the asking connection is not listed under its own number, connection numbers mean nothing
    // here
    let Some(own) = rows.iter().find(|row| is_own(row)) else {
        return ProbeFinding::Unknown;
    };
    if text(own, 0) != identity.server {
        return ProbeFinding::Unknown;
    }
    match rows.iter().find(|row| !is_own(row)) {
        None => ProbeFinding::Gone,
        Some(row) => {
            DB::busy_state(&text(row, 2), &text(row, 3)).map_or(ProbeFinding::Unknown, |state| {
                if DB::waits_for_lock(&state) {
                    ProbeFinding::Locked(state)
                } else {
                    ProbeFinding::AtWork(state)
                }
            })
        }
    }
}

/// The watchdog's knowledge of a call that has not returned.
struct SilentCall {
    /// Checks in a row without an answer.
    silent: u32,
    /// When the server last confirmed that it works on the call.
    proven: Instant,
    /// Beats of the database's own work.
    progress: u64,
    /// The heartbeat says that the server is at work, which ends with the call.
    is_reported: bool,
}

impl SilentCall {
    fn new(progress: &Heartbeat) -> Self {
        Self {
            silent: 0,
            proven: Instant::now(),
            progress: progress.beats(),
            is_reported: false,
        }
    }

    fn has_progressed(&mut self, progress: &Heartbeat) -> bool {
        let now = progress.beats();
        std::mem::replace(&mut self.progress, now) != now
    }

    fn confirm_work(&mut self, heartbeat: &Heartbeat, whom: &str) {
        self.silent = 0;
        self.proven = Instant::now();
        self.is_reported = true;
        heartbeat.describe(Some(format!("{whom} is working on a statement")));
    }

    /// Notes that the call waits for another session. That is no progress, so the task's warning
    /// says what it waits for.
    fn confirm_wait(&mut self, heartbeat: &Heartbeat, state: &str) {
        self.silent = 0;
        self.proven = Instant::now();
        self.is_reported = true;
        heartbeat.explain(format!(
            "the server waits for a lock that another session holds: {state}"
        ));
    }

    /// Decides whether the wait continues. Errors: why the call is given up.
    fn check(&mut self, finding: &ProbeFinding) -> Result<(), String> {
        self.silent = if *finding == ProbeFinding::Nothing {
            self.silent + 1
        } else {
            0
        };
        let took = self.proven.elapsed().as_secs();
        match finding {
            ProbeFinding::Gone => {
                Err("the server has closed this connection without notice".to_owned())
            }
            ProbeFinding::Nothing if self.silent >= SILENT_MAX => Err(format!(
                "the server has not answered for {took} s, and not on a new connection either"
            )),
            _ if self.proven.elapsed() >= UNPROVEN_MAX => Err(format!(
                "for {took} s the server has not reported that it is working on the call"
            )),
            _ => Ok(()),
        }
    }

    fn end(&self, heartbeat: &Heartbeat) {
        if self.is_reported {
            heartbeat.describe(None);
        } else {
            heartbeat.beat();
        }
    }
}

/// Returns the interval of the checks for a task that is stalled after `limit` without a beat: a check
/// has to end before the task shows a warning, which it does after a fifth of `limit`.
fn look_after(limit: Option<Duration>) -> Duration {
    let fitting = limit.map_or(LOOK_AFTER, |limit| limit / 8);
    fitting.clamp(LOOK_AFTER_MIN, LOOK_AFTER)
}

/// Sleeps before a retry while reporting the reason, so that the waiting task does not count as
/// stalled.
pub(crate) async fn wait_before_retry(time: Duration, why: &str) {
    const SAY_EVERY: Duration = Duration::from_secs(1);
    let heartbeat = Heartbeat::current();
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return heartbeat.describe(None);
        }
        heartbeat.describe(Some(why.to_owned()));
        sleep(left.min(SAY_EVERY)).await;
    }
}

#[cfg(test)]
mod tests {
    use connector_api::Heartbeat;

    use std::time::Duration;

    use super::{LOOK_AFTER, ProbeFinding, SILENT_MAX, SilentCall, look_after};

    #[test]
    fn a_call_is_checked_before_its_task_counts_as_stalled() {
        for (limit, want) in [
            (None, 10_000),
            (Some(300_000), 10_000),
            (Some(8_000), 1_000),
            (Some(1), 250),
        ] {
            let limit = limit.map(Duration::from_millis);
            assert_eq!(look_after(limit), Duration::from_millis(want), "{limit:?}");
        }
        assert_eq!(look_after(None), LOOK_AFTER);
    }

    #[test]
    fn a_wait_for_a_lock_is_named_and_is_no_progress() {
        let heartbeat = Heartbeat::default();
        let mut silence = SilentCall::new(&heartbeat);
        silence.confirm_wait(&heartbeat, "Query, Waiting for table metadata lock");
        let description = heartbeat.description().unwrap();
        assert!(description.ends_with("Waiting for table metadata lock"));
        assert_eq!(heartbeat.beats(), 0);
        silence.end(&heartbeat);
        assert_eq!((heartbeat.description(), heartbeat.beats()), (None, 1));
    }

    #[test]
    fn a_call_is_given_up_when_its_session_is_gone_or_nobody_answers_time_and_again() {
        let heartbeat = Heartbeat::default();
        let mut silence = SilentCall::new(&heartbeat);
        silence.check(&ProbeFinding::Gone).unwrap_err();
        for round in 0..3 {
            for _ in 1..SILENT_MAX {
                silence.check(&ProbeFinding::Nothing).unwrap();
            }
            match round {
                0 => silence.check(&ProbeFinding::Unknown).unwrap(),
                1 => silence.confirm_work(&heartbeat, "the server"),
                _ => drop(silence.check(&ProbeFinding::Nothing).unwrap_err()),
            }
        }
        assert_eq!(
            heartbeat.description().as_deref(),
            Some("the server is working on a statement")
        );
        silence.end(&heartbeat);
        assert_eq!((heartbeat.description(), heartbeat.beats()), (None, 2));
    }
}
