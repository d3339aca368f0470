//! What SQLite's columns are declared to hold. Pure.
//!
//! SQLite keeps any value in any column; what is told here is what a reader of the column expects.

use super::read_types::affinity;
use crate::catalog::ColumnMeta;
use crate::dialect::column_type::TargetColumnType;

/// What a column holds.
pub fn holds(column: &ColumnMeta) -> TargetColumnType {
    let name = column.data_type.as_str();
    let has = |part: &str| name.contains(part);
    match name {
        "date" => TargetColumnType::Date,
        "time" => TargetColumnType::Time { zoned: false },
        // a text with its offset is a form that SQLite's functions know
        "datetime" | "timestamp" => TargetColumnType::DateTime {
            zoned: true,
            instant: false,
        },
        "boolean" | "bool" => TargetColumnType::Flag,
        _ if has("int") => TargetColumnType::Integer,
        _ if has("char") || has("clob") || has("text") => TargetColumnType::Text,
        _ if has("real")
            || has("floa")
            || has("doub")
            || matches!(name, "numeric" | "decimal" | "number") =>
        {
            TargetColumnType::Number
        }
        _ if affinity(name) == "numeric" => TargetColumnType::Loose,
        _ => TargetColumnType::Other,
    }
}
