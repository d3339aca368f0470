//! Looks up the current definition of one table or query, and plans it.

use std::sync::Arc;

use connector_api::{Error, Result};

use super::probe;
use crate::catalog::TableMeta;
use crate::driver::Session;
use crate::ident::TableId;
use crate::source::config::SourceConfig;
use crate::source::plan::table::{self, TablePlan};

/// Looks up a table. Returns the plan of `known` while the definition is the same, unless its values
/// could not be checked before.
/// Errors: `Config` when the table does not exist or does not fit the mode.
pub(crate) async fn look_up_table(
    session: &mut dyn Session,
    id: &TableId,
    config: &SourceConfig,
    known: Option<(&TableMeta, &Arc<TablePlan>)>,
) -> Result<(TableMeta, Arc<TablePlan>)> {
    let meta = session.table(id).await?.ok_or_else(|| {
        Error::config(format!(
            "table {id} does not exist any more: create it again, or remove it from the \
             connector's tables"
        ))
    })?;
    let same =
        known.filter(|(old, _)| old.columns == meta.columns && old.primary_key == meta.primary_key);
    let plan = match same {
        Some((_, plan)) => judged_again(session, plan).await?,
        None => {
            let plan = table::plan(&meta, config, session.dialect())?;
            Arc::new(probe::values(session, plan).await?)
        }
    };
    Ok((meta, plan))
}

/// Looks up the columns of the query. Returns the plan `known` while they are the same.
/// Errors: `Config` when the query does not fit the mode.
pub(crate) async fn look_up_query(
    session: &mut dyn Session,
    config: &SourceConfig,
    known: Option<&Arc<TablePlan>>,
) -> Result<Arc<TablePlan>> {
    let query = config.query.as_deref().unwrap_or_default();
    let columns = session.describe(query).await?;
    let plan = table::plan_query(query, &columns, config, session.dialect())?;
    match known.filter(|known| known.shape == plan.shape && known.layout == plan.layout) {
        Some(known) => judged_again(session, known).await,
        None => Ok(Arc::new(probe::values(session, plan).await?)),
    }
}

/// Checks the values of timestamp columns that had none when the plan was made. Returns the same
/// plan while that is so.
/// Errors: `Config` when the values are not times.
async fn judged_again(session: &mut dyn Session, known: &Arc<TablePlan>) -> Result<Arc<TablePlan>> {
    if known.values_sql.is_none() {
        return Ok(Arc::clone(known));
    }
    let plan = probe::values(session, TablePlan::clone(known)).await?;
    Ok(if plan == **known {
        Arc::clone(known)
    } else {
        Arc::new(plan)
    })
}

/// Returns the smallest and the greatest id. `None` for an empty table, and if rows are not read by
/// id.
pub(crate) async fn id_bounds(
    session: &mut dyn Session,
    plan: &TablePlan,
) -> Result<Option<(i64, i64)>> {
    let Some(id) = plan.shape.id.as_deref().filter(|_| plan.shape.paged) else {
        return Ok(None);
    };
    let of = session.dialect().capabilities().system_prefix;
    let sql = format!(
        "SELECT {of}MIN({id}), {of}MAX({id}) FROM {}",
        plan.table_sql
    );
    let found = session.query(&sql, &[]).await?;
    let number = |n: usize| found.first()?.get(n)?.as_i64();
    Ok(number(0).zip(number(1)))
}
