//! Fail points: named places where a test lets a call fail, hang, or end the process, by the crate `fail`.
//!
//! Without the cargo feature `fail-points` they are empty. They stand at the boundaries of commits and at calls that wait
//! for something outside, once for each batch or call and never for each record. A name is written out where the point
//! is, so that a test finds them all.
//!
//! What a point does is set by `fail`'s actions: `pause` (its thread stands still until the point is set otherwise),
//! `sleep(MILLISECONDS)`, `panic`, with `2*…` or `50%…` before and `->…` behind; and by `return(WORD)`:
//!
//! | word | effect |
//! |---|---|
//! | `hang` | the call waits until the point is set otherwise: a thread stands still, a future stays pending |
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

    /// A fail point in code that blocks. Errors: what a test wants.
    #[inline(always)]
    pub fn reach(_name: &'static str) -> Result<()> {
        Ok(())
    }

    /// A fail point in code that is async. Errors: what a test wants.
    #[inline(always)]
    pub async fn reach_async(_name: &'static str) -> Result<()> {
        Ok(())
    }
}

#[cfg(feature = "fail-points")]
mod active {
    use std::collections::BTreeMap;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, PoisonError};
    use std::task::{Context, Poll};
    use std::time::Duration;

    use crate::{Error, ErrorKind, Result};

    /// How soon a call that hangs notices that it may go on.
    const LOOK_EVERY: Duration = Duration::from_millis(10);

    /// Whether any point was ever set: most are passed for each call.
    static ANY: AtomicBool = AtomicBool::new(false);

    /// How often each point that is set has done something.
    static HITS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

    /// A fail point in code that blocks. Errors: what a test wants.
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

    /// A fail point in code that is async. Errors: what a test wants.
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

    /// Sets points as the environment variable `FAILPOINTS` says: `name=actions;name=actions`.
    pub fn set_up() {
        // dropped, it would take them all away again
        std::mem::forget(fail::FailScenario::setup());
        ANY.store(!fail::list().is_empty(), Ordering::Relaxed);
    }

    /// Sets a point. Errors: what is wrong with the actions.
    pub fn configure(name: &str, actions: &str) -> Result<(), String> {
        ANY.store(true, Ordering::Relaxed);
        fail::cfg(name, actions)
    }

    /// Takes a point away: what hangs there goes on.
    pub fn remove(name: &str) {
        fail::remove(name);
    }

    /// How often each point has done something since the process began.
    pub fn hits() -> Vec<(&'static str, u64)> {
        let hits = HITS.lock().unwrap_or_else(PoisonError::into_inner);
        hits.iter().map(|(name, hits)| (*name, *hits)).collect()
    }

    /// The word of a point that is set to `return`.
    fn decide(name: &'static str) -> Option<String> {
        if !ANY.load(Ordering::Relaxed) {
            return None;
        }
        if fail::list()
            .iter()
            .any(|(set, actions)| set == name && actions != "off")
        {
            *HITS
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(name)
                .or_default() += 1;
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

    /// Pending as long as the point hangs.
    struct Hanging(&'static str);

    impl Future for Hanging {
        type Output = ();

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            if !hangs(self.0) {
                return Poll::Ready(());
            }
            // this crate knows no runtime's clock
            let waker = context.waker().clone();
            std::thread::spawn(move || {
                std::thread::sleep(LOOK_EVERY);
                waker.wake();
            });
            Poll::Pending
        }
    }
}
