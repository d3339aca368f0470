//! What a column's values stand for: by their schema, and by what is known of the table's column. Pure.

use std::sync::Arc;

use connector_api::Schema;

use super::adapt::debezium;
use super::fit::{self, Fit, What};
use crate::catalog::ColumnMeta;
use crate::dialect::holds::Holds;
use crate::dialect::writing::{DATE, DATE_TIME, Logical, TIME, Writing};
use crate::url::Database;

/// How values are bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As they are.
    Plain,
    /// Connect's Date.
    Date,
    /// Connect's Time.
    Time,
    /// Connect's Timestamp.
    Timestamp,
    /// Named in `timestamp.fields.list`.
    Instant,
    /// One of Debezium's types, in a column of dates or times.
    Meant(debezium::Meaning),
    /// A span of time in so many units a second, in such a column.
    Span(i64),
}

/// What is known of the column that values go to.
#[derive(Debug)]
pub struct Known {
    /// What it holds.
    pub holds: Holds,
    /// What its values are.
    pub uses: Uses,
    ty: String,
    database: Database,
}

/// What a column's values are.
#[derive(Clone, Debug)]
pub struct Uses {
    /// Their schema; `None`: it comes with each.
    pub schema: Option<Arc<Schema>>,
    /// Whether rows are found by them.
    pub key: bool,
    /// Whether `timestamp.fields.list` names them.
    pub instant: bool,
    /// Whether they are items of arrays.
    pub items: bool,
}

impl Known {
    /// Of a table's column.
    pub fn new(writing: &dyn Writing, meta: &ColumnMeta, uses: Uses) -> Self {
        let holds = if uses.items { writing.item_holds(meta) } else { writing.holds(meta) };
        Self { holds, uses, ty: meta.column_type.clone(), database: writing.database() }
    }

    /// What is done to values of that kind.
    pub fn fit(&self, what: What) -> Fit {
        let (holds, ty) = (&self.holds, self.ty.as_str());
        fit::fit(what, fit::Column { holds, ty, key: self.uses.key, database: self.database })
    }
}

/// How values of a schema are bound where the column holds that, and what they are then.
pub fn kind_of(schema: &Schema, instant: bool, holds: Option<&Holds>) -> (Kind, What) {
    match Logical::of(schema) {
        Logical::Date => return (Kind::Date, What::Day),
        Logical::Time => return (Kind::Time, What::OfDay),
        Logical::Timestamp => return (Kind::Timestamp, What::Moment),
        _ if instant => return (Kind::Instant, What::Moment),
        Logical::Decimal(_) => return (Kind::Plain, What::Decimal),
        Logical::None => {}
    }
    for (name, what) in [(DATE, What::Day), (TIME, What::OfDay), (DATE_TIME, What::Moment)] {
        if schema.is_named(name) {
            return (Kind::Plain, what);
        }
    }
    if holds.is_some_and(Holds::is_temporal) {
        if let Some(per_second) = debezium::span(schema) {
            return (Kind::Span(per_second), What::Span);
        }
        // a column with a zone reads the offset of a text itself
        let zoned = matches!(holds, Some(Holds::Time { zoned: true } | Holds::DateTime { zoned: true }));
        match debezium::moment(schema) {
            Some((debezium::Meaning::Zoned | debezium::Meaning::ZonedOfDay, _)) if zoned => {}
            Some((meaning, what)) => return (Kind::Meant(meaning), what),
            None => {}
        }
    }
    (Kind::Plain, What::plain(schema))
}
