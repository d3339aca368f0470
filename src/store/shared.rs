//! What workers that share a store do with it: they learn of each other's changes, claim slots, and
//! write the statuses of what they own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::access::Basis;
use super::change::{StoreChange, StoreMember, StoreNews, StoreSnapshot, StoredWorker, WorkerBusy};
use super::failure::{StoreFailure, StoreTrouble};
use super::statement::{
    self, CellType, SqlCell, SqlQuery, SqlStatement, WriteStyle, number, statement, text,
};
use super::{LOADED, Store, statuses};

/// A worker that has not written for this long is not taken for alive when a worker wants the store
/// for itself.
pub const UNSEEN_MS: i64 = 15_000;

/// A worker that has not written for this long is forgotten.
const FORGOTTEN_MS: i64 = 60 * 60 * 1000;

const SLOTS: SqlQuery = SqlQuery {
    sql: "SELECT slot, worker FROM slots",
    columns: &[CellType::Int, CellType::Text],
};

const GROUP: SqlQuery = SqlQuery {
    sql: "SELECT group_id, slots FROM worker_group WHERE number = 1",
    columns: &[CellType::Text, CellType::Int],
};

const WORKERS: SqlQuery = SqlQuery {
    sql: "SELECT id, url, version, started_ms, seen_ms, NOW_MS - seen_ms, draining, busy FROM workers \
          ORDER BY id",
    columns: &[
        CellType::Text,
        CellType::Text,
        CellType::Text,
        CellType::Int,
        CellType::Int,
        CellType::Int,
        CellType::Int,
        CellType::Text,
    ],
};

/// A status is written only by the worker that owns the slot of the connector, or of the task.
const DELETE_OF_CONNECTOR: &str = "DELETE FROM statuses WHERE connector = ? AND task = ? AND EXISTS (SELECT 1 \
     FROM connectors JOIN slots ON slots.slot = connectors.slot \
     WHERE connectors.name = ? AND slots.instance = ?)";
const INSERT_OF_CONNECTOR: &str = "INSERT INTO statuses (connector, task, state, worker_id, trace, updated_ms) \
     SELECT ?, ?, ?, ?, ?, ? \
     FROM connectors JOIN slots ON slots.slot = connectors.slot \
     WHERE connectors.name = ? AND slots.instance = ?";
const DELETE_OF_TASK: &str = "DELETE FROM statuses WHERE connector = ? AND task = ? AND EXISTS (SELECT 1 \
     FROM tasks JOIN slots ON slots.slot = tasks.slot \
     WHERE tasks.connector = ? AND tasks.task = ? AND slots.instance = ?)";
const INSERT_OF_TASK: &str = "INSERT INTO statuses (connector, task, state, worker_id, trace, updated_ms) \
     SELECT ?, ?, ?, ?, ?, ? \
     FROM tasks JOIN slots ON slots.slot = tasks.slot \
     WHERE tasks.connector = ? AND tasks.task = ? AND slots.instance = ?";

impl Store {
    /// Registers this worker. Errors: `Refused` if the store belongs to another group.
    pub(super) async fn register(&self) -> Result<(), StoreFailure> {
        let Some(member) = &self.0.member else {
            return Ok(());
        };
        let mut statements = vec![
            statement(
                "INSERT INTO worker_group (number, group_id, slots) SELECT 1, ?, ? \
                 FROM last_change WHERE number = 1 AND NOT EXISTS (SELECT 1 FROM worker_group)",
                vec![text(&member.group_id), SqlCell::Int(member.slots.into())],
            ),
            statement("DELETE FROM workers WHERE id = ?", vec![text(&member.id)]),
            statement(
                "INSERT INTO workers (id, instance, url, version, started_ms, seen_ms) \
                 VALUES (?, ?, ?, ?, NOW_MS, NOW_MS)",
                vec![
                    text(&member.id),
                    text(&member.instance),
                    text(&member.url),
                    text(env!("CARGO_PKG_VERSION")),
                ],
            ),
        ];
        if let Some((group, _)) = self.group().await? {
            if group != member.group_id {
                return Err(StoreFailure::new(
                    StoreTrouble::Refused,
                    format!(
                        "the metadata store of rowferry.store.url ({}) belongs to the workers with \
                         group.id={group}, and this worker has group.id={}: give it the same, or \
                         another store",
                        self.0.access.place().shown,
                        member.group_id
                    ),
                ));
            }
            statements.remove(0);
        }
        self.0
            .access
            .change_shared(Basis::WhatWasRead, &statements)
            .await
            .map(drop)
    }

    async fn group(&self) -> Result<Option<(String, u16)>, StoreFailure> {
        let rows = self.rows(&GROUP, &[]).await?;
        Ok(match rows.first().map(Vec::as_slice) {
            Some([SqlCell::Text(Some(group)), SqlCell::Int(slots)]) => {
                Some((group.clone(), u16::try_from(*slots).unwrap_or_default()))
            }
            _ => None,
        })
    }

    /// Returns the number of slots of the group. Errors: the store cannot be read.
    pub async fn slot_count(&self) -> Result<u16, StoreFailure> {
        let group = self.group().await?;
        Ok(group.map_or(0, |(_, slots)| slots))
    }

    /// Refuses a store that other workers share. Errors: `InUse`.
    pub(super) async fn is_not_shared(&self) -> Result<(), StoreFailure> {
        let seen = |worker: &&StoredWorker| worker.unseen_ms < UNSEEN_MS;
        match self.workers().await?.iter().find(seen) {
            None => Ok(()),
            Some(worker) => {
                let cause = format!("the worker {} shares it with others", worker.id);
                let shown = &self.0.access.place().shown;
                Err(StoreFailure::from_cause(StoreTrouble::InUse, shown, &cause))
            }
        }
    }

    /// Returns the workers that share the store, including those that have ended. Errors: the store
    /// cannot be read.
    pub async fn workers(&self) -> Result<Vec<StoredWorker>, StoreFailure> {
        Ok(workers(self.rows(&WORKERS, &[]).await?))
    }

    /// Notes that this worker is alive, and how busy its tasks are. Returns false if another process
    /// has registered under the same id since. Errors: the store cannot be written.
    pub async fn beat(&self, busy: &WorkerBusy) -> Result<bool, StoreFailure> {
        let Some(member) = &self.0.member else {
            return Ok(true);
        };
        let beat = statement(
            "UPDATE workers SET seen_ms = NOW_MS, busy = ? WHERE id = ? AND instance = ?",
            vec![
                SqlCell::Text(serde_json::to_string(busy).ok()),
                text(&member.id),
                text(&member.instance),
            ],
        );
        Ok(self.0.access.execute_alone(&beat).await? > 0)
    }

    /// Forgets workers that own nothing and have not written for an hour: they have ended without
    /// unregistering. Errors: the store cannot be written.
    pub async fn forget_workers(&self) -> Result<(), StoreFailure> {
        if self.0.member.is_none() {
            return Ok(());
        }
        let forget = statement(
            "DELETE FROM workers WHERE seen_ms < NOW_MS - ? \
             AND NOT EXISTS (SELECT 1 FROM slots WHERE slots.instance = workers.instance)",
            vec![SqlCell::Int(FORGOTTEN_MS)],
        );
        self.0.access.execute_alone(&forget).await.map(drop)
    }

    /// Removes this worker from the list of workers. Errors: the store cannot be written.
    pub async fn unregister(&self) -> Result<(), StoreFailure> {
        let Some(member) = &self.0.member else {
            return Ok(());
        };
        let gone = statement(
            "DELETE FROM workers WHERE id = ? AND instance = ?",
            vec![text(&member.id), text(&member.instance)],
        );
        self.0.access.execute_alone(&gone).await.map(drop)
    }

    /// Returns what has changed in a shared store since it was last read or changed from here;
    /// everything if `all` is true. Errors: the store cannot be read.
    pub async fn news(&self, all: bool) -> Result<StoreNews, StoreFailure> {
        let (now, known) = self.0.access.ids().await?;
        if all || known.changes.is_none() || now.changes != known.changes {
            let queries: Vec<&SqlQuery> = LOADED.into_iter().chain([&SLOTS, &WORKERS]).collect();
            let (ids, mut all) = self.0.access.rows_at_once(&queries).await?;
            let members = all.pop().unwrap_or_default();
            let slots = all.pop().unwrap_or_default();
            let connectors = self.connectors(all)?;
            self.0.access.has_read(ids).await?;
            return Ok(StoreNews::Everything(StoreSnapshot {
                connectors,
                slots: slot_owners(slots),
                workers: workers(members),
            }));
        }
        if known.statuses.is_none() || now.statuses != known.statuses {
            let (ids, mut all) = self
                .0
                .access
                .rows_at_once(&[&statement::LOAD_STATUSES])
                .await?;
            let found = statuses(all.pop().unwrap_or_default())?;
            // What should run may have changed meanwhile: that is still to be read.
            let ids = super::access::SharedIds {
                changes: known.changes,
                ..ids
            };
            self.0.access.has_read(ids).await?;
            return Ok(StoreNews::Statuses(found));
        }
        Ok(StoreNews::Nothing)
    }

    /// Makes this worker the owner of these slots. The next [`Store::news`] reads everything. Errors:
    /// the store cannot be written.
    pub async fn claim(&self, slots: &[u16], now_ms: i64) -> Result<(), StoreFailure> {
        let Some(member) = &self.0.member else {
            return Ok(());
        };
        let statements: Vec<SqlStatement> = slots
            .iter()
            .flat_map(|slot| claim(*slot, member, now_ms))
            .collect();
        self.0
            .access
            .change_shared(Basis::Nothing, &statements)
            .await
            .map(drop)
    }

    /// Stores a move of tasks between slots. The next [`Store::news`] reads everything. Errors: the
    /// store cannot be written.
    pub async fn move_tasks(&self, moves: &[StoreChange], now_ms: i64) -> Result<(), StoreFailure> {
        let statements = self.statements(moves, now_ms)?;
        self.0
            .access
            .change_shared(Basis::Nothing, &statements)
            .await
            .map(drop)
    }

    /// Stores statuses of what this worker owns. A status of anything else is not stored, because
    /// its owner knows better. Returns false if there was one. Errors: as [`Store::apply`]; nothing
    /// is in doubt for long, since statuses may be stored again.
    pub async fn report(
        &self,
        statuses: &[StoreChange],
        now_ms: i64,
    ) -> Result<bool, StoreFailure> {
        let Some(member) = &self.0.member else {
            return self.apply(statuses, now_ms).await.map(|()| true);
        };
        let mut statements = Vec::new();
        let mut decisive = Vec::new();
        for change in statuses {
            match change {
                StoreChange::SetStatus { name, task, status } => {
                    let mut own = vec![text(name)];
                    own.extend(task.map(|task| SqlCell::Int(task.into())));
                    own.push(text(&member.instance));
                    let (delete, insert) = match task {
                        Some(_) => (DELETE_OF_TASK, INSERT_OF_TASK),
                        None => (DELETE_OF_CONNECTOR, INSERT_OF_CONNECTOR),
                    };
                    let mut deleted = vec![text(name), number(*task)];
                    deleted.extend(own.iter().cloned());
                    statements.push(statement(delete, deleted));
                    let mut inserted = vec![
                        text(name),
                        number(*task),
                        text(status.state.name()),
                        text(&status.worker_id),
                        SqlCell::Text(status.trace.clone()),
                        SqlCell::Int(now_ms),
                    ];
                    inserted.extend(own);
                    decisive.push(statements.len());
                    statements.push(statement(insert, inserted));
                }
                other => statements.extend(self.statements(std::slice::from_ref(other), now_ms)?),
            }
        }
        let hits = self
            .0
            .access
            .change_shared(Basis::StatusesOnly, &statements)
            .await?;
        Ok(decisive
            .iter()
            .all(|at| hits.get(*at).is_some_and(|hit| *hit > 0)))
    }

    fn statements(
        &self,
        changes: &[StoreChange],
        now_ms: i64,
    ) -> Result<Vec<SqlStatement>, StoreFailure> {
        let style = WriteStyle {
            cipher: &self.0.cipher,
            history: self.0.history,
            now_ms,
            is_shared: true,
        };
        let mut statements = Vec::new();
        for change in changes {
            statements.extend(statement::of(change, &style)?);
        }
        Ok(statements)
    }
}

fn claim(slot: u16, member: &StoreMember, now_ms: i64) -> [SqlStatement; 2] {
    let slot = SqlCell::Int(slot.into());
    [
        statement(
            "INSERT INTO slots (slot, worker, instance, epoch, claimed_ms) SELECT ?, '', '', 0, 0 \
             FROM last_change WHERE number = 1 AND NOT EXISTS (SELECT 1 FROM slots WHERE slot = ?)",
            vec![slot.clone(), slot.clone()],
        ),
        statement(
            "UPDATE slots SET worker = ?, instance = ?, epoch = epoch + 1, claimed_ms = ? \
             WHERE slot = ?",
            vec![
                text(&member.id),
                text(&member.instance),
                SqlCell::Int(now_ms),
                slot,
            ],
        ),
    ]
}

fn workers(rows: Vec<Vec<SqlCell>>) -> Vec<StoredWorker> {
    let worker = |row: Vec<SqlCell>| match row.as_slice() {
        [
            SqlCell::Text(Some(id)),
            SqlCell::Text(Some(url)),
            SqlCell::Text(Some(version)),
            SqlCell::Int(started_ms),
            SqlCell::Int(seen_ms),
            SqlCell::Int(unseen_ms),
            SqlCell::Int(draining),
            SqlCell::Text(busy),
        ] => Some(StoredWorker {
            id: id.clone(),
            url: url.clone(),
            version: version.clone(),
            started_ms: *started_ms,
            seen_ms: *seen_ms,
            unseen_ms: *unseen_ms,
            draining: *draining != 0,
            // Another version may measure something else.
            busy: busy
                .as_ref()
                .and_then(|busy| serde_json::from_str(busy).ok()),
        }),
        _ => None,
    };
    rows.into_iter().filter_map(worker).collect()
}

fn slot_owners(rows: Vec<Vec<SqlCell>>) -> BTreeMap<u16, Arc<str>> {
    let owner = |row: Vec<SqlCell>| match row.as_slice() {
        [SqlCell::Int(slot), SqlCell::Text(Some(worker))] => {
            Some((u16::try_from(*slot).ok()?, Arc::from(worker.as_str())))
        }
        _ => None,
    };
    rows.into_iter().filter_map(owner).collect()
}
