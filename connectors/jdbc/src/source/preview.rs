//! What a task would read: tables, statements, columns, and the first records. Nothing is written:
//! the session is read-only, whatever a query calls.

use std::sync::Arc;

use connector_api::{
    ColumnPreview, Error, PreviewLimits, Record, Result, SourcePreview, StoredOffsets, TablePreview,
};

use crate::catalog::ColumnMeta;
use crate::driver::{ConnectOptions, ResultPage, RowLayout, Session};
use crate::ident::TableId;
use crate::source::cdc;
use crate::source::config::{SourceConfig, SourceMode};
use crate::source::plan::offset::SourceProgress;
use crate::source::plan::query::{self, ReadPosition, SqlStatement};
use crate::source::plan::table::TablePlan;
use crate::source::read::batch::{EmittedUpTo, PendingRows};
use crate::source::read::page::RowPage;
use crate::source::read::resume::start_position;
use crate::source::scheduler::reading_session;
use crate::source::tables::assignments::{TableAssignment, stored_place};
use crate::source::tables::look_up::{look_up_query, look_up_table};
use crate::source::tables::{probe, select};
use crate::source::visibility::by_timestamp;
use crate::source::visibility::overtake::EmitFilter;

/// Adds what the connector would read to `preview`.
/// Errors: those of the connection and of the list of tables; those of one table are part of the
/// preview.
pub(super) async fn preview(
    config: SourceConfig,
    stored: &dyn StoredOffsets,
    limits: PreviewLimits,
    preview: &mut SourcePreview,
) -> Result<()> {
    let once = ConnectOptions {
        attempts: 1,
        timeout: limits.connect,
        ..config.connect
    };
    let config = SourceConfig {
        connect: once,
        ..config
    };
    let mut session = reading_session(&config).await?;
    let outcome = look(&mut *session, config, stored, limits, preview).await;
    session.close().await;
    outcome
}

async fn look(
    session: &mut dyn Session,
    config: SourceConfig,
    stored: &dyn StoredOffsets,
    limits: PreviewLimits,
    preview: &mut SourcePreview,
) -> Result<()> {
    for statement in session.dialect().capabilities().read_only_session {
        session.run(statement).await?;
    }
    let config = Arc::new(probe::understood(session, config).await?);
    let ids: Vec<Option<TableId>> = match &config.query {
        Some(_) => vec![None],
        None => {
            let listed = probe::listed(session, &config).await?;
            let chosen = select::choose(&config, &listed, session.dialect())?;
            chosen.into_iter().map(Some).collect()
        }
    };
    preview.more_tables = ids.len().saturating_sub(limits.tables);
    let each = (limits.records / ids.len().max(1)).max(1);
    for id in ids.into_iter().take(limits.tables) {
        let left = limits.records.saturating_sub(preview.records.len());
        let place = TableAssignment::whole(id, None);
        let mut table = TablePreview {
            topic: config.topic_prefix.clone() + place.id.as_ref().map_or("", |id| &id.table),
            table: place
                .id
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            partition: place.partition(&config),
            whole: config.mode == SourceMode::Bulk && config.cdc.is_none(),
            ..TablePreview::default()
        };
        let looking = TableLook {
            session: &mut *session,
            config: &config,
            records: each.min(left),
            bytes: limits.bytes / limits.records.max(1) * each,
        };
        let looked = looking.table(place, stored, &mut table, preview).await;
        if let Err(error) = looked {
            let is_lost = session.is_lost();
            table.error = Some(error.to_string());
            preview.tables.push(table);
            if is_lost {
                return Err(error);
            }
            continue;
        }
        preview.tables.push(table);
    }
    Ok(())
}

/// The look at one table.
struct TableLook<'a> {
    session: &'a mut dyn Session,
    config: &'a Arc<SourceConfig>,
    /// Most records to read.
    records: usize,
    /// Most bytes to read.
    bytes: usize,
}

impl TableLook<'_> {
    /// Looks at a table in a transaction that cannot write.
    async fn table(
        self,
        place: TableAssignment,
        stored: &dyn StoredOffsets,
        table: &mut TablePreview,
        preview: &mut SourcePreview,
    ) -> Result<()> {
        let Self {
            session,
            config,
            records,
            bytes,
        } = self;
        let read_only = session.dialect().capabilities().read_only_transaction;
        if let Some(sql) = read_only {
            session.begin().await?;
            session.run(sql).await?;
        }
        let inner = TableLook {
            session: &mut *session,
            config,
            records,
            bytes,
        };
        let looked = inner.read(place, stored, table, preview).await;
        if read_only.is_some() {
            // the transaction has only read; it also ends with the connection
            if let Err(error) = session.rollback().await {
                tracing::debug!(%error, "the transaction of a preview cannot be rolled back");
            }
        }
        looked
    }

    async fn read(
        self,
        place: TableAssignment,
        stored: &dyn StoredOffsets,
        table: &mut TablePreview,
        preview: &mut SourcePreview,
    ) -> Result<()> {
        let Self {
            session,
            config,
            records,
            bytes,
        } = self;
        if let Some(text) = place
            .id
            .as_ref()
            .and_then(|id| select::topic_problem(config, id))
        {
            return Err(Error::config(text));
        }
        let (metas, plan) = match &place.id {
            Some(id) => {
                let (meta, plan) = look_up_table(session, id, config, None).await?;
                table.rows_estimated = meta.rows_estimated;
                table.key.clone_from(&meta.primary_key);
                (meta.columns, plan)
            }
            None => {
                let sql = config.query.as_deref().unwrap_or_default();
                let metas = session.describe(sql).await?;
                (metas, look_up_query(session, config, None).await?)
            }
        };
        table.warnings.clone_from(&plan.warnings);
        if !config.query_is_masked {
            table.columns = columns(&metas, &plan);
        }
        let reached = reached(config, &place, stored, table).await?;
        let mut from = start_position(reached.as_ref(), None, &plan, config, session).await?;
        if config.mode.has_timestamp() {
            from.before = Some(by_timestamp::now(session, &plan, &config.read.zone).await?);
        }
        let limit = records.max(1) as u64;
        let statement = query::statement(&plan.shape, &from, limit, session.dialect());
        if !config.query_is_masked {
            table.statement = Some(statement.sql.to_string());
        }
        // the records of mode=cdc are those of its own task
        if records == 0 || config.cdc.is_some() {
            return Ok(());
        }
        let (statement, layout) = limited(&plan, statement, limit);
        let page = session
            .read(&statement.sql, &statement.params, &layout, bytes.max(1))
            .await?;
        let topic = Arc::from(table.topic.as_str());
        let (read, warnings) = first_records(page, plan, from, (&topic, config, records))?;
        table.warnings.extend(warnings);
        preview.records.extend(read);
        Ok(())
    }
}

/// Returns the position from which a table is read on, and notes what is stored of it.
async fn reached(
    config: &SourceConfig,
    place: &TableAssignment,
    stored: &dyn StoredOffsets,
    table: &mut TablePreview,
) -> Result<Option<SourceProgress>> {
    if config.cdc.is_none() {
        let reached = stored_place(config, place.id.as_ref(), stored).await?;
        table.offset = reached.as_ref().map(SourceProgress::write);
        return Ok(reached);
    }
    let all = stored.all().await?;
    let log = all.into_iter().find(|it| cdc::owns_position(&it.partition));
    table.offset = log.and_then(|it| it.offset);
    table.warnings.push(
        "mode=cdc: the statement reads the rows that are there before the changes, which come \
         from the server's log"
            .to_owned(),
    );
    Ok(None)
}

/// Turns a page into records, and returns hints about their values.
fn first_records(
    page: ResultPage,
    plan: Arc<TablePlan>,
    from: ReadPosition,
    (topic, config, most): (&Arc<str>, &SourceConfig, usize),
) -> Result<(Vec<Record>, Vec<String>)> {
    let mut rows = PendingRows::new(RowPage {
        page,
        plan,
        ends: true,
        filter: EmitFilter::default(),
        ids: None,
        through: None,
    });
    let mut done = EmittedUpTo {
        from,
        ..EmittedUpTo::default()
    };
    let (read, _moved) = rows.take(most, topic, &mut done, config.mode)?;
    Ok((read, rows.warnings()))
}

/// Limits a statement that reads all rows at once.
fn limited(plan: &TablePlan, statement: SqlStatement, limit: u64) -> (SqlStatement, RowLayout) {
    let mut layout = plan.layout.clone();
    if plan.shape.paged {
        return (statement, layout);
    }
    layout.by_position = true;
    let sql = format!(
        "SELECT * FROM ({}\n) AS first_rows LIMIT {limit}",
        statement.sql
    );
    let params = statement.params;
    (
        SqlStatement {
            sql: sql.into(),
            params,
        },
        layout,
    )
}

fn columns(metas: &[ColumnMeta], plan: &TablePlan) -> Vec<ColumnPreview> {
    let column = |read: &crate::dialect::read::ReadColumn| {
        let meta = metas.iter().find(|meta| *meta.name == *read.name);
        ColumnPreview {
            column: read.name.to_string(),
            sql_type: meta
                .map(|meta| meta.column_type.clone())
                .unwrap_or_default(),
            field: read.name.to_string(),
            schema: Arc::clone(&read.schema),
            key: meta.is_some_and(|meta| meta.key_position.is_some()),
            new: false,
            warning: read.warning.clone(),
        }
    };
    plan.layout.columns.iter().map(column).collect()
}
