//! The lock that reserves the store for this worker: taken by each connection, and released when it
//! ends.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor};

use super::{StoreConnection, StoreSession};
use crate::store::failure::{StoreFailure, StoreTrouble};
use crate::store::last_change::LastChange;
use crate::store::location::BUSY_TIMEOUT;

impl StoreSession {
    /// Takes the lock of the store. Errors: `InUse`.
    pub(super) async fn lock(
        &mut self,
        again: Option<(&LastChange, Option<i64>)>,
    ) -> Result<(), StoreFailure> {
        // The lock of an SQLite file is part of its locking mode.
        if matches!(self.wire, StoreConnection::Sqlite(..)) || self.try_lock().await? {
            return Ok(());
        }
        // Only the last holder may end the old connection: if the last change is another worker's,
        // the lock may be that worker's too.
        if let Some((ledger, Some(backend))) = again
            && let Some(id) = self.last_change().await?
            && ledger.is_ours(&id)
        {
            self.end_backend(backend).await?;
            if self.try_lock().await? {
                return Ok(());
            }
        }
        Err(StoreFailure::from_cause(
            StoreTrouble::InUse,
            &self.shown,
            "it is locked",
        ))
    }

    /// Lets other workers use the store, too, unless one has it for itself. Errors: `InUse`.
    pub(super) async fn share(&mut self) -> Result<(), StoreFailure> {
        let mut is_free = Ok(false);
        for _ in 0..=BUSY_TIMEOUT.as_secs() * 4 {
            is_free = match &mut self.wire {
                StoreConnection::Sqlite(..) => Ok(true),
                StoreConnection::MySql(connection) => {
                    let free =
                        "SELECT CAST(IS_FREE_LOCK(CONCAT('rowferry.', MD5(DATABASE()))) AS SIGNED)";
                    sqlx::query_scalar(free)
                        .fetch_one(&mut *connection)
                        .await
                        .map(|free: Option<i64>| free == Some(1))
                }
                StoreConnection::Postgres(connection) => {
                    sqlx::query_scalar(
                        "SELECT pg_catalog.pg_try_advisory_lock_shared(8247736527421)",
                    )
                    .fetch_one(&mut *connection)
                    .await
                }
            };
            if !matches!(is_free, Ok(false)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        if !is_free.map_err(|error| self.failed(&error))? {
            let cause = "a worker without rowferry.store.shared uses it alone";
            return Err(StoreFailure::from_cause(
                StoreTrouble::InUse,
                &self.shown,
                cause,
            ));
        }
        if matches!(self.wire, StoreConnection::MySql(_)) {
            self.command("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
                .await?;
        }
        Ok(())
    }

    /// Lets the server end this connection soon after this worker stops using it. A worker that is
    /// frozen within a transaction would otherwise block the others for as long as it is.
    pub(super) async fn end_when_idle(&mut self) -> Result<(), StoreFailure> {
        match self.wire {
            StoreConnection::Sqlite(..) => Ok(()),
            StoreConnection::MySql(_) => self.command("SET SESSION wait_timeout = 15").await,
            StoreConnection::Postgres(_) => {
                self.command("SET idle_in_transaction_session_timeout = 15000")
                    .await
            }
        }
    }

    /// Tries to take the lock, and waits a little for a worker that is just ending. PostgreSQL's
    /// advisory locks are per database; the number is ours.
    async fn try_lock(&mut self) -> Result<bool, StoreFailure> {
        let locked = match &mut self.wire {
            StoreConnection::Sqlite(..) => Ok(true),
            StoreConnection::MySql(connection) => {
                let lock =
                    sqlx::query_scalar("SELECT GET_LOCK(CONCAT('rowferry.', MD5(DATABASE())), ?)");
                let locked: Result<Option<i64>, _> = lock
                    .bind(BUSY_TIMEOUT.as_secs())
                    .fetch_one(connection)
                    .await;
                locked.map(|locked| locked == Some(1))
            }
            StoreConnection::Postgres(connection) => {
                let mut locked = Ok(false);
                for _ in 0..=BUSY_TIMEOUT.as_secs() * 4 {
                    let lock =
                        sqlx::query_scalar("SELECT pg_catalog.pg_try_advisory_lock(8247736527421)");
                    locked = lock.fetch_one(&mut *connection).await;
                    if !matches!(locked, Ok(false)) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
                locked
            }
        };
        locked.map_err(|error| self.failed(&error))
    }

    /// Ends this worker's earlier connection if it still holds the lock, because the server has not
    /// noticed its end, for example after a network failure.
    async fn end_backend(&mut self, backend: i64) -> Result<(), StoreFailure> {
        let ended = match &mut self.wire {
            StoreConnection::Sqlite(..) => Ok(()),
            StoreConnection::MySql(connection) => {
                let holder = sqlx::query_scalar::<_, Option<i64>>(
                    "SELECT CAST(IS_USED_LOCK(CONCAT('rowferry.', MD5(DATABASE()))) AS SIGNED)",
                );
                match holder.fetch_one(&mut *connection).await {
                    Ok(holder) if holder == Some(backend) => {
                        let kill = AssertSqlSafe(format!("KILL CONNECTION {backend}"));
                        connection.execute(sqlx::raw_sql(kill)).await.map(drop)
                    }
                    other => other.map(drop),
                }
            }
            StoreConnection::Postgres(connection) => {
                let kill = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_locks \
                            WHERE locktype = 'advisory' AND granted AND pid = $1";
                sqlx::query(kill)
                    .bind(i32::try_from(backend).unwrap_or(-1))
                    .execute(connection)
                    .await
                    .map(drop)
            }
        };
        ended.map_err(|error| self.failed(&error))
    }
}
