//! Rows that were there before, of all tables that are not read yet, or rows of a table that is read
//! again: in one transaction whose position in the log is known.

use std::sync::Arc;

use connector_api::{Error, Result, Value};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::catalog::TableMeta;
use crate::driver::{ResultPage, RowLayout, Session};
use crate::source::plan::query::{ReadPosition, statement};
use crate::source::plan::table::TablePlan;

/// Rows of a page at most.
const PAGE_ROWS: u64 = 10_000;

/// Bytes of a page at most, but for its last row.
const PAGE_BYTES: usize = 8 << 20;

/// What is to be read of a table.
pub(super) struct SlotTableRequest {
    /// Index of the table.
    pub table: usize,
    pub meta: Arc<TableMeta>,
    pub plan: TablePlan,
    /// Where its rows begin and end.
    pub from: ReadPosition,
}

/// Rows of a table.
pub(super) struct SnapshotPage {
    pub table: usize,
    /// The definition that they were read with.
    pub meta: Arc<TableMeta>,
    pub rows: Vec<Box<[Value]>>,
    /// No rows of the table follow.
    pub is_last: bool,
    /// The key of the last row is a front.
    pub is_paged: bool,
}

/// A snapshot that is being read, by a task of its own: reading cannot be given up half way.
pub(super) struct SlotSnapshot {
    /// It sees exactly the transactions whose commits are before this position.
    pub at: u64,
    pages: mpsc::Receiver<SnapshotPage>,
    reading: JoinHandle<Result<()>>,
}

impl SlotSnapshot {
    /// Begins to read, in the transaction that is open.
    pub(super) fn begin(
        at: u64,
        requests: Vec<SlotTableRequest>,
        session: Box<dyn Session>,
    ) -> Self {
        let (sender, pages) = mpsc::channel(1);
        Self {
            at,
            pages,
            reading: tokio::spawn(read(requests, session, sender)),
        }
    }

    /// Waits for the next rows; `None` when all are returned. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<SnapshotPage>> {
        if let Some(page) = self.pages.recv().await {
            return Ok(Some(page));
        }
        match (&mut self.reading).await {
            Ok(outcome) => outcome.map(|()| None),
            Err(_) => Err(Error::retry("reading a snapshot was given up")),
        }
    }
}

impl Drop for SlotSnapshot {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn read(
    requests: Vec<SlotTableRequest>,
    mut session: Box<dyn Session>,
    pages: mpsc::Sender<SnapshotPage>,
) -> Result<()> {
    for request in requests {
        if request.plan.shape.paged {
            read_paged(request, &mut *session, &pages).await?;
        } else {
            read_whole(&request, &mut *session, &pages).await?;
        }
    }
    session.run("ROLLBACK").await?;
    session.close().await;
    Ok(())
}

fn gone() -> Error {
    Error::retry("nobody waits for the snapshot")
}

/// Reads a table page by page, in the order of its key.
async fn read_paged(
    request: SlotTableRequest,
    session: &mut dyn Session,
    pages: &mpsc::Sender<SnapshotPage>,
) -> Result<()> {
    let mut from = request.from;
    loop {
        let statement = statement(&request.plan.shape, &from, PAGE_ROWS, session.dialect());
        let layout: &RowLayout = &request.plan.layout;
        let ResultPage { rows, cut, .. } = session
            .read(&statement.sql, &statement.params, layout, PAGE_BYTES)
            .await?;
        let is_last = !cut && u64::try_from(rows.len()).is_ok_and(|rows| rows < PAGE_ROWS);
        from.key = rows.last().map(|row| {
            let key = request.plan.order.iter().filter_map(|i| row.get(*i));
            key.cloned().collect()
        });
        let page = SnapshotPage {
            table: request.table,
            meta: Arc::clone(&request.meta),
            rows,
            is_last,
            is_paged: true,
        };
        pages.send(page).await.map_err(|_| gone())?;
        if is_last {
            return Ok(());
        }
    }
}

/// Reads a table without a key.
async fn read_whole(
    request: &SlotTableRequest,
    session: &mut dyn Session,
    pages: &mpsc::Sender<SnapshotPage>,
) -> Result<()> {
    let from = ReadPosition::default();
    let statement = statement(&request.plan.shape, &from, PAGE_ROWS, session.dialect());
    let (sender, mut read) = mpsc::channel::<ResultPage>(1);
    let page = |rows, is_last| SnapshotPage {
        table: request.table,
        meta: Arc::clone(&request.meta),
        rows,
        is_last,
        is_paged: false,
    };
    let streaming = async move {
        let layout = &request.plan.layout;
        let outcome = session.stream(
            &statement.sql,
            &statement.params,
            layout,
            PAGE_BYTES,
            &sender,
        );
        outcome.await
    };
    let forwarding = async {
        while let Some(part) = read.recv().await {
            if pages.send(page(part.rows, false)).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(streaming, forwarding).0?;
    pages.send(page(Vec::new(), true)).await.map_err(|_| gone())
}
