//! The tables that the columns of a result come from.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use connector_api::Result;

use super::Session;
use crate::catalog::{ColumnMeta, TableMeta};
use crate::ident::TableId;

/// Tables that a result's columns come from; each is looked up once.
#[derive(Default)]
pub(super) struct OriginTables(HashMap<TableId, Option<TableMeta>>);

impl OriginTables {
    /// Returns a table's column as the catalog has it; `None` if it is not in the catalog.
    pub(super) async fn column(
        &mut self,
        session: &mut dyn Session,
        table: TableId,
        name: &str,
    ) -> Result<Option<&ColumnMeta>> {
        let meta = match self.0.entry(table) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let found = session.table(new.key()).await?;
                new.insert(found)
            }
        };
        Ok(meta.as_ref().and_then(|meta| meta.column(name)))
    }
}
