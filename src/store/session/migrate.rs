//! Migrates and checks the tables of the store at the start.

use sqlx::Executor;
use sqlx::mysql::MySqlConnection;
use tracing::warn;

use super::{StoreConnection, StoreSession};
use crate::store::failure::{StoreFailure, StoreTrouble};
use crate::store::files::{self, KEY_FILE};
use crate::store::location::{StoreKind, StoreLocation};

impl StoreSession {
    /// Runs the pending migrations and checks an SQLite file.
    pub(in crate::store) async fn migrate(
        &mut self,
        place: &StoreLocation,
    ) -> Result<(), StoreFailure> {
        if let StoreConnection::MySql(connection) = &mut self.wire {
            forget_halves(connection)
                .await
                .map_err(|error| StoreFailure::of(&error, &place.shown))?;
        }
        let migrations = place.migrations();
        let migrated = match &mut self.wire {
            StoreConnection::Sqlite(connection, _) => migrations.run(connection).await,
            StoreConnection::MySql(connection) => migrations.run(connection).await,
            StoreConnection::Postgres(connection) => migrations.run(connection).await,
        };
        migrated.map_err(|error| unmigrated(error, &place.shown))?;
        if let StoreConnection::Sqlite(_, Some(_)) = &self.wire {
            self.examine().await?;
        }
        Ok(())
    }

    /// Runs the pending migrations while no other worker does. Errors: also `InUse` if another one
    /// takes longer than a minute.
    pub(in crate::store) async fn migrate_alone(
        &mut self,
        place: &StoreLocation,
    ) -> Result<(), StoreFailure> {
        let locked = match &mut self.wire {
            StoreConnection::Sqlite(..) => Ok(true),
            StoreConnection::MySql(connection) => {
                let lock = "SELECT GET_LOCK(CONCAT('rowferry.migrate.', MD5(DATABASE())), 60)";
                sqlx::query_scalar(lock)
                    .fetch_one(connection)
                    .await
                    .map(|locked: Option<i64>| locked == Some(1))
            }
            StoreConnection::Postgres(connection) => connection
                .execute(sqlx::raw_sql(
                    "SELECT pg_catalog.pg_advisory_lock(8247736527422)",
                ))
                .await
                .map(|_| true),
        };
        if !locked.map_err(|error| self.failed(&error))? {
            let cause = "another worker is migrating its tables";
            return Err(StoreFailure::from_cause(
                StoreTrouble::InUse,
                &place.shown,
                cause,
            ));
        }
        self.migrate(place).await?;
        match &self.wire {
            StoreConnection::Sqlite(..) => Ok(()),
            StoreConnection::MySql(_) => {
                self.command("DO RELEASE_LOCK(CONCAT('rowferry.migrate.', MD5(DATABASE())))")
                    .await
            }
            StoreConnection::Postgres(_) => {
                self.command("SELECT pg_catalog.pg_advisory_unlock(8247736527422)")
                    .await
            }
        }
    }

    /// Refuses a file without tables if a key created for a store exists: the tables are created
    /// before the key.
    pub(in crate::store) async fn has_tables(
        &mut self,
        place: &StoreLocation,
    ) -> Result<(), StoreFailure> {
        let (StoreConnection::Sqlite(connection, _), StoreKind::File(_, path)) =
            (&mut self.wire, &place.kind)
        else {
            return Ok(());
        };
        let tables = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM sqlite_master")
            .fetch_one(connection)
            .await;
        if tables.map_err(|error| self.failed(&error))? > 0 {
            return Ok(());
        }
        let cause = files::lost("has no tables", path.with_file_name(KEY_FILE));
        Err(StoreFailure::from_cause(
            StoreTrouble::Lost,
            &place.shown,
            &cause,
        ))
    }

    /// Lets SQLite check the integrity of its file.
    async fn examine(&mut self) -> Result<(), StoreFailure> {
        let StoreConnection::Sqlite(connection, _) = &mut self.wire else {
            return Ok(());
        };
        let found: Result<String, _> = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(connection)
            .await;
        match found {
            Ok(found) if found == "ok" => Ok(()),
            Ok(found) => Err(StoreFailure::from_cause(
                StoreTrouble::Damaged,
                &self.shown,
                &found,
            )),
            Err(error) => Err(self.failed(&error)),
        }
    }
}

/// Cleans up after an interrupted migration, which sqlx would refuse. An interrupted first
/// migration has left tables that were never written to (MySQL commits each CREATE TABLE
/// separately); later ones can be run again.
async fn forget_halves(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    let begun = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '_sqlx_migrations'";
    if sqlx::query_scalar::<_, i64>(begun)
        .fetch_one(&mut *connection)
        .await?
        == 0
    {
        return Ok(());
    }
    let half = "SELECT MIN(version) FROM _sqlx_migrations WHERE success = FALSE";
    let Some(half) = sqlx::query_scalar::<_, Option<i64>>(half)
        .fetch_one(&mut *connection)
        .await?
    else {
        return Ok(());
    };
    warn!(
        version = half,
        "a migration of the metadata store was interrupted; it is run again"
    );
    if half == 1 {
        connection
            .execute(sqlx::raw_sql(
                "DROP TABLE IF EXISTS connectors, config_history, tasks, statuses, topics",
            ))
            .await?;
    }
    connection
        .execute(sqlx::raw_sql(
            "DELETE FROM _sqlx_migrations WHERE success = FALSE",
        ))
        .await
        .map(drop)
}

fn unmigrated(error: sqlx::migrate::MigrateError, shown: &str) -> StoreFailure {
    use sqlx::migrate::MigrateError;
    match error {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => {
            StoreFailure::of(&cause, shown)
        }
        MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => StoreFailure::new(
            StoreTrouble::Refused,
            "the metadata store was created by a newer rowferry: use that version, or another store",
        ),
        other => {
            let cause = format!("its tables cannot be migrated: {other}");
            StoreFailure::from_cause(StoreTrouble::Broken, shown, &cause)
        }
    }
}
