//! Fail points: named places where a test can make a call fail or hang, or end the process. Built
//! on the crate `fail`.
//!
//! Without the cargo feature `fail-points` they compile to nothing. They are placed at commit
//! boundaries and at calls that wait for another system, and are hit once per batch or call, never
//! per record. Each name is spelled out at its point, so that it can be found by searching.
//!
//! The effect of a point is configured by `fail`'s actions: `pause` (blocks the thread until the
//! point is reconfigured), `sleep(MILLISECONDS)`, `panic`, with an optional count or probability in
//! front (`2*…`, `50%…`) and `->…` behind; and by `return(WORD)`:
//!
//! | word | effect |
//! |---|---|
//! | `hang` | the call waits until the point is reconfigured: a thread blocks, a future stays pending |
//! | `abort` | the process ends here, as after `kill -9` |
//! | `record`, `config`, `denied`, `fenced`, `fatal` | an error of that kind |
//! | any other text | an error of kind `Retry` with that text |

#[cfg(feature = "fail-points")]
pub use active::{configure, hits, reach, reach_async, remove, set_up};
#[cfg(not(feature = "fail-points"))]
pub use inactive::{reach, reach_async};

#[cfg(not(feature = "fail-points"))]
mod inactive {
    use crate::Result;

    /// A fail point in blocking code; never fails in this build.
    /// Errors: as the test configured.
    #[inline(always)]
    pub fn reach(_name: &'static str) -> Result<()> {
        Ok(())
    }

    /// A fail point in async code; never fails in this build.
    /// Errors: as the test configured.
    #[inline(always)]
    pub async fn reach_async(_name: &'static str) -> Result<()> {
        Ok(())
    }
}

#[cfg(feature = "fail-points")]
mod active {
    use std::collections::BTreeMap;
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::locks::TakeLock;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use crate::{Error, ErrorKind, Result};

    /// Polling interval of a call that hangs.
    const LOOK_EVERY: Duration = Duration::from_millis(10);

    /// True once any point was configured, so that unconfigured points cost one load.
    static ANY: AtomicBool = AtomicBool::new(false);

    /// How often each configured point was hit.
    static HITS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

    /// A fail point in blocking code.
    /// Errors: as the test configured.
    pub fn reach(name: &'static str) -> Result<()> {
        match decide(name) {
            Some(word) if word == "hang" => {
                while hangs(name) {
                    std::thread::sleep(LOOK_EVERY);
                }
                Ok(())
            }
            Some(word) => Err(error(name, word)),
            None => Ok(()),
        }
    }

    /// A fail point in async code.
    /// Errors: as the test configured.
    pub async fn reach_async(name: &'static str) -> Result<()> {
        match decide(name) {
            Some(word) if word == "hang" => {
                Hanging(name).await;
                Ok(())
            }
            Some(word) => Err(error(name, word)),
            None => Ok(()),
        }
    }

    /// Configures points from the environment variable `FAILPOINTS`: `name=actions;name=actions`.
    pub fn set_up() {
        // Dropping the scenario would remove all points again.
        std::mem::forget(fail::FailScenario::setup());
        ANY.store(!fail::list().is_empty(), Ordering::Relaxed);
    }

    /// Configures a point.
    /// Errors: what is wrong with the actions.
    pub fn configure(name: &str, actions: &str) -> Result<(), String> {
        ANY.store(true, Ordering::Relaxed);
        fail::cfg(name, actions)
    }

    /// Removes a point; calls that hang there continue.
    pub fn remove(name: &str) {
        fail::remove(name);
    }

    /// Returns how often each configured point was hit since the process started.
    pub fn hits() -> Vec<(&'static str, u64)> {
        let hits = HITS.take_lock();
        hits.iter().map(|(name, hits)| (*name, *hits)).collect()
    }

    /// Counts the hit, and returns the word if the point is set to `return`.
    fn decide(name: &'static str) -> Option<String> {
        if !ANY.load(Ordering::Relaxed) {
            return None;
        }
        if fail::list()
            .iter()
            .any(|(set, actions)| set == name && actions != "off")
        {
            *HITS.take_lock().entry(name).or_default() += 1;
        }
        fail::fail_point!(name, |word| Some(word.unwrap_or_default()));
        None
    }

    fn hangs(name: &str) -> bool {
        fail::list()
            .iter()
            .any(|(set, actions)| set == name && actions.contains("return(hang)"))
    }

    fn error(name: &str, word: String) -> Error {
        let kind = match word.as_str() {
            "abort" => std::process::abort(),
            "record" => ErrorKind::Record,
            "config" => ErrorKind::Config,
            "denied" => ErrorKind::Denied,
            "fenced" => ErrorKind::Fenced,
            "fatal" => ErrorKind::Fatal,
            _ => return Error::retry(format!("fail point {name}: {word}")),
        };
        Error::new(kind, format!("fail point {name}"))
    }

    /// A future that stays pending while the point is set to `hang`.
    struct Hanging(&'static str);

    impl Future for Hanging {
        type Output = ();

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            if !hangs(self.0) {
                return Poll::Ready(());
            }
            // This crate has no runtime and thus no timer; a thread wakes the future.
            let waker = context.waker().clone();
            std::thread::spawn(move || {
                std::thread::sleep(LOOK_EVERY);
                waker.wake();
            });
            Poll::Pending
        }
    }
}
