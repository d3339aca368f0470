//! Taking up a store at the start: configs that an older version stored plain, or that an older key encrypts, are encrypted anew;
//! those whose key is missing keep the worker from starting, since it would run without them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tracing::{info, warn};

use super::access::Access;
use super::change::Options;
use super::cipher::{Cipher, MARK_LEN, Mark, Table};
use super::failure::{Failure, Trouble};
use super::files::KEY_FILE;
use super::key;
use super::statement::{Cell, Column, Query, Statement, forget, statement, text};

/// Configs encrypted anew in one transaction.
const AT_ONCE: usize = 100;

/// A table of configs in SQL.
struct Sealed {
    table: Table,
    /// Connector, number of the row, and the first characters of the config.
    marks: Query,
    read: Query,
    update: &'static str,
    delete: &'static str,
}

const CONNECTORS: Sealed = Sealed {
    table: Table::Connectors,
    marks: Query {
        sql: "SELECT name, created_ms, SUBSTR(config, 1, 26) FROM connectors ORDER BY name",
        columns: MARKS,
    },
    read: Query { sql: "SELECT config FROM connectors WHERE name = ? AND created_ms = ?", columns: &[Column::Text] },
    update: "UPDATE connectors SET config = ? WHERE name = ? AND created_ms = ?",
    delete: "DELETE FROM connectors WHERE name = ? AND created_ms = ?",
};

const TASKS: Sealed = Sealed {
    table: Table::Tasks,
    marks: Query {
        sql: "SELECT connector, task, SUBSTR(config, 1, 26) FROM tasks ORDER BY connector, task",
        columns: MARKS,
    },
    read: Query { sql: "SELECT config FROM tasks WHERE connector = ? AND task = ?", columns: &[Column::Text] },
    update: "UPDATE tasks SET config = ? WHERE connector = ? AND task = ?",
    delete: "DELETE FROM tasks WHERE connector = ? AND task = ?",
};

const HISTORY: Sealed = Sealed {
    table: Table::History,
    marks: Query {
        sql: "SELECT connector, version, SUBSTR(config, 1, 26) FROM config_history WHERE config IS NOT NULL \
              ORDER BY connector, version",
        columns: MARKS,
    },
    read: Query {
        sql: "SELECT config FROM config_history WHERE connector = ? AND version = ?",
        columns: &[Column::Text],
    },
    update: "UPDATE config_history SET config = ? WHERE connector = ? AND version = ?",
    delete: "DELETE FROM config_history WHERE connector = ? AND version = ?",
};

const MARKS: &[Column] = &[Column::Text, Column::Int, Column::Text];
const _: () = assert!(MARK_LEN == 26, "the queries above read so many characters");

/// A row of one of the tables.
struct Row {
    connector: String,
    number: i64,
    mark: String,
}

/// Finds the keys, encrypts what is not as it should be, and gives what encrypts from now on.
/// Errors: `Refused` when a key is wrong or missing.
pub(super) async fn take_up(access: &Access, options: &Options) -> Result<Cipher, Failure> {
    if access.place().is_in_memory() {
        return Ok(Cipher::none());
    }
    let folder = access.place().folder().unwrap_or(&options.data_dir);
    let configured = options.secrets_key.as_deref();
    // The key file of a database server's store may be lost with its machine while the store lives on, so that what is
    // needed to run is encrypted there only with a key that somebody has chosen to keep.
    let all = configured.is_some() || access.place().folder().is_some();
    let mut keys = key::at_hand(configured, folder)?;
    let mut cipher = Cipher::new(&keys, all)?;
    let tables = [CONNECTORS, TASKS, HISTORY];
    let mut rows = Vec::new();
    for table in &tables {
        rows.push(marks(access, table).await?);
    }
    let mut missing = BTreeMap::new();
    for (table, rows) in tables.iter().zip(&rows) {
        for row in rows {
            if let Mark::Key(id) = Mark::of(&row.mark)
                && !cipher.knows(id)
            {
                missing.entry(id.to_owned()).or_insert_with(Vec::new).push((table, row));
            }
        }
    }
    if let Some(forgotten) = options.forget_key.as_deref().and_then(|id| missing.remove(id)) {
        forget_rows(access, &forgotten).await?;
    }
    if let Some((id, lost)) = missing.first_key_value() {
        return Err(missing_key(id, lost, folder, (configured.is_some(), access)));
    }
    if keys.is_empty() {
        keys.push(key::make(folder)?);
        cipher = Cipher::new(&keys, all)?;
    }
    if !all {
        warn!(
            "the configs of connectors stand unencrypted in the metadata store ({}), only their history is encrypted; \
             rowferry.secrets.key encrypts them too",
            access.place().shown
        );
    }
    let mut plain = 0;
    for (table, rows) in tables.iter().zip(&rows) {
        plain += encrypt(access, &cipher, table, rows).await?;
    }
    if plain > 0
        && let Err(failure) = access.rewrite().await
    {
        warn!(
            error = failure.text,
            "what was stored unencrypted before may still stand in unused parts of the store's file"
        );
    }
    Ok(cipher)
}

async fn marks(access: &Access, table: &Sealed) -> Result<Vec<Row>, Failure> {
    let mut found = Vec::new();
    for row in access.rows(&table.marks, &[]).await? {
        if let [Cell::Text(Some(connector)), Cell::Int(number), Cell::Text(Some(mark))] = row.as_slice() {
            found.push(Row { connector: connector.clone(), number: *number, mark: mark.clone() });
        }
    }
    Ok(found)
}

/// Encrypts what should be and is not, or with another key; how many configs were plain.
async fn encrypt(access: &Access, cipher: &Cipher, table: &Sealed, rows: &[Row]) -> Result<usize, Failure> {
    let outdated: Vec<&Row> = rows.iter().filter(|row| cipher.is_outdated(table.table, &Mark::of(&row.mark))).collect();
    for rows in outdated.chunks(AT_ONCE) {
        let mut updates: Vec<Statement> = Vec::new();
        for row in rows {
            let place = [text(&row.connector), Cell::Int(row.number)];
            let found = access.rows(&table.read, &place).await?;
            // Rows of a key that was forgotten are gone.
            let Some([Cell::Text(Some(stored))]) = found.first().map(Vec::as_slice) else { continue };
            let config = cipher.open(table.table, &row.connector, stored)?;
            let config = cipher.seal(table.table, &row.connector, &config)?;
            let [connector, number] = place;
            updates.push(statement(table.update, vec![text(&config), connector, number]));
        }
        access.transact(&updates).await?;
    }
    if !outdated.is_empty() {
        info!(configs = outdated.len(), table = table.table.name(), "stored configs were encrypted");
    }
    Ok(outdated.iter().filter(|row| Mark::of(&row.mark) == Mark::Plain).count())
}

/// Removes what a lost key encrypts; connectors go whole.
async fn forget_rows(access: &Access, rows: &[(&Sealed, &Row)]) -> Result<(), Failure> {
    let mut statements = Vec::new();
    for (table, row) in rows {
        statements.push(statement(table.delete, vec![text(&row.connector), Cell::Int(row.number)]));
        if table.table == Table::Connectors {
            statements.extend(forget(&row.connector));
            warn!(connector = row.connector, "forgotten, since the key of its config is lost");
        }
    }
    warn!(configs = rows.len(), "configs whose key is lost are forgotten, as rowferry.secrets.forget says");
    access.transact(&statements).await
}

fn missing_key(id: &str, lost: &[(&Sealed, &Row)], folder: &Path, (configured, access): (bool, &Access)) -> Failure {
    /// So many names fit into a text.
    const SHOWN: usize = 10;
    let names: BTreeSet<&str> =
        lost.iter().filter(|(table, _)| table.table != Table::History).map(|(_, row)| row.connector.as_str()).collect();
    let versions = lost.iter().filter(|(table, _)| table.table == Table::History).count();
    let mut what: Vec<&str> = names.iter().take(SHOWN).copied().collect();
    if names.len() > SHOWN {
        what.push("…");
    }
    let connectors = if what.is_empty() { "none".to_owned() } else { what.join(", ") };
    let file = folder.join(KEY_FILE);
    let found = if file.exists() { "holds another key" } else { "is not there" };
    Failure::new(
        Trouble::Refused,
        format!(
            "the metadata store of rowferry.store.url ({}) holds configs that are encrypted with the key {id}, which this worker \
             does not have: {} {found}, and rowferry.secrets.key {}. Put the key file back, or give the key of the worker that \
             used the store before as rowferry.secrets.key; workers that share a store need the same key. If it is lost for good, \
             rowferry.secrets.forget={id} forgets these configs: of the connectors {connectors} in force, and {versions} earlier \
             versions; positions in Kafka and in target databases stay, so that connectors created again go on where they were",
            access.place().shown,
            file.display(),
            if configured { "gives another key" } else { "is not given" },
        ),
    )
}
