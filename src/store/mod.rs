//! The metadata store: connector configs with their history, target states, task configs, statuses,
//! used topics.
//!
//! [`Store::apply`] is one transaction: a change for which it returned `Ok` survives a power loss;
//! one for which it returned an error was not kept, unless the error says that it is in doubt. The
//! store decides nothing, and knows neither REST nor the worker.
//!
//! `statement` translates each [`StoreChange`] to SQL, `session` is a connection, `access` makes
//! transactions of it, and `last_change` tracks the last one; `cipher`, `key` and `seal` keep
//! configs encrypted, `files` hides them from other users, and `history` decides what to delete.

mod access;
mod change;
mod cipher;
mod failure;
mod files;
mod history;
mod key;
mod last_change;
mod location;
mod seal;
mod session;
mod shared;
mod statement;
mod transfer;

use std::collections::BTreeMap;
use std::sync::Arc;

use connector_api::{Config, Result};

pub use change::{
    HistoryLimits, StoreChange, StoreMember, StoreNews, StoreOptions, StoreSnapshot,
    StoredConnector, StoredStatus, StoredTask, StoredVersion, StoredWorker, WorkerBusy,
};
pub use failure::{StoreFailure, StoreTrouble};
pub use files::KEY_FILE;
pub use shared::UNSEEN_MS;

use crate::model::{RunState, RunStatus, TargetState};
use access::StoreAccess;
use cipher::{SealedTable, StoreCipher};
use history::HistoryEntry;
use location::StoreLocation;
pub use location::{file_of_url, is_same_place, is_shareable, url_of_file};
use statement::{SqlCell, WriteStyle};
pub use transfer::CopiedRows;

/// The store; cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<StoreParts>);

struct StoreParts {
    access: StoreAccess,
    cipher: StoreCipher,
    history: HistoryLimits,
    member: Option<StoreMember>,
}

/// Number of slots of a group of workers that does not choose another one.
pub const SLOTS_DEFAULT: u16 = 64;

/// How often a shared store is opened again because other workers that start change it.
const OPENED_TIMES: usize = 10;

impl Store {
    /// Opens a store, migrates its tables, and encrypts configs that are not encrypted yet. Errors:
    /// `Config` for an invalid URL or key, a store of a newer version, a missing key or a lost
    /// store; `Retry` when the database is unreachable or in use.
    pub async fn open(options: &StoreOptions) -> Result<Self> {
        for _ in 0..OPENED_TIMES {
            match Self::open_once(options).await {
                Err(failure) if failure.trouble == StoreTrouble::Changed => {}
                done => return Ok(done?),
            }
        }
        Ok(Self::open_once(options).await?)
    }

    async fn open_once(options: &StoreOptions) -> Result<Self, StoreFailure> {
        let place = StoreLocation::parse(&options.url)?;
        let is_shared = options.member.is_some();
        if is_shared && !place.is_server() {
            return Err(not_shareable(&place.shown));
        }
        if is_shared && options.secrets_key.is_none() {
            return Err(without_key());
        }
        let has_own_key = place.has_own_key(options.secrets_key.as_deref());
        let access = StoreAccess::open(place, has_own_key, is_shared).await?;
        if is_shared {
            let (now, _) = access.ids().await?;
            access.has_read(now).await?;
        }
        let cipher = seal::take_up(&access, options).await?;
        let this = Self(Arc::new(StoreParts {
            access,
            cipher,
            history: options.history,
            member: options.member.clone(),
        }));
        if is_shared {
            this.register().await?;
        } else {
            this.is_not_shared().await?;
            // Make a change: another worker that still considers the store its own now finds a
            // foreign change.
            this.0.access.transact(&[]).await?;
        }
        Ok(this)
    }

    /// Applies all writes in one transaction, or none. `now_ms` is milliseconds since 1970-01-01
    /// UTC. Without writes it still runs a transaction, which tests whether the store can be
    /// written. Errors: nothing was kept, unless the failure is in doubt; then call
    /// [`Store::settle`] next.
    pub async fn apply(&self, writes: &[StoreChange], now_ms: i64) -> Result<(), StoreFailure> {
        let style = WriteStyle {
            cipher: &self.0.cipher,
            history: self.0.history,
            now_ms,
            is_shared: self.0.member.is_some(),
        };
        let mut statements = Vec::new();
        for write in writes {
            statements.extend(statement::of(write, &style)?);
        }
        self.0.access.transact(&statements).await
    }

    /// Returns whether the change in doubt was kept; `None` if none is in doubt. Errors: the store
    /// cannot be read.
    pub async fn settle(&self) -> Result<Option<bool>, StoreFailure> {
        self.0.access.settle().await
    }

    /// Checks that the store exists and is as this worker has left it. Errors: it is not.
    pub async fn check(&self) -> Result<(), StoreFailure> {
        self.0.access.check().await
    }

    /// Deletes configs beyond the limits of the history. Returns the number of connectors
    /// concerned. Errors: as [`Store::apply`].
    pub async fn trim(&self, now_ms: i64) -> Result<usize, StoreFailure> {
        let mut entries = Vec::new();
        for row in self.rows(&statement::LIST_HISTORY, &[]).await? {
            if let [
                SqlCell::Text(Some(connector)),
                SqlCell::Int(version),
                SqlCell::Int(at_ms),
                SqlCell::Text(config),
            ] = row.as_slice()
            {
                let deleted = config.as_deref().unwrap_or_default().is_empty();
                entries.push(HistoryEntry {
                    connector: connector.clone(),
                    version: *version,
                    at_ms: *at_ms,
                    deleted,
                });
            }
        }
        let cuts = history::surplus(&entries, &self.0.history, now_ms);
        if !cuts.is_empty() {
            let statements: Vec<_> = cuts
                .iter()
                .map(|(name, up_to)| statement::cut_history(name, *up_to))
                .collect();
            self.0.access.transact(&statements).await?;
        }
        Ok(cuts.len())
    }

    /// Returns all connectors by name. Errors: the store cannot be read; `Fatal` if a stored config
    /// is not a JSON object of strings.
    pub async fn load(&self) -> Result<Vec<StoredConnector>> {
        let mut all = Vec::with_capacity(LOADED.len());
        for query in LOADED {
            all.push(self.rows(query, &[]).await?);
        }
        Ok(self.connectors(all)?)
    }

    /// Puts the rows of [`LOADED`] together.
    fn connectors(
        &self,
        all: Vec<Vec<Vec<SqlCell>>>,
    ) -> Result<Vec<StoredConnector>, StoreFailure> {
        let mut found = BTreeMap::new();
        let mut all = all.into_iter();
        let mut next = || all.next().unwrap_or_default();
        for row in next() {
            if let Some(stored) = self.connector(&row)? {
                found.insert(Arc::clone(&stored.name), stored);
            }
        }
        for row in next() {
            self.add_task(&row, &mut found)?;
        }
        for row in next() {
            if let [SqlCell::Text(Some(name)), SqlCell::Text(Some(topic))] = row.as_slice()
                && let Some(stored) = found.get_mut(name.as_str())
            {
                stored.topics.insert(Arc::from(topic.as_str()));
            }
        }
        for one in statuses(next())? {
            let Some(stored) = found.get_mut(&one.name) else {
                continue;
            };
            match one.task {
                Some(task) => drop(stored.task_statuses.insert(task, one.status)),
                None => stored.status = Some(one.status),
            }
        }
        Ok(found.into_values().collect())
    }

    fn connector(&self, row: &[SqlCell]) -> Result<Option<StoredConnector>, StoreFailure> {
        let [
            SqlCell::Text(Some(name)),
            SqlCell::Text(Some(config)),
            SqlCell::Text(Some(target)),
            SqlCell::Int(slot),
            SqlCell::Int(created_ms),
            SqlCell::Int(revision),
            SqlCell::Int(planned),
            SqlCell::Int(restarts),
        ] = row
        else {
            return Ok(None);
        };
        let config = self.config(SealedTable::Connectors, name, config)?;
        let target = TargetState::parse(target).ok_or_else(|| unreadable("target state"))?;
        Ok(Some(StoredConnector {
            slot: u16::try_from(*slot).unwrap_or_default(),
            created_ms: *created_ms,
            revision: u64::try_from(*revision).unwrap_or_default(),
            planned: u64::try_from(*planned).ok(),
            restarts: u64::try_from(*restarts).unwrap_or_default(),
            ..StoredConnector::new(name.as_str(), config, target)
        }))
    }

    fn add_task(
        &self,
        row: &[SqlCell],
        found: &mut BTreeMap<Arc<str>, StoredConnector>,
    ) -> Result<(), StoreFailure> {
        if let [
            SqlCell::Text(Some(name)),
            SqlCell::Text(Some(config)),
            SqlCell::Int(slot),
            SqlCell::Int(restarts),
        ] = row
            && let Some(stored) = found.get_mut(name.as_str())
        {
            stored.tasks.push(StoredTask {
                config: self.config(SealedTable::Tasks, name, config)?,
                slot: u16::try_from(*slot).unwrap_or_default(),
                restarts: u64::try_from(*restarts).unwrap_or_default(),
            });
        }
        Ok(())
    }

    /// Returns the configs that a connector has had, oldest first; empty if it never existed.
    /// Errors: the store cannot be read.
    pub async fn history(&self, connector: &str) -> Result<Vec<StoredVersion>, StoreFailure> {
        let mut versions = Vec::new();
        for row in self
            .rows(
                &statement::LOAD_HISTORY,
                &[SqlCell::Text(Some(connector.to_owned()))],
            )
            .await?
        {
            if let [
                SqlCell::Int(version),
                SqlCell::Text(config),
                SqlCell::Int(at_ms),
            ] = row.as_slice()
            {
                let opened = config
                    .as_deref()
                    .map(|config| self.config(SealedTable::History, connector, config));
                versions.push(StoredVersion {
                    version: *version,
                    config: opened.transpose()?,
                    at_ms: *at_ms,
                });
            }
        }
        Ok(versions)
    }

    async fn rows(
        &self,
        query: &'static statement::SqlQuery,
        args: &[SqlCell],
    ) -> Result<Vec<Vec<SqlCell>>, StoreFailure> {
        self.0.access.rows(query, args).await
    }

    fn config(
        &self,
        table: SealedTable,
        connector: &str,
        stored: &str,
    ) -> Result<Config, StoreFailure> {
        let json = self.0.cipher.open(table, connector, stored)?;
        let map: BTreeMap<String, String> =
            serde_json::from_str(&json).map_err(|_| unreadable("config"))?;
        Ok(map.into_iter().collect())
    }

    /// Closes the connection; applied changes are kept.
    pub async fn close(&self) {
        self.0.access.close().await;
    }
}

/// What [`Store::load`] reads, in the order in which [`Store::connectors`] takes it.
const LOADED: [&statement::SqlQuery; 4] = [
    &statement::LOAD_CONNECTORS,
    &statement::LOAD_TASKS,
    &statement::LOAD_TOPICS,
    &statement::LOAD_STATUSES,
];

fn statuses(rows: Vec<Vec<SqlCell>>) -> Result<Vec<StoredStatus>, StoreFailure> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let [
            SqlCell::Text(Some(name)),
            SqlCell::Int(task),
            SqlCell::Text(Some(state)),
            SqlCell::Text(worker),
            SqlCell::Text(trace),
        ] = row.as_slice()
        else {
            continue;
        };
        found.push(StoredStatus {
            name: Arc::from(name.as_str()),
            task: u32::try_from(*task).ok(),
            status: RunStatus {
                state: RunState::parse(state).ok_or_else(|| unreadable("state"))?,
                worker_id: Arc::from(worker.as_deref().unwrap_or_default()),
                trace: trace.clone(),
            },
        });
    }
    Ok(found)
}

fn not_shareable(shown: &str) -> StoreFailure {
    let text = format!(
        "rowferry.store.shared needs a store on MariaDB, MySQL or PostgreSQL, but rowferry.store.url \
         names another one ({shown}): a file can be used by one worker only"
    );
    StoreFailure::new(StoreTrouble::Refused, text)
}

fn without_key() -> StoreFailure {
    let text = "rowferry.store.shared needs rowferry.secrets.key: the workers that share a store \
                encrypt its configs with the same key, and a key file of one of them is not enough; \
                `openssl rand -base64 32` creates a key";
    StoreFailure::new(StoreTrouble::Refused, text)
}

fn unreadable(what: &str) -> StoreFailure {
    let text =
        format!("the metadata store has a {what} that cannot be read: was it changed by hand?");
    StoreFailure::new(StoreTrouble::Damaged, text)
}

#[cfg(test)]
mod tests {
    use connector_api::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn an_url_that_cannot_be_used_says_why() {
        for (url, kind) in [
            ("oracle://x", ErrorKind::Config),
            ("nonsense", ErrorKind::Config),
            ("mysql://u:p@127.0.0.1:1/d", ErrorKind::Retry),
            ("postgres://u:p@127.0.0.1:1/d", ErrorKind::Retry),
        ] {
            let error = Store::open(&StoreOptions::new(url, "."))
                .await
                .err()
                .unwrap();
            assert!(error.message().contains("rowferry.store.url"), "{error}");
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
