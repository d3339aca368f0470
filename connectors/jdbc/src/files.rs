//! Which SQLite files may be used: those below the folders that the worker's settings name, whatever a config asks for.
//!
//! A config of `jdbc:sqlite:/root/.ssh/authorized_keys` would otherwise make that file, and records fill it. What counts is
//! where a path leads, links and `..` followed, each time that a file is opened.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use connector_api::{
    Config, Error, Key, Plan, Plugin, Position, Positions, Report, Result, Sink, SinkTask, Source, SourceTask,
    TopicPartition, async_trait,
};

/// The private key by which a config carries them; what a user writes there is replaced.
const KEY: &str = "task.sqlite.files";

/// Where SQLite files may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    allowed: Arc<[PathBuf]>,
    kept: Arc<[PathBuf]>,
}

impl Files {
    /// Those below `allowed` (folders, or single files), but for files whose path begins as one of `kept` does: the
    /// worker's own.
    pub fn new(allowed: Vec<PathBuf>, kept: Vec<PathBuf>) -> Self {
        Self { allowed: allowed.into(), kept: kept.into() }
    }

    /// Those of a config; `None` where nobody says anything: whoever made it is trusted.
    pub fn of(config: &Config) -> Option<Self> {
        let (mut allowed, mut kept) = (Vec::new(), Vec::new());
        for line in config.get(KEY)?.split('\0').filter(|line| !line.is_empty()) {
            match line.strip_prefix('-') {
                Some(path) => kept.push(path.into()),
                None => allowed.push(line.trim_start_matches('+').into()),
            }
        }
        Some(Self::new(allowed, kept))
    }

    /// The config with them.
    fn told(&self, config: &Config) -> Config {
        let line = |sign: char, path: &PathBuf| format!("{sign}{}\0", path.display());
        let lines = self.allowed.iter().map(|path| line('+', path)).chain(self.kept.iter().map(|path| line('-', path)));
        let mut config = config.clone();
        config.set(KEY, lines.collect::<String>());
        config
    }

    /// Where the path leads, if the file may be used. Errors: `Config`.
    pub fn admit(&self, path: &Path) -> Result<PathBuf> {
        let refused = |why: &str| {
            let folders: Vec<_> = self.allowed.iter().map(|folder| folder.display().to_string()).collect();
            Error::config(format!(
                "the SQLite file {} {why}: this worker uses files below {} only; add a folder to sqlite.allowed.paths in the \
                 worker's settings",
                path.display(),
                if folders.is_empty() { "no folder".to_owned() } else { folders.join(", ") }
            ))
        };
        let leads = resolved(path).ok_or_else(|| refused("leads nowhere"))?;
        let is_below = |folder: &PathBuf| resolved(folder).is_some_and(|folder| leads.starts_with(folder));
        if !self.allowed.iter().any(is_below) {
            return Err(refused("is not allowed"));
        }
        // with what stands after its name: -wal, -shm, -journal
        let begins =
            |own: PathBuf| leads.as_os_str().as_encoded_bytes().starts_with(own.as_os_str().as_encoded_bytes());
        if self.kept.iter().filter_map(|own| resolved(own)).any(|own| is_also(&leads, &own) || begins(own)) {
            return Err(refused("is the worker's own"));
        }
        Ok(leads)
    }
}

/// Whether a file is one of those whose names begin as `own` does under another name (a hard link).
fn is_also(file: &Path, own: &Path) -> bool {
    let Ok(found) = file.metadata() else { return false };
    if found.is_dir() || found.nlink() < 2 {
        return false;
    }
    let (Some(folder), Some(name)) = (own.parent(), own.file_name()) else { return false };
    let begins = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(name.as_encoded_bytes());
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().filter(begins);
    let mut kept = entries.filter_map(|entry| entry.path().metadata().ok());
    kept.any(|kept| (kept.dev(), kept.ino()) == (found.dev(), found.ino()))
}

/// The path without links and `..`, also of a file or folder that is not there yet; `None` of a link that leads nowhere.
fn resolved(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let mut missing = Vec::new();
    let mut there = path.as_path();
    loop {
        match there.canonicalize() {
            Ok(found) => return Some(missing.into_iter().rev().fold(found, |path, part| path.join(part))),
            // opening a link would make what it leads to
            Err(_) if there.symlink_metadata().is_ok() => return None,
            Err(_) => {}
        }
        let Some(Component::Normal(part)) = there.components().next_back() else { return None };
        missing.push(part.to_owned());
        there = there.parent()?;
    }
}

/// A connector that uses such files only.
#[derive(Clone, Debug)]
pub struct Within<P> {
    plugin: P,
    files: Files,
}

impl<P> Within<P> {
    /// Confines a connector.
    pub fn new(plugin: P, files: Files) -> Self {
        Self { plugin, files }
    }
}

impl<P: Plugin> Plugin for Within<P> {
    fn class(&self) -> &'static str {
        self.plugin.class()
    }

    fn other_classes(&self) -> &'static [&'static str] {
        self.plugin.other_classes()
    }

    fn version(&self) -> &'static str {
        self.plugin.version()
    }

    fn keys(&self) -> &'static [Key] {
        self.plugin.keys()
    }

    fn keys_as(&self, class: &str) -> &'static [Key] {
        self.plugin.keys_as(class)
    }

    fn check(&self, config: &Config, report: &mut Report) {
        self.plugin.check(config, report);
    }
}

/// The plan, without what tasks are told anew.
fn untold(mut plan: Plan) -> Plan {
    plan.tasks.iter_mut().for_each(|task| drop(task.remove(KEY)));
    plan
}

#[async_trait]
impl<P: Source> Source for Within<P> {
    async fn plan(&self, config: &Config, max_tasks: usize) -> Result<Plan> {
        self.plugin.plan(&self.files.told(config), max_tasks).await.map(untold)
    }

    async fn plan_on(&self, config: &Config, max_tasks: usize, stored: &dyn Positions) -> Result<Plan> {
        self.plugin.plan_on(&self.files.told(config), max_tasks, stored).await.map(untold)
    }

    async fn open(&self, task: &Config, stored: &dyn Positions) -> Result<Box<dyn SourceTask>> {
        self.plugin.open(&self.files.told(task), stored).await
    }

    fn check_positions(&self, positions: &[Position]) -> Result<()> {
        self.plugin.check_positions(positions)
    }

    async fn probe(&self, config: &Config, report: &mut Report) {
        self.plugin.probe(&self.files.told(config), report).await;
    }
}

#[async_trait]
impl<P: Sink> Sink for Within<P> {
    async fn open(&self, task: &Config, tolerate: bool) -> Result<Box<dyn SinkTask>> {
        self.plugin.open(&self.files.told(task), tolerate).await
    }

    async fn alter_offsets(&self, config: &Config, offsets: &[(TopicPartition, Option<i64>)]) -> Result<bool> {
        self.plugin.alter_offsets(&self.files.told(config), offsets).await
    }

    async fn reset_offsets(&self, config: &Config) -> Result<bool> {
        self.plugin.reset_offsets(&self.files.told(config)).await
    }

    async fn probe(&self, config: &Config, report: &mut Report) {
        self.plugin.probe(&self.files.told(config), report).await;
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use connector_api::Config;

    use super::Files;

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
        let files = Files::new(vec![inside.clone()], vec![inside.join("rowferry.db")]);
        let files = Files::of(&files.told(&Config::from([("task.sqlite.files", "+/")]))).unwrap();
        let allowed = |name: &str| files.admit(&inside.join(name)).is_ok();
        for name in ["there.db", "new.db", "deep/new.db", "deep/../new.db", "no/such/folder.db"] {
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
        std::fs::hard_link(inside.join("there.db"), inside.join("twice.db")).unwrap();
        assert!(allowed("twice.db") && allowed("there.db"));
        let error = Files::default().admit(&PathBuf::from("/tmp/x.db")).unwrap_err();
        assert!(error.message().contains("sqlite.allowed.paths"), "{error}");
        std::fs::remove_dir_all(&root).unwrap();
    }
}
