//! Finds out when the oldest open transaction of a server began, on behalf of all tasks of this
//! process and at a limited rate.
//!
//! InnoDB's list of transactions is a copy that is never refreshed while it is read more than ten
//! times a second: polling too fast returns stale data forever. So the last answer is shared for a
//! while ([`ReadPace`]), and an answer counts only if it shows the asking statement itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use connector_api::locks::TakeLock;
use connector_api::{ErrorKind, Result, Value};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::sleep;

use super::late_starters::{LateStarters, TransactionsSeen};
use super::prepared::{self, PreparedTransaction, PreparedTransactions};
use super::read_pace::ReadPace;
use crate::dialect::{MARK, OldestTransaction};
use crate::driver::Session;
use crate::url::{ConnectionTarget, DatabaseKind};

/// If the last look is older than this, the server is asked twice where transactions that began in
/// between matter.
const LONG: Duration = Duration::from_secs(1);
/// A sample that may be taken this soon is waited for, so that polls in the rhythm of the samples do not
/// use the one before each time.
const WORTH_WAITING: Duration = Duration::from_millis(30);
/// How often the server is asked until its answer is reliable.
const TRIES: u32 = 4;

/// What one look at the server has shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HorizonSample {
    /// A time before the server was asked.
    pub at: Instant,
    /// Microseconds since the oldest transaction or running statement began, accurate to a second.
    pub oldest: Option<i64>,
    /// Microseconds since the oldest timestamp that an open transaction may commit: at least
    /// `oldest`.
    pub oldest_timestamp: Option<i64>,
}

/// What is known about a server's open transactions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TransactionHorizon {
    Seen(HorizonSample),
    /// The server has not refreshed its list since this look.
    Stale(HorizonSample),
    /// The server has just been asked, or does not give a reliable answer: try again later.
    NotNow,
    /// This user cannot see transactions.
    Denied,
}

#[derive(Default)]
struct ServerHorizon {
    last: Option<HorizonSample>,
    late: LateStarters,
    prepared: PreparedTransactions,
    pace: ReadPace,
    asked: u64,
}

/// The servers of this process, by address.
static SERVERS: Mutex<BTreeMap<String, Arc<AsyncMutex<ServerHorizon>>>> =
    Mutex::new(BTreeMap::new());

fn server(target: &ConnectionTarget) -> Arc<AsyncMutex<ServerHorizon>> {
    // PostgreSQL's answer covers one database, MariaDB's all of them.
    let database = match target.database_kind() {
        DatabaseKind::Postgres => target.database.as_deref().unwrap_or_default(),
        DatabaseKind::MySql | DatabaseKind::Sqlite => "",
    };
    let place = format!("{:?} {database}", target.hosts);
    let mut servers = SERVERS.take_lock();
    Arc::clone(servers.entry(place).or_default())
}

/// Returns the latest sample. Waits until there is a new one, for a limited number of tries.
pub(crate) async fn sample(
    session: &mut dyn Session,
    target: &ConnectionTarget,
) -> Result<TransactionHorizon> {
    let server = server(target);
    let mut server = server.lock().await;
    let last = server.last;
    if let Some(last) = last.filter(|_| server.pace.wait(Instant::now()) > WORTH_WAITING) {
        return Ok(TransactionHorizon::Seen(last));
    }
    let seen = fresh(&mut server, session).await?;
    let seen = match (seen, last) {
        // Transactions that began since the last look bound the sample; most of them have ended by
        // the next one.
        (TransactionHorizon::Seen(seen), Some(last))
            if seen.oldest_timestamp > seen.oldest && seen.at - last.at > LONG =>
        {
            fresh(&mut server, session).await?
        }
        _ => seen,
    };
    Ok(match (seen, server.last) {
        (TransactionHorizon::NotNow, Some(last)) => TransactionHorizon::Stale(last),
        _ => seen,
    })
}

/// Takes a new sample. Waits until there is a reliable one, for a limited number of tries.
async fn fresh(
    server: &mut ServerHorizon,
    session: &mut dyn Session,
) -> Result<TransactionHorizon> {
    for _ in 0..TRIES {
        sleep(server.pace.wait(Instant::now())).await;
        let seen = look(server, session).await?;
        if !matches!(seen, TransactionHorizon::NotNow) {
            return Ok(seen);
        }
    }
    Ok(TransactionHorizon::NotNow)
}

/// Returns a sample taken after `after`, if available at once.
pub(crate) async fn sample_after(
    session: &mut dyn Session,
    target: &ConnectionTarget,
    after: Instant,
) -> Result<TransactionHorizon> {
    let server = server(target);
    // The holder of the lock may be waiting for the server: do not wait for it.
    let Ok(mut server) = server.try_lock() else {
        return Ok(TransactionHorizon::NotNow);
    };
    if server.pace.wait(Instant::now()) > Duration::ZERO {
        let late_enough = server.last.filter(|last| last.at >= after);
        return Ok(late_enough.map_or(TransactionHorizon::NotNow, TransactionHorizon::Seen));
    }
    look(&mut server, session).await
}

/// Asks the server and records the answer.
async fn look(server: &mut ServerHorizon, session: &mut dyn Session) -> Result<TransactionHorizon> {
    server.asked += 1;
    let mark = format!("look {} {:p}", server.asked, Arc::as_ptr(&SERVER_MARK));
    // Taken before asking: `at` minus a reported age is never later than the real begin.
    let at = Instant::now();
    let answer = ask(session, &mark).await?;
    // A refusal says nothing about the list, and is the answer each time.
    let is_read = !matches!(answer, HorizonAnswer::Denied);
    let limits = session.dialect().capabilities().oldest_transaction;
    if let Some(limits) = limits.filter(|_| is_read) {
        let is_reliable = !matches!(answer, HorizonAnswer::Stale);
        let random = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| {
                // The low digits of the clock, spread over all numbers.
                now.subsec_nanos().wrapping_mul(0x9E37_79B9)
            });
        // Counted from the answer on: the server counts from the end of a read.
        server
            .pace
            .record(&limits, is_reliable, Instant::now(), random);
    }
    Ok(match answer {
        HorizonAnswer::Seen {
            running,
            oldest,
            open,
            prepared,
        } => {
            let micros = |age: i64| Duration::from_micros(age.max(0).unsigned_abs());
            let from = server.late.look(TransactionsSeen {
                at,
                running: running.map(micros),
                open,
            });
            let oldest = oldest.max(server.prepared.look(at, oldest, &prepared));
            let since = |from: Instant| i64::try_from((at - from).as_micros()).unwrap_or(i64::MAX);
            let sample = HorizonSample {
                at,
                oldest,
                oldest_timestamp: oldest.max(from.map(since)),
            };
            server.last = Some(sample);
            TransactionHorizon::Seen(sample)
        }
        HorizonAnswer::Stale => TransactionHorizon::NotNow,
        HorizonAnswer::Denied => TransactionHorizon::Denied,
    })
}

/// Its address distinguishes this process from others.
static SERVER_MARK: std::sync::LazyLock<Arc<()>> = std::sync::LazyLock::new(|| Arc::new(()));

enum HorizonAnswer {
    /// Ages in microseconds, the numbers of open transactions, and prepared transactions that are
    /// not among them.
    Seen {
        running: Option<i64>,
        oldest: Option<i64>,
        open: Option<(i64, i64)>,
        prepared: Vec<PreparedTransaction>,
    },
    Stale,
    Denied,
}

/// Asks the server; `mark` is a text of letters and digits that has never been used before.
async fn ask(session: &mut dyn Session, mark: &str) -> Result<HorizonAnswer> {
    let Some(statements) = session.dialect().capabilities().oldest_transaction else {
        return Ok(HorizonAnswer::Seen {
            running: None,
            oldest: None,
            open: None,
            prepared: Vec::new(),
        });
    };
    let mut running = None;
    if !statements.running.is_empty() {
        // Statements first, then transactions: one that turns from the former into the latter in
        // between is seen at least once.
        let found = session.query(statements.running, &[]).await?;
        running = found
            .first()
            .and_then(|row| row.first())
            .and_then(Value::as_i64);
    }
    if !statements.before.is_empty() {
        session.run(statements.before).await?;
    }
    let found = if statements.marked {
        session
            .query_once(&statements.sql.replace(MARK, mark))
            .await
    } else {
        session.query(statements.sql, &[]).await
    };
    if !statements.after.is_empty() {
        session.run(statements.after).await?;
    }
    let found = match found {
        Err(error) if error.kind() == ErrorKind::Denied => return Ok(HorizonAnswer::Denied),
        found => found?,
    };
    let prepared = list_prepared(session, &statements).await?;
    let Some([_, age, reliable, least, greatest]) = found.first().map(Vec::as_slice) else {
        return Ok(HorizonAnswer::Stale);
    };
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
    Ok(match (number(age), number(reliable)) {
        (_, None | Some(0)) if !statements.marked => HorizonAnswer::Denied,
        (_, None | Some(0)) => HorizonAnswer::Stale,
        (age, _) => HorizonAnswer::Seen {
            running,
            oldest: age.map(|micros| micros.max(0)).max(running),
            open: number(least).zip(number(greatest)),
            prepared,
        },
    })
}

/// Lists the prepared transactions. Called after the open ones were listed: one that turns from the
/// latter into the former in between is seen at least once.
async fn list_prepared(
    session: &mut dyn Session,
    statements: &OldestTransaction,
) -> Result<Vec<PreparedTransaction>> {
    if statements.prepared.is_empty() {
        return Ok(Vec::new());
    }
    let found = session.query(statements.prepared, &[]).await?;
    let list = found.first().and_then(|row| row.first()?.as_str());
    Ok(list.map(prepared::parse).unwrap_or_default())
}
