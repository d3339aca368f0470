//! Tracks the last change of the store as this worker knows it. This reveals a change by another
//! worker, and whether a commit in doubt has happened. Pure.

/// The last change. Its id is random and is stored in the table `last_change`.
#[derive(Debug, Default)]
pub(super) struct LastChange {
    /// Id of the last known change; `None` before the first read.
    known: Option<String>,
    /// Id of the change whose commit was sent and not answered.
    doubtful: Option<String>,
    /// Whether the change in doubt was kept, until it is reported.
    settled: Option<bool>,
}

/// The store holds a change that this worker did not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ForeignChange;

impl LastChange {
    /// Returns the id that a transaction must find.
    pub(super) fn known(&self) -> &str {
        self.known.as_deref().unwrap_or_default()
    }

    /// Begins another change; the outcome of an earlier one is not reported any more.
    pub(super) fn begin(&mut self) {
        self.settled = None;
    }

    /// Notes that the commit of this change is about to be sent.
    pub(super) fn committing(&mut self, id: String) {
        self.doubtful = Some(id);
    }

    /// Notes that the commit succeeded.
    pub(super) fn committed(&mut self) {
        self.known = self.doubtful.take().or_else(|| self.known.take());
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubtful.is_some()
    }

    /// True if this is the change in doubt.
    pub(super) fn is_doubtful(&self, id: &str) -> bool {
        self.doubtful.as_deref() == Some(id)
    }

    /// True if the id can be of a change that this worker made.
    pub(super) fn is_ours(&self, id: &str) -> bool {
        self.known.as_deref() == Some(id) || self.is_doubtful(id)
    }

    /// Settles a change in doubt by the id that the store holds. Call this only when nothing of
    /// this worker can be in progress there any more.
    pub(super) fn read(&mut self, id: &str) -> Result<(), ForeignChange> {
        if self.known.is_none() {
            self.known = Some(id.to_owned());
        }
        if !self.is_ours(id) {
            return Err(ForeignChange);
        }
        if let Some(doubtful) = self.doubtful.take() {
            self.settled = Some(doubtful == id);
            self.known = Some(id.to_owned());
        }
        Ok(())
    }

    /// Returns whether the change in doubt was kept; reports it once.
    pub(super) fn settled(&mut self) -> Option<bool> {
        self.settled.take()
    }
}

#[cfg(test)]
mod tests {
    use super::{ForeignChange, LastChange};

    fn after(id: &str) -> LastChange {
        let mut ledger = LastChange::default();
        ledger.read("first").unwrap();
        ledger.committing(id.to_owned());
        ledger
    }

    #[test]
    fn a_commit_in_doubt_is_settled_by_what_the_store_holds() {
        for (held, kept) in [("second", true), ("first", false)] {
            let mut ledger = after("second");
            assert!(ledger.is_in_doubt());
            ledger.read(held).unwrap();
            assert_eq!([ledger.settled(), ledger.settled()], [Some(kept), None]);
            assert_eq!(ledger.known(), held);
        }
    }

    #[test]
    fn another_workers_change_shows() {
        let mut ledger = after("second");
        assert_eq!(ledger.read("else"), Err(ForeignChange));
        ledger.committed();
        assert_eq!(ledger.known(), "second");
        assert_eq!(ledger.read("first"), Err(ForeignChange));
    }
}
