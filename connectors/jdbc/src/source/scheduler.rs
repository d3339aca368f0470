//! Schedules the turns of a task's tables: which one reads when, and on which connection.
//!
//! Tables read one at a time as long as their turns are short. Beside a slow one (a long statement,
//! or a table without a key that is read in one go) others get their turns on a second and third
//! connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Error, Heartbeat, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::config::SourceConfig;
use super::deletes::sweep::KeySweep;
use super::read::cursor::TableReader;
use super::read::page::{PageSender, ReadOutcome, ReaderOutput, TurnEnd};
use super::tables::connection;
use crate::driver::Session;

/// Maximum number of concurrent turns; each has a connection and at most two pages in memory.
const MAX_TURNS: usize = 3;
/// A turn that has lasted this long is slow: another one may begin beside it.
const SLOW: Duration = Duration::from_secs(2);

/// What a turn does with a table. The turn owns what it works with until it ends.
pub(super) enum TurnJob {
    /// Reads rows.
    Read(TableReader),
    /// Looks for deleted rows.
    Sweep(TableReader, Box<KeySweep>),
    /// Reads rows again.
    Reread(Box<TableReader>),
}

/// What a turn found, or left, of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnConnection {
    /// None could be opened: nothing was read.
    Missing,
    /// It was lost during the turn.
    Lost,
    Usable,
}

/// A turn that has ended, with everything it owned.
pub(super) struct FinishedTurn {
    pub table: usize,
    pub job: TurnJob,
    pub end: TurnEnd,
    pub connection: TurnConnection,
    session: Option<Box<dyn Session>>,
}

/// What [`TableScheduler::next_event`] returns.
pub(super) enum SchedulerEvent {
    /// Rows read from the table of that index, or keys deleted from it.
    Output(usize, ReaderOutput),
    /// A turn has ended; everything it sent has been returned before.
    TurnEnded(Box<FinishedTurn>),
}

/// The running turns, and a spare connection for the next one.
pub(super) struct TableScheduler {
    config: Arc<SourceConfig>,
    spare: Option<Box<dyn Session>>,
    running: JoinSet<FinishedTurn>,
    began: Instant,
    /// Shared by all turns: whatever their number, one page waits in the channel and each turn
    /// holds one.
    sender: mpsc::Sender<(usize, ReaderOutput)>,
    output: mpsc::Receiver<(usize, ReaderOutput)>,
    /// Turns that have ended, whose output has not all been returned yet.
    ended: Vec<FinishedTurn>,
}

impl TableScheduler {
    /// Creates a scheduler without turns; the first turn uses `session`.
    pub(super) fn new(config: Arc<SourceConfig>, session: Box<dyn Session>) -> Self {
        let (sender, output) = mpsc::channel(1);
        let running = JoinSet::new();
        Self {
            config,
            spare: Some(session),
            running,
            began: Instant::now(),
            sender,
            output,
            ended: Vec::new(),
        }
    }

    /// True if no turn is running or waiting to be returned.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.ended.is_empty()
    }

    /// Returns how long no other turn may begin; `None`: not before a running one ends.
    pub(super) fn closed_for(&self) -> Option<Duration> {
        match self.running.len() {
            0 => Some(Duration::ZERO),
            MAX_TURNS.. => None,
            _ => Some(SLOW.saturating_sub(self.began.elapsed())),
        }
    }

    /// Begins a turn of a table.
    pub(super) fn begin(&mut self, table: usize, job: TurnJob) {
        let spare = self.spare.take();
        let config = Arc::clone(&self.config);
        let sender = self.sender.clone();
        self.began = Instant::now();
        self.running.spawn(Heartbeat::current().within(async move {
            let pages = PageSender {
                table,
                sender: &sender,
            };
            run_turn(job, spare, &config, &pages).await
        }));
    }

    /// Waits for the next event. Cancel safe. Must not be called while no turn is running.
    /// Errors: `Fatal` when a turn panicked or was aborted.
    pub(super) async fn next_event(&mut self) -> Result<SchedulerEvent> {
        loop {
            // Everything that a turn sent must be returned before its end: the end moves the
            // table's schedule, and deleted keys must follow the rows read before them.
            if let Ok((table, output)) = self.output.try_recv() {
                return Ok(SchedulerEvent::Output(table, output));
            }
            if let Some(mut turn) = self.ended.pop() {
                let session = turn.session.take();
                match (&self.spare, session) {
                    (None, session) => self.spare = session,
                    (Some(_), Some(session)) => drop(tokio::spawn(session.close())),
                    (Some(_), None) => {}
                }
                return Ok(SchedulerEvent::TurnEnded(Box::new(turn)));
            }
            tokio::select! {
                // Pages before the end of the turn that sent them.
                biased;
                Some((table, output)) = self.output.recv() => return Ok(SchedulerEvent::Output(table, output)),
                Some(ended) = self.running.join_next() => {
                    let aborted = |error| Error::fatal("a read of a table was interrupted").caused_by(error);
                    self.ended.push(ended.map_err(aborted)?);
                }
            }
        }
    }

    /// Aborts all turns and closes the spare connection.
    pub(super) async fn close(mut self) {
        self.running.shutdown().await;
        if let Some(session) = self.spare.take() {
            session.close().await;
        }
    }
}

/// Runs a turn, on the spare connection or a new one.
async fn run_turn(
    mut job: TurnJob,
    spare: Option<Box<dyn Session>>,
    config: &SourceConfig,
    pages: &PageSender<'_>,
) -> FinishedTurn {
    let table = pages.table;
    let opened = match spare {
        Some(session) => Ok(session),
        None => reading_session(config).await,
    };
    let mut session = match opened {
        Ok(session) => session,
        Err(error) => {
            return FinishedTurn {
                table,
                job,
                end: TurnEnd::without_progress(Err(error)),
                connection: TurnConnection::Missing,
                session: None,
            };
        }
    };
    let end = match &mut job {
        TurnJob::Read(reader) => reader.turn(&mut *session, pages).await,
        TurnJob::Reread(reader) => reader.turn(&mut *session, pages).await,
        TurnJob::Sweep(reader, sweep) => {
            look_for_deleted(sweep, reader, &mut *session, pages).await
        }
    };
    let (connection, session) = if session.is_lost() {
        (TurnConnection::Lost, None)
    } else {
        (TurnConnection::Usable, Some(session))
    };
    FinishedTurn {
        table,
        job,
        end,
        connection,
        session,
    }
}

/// Runs a turn of the sweep. A table that has not been opened yet is only opened.
async fn look_for_deleted(
    sweep: &mut KeySweep,
    reader: &mut TableReader,
    session: &mut dyn Session,
    pages: &PageSender<'_>,
) -> TurnEnd {
    if !reader.is_open() {
        return reader.turn(session, pages).await;
    }
    let plan = match reader.look_up(session).await {
        Ok(plan) => plan,
        Err(error) => return TurnEnd::without_progress(Err(error)),
    };
    match &plan.keys {
        Some(keys) => sweep.turn(session, keys, pages).await,
        None => TurnEnd::without_progress(Ok(ReadOutcome::CaughtUp)),
    }
}

/// Opens a connection and sets it up for reading.
pub(super) async fn reading_session(config: &SourceConfig) -> Result<Box<dyn Session>> {
    let mut session = connection::open(config, config.connect).await?;
    for statement in session.dialect().capabilities().reading_setup {
        session.run(statement).await?;
    }
    let isolation = session.dialect().capabilities().isolation;
    if let Some(statement) = config
        .isolation
        .as_deref()
        .and_then(|level| Some(isolation?.replace("{level}", level)))
    {
        session.run(&statement).await?;
    }
    Ok(session)
}
