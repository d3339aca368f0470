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
use super::read::page::{PageSender, ReadOutcome, ReaderOutput};
use super::tables::connection;
use crate::driver::Session;

/// Maximum number of concurrent turns; each has a connection and at most two pages in memory.
const MOST: usize = 3;
/// A turn that has lasted this long is slow: another one may begin beside it.
const SLOW: Duration = Duration::from_secs(2);

/// A turn that has ended, with everything it owned.
pub struct FinishedRead {
    pub table: usize,
    pub reader: TableReader,
    /// Set if the turn was a sweep for deleted rows.
    pub sweep: Option<Box<KeySweep>>,
    pub outcome: Result<ReadOutcome>,
    /// True if the turn had a connection.
    pub begun: bool,
    /// True if the connection is still usable.
    pub connected: bool,
    session: Option<Box<dyn Session>>,
}

/// What [`TableScheduler::news`] returns.
pub enum SchedulerEvent {
    /// Rows read from the table of that index, or keys deleted from it.
    Sent(usize, ReaderOutput),
    /// A turn has ended; everything it sent has been returned before.
    Over(Box<FinishedRead>),
}

/// The running turns, and a spare connection for the next one.
pub struct TableScheduler {
    config: Arc<SourceConfig>,
    spare: Option<Box<dyn Session>>,
    running: JoinSet<FinishedRead>,
    began: Instant,
    /// Shared by all turns: whatever their number, one page waits in the channel and each turn
    /// holds one.
    sender: mpsc::Sender<(usize, ReaderOutput)>,
    chunks: mpsc::Receiver<(usize, ReaderOutput)>,
    over: Vec<FinishedRead>,
}

impl TableScheduler {
    /// Creates a scheduler without turns; the first turn uses `session`.
    pub fn new(config: Arc<SourceConfig>, session: Box<dyn Session>) -> Self {
        let (sender, chunks) = mpsc::channel(1);
        let running = JoinSet::new();
        Self {
            config,
            spare: Some(session),
            running,
            began: Instant::now(),
            sender,
            chunks,
            over: Vec::new(),
        }
    }

    /// True if no turn is running or waiting to be returned.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.over.is_empty()
    }

    /// Returns how long no other turn may begin; `None`: not before a running one ends.
    pub fn closed_for(&self) -> Option<Duration> {
        match self.running.len() {
            0 => Some(Duration::ZERO),
            MOST.. => None,
            _ => Some(SLOW.saturating_sub(self.began.elapsed())),
        }
    }

    /// Begins a turn of a table: a sweep for deleted rows if `sweep` is given, otherwise a read.
    pub fn begin(
        &mut self,
        table: usize,
        mut reader: TableReader,
        mut sweep: Option<Box<KeySweep>>,
    ) {
        let mut session = self.spare.take();
        let (config, sender) = (Arc::clone(&self.config), self.sender.clone());
        self.began = Instant::now();
        self.running.spawn(Heartbeat::current().within(async move {
            let mut outcome = Ok(ReadOutcome::More);
            if session.is_none() {
                match reading_session(&config).await {
                    Ok(fresh) => session = Some(fresh),
                    Err(error) => outcome = Err(error),
                }
            }
            if let Some(session) = &mut session {
                let sender = &sender;
                let pages = PageSender { table, sender };
                outcome = match &mut sweep {
                    Some(sweep) => {
                        look_for_deleted(sweep, &mut reader, &mut **session, &pages).await
                    }
                    None => reader.turn(&mut **session, &pages).await,
                };
            }
            let begun = session.is_some();
            let session = session.filter(|session| !session.is_lost());
            FinishedRead {
                table,
                reader,
                sweep,
                outcome,
                begun,
                connected: session.is_some(),
                session,
            }
        }));
    }

    /// Waits for the next event. Cancel safe. Must not be called while no turn is running.
    /// Errors: `Fatal` when a turn panicked or was aborted.
    pub async fn news(&mut self) -> Result<SchedulerEvent> {
        loop {
            // Everything that a turn sent must be returned before its end: the end moves the
            // table's schedule, and deleted keys must follow the rows read before them.
            if let Ok((table, sent)) = self.chunks.try_recv() {
                return Ok(SchedulerEvent::Sent(table, sent));
            }
            if let Some(mut turn) = self.over.pop() {
                let session = turn.session.take();
                match (&self.spare, session) {
                    (None, session) => self.spare = session,
                    (Some(_), Some(session)) => drop(tokio::spawn(session.close())),
                    (Some(_), None) => {}
                }
                return Ok(SchedulerEvent::Over(Box::new(turn)));
            }
            tokio::select! {
                // Pages before the end of the turn that sent them.
                biased;
                Some((table, sent)) = self.chunks.recv() => return Ok(SchedulerEvent::Sent(table, sent)),
                Some(done) = self.running.join_next() => {
                    let broke = |error| Error::fatal("a read of a table was interrupted").caused_by(error);
                    self.over.push(done.map_err(broke)?);
                }
            }
        }
    }

    /// Aborts all turns and closes the spare connection.
    pub async fn close(mut self) {
        self.running.shutdown().await;
        if let Some(session) = self.spare.take() {
            session.close().await;
        }
    }
}

/// Runs a turn of the sweep. A table that has not been opened yet is only opened.
async fn look_for_deleted(
    sweep: &mut KeySweep,
    reader: &mut TableReader,
    session: &mut dyn Session,
    pages: &PageSender<'_>,
) -> Result<ReadOutcome> {
    if !reader.is_standing() {
        return reader.turn(session, pages).await;
    }
    let plan = reader.look_up(session).await?;
    match &plan.keys {
        Some(keys) => sweep.turn(session, keys, pages).await,
        None => Ok(ReadOutcome::CaughtUp),
    }
}

/// Opens a connection and sets it up for reading.
pub async fn reading_session(config: &SourceConfig) -> Result<Box<dyn Session>> {
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
