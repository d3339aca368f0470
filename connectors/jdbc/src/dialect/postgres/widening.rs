//! Widens PostgreSQL's columns, and maps the types that records carry. Pure.

use connector_api::{Schema, SchemaType};

use super::super::Dialect;
use super::super::logical_type::LogicalType;
use super::super::source_type::{SourceColumn, SourceType};
use super::super::writing::{ColumnCapacity, ColumnWidening, grown_decimal};
use super::PostgresDialect;
use super::ddl::MOST_BITS;
use crate::catalog::ColumnMeta;
use crate::url::DatabaseKind;

/// Most digits of a NUMERIC that states them.
const NUMERIC_DIGITS: i32 = 1000;

/// Returns how much a column's values can hold.
pub(crate) fn capacity(column: &ColumnMeta) -> Option<ColumnCapacity> {
    let bits = |bits| {
        Some(ColumnCapacity::Bits {
            bits,
            unsigned: false,
        })
    };
    match column.data_type.as_str() {
        "varchar" | "bpchar" => column.length.map(ColumnCapacity::Characters),
        "numeric" => ColumnCapacity::of_decimal(column),
        "int2" => bits(16),
        "int4" => bits(32),
        _ => None,
    }
}

/// Returns a type that also holds values of that length; texts get one for any length.
pub(crate) fn type_for_length(column: &ColumnMeta, length: u64) -> Option<String> {
    match column.data_type.as_str() {
        "varchar" | "bpchar" => Some("pg_catalog.text".to_owned()),
        "numeric" => {
            let (whole, scale) = (i32::try_from(length).ok()?, column.scale?);
            Some(numeric(whole.checked_add(scale)?, scale))
        }
        "int2" if length <= 32 => Some("INT".to_owned()),
        "int2" | "int4" if length <= 64 => Some("BIGINT".to_owned()),
        _ => None,
    }
}

/// Returns the type for that many digits; one without a limit if there are more than a type can
/// state.
fn numeric(precision: i32, scale: i32) -> String {
    if precision <= NUMERIC_DIGITS {
        format!("NUMERIC({precision},{scale})")
    } else {
        "NUMERIC".to_owned()
    }
}

/// Returns a wider type for the values of a schema that the column's type cannot hold.
pub(crate) fn type_for_schema(column: &ColumnMeta, schema: &Schema) -> Option<String> {
    let plain = LogicalType::of(schema) == LogicalType::None;
    let ty = match (column.data_type.as_str(), schema.ty) {
        ("int2", SchemaType::Int32) if plain => "INT",
        ("int2" | "int4", SchemaType::Int64) if plain => "BIGINT",
        ("float4", SchemaType::Float64) => "DOUBLE PRECISION",
        ("numeric", _) => {
            let (precision, scale) = grown_decimal(column, schema)?;
            return Some(numeric(precision, scale));
        }
        _ => return None,
    };
    Some(ty.to_owned())
}

/// Returns `ALTER TABLE … ALTER COLUMN` for these changes.
pub(crate) fn alter_columns(table: &str, changes: &[ColumnWidening]) -> String {
    let change = |change: &ColumnWidening| {
        let name = PostgresDialect.quoted(&change.column.name);
        let ty = change
            .ty
            .as_ref()
            .map(|ty| format!("ALTER COLUMN {name} TYPE {ty}"));
        let null = change
            .nullable
            .then(|| format!("ALTER COLUMN {name} DROP NOT NULL"));
        [ty, null]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(",\n")
    };
    format!(
        "ALTER TABLE {table}\n{}",
        changes.iter().map(change).collect::<Vec<_>>().join(",\n")
    )
}

/// Types that no index of a primary key takes.
const WITHOUT_ORDER: [&str; 11] = [
    "box", "circle", "json", "jsonpath", "line", "lseg", "path", "point", "polygon", "xid8", "xml",
];

/// Returns one of PostgreSQL's own types.
fn own_type(name: &str, length: Option<u32>, array: bool) -> String {
    let length = length.map_or_else(String::new, |length| format!("({length})"));
    let brackets = if array { "[]" } else { "" };
    format!("pg_catalog.{name}{length}{brackets}")
}

/// Returns the type of a new column from the source column's type that the records carry.
pub(crate) fn type_like_source(source: &SourceColumn, key: bool) -> Option<String> {
    let own = match source.from {
        Some(DatabaseKind::Postgres) => true,
        None | Some(DatabaseKind::MySql | DatabaseKind::Sqlite) => false,
    };
    let digits = |name: &str, digits: &Option<u32>| match digits.filter(|digits| *digits <= 6) {
        Some(digits) => format!("{name}({digits})"),
        None => name.to_owned(),
    };
    Some(match &source.kind {
        SourceType::Int(1, _) | SourceType::Int(2, false) => "SMALLINT".to_owned(),
        SourceType::Int(2, true)
        | SourceType::Int(3 | 4, false)
        | SourceType::Int(3, true)
        | SourceType::Year => "INT".to_owned(),
        SourceType::Int(8, true) => "NUMERIC(20)".to_owned(),
        SourceType::Int(..) => "BIGINT".to_owned(),
        SourceType::Float => "REAL".to_owned(),
        SourceType::Double => "DOUBLE PRECISION".to_owned(),
        SourceType::Decimal(precision, scale) => format!("NUMERIC({precision},{scale})"),
        SourceType::Char(length) if own => format!("CHAR({length})"),
        SourceType::Char(length) | SourceType::VarChar(length) => format!("VARCHAR({length})"),
        SourceType::Text(_) | SourceType::Enum(_) | SourceType::Set(_) => {
            "pg_catalog.text".to_owned()
        }
        SourceType::Json => "pg_catalog.jsonb".to_owned(),
        SourceType::Uuid => "pg_catalog.uuid".to_owned(),
        SourceType::Inet4 | SourceType::Inet6 | SourceType::Inet => "pg_catalog.inet".to_owned(),
        SourceType::Binary(_) | SourceType::VarBinary(_) | SourceType::Blob(_) => {
            "pg_catalog.bytea".to_owned()
        }
        SourceType::Date => "pg_catalog.date".to_owned(),
        SourceType::Time(fraction) => digits("TIME", fraction),
        SourceType::DateTime(fraction) => digits("TIMESTAMP", fraction),
        SourceType::Bit(bits @ 1..=MOST_BITS) if own => format!("BIT({bits})"),
        SourceType::Bit(_) => return None,
        SourceType::Postgres {
            name,
            length,
            array,
        } => {
            if key && WITHOUT_ORDER.contains(name) {
                return None;
            }
            own_type(name, *length, *array)
        }
    })
}
