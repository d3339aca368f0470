//! Decides up to which timestamp rows are read: before the oldest transaction that may still commit
//! rows with earlier timestamps.
//!
//! A column has limited precision: until the current step (second, millisecond, day) is over, more
//! rows with its timestamp may appear, so none of it is read before.
//!
//! Date-times without time zone are readings of some clock: the server's, or one in `db.timezone`.
//! A clock that is set back shows an hour twice, so rows with a later timestamp than the one it is
//! set back to wait until then.

use std::time::Instant;

use connector_api::{Error, Result, Value};

use super::cursor::TableReader;
use crate::calendar::{SECOND, parse_wall, wall_text};
use crate::driver::{ResultPage, Session, SqlParam};
use crate::source::visibility::open_transactions::{self, TransactionHorizon};

/// Grace period used when open transactions are not visible to this user, in microseconds.
const BLIND_DELAY: i64 = 2 * SECOND;
/// For a moment after its timestamp is fixed a statement is in no list (events, functions called by
/// SELECT, PostgreSQL's statements). In microseconds, and generous, since the process may have to
/// wait for the CPU.
const UNLISTED: i64 = SECOND / 20;
/// A warning is reported for transactions open for longer than this, in microseconds.
const OPEN_LONG: i64 = 60 * SECOND;
/// Server clocks are set back on the quarter of an hour, and by no more than a few hours.
const QUARTER: i64 = 900 * SECOND;
const QUARTERS: i64 = 14;

/// The server's clock, in microseconds.
#[derive(Clone, Copy)]
struct ServerClock {
    utc: i64,
    /// In the time zone in which the server writes date-times without zone.
    local: i64,
}

/// Wall times that may still occur although later ones of another clock are read.
#[derive(Debug, Default)]
pub(super) struct AmbiguousTimes {
    /// For the clock that is behind: the lowest time that may still occur, the highest it has
    /// shown, and when that was read.
    behind: Option<(i64, i64, Instant)>,
    /// The time to which a clock will soon be set back, and whose clock it is.
    set_back: Option<(i64, &'static str)>,
}

impl AmbiguousTimes {
    /// Cuts the page before the first row that must wait. Returns whether it did.
    pub(super) fn cut(&self, page: &mut ResultPage) -> bool {
        let Some((lowest, highest, then)) = self.behind else {
            return false;
        };
        let since = i64::try_from(then.elapsed().as_micros()).unwrap_or(i64::MAX);
        let highest = highest.saturating_add(since).saturating_add(SECOND);
        let Some(first) = page
            .timestamps
            .iter()
            .position(|stamp| (lowest..=highest).contains(stamp))
        else {
            return false;
        };
        page.rows.truncate(first);
        page.timestamps.truncate(first);
        true
    }
}

impl TableReader {
    /// Returns the exclusive upper bound for timestamps: the server's clock less the delay, and
    /// before the oldest transaction that may still commit rows with earlier timestamps.
    pub(super) async fn bound(&mut self, session: &mut dyn Session) -> Result<i64> {
        let clock = read_clock(session).await?;
        let read_at = Instant::now();
        // The clock is read before the transactions: one that begins after this reading gets a
        // later timestamp. An older one is in the sample unless it has ended; `UNLISTED` and
        // `LateStarters` cover the exceptions.
        let from = self.settled(session, clock).await?;
        self.unsettled = AmbiguousTimes::default();
        if self.stamps_are_instants() {
            return Ok(self.step_of(from));
        }
        let zone = &self.config.read.zone;
        let own = zone.lowest_wall_from(from);
        let local = lowest_local(session, clock, from).await?;
        let shown = (zone.wall(from), from + clock.local - clock.utc);
        let set_back = [
            (own, shown.0, "db.timezone"),
            (local, shown.1, "the server"),
        ];
        let set_back = set_back
            .into_iter()
            .find(|(lowest, shown, _)| lowest + SECOND < *shown);
        let behind = match own.cmp(&local) {
            std::cmp::Ordering::Less => Some((own, zone.highest_wall_until(clock.utc), read_at)),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some((local, clock.local, read_at)),
        };
        self.unsettled = AmbiguousTimes {
            behind,
            set_back: set_back.map(|(lowest, _, whose)| (lowest, whose)),
        };
        Ok(self.step_of(local.max(own)))
    }

    /// Rounds down to the column's precision: the timestamp that a row of this time gets, or the
    /// one before if the database rounds up.
    fn step_of(&self, stamp: i64) -> i64 {
        let step = self.plan.as_ref().map_or(1, |plan| plan.stamp_step);
        stamp.div_euclid(step).saturating_mul(step)
    }

    /// Returns an instant up to which every row is either committed or rolled back.
    async fn settled(&mut self, session: &mut dyn Session, clock: ServerClock) -> Result<i64> {
        let delay = self.config.delay_ms.saturating_mul(1000);
        (self.blind, self.oldest) = (false, None);
        if !self.config.gap_tracking
            || session
                .dialect()
                .capabilities()
                .oldest_transaction
                .is_none()
        {
            return Ok(clock.utc.saturating_sub(delay));
        }
        let before_clock = Instant::now();
        let TransactionHorizon::Seen(sample) =
            open_transactions::sample(session, &self.config.target).await?
        else {
            self.blind = true;
            let delay = if self.config.delay_ms == 0 {
                BLIND_DELAY
            } else {
                delay
            };
            return Ok(clock.utc.saturating_sub(delay));
        };
        // The sample may be older than the clock reading: go by what the clock showed when the
        // sample was taken. Transactions that began afterwards have later timestamps.
        let since = before_clock.saturating_duration_since(sample.at);
        let since = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        let looked = clock.utc.saturating_sub(since).saturating_sub(UNLISTED);
        self.oldest = sample.oldest;
        let limit = self
            .config
            .horizon_max_wait
            .map(|limit| i64::try_from(limit.as_micros()).unwrap_or(i64::MAX));
        if limit
            .zip(sample.oldest)
            .is_some_and(|(limit, age)| age > limit)
            && !self.passing.is_full()
        {
            self.passing.begin(&self.from);
            return Ok(clock.utc.saturating_sub(delay.max(BLIND_DELAY)));
        }
        if let Some(back) = self.passing.end(self.from.stamp) {
            self.from = back;
        }
        let open = sample.stamped.map_or(looked, |age| {
            looked.saturating_sub(age).saturating_sub(SECOND)
        });
        Ok(open.min(clock.utc.saturating_sub(delay)))
    }

    /// Returns a timestamp; rows inserted from now on get later ones.
    pub(super) async fn now(&self, session: &mut dyn Session) -> Result<i64> {
        let clock = read_clock(session).await?;
        if self.stamps_are_instants() {
            return Ok(self.step_of(clock.utc) - 1);
        }
        let local = lowest_local(session, clock, clock.utc).await?;
        Ok(self.step_of(local.min(self.config.read.zone.lowest_wall_from(clock.utc))) - 1)
    }

    /// Returns a warning about transactions that are open for long or cannot be seen.
    pub(super) fn stamp_warning(&self) -> Option<String> {
        if let (Some(age), true) = (self.oldest, self.passing.is_on()) {
            return Some(format!(
                "a transaction or statement has been running for {} s, longer than \
                 timestamp.horizon.max.wait.ms: rows with later timestamps do not wait for it. \
                 When it has ended, the rows that it committed follow. Until then the stored \
                 offset stays before these rows: after a restart, they are emitted a second time",
                age / SECOND
            ));
        }
        if let Some(age) = self
            .oldest
            .filter(|age| *age > OPEN_LONG || self.passing.is_full())
        {
            let many = if self.passing.is_full() {
                "; so many rows were emitted without waiting that the others wait, regardless of \
                 timestamp.horizon.max.wait.ms"
            } else {
                ""
            };
            return Some(format!(
                "a transaction or statement has been running for {} s; rows with later timestamps \
                 wait until it ends, because it may still commit earlier ones{many}",
                age / SECOND
            ));
        }
        let grant = self.blind.then(|| {
            crate::dialect::of(self.config.target.database_kind())
                .capabilities()
                .oldest_transaction
        });
        grant.flatten().map(|statements| {
            format!(
                "open transactions are not visible without the privilege {}: rows are read {} ms \
                 later instead, and a row whose transaction stays open for longer is missed; grant \
                 the privilege, or set timestamp.delay.interval.ms",
                statements.grant,
                if self.config.delay_ms == 0 {
                    BLIND_DELAY / 1000
                } else {
                    self.config.delay_ms
                },
            )
        })
    }

    /// Returns a warning about a clock that will be set back.
    pub(super) fn set_back_warning(&self) -> Option<String> {
        let (lowest, whose) = self.unsettled.set_back?;
        Some(format!(
            "the clock of {whose} will soon be set back to {}: rows with timestamps from then on \
             wait until the clock has shown these times for the second time",
            wall_text(lowest, ' ', 0)
        ))
    }
}

/// Reads the server's clock.
async fn read_clock(session: &mut dyn Session) -> Result<ServerClock> {
    let sql = session.dialect().capabilities().clock;
    let row = session
        .query(sql, &[])
        .await?
        .into_iter()
        .next()
        .unwrap_or_default();
    let read = |n: usize| row.get(n).and_then(Value::as_str).and_then(parse_wall);
    let (Some(utc), Some(local)) = (read(0), read(1)) else {
        return Err(Error::fatal("the server's clock cannot be read"));
    };
    Ok(ServerClock { utc, local })
}

/// Returns the lowest wall time that the server's clock shows from that instant on.
async fn lowest_local(session: &mut dyn Session, clock: ServerClock, from: i64) -> Result<i64> {
    let shown = from + clock.local - clock.utc;
    let Some(local_time) = session
        .dialect()
        .capabilities()
        .local_time
        .filter(|_| clock.local != clock.utc)
    else {
        return Ok(shown);
    };
    let quarters = (1..=QUARTERS).map(|n| (from.div_euclid(QUARTER) + n) * QUARTER);
    let params: Vec<_> = std::iter::once(from)
        .chain(quarters)
        .map(|at| SqlParam::Text(wall_text(at, ' ', 6).into()))
        .collect();
    let sql = format!(
        "SELECT CAST(LEAST({}) AS CHAR)",
        vec![local_time; params.len()].join(", ")
    );
    let found = session.query(&sql, &params).await?;
    Ok(found
        .first()
        .and_then(|row| row.first()?.as_str().and_then(parse_wall))
        .unwrap_or(shown))
}
