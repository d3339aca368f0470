//! Determines what a column's values represent, from their schema and from the table's column.
//! Pure.

use std::sync::Arc;

use connector_api::{Schema, SchemaType};

use super::adapt::debezium;
use super::fit::{self, Fit, ValueMeaning};
use super::geometry::{self, GeometryFields};
use crate::catalog::ColumnMeta;
use crate::dialect::column_type::{SpatialFormat, TargetColumnType};
use crate::dialect::logical_type::{DATE, DATE_TIME, LogicalType, NUMBER, TIME};
use crate::dialect::source_type::BITS;
use crate::dialect::writing::{ValueRules, WriteDialect};

/// How values are bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindKind {
    Plain,
    Date,
    Time,
    Timestamp,
    /// Named in `timestamp.fields.list`.
    Instant,
    /// One of Debezium's types, in a date or time column.
    Debezium(debezium::DebeziumType),
    /// A span of time with that many units per second, in a date or time column.
    Span(i64),
    /// Debezium's bits, in a column of numbers.
    Bits,
    /// Debezium's geometry, in a spatial column.
    Geometry(GeometryFields, SpatialFormat),
    /// A map, or the text of a JSON object, in a column of PostgreSQL's hstore.
    Hstore,
}

/// The column that values are written to.
#[derive(Debug)]
pub(crate) struct KnownColumn {
    pub holds: TargetColumnType,
    pub uses: ColumnUses,
    /// Its type as the server writes it, with its length.
    pub ty: String,
    rules: ValueRules,
}

/// How a column's values are used.
#[derive(Clone, Debug)]
pub(crate) struct ColumnUses {
    /// The schema; `None` if each value has its own.
    pub schema: Option<Arc<Schema>>,
    /// Rows are looked up by them.
    pub key: bool,
    /// True if `timestamp.fields.list` names the column.
    pub instant: bool,
    /// They are items of arrays.
    pub items: bool,
}

impl KnownColumn {
    /// Describes a table's column.
    pub(crate) fn new(writing: &WriteDialect, meta: &ColumnMeta, uses: ColumnUses) -> Self {
        let holds = if uses.items {
            writing.columns.item_type(meta)
        } else {
            writing.columns.target_type(meta)
        };
        Self {
            holds,
            uses,
            ty: meta.column_type.clone(),
            rules: writing.capabilities.values,
        }
    }

    /// Returns the conversion of values of that kind.
    pub(crate) fn fit(&self, meaning: ValueMeaning) -> Fit {
        let (holds, ty) = (&self.holds, self.ty.as_str());
        fit::fit(
            meaning,
            fit::FitColumn {
                holds,
                ty,
                key: self.uses.key,
                rules: self.rules,
            },
        )
    }
}

/// Returns how values of a schema are bound in a column of that type, and what they are then.
pub(crate) fn kind_of(
    schema: &Schema,
    instant: bool,
    holds: Option<&TargetColumnType>,
) -> (BindKind, ValueMeaning) {
    match LogicalType::of(schema) {
        LogicalType::Date => return (BindKind::Date, ValueMeaning::Day),
        LogicalType::Time => return (BindKind::Time, ValueMeaning::OfDay),
        LogicalType::Timestamp => return (BindKind::Timestamp, ValueMeaning::Moment),
        _ if instant => return (BindKind::Instant, ValueMeaning::Moment),
        LogicalType::Decimal(_) => return (BindKind::Plain, ValueMeaning::Decimal),
        LogicalType::None => {}
    }
    for (name, meaning) in [
        (DATE, ValueMeaning::Day),
        (TIME, ValueMeaning::OfDay),
        (DATE_TIME, ValueMeaning::Moment),
        (NUMBER, ValueMeaning::Decimal),
    ] {
        if schema.is_named(name) {
            return (BindKind::Plain, meaning);
        }
    }
    if holds.is_some_and(TargetColumnType::is_temporal) {
        if let Some(per_second) = debezium::span(schema) {
            return (BindKind::Span(per_second), ValueMeaning::Span);
        }
        // a column with a zone reads the offset of a text itself
        let zoned = matches!(
            holds,
            Some(
                TargetColumnType::Time { zoned: true }
                    | TargetColumnType::DateTime { zoned: true, .. }
            )
        );
        match debezium::moment(schema) {
            Some((debezium::DebeziumType::Zoned | debezium::DebeziumType::ZonedOfDay, _))
                if zoned => {}
            Some((ty, meaning)) => return (BindKind::Debezium(ty), meaning),
            None => {}
        }
    }
    match (holds, schema.ty) {
        (Some(TargetColumnType::Spatial(format)), SchemaType::Struct) => {
            if let Some(fields) = geometry::fields(schema) {
                return (BindKind::Geometry(fields, *format), ValueMeaning::Other);
            }
        }
        (Some(TargetColumnType::Hstore), SchemaType::Map | SchemaType::String) => {
            return (BindKind::Hstore, ValueMeaning::Other);
        }
        (
            Some(TargetColumnType::Integer | TargetColumnType::Number | TargetColumnType::Loose),
            SchemaType::Bytes,
        ) if schema.is_named(BITS) => {
            return (BindKind::Bits, ValueMeaning::Whole { byte: false });
        }
        _ => {}
    }
    (BindKind::Plain, ValueMeaning::plain(schema))
}
