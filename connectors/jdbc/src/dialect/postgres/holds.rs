//! What PostgreSQL's columns hold. Pure.

use crate::catalog::ColumnMeta;
use crate::dialect::holds::Holds;

/// What the items of a column of arrays hold.
pub fn item_holds(column: &ColumnMeta) -> Holds {
    let name = column.data_type.as_str();
    let item = name.strip_prefix('_').or_else(|| name.strip_suffix("[]")).unwrap_or(name);
    holds(&ColumnMeta { data_type: item.to_owned(), length: column.length, ..ColumnMeta::default() })
}

/// What a column holds. Types go by their own names, and by those of `format_type`, which a statement's parameters have.
pub fn holds(column: &ColumnMeta) -> Holds {
    match column.data_type.as_str() {
        "date" => Holds::Date,
        "time" | "time without time zone" => Holds::Time { zoned: false },
        "timetz" | "time with time zone" => Holds::Time { zoned: true },
        // the offset of a text is left out in silence
        "timestamp" | "timestamp without time zone" => Holds::DateTime { zoned: false },
        "timestamptz" | "timestamp with time zone" => Holds::DateTime { zoned: true },
        "interval" => Holds::Interval,
        "bit" => Holds::BitText(column.length.and_then(|n| u32::try_from(n).ok())),
        "varbit" | "bit varying" => Holds::BitText(None),
        "int2" | "int4" | "int8" | "oid" | "smallint" | "integer" | "bigint" => Holds::Integer,
        "numeric" | "float4" | "float8" | "real" | "double precision" => Holds::Number,
        "bool" | "boolean" => Holds::Flag,
        "text" | "varchar" | "bpchar" | "character varying" | "character" => Holds::Text,
        // a cast to these cuts
        "name" => Holds::ShortText(63),
        "char" | "\"char\"" => Holds::ShortText(1),
        _ => Holds::Other,
    }
}
