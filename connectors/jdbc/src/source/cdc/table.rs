//! One captured table: the changed rows of the log become records, with the schemas, keys and
//! topics of a polled table.

#![expect(
    clippy::indexing_slicing,
    reason = "a row has the columns of the definition that it was decoded by"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use connector_api::{Datum, Error, Record, Result, Value};

use super::definition;
use super::position::{TableFront, TableProgressStored};
use crate::binlog::rows::{Cell, RowChange};
use crate::binlog::table_map::TableMap;
use crate::binlog::value::ColumnReader;
use crate::catalog::TableMeta;
use crate::dialect::Dialect;
use crate::dialect::mysql::decode;
use crate::source::config::SourceConfig;
use crate::source::plan::key::is_deleted;
use crate::source::plan::table::{self, TablePlan};
use crate::source::read::out_of_range::OutOfRangeColumns;

/// How the columns of one table map are read.
#[derive(Debug)]
struct FittedMap {
    /// The map's number, which changes with every definition.
    id: u64,
    /// For each field of the record its column in the map, and how it is read.
    fields: Vec<(usize, ColumnReader)>,
}

/// A table whose changes become records.
#[derive(Debug)]
pub(super) struct CapturedTable {
    pub meta: Arc<TableMeta>,
    pub topic: Arc<str>,
    pub plan: TablePlan,
    pub front: TableFront,
    /// Set when a statement may have changed the table since `meta` was read.
    pub stale: bool,
    /// Set when what is stored of the table is not what it is now.
    pub changed: bool,
    /// Number of records since the task was opened.
    pub rows: u64,
    pub warnings: BTreeSet<String>,
    fitted: Option<FittedMap>,
    out_of_range: OutOfRangeColumns,
    scratch: Vec<u8>,
}

impl CapturedTable {
    /// Plans a table of that definition.
    pub(super) fn new(
        meta: Arc<TableMeta>,
        front: TableFront,
        config: &SourceConfig,
        dialect: &dyn Dialect,
    ) -> Result<Self> {
        let plan = table::plan(&meta, config, dialect)?;
        let mut warnings: BTreeSet<_> = plan.warnings.iter().cloned().collect();
        if plan.key.is_none() {
            warnings.insert(format!(
                "table {} has no primary key: its records have no key, and deleted rows are not \
                 reported",
                meta.id
            ));
        }
        Ok(Self {
            topic: format!("{}{}", config.topic_prefix, meta.id.table).into(),
            out_of_range: OutOfRangeColumns::of(&plan),
            plan,
            front,
            stale: false,
            changed: false,
            rows: 0,
            warnings,
            fitted: None,
            scratch: Vec::new(),
            meta,
        })
    }

    /// Takes up another definition.
    pub(super) fn redefine(
        &mut self,
        meta: TableMeta,
        config: &SourceConfig,
        dialect: &dyn Dialect,
    ) -> Result<()> {
        let front = self.front.clone();
        let mut next = Self::new(Arc::new(meta), front, config, dialect)?;
        next.rows = self.rows;
        next.warnings.append(&mut self.warnings);
        *self = next;
        self.changed = true;
        Ok(())
    }

    /// Tables are numbered again.
    pub(super) fn forget_map(&mut self) {
        self.fitted = None;
    }

    /// What is stored of the table.
    pub(super) fn stored(&self) -> TableProgressStored {
        TableProgressStored {
            front: self.front.clone(),
            // a stale one is looked up by the next run, too
            columns: (!self.stale).then(|| definition::write(&self.meta)),
        }
    }

    /// True if rows of that map can be decoded; false if the table had another definition when they
    /// were written, or may have had.
    /// Errors: `Config` for a column that cannot be read at all.
    pub(super) fn fits(&mut self, map: &TableMap) -> Result<bool> {
        if self.stale {
            return Ok(false);
        }
        if self
            .fitted
            .as_ref()
            .is_some_and(|fitted| fitted.id == map.id)
        {
            return Ok(true);
        }
        self.fitted = None;
        if map.visible() != self.meta.columns.len() {
            return Ok(false);
        }
        let mut fields = Vec::with_capacity(self.plan.layout.columns.len());
        for (index, meta) in self.meta.columns.iter().enumerate() {
            let named_so = map
                .names
                .as_ref()
                .is_none_or(|names| names[index] == meta.name);
            let signed_so = map.unsigned.as_ref().is_none_or(|unsigned| {
                meta.data_type == "year" || unsigned[index] == is_unsigned(&meta.column_type)
            });
            if !named_so || !signed_so {
                return Ok(false);
            }
            let reader = ColumnReader::of(map.columns[index], meta)
                .map_err(|error| Error::config(format!("table {}: {error}", self.meta.id)))?;
            let Some(reader) = reader else {
                return Ok(false);
            };
            if !meta.invisible {
                fields.push((index, reader));
            }
        }
        self.fitted = Some(FittedMap { id: map.id, fields });
        Ok(true)
    }

    /// Appends the records of one changed row.
    /// Errors: `Record` for a value that its field cannot hold.
    pub(super) fn change(
        &mut self,
        change: RowChange,
        before: &[Cell<'_>],
        after: &[Cell<'_>],
        out: &mut Vec<Record>,
    ) -> Result<()> {
        if self.front == TableFront::Before {
            return Ok(());
        }
        match change {
            RowChange::Insert => {
                let row = self.row(after)?;
                self.put_read(row, out);
            }
            RowChange::Delete => {
                let row = self.row(before)?;
                self.delete(&row, out);
            }
            RowChange::Update => {
                let old = self.row(before)?;
                let new = self.row(after)?;
                let moved = self
                    .plan
                    .key
                    .as_ref()
                    .is_some_and(|(_, key)| key.iter().any(|i| old[*i] != new[*i]));
                if moved {
                    self.delete(&old, out);
                }
                self.put_read(new, out);
            }
        }
        Ok(())
    }

    /// Decodes a row.
    fn row(&mut self, cells: &[Cell<'_>]) -> Result<Box<[Value]>> {
        let fitted = self.fitted.as_ref().ok_or_else(|| {
            Error::fatal("rows are decoded by the definition of their table, which is not known")
        })?;
        let mut row = Vec::with_capacity(fitted.fields.len());
        for ((index, reader), column) in fitted.fields.iter().zip(&self.plan.layout.columns) {
            row.push(match cells.get(*index) {
                Some(Cell::Bytes(bytes)) => {
                    let about = |error| {
                        Error::record(format!(
                            "column {} of table {}: {error}",
                            column.name, self.meta.id
                        ))
                    };
                    let (format, bytes) = reader.wire(bytes, &mut self.scratch).map_err(about)?;
                    decode::value(column, format, bytes)?
                }
                Some(Cell::Null) => Value::Null,
                Some(Cell::Absent) | None => return Err(self.without_columns()),
            });
        }
        Ok(row.into())
    }

    /// The error of an image that lacks columns.
    pub(super) fn without_columns(&self) -> Error {
        Error::config(format!(
            "the log has rows of table {} without all of their columns: a session has \
             binlog_row_image other than FULL. Set SET GLOBAL binlog_row_image=FULL, and read the \
             table again: stop the connector, delete its offsets and resume it",
            self.meta.id
        ))
    }

    /// Appends the record of a changed row, unless a later snapshot will have it.
    fn put_read(&mut self, row: Box<[Value]>, out: &mut Vec<Record>) {
        if self.is_read(&row) {
            self.put(row, out);
        }
    }

    /// Appends the record of a row as it is now.
    pub(super) fn put(&mut self, row: Box<[Value]>, out: &mut Vec<Record>) {
        let (value_schema, key_schema) = self.out_of_range.schemas(&row, &self.plan);
        self.warnings.extend(self.out_of_range.warnings());
        let key = match (&self.plan.key, key_schema) {
            (Some((_, columns)), Some(schema)) => Datum::new(schema, key_of(&row, columns)),
            _ => Datum::NONE,
        };
        let deleted = self
            .plan
            .marker
            .is_some_and(|column| is_deleted(&self.plan.layout.columns[column], &row[column]));
        let value = if deleted {
            Datum::NONE
        } else {
            Datum::new(value_schema, Value::Struct(row))
        };
        self.emit(key, value, out);
    }

    /// Appends the tombstone of a row that is gone.
    fn delete(&mut self, row: &[Value], out: &mut Vec<Record>) {
        if !self.is_read(row) {
            return;
        }
        let (_, schema) = self.out_of_range.schemas(row, &self.plan);
        let (Some((_, columns)), Some(schema)) = (&self.plan.key, schema) else {
            return;
        };
        let key = Datum::new(schema, key_of(row, columns));
        self.emit(key, Datum::NONE, out);
    }

    fn emit(&mut self, key: Datum, value: Datum, out: &mut Vec<Record>) {
        self.rows += 1;
        out.push(Record {
            topic: Arc::clone(&self.topic),
            partition: None,
            key,
            value,
            timestamp_ms: None,
            headers: Vec::new(),
        });
    }

    /// True unless a later snapshot will have the row: only keys of one integer are compared, since
    /// the order of other keys is the server's. Changes of rows with other keys are passed on, and
    /// come a second time with the snapshot.
    fn is_read(&self, row: &[Value]) -> bool {
        let TableFront::UpTo(front) = &self.front else {
            return self.front == TableFront::Done;
        };
        match (self.plan.order.as_slice(), front.as_slice()) {
            ([column], [front]) => match (row[*column].as_i64(), front.as_i64()) {
                (Some(key), Some(front)) => key <= front,
                _ => true,
            },
            _ => true,
        }
    }
}

fn is_unsigned(column_type: &str) -> bool {
    // ZEROFILL makes a column UNSIGNED
    column_type.contains("unsigned") || column_type.contains("zerofill")
}

fn key_of(row: &[Value], columns: &[usize]) -> Value {
    Value::Struct(columns.iter().map(|i| row[*i].clone()).collect())
}
