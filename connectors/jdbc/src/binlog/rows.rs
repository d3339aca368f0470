//! The rows of an event that changed rows.

use std::borrow::Cow;
use std::sync::Arc;

use super::BinlogError;
use super::reader::{ByteReader, bit};
use super::table_map::TableMap;

/// What happened to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowChange {
    Insert,
    Update,
    Delete,
}

/// Changed rows of one table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RowsEvent<'a> {
    pub change: RowChange,
    /// `None`: the log describes the table nowhere before this event.
    pub table: Arc<TableMap>,
    /// Which columns the images have: of the row before the change (or the only one), and after.
    images: [Vec<u8>; 2],
    rows: Cow<'a, [u8]>,
}

/// One value of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    /// The image does not have the column (`binlog_row_image` other than FULL).
    #[default]
    Absent,
    Null,
    /// The value's bytes, without the length before them.
    Bytes(&'a [u8]),
}

impl<'a> RowsEvent<'a> {
    /// Reads the body of a rows event behind its table and flags; `wide`: version 2, with extra
    /// data; `compressed`: the rows are.
    pub(super) fn read(
        mut r: ByteReader<'a>,
        table: Arc<TableMap>,
        change: RowChange,
        (wide, compressed): (bool, bool),
        max: usize,
    ) -> Result<Self, BinlogError> {
        let what = "a rows event";
        if wide {
            let extra = usize::from(r.u16(what)?).saturating_sub(2);
            r.take(extra, what)?;
        }
        let width = r.lenenc(what)?;
        if width != table.columns.len() {
            return Err(BinlogError(format!(
                "rows of table {}.{} have {width} columns, and its table map {}",
                table.database,
                table.table,
                table.columns.len()
            )));
        }
        let first = r.take(width.div_ceil(8), what)?.to_vec();
        let second = if change == RowChange::Update {
            r.take(width.div_ceil(8), what)?.to_vec()
        } else {
            Vec::new()
        };
        let rows = if compressed {
            super::compressed::zlib(r.rest(), max)?.into()
        } else {
            r.rest().into()
        };
        Ok(Self {
            change,
            table,
            images: [first, second],
            rows,
        })
    }

    /// Bytes of the rows.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Detaches the event from the bytes that it was read from.
    pub(crate) fn into_owned(self) -> RowsEvent<'static> {
        RowsEvent {
            change: self.change,
            table: self.table,
            images: self.images,
            rows: Cow::Owned(self.rows.into_owned()),
        }
    }

    /// True if every image has every column.
    pub(crate) fn is_full(&self) -> bool {
        let width = self.table.columns.len();
        let full = |image: &Vec<u8>| (0..width).all(|column| bit(image, column));
        let [first, second] = &self.images;
        full(first) && (self.change != RowChange::Update || full(second))
    }

    /// Reads the row at the byte `at` of the rows: `before` and `after` get its images, as far as
    /// the change has them. Returns where the next row is; `None` at the end.
    pub(crate) fn row<'r>(
        &'r self,
        at: usize,
        before: &mut Vec<Cell<'r>>,
        after: &mut Vec<Cell<'r>>,
    ) -> Result<Option<usize>, BinlogError> {
        before.clear();
        after.clear();
        let Some(rest) = self.rows.get(at..).filter(|rest| !rest.is_empty()) else {
            return Ok(None);
        };
        let mut r = ByteReader::new(rest);
        let [first, second] = &self.images;
        match self.change {
            RowChange::Insert => self.image(&mut r, first, after)?,
            RowChange::Delete => self.image(&mut r, first, before)?,
            RowChange::Update => {
                self.image(&mut r, first, before)?;
                self.image(&mut r, second, after)?;
            }
        }
        let next = self.rows.len() - r.rest().len();
        if next == at {
            return Err(BinlogError("a row has no bytes".into()));
        }
        Ok(Some(next))
    }

    fn image<'r>(
        &self,
        r: &mut ByteReader<'r>,
        present: &[u8],
        cells: &mut Vec<Cell<'r>>,
    ) -> Result<(), BinlogError> {
        let width = self.table.columns.len();
        let count = (0..width).filter(|column| bit(present, *column)).count();
        let nulls = r.take(count.div_ceil(8), "a row")?;
        let mut nth = 0;
        for (index, column) in self.table.columns.iter().enumerate() {
            cells.push(if !bit(present, index) {
                Cell::Absent
            } else {
                nth += 1;
                if bit(nulls, nth - 1) {
                    Cell::Null
                } else {
                    Cell::Bytes(column.take(r)?)
                }
            });
        }
        Ok(())
    }
}

/// Reads all rows. Returns their number.
pub(super) fn read_all(rows: &RowsEvent<'_>) -> Result<u64, BinlogError> {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let (mut at, mut count) = (0, 0);
    while let Some(next) = rows.row(at, &mut before, &mut after)? {
        at = next;
        count += 1;
        for cells in [&before, &after] {
            for (cell, column) in cells.iter().zip(&rows.table.columns) {
                if let Cell::Bytes(bytes) = cell {
                    super::value::any(*column, bytes)?;
                }
            }
        }
    }
    Ok(count)
}
