//! The task: follows the log, and between its transactions emits the rows that were there before.
//!
//! Both meet at exact positions: a snapshot's rows are emitted when the log has been read up to the
//! snapshot's position and no further. Changes of rows that no snapshot has had yet are dropped, as
//! a later one will have them.

#![expect(
    clippy::indexing_slicing,
    reason = "the index is of this task's tables"
)]

mod again;
mod statements;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use connector_api::{
    Error, ProgressReport, Record, Result, SourceBatch, SourcePosition, SourceTask, StoredOffsets,
    TableProgress, TaskRequest,
};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use crate::binlog::rows::{Cell, RowsEvent};
use crate::binlog::table_map::TableMap;
use crate::catalog::TableMeta;
use crate::dialect::Dialect;
use crate::driver::{BinlogStart, BinlogStream, Session};
use crate::source::cdc::position::{
    LogPosition, StreamProgress, TableFront, stream_partition, table_partition,
};
use crate::source::cdc::reread::CapturedRereads;
use crate::source::cdc::server;
use crate::source::cdc::snapshot::{RunningSnapshot, SnapshotNext, SnapshotRequest, is_last};
use crate::source::cdc::start;
use crate::source::cdc::stream::{LogEvent, LogReader};
use crate::source::cdc::table::CapturedTable;
use crate::source::cdc::traits::{self, RowEnd, TableDefinition};
use crate::source::cdc::xa::{HeldXa, XaReplay};
use crate::source::config::{CdcSettings, SourceConfig, nothing_assigned};
use crate::source::plan::query::ReadPosition;
use crate::source::tables::connection;

/// How long a poll waits for an event.
const WAIT: Duration = Duration::from_secs(1);

/// How often the position is stored while no table of the connector is changed.
const STORE_EVERY: Duration = Duration::from_secs(60);

/// How long a transaction that is in the log takes to become visible.
const VISIBLE_SOON: Duration = Duration::from_millis(20);

/// How often that is waited for in a row.
const INVISIBLE_MAX: u32 = 500;

/// Bytes of rows in one batch, as the log has them.
const BATCH_BYTES: usize = 4 << 20;

/// Rows of one event that are not all emitted.
struct OpenRows {
    table: usize,
    rows: RowsEvent<'static>,
    /// Where the next row begins, and how many are before it.
    at: usize,
    done: u64,
    /// The table's definition fits.
    is_ready: bool,
}

/// Rows that were there before and are not all emitted.
struct OpenPage {
    table: usize,
    /// The table is read page by page, each from a snapshot of its own.
    is_paged: bool,
    /// Its rows are read again.
    is_again: bool,
    /// No page follows.
    is_last: bool,
    rows: std::vec::IntoIter<Box<[connector_api::Value]>>,
}

/// What the last batch stored.
struct EmittedState {
    progress: StreamProgress,
    tables: Vec<EmittedTable>,
}

/// What the last batch stored of a table.
struct EmittedTable {
    meta: Arc<TableMeta>,
    row_end: Option<RowEnd>,
    front: TableFront,
    stale: bool,
}

/// A table's definition that is looked up.
type Lookup = JoinHandle<Result<Option<TableDefinition>>>;

/// A task that reads a server's log.
pub(in crate::source) struct CdcTask {
    config: Arc<SourceConfig>,
    settings: CdcSettings,
    dialect: &'static dyn Dialect,
    tables: Vec<CapturedTable>,
    /// Index by database and name.
    names: HashMap<(String, String), usize>,
    /// Index by the number of a table map; `None`: not captured.
    routes: HashMap<u64, Option<usize>>,
    emitted: EmittedState,
    reader: Option<LogReader>,
    /// For snapshots; `None` while one is read.
    session: Option<Box<dyn Session>>,
    snapshot: Option<RunningSnapshot>,
    rereads: CapturedRereads,
    lookup: Option<Lookup>,
    /// A prepared transaction that is committed, and the reader of its rows.
    committed: Option<(HeldXa, Option<XaReplay>)>,
    open_rows: Option<OpenRows>,
    page: Option<OpenPage>,
    out: Vec<Record>,
    out_bytes: usize,
    /// Bytes of the transaction that is not complete, in the batches before.
    partial_bytes: usize,
    stored_at: Option<Instant>,
    /// Snapshots in a row that did not see what had been read of the log.
    invisible: u32,
    warnings: BTreeSet<String>,
}

impl CdcTask {
    /// Connects, checks the server, and looks up all tables and what is stored of them.
    /// Errors: `Config` for a server whose log cannot be read, or without a table.
    pub(in crate::source) async fn open(
        config: SourceConfig,
        settings: CdcSettings,
        stored: &dyn StoredOffsets,
    ) -> Result<Self> {
        let config = Arc::new(config);
        if config.tables.is_empty() {
            return Err(nothing_assigned());
        }
        let mut session = connection::open(&config, config.connect).await?;
        let host = server::check(&mut *session).await?;
        let mut warnings: BTreeSet<_> = server::warnings(&mut *session).await.into_iter().collect();
        let progress = start::log(&config, stored, &mut *session, host).await?;
        let unread = progress.xa.iter().filter(|held| held.rows.is_none());
        warnings.extend(server::prepared_warning(unread.count()));
        let dialect = session.dialect();
        let mut tables = Vec::new();
        for id in &config.tables {
            match start::table(id, &config, settings, stored, &mut *session).await? {
                Some(table) => tables.push(table),
                None => drop(warnings.insert(format!("table {id} does not exist (any more)"))),
            }
        }
        let rereads = CapturedRereads::resume(tables.iter(), &config, stored).await?;
        let names = tables.iter().enumerate().map(|(index, table)| {
            let id = &table.meta.id;
            let database = id.catalog.clone().unwrap_or_default();
            ((database, id.table.clone()), index)
        });
        Ok(Self {
            names: names.collect(),
            emitted: EmittedState {
                progress,
                tables: tables.iter().map(emitted).collect(),
            },
            config,
            settings,
            dialect,
            tables,
            routes: HashMap::new(),
            reader: None,
            session: Some(session),
            snapshot: None,
            rereads,
            lookup: None,
            committed: None,
            open_rows: None,
            page: None,
            out: Vec::new(),
            out_bytes: 0,
            partial_bytes: 0,
            stored_at: None,
            invisible: 0,
            warnings,
        })
    }

    /// Asks for the log behind what was emitted.
    async fn connect(&mut self) -> Result<()> {
        let progress = &self.emitted.progress;
        let start = match &progress.position {
            _ if !progress.gtids.is_empty() => BinlogStart::Gtids(progress.gtids.to_string()),
            Some(at) => BinlogStart::File {
                file: at.file.clone(),
                position: at.position,
            },
            None => return Err(Error::fatal("the log has no position to begin at")),
        };
        let (target, options) = (&self.config.target, self.config.connect);
        let id = self.settings.server_id;
        let stream = BinlogStream::open(target, options, id, &start).await?;
        let here = progress.position.clone();
        self.reader = Some(LogReader::new(stream, progress, here, options.max_message));
        Ok(())
    }

    /// Forgets what was read behind the last batch: the log is read again from there.
    fn step_back(&mut self) {
        (self.reader, self.session) = (None, None);
        (self.snapshot, self.lookup) = (None, None);
        (self.open_rows, self.page) = (None, None);
        self.committed = None;
        self.rereads.step_back();
        self.out.clear();
        (self.out_bytes, self.partial_bytes) = (0, 0);
        self.routes.clear();
        for (table, kept) in self.tables.iter_mut().zip(&self.emitted.tables) {
            table.forget_map();
            if Arc::ptr_eq(&table.meta, &kept.meta) {
                table.front.clone_from(&kept.front);
            } else {
                let (meta, end, front) = (&kept.meta, &kept.row_end, kept.front.clone());
                let (meta, end) = (Arc::clone(meta), end.clone());
                let again = CapturedTable::new(meta, end, front, &self.config, self.dialect);
                if let Ok(mut again) = again {
                    again.rows = table.rows;
                    again.polled = table.polled.take();
                    *table = again;
                }
            }
            table.stale = kept.stale;
        }
    }

    async fn next_batch(&mut self) -> Result<SourceBatch> {
        if self.reader.is_none() {
            self.connect().await?;
        }
        if self.stored_at.is_none() {
            // where the log begins is stored before anything of it is emitted
            return Ok(self.batch(true));
        }
        let until = tokio::time::Instant::now() + WAIT;
        loop {
            let is_full = self.out.len() >= self.config.batch_rows || self.out_bytes >= BATCH_BYTES;
            // what began with an earlier batch ends with one
            let ends = self.partial_bytes > 0 && !self.is_inside();
            if is_full || ends {
                let is_idle = self.reader.as_ref().is_some_and(LogReader::is_idle);
                return Ok(self.batch(ends && !is_full && is_idle));
            }
            if self.open_rows.is_some() {
                self.expand_rows().await?;
                continue;
            }
            if self.page.is_some() {
                self.emit_page();
                continue;
            }
            if self.committed.is_some() {
                self.replay_step().await?;
                continue;
            }
            if self.snapshot_step().await? {
                continue;
            }
            let Some(reader) = &mut self.reader else {
                return Err(Error::retry("the log's connection is closed"));
            };
            let bytes = match reader.waiting() {
                Some(bytes) => bytes?,
                None if !self.out.is_empty() => return Ok(self.batch(true)),
                None => match timeout_at(until, reader.next()).await {
                    Ok(bytes) => bytes?,
                    Err(_) => return Ok(self.batch(true)),
                },
            };
            self.take(&bytes)?;
        }
    }

    /// Takes an event.
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(reader) = &mut self.reader else {
            return Ok(());
        };
        match reader.take(bytes)? {
            LogEvent::Rows(rows, done) => {
                self.open_event(rows, done);
                Ok(())
            }
            LogEvent::Prepared(map) => {
                if self.route(&map).is_some()
                    && let Some(reader) = &mut self.reader
                {
                    reader.hold();
                }
                Ok(())
            }
            LogEvent::Committed(held) => {
                self.forget_maps();
                self.committed = Some((held, None));
                Ok(())
            }
            LogEvent::Tables(statement, database) => self.define(statement, &database),
            LogEvent::Unlogged(error, names) => self.pass_over(error, names),
            LogEvent::Restarted => {
                self.forget_maps();
                Ok(())
            }
            LogEvent::Nothing => Ok(()),
        }
    }

    /// Tables are numbered again.
    fn forget_maps(&mut self) {
        self.routes.clear();
        self.tables.iter_mut().for_each(CapturedTable::forget_map);
    }

    /// Returns the captured table of a map.
    fn route(&mut self, map: &TableMap) -> Option<usize> {
        let names = &self.names;
        *self.routes.entry(map.id).or_insert_with(|| {
            let name = (map.database.clone(), map.table.clone());
            names.get(&name).copied()
        })
    }

    /// Rows of a transaction come, of which so many were emitted before.
    fn open_event(&mut self, rows: RowsEvent<'static>, done: u64) {
        if let Some(table) = self.route(&rows.table) {
            self.open_rows = Some(OpenRows {
                table,
                rows,
                at: 0,
                done,
                is_ready: false,
            });
        }
    }

    /// Goes on with a prepared transaction that is committed: its rows are read again.
    async fn replay_step(&mut self) -> Result<()> {
        let (Some((held, replay)), Some(reader)) = (&mut self.committed, &mut self.reader) else {
            self.committed = None;
            return Ok(());
        };
        let rows = match (&held.rows, &mut *replay) {
            (Some(_), Some(replay)) => replay.next().await?,
            (Some(rows), None) => {
                let (target, options) = (&self.config.target, self.config.connect);
                *replay = Some(XaReplay::open(target, options, rows).await?);
                return Ok(());
            }
            // a snapshot will have its rows
            (None, _) if self.tables.iter().all(CapturedTable::is_before) => None,
            (None, _) => return Err(reader.refuse_xa()),
        };
        match rows {
            Some(rows) => {
                if let LogEvent::Rows(rows, done) = reader.rows(rows)? {
                    self.open_event(rows, done);
                }
            }
            None => {
                reader.end_xa(held);
                self.committed = None;
                self.forget_maps();
            }
        }
        Ok(())
    }

    /// Emits rows of an event, as many as a batch holds.
    async fn expand_rows(&mut self) -> Result<()> {
        let Some(open) = &self.open_rows else {
            return Ok(());
        };
        let index = open.table;
        if self.tables[index].is_before() {
            self.open_rows = None;
            return Ok(());
        }
        if !open.is_ready {
            if !self.tables[index].fits(&open.rows.table)? {
                let exists = self.look_up(index).await?;
                let Some(open) = &self.open_rows else {
                    return Ok(());
                };
                if !exists || !self.tables[index].fits(&open.rows.table)? {
                    return Err(self.other_definition(index));
                }
            }
            let table = &self.tables[index];
            if let Some(open) = &mut self.open_rows {
                if !open.rows.is_full() {
                    return Err(table.without_columns());
                }
                open.at = position_of(&open.rows, open.done)?;
                open.is_ready = true;
            }
        }
        let Some(mut open) = self.open_rows.take() else {
            return Ok(());
        };
        let more = self.emit_rows(&mut open)?;
        self.open_rows = more.then_some(open);
        Ok(())
    }

    /// Returns false if all rows are emitted.
    fn emit_rows(&mut self, open: &mut OpenRows) -> Result<bool> {
        let table = &mut self.tables[open.table];
        let (mut before, mut after): (Vec<Cell<'_>>, Vec<Cell<'_>>) = (Vec::new(), Vec::new());
        while self.out.len() < self.config.batch_rows && self.out_bytes < BATCH_BYTES {
            let next = open
                .rows
                .row(open.at, &mut before, &mut after)
                .map_err(|error| Error::config(format!("table {}: {error}", table.meta.id)))?;
            let Some(next) = next else {
                return Ok(false);
            };
            table.change(open.rows.change, &before, &after, &mut self.out)?;
            self.out_bytes += next - open.at;
            open.at = next;
            open.done += 1;
        }
        Ok(true)
    }

    /// Looks a table up again. Returns false if it does not exist any more. Cancel-safe.
    async fn look_up(&mut self, index: usize) -> Result<bool> {
        let id = self.tables[index].meta.id.clone();
        if self.lookup.is_none() {
            let config = Arc::clone(&self.config);
            self.lookup = Some(tokio::spawn(async move {
                let mut session = connection::open(&config, config.connect).await?;
                let found = traits::look_up(&mut *session, &id).await;
                session.close().await;
                found
            }));
        }
        let Some(lookup) = &mut self.lookup else {
            return Ok(false);
        };
        let found = lookup.await;
        self.lookup = None;
        let found = found.map_err(|_| Error::retry("looking up a table was given up"))??;
        let Some(found) = found else {
            return Ok(false);
        };
        self.tables[index].redefine(found, &self.config, self.dialect)?;
        Ok(true)
    }

    fn other_definition(&self, index: usize) -> Error {
        Error::config(format!(
            "rows of table {} in the log do not have the columns that the table has now: it was \
             altered again, or dropped, before they could be read. Read the table again: stop the connector, \
             delete its offsets and resume it. With SET GLOBAL binlog_row_metadata=FULL the \
             columns are recognised by their names",
            self.tables[index].meta.id
        ))
    }

    /// Goes on with the rows that were there before. Returns true if something was done; false: the
    /// log is to be read on.
    async fn snapshot_step(&mut self) -> Result<bool> {
        if self.snapshot.is_none() && !self.begin_next().await? {
            return Ok(false);
        }
        let (Some(snapshot), Some(reader)) = (&mut self.snapshot, &self.reader) else {
            return Ok(false);
        };
        let at = match snapshot.position().await {
            Ok(at) => at,
            Err(error) => return self.not_read(error),
        };
        if !at.has_reached(&snapshot.begun_at) {
            // the log has transactions that are not visible yet: what was dropped of them must be
            // in the snapshot
            tokio::time::sleep(VISIBLE_SOON).await;
            self.snapshot = None;
            self.invisible += 1;
            if self.invisible > INVISIBLE_MAX {
                self.invisible = 0;
                return Err(Error::retry(
                    "the server's log has transactions that do not become visible: was it reset, \
                     or is this another server?",
                ));
            }
            return Ok(true);
        }
        self.invisible = 0;
        if !reader.has_reached(&at) {
            return Ok(false);
        }
        match snapshot.next().await {
            Ok(SnapshotNext::Rows(page)) => {
                self.page = Some(OpenPage {
                    table: snapshot.table,
                    is_paged: snapshot.is_paged,
                    is_again: snapshot.is_again,
                    is_last: is_last(&page),
                    rows: page.rows.into_iter(),
                });
            }
            Ok(SnapshotNext::End(session)) => self.end_snapshot(session),
            Err(error) => return self.not_read(error),
        }
        Ok(true)
    }

    /// Begins to read the next page: of a table whose first read is not complete, or else of one that
    /// is read again. Returns false if there is none.
    async fn begin_next(&mut self) -> Result<bool> {
        let here = self.reader.as_ref().and_then(LogReader::here).cloned();
        let Some(here) = here else { return Ok(false) };
        let first = self.tables.iter().position(|t| t.front != TableFront::Done);
        let next = match first {
            Some(first) => Some((first, false)),
            None => self.next_again().map(|again| (again, true)),
        };
        let Some((index, is_again)) = next else {
            return Ok(false);
        };
        if self.tables[index].stale && !self.look_up(index).await? {
            if is_again {
                self.rereads.gone(index);
                return Ok(true);
            }
            let table = &mut self.tables[index];
            let text = format!("table {} does not exist any more", table.meta.id);
            table.warnings.insert(text);
            (table.front, table.changed) = (TableFront::Done, true);
            return Ok(true);
        }
        let table = &self.tables[index];
        let from = match (&table.front, is_again) {
            (_, true) => self.rereads.from(index, &table.plan),
            (TableFront::UpTo(front), false) => Some(ReadPosition {
                key: Some(front.clone()),
                ..ReadPosition::default()
            }),
            (TableFront::Before | TableFront::Done, false) => Some(ReadPosition::default()),
        };
        if let Some(from) = from {
            self.begin_snapshot((index, is_again), here, &from).await?;
        }
        Ok(true)
    }

    async fn begin_snapshot(
        &mut self,
        of: (usize, bool),
        here: LogPosition,
        from: &ReadPosition,
    ) -> Result<()> {
        let lost = self
            .session
            .as_ref()
            .is_none_or(|session| session.is_lost());
        if lost {
            self.session = None;
            self.session = Some(connection::open(&self.config, self.config.connect).await?);
        }
        let Some(session) = self.session.take() else {
            return Ok(());
        };
        let request = SnapshotRequest::of(&self.tables[of.0], from, &*session);
        self.snapshot = Some(RunningSnapshot::begin(of, here, request, session));
        Ok(())
    }

    /// Emits rows that were there before, as many as a batch holds.
    fn emit_page(&mut self) {
        if self.page.as_ref().is_some_and(|page| page.is_again) {
            return self.emit_again();
        }
        let Some(page) = &mut self.page else {
            return;
        };
        let table = &mut self.tables[page.table];
        let room = self.config.batch_rows.saturating_sub(self.out.len());
        let rows: Vec<_> = page.rows.by_ref().take(room).collect();
        let is_end = page.rows.len() == 0;
        if page.is_paged {
            let front = rows.last().map(|last| {
                let key = table.plan.order.iter().map(|i| last[*i].clone());
                TableFront::UpTo(key.collect())
            });
            if let Some(front) = front {
                table.front = front;
            }
            if is_end && page.is_last {
                table.front = TableFront::Done;
            }
            table.changed = true;
        }
        for row in rows {
            if !table.was_polled(&row) {
                table.put(row, &mut self.out);
            }
        }
        if is_end {
            self.page = None;
        }
    }

    fn end_snapshot(&mut self, session: Box<dyn Session>) {
        self.session = Some(session);
        let Some(snapshot) = self.snapshot.take() else {
            return;
        };
        let table = &mut self.tables[snapshot.table];
        if !snapshot.is_paged && !snapshot.is_again {
            table.front = TableFront::Done;
            table.changed = true;
        }
    }

    /// True inside a transaction of which rows are emitted.
    fn is_inside(&self) -> bool {
        self.reader.as_ref().is_some_and(LogReader::is_inside) || self.open_rows.is_some()
    }

    /// True if the batch that ends here ends inside a transaction, whose records so far are not too
    /// many to be kept together.
    fn is_partial(&mut self) -> bool {
        if !self.is_inside() || (self.out.is_empty() && self.partial_bytes == 0) {
            self.partial_bytes = 0;
            return false;
        }
        self.partial_bytes += self.out_bytes.max(1);
        if self.partial_bytes < self.settings.transaction_bytes {
            return true;
        }
        self.partial_bytes = 0;
        self.warnings.insert(format!(
            "a transaction of more than {} bytes (transaction.max.bytes) was split into several \
             transactions of Kafka",
            self.settings.transaction_bytes
        ));
        false
    }

    /// Hands over what has been read. `idle`: no more is there now.
    fn batch(&mut self, idle: bool) -> SourceBatch {
        let rows = self.open_rows.as_ref().map(|open| open.done);
        let progress = match &self.reader {
            Some(reader) => reader.progress(rows),
            None => self.emitted.progress.clone(),
        };
        let is_partial = self.is_partial();
        let records = std::mem::take(&mut self.out);
        self.out_bytes = 0;
        let is_due = self
            .stored_at
            .is_none_or(|stored| stored.elapsed() >= STORE_EVERY);
        let any_changed =
            self.rereads.is_changed() || self.tables.iter().any(|table| table.changed);
        let mut positions = Vec::new();
        let prefix = &self.config.topic_prefix;
        if !records.is_empty() || is_due || any_changed {
            positions.push(SourcePosition {
                partition: stream_partition(prefix),
                offset: Some(progress.write()),
            });
            self.emitted.progress = progress;
            self.stored_at = Some(Instant::now());
        }
        for (table, kept) in self.tables.iter_mut().zip(&mut self.emitted.tables) {
            if std::mem::take(&mut table.changed) {
                positions.push(SourcePosition {
                    partition: table_partition(prefix, &table.meta.id),
                    offset: Some(table.stored().write()),
                });
                *kept = emitted(table);
            }
        }
        positions.extend(self.rereads.store());
        SourceBatch {
            records,
            positions,
            idle_for: idle.then_some(Duration::ZERO),
            is_partial,
        }
    }
}

#[async_trait]
impl SourceTask for CdcTask {
    async fn poll(&mut self) -> Result<SourceBatch> {
        match self.next_batch().await {
            Ok(batch) => Ok(batch),
            Err(error) => {
                self.step_back();
                Err(error)
            }
        }
    }

    async fn request(&mut self, request: &TaskRequest) -> Result<Vec<SourcePosition>> {
        self.take_request(request).await
    }

    fn progress(&self) -> ProgressReport {
        let of = |table: &CapturedTable| TableProgress {
            table: table.meta.id.to_string(),
            rows: table.rows,
            rows_estimated: table.meta.rows_estimated,
            rows_left: (table.front == TableFront::Done).then_some(0),
            ..TableProgress::default()
        };
        let of_tables = self.tables.iter().flat_map(|table| &table.warnings);
        ProgressReport {
            rereads: self.rereads.report(|index| self.tables.get(index)),
            tables: self.tables.iter().map(of).collect(),
            warnings: self.warnings.iter().chain(of_tables).cloned().collect(),
        }
    }

    async fn close(mut self: Box<Self>) {
        self.reader = None;
        self.snapshot = None;
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }
}

fn emitted(table: &CapturedTable) -> EmittedTable {
    EmittedTable {
        meta: Arc::clone(&table.meta),
        row_end: table.row_end.clone(),
        front: table.front.clone(),
        stale: table.stale,
    }
}

/// Where the row of that number begins.
fn position_of(rows: &RowsEvent<'_>, number: u64) -> Result<usize> {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut at = 0;
    for _ in 0..number {
        let next = rows.row(at, &mut before, &mut after);
        let next = next.map_err(|error| Error::config(error.to_string()))?;
        let Some(next) = next else { break };
        at = next;
    }
    Ok(at)
}
