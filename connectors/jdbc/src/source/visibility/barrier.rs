//! An id up to which every row is either committed or rolled back once the transactions running at
//! the time have ended.
//!
//! Ids are assigned in order, so the statement of a transaction that holds an id below the greatest
//! visible one had begun by then.

use std::time::{Duration, Instant};

use connector_api::{Result, Value};

use super::open_transactions::{self, TransactionHorizon};
use crate::driver::Session;
use crate::source::plan::table::TablePlan;
use crate::url::ConnectionTarget;

/// The server reports ages of transactions in whole seconds, and a statement may have taken its id
/// before it is listed anywhere.
const GRACE: Duration = Duration::from_secs(2);

/// An id, and what is needed to decide whether all transactions that could hold a lower one have
/// ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommitBarrier {
    pub up_to: i64,
    /// Transactions from this id on began after it was seen (PostgreSQL's `pg_snapshot_xmax`).
    before: Option<u64>,
    /// A time after it was seen.
    set: Instant,
}

/// State of a [`CommitBarrier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BarrierState {
    /// Its transactions have ended.
    Passed,
    /// They are still running, or it is not known yet.
    Open,
    /// This user cannot see transactions.
    Denied,
}

impl CommitBarrier {
    /// Sets a barrier at the greatest id of the table, or at `least` if that is greater.
    pub(crate) async fn set(
        session: &mut dyn Session,
        plan: &TablePlan,
        least: i64,
    ) -> Result<Self> {
        let id = plan.shape.id.as_deref().unwrap_or("NULL");
        let snapshots = session.dialect().capabilities().has_snapshots;
        let sql = if snapshots {
            format!(
                "SELECT pg_catalog.max({id})::pg_catalog.int8, \
                 pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text FROM {}",
                plan.table_sql
            )
        } else {
            format!("SELECT MAX({id}), NULL FROM {}", plan.table_sql)
        };
        let found = session.query(&sql, &[]).await?;
        // Taken after the query, so that the age of the barrier is never overestimated.
        let set = Instant::now();
        let value = |n: usize| found.first().and_then(|row| row.get(n));
        let up_to = value(0)
            .and_then(number)
            .map_or(least, |greatest: i64| greatest.max(least));
        Ok(Self {
            up_to,
            before: value(1).and_then(number),
            set,
        })
    }

    /// Sets a barrier at that id.
    #[cfg(test)]
    pub(crate) fn at(up_to: i64) -> Self {
        Self {
            up_to,
            before: None,
            set: Instant::now(),
        }
    }

    /// Returns the time since the barrier was set.
    pub(crate) fn age(&self) -> Duration {
        self.set.elapsed()
    }

    /// Checks whether all transactions that may hold an id up to `up_to` have ended.
    pub(crate) async fn state(
        &self,
        session: &mut dyn Session,
        target: &ConnectionTarget,
    ) -> Result<BarrierState> {
        if let Some(before) = self.before {
            return self.snapshots_passed(session, before).await;
        }
        Ok(
            match open_transactions::sample_after(session, target, self.set).await? {
                TransactionHorizon::Denied => BarrierState::Denied,
                TransactionHorizon::NotNow | TransactionHorizon::Stale(_) => BarrierState::Open,
                TransactionHorizon::Seen(sample) => {
                    let age = sample.at.saturating_duration_since(self.set);
                    let older =
                        |micros: i64| age > GRACE + Duration::from_micros(micros.unsigned_abs());
                    if sample.oldest.is_none_or(older) {
                        BarrierState::Passed
                    } else {
                        BarrierState::Open
                    }
                }
            },
        )
    }

    /// Checks the snapshots of the other sessions (PostgreSQL). A statement that has taken an id
    /// but no transaction id yet shows up by its snapshot, which is visible without a privilege. A
    /// transaction between two statements does not, so unless all other sessions are idle,
    /// [`GRACE`] must have passed as well.
    async fn snapshots_passed(
        &self,
        session: &mut dyn Session,
        before: u64,
    ) -> Result<BarrierState> {
        let sql = "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::pg_catalog.text, \
                   COALESCE(pg_catalog.string_agg(backend_xmin::pg_catalog.text, ','), ''), \
                   pg_catalog.count(*) FILTER (WHERE state IS DISTINCT FROM 'idle') \
                   FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() \
                   AND pid <> pg_catalog.pg_backend_pid() AND backend_type = 'client backend'";
        let found = session.query(sql, &[]).await?;
        let Some([oldest, snapshots, busy]) = found.first().map(Vec::as_slice) else {
            return Ok(BarrierState::Open);
        };
        if number::<u64>(oldest).is_none_or(|oldest| oldest < before) {
            return Ok(BarrierState::Open);
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "`backend_xmin` has 32 bits and wraps around"
        )]
        let before = before as u32;
        let is_old = |xmin: u32| xmin.wrapping_sub(before).cast_signed() <= 0;
        let old = snapshots
            .as_str()
            .unwrap_or_default()
            .split(',')
            .filter_map(|x| x.parse().ok())
            .any(is_old);
        let quiet = number::<i64>(busy) == Some(0);
        Ok(if old || (!quiet && self.age() < GRACE) {
            BarrierState::Open
        } else {
            BarrierState::Passed
        })
    }
}

fn number<N: TryFrom<i128>>(value: &Value) -> Option<N> {
    let whole = value
        .as_i64()
        .map(i128::from)
        .or_else(|| value.as_str()?.parse().ok());
    whole.and_then(|n| n.try_into().ok())
}
