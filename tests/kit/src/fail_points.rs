//! Fail points of a worker, set from outside while it runs. The actions are those of the crate `fail`; what
//! `return(WORD)` does is described in `connectors/api/src/fail_point.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a worker may take to see a change; it may be busy or still starting.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// The folder that a worker follows.
#[derive(Debug)]
pub(crate) struct FailPoints {
    folder: PathBuf,
    wanted: Mutex<Wanted>,
}

#[derive(Debug, Default)]
struct Wanted {
    number: u64,
    points: BTreeMap<String, String>,
}

impl FailPoints {
    /// Writes the points of the start; the worker reads them before it does anything.
    pub(crate) fn new(folder: PathBuf, points: impl IntoIterator<Item = (String, String)>) -> Self {
        std::fs::create_dir_all(&folder).expect("create the folder of fail points");
        let wanted = Wanted {
            number: 1,
            points: points.into_iter().collect(),
        };
        let this = Self {
            folder,
            wanted: Mutex::new(wanted),
        };
        this.write(&this.wanted());
        this
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, wanted: &Wanted) {
        let lines = wanted
            .points
            .iter()
            .map(|(name, actions)| format!("{name}={actions}\n"));
        let text = format!("{}\n{}", wanted.number, lines.collect::<String>());
        let new = self.folder.join("wanted.new");
        std::fs::write(&new, text).expect("write fail points");
        std::fs::rename(&new, self.folder.join("wanted")).expect("rename the file of fail points");
    }

    /// Sets a point, or with `None` takes it away. For a worker that runs, waits until that is done.
    pub(crate) fn set(&self, name: &str, actions: Option<&str>, runs: bool) {
        let mut wanted = self.wanted();
        wanted.number += 1;
        match actions {
            Some(actions) => wanted.points.insert(name.to_owned(), actions.to_owned()),
            None => wanted.points.remove(name),
        };
        self.write(&wanted);
        let until = Instant::now() + SEEN_WITHIN;
        while runs && self.state().0 != wanted.number {
            assert!(
                Instant::now() < until,
                "the worker follows no fail points: it was built without them, or is frozen"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The number of the last change that is in force, and how often each point was reached.
    fn state(&self) -> (u64, BTreeMap<String, u64>) {
        let text = std::fs::read_to_string(self.folder.join("state")).unwrap_or_default();
        let number = text
            .lines()
            .next()
            .and_then(|line| line.parse().ok())
            .unwrap_or(0);
        let hit = |line: &str| {
            line.split_once('=')
                .and_then(|(name, hits)| Some((name.to_owned(), hits.parse().ok()?)))
        };
        (number, text.lines().skip(1).filter_map(hit).collect())
    }

    /// How often a point has done something since the worker was started.
    pub(crate) fn hits(&self, name: &str) -> u64 {
        self.state().1.get(name).copied().unwrap_or(0)
    }

    /// Before the worker is started again.
    pub(crate) fn forget_state(&self) {
        let _was_none = std::fs::remove_file(self.folder.join("state"));
    }
}
