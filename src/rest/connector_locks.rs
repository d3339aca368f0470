//! Locks per connector: requests that read a connector's config, process it and write it again run
//! one after the other for each connector. Other connectors do not wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use connector_api::locks::TakeLock;
use tokio::sync::OwnedMutexGuard;

type ConnectorLock = tokio::sync::Mutex<()>;

/// The locks, by connector. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct ConnectorLocks(Arc<Mutex<HashMap<String, Weak<ConnectorLock>>>>);

impl ConnectorLocks {
    /// Waits for a connector's lock, which is released when the guard is dropped. The order is
    /// first come, first served.
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
