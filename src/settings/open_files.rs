//! The limit on open files of this process, connections included.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many as a worker with many tasks needs; many systems set a lower default and let a process
/// raise it.
const ENOUGH: u64 = 65_536;

/// Raises the limit to `ENOUGH`, or as far as the system allows. Returns the limit then in
/// effect.
pub fn raise_open_files() -> usize {
    let given = getrlimit(Resource::Nofile);
    let most = given.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    let current = given.current.unwrap_or(ENOUGH);
    if current < most {
        let wanted = Rlimit {
            current: Some(most),
            maximum: given.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, wanted) {
            tracing::warn!(%error, "at most {current} files may be open at once: the limit cannot be raised");
        }
    }
    let now = getrlimit(Resource::Nofile).current.unwrap_or(ENOUGH);
    usize::try_from(now).unwrap_or(usize::MAX)
}
