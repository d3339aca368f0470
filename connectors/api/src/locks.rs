//! Locks whose holder may have panicked.
//!
//! The policy of the whole program: a panic is reported by the task or the request that it ends; others take the lock
//! with what it guards as it was left, and do not fail as well.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A lock that is taken whether or not a holder has panicked.
pub trait TakeLock {
    /// What is guarded.
    type Guarded;

    /// Waits for the lock.
    fn take_lock(&self) -> MutexGuard<'_, Self::Guarded>;
}

impl<T> TakeLock for Mutex<T> {
    type Guarded = T;

    fn take_lock(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same of a lock that many may read.
pub trait TakeSharedLock {
    /// What is guarded.
    type Guarded;

    /// Waits until nobody writes.
    fn take_read(&self) -> RwLockReadGuard<'_, Self::Guarded>;

    /// Waits until nobody else holds it.
    fn take_write(&self) -> RwLockWriteGuard<'_, Self::Guarded>;
}

impl<T> TakeSharedLock for RwLock<T> {
    type Guarded = T;

    fn take_read(&self) -> RwLockReadGuard<'_, T> {
        self.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_write(&self) -> RwLockWriteGuard<'_, T> {
        self.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Mutex, RwLock};

    use super::{TakeLock, TakeSharedLock};

    #[test]
    fn a_lock_whose_holder_panicked_is_taken_with_what_it_guards() {
        let (one, many) = (Mutex::new(1), RwLock::new(2));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let (_held, _written) = (one.lock(), many.write());
            panic!("while both are held");
        }));
        assert!(panicked.is_err() && one.is_poisoned() && many.is_poisoned());
        *one.take_lock() += 1;
        *many.take_write() += 1;
        assert_eq!((*one.take_lock(), *many.take_read()), (2, 3));
    }
}
