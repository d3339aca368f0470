//! Each write and query as SQL that SQLite, MariaDB/MySQL and PostgreSQL all take. Pure.
//!
//! Placeholders are `?` in order; [`numbered`] makes PostgreSQL's of them. A write that puts a row deletes the old one
//! first, since the databases share no upsert.

use connector_api::Config;

use super::Write;
use crate::herder::Status;

/// An argument or a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Text(Option<String>),
    Int(i64),
}

/// A statement with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub(super) sql: &'static str,
    pub(super) args: Vec<Cell>,
}

/// The type of a column that a query gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Text,
    Int,
}

/// A query and the types of its columns.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) sql: &'static str,
    pub(super) columns: &'static [Column],
}

pub(super) const LOAD_CONNECTORS: Query =
    Query { sql: "SELECT name, config, target FROM connectors ORDER BY name", columns: &[Column::Text; 3] };

pub(super) const LOAD_TASKS: Query =
    Query { sql: "SELECT connector, config FROM tasks ORDER BY connector, task", columns: &[Column::Text; 2] };

pub(super) const LOAD_STATUSES: Query = Query {
    sql: "SELECT connector, task, state, worker_id, trace FROM statuses",
    columns: &[Column::Text, Column::Int, Column::Text, Column::Text, Column::Text],
};

pub(super) const LOAD_TOPICS: Query = Query { sql: "SELECT connector, topic FROM topics", columns: &[Column::Text; 2] };

pub(super) const LOAD_HISTORY: Query = Query {
    sql: "SELECT version, config, at_ms FROM config_history WHERE connector = ? ORDER BY version",
    columns: &[Column::Int, Column::Text, Column::Int],
};

const ADD_HISTORY: &str = "INSERT INTO config_history (connector, version, config, at_ms) \
     SELECT ?, COALESCE(MAX(version), 0) + 1, ?, ? FROM config_history WHERE connector = ?";

/// What a write does, in order.
pub(super) fn of(write: &Write, now_ms: i64) -> Vec<Statement> {
    let now = Cell::Int(now_ms);
    match write {
        Write::Create { name, config, target } => {
            let config = json(config);
            vec![
                statement(
                    "INSERT INTO connectors (name, config, target, created_ms, updated_ms) VALUES (?, ?, ?, ?, ?)",
                    vec![text(name), text(&config), text(target.name()), now.clone(), now.clone()],
                ),
                statement(ADD_HISTORY, vec![text(name), text(&config), now, text(name)]),
            ]
        }
        Write::Replace { name, config } => {
            let config = json(config);
            vec![
                statement(
                    "UPDATE connectors SET config = ?, updated_ms = ? WHERE name = ?",
                    vec![text(&config), now.clone(), text(name)],
                ),
                statement(ADD_HISTORY, vec![text(name), text(&config), now, text(name)]),
                statement("DELETE FROM tasks WHERE connector = ?", vec![text(name)]),
            ]
        }
        Write::SetTarget { name, target } => vec![statement(
            "UPDATE connectors SET target = ?, updated_ms = ? WHERE name = ?",
            vec![text(target.name()), now, text(name)],
        )],
        Write::Delete { name } => vec![
            statement("DELETE FROM connectors WHERE name = ?", vec![text(name)]),
            statement(ADD_HISTORY, vec![text(name), Cell::Text(None), now, text(name)]),
            statement("DELETE FROM tasks WHERE connector = ?", vec![text(name)]),
            statement("DELETE FROM statuses WHERE connector = ?", vec![text(name)]),
            statement("DELETE FROM topics WHERE connector = ?", vec![text(name)]),
        ],
        Write::SetTasks { name, tasks } => set_tasks(name, tasks),
        Write::SetStatus { name, task, status } => set_status(name, task.map_or(-1, i64::from), status, now),
        Write::AddTopic { name, topic } => vec![
            statement("DELETE FROM topics WHERE connector = ? AND topic = ?", vec![text(name), text(topic)]),
            statement("INSERT INTO topics (connector, topic) VALUES (?, ?)", vec![text(name), text(topic)]),
        ],
        Write::ResetTopics { name } => vec![statement("DELETE FROM topics WHERE connector = ?", vec![text(name)])],
    }
}

fn set_tasks(name: &str, tasks: &[Config]) -> Vec<Statement> {
    let count = i64::try_from(tasks.len()).unwrap_or(i64::MAX);
    let mut statements = vec![
        statement("DELETE FROM tasks WHERE connector = ?", vec![text(name)]),
        statement("DELETE FROM statuses WHERE connector = ? AND task >= ?", vec![text(name), Cell::Int(count)]),
    ];
    statements.extend((0..).zip(tasks).map(|(task, config)| {
        let args = vec![text(name), Cell::Int(task), text(&json(config))];
        statement("INSERT INTO tasks (connector, task, config) VALUES (?, ?, ?)", args)
    }));
    statements
}

fn set_status(name: &str, task: i64, status: &Status, now: Cell) -> Vec<Statement> {
    vec![
        statement("DELETE FROM statuses WHERE connector = ? AND task = ?", vec![text(name), Cell::Int(task)]),
        statement(
            "INSERT INTO statuses (connector, task, state, worker_id, trace, updated_ms) VALUES (?, ?, ?, ?, ?, ?)",
            vec![
                text(name),
                Cell::Int(task),
                text(status.state.name()),
                text(&status.worker_id),
                Cell::Text(status.trace.clone()),
                now,
            ],
        ),
    ]
}

/// PostgreSQL's placeholders `$1`, `$2`, … in place of each `?`. None of our statements holds a `?` otherwise.
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

fn statement(sql: &'static str, args: Vec<Cell>) -> Statement {
    Statement { sql, args }
}

fn text(value: &str) -> Cell {
    Cell::Text(Some(value.to_owned()))
}

fn json(config: &Config) -> String {
    let object: serde_json::Map<String, serde_json::Value> =
        config.iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
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
