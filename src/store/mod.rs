//! The metadata store: connector configs with their history, target states, task configs, statuses, used topics.
//!
//! One transaction per [`Store::apply`]: what it returned `Ok` for survives a power loss. The store decides nothing and
//! knows no REST and no worker; `statement` says in SQL what each [`Write`] does, `pool` sends it.

mod pool;
mod statement;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use connector_api::{Config, Error, Result};

use crate::herder::{State, Status, Target};
use pool::Pool;
use statement::{Cell, Statement};

/// One change.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub enum Write {
    /// A new connector with its first config and target state.
    Create { name: Arc<str>, config: Config, target: Target },
    /// Another config of a connector; the old tasks' configs are forgotten.
    Replace { name: Arc<str>, config: Config },
    /// Another target state.
    SetTarget { name: Arc<str>, target: Target },
    /// Forgets a connector, its tasks, statuses and topics; its history stays.
    Delete { name: Arc<str> },
    /// The task configs of a connector, all of them; statuses of tasks beyond are forgotten.
    SetTasks { name: Arc<str>, tasks: Vec<Config> },
    /// The status of a connector (`task` is `None`) or of a task.
    SetStatus { name: Arc<str>, task: Option<u32>, status: Status },
    /// A topic that a connector has used.
    AddTopic { name: Arc<str>, topic: Arc<str> },
    /// Forgets a connector's topics.
    ResetTopics { name: Arc<str> },
}

impl Write {
    /// The connector it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Create { name, .. }
            | Self::Replace { name, .. }
            | Self::SetTarget { name, .. }
            | Self::Delete { name }
            | Self::SetTasks { name, .. }
            | Self::SetStatus { name, .. }
            | Self::AddTopic { name, .. }
            | Self::ResetTopics { name } => name,
        }
    }
}

/// A connector as it was stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its name.
    pub name: Arc<str>,
    /// Its config as given.
    pub config: Config,
    /// Its target state.
    pub target: Target,
    /// The task configs of the last plan.
    pub tasks: Vec<Config>,
    /// Its own last status.
    pub status: Option<Status>,
    /// The last status of each task that has one.
    pub task_statuses: BTreeMap<u32, Status>,
    /// Topics it has used.
    pub topics: BTreeSet<Arc<str>>,
}

/// One version of a connector's config.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Its number, from 1.
    pub version: i64,
    /// The config; `None` when the connector was deleted then.
    pub config: Option<Config>,
    /// When it was stored, milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
}

/// A store that does not answer within this time is taken for unreachable.
const TIME_LIMIT: Duration = Duration::from_secs(15);

impl Store {
    /// Opens a store and brings its tables up to date. `url` is `sqlite:path` (made if absent), `sqlite::memory:`,
    /// `mysql://…`, `mariadb://…` or `postgres://…`.
    /// Errors: `Config` for a bad URL or a newer store, `Retry` when the database is out of reach or in use.
    pub async fn open(url: &str) -> Result<Self> {
        let pool = within(Pool::open(url)).await?;
        Ok(Self { pool })
    }

    /// Performs all writes in one transaction, or none. `now_ms` is milliseconds since 1970-01-01 UTC.
    /// Errors: `Retry` when the database is out of reach, else `Fatal`.
    pub async fn apply(&self, writes: &[Write], now_ms: i64) -> Result<()> {
        let statements: Vec<Statement> = writes.iter().flat_map(|write| statement::of(write, now_ms)).collect();
        if statements.is_empty() {
            return Ok(());
        }
        within(self.pool.execute(statements)).await
    }

    /// All connectors, by name. Errors: as [`Store::apply`]; `Fatal` when a stored config is no JSON object of strings.
    pub async fn load(&self) -> Result<Vec<Stored>> {
        let mut found = BTreeMap::new();
        for row in self.rows(&statement::LOAD_CONNECTORS, Vec::new()).await? {
            let [Cell::Text(Some(name)), Cell::Text(Some(config)), Cell::Text(Some(target))] = row.as_slice() else {
                continue;
            };
            let name: Arc<str> = Arc::from(name.as_str());
            let stored = Stored {
                name: Arc::clone(&name),
                config: parse(config)?,
                target: Target::parse(target).ok_or_else(|| unreadable("target state"))?,
                tasks: Vec::new(),
                status: None,
                task_statuses: BTreeMap::new(),
                topics: BTreeSet::new(),
            };
            found.insert(name, stored);
        }
        self.load_tasks(&mut found).await?;
        self.load_statuses(&mut found).await?;
        Ok(found.into_values().collect())
    }

    async fn load_tasks(&self, found: &mut BTreeMap<Arc<str>, Stored>) -> Result<()> {
        for row in self.rows(&statement::LOAD_TASKS, Vec::new()).await? {
            if let [Cell::Text(Some(name)), Cell::Text(Some(config))] = row.as_slice()
                && let Some(stored) = found.get_mut(name.as_str())
            {
                stored.tasks.push(parse(config)?);
            }
        }
        for row in self.rows(&statement::LOAD_TOPICS, Vec::new()).await? {
            if let [Cell::Text(Some(name)), Cell::Text(Some(topic))] = row.as_slice()
                && let Some(stored) = found.get_mut(name.as_str())
            {
                stored.topics.insert(Arc::from(topic.as_str()));
            }
        }
        Ok(())
    }

    async fn load_statuses(&self, found: &mut BTreeMap<Arc<str>, Stored>) -> Result<()> {
        for row in self.rows(&statement::LOAD_STATUSES, Vec::new()).await? {
            let [
                Cell::Text(Some(name)),
                Cell::Int(task),
                Cell::Text(Some(state)),
                Cell::Text(worker),
                Cell::Text(trace),
            ] = row.as_slice()
            else {
                continue;
            };
            let Some(stored) = found.get_mut(name.as_str()) else { continue };
            let status = Status {
                state: State::parse(state).ok_or_else(|| unreadable("state"))?,
                worker_id: Arc::from(worker.as_deref().unwrap_or_default()),
                trace: trace.clone(),
            };
            match u32::try_from(*task) {
                Ok(task) => drop(stored.task_statuses.insert(task, status)),
                Err(_) => stored.status = Some(status),
            }
        }
        Ok(())
    }

    /// The configs a connector has had, oldest first; empty for one that never was. Errors: as [`Store::load`].
    pub async fn history(&self, connector: &str) -> Result<Vec<Version>> {
        let mut versions = Vec::new();
        for row in self.rows(&statement::LOAD_HISTORY, vec![Cell::Text(Some(connector.to_owned()))]).await? {
            if let [Cell::Int(version), Cell::Text(config), Cell::Int(at_ms)] = row.as_slice() {
                let config = config.as_deref().map(parse).transpose()?;
                versions.push(Version { version: *version, config, at_ms: *at_ms });
            }
        }
        Ok(versions)
    }

    async fn rows(&self, query: &'static statement::Query, args: Vec<Cell>) -> Result<Vec<Vec<Cell>>> {
        within(self.pool.rows(query, args)).await
    }

    /// Closes the connections; what was applied stays.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

async fn within<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(TIME_LIMIT, work).await {
        Ok(done) => done,
        Err(_) => Err(Error::retry(format!(
            "the metadata store did not answer within {} s: see that the database of rowferry.store.url is up",
            TIME_LIMIT.as_secs()
        ))),
    }
}

fn parse(json: &str) -> Result<Config> {
    let map: BTreeMap<String, String> = serde_json::from_str(json).map_err(|_| unreadable("config"))?;
    Ok(map.into_iter().collect())
}

fn unreadable(what: &str) -> Error {
    Error::fatal(format!("the metadata store holds a {what} that cannot be read: was it changed by hand?"))
}

#[cfg(test)]
mod tests {
    use connector_api::Kind;

    use super::*;

    #[tokio::test]
    async fn an_url_that_cannot_be_used_says_why() {
        for (url, kind) in [
            ("oracle://x", Kind::Config),
            ("nonsense", Kind::Config),
            ("mysql://u:p@127.0.0.1:1/d", Kind::Retry),
            ("postgres://u:p@127.0.0.1:1/d", Kind::Retry),
        ] {
            let error = Store::open(url).await.err().unwrap();
            assert!(error.message().contains("rowferry.store.url"), "{error}");
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
