//! Takes over a store at the start: encrypts configs that an older version stored as plain text,
//! and re-encrypts those of an older key. A config whose key is missing prevents the start, because
//! the worker would run without that connector.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tracing::{info, warn};

use super::access::StoreAccess;
use super::change::StoreOptions;
use super::cipher::{MARK_LEN, SealMark, SealedTable, StoreCipher};
use super::failure::{StoreFailure, StoreTrouble};
use super::files::KEY_FILE;
use super::key;
use super::statement::{CellType, SqlCell, SqlQuery, SqlStatement, forget, statement, text};

/// Number of configs encrypted per transaction.
const AT_ONCE: usize = 100;

/// The SQL of a table of configs.
struct SealedColumns {
    table: SealedTable,
    /// Selects connector, row number, and the first characters of the config.
    marks: SqlQuery,
    read: SqlQuery,
    update: &'static str,
    delete: &'static str,
}

const CONNECTORS: SealedColumns = SealedColumns {
    table: SealedTable::Connectors,
    marks: SqlQuery {
        sql: "SELECT name, created_ms, SUBSTR(config, 1, 26) FROM connectors ORDER BY name",
        columns: MARKS,
    },
    read: SqlQuery {
        sql: "SELECT config FROM connectors WHERE name = ? AND created_ms = ?",
        columns: &[CellType::Text],
    },
    update: "UPDATE connectors SET config = ? WHERE name = ? AND created_ms = ?",
    delete: "DELETE FROM connectors WHERE name = ? AND created_ms = ?",
};

const TASKS: SealedColumns = SealedColumns {
    table: SealedTable::Tasks,
    marks: SqlQuery {
        sql: "SELECT connector, task, SUBSTR(config, 1, 26) FROM tasks ORDER BY connector, task",
        columns: MARKS,
    },
    read: SqlQuery {
        sql: "SELECT config FROM tasks WHERE connector = ? AND task = ?",
        columns: &[CellType::Text],
    },
    update: "UPDATE tasks SET config = ? WHERE connector = ? AND task = ?",
    delete: "DELETE FROM tasks WHERE connector = ? AND task = ?",
};

const HISTORY: SealedColumns = SealedColumns {
    table: SealedTable::History,
    marks: SqlQuery {
        sql: "SELECT connector, version, SUBSTR(config, 1, 26) FROM config_history WHERE config IS NOT NULL \
              ORDER BY connector, version",
        columns: MARKS,
    },
    read: SqlQuery {
        sql: "SELECT config FROM config_history WHERE connector = ? AND version = ?",
        columns: &[CellType::Text],
    },
    update: "UPDATE config_history SET config = ? WHERE connector = ? AND version = ?",
    delete: "DELETE FROM config_history WHERE connector = ? AND version = ?",
};

const MARKS: &[CellType] = &[CellType::Text, CellType::Int, CellType::Text];
const _: () = assert!(MARK_LEN == 26, "the queries above read so many characters");

/// A row of one of the tables.
struct SealedRow {
    connector: String,
    number: i64,
    mark: String,
}

/// Finds the keys, encrypts configs as needed, and returns the cipher to use from now on. Errors:
/// `Refused` if a key is wrong or missing.
pub(super) async fn take_up(
    access: &StoreAccess,
    options: &StoreOptions,
) -> Result<StoreCipher, StoreFailure> {
    if access.place().is_in_memory() {
        return Ok(StoreCipher::none());
    }
    let folder = access.place().folder().unwrap_or(&options.data_dir);
    let configured = options.secrets_key.as_deref();
    // If the store is on a database server, the key file may be lost together with this machine
    // while the store survives. So the configs needed to run are encrypted there only with a key
    // that the user has chosen to keep.
    let all = configured.is_some() || access.place().folder().is_some();
    let mut keys = key::at_hand(configured, folder)?;
    let mut cipher = StoreCipher::new(&keys, all)?;
    let tables = [CONNECTORS, TASKS, HISTORY];
    let mut rows = Vec::new();
    for table in &tables {
        rows.push(marks(access, table).await?);
    }
    let mut missing = without_key(&cipher, &tables, &rows);
    if let Some(forgotten) = options
        .forget_key
        .as_deref()
        .and_then(|id| missing.remove(id))
    {
        forget_rows(access, &forgotten).await?;
    }
    if let Some((id, lost)) = missing.first_key_value() {
        return Err(missing_key(
            id,
            lost,
            folder,
            (configured.is_some(), access),
        ));
    }
    if keys.is_empty() {
        keys.push(key::make(folder)?);
        cipher = StoreCipher::new(&keys, all)?;
    }
    if !all {
        warn!(
            "the current configs of connectors are not encrypted in the metadata store ({}), only \
             their history is; rowferry.secrets.key encrypts them too",
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
            "configs that were stored unencrypted before may still be in unused parts of the \
             store's file"
        );
    }
    Ok(cipher)
}

/// Returns the rows whose key is missing, by the key's id.
fn without_key<'a>(
    cipher: &StoreCipher,
    tables: &'a [SealedColumns],
    rows: &'a [Vec<SealedRow>],
) -> BTreeMap<String, Vec<(&'a SealedColumns, &'a SealedRow)>> {
    let mut missing = BTreeMap::new();
    for (table, rows) in tables.iter().zip(rows) {
        for row in rows {
            if let SealMark::Key(id) = SealMark::of(&row.mark)
                && !cipher.knows(id)
            {
                missing
                    .entry(id.to_owned())
                    .or_insert_with(Vec::new)
                    .push((table, row));
            }
        }
    }
    missing
}

async fn marks(
    access: &StoreAccess,
    table: &SealedColumns,
) -> Result<Vec<SealedRow>, StoreFailure> {
    let mut found = Vec::new();
    for row in access.rows(&table.marks, &[]).await? {
        if let [
            SqlCell::Text(Some(connector)),
            SqlCell::Int(number),
            SqlCell::Text(Some(mark)),
        ] = row.as_slice()
        {
            found.push(SealedRow {
                connector: connector.clone(),
                number: *number,
                mark: mark.clone(),
            });
        }
    }
    Ok(found)
}

/// Encrypts configs that are plain or use another key. Returns how many were plain.
async fn encrypt(
    access: &StoreAccess,
    cipher: &StoreCipher,
    table: &SealedColumns,
    rows: &[SealedRow],
) -> Result<usize, StoreFailure> {
    let outdated: Vec<&SealedRow> = rows
        .iter()
        .filter(|row| cipher.is_outdated(table.table, &SealMark::of(&row.mark)))
        .collect();
    for rows in outdated.chunks(AT_ONCE) {
        let mut updates: Vec<SqlStatement> = Vec::new();
        for row in rows {
            let place = [text(&row.connector), SqlCell::Int(row.number)];
            let found = access.rows(&table.read, &place).await?;
            // Rows of a forgotten key have been deleted.
            let Some([SqlCell::Text(Some(stored))]) = found.first().map(Vec::as_slice) else {
                continue;
            };
            let config = cipher.open(table.table, &row.connector, stored)?;
            let config = cipher.seal(table.table, &row.connector, &config)?;
            let [connector, number] = place;
            updates.push(statement(
                table.update,
                vec![text(&config), connector, number],
            ));
        }
        access.transact(&updates).await?;
    }
    if !outdated.is_empty() {
        info!(
            configs = outdated.len(),
            table = table.table.name(),
            "stored configs were encrypted"
        );
    }
    Ok(outdated
        .iter()
        .filter(|row| SealMark::of(&row.mark) == SealMark::Plain)
        .count())
}

/// Deletes what a lost key encrypts; connectors are deleted completely.
async fn forget_rows(
    access: &StoreAccess,
    rows: &[(&SealedColumns, &SealedRow)],
) -> Result<(), StoreFailure> {
    let mut statements = Vec::new();
    for (table, row) in rows {
        statements.push(statement(
            table.delete,
            vec![text(&row.connector), SqlCell::Int(row.number)],
        ));
        if table.table == SealedTable::Connectors {
            statements.extend(forget(&row.connector));
            warn!(
                connector = row.connector,
                "deleted, because the key of its config is lost"
            );
        }
    }
    warn!(
        configs = rows.len(),
        "configs whose key is lost are deleted, as rowferry.secrets.forget requests"
    );
    access.transact(&statements).await
}

fn missing_key(
    id: &str,
    lost: &[(&SealedColumns, &SealedRow)],
    folder: &Path,
    (configured, access): (bool, &StoreAccess),
) -> StoreFailure {
    /// Maximum number of names in an error text.
    const SHOWN: usize = 10;
    let names: BTreeSet<&str> = lost
        .iter()
        .filter(|(table, _)| table.table != SealedTable::History)
        .map(|(_, row)| row.connector.as_str())
        .collect();
    let versions = lost
        .iter()
        .filter(|(table, _)| table.table == SealedTable::History)
        .count();
    let mut what: Vec<&str> = names.iter().take(SHOWN).copied().collect();
    if names.len() > SHOWN {
        what.push("…");
    }
    let connectors = if what.is_empty() {
        "none".to_owned()
    } else {
        what.join(", ")
    };
    let file = folder.join(KEY_FILE);
    let found = if file.exists() {
        "has another key"
    } else {
        "does not exist"
    };
    StoreFailure::new(
        StoreTrouble::Refused,
        format!(
            "the metadata store of rowferry.store.url ({}) has configs that are encrypted with the \
             key {id}, which this worker does not have: {} {found}, and rowferry.secrets.key {}. \
             Restore the key file, or set rowferry.secrets.key to the key of the worker that used \
             the store before; workers that share a store need the same key. If it is lost for \
             good, rowferry.secrets.forget={id} deletes these configs: the current ones of the \
             connectors {connectors}, and {versions} earlier versions; positions in Kafka and in \
             target databases are kept, so connectors that are created again continue where they \
             were",
            access.place().shown,
            file.display(),
            if configured {
                "is another key"
            } else {
                "is not set"
            },
        ),
    )
}
