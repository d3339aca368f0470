//! Incrementing mode: decides which ids may be emitted and which are asked for again.

#![expect(
    clippy::indexing_slicing,
    reason = "a row has the columns of the plan that it was read by"
)]

use std::sync::Arc;

use async_trait::async_trait;
use connector_api::Result;

use super::barrier::CommitBarrier;
use super::gap_tracker::GapTracker;
use super::{Admission, LateRows, PageIds, ReadContext, Visibility, uncommitted};
use crate::dialect;
use crate::driver::ResultPage;
use crate::ident::TableId;
use crate::source::config::SourceConfig;
use crate::source::plan::gaps::IdGaps;
use crate::source::plan::query::{self, PAGE_WEIGHT, id_of};

/// Maximum ranges of missing ids in one statement.
const ASKED: usize = 128;

/// The ids of one table.
#[derive(Debug)]
pub(super) struct ById {
    config: Arc<SourceConfig>,
    /// The table's name, for messages.
    table: String,
    tracker: GapTracker,
    /// Set while missing ids are asked for.
    asking: Option<AskedIds>,
}

/// How far the missing ids have been asked for again.
#[derive(Debug)]
struct AskedIds {
    /// Ids below this one have been asked for.
    next: i64,
    /// The id up to which no transaction is left that could still add a row, if that is known.
    settled: Option<i64>,
}

impl ById {
    /// True if ids can become visible out of order: transactions overlap on this database, and the
    /// rows are read in pages, so that a position passes their ids.
    pub(super) fn is_needed(config: &SourceConfig, cx: &ReadContext<'_>) -> bool {
        let database = cx.session.dialect().capabilities();
        let overlaps = database.has_snapshots || database.oldest_transaction.is_some();
        config.gap_tracking && cx.plan.shape.paged && overlaps
    }

    /// Starts at the context's position.
    pub(super) async fn start(
        config: &Arc<SourceConfig>,
        table: Option<&TableId>,
        gaps: IdGaps,
        cx: &mut ReadContext<'_>,
    ) -> Result<Self> {
        let database = cx.session.dialect().capabilities();
        let step = match database.id_step {
            Some(sql) => cx
                .session
                .query(sql, &[])
                .await?
                .first()
                .and_then(|row| row.first()?.as_i64())
                .unwrap_or(1),
            None => 1,
        };
        let id = cx.from.id.unwrap_or(-1);
        Ok(Self {
            config: Arc::clone(config),
            table: table.map(ToString::to_string).unwrap_or_default(),
            tracker: GapTracker::new(id, gaps, step, database.has_snapshots),
            asking: None,
        })
    }

    /// Checks whether the transactions that could still add rows have ended. `None`: no id is
    /// missing.
    async fn check_barrier(&mut self, cx: &mut ReadContext<'_>) -> Result<Option<AskedIds>> {
        let barrier = match self.tracker.begin() {
            Some(barrier) => barrier,
            None if !self.tracker.wants_barrier() => return Ok(None),
            None => {
                // All ids of a range have been assigned already, whether or not its last rows still
                // exist.
                let least = cx
                    .from
                    .up_to
                    .unwrap_or(i64::MIN)
                    .max(cx.from.id.unwrap_or(-1));
                let barrier = CommitBarrier::set(cx.session, cx.plan, least).await?;
                self.tracker.set(barrier);
                barrier
            }
        };
        let state = barrier.state(cx.session, &self.config.target).await?;
        Ok(Some(AskedIds {
            next: i64::MIN,
            settled: self.tracker.judge(state, self.config.gap_max_age),
        }))
    }

    /// Reads the next rows of missing ids. `None`: all of them have been asked for.
    async fn ask(
        &mut self,
        cx: &mut ReadContext<'_>,
        asked: &mut AskedIds,
    ) -> Result<Option<LateRows>> {
        let up_to = asked.settled.unwrap_or(i64::MAX);
        while asked.next < i64::MAX {
            let missing = self.tracker.gaps().ranges();
            let ranges: Vec<_> = missing
                .filter(|(first, last)| *last >= asked.next && *first <= up_to)
                .take(ASKED)
                .collect();
            let Some((_, end)) = ranges.last().copied() else {
                break;
            };
            let statement = query::within(&cx.plan.shape, &ranges, cx.session.dialect());
            let page = cx
                .session
                .read(
                    &statement.sql,
                    &statement.params,
                    &cx.plan.layout,
                    PAGE_WEIGHT,
                )
                .await?;
            if !page.cut {
                asked.next = end.saturating_add(1);
            }
            let id = cx.plan.id.unwrap_or_default();
            for row in &page.rows {
                self.tracker.fill(id_of(&row[id])?);
            }
            if !page.rows.is_empty() {
                return Ok(Some(self.late(page, i64::MIN)));
            }
            if asked.next == i64::MIN {
                break;
            }
        }
        Ok(None)
    }

    fn late(&self, page: ResultPage, settled: i64) -> LateRows {
        let ids = PageIds {
            late: true,
            settled,
            step: self.tracker.step(),
        };
        LateRows { page, ids }
    }
}

#[async_trait]
impl Visibility for ById {
    async fn late_rows(&mut self, cx: &mut ReadContext<'_>) -> Result<Option<LateRows>> {
        loop {
            // Taken out: after an error the next turn checks the barrier again and asks for all.
            let mut asked = match self.asking.take() {
                Some(asked) => asked,
                None => match self.check_barrier(cx).await? {
                    Some(asked) => asked,
                    None => return Ok(None),
                },
            };
            // Ask after checking the barrier and before settling: if its transactions have ended,
            // whatever they committed is visible to this query, and no row is given up unread.
            if let Some(late) = self.ask(cx, &mut asked).await? {
                self.asking = Some(asked);
                return Ok(Some(late));
            }
            let Some(up_to) = asked.settled else {
                return Ok(None);
            };
            let before = self.tracker.gaps().len();
            self.tracker.settle(up_to);
            self.tracker.end(false);
            if self.tracker.gaps().len() < before {
                return Ok(Some(self.late(ResultPage::default(), up_to)));
            }
        }
    }

    async fn admit(
        &mut self,
        cx: &mut ReadContext<'_>,
        page: &mut ResultPage,
    ) -> Result<Admission> {
        let Some(id) = cx.plan.id else {
            return Ok(Admission::All);
        };
        let above = cx.from.id.unwrap_or(-1);
        let Some(last) = page.rows.last().map(|row| id_of(&row[id])).transpose()? else {
            return Ok(Admission::All);
        };
        let count = page.rows.len();
        if last > self.tracker.settled()
            && let Some(keep) =
                uncommitted::safe_rows(cx.session, cx.plan, id, above, &page.rows).await?
        {
            page.rows.truncate(keep);
        }
        let ids = page.rows.iter().map(|row| id_of(&row[id]));
        let keep = self.tracker.admit(above, ids, last)?;
        page.rows.truncate(keep);
        Ok(if page.rows.len() < count {
            Admission::UntilCommit
        } else {
            Admission::All
        })
    }

    fn page_ids(&self) -> Option<PageIds> {
        Some(PageIds {
            late: false,
            settled: self.tracker.settled(),
            step: self.tracker.step(),
        })
    }

    fn is_settled(&self, up_to: i64) -> bool {
        self.tracker.settled() >= up_to
    }

    fn end_turn(&mut self, more: bool) {
        self.tracker.end(more);
    }

    fn gaps(&self) -> IdGaps {
        self.tracker.gaps().clone()
    }

    fn warnings(&self) -> Vec<String> {
        let grant = dialect::of(self.config.target.database_kind())
            .capabilities()
            .oldest_transaction;
        let seconds = self.config.gap_max_age.as_secs_f32();
        let mut warnings = Vec::new();
        if let (true, Some(grant)) = (self.tracker.is_denied(), grant) {
            warnings.push(format!(
                "open transactions are not visible without the privilege {}: a missing id is \
                 queried again for {seconds} s (gap.max.age.ms), and a row that is committed later \
                 is missed; grant the privilege",
                grant.grant
            ));
        }
        if self.tracker.expired() > 0 && !self.tracker.is_denied() {
            warnings.push(format!(
                "{} missing ids of {} were abandoned after {seconds} s (gap.max.age.ms) while \
                 transactions of their time were still open; rows with these ids that are \
                 committed later are missed",
                self.tracker.expired(),
                self.table
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connector_api::{Config, Value};

    use super::ById;
    use crate::catalog::{ColumnMeta, TableMeta};
    use crate::dialect;
    use crate::driver::ResultPage;
    use crate::ident::TableId;
    use crate::source::config::SourceConfig;
    use crate::source::plan::gaps::IdGaps;
    use crate::source::plan::query::ReadPosition;
    use crate::source::plan::table::{self, TablePlan};
    use crate::source::visibility::scripted_session::{ScriptedAnswer, ScriptedSession};
    use crate::source::visibility::{Admission, PageIds, ReadContext, Visibility};
    use crate::url::DatabaseKind;

    fn config(url: &str) -> Arc<SourceConfig> {
        let keys = [
            ("connection.url", url),
            ("mode", "incrementing"),
            ("incrementing.column.name", "id"),
        ];
        Arc::new(SourceConfig::read(&Config::from(keys)).unwrap())
    }

    /// The plan of `t (id INT PRIMARY KEY)`.
    fn plan(config: &SourceConfig) -> TablePlan {
        let int = match config.target.database_kind() {
            DatabaseKind::Postgres => "int4",
            DatabaseKind::MySql | DatabaseKind::Sqlite => "int",
        };
        let meta = TableMeta::of_columns(
            TableId::bare("t"),
            vec![ColumnMeta {
                name: "id".to_owned(),
                data_type: int.to_owned(),
                key_position: Some(0),
                ..ColumnMeta::default()
            }],
        );
        let dialect = dialect::of(config.target.database_kind());
        table::plan(&meta, config, dialect).unwrap()
    }

    fn page(ids: &[i32]) -> ResultPage {
        ResultPage {
            rows: ids.iter().map(|id| [Value::I32(*id)].into()).collect(),
            ..ResultPage::default()
        }
    }

    fn rows(rows: &[&[i64]]) -> ScriptedAnswer {
        let row = |row: &&[i64]| row.iter().map(|n| Value::I64(*n)).collect();
        ScriptedAnswer::Rows(rows.iter().map(row).collect())
    }

    /// What has been read before: rows up to the id 0.
    fn from() -> ReadPosition {
        ReadPosition {
            id: Some(0),
            ..ReadPosition::default()
        }
    }

    #[tokio::test]
    async fn rows_behind_an_id_that_is_not_committed_wait() {
        let config = config("jdbc:mariadb://by-id-1/d");
        let plan = plan(&config);
        let mut session = ScriptedSession::new(
            DatabaseKind::MySql,
            [
                ("auto_increment_increment", rows(&[&[1]])),
                ("CRC32", rows(&[&[4, 11, 0]])),
                ("SELECT", rows(&[&[1], &[2], &[3], &[5]])),
            ],
        );
        let mut from = from();
        let mut cx = ReadContext {
            session: &mut session,
            plan: &plan,
            from: &mut from,
        };
        assert!(ById::is_needed(&config, &cx));
        let mut ids = ById::start(&config, None, IdGaps::default(), &mut cx)
            .await
            .unwrap();
        let mut read = page(&[1, 2, 5]);
        let admission = ids.admit(&mut cx, &mut read).await.unwrap();
        assert_eq!(admission, Admission::UntilCommit);
        assert_eq!(read, page(&[1, 2]));
        assert!(ids.gaps().is_empty() && session.is_done());
    }

    #[tokio::test]
    async fn missing_ids_are_asked_for_until_their_transactions_have_ended() {
        let config = config("jdbc:mariadb://by-id-2/d");
        let plan = plan(&config);
        let no_transaction = ScriptedAnswer::Rows(vec![vec![
            Value::Null,
            Value::Null,
            Value::I64(1),
            Value::Null,
            Value::Null,
        ]]);
        let mut session = ScriptedSession::new(
            DatabaseKind::MySql,
            [
                ("auto_increment_increment", rows(&[&[1]])),
                ("MAX(", rows(&[&[5]])),
                ("processlist", ScriptedAnswer::Rows(Vec::new())),
                ("innodb_trx", no_transaction),
                ("BETWEEN", ScriptedAnswer::Page(page(&[3]))),
            ],
        );
        let mut from = ReadPosition {
            id: Some(5),
            ..from()
        };
        let mut cx = ReadContext {
            session: &mut session,
            plan: &plan,
            from: &mut from,
        };
        let mut gaps = IdGaps::default();
        gaps.insert(3, 4);
        let mut ids = ById::start(&config, None, gaps, &mut cx).await.unwrap();
        let late = ids.late_rows(&mut cx).await.unwrap().unwrap();
        let unsettled = PageIds {
            late: true,
            settled: i64::MIN,
            step: 1,
        };
        assert_eq!((late.page, late.ids), (page(&[3]), unsettled));
        // The id 4 was rolled back: it is given up, which is stored without a row.
        let late = ids.late_rows(&mut cx).await.unwrap().unwrap();
        let settled = PageIds {
            settled: 5,
            ..unsettled
        };
        assert_eq!((late.page, late.ids), (page(&[]), settled));
        assert!(ids.late_rows(&mut cx).await.unwrap().is_none());
        assert!(ids.gaps().is_empty() && ids.is_settled(5) && session.is_done());
    }

    #[tokio::test]
    async fn rows_behind_a_gap_wait_where_nothing_shows_whether_its_id_is_in_use() {
        let config = config("jdbc:postgresql://by-id-3/d");
        let plan = plan(&config);
        let mut session = ScriptedSession::new(DatabaseKind::Postgres, []);
        let mut from = from();
        let mut cx = ReadContext {
            session: &mut session,
            plan: &plan,
            from: &mut from,
        };
        let mut ids = ById::start(&config, None, IdGaps::default(), &mut cx)
            .await
            .unwrap();
        let mut read = page(&[1, 2, 5, 6]);
        let admission = ids.admit(&mut cx, &mut read).await.unwrap();
        assert_eq!((admission, read), (Admission::UntilCommit, page(&[1, 2])));
    }
}
