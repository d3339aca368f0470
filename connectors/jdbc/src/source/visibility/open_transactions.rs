//! When the oldest open transaction of a server began. Asked for on behalf of all tasks of this process, not too often.
//!
//! InnoDB's list of transactions is a copy that is never renewed while something reads it more than ten times a second:
//! whoever asks too fast is told for ever what was true long ago. So the last answer is shared for a while, and an answer
//! counts only if it shows the asking statement itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use connector_api::{ErrorKind, Result, Value};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::sleep;

use super::late_starters::{LateStarters, TransactionsSeen};
use crate::dialect::MARK;
use crate::driver::Session;
use crate::url::{ConnectionTarget, DatabaseKind};

/// The least time between two looks at one server.
const EVERY: Duration = Duration::from_millis(250);
/// After so long it is asked twice, where what has begun meanwhile matters.
const LONG: Duration = Duration::from_secs(1);
/// How often it is asked until its answer can be relied on.
const TRIES: u32 = 4;

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct HorizonSample {
    /// Before the server was asked.
    pub at: Instant,
    /// Microseconds since the oldest transaction or running statement began, up to a second more or less.
    pub oldest: Option<i64>,
    /// The same, where not longer: since the oldest stamp that what is open may commit.
    pub stamped: Option<i64>,
}

/// What there is to know.
#[derive(Clone, Copy, Debug)]
pub enum TransactionHorizon {
    /// This was seen.
    Seen(HorizonSample),
    /// The server has just been asked, or does not give an answer to rely on: try again later.
    NotNow,
    /// This user is not told.
    Denied,
}

#[derive(Default)]
struct ServerHorizon {
    last: Option<HorizonSample>,
    late: LateStarters,
    /// When it was last asked in vain.
    in_vain: Option<Instant>,
    asked: u64,
}

/// The servers of this process, by place.
static SERVERS: Mutex<BTreeMap<String, Arc<AsyncMutex<ServerHorizon>>>> =
    Mutex::new(BTreeMap::new());

fn server(target: &ConnectionTarget) -> Arc<AsyncMutex<ServerHorizon>> {
    // PostgreSQL's answer is about one database, MariaDB's about all of them
    let database = match target.database_kind() {
        DatabaseKind::Postgres => target.database.as_deref().unwrap_or_default(),
        DatabaseKind::MySql | DatabaseKind::Sqlite => "",
    };
    let place = format!("{:?} {database}", target.hosts);
    let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(servers.entry(place).or_default())
}

/// The newest sample, waiting until there is one, though not for ever.
pub async fn sample(
    session: &mut dyn Session,
    target: &ConnectionTarget,
) -> Result<TransactionHorizon> {
    let server = server(target);
    let mut server = server.lock().await;
    let last = server.last;
    if let Some(last) = last.filter(|last| last.at.elapsed() < EVERY) {
        return Ok(TransactionHorizon::Seen(last));
    }
    let seen = fresh(&mut server, session).await?;
    match (seen, last) {
        // what has begun since that look is new; most of it has ended at the next one
        (TransactionHorizon::Seen(seen), Some(last))
            if seen.stamped > seen.oldest && seen.at - last.at > LONG =>
        {
            sleep(EVERY.saturating_sub(seen.at.elapsed())).await;
            fresh(&mut server, session).await
        }
        _ => Ok(seen),
    }
}

/// A sample taken now, waiting until there is one, though not for ever.
async fn fresh(
    server: &mut ServerHorizon,
    session: &mut dyn Session,
) -> Result<TransactionHorizon> {
    for _ in 0..TRIES {
        let rest = server.in_vain.map(|at| EVERY.saturating_sub(at.elapsed()));
        if let Some(rest) = rest.filter(|rest| *rest > Duration::ZERO) {
            sleep(rest).await;
        }
        let seen = look(server, session).await?;
        if !matches!(seen, TransactionHorizon::NotNow) {
            return Ok(seen);
        }
    }
    Ok(TransactionHorizon::NotNow)
}

/// A sample of later than `after`, if it can be had at once.
pub async fn sample_after(
    session: &mut dyn Session,
    target: &ConnectionTarget,
    after: Instant,
) -> Result<TransactionHorizon> {
    let server = server(target);
    // whoever has it may be waiting
    let Ok(mut server) = server.try_lock() else {
        return Ok(TransactionHorizon::NotNow);
    };
    if let Some(last) = server.last.filter(|last| last.at.elapsed() < EVERY) {
        return Ok(if last.at >= after {
            TransactionHorizon::Seen(last)
        } else {
            TransactionHorizon::NotNow
        });
    }
    if server.in_vain.is_some_and(|at| at.elapsed() < EVERY) {
        return Ok(TransactionHorizon::NotNow);
    }
    look(&mut server, session).await
}

/// Asks the server and notes the answer.
async fn look(server: &mut ServerHorizon, session: &mut dyn Session) -> Result<TransactionHorizon> {
    server.asked += 1;
    let mark = format!("look {} {:p}", server.asked, Arc::as_ptr(&SERVER_MARK));
    let at = Instant::now();
    Ok(match ask(session, &mark).await? {
        HorizonAnswer::Seen {
            running,
            oldest,
            open,
        } => {
            let micros = |age: i64| Duration::from_micros(age.max(0).unsigned_abs());
            let from = server.late.look(TransactionsSeen {
                at,
                running: running.map(micros),
                open,
            });
            let since = |from: Instant| i64::try_from((at - from).as_micros()).unwrap_or(i64::MAX);
            let sample = HorizonSample {
                at,
                oldest,
                stamped: oldest.max(from.map(since)),
            };
            (server.last, server.in_vain) = (Some(sample), None);
            TransactionHorizon::Seen(sample)
        }
        HorizonAnswer::Stale => {
            server.in_vain = Some(Instant::now());
            TransactionHorizon::NotNow
        }
        HorizonAnswer::Denied => TransactionHorizon::Denied,
    })
}

/// Its address tells this process from others.
static SERVER_MARK: std::sync::LazyLock<Arc<()>> = std::sync::LazyLock::new(|| Arc::new(()));

enum HorizonAnswer {
    /// Ages in microseconds, and the numbers of transactions.
    Seen {
        running: Option<i64>,
        oldest: Option<i64>,
        open: Option<(i64, i64)>,
    },
    Stale,
    Denied,
}

/// Asks the server; `mark` is a text never used before, of letters and digits.
async fn ask(session: &mut dyn Session, mark: &str) -> Result<HorizonAnswer> {
    let Some(statements) = session.dialect().oldest_transaction() else {
        return Ok(HorizonAnswer::Seen {
            running: None,
            oldest: None,
            open: None,
        });
    };
    let mut running = None;
    if !statements.running.is_empty() {
        // first the statements, then the transactions: what passes from the one to the other is seen at least once
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
        },
    })
}
