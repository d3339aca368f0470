//! Copies a store to another database: connectors with their states, tasks, topics and history, in one
//! transaction. Configs are encrypted with the key of the new store; their text stays the same.

use std::collections::BTreeMap;

use super::Store;
use super::cipher::SealedTable;
use super::failure::{StoreFailure, StoreTrouble};
use super::location::StoreKind;
use super::statement::{CellType, SqlCell, SqlQuery, SqlStatement, statement, text};

/// Added to the name of the former file, so that no worker starts with it by mistake.
const MOVED: &str = ".moved";

/// A table of the store.
struct CopiedTable {
    /// What its rows are, for texts.
    rows: &'static str,
    query: SqlQuery,
    insert: &'static str,
    /// The table of configs and the column of the config, which is encrypted.
    sealed: Option<(SealedTable, usize)>,
    /// The column of the slot: one worker had all of them.
    slot: Option<usize>,
}

static TABLES: [CopiedTable; 5] = [
    CopiedTable {
        rows: "connectors",
        query: SqlQuery {
            sql: "SELECT name, config, target, created_ms, updated_ms, slot, revision, planned, restarts \
                  FROM connectors ORDER BY name",
            columns: &[
                CellType::Text,
                CellType::Text,
                CellType::Text,
                CellType::Int,
                CellType::Int,
                CellType::Int,
                CellType::Int,
                CellType::Int,
                CellType::Int,
            ],
        },
        insert: "INSERT INTO connectors (name, config, target, created_ms, updated_ms, slot, revision, \
                 planned, restarts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        sealed: Some((SealedTable::Connectors, 1)),
        slot: Some(5),
    },
    CopiedTable {
        rows: "versions of configs",
        query: SqlQuery {
            sql: "SELECT connector, version, config, at_ms FROM config_history ORDER BY connector, version",
            columns: &[CellType::Text, CellType::Int, CellType::Text, CellType::Int],
        },
        insert: "INSERT INTO config_history (connector, version, config, at_ms) VALUES (?, ?, ?, ?)",
        sealed: Some((SealedTable::History, 2)),
        slot: None,
    },
    CopiedTable {
        rows: "tasks",
        query: SqlQuery {
            sql: "SELECT connector, task, config, slot, restarts FROM tasks ORDER BY connector, task",
            columns: &[
                CellType::Text,
                CellType::Int,
                CellType::Text,
                CellType::Int,
                CellType::Int,
            ],
        },
        insert: "INSERT INTO tasks (connector, task, config, slot, restarts) VALUES (?, ?, ?, ?, ?)",
        sealed: Some((SealedTable::Tasks, 2)),
        slot: Some(3),
    },
    CopiedTable {
        rows: "states",
        query: SqlQuery {
            sql: "SELECT connector, task, state, worker_id, trace, updated_ms FROM statuses \
                  ORDER BY connector, task",
            columns: &[
                CellType::Text,
                CellType::Int,
                CellType::Text,
                CellType::Text,
                CellType::Text,
                CellType::Int,
            ],
        },
        insert: "INSERT INTO statuses (connector, task, state, worker_id, trace, updated_ms) \
                 VALUES (?, ?, ?, ?, ?, ?)",
        sealed: None,
        slot: None,
    },
    CopiedTable {
        rows: "used topics",
        query: SqlQuery {
            sql: "SELECT connector, topic FROM topics ORDER BY connector, topic",
            columns: &[CellType::Text; 2],
        },
        insert: "INSERT INTO topics (connector, topic) VALUES (?, ?)",
        sealed: None,
        slot: None,
    },
];

type CellRows = Vec<Vec<SqlCell>>;

/// What was copied: how many rows of which kind.
pub type CopiedRows = Vec<(&'static str, usize)>;

impl Store {
    /// Copies everything to a store that is empty, and compares it afterwards. `slots` is the number
    /// of slots over which tasks are spread. Errors: the target is not empty, or one of the stores
    /// fails; nothing was copied then.
    pub async fn copy_to(&self, target: &Self, slots: u16) -> Result<CopiedRows, StoreFailure> {
        for table in &TABLES {
            let there = target.rows(&table.query, &[]).await?.len();
            if there > 0 {
                let text = format!(
                    "the metadata store to move to ({}) is not empty: it has {there} {}. Name an empty \
                     database, or empty this one",
                    target.0.access.place().shown,
                    table.rows
                );
                return Err(StoreFailure::new(StoreTrouble::Refused, text));
            }
        }
        let (mut statements, mut copied, mut all) = (Vec::new(), Vec::new(), Vec::new());
        let mut next_slot = 0..;
        for table in &TABLES {
            let mut rows = self.opened(table).await?;
            for row in &mut rows {
                if let Some(cell) = table.slot.and_then(|at| row.get_mut(at)) {
                    let turn: i64 = next_slot.next().unwrap_or_default();
                    *cell = SqlCell::Int(turn % i64::from(slots.max(1)));
                }
                statements.push(target.insertion(table, row)?);
            }
            copied.push((table.rows, rows.len()));
            all.push(rows);
        }
        target.0.access.transact_long(&statements).await?;
        for (table, rows) in TABLES.iter().zip(all) {
            if sorted(target.opened(table).await?) != sorted(rows) {
                let text = format!(
                    "the {} in the metadata store {} differ from those that were copied: use another \
                     database",
                    table.rows,
                    target.0.access.place().shown
                );
                return Err(StoreFailure::new(StoreTrouble::Broken, text));
            }
        }
        Ok(copied)
    }

    /// Returns the rows of a table with their configs as text.
    async fn opened(&self, table: &'static CopiedTable) -> Result<CellRows, StoreFailure> {
        let mut rows = self.rows(&table.query, &[]).await?;
        let Some((sealed, at)) = table.sealed else {
            return Ok(rows);
        };
        for row in &mut rows {
            let name = match row.first() {
                Some(SqlCell::Text(Some(name))) => name.clone(),
                _ => continue,
            };
            if let Some(SqlCell::Text(Some(config))) = row.get_mut(at) {
                *config = self.0.cipher.open(sealed, &name, config)?.into_owned();
            }
        }
        Ok(rows)
    }

    fn insertion(
        &self,
        table: &CopiedTable,
        row: &[SqlCell],
    ) -> Result<SqlStatement, StoreFailure> {
        let mut args = row.to_vec();
        if let Some((sealed, at)) = table.sealed
            && let Some(SqlCell::Text(Some(name))) = row.first()
            && let Some(SqlCell::Text(Some(config))) = row.get(at)
        {
            let config = self.0.cipher.seal(sealed, name, config)?;
            if let Some(cell) = args.get_mut(at) {
                *cell = text(&config);
            }
        }
        Ok(statement(table.insert, args))
    }

    /// Renames the file of a store that was moved, so that no worker starts with it by mistake.
    /// Returns its new path; `None` for a store that is no file. Errors: it cannot be renamed.
    pub async fn retire(&self) -> std::io::Result<Option<String>> {
        let StoreKind::File(_, path) = &self.0.access.place().kind else {
            return Ok(None);
        };
        self.close().await;
        let mut moved = path.as_os_str().to_owned();
        moved.push(MOVED);
        std::fs::rename(path, &moved)?;
        Ok(Some(moved.to_string_lossy().into_owned()))
    }

    /// The location for texts, without user and password.
    pub fn shown(&self) -> &str {
        &self.0.access.place().shown
    }
}

/// Returns the rows by their first two cells: databases order text differently.
fn sorted(rows: CellRows) -> BTreeMap<String, Vec<SqlCell>> {
    let key = |row: &[SqlCell]| format!("{:?}", row.get(..2));
    rows.into_iter().map(|row| (key(&row), row)).collect()
}
