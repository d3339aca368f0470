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
use super::polled::PolledIds;
use super::position::{TableFront, TableProgressStored};
use super::touched::TouchedKeys;
use super::traits::{self, RowEnd, TableDefinition};
use crate::binlog::rows::{Cell, RowChange};
use crate::binlog::table_map::{TableMap, code};
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
    /// The column until when a row was current, of a system-versioned table.
    row_end: Option<usize>,
}

/// True for the end of a row that is current: the last second of a TIMESTAMP, before MariaDB 11.5
/// or since.
fn is_still_current(end: &[u8]) -> bool {
    end.starts_with(&[0x7f, 0xff, 0xff, 0xff]) || end.starts_with(&[0xff; 4])
}

/// A table whose changes become records.
#[derive(Debug)]
pub(super) struct CapturedTable {
    pub meta: Arc<TableMeta>,
    /// Set for a system-versioned table.
    pub row_end: Option<RowEnd>,
    /// What another mode has emitted of it.
    pub polled: Option<Arc<PolledIds>>,
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
    /// Set while a snapshot of unknown position is made: rows that the log has changed since.
    pub touched: Option<TouchedKeys>,
    fitted: Option<FittedMap>,
    out_of_range: OutOfRangeColumns,
    scratch: Vec<u8>,
}

impl CapturedTable {
    /// Plans a table of that definition.
    pub(super) fn new(
        meta: Arc<TableMeta>,
        row_end: Option<RowEnd>,
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
            touched: None,
            fitted: None,
            scratch: Vec::new(),
            meta,
            row_end,
            polled: None,
        })
    }

    /// Takes up another definition.
    pub(super) fn redefine(
        &mut self,
        found: TableDefinition,
        config: &SourceConfig,
        dialect: &dyn Dialect,
    ) -> Result<()> {
        let front = self.front.clone();
        let meta = Arc::new(found.meta);
        let mut next = Self::new(meta, found.row_end, front, config, dialect)?;
        if found.cascades {
            let text = traits::cascade_warning(&next.meta.id);
            next.warnings.insert(text);
        }
        next.rows = self.rows;
        next.polled = self.polled.take();
        next.touched = self.touched.take();
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
            columns: (!self.stale).then(|| definition::write(&self.meta, self.row_end.as_ref())),
            polled: self.polled.as_deref().cloned(),
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
        let Some((columns, row_end)) = self.logged_columns(map) else {
            return Ok(false);
        };
        let mut fields = Vec::with_capacity(self.plan.layout.columns.len());
        for (index, meta) in columns.into_iter().zip(&self.meta.columns) {
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
        self.fitted = Some(FittedMap {
            id: map.id,
            fields,
            row_end,
        });
        Ok(true)
    }

    /// Returns where the map has each column of the table, and the one until when a row was
    /// current; `None` if it is the map of another definition.
    fn logged_columns(&self, map: &TableMap) -> Option<(Vec<usize>, Option<usize>)> {
        let mut columns: Vec<_> = (0..map.visible()).collect();
        let row_end = match &self.row_end {
            None => None,
            Some(RowEnd::Column(name)) => Some(
                self.meta
                    .columns
                    .iter()
                    .position(|column| column.name == *name)?,
            ),
            Some(RowEnd::Hidden) => {
                let hidden = match &map.names {
                    Some(names) => ["row_start", "row_end"]
                        .map(|hidden| names.iter().position(|name| name == hidden)),
                    None => [map.visible().checked_sub(2), map.visible().checked_sub(1)],
                };
                let [Some(start), Some(end)] = hidden else {
                    return None;
                };
                columns.retain(|column| *column != start && *column != end);
                Some(end)
            }
        };
        let is_end = |column: usize| {
            let code = map.columns.get(column).map(|column| column.code);
            code == Some(code::TIMESTAMP2)
        };
        let fits = columns.len() == self.meta.columns.len() && row_end.is_none_or(is_end);
        fits.then_some((columns, row_end))
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
        if self.is_before() {
            return Ok(());
        }
        match change {
            // rows that are not current any more: the history of a system-versioned table
            RowChange::Insert if self.is_over(after) => {}
            RowChange::Delete | RowChange::Update if self.is_over(before) => {}
            RowChange::Insert => {
                let row = self.row(after)?;
                self.put_read(row, out);
            }
            RowChange::Delete => {
                let row = self.row(before)?;
                self.delete(&row, out);
            }
            // a deleted row of a system-versioned table
            RowChange::Update if self.is_over(after) => {
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

    fn touch(&mut self, row: &[Value]) {
        if let Some(touched) = &mut self.touched {
            touched.insert(row, &self.plan.order);
        }
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
    pub(super) fn put_read(&mut self, row: Box<[Value]>, out: &mut Vec<Record>) {
        self.touch(&row);
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
    pub(super) fn delete(&mut self, row: &[Value], out: &mut Vec<Record>) {
        self.touch(row);
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

    /// True if none of the table's rows was emitted: its changes are of no concern, a snapshot will
    /// have them.
    pub(super) fn is_before(&self) -> bool {
        self.front == TableFront::Before && self.polled.is_none()
    }

    /// True if an image is of a row that was current in the past.
    fn is_over(&self, image: &[Cell<'_>]) -> bool {
        let Some(end) = self.fitted.as_ref().and_then(|fitted| fitted.row_end) else {
            return false;
        };
        matches!(image.get(end), Some(Cell::Bytes(bytes)) if !is_still_current(bytes))
    }

    /// True if another mode has emitted the row.
    pub(super) fn was_polled(&self, row: &[Value]) -> bool {
        let Some(polled) = &self.polled else {
            return false;
        };
        let mut columns = self.plan.layout.columns.iter();
        let column = columns.position(|column| *column.name == *polled.column);
        let number = column.and_then(|column| number(row.get(column)?));
        let id = number.filter(|(_, scale)| *scale == 0);
        id.and_then(|(id, _)| i64::try_from(id).ok())
            .is_some_and(|id| polled.has(id))
    }

    /// True unless a later snapshot will have the row: only keys of one number are compared, since
    /// the order of other keys is the server's. Changes of rows with other keys are passed on, and
    /// come a second time with the snapshot.
    fn is_read(&self, row: &[Value]) -> bool {
        let front = match &self.front {
            TableFront::Done => return true,
            TableFront::Before => return self.was_polled(row),
            TableFront::UpTo(front) => front,
        };
        let [column] = self.plan.order.as_slice() else {
            return true;
        };
        let numbers = (number(&row[*column]), front.first().and_then(number));
        match numbers {
            (Some((key, of)), Some((front, scale))) if of == scale => {
                key <= front || self.was_polled(row)
            }
            _ => true,
        }
    }
}

/// A number of a key as its digits and their scale.
fn number(value: &Value) -> Option<(i128, i32)> {
    match value {
        Value::Decimal(decimal) => Some((decimal.unscaled_i128()?, decimal.scale())),
        other => Some((other.as_i64()?.into(), 0)),
    }
}

fn is_unsigned(column_type: &str) -> bool {
    // ZEROFILL makes a column UNSIGNED
    column_type.contains("unsigned") || column_type.contains("zerofill")
}

fn key_of(row: &[Value], columns: &[usize]) -> Value {
    Value::Struct(columns.iter().map(|i| row[*i].clone()).collect())
}
