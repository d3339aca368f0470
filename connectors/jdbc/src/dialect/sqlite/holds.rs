//! What SQLite's columns are declared to hold. Pure.
//!
//! SQLite stores any value in any column; this is what a reader of the column expects.

use super::read_types::affinity;
use crate::catalog::ColumnMeta;
use crate::dialect::column_type::TargetColumnType;

/// Returns what a column holds.
pub fn holds(column: &ColumnMeta) -> TargetColumnType {
    let name = column.data_type.as_str();
    let has = |part: &str| name.contains(part);
    match name {
        "date" => TargetColumnType::Date,
        "time" => TargetColumnType::Time { zoned: false },
        // SQLite's date functions parse a text with its UTC offset.
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
