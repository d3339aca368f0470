//! Which change of the store is the last one, as far as this worker knows: so a change that another worker has made shows,
//! and whether a commit whose outcome was not heard has happened. Pure.

/// The last change. Its id is random and stands in the table `last_change`.
#[derive(Debug, Default)]
pub(super) struct LastChange {
    /// `None` before the first look.
    known: Option<String>,
    /// The change whose commit was asked for and not answered.
    doubtful: Option<String>,
    /// Whether that one was kept, until somebody asks.
    settled: Option<bool>,
}

/// The store holds a change that is not this worker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ForeignChange;

impl LastChange {
    /// The id that a transaction must find.
    pub(super) fn known(&self) -> &str {
        self.known.as_deref().unwrap_or_default()
    }

    /// Another change begins; nobody asks for the outcome of an earlier one any more.
    pub(super) fn begin(&mut self) {
        self.settled = None;
    }

    /// The commit of this change is about to be asked for.
    pub(super) fn committing(&mut self, id: String) {
        self.doubtful = Some(id);
    }

    /// It was answered with success.
    pub(super) fn committed(&mut self) {
        self.known = self.doubtful.take().or_else(|| self.known.take());
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubtful.is_some()
    }

    /// Whether this is the change in doubt.
    pub(super) fn is_doubtful(&self, id: &str) -> bool {
        self.doubtful.as_deref() == Some(id)
    }

    /// Whether an id that the store holds can be this worker's.
    pub(super) fn is_ours(&self, id: &str) -> bool {
        self.known.as_deref() == Some(id) || self.is_doubtful(id)
    }

    /// Takes account of the id that the store holds, once nothing of this worker's can be under way in it any more.
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

    /// Whether the change that was in doubt was kept; told once.
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
