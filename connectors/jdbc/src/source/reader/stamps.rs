//! Up to which stamp rows are read: before the oldest transaction that may yet commit rows with stamps of its own.

use connector_api::{Error, Result, Value};

use super::TableReader;
use crate::calendar::{SECOND, parse_wall};
use crate::driver::Session;
use crate::source::horizon::{self, Horizon};

/// How long rows rest where open transactions cannot be seen, in microseconds.
const BLIND_DELAY: i64 = 2 * SECOND;
/// A transaction open for longer is told of, in microseconds.
const OPEN_LONG: i64 = 60 * SECOND;

impl TableReader {
    /// Stamps from here on are left for later: the server's clock, less the delay, and before the oldest transaction
    /// that may yet commit rows with stamps of its own.
    pub(super) async fn bound(&mut self, session: &mut dyn Session) -> Result<i64> {
        let now = self.clock(session).await?;
        let delay = self.config.delay_ms.saturating_mul(1000);
        (self.blind, self.oldest) = (false, None);
        if !self.config.gap_tracking || session.dialect().oldest_transaction().is_none() {
            return Ok(now.saturating_sub(delay));
        }
        let before_clock = std::time::Instant::now();
        let Horizon::Seen(sample) = horizon::sample(session, &self.config.target).await? else {
            self.blind = true;
            let delay = if self.config.delay_ms == 0 { BLIND_DELAY } else { delay };
            return Ok(now.saturating_sub(delay));
        };
        // what began after an older look has later stamps than the clock had then
        let since = before_clock.saturating_duration_since(sample.at);
        let looked = now.saturating_sub(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
        self.oldest = sample.oldest;
        let open = sample.oldest.map_or(looked, |age| looked.saturating_sub(age).saturating_sub(SECOND));
        Ok(open.min(now.saturating_sub(delay)))
    }

    /// The server's clock on the calendar of the stamps.
    pub(super) async fn clock(&self, session: &mut dyn Session) -> Result<i64> {
        let sql = session.dialect().clock();
        let row = session.query(sql, &[]).await?.into_iter().next().unwrap_or_default();
        let read = |n: usize| row.get(n).and_then(Value::as_str).and_then(parse_wall);
        let (Some(utc), Some(local)) = (read(0), read(1)) else {
            return Err(Error::fatal("the server's clock cannot be read"));
        };
        if self.stamps_are_instants() {
            return Ok(utc);
        }
        // date-times without zone were written by some clock: the server's, or one in db.timezone
        Ok(local.max(self.config.read.zone.wall(utc)))
    }

    /// What a person should know of transactions that are open, or cannot be seen.
    pub(super) fn stamp_warning(&self) -> Option<String> {
        if let Some(age) = self.oldest.filter(|age| *age > OPEN_LONG) {
            return Some(format!(
                "a transaction or statement has been running for {} s; rows stamped since then wait until it ends, since \
                 it may yet commit earlier ones",
                age / SECOND
            ));
        }
        let grant = self.blind.then(|| crate::dialect::of(self.config.target.database_kind()).oldest_transaction());
        grant.flatten().map(|statements| {
            format!(
                "open transactions cannot be seen without the privilege {}: rows rest for {} ms instead, and one whose \
                 transaction stays open for longer is missed; grant it, or set timestamp.delay.interval.ms",
                statements.grant,
                if self.config.delay_ms == 0 { BLIND_DELAY / 1000 } else { self.config.delay_ms },
            )
        })
    }
}
