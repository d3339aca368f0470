//! What PostgreSQL's columns hold. Pure.

use crate::catalog::ColumnMeta;
use crate::dialect::column_type::TargetColumnType;

/// Returns what the items of an array column hold.
pub fn item_holds(column: &ColumnMeta) -> TargetColumnType {
    let name = column.data_type.as_str();
    let item = name.strip_prefix('_').unwrap_or(name);
    holds(&ColumnMeta {
        data_type: item.to_owned(),
        length: column.length,
        ..ColumnMeta::default()
    })
}

/// Returns what a column holds.
pub fn holds(column: &ColumnMeta) -> TargetColumnType {
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
        "varbit" => TargetColumnType::BitText(None),
        "int2" | "int4" | "int8" | "oid" => TargetColumnType::Integer,
        "numeric" | "float4" | "float8" => TargetColumnType::Number,
        "bool" => TargetColumnType::Flag,
        "text" | "varchar" | "bpchar" => TargetColumnType::Text,
        "bytea" => TargetColumnType::Bytes,
        // A cast to these types truncates.
        "name" => TargetColumnType::ShortText(63),
        "char" => TargetColumnType::ShortText(1),
        "uuid" => TargetColumnType::Uuid,
        "inet" | "cidr" | "macaddr" | "macaddr8" => TargetColumnType::Address,
        _ => TargetColumnType::Other,
    }
}
