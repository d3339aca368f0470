//! Turns: what reads a connector's config, takes its time over it and writes it again, goes one after the other for
//! each connector. Other connectors do not wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use connector_api::locks::TakeLock;
use tokio::sync::OwnedMutexGuard;

type ConnectorLock = tokio::sync::Mutex<()>;

/// Who is at work, by connector. Cheap to clone.
#[derive(Clone, Default)]
pub struct ConnectorLocks(Arc<Mutex<HashMap<String, Weak<ConnectorLock>>>>);

impl ConnectorLocks {
    /// Waits for a connector's turn, which ends when the guard goes. First come, first served.
    pub(super) async fn of(&self, name: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.take_lock();
            let known = turns.get(name).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                turns.retain(|_, turn| turn.strong_count() > 0);
                let turn = Arc::new(ConnectorLock::default());
                turns.insert(name.to_owned(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}
