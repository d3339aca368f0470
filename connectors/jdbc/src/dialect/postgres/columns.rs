//! What PostgreSQL's columns hold. Pure.

use super::{PostgresDialect, widening};
use crate::catalog::ColumnMeta;
use crate::dialect::Dialect;
use crate::dialect::column_type::{SpatialFormat, TargetColumnType};
use crate::dialect::writing::{ColumnCapacity, ColumnDialect, TextEquality};

/// Columns of a PostgreSQL server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PostgresColumns;

impl ColumnDialect for PostgresColumns {
    /// Collations are deterministic unless a user creates others. char(n) has no trailing blanks.
    fn text_equality(&self, column: Option<&ColumnMeta>) -> TextEquality {
        let Some(column) = column else {
            return TextEquality::Exact;
        };
        match column.data_type.as_str() {
            "text" | "varchar" | "name" | "char" if !column.loose_collation => TextEquality::Exact,
            // UUIDs are normalized when they are bound.
            "enum" | "uuid" => TextEquality::Exact,
            "text" | "varchar" | "name" | "char" | "bpchar" => TextEquality::Folded,
            own if own.ends_with(".\"citext\"") => TextEquality::Folded,
            _ => TextEquality::Unknown,
        }
    }

    fn target_type(&self, column: &ColumnMeta) -> TargetColumnType {
        target_type(column)
    }

    fn item_type(&self, column: &ColumnMeta) -> TargetColumnType {
        item_type(column)
    }

    fn capacity(&self, column: &ColumnMeta) -> Option<ColumnCapacity> {
        widening::capacity(column)
    }

    /// Without length or scale: an explicit cast to those would silently truncate a value.
    fn cast(&self, column: &ColumnMeta) -> String {
        match (&column.own_type, column.data_type.as_str()) {
            (Some(own), _) => own.clone(),
            (None, "enum") => column.column_type.clone(),
            (None, "bit") => "pg_catalog.varbit".to_owned(),
            (None, ty) => format!("pg_catalog.{}", PostgresDialect.quoted(ty)),
        }
    }
}

/// Returns what the items of an array column hold.
fn item_type(column: &ColumnMeta) -> TargetColumnType {
    let name = column.data_type.as_str();
    let item = name.strip_prefix('_').unwrap_or(name);
    target_type(&ColumnMeta {
        data_type: item.to_owned(),
        length: column.length,
        ..ColumnMeta::default()
    })
}

/// Returns what a column holds.
fn target_type(column: &ColumnMeta) -> TargetColumnType {
    match column.data_type.as_str() {
        "date" => TargetColumnType::Date,
        "time" => TargetColumnType::Time { zoned: false },
        "timetz" => TargetColumnType::Time { zoned: true },
        // The server silently ignores the UTC offset of a text.
        "timestamp" => TargetColumnType::DateTime {
            zoned: false,
            instant: false,
        },
        "timestamptz" => TargetColumnType::DateTime {
            zoned: true,
            instant: true,
        },
        "interval" => TargetColumnType::Interval,
        "bit" => TargetColumnType::BitText(column.length.and_then(|n| u32::try_from(n).ok())),
        "varbit" => TargetColumnType::VarBits(column.length.and_then(|n| u32::try_from(n).ok())),
        "money" => TargetColumnType::Money,
        "int2" | "int4" | "int8" | "oid" => TargetColumnType::Integer,
        "numeric" | "float4" | "float8" => TargetColumnType::Number,
        "bool" => TargetColumnType::Flag,
        "text" | "varchar" | "bpchar" | "xml" => TargetColumnType::Text,
        own if own.ends_with(".\"citext\"") => TargetColumnType::Text,
        "point" => TargetColumnType::Spatial(SpatialFormat::Point),
        own if own.ends_with(".\"geometry\"") || own.ends_with(".\"geography\"") => {
            TargetColumnType::Spatial(SpatialFormat::PostGis)
        }
        own if own.ends_with(".\"hstore\"") => TargetColumnType::Hstore,
        "bytea" => TargetColumnType::Bytes,
        // A cast to these types truncates.
        "name" => TargetColumnType::ShortText(63),
        "char" => TargetColumnType::ShortText(1),
        "uuid" => TargetColumnType::Uuid,
        "inet" | "cidr" | "macaddr" | "macaddr8" => TargetColumnType::Address,
        _ => TargetColumnType::Other,
    }
}
