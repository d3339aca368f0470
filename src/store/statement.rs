//! Writes and queries as SQL that SQLite, MariaDB/MySQL and PostgreSQL all accept. Pure.
//!
//! Placeholders are `?` in order; [`numbered`] converts them for PostgreSQL. A write that sets a
//! row deletes the old one first, because the databases have no upsert in common.

use connector_api::Config;

use super::change::{HistoryLimits, StoreChange, StoredTask};
use super::cipher::{SealedTable, StoreCipher};
use super::failure::StoreFailure;
use crate::model::{RunStatus, TargetState};

/// An argument or a column value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SqlCell {
    Text(Option<String>),
    Int(i64),
}

/// A statement with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SqlStatement {
    pub(super) sql: &'static str,
    pub(super) args: Vec<SqlCell>,
    /// If it affects no row, the store is not in the state that this worker knows.
    pub(super) must_hit: bool,
}

/// The type of a query's column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CellType {
    Text,
    Int,
}

/// A query and the types of its columns.
#[derive(Debug)]
pub(super) struct SqlQuery {
    pub(super) sql: &'static str,
    pub(super) columns: &'static [CellType],
}

/// In a statement: the time by the clock of the database, in milliseconds since 1970-01-01 UTC. What
/// several workers compare has to come from one clock.
pub(super) const NOW_MS: &str = "NOW_MS";

pub(super) const LOAD_CONNECTORS: SqlQuery = SqlQuery {
    sql: "SELECT name, config, target, slot, created_ms, revision, planned, restarts FROM connectors \
          ORDER BY name",
    columns: &[
        CellType::Text,
        CellType::Text,
        CellType::Text,
        CellType::Int,
        CellType::Int,
        CellType::Int,
        CellType::Int,
        CellType::Int,
    ],
};

pub(super) const LOAD_TASKS: SqlQuery = SqlQuery {
    sql: "SELECT connector, config, slot, restarts FROM tasks ORDER BY connector, task",
    columns: &[CellType::Text, CellType::Text, CellType::Int, CellType::Int],
};

pub(super) const LOAD_STATUSES: SqlQuery = SqlQuery {
    sql: "SELECT connector, task, state, worker_id, trace FROM statuses",
    columns: &[
        CellType::Text,
        CellType::Int,
        CellType::Text,
        CellType::Text,
        CellType::Text,
    ],
};

pub(super) const LOAD_TOPICS: SqlQuery = SqlQuery {
    sql: "SELECT connector, topic FROM topics",
    columns: &[CellType::Text; 2],
};

pub(super) const LOAD_HISTORY: SqlQuery = SqlQuery {
    sql: "SELECT version, config, at_ms FROM config_history WHERE connector = ? ORDER BY version",
    columns: &[CellType::Int, CellType::Text, CellType::Int],
};

pub(super) const LAST_CHANGE: SqlQuery = SqlQuery {
    sql: "SELECT id FROM last_change WHERE number = 1",
    columns: &[CellType::Text],
};

/// All versions: connector, number, time, and an empty text if the version marks a deletion.
pub(super) const LIST_HISTORY: SqlQuery = SqlQuery {
    sql: "SELECT connector, version, at_ms, CASE WHEN config IS NULL THEN '' ELSE 'config' END FROM config_history \
          ORDER BY connector, version",
    columns: &[CellType::Text, CellType::Int, CellType::Int, CellType::Text],
};

const ADD_HISTORY: &str = "INSERT INTO config_history (connector, version, config, at_ms) \
     SELECT ?, COALESCE(MAX(version), 0) + 1, ?, ? FROM config_history WHERE connector = ?";

/// MySQL accepts an inner SELECT of this form in a statement that deletes from the same table.
const CUT_HISTORY: &str = "DELETE FROM config_history WHERE connector = ? AND version <= \
     (SELECT newest FROM (SELECT MAX(version) AS newest FROM config_history WHERE connector = ?) AS versions) - ?";

/// Parameters that all writes share.
pub(super) struct WriteStyle<'a> {
    pub(super) cipher: &'a StoreCipher,
    pub(super) history: HistoryLimits,
    /// Milliseconds since 1970-01-01 UTC.
    pub(super) now_ms: i64,
    /// Several workers use the store.
    pub(super) is_shared: bool,
}

/// Returns the statements of a write in order. Errors: the config cannot be encrypted.
pub(super) fn of(
    write: &StoreChange,
    style: &WriteStyle<'_>,
) -> Result<Vec<SqlStatement>, StoreFailure> {
    let now = SqlCell::Int(style.now_ms);
    Ok(match write {
        StoreChange::Create {
            name,
            config,
            target,
            slot,
        } => create(name, config, (*target, *slot), style)?,
        StoreChange::Replace { name, config } => replace(name, config, style)?,
        StoreChange::SetTarget { name, target } => {
            let set = "UPDATE connectors SET target = ?, updated_ms = ? WHERE name = ?";
            let set = statement(set, vec![text(target.name()), now, text(name)]).hitting();
            std::iter::once(set)
                .chain(without_tasks(name, *target, style.is_shared))
                .collect()
        }
        StoreChange::Delete { name } => delete(name, style),
        StoreChange::SetTasks {
            name,
            revision,
            replaced,
            tasks,
        } => {
            let mut statements = ended(name, tasks.len(), replaced, style.is_shared);
            statements.extend(set_tasks(name, *revision, tasks, style.cipher)?);
            statements
        }
        StoreChange::SetStatus { name, task, status } => set_status(name, *task, status, now),
        StoreChange::AddTopic { name, topic } => add_topic(name, topic).into(),
        StoreChange::ResetTopics { name } => {
            vec![statement(
                "DELETE FROM topics WHERE connector = ?",
                vec![text(name)],
            )]
        }
        StoreChange::Restart { .. }
        | StoreChange::MoveTask { .. }
        | StoreChange::Drain { .. }
        | StoreChange::Release { .. } => of_shared(write, now),
    })
}

/// Returns the statements of a write that only a shared store gets.
fn of_shared(write: &StoreChange, now: SqlCell) -> Vec<SqlStatement> {
    match write {
        StoreChange::Restart {
            name,
            connector,
            tasks,
        } => restart(name, *connector, tasks),
        StoreChange::MoveTask {
            name,
            task,
            from,
            to,
        } => vec![move_part(name, *task, *from, *to)],
        StoreChange::Drain { name, draining } => vec![
            statement(
                "UPDATE workers SET draining = ? WHERE id = ?",
                vec![SqlCell::Int((*draining).into()), text(name)],
            )
            .hitting(),
        ],
        StoreChange::Release {
            name,
            task,
            worker_id,
        } => vec![
            statement(
                "UPDATE statuses SET state = 'UNASSIGNED', trace = NULL, updated_ms = ? \
             WHERE connector = ? AND task = ? AND worker_id = ? \
             AND state IN ('RUNNING', 'PAUSED', 'RESTARTING')",
                vec![now, text(name), number(*task), text(worker_id)],
            ),
            statement(
                "DELETE FROM statuses WHERE connector = ? AND task = ? AND state = 'UNASSIGNED' \
                 AND NOT EXISTS (SELECT 1 FROM connectors WHERE name = ?)",
                vec![text(name), number(*task), text(name)],
            ),
        ],
        _ => Vec::new(),
    }
}

fn move_part(name: &str, task: Option<u32>, from: u16, to: u16) -> SqlStatement {
    let (to, from) = (SqlCell::Int(to.into()), SqlCell::Int(from.into()));
    match task {
        Some(task) => statement(
            "UPDATE tasks SET slot = ? WHERE connector = ? AND task = ? AND slot = ?",
            vec![to, text(name), SqlCell::Int(task.into()), from],
        ),
        None => statement(
            "UPDATE connectors SET slot = ? WHERE name = ? AND slot = ?",
            vec![to, text(name), from],
        ),
    }
}

fn delete(name: &str, style: &WriteStyle<'_>) -> Vec<SqlStatement> {
    let mut statements =
        vec![statement("DELETE FROM connectors WHERE name = ?", vec![text(name)]).hitting()];
    statements.extend(add_history(name, SqlCell::Text(None), style));
    if style.is_shared {
        // Tasks of a connector that is created again wait until these have ended.
        statements.extend(ended(name, 0, &[], true));
        let own = "DELETE FROM statuses WHERE connector = ? AND task = -1";
        statements.push(statement(own, vec![text(name)]));
    }
    statements.extend(
        forget(name)
            .into_iter()
            .filter(|one| !style.is_shared || one.sql != FORGET_STATUSES),
    );
    statements
}

fn add_topic(name: &str, topic: &str) -> [SqlStatement; 2] {
    [
        "DELETE FROM topics WHERE connector = ? AND topic = ?",
        "INSERT INTO topics (connector, topic) VALUES (?, ?)",
    ]
    .map(|sql| statement(sql, vec![text(name), text(topic)]))
}

fn create(
    name: &str,
    config: &Config,
    (target, slot): (TargetState, u16),
    style: &WriteStyle<'_>,
) -> Result<Vec<SqlStatement>, StoreFailure> {
    let now = SqlCell::Int(style.now_ms);
    let stored = sealed(SealedTable::Connectors, name, config, style)?;
    // A plan that another worker made for a deleted connector of this name is not taken for one of
    // the new connector: its revisions are others.
    let revision = if style.is_shared { style.now_ms } else { 0 };
    let create = statement(
        "INSERT INTO connectors (name, config, target, created_ms, updated_ms, slot, revision, planned) \
         VALUES (?, ?, ?, ?, ?, ?, ?, -1)",
        vec![
            text(name),
            stored,
            text(target.name()),
            now.clone(),
            now,
            SqlCell::Int(slot.into()),
            SqlCell::Int(revision),
        ],
    );
    let config = sealed(SealedTable::History, name, config, style)?;
    Ok(std::iter::once(create)
        .chain(add_history(name, config, style))
        .collect())
}

fn replace(
    name: &str,
    config: &Config,
    style: &WriteStyle<'_>,
) -> Result<Vec<SqlStatement>, StoreFailure> {
    let stored = sealed(SealedTable::Connectors, name, config, style)?;
    let replace = statement(
        "UPDATE connectors SET config = ?, updated_ms = ?, revision = revision + 1 WHERE name = ?",
        vec![stored, SqlCell::Int(style.now_ms), text(name)],
    );
    let config = sealed(SealedTable::History, name, config, style)?;
    let forget = statement("DELETE FROM tasks WHERE connector = ?", vec![text(name)]);
    Ok(std::iter::once(replace.hitting())
        .chain(add_history(name, config, style))
        .chain([forget])
        .collect())
}

/// Returns a config in the form stored in that table.
fn sealed(
    table: SealedTable,
    name: &str,
    config: &Config,
    style: &WriteStyle<'_>,
) -> Result<SqlCell, StoreFailure> {
    let sealed = style.cipher.seal(table, name, &json(config))?;
    Ok(text(&sealed))
}

/// Replaces the id of the last change, if it is still `before`.
pub(super) fn change(before: &str, id: &str) -> SqlStatement {
    let set = "UPDATE last_change SET id = ? WHERE number = 1 AND id = ?";
    statement(set, vec![text(id), text(before)]).hitting()
}

/// Deletes versions of a connector's config up to this number.
pub(super) fn cut_history(connector: &str, up_to: i64) -> SqlStatement {
    let cut = "DELETE FROM config_history WHERE connector = ? AND version <= ?";
    statement(cut, vec![text(connector), SqlCell::Int(up_to)])
}

const FORGET_STATUSES: &str = "DELETE FROM statuses WHERE connector = ?";

/// Deletes what is stored about a connector besides its config.
pub(super) fn forget(name: &str) -> [SqlStatement; 3] {
    [
        "DELETE FROM tasks WHERE connector = ?",
        FORGET_STATUSES,
        "DELETE FROM topics WHERE connector = ?",
    ]
    .map(|sql| statement(sql, vec![text(name)]))
}

fn add_history(name: &str, config: SqlCell, style: &WriteStyle<'_>) -> [SqlStatement; 2] {
    let now = SqlCell::Int(style.now_ms);
    [
        statement(ADD_HISTORY, vec![text(name), config, now, text(name)]),
        statement(
            CUT_HISTORY,
            vec![text(name), text(name), SqlCell::Int(style.history.versions)],
        ),
    ]
}

/// Deletes the tasks of a connector that is stopped. In a shared store the stop has a revision, so
/// that a worker that reads the store only after the connector was resumed ends its tasks as well.
fn without_tasks(name: &str, target: TargetState, is_shared: bool) -> Vec<SqlStatement> {
    if target != TargetState::Stopped {
        return Vec::new();
    }
    let mut statements = ended(name, 0, &[], is_shared);
    let forget_plan = if is_shared {
        "UPDATE connectors SET planned = -1, revision = revision + 1 WHERE name = ?"
    } else {
        "UPDATE connectors SET planned = -1 WHERE name = ?"
    };
    statements.extend(
        ["DELETE FROM tasks WHERE connector = ?", forget_plan]
            .map(|sql| statement(sql, vec![text(name)])),
    );
    statements
}

/// Deletes the statuses of tasks from this number on. In a shared store, those that may still run
/// somewhere, and the replaced ones, are shown as restarting until their worker has ended them.
fn ended(name: &str, count: usize, replaced: &[u32], is_shared: bool) -> Vec<SqlStatement> {
    let count = SqlCell::Int(i64::try_from(count).unwrap_or(i64::MAX));
    let beyond = vec![text(name), count];
    if !is_shared {
        let delete = "DELETE FROM statuses WHERE connector = ? AND task >= ?";
        return vec![statement(delete, beyond)];
    }
    let mut statements = vec![
        statement(
            "DELETE FROM statuses WHERE connector = ? AND task >= ? AND state IN ('FAILED', 'UNASSIGNED')",
            beyond.clone(),
        ),
        statement(
            "UPDATE statuses SET state = 'RESTARTING', trace = NULL WHERE connector = ? AND task >= ?",
            beyond,
        ),
    ];
    statements.extend(replaced.iter().map(|task| {
        statement(
            "UPDATE statuses SET state = 'RESTARTING', trace = NULL \
             WHERE connector = ? AND task = ? AND state IN ('RUNNING', 'PAUSED')",
            vec![text(name), number(Some(*task))],
        )
    }));
    statements
}

fn restart(name: &str, connector: bool, tasks: &[u32]) -> Vec<SqlStatement> {
    let shown =
        "UPDATE statuses SET state = 'RESTARTING', trace = NULL WHERE connector = ? AND task = ?";
    let mut statements = Vec::new();
    if connector {
        let count = "UPDATE connectors SET restarts = restarts + 1 WHERE name = ?";
        statements.push(statement(count, vec![text(name)]).hitting());
        statements.push(statement(shown, vec![text(name), number(None)]));
    }
    for task in tasks {
        let args = vec![text(name), number(Some(*task))];
        let count = "UPDATE tasks SET restarts = restarts + 1 WHERE connector = ? AND task = ?";
        statements.push(statement(count, args.clone()).hitting());
        statements.push(statement(shown, args));
    }
    statements
}

/// Returns the number under which a part's status is stored.
pub(super) fn number(task: Option<u32>) -> SqlCell {
    SqlCell::Int(task.map_or(-1, i64::from))
}

fn set_tasks(
    name: &str,
    revision: u64,
    tasks: &[StoredTask],
    cipher: &StoreCipher,
) -> Result<Vec<SqlStatement>, StoreFailure> {
    let revision = i64::try_from(revision).unwrap_or(i64::MAX);
    let mut statements = vec![
        statement(
            "UPDATE connectors SET planned = ? WHERE name = ? AND revision = ?",
            vec![SqlCell::Int(revision), text(name), SqlCell::Int(revision)],
        ),
        statement("DELETE FROM tasks WHERE connector = ?", vec![text(name)]),
    ];
    for (number, task) in (0..).zip(tasks) {
        let config = cipher.seal(SealedTable::Tasks, name, &json(&task.config))?;
        let args = vec![
            text(name),
            SqlCell::Int(number),
            text(&config),
            SqlCell::Int(task.slot.into()),
            SqlCell::Int(i64::try_from(task.restarts).unwrap_or(i64::MAX)),
        ];
        statements.push(statement(
            "INSERT INTO tasks (connector, task, config, slot, restarts) VALUES (?, ?, ?, ?, ?)",
            args,
        ));
    }
    Ok(statements)
}

fn set_status(
    name: &str,
    task: Option<u32>,
    status: &RunStatus,
    now: SqlCell,
) -> Vec<SqlStatement> {
    vec![
        statement(
            "DELETE FROM statuses WHERE connector = ? AND task = ?",
            vec![text(name), number(task)],
        ),
        statement(
            "INSERT INTO statuses (connector, task, state, worker_id, trace, updated_ms) VALUES (?, ?, ?, ?, ?, ?)",
            vec![
                text(name),
                number(task),
                text(status.state.name()),
                text(&status.worker_id),
                SqlCell::Text(status.trace.clone()),
                now,
            ],
        ),
    ]
}

/// Replaces each `?` by PostgreSQL's `$1`, `$2`, … No statement here contains a `?` otherwise.
pub(super) fn numbered(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() + 16);
    for (number, part) in sql.split('?').enumerate() {
        if number > 0 {
            out.push('$');
            out.push_str(&number.to_string());
        }
        out.push_str(part);
    }
    out
}

impl SqlStatement {
    fn hitting(self) -> Self {
        Self {
            must_hit: true,
            ..self
        }
    }
}

pub(super) fn statement(sql: &'static str, args: Vec<SqlCell>) -> SqlStatement {
    SqlStatement {
        sql,
        args,
        must_hit: false,
    }
}

pub(super) fn text(value: &str) -> SqlCell {
    SqlCell::Text(Some(value.to_owned()))
}

fn json(config: &Config) -> String {
    let object: serde_json::Map<String, serde_json::Value> = config
        .iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    serde_json::Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn placeholders_are_numbered_from_one() {
        assert_eq!(numbered("a = ? AND b = ?"), "a = $1 AND b = $2");
        assert_eq!(numbered("none"), "none");
    }
}
