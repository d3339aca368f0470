//! Files and folders readable by their owner only, because configs hold passwords.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::failure::{StoreFailure, StoreTrouble};

/// Files that the worker itself creates in its store's folder; a folder with nothing else belongs
/// to the worker.
const OURS: &[&str] = &[
    "rowferry.db",
    "rowferry.db-wal",
    "rowferry.db-shm",
    "rowferry.db-journal",
    KEY_FILE,
];
/// Name of the key file.
pub const KEY_FILE: &str = "secrets.key";

/// Creates the folder, accessible to its owner only. An existing folder that holds nothing but the
/// worker's files is closed to other users; any other is left unchanged, since other users may need
/// it.
pub(super) fn private_folder(folder: &Path) -> Result<(), StoreFailure> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    if !folder.exists() {
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder);
        made.map_err(|error| refused("cannot create the folder", folder, &error))?;
        // The folder's name should survive a power loss as its files do. If the parent is not
        // readable, it cannot be synced.
        drop(sync(parent(folder)));
        return Ok(());
    }
    let entries = std::fs::read_dir(folder)
        .map_err(|error| refused("cannot read the folder", folder, &error))?;
    let ours = |name: std::ffi::OsString| OURS.iter().any(|known| name.to_str() == Some(known));
    if entries.flatten().all(|entry| ours(entry.file_name())) {
        close(folder, 0o700);
    }
    Ok(())
}

/// Creates the file of an SQLite store before SQLite does, which would make it world-readable;
/// SQLite gives its companion files the same mode. Existing files are closed to other users.
pub(super) fn private_store(path: &Path) -> Result<(), StoreFailure> {
    let made = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path);
    made.map_err(|error| refused("cannot open the file", path, &error))?;
    for suffix in ["", "-wal", "-shm", "-journal"] {
        close(&with_suffix(path, suffix), 0o600);
    }
    Ok(())
}

/// Returns why the file of an SQLite store cannot be that of a new store: it is empty or missing,
/// but beside it are files that only a used store leaves behind. Returns `None` if the store is new
/// or its file is not empty. Call this before SQLite opens the file: it would remove the log beside
/// an empty one.
pub(super) fn lost_store(path: &Path, has_key: bool) -> Option<String> {
    let state = match std::fs::metadata(path) {
        Ok(found) if found.len() > 0 => return None,
        Ok(_) => "is empty (0 bytes)",
        Err(_) => "is missing",
    };
    let log = with_suffix(path, "-wal");
    let has_log = std::fs::metadata(&log).is_ok_and(|found| found.len() > 0);
    (has_key || has_log).then(|| {
        lost(
            state,
            if has_log {
                log
            } else {
                path.with_file_name(KEY_FILE)
            },
        )
    })
}

/// Returns the cause text of a lost store.
pub(super) fn lost(state: &str, left: impl AsRef<Path>) -> String {
    let left = left.as_ref().display();
    format!(
        "it {state}, but {left} exists, which belongs to a store in use; an empty store has no \
         connectors"
    )
}

/// Appends to the file name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Removes the permissions of group and others.
pub(super) fn close(path: &Path, mode: u32) {
    let Ok(found) = std::fs::metadata(path) else {
        return;
    };
    let before = found.permissions().mode() & 0o777;
    if before & 0o077 == 0 {
        return;
    }
    let shown = path.display();
    match std::fs::set_permissions(path, Permissions::from_mode(mode)) {
        Ok(()) => info!(
            "{shown} was accessible to others (mode {before:o}); only its owner can access it now \
             (mode {mode:o})"
        ),
        Err(error) => {
            warn!(
                "{shown} contains secrets and is accessible to others (mode {before:o}): chmod \
                 {mode:o} it; {error}"
            );
        }
    }
}

/// Writes a new file for its owner only. After a power loss it exists completely or not at all.
/// Errors: also `AlreadyExists`.
pub(super) fn create_private(path: &Path, text: &str) -> io::Result<()> {
    let draft = with_suffix(path, ".new");
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    // Unlike a rename, a link never replaces an existing file; some file systems do not support it.
    match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => {
            std::fs::rename(&draft, path)?;
        }
        linked => {
            std::fs::remove_file(&draft)?;
            linked?;
        }
    }
    sync(parent(path))
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn refused(what: &str, path: &Path, error: &io::Error) -> StoreFailure {
    let trouble = if error.kind() == io::ErrorKind::StorageFull {
        StoreTrouble::Full
    } else {
        StoreTrouble::Refused
    };
    let text = format!(
        "{what} {} of the metadata store: {error}; set rowferry.data.dir or --data-dir",
        path.display()
    );
    StoreFailure::new(trouble, text)
}
