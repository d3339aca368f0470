//! The task: follows the log, and at the position of a snapshot emits the rows that were there
//! before.
//!
//! A table is not read yet, or read up to a front: changes of rows beyond are dropped, as the
//! snapshot, which is of a later position, has them.

#![expect(
    clippy::indexing_slicing,
    reason = "the index is of this task's tables"
)]

mod again;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use connector_api::{
    Error, ProgressReport, Record, Result, SourceBatch, SourcePosition, SourceTask, StoredOffsets,
    TableProgress, TaskRequest, Value,
};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use self::again::RereadAttempt;
use crate::catalog::TableMeta;
use crate::dialect::Dialect;
use crate::driver::Session;
use crate::pgoutput::message::{Change, Message, Relation, decode};
use crate::pgoutput::{Frame, PgOutputError, frame};
use crate::source::cdc::position::{TableFront, stream_partition, table_partition};
use crate::source::cdc::reread::CapturedRereads;
use crate::source::cdc::slot::opening::{self, OpenedLog, PendingTable};
use crate::source::cdc::slot::position::SlotPosition;
use crate::source::cdc::slot::server::{self, SlotState};
use crate::source::cdc::slot::snapshot::{SlotSnapshot, SnapshotPage};
use crate::source::cdc::slot::start::{drop_slot, open_tables, publish, slot_warning};
use crate::source::cdc::slot::stream::SlotStream;
use crate::source::cdc::slot::table::{DecodedRow, SlotTable, plain, without_generated};
use crate::source::cdc::table::CapturedTable;
use crate::source::config::{CdcSettings, SourceConfig, nothing_assigned};
use crate::source::plan::query::{self, ReadPosition};
use crate::source::tables::connection;

/// How long a poll waits for a message.
const WAIT: Duration = Duration::from_secs(1);

/// The same while a snapshot's position is waited for.
const SHORT_WAIT: Duration = Duration::from_millis(100);

/// How often the position is stored while no table of the connector is changed.
const STORE_EVERY: Duration = Duration::from_secs(60);

/// How often the slot's state is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Bytes of messages in one batch.
const BATCH_BYTES: usize = 4 << 20;

/// What the last batch stored.
struct SlotEmitted {
    position: SlotPosition,
    tables: Vec<(Arc<TableMeta>, TableFront)>,
}

/// Rows that were there before and are not all emitted.
struct SlotPage {
    table: usize,
    is_last: bool,
    is_paged: bool,
    /// Its rows are read again.
    is_again: bool,
    rows: std::vec::IntoIter<Box<[Value]>>,
}

/// A table that is looked up: its index and its definition.
type DefinitionLookup = JoinHandle<Result<(usize, Option<TableMeta>)>>;

/// A row that is read again: a connection for the next, and the row unless it is gone.
type Reread = JoinHandle<Result<(Box<dyn Session>, Option<Box<[Value]>>)>>;

/// A task that reads a slot.
pub(in crate::source) struct SlotTask {
    config: Arc<SourceConfig>,
    settings: CdcSettings,
    dialect: &'static dyn Dialect,
    tables: Vec<SlotTable>,
    /// Index by schema and name.
    names: HashMap<(String, String), usize>,
    /// Index by the number of a relation.
    routes: HashMap<u32, usize>,
    emitted: SlotEmitted,
    opening: Option<JoinHandle<Result<OpenedLog>>>,
    reader: Option<SlotStream>,
    snapshot: Option<SlotSnapshot>,
    rereads: CapturedRereads,
    again: Option<RereadAttempt>,
    page: Option<SlotPage>,
    /// The message that is being taken.
    current: Option<Vec<u8>>,
    lookup: Option<DefinitionLookup>,
    reread: Option<Reread>,
    /// The row that was read again.
    answer: Option<Option<Box<[Value]>>>,
    /// For rows that are read again.
    session: Option<Box<dyn Session>>,
    looking: Option<JoinHandle<Result<Option<SlotState>>>>,
    looked_at: Option<Instant>,
    state: Option<SlotState>,
    out: Vec<Record>,
    out_bytes: usize,
    stored_at: Option<Instant>,
    warnings: BTreeSet<String>,
}

impl SlotTask {
    /// Connects, checks the server, makes the publication and the slot, and looks up all tables and
    /// what is stored of them.
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
        let mut warnings = BTreeSet::new();
        server::check(&mut *session, &config.slot).await?;
        let tables = open_tables(&config, settings, stored, &mut *session, &mut warnings).await?;
        let partition = stream_partition(&config.topic_prefix);
        let found = stored.read(&[partition]).await?.pop().flatten();
        let found = found.as_ref().map(SlotPosition::read).transpose()?;
        publish(&config, &tables, found.is_some(), &mut *session).await?;
        let position = match found {
            Some(position) => {
                server::check_slot(&mut *session, &config.slot.slot, position).await?;
                position
            }
            None => server::first_position(&mut *session, &config.slot.slot).await?,
        };
        let dialect = session.dialect();
        session.close().await;
        let captured = tables.iter().map(|table| &table.captured);
        let rereads = CapturedRereads::resume(captured, &config, stored).await?;
        let names = tables.iter().enumerate();
        let names = names.map(|(index, table)| (server::pair(&table.captured.meta.id), index));
        Ok(Self {
            names: names.collect(),
            emitted: SlotEmitted {
                position,
                tables: tables.iter().map(emitted).collect(),
            },
            config,
            settings,
            dialect,
            tables,
            routes: HashMap::new(),
            opening: None,
            reader: None,
            snapshot: None,
            rereads,
            again: None,
            page: None,
            current: None,
            lookup: None,
            reread: None,
            answer: None,
            session: None,
            looking: None,
            looked_at: None,
            state: None,
            out: Vec::new(),
            out_bytes: 0,
            stored_at: None,
            warnings,
        })
    }

    /// Connects to the log behind what was emitted. Cancel-safe.
    async fn connect(&mut self) -> Result<()> {
        if self.opening.is_none() {
            let pending = self.tables.iter().enumerate().filter_map(|(index, table)| {
                let front = match &table.captured.front {
                    TableFront::Done => return None,
                    TableFront::Before => None,
                    TableFront::UpTo(front) => Some(front.clone()),
                };
                Some(PendingTable {
                    index,
                    id: table.captured.meta.id.clone(),
                    from: ReadPosition {
                        key: front,
                        ..ReadPosition::default()
                    },
                })
            });
            let config = Arc::clone(&self.config);
            let opening = opening::open(config, self.emitted.position, pending.collect());
            self.opening = Some(tokio::spawn(opening));
        }
        let Some(opening) = &mut self.opening else {
            return Ok(());
        };
        let opened = opening.await;
        self.opening = None;
        let opened = opened.map_err(|_| Error::retry("connecting to the log was given up"))??;
        for index in opened.gone {
            let table = &mut self.tables[index].captured;
            let text = format!("table {} does not exist any more", table.meta.id);
            table.warnings.insert(text);
            (table.front, table.changed) = (TableFront::Done, true);
        }
        (self.reader, self.snapshot) = (Some(opened.stream), opened.snapshot);
        Ok(())
    }

    /// Forgets what was read behind the last batch: the log is read again from there.
    fn step_back(&mut self) {
        (self.reader, self.snapshot, self.page) = (None, None, None);
        self.drop_attempt();
        self.rereads.step_back();
        (self.current, self.session) = (None, None);
        if let Some(opening) = self.opening.take() {
            opening.abort();
        }
        (self.lookup, self.reread, self.answer) = (None, None, None);
        self.out.clear();
        self.out_bytes = 0;
        self.routes.clear();
        for (table, (meta, front)) in self.tables.iter_mut().zip(&self.emitted.tables) {
            table.forget();
            let captured = &mut table.captured;
            if !Arc::ptr_eq(&captured.meta, meta) {
                let (meta, front) = (Arc::clone(meta), front.clone());
                let again = CapturedTable::new(meta, None, front, &self.config, self.dialect);
                if let Ok(mut again) = again {
                    again.rows = captured.rows;
                    again.polled = captured.polled.take();
                    *captured = again;
                }
            }
            captured.front.clone_from(front);
        }
    }

    async fn next_batch(&mut self) -> Result<SourceBatch> {
        if self.stored_at.is_none() {
            // where the log begins is stored before anything of it is emitted
            return Ok(self.batch(true));
        }
        if self.reader.is_none() {
            self.connect().await?;
        }
        self.look().await;
        let until = tokio::time::Instant::now() + WAIT;
        loop {
            if self.current.is_some() {
                // its row counts as read already
                self.take_again().await?;
                continue;
            }
            if self.out.len() >= self.config.batch_rows || self.out_bytes >= BATCH_BYTES {
                return Ok(self.batch(false));
            }
            if self.page.is_some() {
                self.emit_page();
                continue;
            }
            if self.snapshot_step().await? || self.reread_step().await? {
                continue;
            }
            let Some(message) = self.next_message(until).await? else {
                return Ok(self.batch(true));
            };
            self.take(message)?;
        }
    }

    /// Waits for a message; `None` if what has been read is to be handed over first. Cancel-safe.
    async fn next_message(&mut self, until: tokio::time::Instant) -> Result<Option<Vec<u8>>> {
        let Some(reader) = &mut self.reader else {
            return Err(Error::retry("the log's connection is closed"));
        };
        if let Some(message) = reader.stream.waiting() {
            return message.map(Some);
        }
        if !self.out.is_empty() || reader.progress.is_asked {
            return Ok(None);
        }
        let mut until = until;
        if self.snapshot.is_some() || self.again.is_some() {
            reader.stream.ask();
            until = until.min(tokio::time::Instant::now() + SHORT_WAIT);
        }
        match timeout_at(until, reader.stream.next()).await {
            Ok(message) => message.map(Some),
            Err(_) => Ok(None),
        }
    }

    fn describe(&mut self, relation: Relation) {
        let name = (relation.schema.clone(), relation.table.clone());
        match self.names.get(&name) {
            Some(index) => {
                self.routes.insert(relation.id, *index);
                self.tables[*index].describe(relation);
            }
            None => drop(self.routes.remove(&relation.id)),
        }
    }

    /// Rows of tables have gone away without being logged.
    fn emptied(&mut self, relations: &[u32]) -> Result<()> {
        let indexes: Vec<_> = relations
            .iter()
            .filter_map(|id| self.routes.get(id))
            .collect();
        for index in indexes {
            let table = &mut self.tables[*index].captured;
            if let Some(touched) = &mut table.touched {
                touched.all();
            }
            if table.is_before() {
                continue;
            }
            let text = format!(
                "table {} was truncated: the log does not have the rows that went away",
                table.meta.id
            );
            if self.settings.truncate_fails {
                return Err(Error::config(format!(
                    "{text}. Remove the rows where they were copied to, then set \
                     truncate.handling=ignore and restart the task; set it back afterwards"
                )));
            }
            table.warnings.insert(text);
        }
        Ok(())
    }

    /// Emits a changed row. Returns false if something has to be looked up before.
    fn change(&mut self, change: &Change<'_>, size: usize) -> Result<bool> {
        let Some(index) = self.routes.get(&change.relation).copied() else {
            return Ok(true);
        };
        let table = &mut self.tables[index];
        if table.captured.is_before() {
            return Ok(true);
        }
        if !table.is_defined() {
            self.begin_lookup(index);
            return Ok(false);
        }
        let old = table.old_row(change)?;
        let mut new = table.new_row(change)?;
        if let Some(row) = &mut new
            && !row.missing.is_empty()
        {
            match self.answer.take() {
                Some(there) => complete(row, there.as_deref().unwrap_or_default()),
                None => {
                    let values = std::mem::take(&mut row.values);
                    self.begin_reread(index, &values)?;
                    return Ok(false);
                }
            }
        }
        self.tables[index].emit(change.kind, old, new, &mut self.out);
        self.out_bytes += size;
        Ok(true)
    }

    /// Looks a table up, since the log has described it again.
    fn begin_lookup(&mut self, index: usize) {
        let id = self.tables[index].captured.meta.id.clone();
        let config = Arc::clone(&self.config);
        let looking = async move {
            let mut session = connection::open(&config, config.connect).await?;
            let found = session.table(&id).await;
            session.close().await;
            Ok((index, found?))
        };
        self.lookup = Some(tokio::spawn(looking));
    }

    /// Reads a row again, of which the log does not have the large values.
    fn begin_reread(&mut self, index: usize, row: &[Value]) -> Result<()> {
        let table = &mut self.tables[index].captured;
        let plan = &table.plan;
        let key: Vec<_> = plan.order.iter().map(|i| row[*i].clone()).collect();
        if key.is_empty() {
            return Err(Error::config(format!(
                "the log does not have all values of a changed row of table {}, which has no primary \
                 key: run ALTER TABLE {} REPLICA IDENTITY FULL, and read the table again: stop the \
                 connector, delete its offsets (DELETE /connectors/NAME/offsets) and resume it",
                table.meta.id, plan.table_sql
            )));
        }
        let statement = query::of_key(&plan.shape, &key, self.dialect);
        let layout = plan.layout.clone();
        table.warnings.insert(format!(
            "table {}: the log does not have large values that an update did not change, so they are \
             read from the table, as they are by then. ALTER TABLE {} REPLICA IDENTITY FULL puts them \
             into the log",
            table.meta.id, plan.table_sql
        ));
        let config = Arc::clone(&self.config);
        let session = self.session.take().filter(|session| !session.is_lost());
        let reading = async move {
            let mut session = match session {
                Some(session) => session,
                None => connection::open(&config, config.connect).await?,
            };
            let (sql, params) = (&statement.sql, &statement.params);
            let page = session.read(sql, params, &layout, usize::MAX).await?;
            Ok((session, page.rows.into_iter().next()))
        };
        self.reread = Some(tokio::spawn(reading));
        Ok(())
    }

    /// Waits for what the current message needs, and takes it again. Cancel-safe.
    async fn take_again(&mut self) -> Result<()> {
        if let Some(lookup) = &mut self.lookup {
            let found = lookup.await;
            self.lookup = None;
            let (index, now) = found.map_err(|_| given_up())??;
            let now = now.as_ref().map(without_generated);
            self.tables[index].define(now.as_ref(), &self.config, self.dialect)?;
        }
        if let Some(reread) = &mut self.reread {
            let read = reread.await;
            self.reread = None;
            let (session, row) = read.map_err(|_| given_up())??;
            (self.session, self.answer) = (Some(session), Some(row));
        }
        let Some(bytes) = self.current.take() else {
            return Ok(());
        };
        if !self.change_of(&bytes)? {
            self.current = Some(bytes);
        }
        Ok(())
    }

    /// Emits the changed row of a message.
    fn change_of(&mut self, bytes: &[u8]) -> Result<bool> {
        let wrong = |error: PgOutputError| Error::config(error.to_string());
        let Frame::Data(data) = frame(bytes).map_err(wrong)? else {
            return Ok(true);
        };
        match decode(data).map_err(wrong)? {
            Message::Change(change) => self.change(&change, bytes.len()),
            _ => Ok(true),
        }
    }

    /// Takes a message.
    fn take(&mut self, bytes: Vec<u8>) -> Result<()> {
        let Some(reader) = &mut self.reader else {
            return Ok(());
        };
        let is_done = match reader.progress.take(&bytes)? {
            Some(Message::Relation(relation)) => {
                self.describe(relation);
                true
            }
            Some(Message::Truncate(relations)) => {
                self.emptied(&relations)?;
                true
            }
            Some(Message::Change(change)) => self.change(&change, bytes.len())?,
            _ => true,
        };
        if !is_done {
            self.current = Some(bytes);
        }
        Ok(())
    }

    /// Goes on with the rows that were there before. Returns true if something was done; false: the
    /// log is to be read on.
    async fn snapshot_step(&mut self) -> Result<bool> {
        let (Some(snapshot), Some(reader)) = (&mut self.snapshot, &self.reader) else {
            return Ok(false);
        };
        if !reader.progress.has_reached(snapshot.at) {
            return Ok(false);
        }
        let Some(page) = snapshot.next().await? else {
            self.snapshot = None;
            return Ok(true);
        };
        self.take_definition(&page)?;
        self.page = Some(SlotPage {
            table: page.table,
            is_last: page.is_last,
            is_paged: page.is_paged,
            is_again: false,
            rows: page.rows.into_iter(),
        });
        Ok(true)
    }

    /// Takes up the definition of the rows of a page.
    fn take_definition(&mut self, page: &SnapshotPage) -> Result<()> {
        let table = &mut self.tables[page.table];
        let known = &table.captured.meta;
        if known.columns == page.meta.columns && known.primary_key == page.meta.primary_key {
            return Ok(());
        }
        let meta = plain(TableMeta::clone(&page.meta));
        table.captured.redefine(meta, &self.config, self.dialect)?;
        // rows of the log are decoded by what the log says of the table
        table.undefine();
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
        let table = &mut self.tables[page.table].captured;
        let room = self.config.batch_rows.saturating_sub(self.out.len());
        let rows: Vec<_> = page.rows.by_ref().take(room).collect();
        let is_end = page.rows.len() == 0;
        if page.is_paged
            && let Some(last) = rows.last()
        {
            let key = table.plan.order.iter().map(|i| last[*i].clone());
            table.front = TableFront::UpTo(key.collect());
            table.changed = true;
        }
        if is_end && page.is_last {
            (table.front, table.changed) = (TableFront::Done, true);
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

    /// Hands over what has been read. `idle`: no more is there now.
    fn batch(&mut self, idle: bool) -> SourceBatch {
        let position = match &mut self.reader {
            Some(reader) => reader.progress.position(),
            None => self.emitted.position,
        };
        let is_asked = (self.reader.as_mut())
            .is_some_and(|reader| std::mem::take(&mut reader.progress.is_asked));
        let records = std::mem::take(&mut self.out);
        self.out_bytes = 0;
        let is_due = self
            .stored_at
            .is_none_or(|stored| stored.elapsed() >= STORE_EVERY);
        let any_changed =
            self.rereads.is_changed() || self.tables.iter().any(|table| table.captured.changed);
        let mut positions = Vec::new();
        let prefix = &self.config.topic_prefix;
        if !records.is_empty() || is_due || is_asked || any_changed {
            positions.push(SourcePosition {
                partition: stream_partition(prefix),
                offset: Some(position.write()),
            });
            self.emitted.position = position;
            self.stored_at = Some(Instant::now());
        }
        for (table, kept) in self.tables.iter_mut().zip(&mut self.emitted.tables) {
            if std::mem::take(&mut table.captured.changed) {
                positions.push(SourcePosition {
                    partition: table_partition(prefix, &table.captured.meta.id),
                    offset: Some(table.captured.stored().write()),
                });
                *kept = emitted(table);
            }
        }
        positions.extend(self.rereads.store());
        SourceBatch {
            is_partial: false,
            records,
            positions,
            idle_for: idle.then_some(Duration::ZERO),
        }
    }

    /// Looks at the slot now and then, without waiting for it.
    async fn look(&mut self) {
        if let Some(looking) = self.looking.take_if(|looking| looking.is_finished())
            && let Ok(Ok(Some(state))) = looking.await
        {
            self.state = Some(state);
        }
        let is_due = self
            .looked_at
            .is_none_or(|looked| looked.elapsed() >= LOOK_EVERY);
        if self.looking.is_none() && is_due {
            self.looked_at = Some(Instant::now());
            let config = Arc::clone(&self.config);
            self.looking = Some(tokio::spawn(async move {
                let mut session = connection::open(&config, config.connect).await?;
                let state = server::slot(&mut *session, &config.slot.slot).await;
                session.close().await;
                state
            }));
        }
    }
}

#[async_trait]
impl SourceTask for SlotTask {
    async fn poll(&mut self) -> Result<SourceBatch> {
        match self.next_batch().await {
            Ok(batch) => Ok(batch),
            Err(error) => {
                self.step_back();
                Err(error)
            }
        }
    }

    /// The server may remove its log up to there.
    async fn committed(&mut self, positions: &[SourcePosition]) -> Result<()> {
        let own = stream_partition(&self.config.topic_prefix);
        let stored = positions.iter().filter(|p| p.partition.same_as(&own));
        for offset in stored.filter_map(|position| position.offset.as_ref()) {
            if let (Ok(position), Some(reader)) = (SlotPosition::read(offset), &self.reader) {
                reader.stream.confirm(position.done);
            }
        }
        Ok(())
    }

    async fn request(&mut self, request: &TaskRequest) -> Result<Vec<SourcePosition>> {
        self.take_request(request).await
    }

    fn progress(&self) -> ProgressReport {
        let of = |table: &SlotTable| TableProgress {
            table: table.captured.meta.id.to_string(),
            rows: table.captured.rows,
            rows_estimated: table.captured.meta.rows_estimated,
            rows_left: (table.captured.front == TableFront::Done).then_some(0),
            ..TableProgress::default()
        };
        let of_tables = self
            .tables
            .iter()
            .flat_map(|table| &table.captured.warnings);
        let of_slot = self
            .state
            .as_ref()
            .and_then(|state| slot_warning(&self.config, state));
        ProgressReport {
            tables: self.tables.iter().map(of).collect(),
            warnings: (self.warnings.iter().chain(of_tables).cloned())
                .chain(of_slot)
                .collect(),
            rereads: (self.rereads).report(|index| Some(&self.tables.get(index)?.captured)),
        }
    }

    async fn close(mut self: Box<Self>) {
        self.step_back();
        if self.config.slot.drops_slot
            && let Err(error) = drop_slot(&self.config).await
        {
            tracing::warn!(slot = self.config.slot.slot, %error, "the slot was not dropped");
        }
    }
}

fn given_up() -> Error {
    Error::retry("looking up a table was given up")
}

/// Completes a row by the values that the log does not have, as far as the row is still there.
fn complete(row: &mut DecodedRow, there: &[Value]) {
    let values = &mut row.values;
    row.missing.retain(|at| match there.get(*at) {
        Some(value) => {
            values[*at] = value.clone();
            false
        }
        None => true,
    });
}

fn emitted(table: &SlotTable) -> (Arc<TableMeta>, TableFront) {
    (
        Arc::clone(&table.captured.meta),
        table.captured.front.clone(),
    )
}
