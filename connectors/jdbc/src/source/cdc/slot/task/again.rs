//! Rows of the task's tables that are read again.
//!
//! The log is read on while the server makes a snapshot, since that waits for open transactions. So
//! the log is behind the snapshot's position when its rows are emitted: rows that were changed since
//! the snapshot was asked for have been emitted already, and are left out. While rows of the snapshot
//! are emitted, which is limited, the log is not read on.

#![expect(
    clippy::indexing_slicing,
    reason = "the index is of this task's tables"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Error, Result, SourcePosition, TaskRequest};
use tokio::task::JoinHandle;

use super::super::opening::{self, PendingTable};
use super::super::snapshot::{SlotSnapshot, SnapshotPage};
use super::super::stream::SlotProgress;
use super::{SlotPage, SlotTask};
use crate::catalog::TableMeta;
use crate::source::cdc::touched::TouchedKeys;

/// How long the log waits for the rows of one snapshot.
const EMIT_FOR: Duration = Duration::from_secs(2);

/// Rows of a table that are read again, from one snapshot.
pub(super) struct RereadAttempt {
    /// Index of the table.
    table: usize,
    /// The definition that the table had.
    meta: Arc<TableMeta>,
    /// The server makes the snapshot.
    asked: Option<Asked>,
    snapshot: Option<SlotSnapshot>,
    /// Rows are emitted, until then.
    until: Option<Instant>,
}

/// A snapshot that is made; `None`: the table does not exist any more.
type Asked = JoinHandle<Result<Option<SlotSnapshot>>>;

/// What has come of an attempt.
enum AttemptEvent {
    Made(Result<Option<SlotSnapshot>>),
    /// The log has been read up to its position.
    Reached,
    /// The log has waited long enough.
    Paused,
    Page(Result<Option<SnapshotPage>>),
}

impl RereadAttempt {
    /// Waits for what comes next; `None`: the log is to be read on. Cancel-safe.
    async fn next(&mut self, log: &SlotProgress) -> Option<AttemptEvent> {
        if let Some(asked) = &mut self.asked {
            if !asked.is_finished() {
                return None;
            }
            let made = asked.await;
            self.asked = None;
            let given_up = |_| Error::retry("making a snapshot was given up");
            return Some(AttemptEvent::Made(made.map_err(given_up).flatten()));
        }
        let snapshot = self.snapshot.as_mut()?;
        match self.until {
            None if !log.has_reached(snapshot.at) => None,
            None => Some(AttemptEvent::Reached),
            Some(until) if Instant::now() >= until => Some(AttemptEvent::Paused),
            Some(_) => Some(AttemptEvent::Page(snapshot.next().await)),
        }
    }
}

impl Drop for RereadAttempt {
    fn drop(&mut self) {
        if let Some(asked) = &self.asked {
            asked.abort();
        }
    }
}

impl SlotTask {
    /// Begins or ends what a user asks for.
    pub(super) async fn take_request(
        &mut self,
        request: &TaskRequest,
    ) -> Result<Vec<SourcePosition>> {
        let tables = self.tables.iter().map(|table| &table.captured);
        let (index, position) = self.rereads.request(request, tables, &self.config).await?;
        // what is open is of what was read again before
        self.page
            .take_if(|page| page.is_again && page.table == index);
        if self.again.as_ref().is_some_and(|open| open.table == index) {
            self.drop_attempt();
        }
        Ok(vec![position])
    }

    /// Goes on with rows that are read again. Returns true if something was done; false: the log is
    /// to be read on.
    pub(super) async fn reread_step(&mut self) -> Result<bool> {
        if self.snapshot.is_some() {
            return Ok(false);
        }
        let Some(attempt) = &mut self.again else {
            self.begin_attempt();
            return Ok(false);
        };
        let index = attempt.table;
        let Some(reader) = &self.reader else {
            return Ok(false);
        };
        let Some(event) = attempt.next(&reader.progress).await else {
            return Ok(false);
        };
        match event {
            AttemptEvent::Made(Ok(Some(snapshot))) => attempt.snapshot = Some(snapshot),
            AttemptEvent::Made(Ok(None)) => {
                self.rereads.gone(index);
                self.drop_attempt();
            }
            AttemptEvent::Made(Err(error)) | AttemptEvent::Page(Err(error)) => {
                self.rereads.failed(index, &error);
                self.drop_attempt();
            }
            AttemptEvent::Reached => self.begin_to_emit(),
            AttemptEvent::Page(Ok(Some(page))) => self.open_page(page)?,
            AttemptEvent::Paused | AttemptEvent::Page(Ok(None)) => self.drop_attempt(),
        }
        Ok(true)
    }

    /// Takes rows that are read again.
    fn open_page(&mut self, page: SnapshotPage) -> Result<()> {
        self.take_definition(&page)?;
        let table = &self.tables[page.table].captured;
        // its key may be another one now
        if self.rereads.from(page.table, &table.plan).is_none() {
            self.drop_attempt();
            return Ok(());
        }
        self.page = Some(SlotPage {
            table: page.table,
            is_last: page.is_last,
            is_paged: page.is_paged,
            is_again: true,
            rows: page.rows.into_iter(),
        });
        Ok(())
    }

    /// Asks for a snapshot of the table whose turn it is.
    fn begin_attempt(&mut self) {
        let front = |index: usize| Some(&self.tables.get(index)?.captured.front);
        let Some(index) = self.rereads.next(front) else {
            return;
        };
        let table = &mut self.tables[index].captured;
        let Some(from) = self.rereads.from(index, &table.plan) else {
            return;
        };
        table.touched = Some(TouchedKeys::default());
        let id = table.meta.id.clone();
        let pending = PendingTable { index, id, from };
        let asked = opening::open_again(Arc::clone(&self.config), pending);
        self.again = Some(RereadAttempt {
            table: index,
            meta: Arc::clone(&table.meta),
            asked: Some(tokio::spawn(asked)),
            snapshot: None,
            until: None,
        });
    }

    /// The log has been read up to the snapshot's position: its rows may be emitted, unless the table
    /// was altered or emptied meanwhile.
    fn begin_to_emit(&mut self) {
        let Some(attempt) = &mut self.again else {
            return;
        };
        let table = &self.tables[attempt.table].captured;
        let is_known = table.touched.as_ref().is_some_and(|keys| !keys.is_all());
        if is_known && Arc::ptr_eq(&table.meta, &attempt.meta) {
            attempt.until = Some(Instant::now() + EMIT_FOR);
        } else {
            self.drop_attempt();
        }
    }

    /// Forgets the snapshot; the place that was reached stays.
    pub(super) fn drop_attempt(&mut self) {
        if let Some(attempt) = self.again.take() {
            self.tables[attempt.table].captured.touched = None;
        }
    }

    /// Emits rows that are read again, as many as a batch holds.
    pub(super) fn emit_again(&mut self) {
        let Some(page) = &mut self.page else {
            return;
        };
        let table = &mut self.tables[page.table].captured;
        let room = self.config.batch_rows.saturating_sub(self.out.len());
        let mut rows: Vec<_> = page.rows.by_ref().take(room).collect();
        let ends = page.rows.len() == 0;
        let last = rows.last().cloned();
        if let Some(touched) = &table.touched {
            rows.retain(|row| !touched.has(row, &table.plan.order));
        }
        let emitted = (last.as_deref(), rows.len());
        self.rereads
            .advance(page.table, emitted, &table.plan, ends && page.is_last);
        for row in rows {
            table.put(row, &mut self.out);
        }
        if ends {
            self.page = None;
        }
    }
}
