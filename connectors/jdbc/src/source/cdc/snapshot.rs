//! Rows that were there before, or are read again: one page of a table, or a table without a key as a
//! whole, from a snapshot whose position in the log is known.

use connector_api::{Error, Result};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::position::LogPosition;
use super::server;
use super::table::CapturedTable;
use crate::driver::{ResultPage, RowLayout, Session};
use crate::source::plan::query::{ReadPosition, SqlStatement, statement};

/// Rows of a page at most.
const PAGE_ROWS: u64 = 10_000;

/// Bytes of a page at most, but for its last row.
const PAGE_BYTES: usize = 8 << 20;

/// What reading a snapshot reports.
enum SnapshotPart {
    /// The snapshot's position: the first report.
    At(LogPosition),
    /// Rows, and whether more of the table may follow behind the last of them.
    Rows(ResultPage),
}

/// What is to be read of a table.
pub(super) struct SnapshotRequest {
    statement: SqlStatement,
    layout: RowLayout,
    is_paged: bool,
}

/// A snapshot that is being read, by a task of its own: reading cannot be given up half way.
pub(super) struct RunningSnapshot {
    /// Index of the table.
    pub table: usize,
    pub is_paged: bool,
    /// Its rows are read again; otherwise it is the first read.
    pub is_again: bool,
    /// How far the log had been read before.
    pub begun_at: LogPosition,
    /// The position, once it is known.
    pub at: Option<LogPosition>,
    parts: mpsc::Receiver<SnapshotPart>,
    reading: JoinHandle<(Box<dyn Session>, Result<()>)>,
}

/// What comes next of a snapshot.
pub(super) enum SnapshotNext {
    Rows(ResultPage),
    /// All rows were returned; the connection is free again.
    End(Box<dyn Session>),
}

impl SnapshotRequest {
    /// The next rows of a table.
    pub(super) fn of(table: &CapturedTable, from: &ReadPosition, session: &dyn Session) -> Self {
        Self {
            statement: statement(&table.plan.shape, from, PAGE_ROWS, session.dialect()),
            layout: table.plan.layout.clone(),
            is_paged: table.plan.shape.paged,
        }
    }
}

impl RunningSnapshot {
    /// Begins to read.
    pub(super) fn begin(
        (table, is_again): (usize, bool),
        begun_at: LogPosition,
        request: SnapshotRequest,
        session: Box<dyn Session>,
    ) -> Self {
        let (sender, parts) = mpsc::channel(1);
        Self {
            table,
            is_paged: request.is_paged,
            is_again,
            begun_at,
            at: None,
            parts,
            reading: tokio::spawn(read(request, session, sender)),
        }
    }

    /// Waits for the snapshot's position. Cancel-safe.
    pub(super) async fn position(&mut self) -> Result<LogPosition> {
        if let Some(at) = &self.at {
            return Ok(at.clone());
        }
        match self.parts.recv().await {
            Some(SnapshotPart::At(at)) => {
                self.at = Some(at.clone());
                Ok(at)
            }
            Some(SnapshotPart::Rows(_)) | None => {
                Err(self.outcome().await.err().unwrap_or_else(|| {
                    Error::retry("a snapshot ended before its position was known")
                }))
            }
        }
    }

    /// Waits for the next rows. Cancel-safe, except that the connection is returned once.
    pub(super) async fn next(&mut self) -> Result<SnapshotNext> {
        loop {
            match self.parts.recv().await {
                Some(SnapshotPart::Rows(page)) => return Ok(SnapshotNext::Rows(page)),
                Some(SnapshotPart::At(at)) => self.at = Some(at),
                None => return self.outcome().await.map(SnapshotNext::End),
            }
        }
    }

    async fn outcome(&mut self) -> Result<Box<dyn Session>> {
        match (&mut self.reading).await {
            Ok((session, Ok(()))) => Ok(session),
            Ok((_, Err(error))) => Err(error),
            Err(_) => Err(Error::retry("reading a snapshot was given up")),
        }
    }
}

impl Drop for RunningSnapshot {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Reads the rows in one transaction.
async fn read(
    request: SnapshotRequest,
    mut session: Box<dyn Session>,
    parts: mpsc::Sender<SnapshotPart>,
) -> (Box<dyn Session>, Result<()>) {
    let mut outcome = read_rows(&request, &mut *session, &parts).await;
    drop(parts);
    if !session.is_lost() {
        let ended = session.run("ROLLBACK").await.map(drop);
        outcome = outcome.and(ended);
    }
    (session, outcome)
}

async fn read_rows(
    request: &SnapshotRequest,
    session: &mut dyn Session,
    parts: &mpsc::Sender<SnapshotPart>,
) -> Result<()> {
    let at = server::begin_snapshot(session).await?;
    let gone = || Error::retry("nobody waits for the snapshot");
    parts.send(SnapshotPart::At(at)).await.map_err(|_| gone())?;
    let SqlStatement { sql, params } = &request.statement;
    if request.is_paged {
        let page = session
            .read(sql, params, &request.layout, PAGE_BYTES)
            .await?;
        let part = SnapshotPart::Rows(page);
        return parts.send(part).await.map_err(|_| gone());
    }
    let (pages, mut read) = mpsc::channel(1);
    let streaming = async move {
        let outcome = session.stream(sql, params, &request.layout, PAGE_BYTES, &pages);
        outcome.await
    };
    let forwarding = async move {
        while let Some(page) = read.recv().await {
            if parts.send(SnapshotPart::Rows(page)).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(streaming, forwarding).0
}

/// True if a page was the last of its table.
pub(super) fn is_last(page: &ResultPage) -> bool {
    !page.cut && u64::try_from(page.rows.len()).is_ok_and(|rows| rows < PAGE_ROWS)
}
