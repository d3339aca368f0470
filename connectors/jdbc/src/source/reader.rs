//! Reads one table on from where it stands, page by page, in a task of its own: the next page is fetched while the
//! last one is on its way to the topic.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Error, Kind, Result, Value};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::config::{Mode, SourceConfig};
use super::gap::{self, Fence, Oldest};
use super::position::{Reached, Within};
use super::query::{self, From};
use super::table::{self, TablePlan};
use crate::calendar::{SECOND, parse_wall};
use crate::catalog::TableMeta;
use crate::driver::{Page, Session};
use crate::ident::TableId;
use crate::zone::Zone;

/// A page is cut when its values weigh more than this many bytes.
const PAGE_WEIGHT: usize = 4 << 20;
/// Rows of the first page of a table, whose rows may be of any size.
const FIRST_PAGE: u64 = 500;
/// Most rows of a page.
const LARGEST_PAGE: u64 = 10_000;
/// How long rows rest where open transactions cannot be seen, in microseconds.
const BLIND_DELAY: i64 = 2 * SECOND;
/// How often the server is asked for its open transactions until its answer can be relied on.
const SAMPLES: u32 = 5;
/// Longer than the server keeps an answer.
const SAMPLE_AGAIN: Duration = Duration::from_millis(120);
/// After so long other tables of the task have their turn.
const TURN: Duration = Duration::from_secs(1);

/// Rows on their way from the reader to the task.
#[derive(Debug)]
pub struct Chunk {
    /// The rows and their stamps.
    pub page: Page,
    /// The plan they were read by.
    pub plan: Arc<TablePlan>,
    /// There is nothing after them for now.
    pub ends: bool,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is more to read at once.
    More,
    /// All that there is was read.
    CaughtUp,
    /// Rows of a transaction that is still open are in the way.
    Waiting,
}

/// One table and how far it has been read.
#[derive(Debug)]
pub struct TableReader {
    /// The table; `None` for a query.
    pub id: Option<TableId>,
    config: Arc<SourceConfig>,
    meta: Option<TableMeta>,
    plan: Option<Arc<TablePlan>>,
    /// Where the reading stands, ahead of what the task has handed out.
    from: From,
    /// In the middle of a cycle: the upper bound stays, and so does the definition.
    in_cycle: bool,
    /// An error came in between: the definition is looked up again.
    stale: bool,
    /// Rows up to it are read once its transactions have ended (PostgreSQL).
    fence: Option<Fence>,
    /// The transactions of `fence` are still open: only rows without a gap before them are handed out.
    fenced: bool,
    /// The server does not tell its open transactions: rows rest for a while instead.
    blind: bool,
    /// It never will, to this user.
    denied: bool,
    /// How often it was asked.
    samples: u64,
    page_rows: u64,
}

impl TableReader {
    /// A reader that stands at the beginning.
    pub fn new(id: Option<TableId>, config: Arc<SourceConfig>) -> Self {
        Self {
            id,
            config,
            meta: None,
            plan: None,
            from: From::default(),
            in_cycle: false,
            stale: false,
            fence: None,
            fenced: false,
            blind: false,
            denied: false,
            samples: 0,
            page_rows: FIRST_PAGE,
        }
    }

    /// The rows that the server estimates.
    pub fn rows_estimated(&self) -> Option<u64> {
        self.meta.as_ref()?.rows_estimated
    }

    /// Looks the table up and plans it anew if its definition has changed.
    /// Errors: `Config` when it is gone or does not fit the mode.
    pub async fn look_up(&mut self, session: &mut dyn Session) -> Result<Arc<TablePlan>> {
        let Some(id) = &self.id else { return self.look_up_query(session).await };
        let meta = session.table(id).await?.ok_or_else(|| {
            Error::config(format!("table {id} is not there any more; remove it from the connector, or create it"))
        })?;
        let known = self.meta.as_ref().is_some_and(|m| m.columns == meta.columns && m.primary_key == meta.primary_key);
        let plan = match &self.plan {
            Some(plan) if known => Arc::clone(plan),
            _ => {
                let plan = table::plan(&meta, &self.config, session.dialect())?;
                table::check_id_type(&plan)?;
                Arc::new(plan)
            }
        };
        self.meta = Some(meta);
        self.plan = Some(Arc::clone(&plan));
        Ok(plan)
    }

    async fn look_up_query(&mut self, session: &mut dyn Session) -> Result<Arc<TablePlan>> {
        let query = self.config.query.clone().unwrap_or_default();
        let columns = session.describe(&query).await?;
        let plan = table::plan_query(&query, &columns, &self.config, session.dialect())?;
        table::check_id_type(&plan)?;
        let known = self.plan.take().filter(|known| known.shape == plan.shape && known.layout == plan.layout);
        let plan = known.unwrap_or_else(|| Arc::new(plan));
        self.plan = Some(Arc::clone(&plan));
        Ok(plan)
    }

    /// Stands where a stored offset says, or at the configured beginning. The table must have been looked up.
    pub async fn stand_at(&mut self, reached: Option<&Reached>, session: &mut dyn Session) -> Result<()> {
        let initial = self.config.initial;
        let stamp = match (reached.and_then(|r| r.stamp), initial.stamp_ms) {
            (Some(stamp), _) => Some(self.to_server(stamp)),
            (None, Some(-1)) if self.config.mode.has_stamp() => Some(self.clock(session).await?),
            (None, Some(ms)) => Some(self.to_server(ms.saturating_mul(1000))),
            (None, None) => Some(self.to_server(0)),
        };
        let within = reached.and_then(|r| r.within.as_ref());
        self.from = From {
            stamp,
            id: reached.and_then(|r| r.id).or(Some(initial.id)),
            at: within.map(|w| (self.to_server(w.stamp), w.key.iter().map(key_value).collect())),
            ..From::default()
        };
        self.in_cycle = false;
        Ok(())
    }

    /// Where it stands.
    pub fn from(&self) -> &From {
        &self.from
    }

    /// Reads until there is nothing more or the turn is over. Pages are sent in order; a receiver that is gone ends it.
    pub async fn turn(&mut self, session: &mut dyn Session, pages: &mpsc::Sender<Chunk>) -> Result<Outcome> {
        let plan = match &self.plan {
            Some(plan) if self.in_cycle && !self.stale => Arc::clone(plan),
            _ => self.prepare(session).await?,
        };
        let outcome = if plan.shape.paged {
            self.read_pages(session, &plan, pages).await
        } else {
            self.read_stream(session, &plan, pages).await
        };
        match outcome {
            Ok(Outcome::More) => {}
            // pages go on where they stopped; a statement for all there is begins again
            Err(_) if plan.shape.paged => self.stale = true,
            _ => self.in_cycle = false,
        }
        outcome
    }

    /// Looks the table up, and at the beginning of a cycle sets its bounds.
    async fn prepare(&mut self, session: &mut dyn Session) -> Result<Arc<TablePlan>> {
        let plan = self.look_up(session).await?;
        self.stale = false;
        if !self.in_cycle {
            self.from.before = if self.config.mode.has_stamp() { Some(self.bound(session).await?) } else { None };
            self.from.key = None;
            self.set_fence(session, &plan).await?;
            self.in_cycle = true;
        }
        Ok(plan)
    }

    /// Stamps from here on are left for later: the server's clock, less the delay, and before the oldest transaction
    /// that may yet commit rows with stamps of its own.
    async fn bound(&mut self, session: &mut dyn Session) -> Result<i64> {
        let now = self.clock(session).await?;
        let mut delay = self.config.delay_ms.saturating_mul(1000);
        let mut oldest = None;
        if self.config.gap_tracking && !self.denied {
            oldest = self.oldest_transaction(session).await?;
        }
        if self.blind && self.config.delay_ms == 0 && self.config.gap_tracking {
            delay = BLIND_DELAY;
        }
        let bound = now.saturating_sub(delay);
        Ok(oldest.map_or(bound, |age| bound.min(now.saturating_sub(age).saturating_sub(SECOND))))
    }

    /// Microseconds since the oldest open transaction began, if there is one.
    async fn oldest_transaction(&mut self, session: &mut dyn Session) -> Result<Option<i64>> {
        self.blind = false;
        for _ in 0..SAMPLES {
            self.samples += 1;
            let mark = format!("sample {:p} {}", self, self.samples);
            match gap::oldest_transaction(session, &mark).await? {
                Oldest::None => return Ok(None),
                Oldest::Micros(age) => return Ok(Some(age)),
                Oldest::Stale => sleep(SAMPLE_AGAIN).await,
                Oldest::Denied => {
                    self.denied = true;
                    break;
                }
            }
        }
        self.blind = true;
        Ok(None)
    }

    /// What a person should know of this table beside its columns.
    pub fn warning(&self) -> Option<String> {
        let grant = self.blind.then(|| crate::dialect::of(self.config.target.database_kind())?.oldest_transaction());
        grant.flatten().map(|statements| {
            format!(
                "open transactions cannot be seen without the privilege {}: rows rest for {} ms instead, and one whose \
                 transaction stays open for longer is missed; grant it, or set timestamp.delay.interval.ms",
                statements.grant,
                if self.config.delay_ms == 0 { BLIND_DELAY / 1000 } else { self.config.delay_ms },
            )
        })
    }

    /// Sets the fence of a cycle, or looks whether the one that is set has been passed.
    async fn set_fence(&mut self, session: &mut dyn Session, plan: &TablePlan) -> Result<()> {
        self.fenced = false;
        self.from.up_to = None;
        let wanted = self.config.gap_tracking && self.config.mode == Mode::Incrementing && plan.shape.paged;
        if !wanted || !session.dialect().has_snapshots() {
            return Ok(());
        }
        let fence = match self.fence {
            Some(fence) => fence,
            None => match Fence::set(session, plan).await? {
                Some(fence) => fence,
                None => return Ok(()),
            },
        };
        self.fenced = !fence.is_passed(session).await?;
        self.fence = Some(fence).filter(|_| self.fenced);
        self.from.up_to = Some(fence.up_to);
        Ok(())
    }

    async fn read_pages(
        &mut self,
        session: &mut dyn Session,
        plan: &Arc<TablePlan>,
        pages: &mpsc::Sender<Chunk>,
    ) -> Result<Outcome> {
        let started = Instant::now();
        loop {
            let limit = self.page_rows;
            let statement = query::statement(&plan.shape, &self.from, limit, session.dialect());
            let mut page = session.read(&statement.sql, &statement.params, &plan.layout, PAGE_WEIGHT).await?;
            let full = page.cut || page.rows.len() as u64 >= limit;
            let waiting = self.hold_back(session, plan, &mut page).await?;
            self.page_rows = next_page_rows(&page, self.page_rows);
            self.advance(plan, &page)?;
            let ends = !full || waiting;
            if ends {
                // from here on only later stamps count, as the peers have it
                self.from.at = None;
            }
            if pages.send(Chunk { page, plan: Arc::clone(plan), ends }).await.is_err() || waiting {
                return Ok(Outcome::Waiting);
            }
            if ends {
                return Ok(Outcome::CaughtUp);
            }
            if started.elapsed() > TURN {
                return Ok(Outcome::More);
            }
        }
    }

    /// Cuts the page before the first id that an open transaction may yet commit. Returns whether it did.
    async fn hold_back(&self, session: &mut dyn Session, plan: &TablePlan, page: &mut Page) -> Result<bool> {
        let (Mode::Incrementing, true, Some(id)) = (self.config.mode, self.config.gap_tracking, plan.id) else {
            return Ok(false);
        };
        if self.fenced {
            page.rows.truncate(gap::without_gap(&page.rows, id, self.from.id.unwrap_or(-1))?);
            return Ok(true);
        }
        let Some(keep) = gap::safe_rows(session, plan, id, self.from.id.unwrap_or(-1), &page.rows).await? else {
            return Ok(false);
        };
        page.rows.truncate(keep);
        Ok(true)
    }

    /// One statement for all there is, its rows sent as they come.
    async fn read_stream(
        &mut self,
        session: &mut dyn Session,
        plan: &Arc<TablePlan>,
        pages: &mpsc::Sender<Chunk>,
    ) -> Result<Outcome> {
        let statement = query::statement(&plan.shape, &self.from, 0, session.dialect());
        let (sender, receiver) = mpsc::channel::<Page>(1);
        let forward = async {
            let mut plan = Arc::clone(plan);
            let mut receiver = receiver;
            let mut held: Option<Page> = None;
            while let Some(page) = receiver.recv().await {
                if let Some(settled) = plan.settled(&page.rows) {
                    plan = Arc::new(settled);
                }
                if let Some(page) = held.replace(page) {
                    self.advance(&plan, &page)?;
                    if pages.send(Chunk { page, plan: Arc::clone(&plan), ends: false }).await.is_err() {
                        return Ok(None);
                    }
                }
            }
            Ok::<_, Error>(held.map(|page| (page, plan)))
        };
        let read = async {
            let sender = sender;
            session.stream(&statement.sql, &statement.params, &plan.layout, PAGE_WEIGHT, &sender).await
        };
        let (read, last) = tokio::join!(read, forward);
        let last = last?;
        let failed = read.err();
        if let Some((page, plan)) = last {
            self.advance(&plan, &page)?;
            let _ = pages.send(Chunk { page, plan, ends: failed.is_none() }).await;
        }
        failed.map_or(Ok(Outcome::CaughtUp), Err)
    }

    /// Moves behind the page's last row.
    fn advance(&mut self, plan: &TablePlan, page: &Page) -> Result<()> {
        let Some(last) = page.rows.last() else { return Ok(()) };
        if let Some(id) = plan.id {
            self.from.id = Some(id_of(&last[id])?);
        }
        let key = || plan.order.iter().map(|i| last[*i].clone()).collect();
        match (self.config.mode, page.stamps.last()) {
            (Mode::Timestamp, Some(stamp)) => {
                self.from.at = if plan.shape.paged { Some((*stamp, key())) } else { None };
                self.from.stamp = Some(*stamp);
            }
            (Mode::TimestampIncrementing, Some(stamp)) => self.from.stamp = Some(*stamp),
            (Mode::Bulk, _) if plan.shape.paged => self.from.key = Some(key()),
            _ => {}
        }
        Ok(())
    }

    /// The server's clock on the calendar of the stamps.
    async fn clock(&self, session: &mut dyn Session) -> Result<i64> {
        let sql = session.dialect().clock();
        let row = session.query(sql, &[]).await?.into_iter().next().unwrap_or_default();
        let read = |n: usize| row.get(n).and_then(Value::as_str).and_then(parse_wall);
        let (Some(utc), Some(local)) = (read(0), read(1)) else {
            return Err(Error::fatal("the server's clock cannot be read"));
        };
        if self.stamps_are_instants() {
            return Ok(utc);
        }
        // date-times without zone were written by some clock: the server's, or one in db.timezone
        Ok(local.max(self.config.read.zone.wall(utc)))
    }

    fn stamps_are_instants(&self) -> bool {
        self.plan.as_ref().is_some_and(|p| p.stamp_is_instant)
    }

    fn zone(&self) -> Option<&Zone> {
        if self.stamps_are_instants() { None } else { Some(&self.config.read.zone) }
    }

    fn to_server(&self, instant: i64) -> i64 {
        self.zone().map_or(instant, |zone| zone.wall(instant))
    }
}

/// The offset to store for a place of reading.
pub fn reached(from: &From, mode: Mode, zone: Option<&Zone>) -> Reached {
    let instant = |stamp: i64| zone.map_or(stamp, |zone| zone.instant(stamp));
    Reached {
        stamp: from.stamp.filter(|_| mode.has_stamp()).map(instant),
        id: from.id.filter(|_| mode.has_id()),
        within: from
            .at
            .as_ref()
            .map(|(stamp, key)| Within { stamp: instant(*stamp), key: key.iter().map(offset_value).collect() }),
    }
}

/// The zone that stamps of that plan are wall times of; `None` when they are instants.
pub fn zone_of<'a>(plan: &TablePlan, config: &'a SourceConfig) -> Option<&'a Zone> {
    if plan.stamp_is_instant { None } else { Some(&config.read.zone) }
}

/// The id of a row.
/// Errors: `Record`, with Confluent's texts.
pub fn id_of(value: &Value) -> Result<i64> {
    match value {
        Value::Decimal(d) if d.scale() != 0 => {
            Err(Error::config("Scale of Decimal value for incrementing column must be 0"))
        }
        Value::Decimal(d) => d
            .unscaled_i128()
            .and_then(|n| i64::try_from(n).ok())
            .ok_or_else(|| Error::new(Kind::Record, "Decimal value for incrementing column exceeded Long.MAX_VALUE")),
        value => value.as_i64().ok_or_else(|| Error::record("Null value for incrementing column of type: INT64")),
    }
}

fn next_page_rows(page: &Page, now: u64) -> u64 {
    if page.rows.is_empty() {
        return now;
    }
    let each = (page.weight / page.rows.len()).max(1);
    let fitting = (PAGE_WEIGHT / each / 2) as u64;
    fitting.clamp(1, LARGEST_PAGE).min(now.saturating_mul(8))
}

fn key_value(value: &connector_api::OffsetValue) -> Value {
    match value {
        connector_api::OffsetValue::Long(n) => Value::I64(*n),
        connector_api::OffsetValue::Text(text) => Value::Text(text.as_str().into()),
        _ => Value::Null,
    }
}

fn offset_value(value: &Value) -> connector_api::OffsetValue {
    match value {
        Value::Text(text) => connector_api::OffsetValue::Text(text.to_string()),
        Value::Decimal(d) => connector_api::OffsetValue::Text(d.to_string()),
        value => value.as_i64().map_or(connector_api::OffsetValue::Null, connector_api::OffsetValue::Long),
    }
}
