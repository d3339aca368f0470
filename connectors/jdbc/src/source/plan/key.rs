//! Finds what deletion capture needs of a table: a primary key for `delete.capture`, a column for
//! `delete.marker.column`. Pure.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same list of columns"
)]

use std::sync::Arc;

use connector_api::{Error, Result, Schema, Value};

use super::mode_columns::suggestion;
use crate::catalog::{ColumnMeta, TableMeta};
use crate::dialect::Dialect;
use crate::dialect::read::{ReadColumn, ValueDecoding};
use crate::source::config::{SourceConfig, SourceMode};

/// The columns of a primary key, how they are read, and the schema of the record keys.
pub(crate) type KeyColumns<'a> = (Vec<&'a ColumnMeta>, Vec<ReadColumn>, Arc<Schema>);

/// Schema of the record keys, and the indexes of their columns.
pub(crate) type RecordKey = (Arc<Schema>, Vec<usize>);

/// Returns the columns that define the order of rows: the primary key, if all of it can be compared
/// as a parameter.
pub(crate) fn order<'a>(
    meta: &'a TableMeta,
    mode: SourceMode,
    dialect: &dyn Dialect,
) -> Vec<&'a ColumnMeta> {
    let key: Vec<_> = meta
        .primary_key
        .iter()
        .filter_map(|name| meta.column(name))
        .collect();
    let storable = |c: &&ColumnMeta| mode == SourceMode::Bulk || is_storable(c);
    if key.iter().all(|c| dialect.orders(c) && storable(c)) {
        key
    } else {
        Vec::new()
    }
}

/// True if offsets can hold the column's values: they hold text, but no bytes.
fn is_storable(column: &ColumnMeta) -> bool {
    !column.data_type.ends_with("binary") && column.data_type != "bytea"
}

/// Returns the key by which deleted rows are found, if `delete.capture` is on.
/// Errors: `Config` for a table without a suitable key.
pub(crate) fn keys<'a>(
    meta: &'a TableMeta,
    config: &SourceConfig,
    dialect: &dyn Dialect,
    key: Option<&RecordKey>,
    columns: &[ReadColumn],
) -> Result<Option<KeyColumns<'a>>> {
    if config.delete_capture.is_none() {
        return Ok(None);
    }
    let Some((schema, indexes)) = key else {
        return Err(Error::config(format!(
            "table {} has no primary key, which delete.capture=key_sweep needs to find deleted \
             rows: add one, exclude the table from the connector, or set delete.capture=none",
            meta.id
        )));
    };
    let reads: Vec<_> = indexes
        .iter()
        .filter_map(|i| columns.get(*i).cloned())
        .collect();
    let metas = order(meta, SourceMode::Bulk, dialect);
    let kept = |read: &ReadColumn| {
        matches!(
            read.read,
            ValueDecoding::Bool
                | ValueDecoding::Int(_)
                | ValueDecoding::DecimalInt(_)
                | ValueDecoding::Decimal
                | ValueDecoding::Scaled(_)
        ) || matches!(read.read, ValueDecoding::Text | ValueDecoding::Bytes)
    };
    if metas.len() != reads.len() || !reads.iter().all(kept) {
        return Err(Error::config(format!(
            "the primary key of table {} does not consist of integers, decimals, texts, binary \
             strings or UUIDs, so delete.capture=key_sweep cannot read it in order: exclude the \
             table from the connector, or set delete.capture=none",
            meta.id
        )));
    }
    Ok(Some((metas, reads, Arc::clone(schema))))
}

/// Returns the index of the column that marks a row as deleted.
/// Errors: `Config` when the table has no such column, or its type cannot mark rows.
pub(crate) fn marker(
    meta: &TableMeta,
    config: &SourceConfig,
    columns: &[ReadColumn],
    has_key: bool,
) -> Result<Option<usize>> {
    let Some(name) = &config.delete_marker else {
        return Ok(None);
    };
    let remedy = "exclude it from the connector, or unset delete.marker.column";
    let found = meta
        .column(name)
        .and_then(|c| columns.iter().position(|read| *read.name == c.name));
    let Some(at) = found else {
        let hint = suggestion(name, &meta.columns);
        return Err(Error::config(format!(
            "table {} has no column {name} (delete.marker.column): {remedy}{hint}",
            meta.id
        )));
    };
    if !has_key {
        let text = format!(
            "table {} has no primary key, which identifies the deleted row: {remedy}",
            meta.id
        );
        return Err(Error::config(text));
    }
    if matches!(columns[at].read, ValueDecoding::Text) {
        return Err(Error::config(format!(
            "column {name} of table {} is a text, which cannot mark a row as deleted \
             (delete.marker.column): it must be a boolean, a number or a date-time",
            meta.id
        )));
    }
    Ok(Some(at))
}

/// True if a marker says that its row is deleted: true, a number other than 0, any date or time;
/// never NULL.
pub(crate) fn is_deleted(column: &ReadColumn, marker: &Value) -> bool {
    let is_point_in_time = matches!(
        column.read,
        ValueDecoding::Date(_)
            | ValueDecoding::YearDate(..)
            | ValueDecoding::Time(_)
            | ValueDecoding::Timestamp(_)
    );
    match marker {
        Value::Null => false,
        _ if is_point_in_time => true,
        Value::Bool(marked) => *marked,
        Value::F32(n) => *n != 0.0,
        Value::F64(n) => *n != 0.0,
        Value::Decimal(decimal) => decimal.unscaled() != 0.into(),
        Value::Bytes(bits) => bits.iter().any(|byte| *byte != 0),
        other => other.as_i64().is_some_and(|n| n != 0),
    }
}

#[cfg(test)]
mod tests {
    use connector_api::{Decimal, SchemaType, Value};

    use super::is_deleted;
    use crate::calendar::Calendar;
    use crate::dialect::read::{ReadColumn, ValueDecoding};

    #[test]
    fn marks_are_true_other_than_zero_or_a_time() {
        let of = |read: ValueDecoding, value: Value| {
            is_deleted(&ReadColumn::new("d", true, read), &value)
        };
        let decimal = |n| Value::Decimal(Box::new(Decimal::new(n, 2)));
        for (read, live, deleted) in [
            (ValueDecoding::Bool, Value::Bool(false), Value::Bool(true)),
            (
                ValueDecoding::Int(SchemaType::Int8),
                Value::I8(0),
                Value::I8(-1),
            ),
            (ValueDecoding::F64, Value::F64(0.0), Value::F64(0.5)),
            (ValueDecoding::Decimal, decimal(0), decimal(1)),
            (
                ValueDecoding::Bytes,
                Value::Bytes([0].into()),
                Value::Bytes([1].into()),
            ),
            (
                ValueDecoding::Date(Calendar::Legacy),
                Value::Null,
                Value::I32(0),
            ),
        ] {
            assert!(
                !of(read.clone(), live.clone()) && !of(read.clone(), Value::Null),
                "{read:?} {live:?}"
            );
            assert!(of(read.clone(), deleted.clone()), "{read:?} {deleted:?}");
        }
    }
}
