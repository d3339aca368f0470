//! Chooses the [`Visibility`] of a mode, and the simplest of them.

use std::sync::Arc;

use connector_api::Result;

use super::by_id::ById;
use super::by_timestamp::ByTimestamp;
use super::{ReadContext, Visibility};
use crate::ident::TableId;
use crate::source::config::{SourceConfig, SourceMode};
use crate::source::plan::gaps::IdGaps;

/// Every row that is read may be emitted: bulk mode, databases with one writer at a time (SQLite),
/// ids of rows that are not read in pages, `gap.tracking=off` for ids.
#[derive(Debug)]
pub(crate) struct Immediate;

impl Visibility for Immediate {}

/// Returns what the configured mode needs for a table (or the query, without a name) that will be
/// read from the context's position; `gaps` are the missing ids stored with that position.
pub(crate) async fn choose(
    config: &Arc<SourceConfig>,
    table: Option<&TableId>,
    gaps: IdGaps,
    cx: &mut ReadContext<'_>,
) -> Result<Box<dyn Visibility>> {
    Ok(match config.mode {
        SourceMode::Timestamp | SourceMode::TimestampIncrementing => {
            Box::new(ByTimestamp::new(Arc::clone(config)))
        }
        SourceMode::Incrementing if ById::is_needed(config, cx) => {
            Box::new(ById::start(config, table, gaps, cx).await?)
        }
        SourceMode::Incrementing | SourceMode::Bulk => Box::new(Immediate),
    })
}
