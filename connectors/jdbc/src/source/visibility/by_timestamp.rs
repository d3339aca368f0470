//! Decides up to which timestamp rows are read: before the oldest transaction that may still commit
//! rows with earlier timestamps.
//!
//! A column has limited precision: until the current step (second, millisecond, day) is over, more
//! rows with its timestamp may appear, so none of it is read before.
//!
//! Date-times without time zone are readings of some clock: the server's, or one in `db.timezone`.
//! A clock that is set back shows an hour twice, so rows with a later timestamp than the one it is
//! set back to wait until then.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use connector_api::{Error, Result, Value};

use super::open_transactions::{self, TransactionHorizon};
use super::overtake::{EmitFilter, Overtake};
use super::{Admission, ReadContext, Visibility};
use crate::calendar::{SECOND, parse_wall, wall_text};
use crate::dialect;
use crate::driver::{ResultPage, Session, SqlParam};
use crate::source::config::SourceConfig;
use crate::source::plan::table::TablePlan;
use crate::zone::JdbcTimeZone;

/// Grace period used when open transactions are not visible to this user, in microseconds.
const BLIND_DELAY: i64 = 2 * SECOND;
/// For a moment after its timestamp is fixed a statement is in no list (events, functions called by
/// SELECT, PostgreSQL's statements). In microseconds, and generous, since the process may have to
/// wait for the CPU.
const UNLISTED: i64 = SECOND / 20;
/// A warning is reported for transactions open for longer than this, in microseconds.
const OPEN_LONG: i64 = 60 * SECOND;
/// Status of rows that wait because nobody can see which transactions are open.
const NOT_REFRESHED: &str = "rows wait for open transactions, which cannot be seen: the server does not \
     refresh its list of them (information_schema.INNODB_TRX) while it is read more than ten times a second; \
     let monitoring read it less often";
/// Server clocks are set back on the quarter of an hour, and by no more than a few hours.
const QUARTER: i64 = 900 * SECOND;
const QUARTERS: i64 = 14;

/// The server's clock, in microseconds.
#[derive(Clone, Copy, Debug)]
struct ServerClock {
    utc: i64,
    /// In the time zone in which the server writes date-times without zone.
    local: i64,
}

/// Wall times that may still occur although later ones of another clock are read.
#[derive(Debug, Default)]
struct AmbiguousTimes {
    /// For the clock that is behind: the lowest time that may still occur, the highest it has
    /// shown, and when that was read.
    behind: Option<(i64, i64, Instant)>,
    /// The time to which a clock will soon be set back, and whose clock it is.
    set_back: Option<(i64, &'static str)>,
}

impl AmbiguousTimes {
    /// Compares the clock of `db.timezone` with the server's, whose lowest wall time from the
    /// instant `from` on is `server`; the clock was read at `read_at`.
    fn between(
        zone: &JdbcTimeZone,
        clock: ServerClock,
        from: i64,
        server: i64,
        read_at: Instant,
    ) -> Self {
        let own = zone.lowest_wall_from(from);
        let set_back = [
            (own, zone.wall(from), "db.timezone"),
            (server, from + clock.local - clock.utc, "the server"),
        ];
        let set_back = set_back
            .into_iter()
            .find(|(lowest, shown, _)| lowest + SECOND < *shown);
        let behind = match own.cmp(&server) {
            Ordering::Less => Some((own, zone.highest_wall_until(clock.utc), read_at)),
            Ordering::Equal => None,
            Ordering::Greater => Some((server, clock.local, read_at)),
        };
        Self {
            behind,
            set_back: set_back.map(|(lowest, _, whose)| (lowest, whose)),
        }
    }

    /// Cuts the page before the first row that must wait. Returns whether it did.
    fn cut(&self, page: &mut ResultPage) -> bool {
        let Some((lowest, highest, then)) = self.behind else {
            return false;
        };
        let since = i64::try_from(then.elapsed().as_micros()).unwrap_or(i64::MAX);
        let highest = highest.saturating_add(since).saturating_add(SECOND);
        let Some(first) = page
            .timestamps
            .iter()
            .position(|timestamp| (lowest..=highest).contains(timestamp))
        else {
            return false;
        };
        page.rows.truncate(first);
        page.timestamps.truncate(first);
        true
    }
}

/// The timestamps of one table.
#[derive(Debug)]
pub(crate) struct ByTimestamp {
    config: Arc<SourceConfig>,
    /// This user cannot see open transactions, so a grace period is used instead.
    blind: bool,
    /// Age of the oldest open transaction, in microseconds.
    oldest: Option<i64>,
    /// The server's list of transactions has not been refreshed.
    stale: bool,
    /// Rows emitted ahead of a transaction that has been open too long.
    overtake: Overtake,
    ambiguous: AmbiguousTimes,
}

impl ByTimestamp {
    pub(crate) fn new(config: Arc<SourceConfig>) -> Self {
        Self {
            config,
            blind: false,
            oldest: None,
            stale: false,
            overtake: Overtake::default(),
            ambiguous: AmbiguousTimes::default(),
        }
    }

    /// Returns an instant up to which every row is either committed or rolled back.
    async fn settled(&mut self, cx: &mut ReadContext<'_>, clock: ServerClock) -> Result<i64> {
        let delay = self.config.delay_ms.saturating_mul(1000);
        (self.blind, self.stale, self.oldest) = (false, false, None);
        let database = cx.session.dialect().capabilities();
        let Some(statements) = database
            .oldest_transaction
            .filter(|_| self.config.gap_tracking)
        else {
            return Ok(clock.utc.saturating_sub(delay));
        };
        let before_clock = Instant::now();
        let sample = match open_transactions::sample(cx.session, &self.config.target).await? {
            TransactionHorizon::Seen(sample) => sample,
            TransactionHorizon::Stale(sample) => {
                self.stale = true;
                sample
            }
            TransactionHorizon::NotNow => return Err(Error::retry(NOT_REFRESHED)),
            TransactionHorizon::Denied => {
                self.blind = true;
                return Ok(clock.utc.saturating_sub(self.grace()));
            }
        };
        // The sample may be older than the clock reading: go by what the clock showed when the
        // sample was taken. Transactions that began afterwards have later timestamps.
        let since = before_clock.saturating_duration_since(sample.at);
        let looked = clock
            .utc
            .saturating_sub(micros(since))
            .saturating_sub(UNLISTED);
        self.oldest = if self.stale {
            // A transaction may have begun right after the look.
            Some(sample.oldest.unwrap_or(0).saturating_add(micros(since)))
        } else {
            sample.oldest
        };
        let limit = self.config.horizon_max_wait.map(micros);
        let too_long = limit
            .zip(self.oldest)
            .is_some_and(|(limit, age)| age > limit);
        if too_long && !self.overtake.is_full() {
            self.overtake.begin(cx.from);
            return Ok(clock.utc.saturating_sub(delay.max(BLIND_DELAY)));
        }
        if let Some(back) = self.overtake.end(cx.from.timestamp) {
            *cx.from = back;
        }
        let open = sample.oldest_timestamp.map_or(looked, |age| {
            looked
                .saturating_sub(age)
                .saturating_sub(statements.listed_late)
        });
        Ok(open.min(clock.utc.saturating_sub(delay)))
    }

    /// How long rows wait where open transactions cannot be seen, in microseconds.
    fn grace(&self) -> i64 {
        if self.config.delay_ms == 0 {
            BLIND_DELAY
        } else {
            self.config.delay_ms.saturating_mul(1000)
        }
    }

    /// Returns a warning about transactions that are open for long or cannot be seen.
    fn transaction_warning(&self) -> Option<String> {
        if let (Some(age), true) = (self.oldest, self.overtake.is_on()) {
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
            .filter(|age| *age > OPEN_LONG || self.overtake.is_full())
        {
            let many = if self.overtake.is_full() {
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
            dialect::of(self.config.target.database_kind())
                .capabilities()
                .oldest_transaction
        });
        grant.flatten().map(|statements| {
            format!(
                "open transactions are not visible without the privilege {}: rows are read {} ms \
                 later instead, and a row whose transaction stays open for longer is missed; grant \
                 the privilege, or set timestamp.delay.interval.ms",
                statements.grant,
                self.grace() / 1000,
            )
        })
    }

    /// Returns a warning about a clock that will be set back.
    fn set_back_warning(&self) -> Option<String> {
        let (lowest, whose) = self.ambiguous.set_back?;
        Some(format!(
            "the clock of {whose} will soon be set back to {}: rows with timestamps from then on \
             wait until the clock has shown these times for the second time",
            wall_text(lowest, ' ', 0)
        ))
    }
}

#[async_trait]
impl Visibility for ByTimestamp {
    /// Returns the server's clock less the delay, or the time of the oldest transaction that may
    /// still commit rows with earlier timestamps.
    async fn begin_cycle(&mut self, cx: &mut ReadContext<'_>) -> Result<Option<i64>> {
        let clock = read_clock(cx.session).await?;
        let read_at = Instant::now();
        // The clock is read before the transactions: one that begins after this reading gets a
        // later timestamp. An older one is in the sample unless it has ended; `UNLISTED` and
        // `LateStarters` cover the exceptions.
        let until = self.settled(cx, clock).await?;
        self.ambiguous = AmbiguousTimes::default();
        if cx.plan.timestamp_is_instant {
            return Ok(Some(step_of(until, cx.plan)));
        }
        let zone = &self.config.read.zone;
        let server = lowest_local(cx.session, clock, until).await?;
        self.ambiguous = AmbiguousTimes::between(zone, clock, until, server, read_at);
        let lowest = server.max(zone.lowest_wall_from(until));
        Ok(Some(step_of(lowest, cx.plan)))
    }

    fn admit_streamed(&self, page: &mut ResultPage) -> Admission {
        if self.ambiguous.cut(page) {
            Admission::UntilNextPoll
        } else {
            Admission::All
        }
    }

    fn filter(&mut self, page: &ResultPage) -> EmitFilter {
        self.overtake.filter(page)
    }

    fn warnings(&self) -> Vec<String> {
        let transaction = if self.stale && !self.overtake.is_on() {
            Some(NOT_REFRESHED.to_owned())
        } else {
            self.transaction_warning()
        };
        transaction
            .into_iter()
            .chain(self.set_back_warning())
            .collect()
    }
}

/// Rounds down to the column's precision: the timestamp that a row of this time gets, or the one
/// before if the database rounds up.
fn step_of(time: i64, plan: &TablePlan) -> i64 {
    time.div_euclid(plan.timestamp_step)
        .saturating_mul(plan.timestamp_step)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Returns a timestamp; rows inserted from now on get later ones.
pub(crate) async fn now(
    session: &mut dyn Session,
    plan: &TablePlan,
    zone: &JdbcTimeZone,
) -> Result<i64> {
    let clock = read_clock(session).await?;
    if plan.timestamp_is_instant {
        return Ok(step_of(clock.utc, plan) - 1);
    }
    let local = lowest_local(session, clock, clock.utc).await?;
    Ok(step_of(local.min(zone.lowest_wall_from(clock.utc)), plan) - 1)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use connector_api::{Config, ErrorKind, Value};

    use super::{AmbiguousTimes, ByTimestamp};
    use crate::calendar::{SECOND, parse_wall};
    use crate::catalog::{ColumnMeta, TableMeta};
    use crate::dialect;
    use crate::driver::ResultPage;
    use crate::ident::TableId;
    use crate::source::config::SourceConfig;
    use crate::source::plan::query::ReadPosition;
    use crate::source::plan::table::{self, TablePlan};
    use crate::source::visibility::scripted_session::{ScriptedAnswer, ScriptedSession};
    use crate::source::visibility::{Admission, ReadContext, Visibility};
    use crate::url::DatabaseKind;

    const NOW: &str = "2024-01-01 00:00:10.000000";

    fn config(url: &str, keys: &[(&str, &str)]) -> Arc<SourceConfig> {
        let mut config = Config::from([
            ("connection.url", url),
            ("mode", "timestamp"),
            ("timestamp.column.name", "changed"),
        ]);
        keys.iter()
            .for_each(|(key, value)| config.set(*key, *value));
        Arc::new(SourceConfig::read(&config).unwrap())
    }

    /// The plan of `t (changed TIMESTAMP NOT NULL)`, with a precision of a second.
    fn plan(config: &SourceConfig) -> TablePlan {
        let meta = TableMeta::of_columns(
            TableId::bare("t"),
            vec![ColumnMeta {
                name: "changed".to_owned(),
                data_type: "timestamp".to_owned(),
                ..ColumnMeta::default()
            }],
        );
        table::plan(&meta, config, dialect::of(DatabaseKind::MySql)).unwrap()
    }

    /// A server on which it is [`NOW`], and the oldest transaction is that old.
    fn server(transaction: Option<i64>) -> ScriptedSession {
        let age = transaction.map_or(Value::Null, Value::I64);
        let transactions = ScriptedAnswer::Rows(vec![vec![
            Value::Null,
            age,
            Value::I64(1),
            Value::Null,
            Value::Null,
        ]]);
        ScriptedSession::new(
            DatabaseKind::MySql,
            [
                ("SELECT", clock()),
                ("processlist", ScriptedAnswer::Rows(Vec::new())),
                ("innodb_trx", transactions),
            ],
        )
    }

    fn clock() -> ScriptedAnswer {
        ScriptedAnswer::Rows(vec![vec![Value::Text(NOW.into()), Value::Text(NOW.into())]])
    }

    /// Starts a cycle from the timestamp 0. Returns how long before [`NOW`] it ends, in seconds,
    /// and the position after that.
    async fn begin(mode: &mut ByTimestamp, mut session: ScriptedSession) -> (i64, ReadPosition) {
        let plan = plan(&mode.config);
        let mut from = ReadPosition {
            timestamp: Some(0),
            ..ReadPosition::default()
        };
        let mut cx = ReadContext {
            session: &mut session,
            plan: &plan,
            from: &mut from,
        };
        let bound = mode.begin_cycle(&mut cx).await.unwrap().unwrap();
        assert!(session.is_done());
        ((parse_wall(NOW).unwrap() - bound) / SECOND, from)
    }

    #[tokio::test]
    async fn rows_wait_for_the_oldest_transaction() {
        let config = config("jdbc:mariadb://by-timestamp-1/d", &[]);
        let mut mode = ByTimestamp::new(config);
        // Its age is accurate to a second, and the column to another one.
        let (behind, from) = begin(&mut mode, server(Some(3 * SECOND))).await;
        assert_eq!((behind, from.timestamp), (5, Some(0)));
        assert_eq!(mode.warnings(), [""; 0]);
    }

    #[tokio::test]
    async fn a_user_who_cannot_see_transactions_is_warned_and_rows_rest() {
        let config = config("jdbc:mariadb://by-timestamp-2/d", &[]);
        let mut mode = ByTimestamp::new(config);
        let session = ScriptedSession::new(
            DatabaseKind::MySql,
            [
                ("SELECT", clock()),
                ("processlist", ScriptedAnswer::Rows(Vec::new())),
                ("innodb_trx", ScriptedAnswer::Fails(ErrorKind::Denied)),
            ],
        );
        assert_eq!(begin(&mut mode, session).await.0, 2);
        let warnings = mode.warnings();
        assert!(
            matches!(warnings.as_slice(), [one] if one.contains("PROCESS")),
            "{warnings:?}"
        );
    }

    /// A server whose list of transactions is never refreshed.
    fn stale_server() -> ScriptedSession {
        let stale = || {
            ScriptedAnswer::Rows(vec![vec![
                Value::Null,
                Value::Null,
                Value::I64(0),
                Value::Null,
                Value::Null,
            ]])
        };
        let tries = (0..4).flat_map(|_| {
            [
                ("processlist", ScriptedAnswer::Rows(Vec::new())),
                ("innodb_trx", stale()),
            ]
        });
        let script: Vec<_> = std::iter::once(("SELECT", clock())).chain(tries).collect();
        ScriptedSession::new(DatabaseKind::MySql, script)
    }

    #[tokio::test]
    async fn rows_wait_while_the_server_does_not_refresh_its_list_of_transactions() {
        let config = config("jdbc:mariadb://by-timestamp-5/d", &[]);
        let mut mode = ByTimestamp::new(Arc::clone(&config));
        let plan = plan(&config);
        let mut from = ReadPosition::default();
        let mut session = stale_server();
        let error = mode
            .begin_cycle(&mut ReadContext {
                session: &mut session,
                plan: &plan,
                from: &mut from,
            })
            .await
            .unwrap_err();
        assert!(
            error.kind() == ErrorKind::Retry && error.message().contains("INNODB_TRX"),
            "{error}"
        );
        // The list as it was: later rows still wait for the transaction that was open then.
        assert_eq!(begin(&mut mode, server(Some(5 * SECOND))).await.0, 7);
        assert_eq!(mode.warnings(), [""; 0]);
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        assert_eq!(begin(&mut mode, stale_server()).await.0, 7);
        assert!(mode.warnings()[0].contains("INNODB_TRX"));
    }

    #[tokio::test]
    async fn a_transaction_that_is_open_too_long_is_overtaken() {
        let keys = [("timestamp.horizon.max.wait.ms", "5000")];
        let config = config("jdbc:mariadb://by-timestamp-3/d", &keys);
        let mut mode = ByTimestamp::new(config);
        assert_eq!(begin(&mut mode, server(Some(7 * SECOND))).await.0, 2);
        let page = ResultPage {
            rows: vec![[Value::I64(1)].into()],
            timestamps: vec![SECOND],
            ..ResultPage::default()
        };
        assert!(mode.filter(&page).early);
        assert!(mode.warnings()[0].contains("longer than timestamp.horizon.max.wait.ms"));
    }

    #[test]
    fn rows_of_an_hour_that_a_clock_shows_twice_wait_for_the_next_poll() {
        let mut mode = ByTimestamp::new(config("jdbc:mariadb://by-timestamp-4/d", &[]));
        let mut page = ResultPage {
            rows: (0..3).map(|n| [Value::I64(n)].into()).collect(),
            timestamps: vec![SECOND, 20 * SECOND, 90 * SECOND],
            ..ResultPage::default()
        };
        assert_eq!(mode.admit_streamed(&mut page), Admission::All);
        mode.ambiguous = AmbiguousTimes {
            behind: Some((10 * SECOND, 30 * SECOND, Instant::now())),
            set_back: None,
        };
        assert_eq!(mode.admit_streamed(&mut page), Admission::UntilNextPoll);
        assert_eq!((page.rows.len(), page.timestamps), (1, vec![SECOND]));
    }
}
