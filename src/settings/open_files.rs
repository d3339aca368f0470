//! How many files, connections among them, this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a worker with many tasks can use; many systems give less at first and let a process have
/// more.
const ENOUGH: u64 = 65_536;

/// Raises the limit as far as the system lets this process and as it can use. How many it may have
/// open then.
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
