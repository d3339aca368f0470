//! What statements in the log do to the tables of the task.

#![expect(
    clippy::indexing_slicing,
    reason = "the index is of this task's tables"
)]

use connector_api::{Error, Result};

use super::super::ddl::{LoggedStatement, TableWords};
use super::super::table::CapturedTable;
use super::CdcTask;

impl CdcTask {
    /// Passes over a change that the log does not have, if it is of other databases: the statement
    /// ran in none with a captured table, and names none.
    pub(super) fn pass_over(&mut self, error: Error, names: Option<Vec<String>>) -> Result<()> {
        let Some(names) = names else {
            return Err(error);
        };
        let is_named = |name: &str| names.contains(&name.to_lowercase());
        let concerns = self
            .tables
            .iter()
            .any(|table| table.meta.id.catalog.as_deref().is_none_or(is_named));
        if concerns {
            return Err(error);
        }
        let text = "sessions of other databases log statements in place of the rows that they \
                    change (binlog_format other than ROW): a trigger there that changes a captured \
                    table would not be noticed";
        self.warnings.insert(text.to_owned());
        Ok(())
    }

    /// A statement concerns tables.
    pub(super) fn define(&mut self, statement: LoggedStatement, database: &str) -> Result<()> {
        match statement {
            LoggedStatement::Defines(names) => {
                for index in self.captured(&names, database) {
                    self.altered(index);
                }
                Ok(())
            }
            LoggedStatement::Drops(names) => {
                for index in self.captured(&names, database) {
                    self.dropped(index);
                }
                Ok(())
            }
            LoggedStatement::DropsDatabase(name) => {
                let of = |table: &CapturedTable| table.meta.id.catalog.as_ref() == Some(&name);
                let dropped = (0..self.tables.len()).filter(|index| of(&self.tables[*index]));
                dropped
                    .collect::<Vec<_>>()
                    .into_iter()
                    .for_each(|index| self.dropped(index));
                Ok(())
            }
            LoggedStatement::Empties(names) => {
                for index in self.captured(&names, database) {
                    self.emptied(index)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The indexes of captured tables among those names.
    fn captured(&self, names: &[TableWords], database: &str) -> Vec<usize> {
        let index = |(of, table): &TableWords| {
            let database = of.as_deref().unwrap_or(database);
            self.tables.iter().position(|captured| {
                let id = &captured.meta.id;
                id.table.eq_ignore_ascii_case(table)
                    && id
                        .catalog
                        .as_deref()
                        .is_some_and(|own| own.eq_ignore_ascii_case(database))
            })
        };
        names.iter().filter_map(index).collect()
    }

    /// A table's definition may have changed: rows that follow need it again, and so does a snapshot
    /// that is read.
    fn altered(&mut self, index: usize) {
        let table = &mut self.tables[index];
        (table.stale, table.changed) = (true, true);
        if self
            .snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.table == index)
        {
            self.snapshot = None;
        }
    }

    /// A table is dropped. If another of its name follows, its rows are captured.
    fn dropped(&mut self, index: usize) {
        self.altered(index);
        let table = &mut self.tables[index];
        table.warnings.insert(format!(
            "table {} was dropped: its rows are not reported as deleted",
            table.meta.id
        ));
    }

    /// Rows of a table have gone away without being logged.
    fn emptied(&mut self, index: usize) -> Result<()> {
        self.altered(index);
        let table = &mut self.tables[index];
        let text = format!(
            "table {} was truncated, or a partition of it truncated, dropped or exchanged: the log \
             does not have the rows that went away or came",
            table.meta.id
        );
        if table.is_before() || !self.settings.truncate_fails {
            table.warnings.insert(text);
            return Ok(());
        }
        Err(Error::config(format!(
            "{text}. Remove the rows where they were copied to, then set \
             truncate.handling=ignore and restart the task; set it back afterwards"
        )))
    }
}
