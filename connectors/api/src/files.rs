//! Restricts the files that a connector may use to folders named in the worker's settings, whatever
//! its config asks for.
//!
//! Without this, a config could name `/root/.ssh/authorized_keys` as its file and have records
//! written to it. The check resolves links and `..`, and runs each time a file is opened.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::{Error, Result};

/// The files that connectors of one kind may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedFiles {
    setting: &'static str,
    allowed: Arc<[PathBuf]>,
    kept: Arc<[PathBuf]>,
}

impl AllowedFiles {
    /// Allows files below `allowed` (folders or single files), except those whose path starts with
    /// an entry of `kept`: the worker's own files. `setting` is the worker's key that lists the
    /// allowed folders, for error messages.
    pub fn new(setting: &'static str, allowed: Vec<PathBuf>, kept: Vec<PathBuf>) -> Self {
        Self {
            setting,
            allowed: allowed.into(),
            kept: kept.into(),
        }
    }

    /// Returns the allowed folders and files.
    pub fn allowed(&self) -> &[PathBuf] {
        &self.allowed
    }

    /// Returns the path prefixes that are refused.
    pub fn kept(&self) -> &[PathBuf] {
        &self.kept
    }

    /// Returns the resolved path if the file may be used.
    /// Errors: `Config`.
    pub fn admit(&self, path: &Path) -> Result<PathBuf> {
        let leads = resolved(path).ok_or_else(|| self.refusal(path, "leads nowhere"))?;
        let is_below =
            |folder: &PathBuf| resolved(folder).is_some_and(|folder| leads.starts_with(folder));
        if !self.allowed.iter().any(is_below) {
            return Err(self.refusal(path, "is not allowed"));
        }
        self.refuse_own(path, &leads)?;
        Ok(leads)
    }

    /// Returns the path of a companion file: the name of an admitted file plus `suffix`.
    /// Errors: `Config` if it is a link.
    pub fn admit_beside(&self, admitted: &Path, suffix: &str) -> Result<PathBuf> {
        let mut beside = admitted.as_os_str().to_owned();
        beside.push(suffix);
        let beside = PathBuf::from(beside);
        if beside.is_symlink() {
            return Err(self.refusal(&beside, "is a link"));
        }
        self.refuse_own(&beside, &beside)?;
        Ok(beside)
    }

    fn refuse_own(&self, path: &Path, leads: &Path) -> Result<()> {
        // A prefix match, to cover the `-wal`, `-shm` and `-journal` files, too.
        let begins = |own: PathBuf| {
            leads
                .as_os_str()
                .as_encoded_bytes()
                .starts_with(own.as_os_str().as_encoded_bytes())
        };
        if self
            .kept
            .iter()
            .filter_map(|own| resolved(own))
            .any(|own| is_also(leads, &own) || begins(own))
        {
            return Err(self.refusal(path, "is one of the worker's own files"));
        }
        Ok(())
    }

    fn refusal(&self, path: &Path, why: &str) -> Error {
        let folders: Vec<_> = self
            .allowed
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        Error::config(format!(
            "the file {} {why}: this worker only uses files in {}; add a folder to {} in the \
             worker's settings",
            path.display(),
            if folders.is_empty() {
                "no folder".to_owned()
            } else {
                folders.join(", ")
            },
            self.setting
        ))
    }
}

/// True if the file is a hard link to a file whose path starts with `own`.
fn is_also(file: &Path, own: &Path) -> bool {
    let Ok(found) = file.metadata() else {
        return false;
    };
    if found.is_dir() || found.nlink() < 2 {
        return false;
    }
    let (Some(folder), Some(name)) = (own.parent(), own.file_name()) else {
        return false;
    };
    let begins = |entry: &fs::DirEntry| {
        entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(name.as_encoded_bytes())
    };
    let entries = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(begins);
    let mut kept = entries.filter_map(|entry| entry.path().metadata().ok());
    kept.any(|kept| (kept.dev(), kept.ino()) == (found.dev(), found.ino()))
}

/// Resolves links and `..`, also for a file or folder that does not exist yet; `None` for a
/// dangling link.
fn resolved(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let mut missing = Vec::new();
    let mut there = path.as_path();
    loop {
        match there.canonicalize() {
            Ok(found) => {
                return Some(
                    missing
                        .into_iter()
                        .rev()
                        .fold(found, |path, part| path.join(part)),
                );
            }
            // A dangling link: opening it would create its target.
            Err(_) if there.symlink_metadata().is_ok() => return None,
            Err(_) => {}
        }
        let Some(Component::Normal(part)) = there.components().next_back() else {
            return None;
        };
        missing.push(part.to_owned());
        there = there.parent()?;
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::AllowedFiles;

    #[test]
    fn what_counts_is_where_a_path_leads() {
        let root = std::env::temp_dir().join(format!("rowferry-files-{}", std::process::id()));
        let inside = root.join("inside");
        std::fs::create_dir_all(inside.join("deep")).unwrap();
        std::fs::create_dir_all(root.join("insider")).unwrap();
        std::fs::write(root.join("outside.db"), "").unwrap();
        std::fs::write(inside.join("there.db"), "").unwrap();
        std::os::unix::fs::symlink(root.join("outside.db"), inside.join("link.db")).unwrap();
        std::os::unix::fs::symlink(root.join("to-be.db"), inside.join("dangling.db")).unwrap();
        std::os::unix::fs::symlink(&root, inside.join("up")).unwrap();
        let files = AllowedFiles::new(
            "x.allowed.paths",
            vec![inside.clone()],
            vec![inside.join("rowferry.db")],
        );
        let allowed = |name: &str| files.admit(&inside.join(name)).is_ok();
        for name in [
            "there.db",
            "new.db",
            "deep/new.db",
            "deep/../new.db",
            "no/such/folder.db",
        ] {
            assert!(allowed(name), "{name}");
        }
        for name in [
            "link.db",
            "dangling.db",
            "up/outside.db",
            "up/new.db",
            "../outside.db",
            "deep/../../outside.db",
            "../insider/x.db",
            "/etc/passwd",
            "no/../../outside.db",
            "rowferry.db",
            "rowferry.db-wal",
            "up/inside/rowferry.db",
        ] {
            assert!(!allowed(name), "{name}");
        }
        for name in ["rowferry.db", "rowferry.db-wal"] {
            std::fs::write(inside.join(name), "").unwrap();
            std::fs::hard_link(inside.join(name), inside.join("deep/hard.db")).unwrap();
            assert!(!allowed("deep/hard.db"), "{name}");
            std::fs::remove_file(inside.join("deep/hard.db")).unwrap();
        }
        let beside = |suffix: &str| files.admit_beside(&inside.join("link"), suffix).is_ok();
        assert!(beside(".new") && !beside(".db"));
        assert!(
            AllowedFiles::new("x", vec![inside.join("a")], vec![])
                .admit_beside(&inside.join("a"), ".b")
                .is_ok()
        );
        assert!(files.admit_beside(&inside.join("rowferry"), ".db").is_err());
        std::fs::hard_link(inside.join("there.db"), inside.join("twice.db")).unwrap();
        assert!(allowed("twice.db") && allowed("there.db"));
        let error = AllowedFiles::new("x.allowed.paths", Vec::new(), Vec::new())
            .admit(&PathBuf::from("/tmp/x.db"))
            .unwrap_err();
        assert!(error.message().contains("x.allowed.paths"), "{error}");
        std::fs::remove_dir_all(&root).unwrap();
    }
}
