//! What PostgreSQL's columns hold. Pure.

use crate::catalog::ColumnMeta;
use crate::dialect::holds::Holds;

/// What the items of a column of arrays hold.
pub fn item_holds(column: &ColumnMeta) -> Holds {
    let name = column.data_type.as_str();
    let item = name.strip_prefix('_').unwrap_or(name);
    holds(&ColumnMeta { data_type: item.to_owned(), length: column.length, ..ColumnMeta::default() })
}

/// What a column holds.
pub fn holds(column: &ColumnMeta) -> Holds {
    match column.data_type.as_str() {
        "date" => Holds::Date,
        "time" => Holds::Time { zoned: false },
        "timetz" => Holds::Time { zoned: true },
        // the offset of a text is left out in silence
        "timestamp" => Holds::DateTime { zoned: false },
        "timestamptz" => Holds::DateTime { zoned: true },
        "interval" => Holds::Interval,
        "bit" => Holds::BitText(column.length.and_then(|n| u32::try_from(n).ok())),
        "varbit" => Holds::BitText(None),
        "int2" | "int4" | "int8" | "oid" => Holds::Integer,
        "numeric" | "float4" | "float8" => Holds::Number,
        "bool" => Holds::Flag,
        "text" | "varchar" | "bpchar" => Holds::Text,
        "bytea" => Holds::Bytes,
        // a cast to these cuts
        "name" => Holds::ShortText(63),
        "char" => Holds::ShortText(1),
        _ => Holds::Other,
    }
}
