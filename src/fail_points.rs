//! Lets a test set fail points, at the start and at runtime. Only in builds with the feature
//! `fail-points`.
//!
//! `FAILPOINTS` has those for the start: `name=actions;name=actions`. `ROWFERRY_FAIL_POINTS` names
//! a folder: its file `wanted` has a number and, on separate lines, `name=actions`; once they are
//! set, the file `state` has that number and, on separate lines, `name=hits`: how often each point
//! was triggered.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use connector_api::fail_point::{configure, hits, remove, set_up};
use tracing::{info, warn};

/// How often the folder is checked.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Sets the fail points for the start, and monitors the folder from then on.
pub(crate) fn start() {
    set_up();
    info!("this program was built with fail points: it is for tests only");
    let Some(folder) = std::env::var_os("ROWFERRY_FAIL_POINTS").map(PathBuf::from) else {
        return;
    };
    let mut following = Following {
        folder,
        set: BTreeSet::new(),
        seen: String::new(),
        published: String::new(),
    };
    following.look();
    let thread = std::thread::Builder::new()
        .name("fail-points".to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(LOOK_EVERY);
                following.look();
            }
        });
    if let Err(error) = thread {
        warn!(%error, "no thread to follow fail points");
    }
}

struct Following {
    folder: PathBuf,
    /// Fail points that were set through the folder.
    set: BTreeSet<String>,
    /// The last content of `wanted`.
    seen: String,
    /// The last content of `state`.
    published: String,
}

impl Following {
    fn look(&mut self) {
        let Ok(wanted) = std::fs::read_to_string(self.folder.join("wanted")) else {
            return;
        };
        if wanted != self.seen {
            self.apply(&wanted);
            self.seen = wanted;
        }
        let number = self.seen.lines().next().unwrap_or_default();
        let lines = hits()
            .into_iter()
            .map(|(name, hits)| format!("{name}={hits}\n"));
        let state = format!("{number}\n{}", lines.collect::<String>());
        if state != self.published && write(&self.folder, &state).is_ok() {
            self.published = state;
        }
    }

    fn apply(&mut self, wanted: &str) {
        let points: Vec<_> = wanted
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once('='))
            .collect();
        let names: BTreeSet<String> = points.iter().map(|(name, _)| (*name).to_owned()).collect();
        self.set.difference(&names).for_each(|name| remove(name));
        for (name, actions) in points {
            if let Err(error) = configure(name, actions) {
                warn!(name, actions, error, "a fail point cannot be set");
            }
        }
        self.set = names;
    }
}

/// Replaces the file atomically, so that a reader never sees a part of it.
fn write(folder: &Path, state: &str) -> std::io::Result<()> {
    let new = folder.join("state.new");
    std::fs::write(&new, state)?;
    std::fs::rename(&new, folder.join("state"))
}
