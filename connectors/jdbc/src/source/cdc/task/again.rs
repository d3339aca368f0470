//! Rows of the task's tables that are read again.

#![expect(
    clippy::indexing_slicing,
    reason = "the index is of this task's tables"
)]

use connector_api::{Error, ErrorKind, Result, SourcePosition, TaskRequest};

use super::CdcTask;

impl CdcTask {
    /// Begins or ends what a user asks for.
    pub(super) async fn take_request(
        &mut self,
        request: &TaskRequest,
    ) -> Result<Vec<SourcePosition>> {
        let tables = self.tables.iter();
        let (index, position) = self.rereads.request(request, tables, &self.config).await?;
        // what is open is of what was read again before
        self.page
            .take_if(|page| page.is_again && page.table == index);
        self.snapshot
            .take_if(|snapshot| snapshot.is_again && snapshot.table == index);
        Ok(vec![position])
    }

    /// The table of which a page is to be read again now.
    pub(super) fn next_again(&self) -> Option<usize> {
        self.rereads
            .next(|index| self.tables.get(index).map(|table| &table.front))
    }

    /// Emits rows that are read again, as many as a batch holds.
    pub(super) fn emit_again(&mut self) {
        let Some(page) = &mut self.page else {
            return;
        };
        let table = &mut self.tables[page.table];
        let room = self.config.batch_rows.saturating_sub(self.out.len());
        let rows: Vec<_> = page.rows.by_ref().take(room).collect();
        let ends = page.rows.len() == 0;
        let emitted = (rows.last().map(|row| &**row), rows.len());
        self.rereads
            .advance(page.table, emitted, &table.plan, ends && page.is_last);
        for row in rows {
            table.put(row, &mut self.out);
        }
        if ends {
            self.page = None;
        }
    }

    /// A snapshot could not be read. If rows are read again, that may end with the error; the log is
    /// read on.
    pub(super) fn not_read(&mut self, error: Error) -> Result<bool> {
        let is_lost = error.kind() == ErrorKind::Retry;
        match self.snapshot.take_if(|snapshot| snapshot.is_again) {
            Some(snapshot) if !is_lost => {
                self.rereads.failed(snapshot.table, &error);
                Ok(true)
            }
            _ => Err(error),
        }
    }
}
