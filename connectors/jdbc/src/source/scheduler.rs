//! The turns of a task's tables: who reads when, and on which connection.
//!
//! One table at a time as long as that goes quickly; beside one that is slow (a long statement, a table without a key
//! that is read as one) others have their turn on a second and third connection.

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

/// Most turns at the same time; each has a connection and at most two pages in memory.
const MOST: usize = 3;
/// A turn that has lasted this long is slow.
const SLOW: Duration = Duration::from_secs(2);

/// A turn that is over.
pub struct FinishedRead {
    /// The table's number.
    pub table: usize,
    /// Its reader.
    pub reader: TableReader,
    /// The sweep, where the turn was one of looking for deleted rows.
    pub sweep: Option<Box<KeySweep>>,
    /// How it went.
    pub outcome: Result<ReadOutcome>,
    /// Whether there was a connection.
    pub begun: bool,
    /// Whether it still works.
    pub connected: bool,
    session: Option<Box<dyn Session>>,
}

/// What turns bring.
pub enum SchedulerEvent {
    /// Rows of that table, or rows that it has not any more.
    Sent(usize, ReaderOutput),
    /// A turn is over; its rows came before.
    Over(Box<FinishedRead>),
}

/// The turns that run, and the connections for the next ones.
pub struct TableScheduler {
    config: Arc<SourceConfig>,
    spare: Option<Box<dyn Session>>,
    running: JoinSet<FinishedRead>,
    began: Instant,
    /// One for all: whatever the number of turns, one page waits here and each of them holds one.
    sender: mpsc::Sender<(usize, ReaderOutput)>,
    chunks: mpsc::Receiver<(usize, ReaderOutput)>,
    over: Vec<FinishedRead>,
}

impl TableScheduler {
    /// None yet; the first one will use that connection.
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

    /// Whether none runs.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.over.is_empty()
    }

    /// How long no other turn may begin; `None`: before one is over.
    pub fn closed_for(&self) -> Option<Duration> {
        match self.running.len() {
            0 => Some(Duration::ZERO),
            MOST.. => None,
            _ => Some(SLOW.saturating_sub(self.began.elapsed())),
        }
    }

    /// Begins the turn of a table: of looking for deleted rows where there is a `sweep`, else of reading.
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

    /// Waits for the next thing. Cancel safe. Must not be called while none runs.
    /// Errors: `Fatal` when a turn broke off.
    pub async fn news(&mut self) -> Result<SchedulerEvent> {
        loop {
            // what a turn has sent comes before its end
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
                biased;
                Some((table, sent)) = self.chunks.recv() => return Ok(SchedulerEvent::Sent(table, sent)),
                Some(done) = self.running.join_next() => {
                    let broke = |error| Error::fatal("the reading of a table broke off").caused_by(error);
                    self.over.push(done.map_err(broke)?);
                }
            }
        }
    }

    /// Ends them all.
    pub async fn close(mut self) {
        self.running.shutdown().await;
        if let Some(session) = self.spare.take() {
            session.close().await;
        }
    }
}

/// A turn of looking for deleted rows. A table that was not opened yet is opened, no more.
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

/// A connection set up for reading.
pub async fn reading_session(config: &SourceConfig) -> Result<Box<dyn Session>> {
    let mut session = connection::open(config, config.connect).await?;
    for statement in session.dialect().reading_setup() {
        session.run(statement).await?;
    }
    if let Some(statement) = config
        .isolation
        .as_deref()
        .and_then(|level| session.dialect().isolation(level))
    {
        session.run(&statement).await?;
    }
    Ok(session)
}
