//! The plan of a record shape: which columns it fills, and the SQL texts that were made for it. Pure.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same list"
)]

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Datum, Result, Schema, SinkRecord};

use super::bind::ColumnBinder;
use super::copy::CopyText;
use super::group::KeyIdentity;
use super::size::SizeLimits;
use crate::dialect::writing::{StatementColumns, UpsertAction, WriteDialect};
use crate::ident::TableId;

/// A record shape with everything needed to write it to its table.
pub struct WritePlan {
    /// Set if the topic determines which fields are written.
    pub(super) topic: Option<Arc<str>>,
    pub(super) key_schema: Option<Arc<Schema>>,
    pub(super) value_schema: Option<Arc<Schema>>,
    pub(super) tombstone: bool,
    /// Key columns first, then the others: the order of an UPDATE's WHERE and of a DELETE.
    pub keys: Vec<ColumnBinder>,
    /// The other columns; those that an UPDATE cannot set come last.
    pub values: Vec<ColumnBinder>,
    /// How far keys identify rows.
    pub identity: KeyIdentity,
    /// No unique index covers the key, so the database cannot detect an existing row: upserts try
    /// an UPDATE first.
    pub by_column: bool,
    /// Many rows can be updated by one statement.
    pub many: bool,
    /// The COPY statement for rows that are inserted together, or upserted and new.
    pub(super) copy: Option<Arc<str>>,
    pub(super) upsert: Option<UpsertAction>,
    pub(super) statements: HashMap<(StatementVerb, usize), Arc<str>>,
}

/// The record that a plan is made for.
#[derive(Clone, Copy)]
pub struct PlanSource<'a> {
    pub topic: &'a Arc<str>,
    pub key: &'a Datum,
    pub value: &'a Datum,
}

/// The kind of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatementVerb {
    /// INSERT, or its upsert.
    Insert,
    /// UPDATE of one row.
    Update,
    /// UPDATE of many rows.
    UpdateMany,
    Delete,
}

impl WritePlan {
    /// Returns the names of the columns of spatial types.
    pub fn spatial_columns(&self) -> impl Iterator<Item = &str> {
        let all = self.keys.iter().chain(&self.values);
        all.filter(|binder| binder.is_spatial())
            .map(|binder| &*binder.name)
    }

    /// True if the plan was made for these schemas; `same` compares two schemas.
    pub fn is_of(
        &self,
        PlanSource { topic, key, value }: PlanSource<'_>,
        same: fn(&Arc<Schema>, &Arc<Schema>) -> bool,
    ) -> bool {
        let both = |a: &Option<Arc<Schema>>, b: &Option<Arc<Schema>>| match (a, b) {
            (Some(a), Some(b)) => same(a, b),
            (None, None) => true,
            _ => false,
        };
        let tombstone = value.value.is_null();
        self.tombstone == tombstone
            && self.topic.as_ref().is_none_or(|own| own == topic)
            && (tombstone || both(&self.value_schema, &value.schema))
            && both(&self.key_schema, &key.schema)
    }

    /// The COPY statement for many rows, if it has the effect of an INSERT; with upserts, if none
    /// of the rows exists.
    pub fn copy(&self) -> Option<Arc<str>> {
        self.copy.clone()
    }

    /// Appends a record's row to the text of a COPY.
    /// Errors: `Record` if a value does not fit, or the row is larger than the server takes.
    pub fn copy_row(
        &self,
        record: &SinkRecord,
        largest: SizeLimits,
        text: &mut CopyText,
    ) -> Result<()> {
        let begin = text.as_str().len();
        for binder in self.keys.iter().chain(&self.values) {
            binder.append(record, text)?;
        }
        text.end_row();
        largest.admits(text.as_str().len() - begin)
    }

    /// The columns of a statement's parameters, in their order for one row: the first ones, then
    /// the second ones.
    pub fn parameters(&self, verb: StatementVerb) -> (&[ColumnBinder], &[ColumnBinder]) {
        let keys = self.keys.as_slice();
        match verb {
            StatementVerb::Delete => (keys, &[]),
            StatementVerb::Insert | StatementVerb::UpdateMany => (keys, &self.values),
            // a table of keys alone: its row is set to the key that it has
            StatementVerb::Update if self.set().is_empty() => (keys, keys),
            StatementVerb::Update => (self.set(), keys),
        }
    }

    /// The columns that an UPDATE sets.
    fn set(&self) -> &[ColumnBinder] {
        &self.values[..self
            .values
            .partition_point(|binder| !binder.always_numbered)]
    }

    /// True if the INSERT statement changes rows that exist already.
    pub fn is_upsert(&self) -> bool {
        self.upsert.is_some()
    }

    /// True if the plan's columns include those of another one.
    pub fn covers(&self, other: &Self) -> bool {
        let has = |name: &str| {
            self.keys
                .iter()
                .chain(&self.values)
                .any(|b| &*b.name == name)
        };
        other.keys.iter().chain(&other.values).all(|b| has(&b.name))
    }

    /// Returns the SQL text for that many rows; builds it on first use.
    pub fn sql(
        &mut self,
        writing: &WriteDialect,
        table: &TableId,
        verb: StatementVerb,
        rows: usize,
    ) -> Arc<str> {
        let (keys, values, upsert) = (&self.keys, &self.values, self.upsert);
        let text = self.statements.entry((verb, rows)).or_insert_with(|| {
            let keys: Vec<_> = keys.iter().map(ColumnBinder::statement_column).collect();
            let all: Vec<_> = keys
                .iter()
                .copied()
                .chain(values.iter().map(ColumnBinder::statement_column))
                .collect();
            let columns = StatementColumns {
                keys: &keys,
                all: &all,
            };
            Arc::from(match verb {
                StatementVerb::Insert => writing.insert(table, columns, rows, upsert),
                StatementVerb::Update => writing.update(table, columns),
                StatementVerb::UpdateMany => writing.update_many(table, columns, rows),
                StatementVerb::Delete => writing.delete(table, &keys, rows),
            })
        });
        Arc::clone(text)
    }
}
