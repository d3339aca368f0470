//! One running task: its tables take turns on one connection, their rows become batches of records.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use connector_api::{Batch, Error, Kind, Positions, Progress, Result, SourceTask};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::batch::{Buffered, Done};
use super::config::SourceConfig;
use super::position::{self, Reached};
use super::reader::{Chunk, Outcome, TableReader};
use crate::driver::{Session, connect};
use crate::ident::TableId;

/// How soon rows that wait for an open transaction are looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A table, or the query, and what has been handed out of it.
struct Table {
    id: Option<TableId>,
    topic: Arc<str>,
    /// With the turn while one runs.
    reader: Option<TableReader>,
    done: Done,
    due: Instant,
    rows: u64,
    rows_estimated: Option<u64>,
    failures: u64,
    warning: Option<String>,
    /// Values that their columns' types could not hold.
    beyond: BTreeSet<String>,
}

/// What a turn gives back when it is over.
struct Turn {
    session: Option<Box<dyn Session>>,
    reader: TableReader,
    outcome: Result<Outcome>,
}

/// A turn that runs on its own, at most two pages ahead.
struct Running {
    table: usize,
    chunks: mpsc::Receiver<Chunk>,
    turn: JoinHandle<Turn>,
}

/// See the module.
pub struct JdbcSourceTask {
    config: Arc<SourceConfig>,
    session: Option<Box<dyn Session>>,
    tables: Vec<Table>,
    running: Option<Running>,
    /// Rows that came and are not handed out yet, and whose they are.
    buffer: Option<(usize, Buffered)>,
    warnings: Vec<String>,
}

impl JdbcSourceTask {
    /// Connects, looks all tables up and stands where the stored offsets say.
    /// Errors: `Config` when there is nothing to read or a table does not fit the mode.
    pub async fn open(config: SourceConfig, stored: &dyn Positions) -> Result<Self> {
        let config = Arc::new(config);
        let ids: Vec<_> = match &config.query {
            Some(_) => vec![None],
            None => config.tables.iter().cloned().map(Some).collect(),
        };
        if ids.is_empty() {
            return Err(Error::config(
                "Task is being killed because it was not assigned a table nor a query to execute. If run in table mode \
                 please make sure that the tables exist on the database. If the table does exist on the database, we \
                 recommend using the fully qualified table name.",
            ));
        }
        let mut session = reading_session(&config).await?;
        let mut tables = Vec::with_capacity(ids.len());
        let mut warnings = Vec::new();
        for id in ids {
            let reached = stored_place(&config, id.as_ref(), stored).await?;
            let topic = config.topic_prefix.clone() + id.as_ref().map_or("", |id| id.table.as_str());
            let mut reader = TableReader::new(id.clone(), Arc::clone(&config));
            let plan = reader.look_up(&mut *session).await?;
            reader.stand_at(reached.as_ref(), &mut *session).await?;
            warnings.extend(plan.warnings.iter().cloned());
            tables.push(Table {
                id,
                topic: topic.into(),
                done: Done { from: reader.from().clone(), open: None },
                rows_estimated: reader.rows_estimated(),
                reader: Some(reader),
                due: Instant::now() + until_scheduled(&config).unwrap_or_default(),
                rows: 0,
                failures: 0,
                warning: None,
                beyond: BTreeSet::new(),
            });
        }
        Ok(Self { config, session: Some(session), tables, running: None, buffer: None, warnings })
    }

    /// A batch of the buffered rows. `None` when there are none, or nothing to tell.
    fn cut(&mut self) -> Result<Option<Batch>> {
        let Some((index, buffered)) = &mut self.buffer else { return Ok(None) };
        let table = &mut self.tables[*index];
        let (records, moved) =
            buffered.take(self.config.batch_rows, &table.topic, &mut table.done, self.config.mode)?;
        table.rows += records.len() as u64;
        table.beyond.extend(buffered.news());
        let position = moved.then(|| buffered.position(table.id.as_ref(), &table.done, &self.config));
        if buffered.is_empty() {
            self.buffer = None;
        }
        if records.is_empty() && position.is_none() {
            return Ok(None);
        }
        Ok(Some(Batch { records, positions: position.into_iter().collect(), idle_for: None }))
    }

    /// Starts a turn of the table that has waited longest. `Err` holds how long none is due.
    fn start(&mut self) -> Result<(), Duration> {
        let now = Instant::now();
        let next = (0..self.tables.len()).min_by_key(|i| self.tables[*i].due);
        let Some((index, table)) = next.map(|i| (i, &mut self.tables[i])) else { return Err(Duration::MAX) };
        if table.due > now {
            return Err(table.due - now);
        }
        let Some(mut reader) = table.reader.take() else { return Err(LOOK_AGAIN) };
        let (sender, chunks) = mpsc::channel(1);
        let mut session = self.session.take();
        let config = Arc::clone(&self.config);
        let turn = tokio::spawn(async move {
            let outcome = async {
                let session = match &mut session {
                    Some(session) => session,
                    None => session.insert(reading_session(&config).await?),
                };
                reader.turn(&mut **session, &sender).await
            }
            .await;
            Turn { session: session.filter(|s| !s.is_lost()), reader, outcome }
        });
        self.running = Some(Running { table: index, chunks, turn });
        Ok(())
    }

    /// Takes back what a turn that is over gives.
    fn finish(&mut self, index: usize, turn: Turn) -> Result<()> {
        self.session = turn.session;
        let table = &mut self.tables[index];
        table.rows_estimated = turn.reader.rows_estimated();
        table.warning = turn.reader.warning();
        table.reader = Some(turn.reader);
        let wait = match turn.outcome {
            Ok(Outcome::More) => Duration::ZERO,
            Ok(Outcome::CaughtUp) => until_scheduled(&self.config).unwrap_or(self.config.poll_interval),
            Ok(Outcome::Waiting) => self.config.poll_interval.min(LOOK_AGAIN),
            Err(error) => {
                table.failures += 1;
                let given_up = self.config.retry_attempts.is_some_and(|max| table.failures > max);
                let text =
                    format!("reading {}", table.id.as_ref().map_or_else(|| "the query".into(), TableId::to_string));
                let error = error.context(text);
                let gone = given_up && error.kind() == Kind::Retry;
                return Err(if gone { Error::fatal(error.message().to_owned()).caused_by(error) } else { error });
            }
        };
        table.failures = 0;
        table.due = Instant::now() + wait;
        Ok(())
    }
}

#[async_trait]
impl SourceTask for JdbcSourceTask {
    async fn poll(&mut self) -> Result<Batch> {
        loop {
            if let Some(batch) = self.cut()? {
                return Ok(batch);
            }
            let Some(running) = &mut self.running else {
                match self.start() {
                    Ok(()) => continue,
                    Err(wait) => return Ok(Batch { idle_for: Some(wait), ..Batch::default() }),
                }
            };
            // both waits may be given up and taken up again: nothing is lost in between
            if let Some(chunk) = running.chunks.recv().await {
                self.buffer = Some((running.table, Buffered::new(chunk)));
                continue;
            }
            let turn = (&mut running.turn).await;
            let index = running.table;
            self.running = None;
            match turn {
                Ok(turn) => self.finish(index, turn)?,
                Err(error) => return Err(Error::fatal("the reading of a table broke off").caused_by(error)),
            }
        }
    }

    fn progress(&self) -> Progress {
        let name = |t: &Table| t.id.as_ref().map_or_else(|| "query".to_owned(), TableId::to_string);
        let mut warnings = self.warnings.clone();
        warnings.extend(self.tables.iter().filter_map(|t| t.warning.clone()));
        warnings.extend(self.tables.iter().flat_map(|t| &t.beyond).cloned());
        warnings.dedup();
        Progress { tables: self.tables.iter().map(|t| (name(t), t.rows, t.rows_estimated)).collect(), warnings }
    }

    async fn close(mut self: Box<Self>) {
        if let Some(running) = self.running.take() {
            running.turn.abort();
        }
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }
}

/// How long it is to the next reading, where a schedule says so.
fn until_scheduled(config: &SourceConfig) -> Option<Duration> {
    let schedule = config.schedule.as_ref()?;
    // one that names no time any more is asked again in a year
    Some(schedule.next(jiff::Timestamp::now()).unwrap_or(Duration::from_secs(365 * 86_400)))
}

/// A connection set up for reading.
async fn reading_session(config: &SourceConfig) -> Result<Box<dyn Session>> {
    let mut session = connect(&config.target, config.connect).await?;
    for statement in session.dialect().reading_setup() {
        session.run(statement).await?;
    }
    if let Some(level) = &config.isolation {
        session.run(&format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}")).await?;
    }
    Ok(session)
}

/// The stored offset: by the current protocol, else by the older one.
async fn stored_place(config: &SourceConfig, id: Option<&TableId>, stored: &dyn Positions) -> Result<Option<Reached>> {
    let partitions = match id {
        Some(id) => vec![position::table(id, config.qualify), position::bare_table(id)],
        None => vec![position::query()],
    };
    let found = stored.read(&partitions).await?;
    found.into_iter().flatten().next().map(|offset| Reached::read(&offset)).transpose()
}
