//! What SQLite's columns are declared to hold. Pure.
//!
//! SQLite keeps any value in any column; what is told here is what a reader of the column expects.

use super::read_types::affinity;
use crate::catalog::ColumnMeta;
use crate::dialect::holds::Holds;

/// What a column holds.
pub fn holds(column: &ColumnMeta) -> Holds {
    let name = column.data_type.as_str();
    let has = |part: &str| name.contains(part);
    match name {
        "date" => Holds::Date,
        "time" => Holds::Time { zoned: false },
        // a text with its offset is a form that SQLite's functions know
        "datetime" | "timestamp" => Holds::DateTime { zoned: true },
        "boolean" | "bool" => Holds::Flag,
        _ if has("int") => Holds::Integer,
        _ if has("char") || has("clob") || has("text") => Holds::Text,
        _ if has("real") || has("floa") || has("doub") || matches!(name, "numeric" | "decimal" | "number") => {
            Holds::Number
        }
        _ if affinity(name) == "numeric" => Holds::Loose,
        _ => Holds::Other,
    }
}
