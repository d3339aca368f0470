//! Decides which of the rows just read may be emitted now.
//!
//! A row gets its id or its timestamp before its transaction commits. A reader that simply moves
//! past the highest id or timestamp loses every row that commits later with a lower one.
//!
//! Each mode has its [`Visibility`]. For ids it is `by_id`: [`gap_tracker`] remembers the missing
//! ids, which are asked for again until a [`barrier`] proves that no transaction is left that could
//! still commit them; where the database can read uncommitted rows, `uncommitted` finds those ids
//! at once. For timestamps it is `by_timestamp`: rows wait for the oldest of the
//! [`open_transactions`], which `late_starters` (transactions that an earlier look at the server
//! did not list) and `prepared` ones may move back; [`overtake`] emits rows ahead of a transaction that has been open
//! too long. Everything else is immediate. [`for_mode`] chooses.
//!
//! The reader that asks for pages (`read::cursor`) calls a mode once per page, never per row.

pub(super) mod barrier;
mod by_id;
pub(super) mod by_timestamp;
pub(super) mod for_mode;
pub(super) mod gap_tracker;
mod late_starters;
pub(super) mod open_transactions;
pub(super) mod overtake;
mod prepared;
mod read_pace;
#[cfg(test)]
pub(super) mod scripted_session;
mod uncommitted;

use std::fmt::Debug;

use async_trait::async_trait;
use connector_api::Result;

use self::overtake::EmitFilter;
use super::plan::gaps::IdGaps;
use super::plan::query::ReadPosition;
use super::plan::table::TablePlan;
use crate::driver::{ResultPage, Session};

/// What a mode needs to look at the database while a table is read.
pub(super) struct ReadContext<'a> {
    pub session: &'a mut dyn Session,
    pub plan: &'a TablePlan,
    /// Position of the read. A mode may move it back at the beginning of a cycle.
    pub from: &'a mut ReadPosition,
}

/// What a mode does with the rows of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// All of them may be emitted.
    All,
    /// The page was cut: the others are read at the next poll.
    UntilNextPoll,
    /// The page was cut: the others wait for a transaction that is still open.
    UntilCommit,
}

/// What is known about the ids of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageIds {
    /// True for rows whose ids were missing before; ids of other pages follow those of the page
    /// before.
    pub late: bool,
    /// No other row can appear up to this id.
    pub settled: i64,
    /// The usual distance between two ids.
    pub step: i64,
}

/// Rows that an earlier cycle could not see; without rows: a change of what is settled.
#[derive(Debug)]
pub(super) struct LateRows {
    pub page: ResultPage,
    pub ids: PageIds,
}

/// Decides which of the rows just read may be emitted now.
///
/// The reader calls these functions in the order in which they are declared: `begin_cycle` once per
/// cycle; in each turn `late_rows` until there are none, `admit` and then `filter` and `page_ids`
/// for each page, and `end_turn`.
#[async_trait]
pub(super) trait Visibility: Debug + Send {
    /// Starts a cycle. Returns the exclusive upper bound of its timestamps, for modes that have
    /// one.
    async fn begin_cycle(&mut self, _cx: &mut ReadContext<'_>) -> Result<Option<i64>> {
        Ok(None)
    }

    /// Returns the next rows that were invisible in an earlier cycle and have been committed since.
    /// `None`: there are no more for now.
    async fn late_rows(&mut self, _cx: &mut ReadContext<'_>) -> Result<Option<LateRows>> {
        Ok(None)
    }

    /// Cuts a page before the first row that must wait. The position is still before the page: it
    /// must not move past a row that waits, or the row would be lost.
    async fn admit(
        &mut self,
        _cx: &mut ReadContext<'_>,
        page: &mut ResultPage,
    ) -> Result<Admission> {
        Ok(self.admit_streamed(page))
    }

    /// Like [`Self::admit`], for a statement that is still sending rows: its connection cannot be
    /// asked for anything meanwhile.
    fn admit_streamed(&self, _page: &mut ResultPage) -> Admission {
        Admission::All
    }

    /// Decides how the rows of an admitted page are emitted, and remembers it.
    fn filter(&mut self, _page: &ResultPage) -> EmitFilter {
        EmitFilter::default()
    }

    /// Returns what is known about the ids of the page just admitted; `None` if ids are not
    /// tracked.
    fn page_ids(&self) -> Option<PageIds> {
        None
    }

    /// True if no row can appear any more with an id up to this one.
    fn is_settled(&self, _up_to: i64) -> bool {
        true
    }

    /// Ends a turn. `more`: there is more to read at once.
    fn end_turn(&mut self, _more: bool) {}

    /// Returns the missing ids below the current position that are still asked for.
    fn gaps(&self) -> IdGaps {
        IdGaps::default()
    }

    /// Returns warnings about rows that wait, or may be missed.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}
